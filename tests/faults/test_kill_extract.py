"""An extraction of videos that is killed at any moment loses time, and nothing else."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.data import astronaut

from faceblend.bank import FaceBank
from faceblend.ingest.index import index
from faceblend.videos import write_videos

pytestmark = pytest.mark.model

VIDEOS, FRAMES, SIZE = 6, 10, 240
DEADLINE = 120  # s; a run takes a few


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of one face, which goes another way in each."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        with av.open(str(root / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            for frame in range(FRAMES):
                picture = np.roll(astronaut()[:SIZE, 100 : 100 + SIZE], number * frame, axis=1)
                frame_ = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(stream.encode(frame_))
            container.mux(stream.encode())
    write_videos(index("folder", root).videos, root / "videos.parquet")
    return root / "videos.parquet"


def start(table: Path, out: Path, workers: int) -> subprocess.Popen:
    """The same command each time, in a process group of its own."""
    code = "import sys; from faceblend.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "extract", table, "--out", out, "--workers", workers]
    return subprocess.Popen(
        [str(word) for word in words],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def count(folder: Path, pattern: str) -> int:
    try:
        return sum(1 for _ in folder.rglob(pattern))
    except FileNotFoundError:
        return 0  # a folder went while it was listed


@pytest.fixture(scope="module")
def undisturbed(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "bank"
    assert start(table, out, 1).wait(DEADLINE) == 0
    assert len(FaceBank.open(out)) == VIDEOS * FRAMES
    return contents(out)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_videos_killed_in_the_middle_end_like_those_that_were_not(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    out, moments, killed_inside = tmp_path / "bank", random.Random(workers), 0
    for kill in range(4):
        run = start(table, out, workers)
        crops, end = kill * FRAMES + moments.randint(1, FRAMES - 1), time.monotonic() + DEADLINE
        while run.poll() is None and count(out / "crops", "*.png") < crops:
            assert time.monotonic() < end, "the run makes no progress"
        alive = run.poll() is None
        if alive:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait(DEADLINE)
        killed_inside += alive and not (out / "bank.json").exists()
    assert killed_inside >= 3, "the run was over before it could be killed"
    assert 0 < count(out / "checkpoints", "*.json") < VIDEOS
    assert start(table, out, workers).wait(DEADLINE) == 0
    assert contents(out) == undisturbed


def test_a_checkpoint_that_was_corrupted_is_found_and_its_video_redone(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    assert start(table, out, 1).wait(DEADLINE) == 0
    for number, path in enumerate(sorted((out / "checkpoints").rglob("*.json"))):
        data = path.read_bytes()
        middle = len(data) // 2
        digit = re.search(rb"\.[1-8]", data[middle:])  # of a landmark, one that its value needs
        assert digit is not None
        place = middle + digit.end() - 1
        other = data[:place] + bytes([data[place] + 1]) + data[place + 1 :]
        assert json.loads(other)  # which no parser complains of
        damaged = [data[:middle], b"", other]
        if number < len(damaged):
            path.write_bytes(damaged[number])
    (out / "bank.json").unlink()
    assert start(table, out, 1).wait(DEADLINE) == 0
    assert contents(out) == undisturbed
