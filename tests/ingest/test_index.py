"""A tree becomes a table of its videos; what is wrong with some stops nothing."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from faceblend.cli import BAD_INPUT, DONE, FAILURES, main
from faceblend.ingest.index import index
from faceblend.videos import SCHEMA, read_videos


def film(path: Path, *, frames: int = 6, width: int = 64, height: int = 48, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_sizes_and_frame_counts_come_from_the_containers(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=7, seed=1)
    film(tmp_path / "b.mkv", frames=5, width=96, seed=2)  # its header has no count
    found = index("folder", tmp_path, workers=2)
    told = [
        (row["path"], row["name"], row["height"], row["width"], row["frames"])
        for row in found.videos.rows()
    ]
    assert told == [("a.mp4", "a", 48, 64, 7), ("b.mkv", "b", 48, 96, 5)]
    assert found.problems == ()
    assert found.videos.table.schema.names == SCHEMA.names


def test_an_unreadable_video_stays_with_no_frames_and_is_told(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (tmp_path / "c.mp4").touch()
    found = index("folder", tmp_path)
    assert [row["frames"] for row in found.videos.rows()] == [6, 0, 0]
    assert [(one.kind, one.source) for one in found.problems] == [
        ("unreadable", "b.mp4"),
        ("unreadable", "c.mp4"),
    ]
    assert "is empty (0 bytes)" in found.problems[1].reason


def test_a_copy_of_a_video_is_left_out_and_told(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    found = index("folder", tmp_path)
    assert found.videos.column("path") == ["a.mp4"]
    (told,) = found.problems
    assert (told.kind, told.source) == ("duplicate", "copy/a.mp4")
    assert "has the bytes of a.mp4" in told.reason


def test_a_folder_of_frames_has_their_count_and_size(tmp_path: Path) -> None:
    folder = tmp_path / "Celeb-real" / "frames" / "id0_0000"
    folder.mkdir(parents=True)
    for number in (0, 7, 15):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "Celeb-real" / "frames" / "id1_0000").mkdir()
    found = index("deepfakebench", tmp_path)
    told = [
        (row["name"], row["height"], row["width"], row["frames"]) for row in found.videos.rows()
    ]
    assert told == [("id0_0000", 20, 30, 3), ("id1_0000", 0, 0, 0)]
    assert [one.kind for one in found.problems] == ["unreadable"]


def test_the_table_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    for number in range(5):
        film(tmp_path / f"{number}.mp4", frames=2 + number, seed=number)
    assert (
        index("folder", tmp_path).videos.rows()
        == index("folder", tmp_path, workers=2).videos.rows()
    )


# -- the command ---------------------------------------------------------------------


def test_the_command_writes_the_table_prints_the_counts_and_keeps_the_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "data" / "real" / "a.mp4")
    film(tmp_path / "data" / "fake" / "b.mp4", seed=1)
    out = tmp_path / "videos.parquet"
    words = ["index", "folder", str(tmp_path / "data"), "--out", str(out), "--fakes", "^fake/"]
    assert main([*words, "--strict"]) == DONE
    assert "Real videos: 1\nFake videos: 1" in capsys.readouterr().out
    table = read_videos(out)
    assert (table.root, table.dataset) == (tmp_path / "data", "folder")
    assert not (tmp_path / "videos.parquet.problems.jsonl").exists()

    (tmp_path / "data" / "c.mp4").write_bytes(b"no video")
    assert main(words) == DONE
    assert main([*words, "--strict"]) == FAILURES
    assert "1 problems, all in" in capsys.readouterr().out
    lines = (tmp_path / "videos.parquet.problems.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["c.mp4"]


def test_a_table_under_another_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "a.mp4")
    words = ["index", "folder", str(tmp_path), "--out", str(tmp_path / "videos.csv")]
    assert main(words) == BAD_INPUT
    assert "end it in .parquet" in capsys.readouterr().err
