"""A run that is killed at any moment loses time, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet, Manifest, verify

COUNT, SHARD, SEED = 36, 3, 9
DEADLINE = 120  # s; a run takes a few

RUN = """
import sys
from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe

if __name__ == "__main__":
    bank, out, layout, workers, count, size, seed = sys.argv[1:]
    report = generate(FaceBank.open(bank), load_recipe("bi"), out, layout=layout, seed=int(seed),
                      count=int(count), shard_size=int(size), workers=int(workers))
    sys.exit(1 if report.failed else 0)
"""


def start(bank: FaceBank, out: Path, *, workers: int, layout: str = "hdf5") -> subprocess.Popen:
    """The same command each time, in a process group of its own."""
    numbers = (workers, COUNT, SHARD, SEED)
    words = [sys.executable, "-c", RUN, bank.root, out, layout, *numbers]
    return subprocess.Popen([str(word) for word in words], start_new_session=True)


def finish(run: subprocess.Popen) -> None:
    try:
        assert run.wait(DEADLINE) == 0
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


def names(out: Path) -> set[str]:
    """Every name in the folder now; a run that writes changes them all the time."""
    try:
        return {path.relative_to(out).as_posix() for path in out.rglob("*")}
    except FileNotFoundError:
        return set()  # a temporary file went while it was listed


def kill_after(run: subprocess.Popen, out: Path, new_names: int, wait: float) -> bool:
    """Kill the group once so many names have appeared; whether it was still running."""
    before, seen, end = names(out), set(), time.monotonic() + DEADLINE
    while run.poll() is None and len(seen) < new_names:
        assert time.monotonic() < end, "the run makes no progress"
        seen |= names(out) - before
    time.sleep(wait)  # anywhere between two names
    alive = run.poll() is None
    os.killpg(run.pid, signal.SIGKILL) if alive else None
    run.wait(DEADLINE)
    return alive


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    return out


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_killed_at_five_moments_ends_like_one_that_was_not(
    bank: FaceBank, undisturbed: Path, tmp_path: Path, workers: int
) -> None:
    out, moments = tmp_path / "set", random.Random(workers)
    kills = 0
    for _ in range(5):
        run = start(bank, out, workers=workers)
        kills += kill_after(run, out, moments.randint(1, 7), moments.uniform(0, 0.02))
        with BlendSet(out) as blends:  # what is listed is whole at any moment
            assert all(blends[i].image.any() for i in range(len(blends)))
    assert kills >= 3, "the run was over before it could be killed"
    assert len(Manifest.load(out).shards) > 0, "no kill came after a commit"
    finish(start(bank, out, workers=workers))
    assert contents(out) == contents(undisturbed)
    assert verify(out, bank=bank, replays=3).problems == ()


def test_workers_whose_parent_was_killed_do_the_next_run_no_harm(
    bank: FaceBank, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    orphaning = start(bank, out, workers=2)
    before, end = names(out), time.monotonic() + DEADLINE
    while not any(name.startswith(".shard-") for name in names(out) - before):
        assert orphaning.poll() is None
        assert time.monotonic() < end, "no worker began a shard"
    os.kill(orphaning.pid, signal.SIGKILL)
    orphaning.wait(DEADLINE)
    try:
        finish(start(bank, out, workers=2))
    finally:
        with suppress(ProcessLookupError):  # orphans that went by themselves
            os.killpg(orphaning.pid, signal.SIGKILL)
    assert {name: data for name, data in contents(out).items() if ".tmp" not in name} == (
        contents(undisturbed)
    )


@pytest.mark.slow
def test_a_killed_run_of_folders_ends_like_one_that_was_not(
    bank: FaceBank, tmp_path: Path
) -> None:
    generate(
        bank, load_recipe("bi"), tmp_path / "whole", layout="folder",
        count=COUNT, seed=SEED, shard_size=SHARD,
    )  # fmt: skip
    out, moments = tmp_path / "set", random.Random(3)
    kills = 0
    for _ in range(3):
        run = start(bank, out, workers=1, layout="folder")
        kills += kill_after(run, out, moments.randint(5, 40), moments.uniform(0, 0.01))
    assert kills >= 2
    finish(start(bank, out, workers=1, layout="folder"))
    assert contents(out) == contents(tmp_path / "whole")


def test_a_killed_worker_costs_its_shard_and_the_run_goes_on(
    bank: FaceBank, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    run = start(bank, out, workers=2)
    end, killed = time.monotonic() + DEADLINE, 0
    while run.poll() is None and not killed:
        assert time.monotonic() < end, "no worker began a shard"
        for name in names(out):
            # a temporary file carries the number of the process that writes it
            if name.startswith(".shard-") and (writer := int(name.split(".")[-2].split("-")[0])):
                assert writer != run.pid
                os.kill(writer, signal.SIGKILL)
                killed = writer
                break
    assert killed, "the run was over before a worker could be killed"
    finish(run)
    assert contents(out) == contents(undisturbed)
