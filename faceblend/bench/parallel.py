"""Several processes: rendering alone, and rendering into shards that are synced."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from faceblend.bank import FaceBank
from faceblend.bench.machine import (
    check_least,
    machine,
    peak_mib,
    processes,
    ratio,
    spin_rate,
)
from faceblend.errors import Rejected
from faceblend.recipe import Recipe
from faceblend.sample import Sample, sample, versions
from faceblend.store.manifest import Plan
from faceblend.store.shard import write_shard

SHARD = 100
"""Samples that a process takes at a time, and a shard."""


@dataclass(frozen=True, kw_only=True)
class ParallelBench:
    """Figures of one benchmark, ready for JSON; medians over the rounds."""

    workers: int
    one_per_second: float
    """samples rendered by one process, nothing stored"""
    bare_per_second: float
    """samples rendered by all, nothing stored"""
    stored_per_second: float
    """samples rendered and committed by all, a synced and hashed shard each"""
    speedup: float
    """of all over one, side by side"""
    spin_speedup: float
    """the same of plain arithmetic: what the machine itself gives"""
    stored_share: float
    """of what all render bare, what they commit; side by side"""
    peak_mib: float
    """most resident memory of a worker, pages of mapped files included"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_parallel(
    bank: FaceBank, recipe: Recipe, *, workers: int = 2, shards: int = 12, rounds: int = 5
) -> ParallelBench:
    """Time processes that are already running; one and all of them take turns.

    Args:
        bank: the faces, in a folder of their own.
        recipe: what is drawn, reals and fakes.
        workers: processes.
        shards: of ``SHARD`` samples that each process makes a round.
        rounds: timed, after one that is not counted.

    Raises:
        BadArgument: there is nothing to time.
    """
    check_least(2, workers=workers)
    check_least(1, shards=shards, rounds=rounds)
    recipe.check_fits(bank.crop_size)
    one, bare, stored, peaks = list[float](), list[float](), list[float](), list[float]()
    spun, spun_all = list[float](), list[float]()
    with TemporaryDirectory() as folder, processes(workers) as pool, processes(1) as single:
        for number in range(rounds + 1):
            work = partial(_render, bank.root, recipe, number, None)
            one.append(_rate(single, work, shards, peaks))
            bare.append(_rate(pool, work, workers * shards, peaks))
            spun.append(spin_rate(single, 1))
            spun_all.append(spin_rate(pool, workers))
            work = partial(_render, bank.root, recipe, number, Path(folder))
            stored.append(_rate(pool, work, workers * shards, peaks))
    one, bare, stored = one[1:], bare[1:], stored[1:]
    return ParallelBench(
        workers=workers,
        one_per_second=statistics.median(one),
        bare_per_second=statistics.median(bare),
        stored_per_second=statistics.median(stored),
        speedup=ratio(bare, one),
        spin_speedup=ratio(spun_all, spun),
        stored_share=ratio(stored, bare),
        peak_mib=max(peaks),
        machine=machine(recipe=recipe.name, faces=len(bank), shard=SHARD),
    )


def _rate(
    pool: ProcessPoolExecutor, work: "partial[float]", shards: int, peaks: list[float]
) -> float:
    start = time.perf_counter()
    peaks += pool.map(work, range(shards))
    return shards * SHARD / (time.perf_counter() - start)


def _render(root: Path, recipe: Recipe, seed: int, folder: Path | None, shard: int) -> float:
    """Make a shard, keep it or not, and tell the most memory that the process had, MiB."""
    bank = opened(root)
    samples = _samples(bank, recipe, seed, range(shard * SHARD, (shard + 1) * SHARD))
    if folder is None:
        for _ in samples:
            pass
    else:
        plan = Plan(
            layout="hdf5",
            recipe=recipe.to_dict(),
            seed=seed,
            shard_size=SHARD,
            image_size=recipe.crop.size,
            bank=bank.fingerprint,
            alpha=False,
            versions=versions(),
        )
        write_shard(folder / f"{shard}.h5", samples, plan, SHARD)
    return peak_mib()


def _samples(bank: FaceBank, recipe: Recipe, seed: int, numbers: range) -> Iterator[Sample]:
    for number in numbers:
        with suppress(Rejected):
            yield sample(bank, recipe, seed, number)


@lru_cache(maxsize=1)
def opened(root: Path) -> FaceBank:
    """A bank, which each process opens once and not once a task."""
    return FaceBank.open(root)
