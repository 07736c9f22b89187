"""A Dask scheduler with one and with several workers on this machine: whole sets, committed."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, ratio
from faceblend.cluster import Cluster
from faceblend.errors import FaceblendError
from faceblend.generate import generate
from faceblend.recipe import Recipe

SHARD = 100
"""Samples a shard."""

_START_S = 60.0  # until all workers are there


@dataclass(frozen=True, kw_only=True)
class ClusterBench:
    """Figures of one benchmark, ready for JSON; medians over the rounds."""

    workers: int
    one_per_second: float
    """samples committed by a scheduler with one worker"""
    all_per_second: float
    """samples committed by a scheduler with all workers"""
    local_per_second: float
    """samples committed by as many processes without a scheduler"""
    speedup: float
    """of all workers over one, side by side"""
    local_share: float
    """of what the processes commit, what the workers do; side by side"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_cluster(
    bank: FaceBank, recipe: Recipe, *, workers: int = 2, shards: int = 20, rounds: int = 5
) -> ClusterBench:
    """Time ``generate`` on one worker, on all, and on local processes, in turns.

    Schedulers and workers are processes of their own, started by Dask's command lines, and run
    all the while. The local processes are started anew for each set, as ``generate`` does.

    Args:
        bank: the faces, in a folder of their own.
        recipe: what is drawn, reals and fakes.
        workers: Dask workers of one thread each, and local processes.
        shards: of ``SHARD`` samples that each of them makes a round.
        rounds: timed, after one that is not counted.

    Raises:
        BadArgument: there is nothing to time, or ``dask.distributed`` is not installed.
        FaceblendError: the workers did not start.
    """
    check_least(2, workers=workers)
    check_least(1, shards=shards, rounds=rounds)
    one, several, local = list[float](), list[float](), list[float]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        single = stack.enter_context(_started(1, folder))
        pool = stack.enter_context(_started(workers, folder))
        for seed in range(rounds + 1):
            for rates, executor, processes in (
                (one, single, 1),
                (several, pool, workers),
                (local, None, workers),
            ):
                count = SHARD * shards * processes
                rates.append(_rate(bank, recipe, folder, seed, count, processes, executor))
    one, several, local = one[1:], several[1:], local[1:]
    return ClusterBench(
        workers=workers,
        one_per_second=statistics.median(one),
        all_per_second=statistics.median(several),
        local_per_second=statistics.median(local),
        speedup=ratio(several, one),
        local_share=ratio(several, local),
        machine=machine(recipe=recipe.name, faces=len(bank), shard=SHARD, shards=shards),
    )


def _rate(
    bank: FaceBank,
    recipe: Recipe,
    folder: Path,
    seed: int,
    count: int,
    workers: int,
    executor: Executor | None,
) -> float:
    with TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        report = generate(
            bank, recipe, out,
            count=count, seed=seed, workers=workers, shard_size=SHARD, executor=executor,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    for failed in report.failed:
        raise FaceblendError(failed.name, failed.reason, "mend that, and time again")
    return count / seconds


@contextmanager
def _started(workers: int, folder: Path) -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    words = [["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-show"]]
    words += [["worker", address, "--nthreads", "1", "--local-directory", str(folder)]] * workers
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *one, "--no-dashboard"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for one in words
    ]
    try:
        with Cluster(address) as cluster:
            _wait(cluster, workers)
            yield cluster
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(_START_S)


def _wait(cluster: Cluster, workers: int) -> None:
    end = time.monotonic() + _START_S
    while cluster.workers < workers:
        if time.monotonic() > end:
            raise FaceblendError(
                cluster.name, f"has no {workers} workers after {_START_S:g} s", "time it again"
            )
        time.sleep(0.1)
