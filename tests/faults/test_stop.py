"""Ctrl-C and SIGTERM end a command in a line, leave no rest, and the same command continues."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
from trouble import SEED, contents

from faceblend.bank import FaceBank
from faceblend.cli import INTERRUPTED, TERMINATED
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import Manifest
from faceblend.store.hdf5 import Unfailing, new_hdf5

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")

COUNT, SHARD = 24, 2  # more than is rendered while a signal is on its way
DEADLINE = 120  # s; a run takes a few


def test_a_signal_that_comes_while_hdf5_writes_waits_until_it_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = Unfailing.write, []

    def interrupted(disk: Unfailing, data: Any) -> int:
        if not done:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)  # Python looks for signals here
        done.append(len(data))
        return write(disk, data)

    monkeypatch.setattr(Unfailing, "write", interrupted)
    handler, rows = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), new_hdf5(tmp_path / "a.h5") as (file, disk):  # noqa: PT012
        file.create_dataset("a", (4, 1000), "u1", chunks=(1, 1000))
        for row in disk.guarded(range(4)):
            file["a"].id.write_direct_chunk((row, 0), bytes(1000))
            rows.append(row)
    assert rows == [0]
    assert signal.getsignal(signal.SIGINT) is handler
    with h5py.File(tmp_path / "a.h5") as file:  # closed as it should be
        assert file["a"].shape == (4, 1000)


@pytest.fixture(scope="module")
def whole(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    return contents(out)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)]
)
def test_a_command_that_is_stopped_says_how_to_go_on(
    bank: FaceBank,
    whole: dict[str, bytes],
    tmp_path: Path,
    workers: int,
    sent: signal.Signals,
    status: int,
) -> None:
    out = tmp_path / "set"
    words = [sys.executable, "-m", "faceblend", "generate", bank.root, "--out", out]
    words += ["--count", COUNT, "--seed", SEED, "--shard-size", SHARD, "--workers", workers]
    run = subprocess.Popen(
        [str(word) for word in words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + DEADLINE
    while not (out / "shard-00000.h5").exists():
        assert run.poll() is None
        assert time.monotonic() < end, "the run makes no progress"
        time.sleep(0.002)
    # Ctrl-C goes to all processes of a terminal, a batch system's SIGTERM to the first
    os.killpg(run.pid, sent) if sent is signal.SIGINT else run.send_signal(sent)
    _, told = run.communicate(timeout=DEADLINE)
    assert run.returncode == status
    lines = told.splitlines()
    assert lines[-1] == "faceblend: stopped; the same command continues"
    assert "Traceback" not in told
    assert not list(out.glob(".*")), "temporary files were left"
    listed = len(Manifest.load(out).shards)
    assert 0 <= listed < COUNT // SHARD
    report = generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert report.kept == listed
    assert contents(out) == whole
