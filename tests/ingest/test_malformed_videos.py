"""Ten malformed or unusual videos, indexed and extracted: each ends recorded, and in words."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from faceblend.bank import FaceBank
from faceblend.cli import DONE, FAILURES, main
from faceblend.videos import read_videos

pytestmark = pytest.mark.model

SIZE = 240
TAKEN = 4


def write(
    path: Path,
    frames: int = 30,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: int = SIZE,
    times: Sequence[int] | None = None,
    upside_down: bool = False,
) -> Path:
    """An astronaut looks at us."""
    picture = cv2.resize(astronaut()[0:240, 100:340], (size, size), interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(picture[::-1, ::-1] if upside_down else picture)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = size
        stream.pix_fmt, stream.gop_size = pixels, 5
        if times is not None:
            stream.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number % 9, 1), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 16_000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())


def turn_round(path: Path) -> None:
    """Ask for half a turn in the track header, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    matrix = (-0x10000, 0, 0, 0, -0x10000, 0, 0, 0, 0x40000000)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(bytes(data))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    root.mkdir()
    whole = write(root / "truncated.mp4").read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    cut = write(root / "truncated.mkv").read_bytes()
    (root / "truncated.mkv").write_bytes(cut[: len(cut) // 2])
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("Dear diary,\n" * 40)
    write(root / "wrong_extension.mp4", 29).rename(root / "wrong_extension.avi")
    sound(root / "no_video.mp4")
    write(root / "one_frame.mp4", 1)
    write(root / "odd_size.mkv", codec="ffv1", pixels="yuv444p", size=SIZE - 1)
    turn_round(write(root / "rotated.mp4", upside_down=True))
    times = np.cumsum(np.random.default_rng(0).integers(10, 400, 30)).tolist()
    write(root / "variable_rate.mkv", times=times)
    write(root / "ten_bit.mkv", 28, pixels="yuv420p10le")
    return root


REFUSED = {
    "truncated.mp4": "is no video that can be read",  # what says where frames are was at its end
    "empty.mp4": "is empty (0 bytes); replace the file",
    "text.mp4": "is no video that can be read",
    "no_video.mp4": "holds no pictures, only sound or text; leave it out",
}
USED = {
    "truncated.mkv": TAKEN,  # what is there counts
    "wrong_extension.avi": TAKEN,
    "one_frame.mp4": 1,
    "odd_size.mkv": TAKEN,
    "rotated.mp4": TAKEN,  # a face on its head is not found
    "variable_rate.mkv": TAKEN,
    "ten_bit.mkv": TAKEN,
}


def told(path: Path) -> dict[str, tuple[str, str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["source"]: (line["kind"], line["reason"]) for line in lines}


def test_ten_malformed_videos_each_end_in_words(videos: Path, tmp_path: Path) -> None:
    table, bank = tmp_path / "videos.parquet", tmp_path / "bank"
    index = ["index", "folder", str(videos), "--out", str(table), "--workers", "1"]
    assert main(index) == DONE
    problems = told(tmp_path / "videos.parquet.problems.jsonl")
    assert set(problems) == set(REFUSED)
    for name, (kind, reason) in problems.items():
        assert kind == "unreadable"
        assert reason.startswith(REFUSED[name])
    frames = {row["path"]: row["frames"] for row in read_videos(table).rows()}
    assert {name: frames[name] for name in REFUSED} == dict.fromkeys(REFUSED, 0)
    assert frames["variable_rate.mkv"] == 30
    assert frames["one_frame.mp4"] == 1
    assert 5 < frames["truncated.mkv"] < 30

    words = ["extract", str(table), "--out", str(bank), "--frames-per-video", str(TAKEN)]
    assert main([*words, "--workers", "1", "--strict"]) == FAILURES
    errors = told(bank / "errors.jsonl")
    assert set(errors) == set(REFUSED)
    for name, (kind, reason) in errors.items():
        assert kind == "unreadable"
        assert reason.startswith(REFUSED[name])
    rows = FaceBank.open(bank).table.to_pylist()
    taken = {name: [row for row in rows if row["video"] == name] for name in USED}
    assert {name: len(found) for name, found in taken.items()} == USED
    assert len(rows) == sum(USED.values())
    assert [row["frame"] for row in taken["variable_rate.mkv"]] == [0, 9, 19, 29]
