"""How much memory a process needs to blend from a large bank."""

import os
import statistics
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from faceblend import partner
from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, peak_mib, processes, timed
from faceblend.bench.madeup import made_up_bank
from faceblend.draw import stream
from faceblend.errors import Rejected
from faceblend.recipe import Recipe
from faceblend.sample import sample

_TASK = 20  # samples that a process makes at a time


@dataclass(frozen=True, kw_only=True)
class MemoryBench:
    """Figures of one benchmark, ready for JSON."""

    faces: int
    workers: int
    samples: int
    """that each process made, about"""
    sampled_mib: list[float]
    """most resident memory of each process whose recipe looks at ``candidates`` random faces;
    pages of mapped files count, and all processes share them"""
    exact_mib: list[float]
    """of each whose recipe looks for the nearest of all"""
    candidates: int
    open_seconds: float
    """median of opening the bank in such a process"""
    bank_mib: float
    """of the faces' files, crops aside"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_memory(
    bank: FaceBank,
    recipe: Recipe,
    *,
    faces: int = 1_000_000,
    candidates: int = 5000,
    samples: int = 200,
    workers: int = 2,
) -> MemoryBench:
    """Blend from a bank with made-up landmarks and a few crops over and over.

    Args:
        bank: whose crops are repeated, and whose landmarks the made-up ones are like.
        recipe: what is drawn; its partner search is set twice, to each of both.
        faces: of the made-up bank, which goes to the temporary folder.
        candidates: of a sampled search.
        samples: that each process makes a recipe.
        workers: processes, new ones for each recipe.

    Raises:
        BadArgument: there is nothing to make, or the bank has too few faces to be like.
    """
    check_least(1, candidates=candidates, samples=samples, workers=workers)
    recipe.check_fits(bank.crop_size)
    with TemporaryDirectory() as name:
        root = Path(name)
        large = made_up_bank(bank, faces, stream(0, 0, "bench memory"), root)
        # on disk, as they are from the first run on
        partner.arrange(large)
        _ = large.sums
        seconds, peaks = list[float](), dict[str, list[float]]()
        for search in ("sampled", "exact"):
            how = replace(recipe.partner, search=search, candidates=candidates)
            with processes(workers) as pool:
                peaks[search] = _peaks(
                    pool, root, replace(recipe, partner=how), samples * workers, seconds
                )
        files = [root / "faces.parquet", *(root / "cache").iterdir()]
        return MemoryBench(
            faces=faces,
            workers=workers,
            samples=samples,
            sampled_mib=peaks["sampled"],
            exact_mib=peaks["exact"],
            candidates=candidates,
            open_seconds=statistics.median(seconds),
            bank_mib=sum(path.stat().st_size for path in files) / 2**20,
            machine=machine(recipe=recipe.name),
        )


def _peaks(
    pool: Executor, root: Path, recipe: Recipe, samples: int, seconds: list[float]
) -> list[float]:
    """The most memory that each process had, MiB."""
    peaks = dict[int, float]()
    opened = dict[int, float]()
    work = partial(_make, root, recipe)
    for process, took, peak in pool.map(work, range(0, samples, _TASK)):
        opened[process] = took
        peaks[process] = max(peak, peaks.get(process, 0.0))
    seconds += opened.values()
    return sorted(peaks.values())


def _make(root: Path, recipe: Recipe, first: int) -> tuple[int, float, float]:
    """Make some samples; the process, seconds that opening its bank took, its peak, MiB."""
    seconds, bank = _opened(root)
    for number in range(first, first + _TASK):
        with suppress(Rejected):
            sample(bank, recipe, 0, number)
    return os.getpid(), seconds, peak_mib()


@lru_cache(maxsize=1)
def _opened(root: Path) -> tuple[float, FaceBank]:
    return timed(lambda: FaceBank.open(root))
