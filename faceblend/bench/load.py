"""A long run: do memory and open files stay while a set is made, and while it is read?"""

import math
import multiprocessing
import time
import warnings
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from faceblend.bank import FaceBank
from faceblend.bench.flat import LEAST, Verdict, judged, second_half
from faceblend.bench.machine import check_least, machine
from faceblend.bench.watch import MEASURES, Watched, check_system, watched
from faceblend.errors import BadArgument, FaceblendError
from faceblend.generate import generate
from faceblend.recipe import Crop, Recipe

_POINTS = 120  # of a curve in the file; verdicts are of every reading
_RATES = 60  # stretches of a run whose samples a second are told
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of both long runs: its curves, thinned out, and what its readings say."""

    samples: int
    seconds: float
    per_second: float
    """samples, starting the processes included"""
    rates: list[tuple[float, float]]
    """middle of a stretch of the run, s, and its samples a second"""
    judged: tuple[float, float]
    """from when to when verdicts are of, s"""
    verdicts: list[Verdict]
    curves: dict[str, dict[str, list[float]]]
    """a process's ``seconds``, ``rss``, ``pss``, ``uss`` (MiB), ``files`` and ``threads``"""

    @property
    def flat(self) -> bool:
        """No process grew."""
        return all(one.flat for one in self.verdicts)


@dataclass(frozen=True, kw_only=True)
class LoadBench:
    """Figures of one benchmark, ready for JSON."""

    workers: int
    """processes that made the set"""
    readers: int
    """worker processes of the loader that read it"""
    shards: int
    parts: dict[str, Part]
    """``generate``, and ``read`` where it was asked for"""
    machine: dict[str, Any]

    @property
    def flat(self) -> bool:
        """No process grew in either part."""
        return all(part.flat for part in self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "flat": self.flat}


def bench_load(
    bank: FaceBank,
    recipe: Recipe,
    *,
    count: int = 200_000,
    window: int = 64,
    workers: int = 2,
    shard_size: int = 1000,
    readers: int = 8,
    batch: int = 32,
    minutes: float = 10.0,
    every: float = 1.0,
    out: Path | None = None,
) -> LoadBench:
    """Make a long set, then read it in random order, and judge what the processes needed.

    Both jobs run in processes of their own; this one takes the readings, and is judged as well.

    Args:
        bank: the faces, in a folder of their own.
        recipe: what is drawn.
        count: samples of the set.
        window: side of the samples, px, at the edge of the face instead of the recipe's window;
            0 keeps the recipe's.
        workers: processes that make the set.
        shard_size: samples a shard.
        readers: worker processes of the ``DataLoader``.
        batch: samples a batch.
        minutes: how long the set is read, from the first batch on; 0 leaves reading out.
        every: s between two readings.
        out: a new folder for the set, which is kept; a temporary one if None.

    Raises:
        BadArgument: this is no Linux, a number is out of range, the folder is not empty or its
            disk too small, or a run was over before it could be judged.
        FaceblendError: a shard could not be made, or a job broke.
    """
    check_system()
    check_least(1, count=count, workers=workers, readers=readers, batch=batch)
    check_least(0, window=window)
    for name, value, least in (("minutes", minutes, 0.0), ("every", every, 0.01)):
        if not (math.isfinite(value) and value >= least):
            raise BadArgument(name, f"is {value}", f"give {least:g} or more")
    if minutes:
        _check_torch()
    if out is not None and out.exists() and any(out.iterdir()):
        raise BadArgument(out, "is not empty", "give a new folder, or none to keep no set")
    recipe = windowed(recipe, window, bank.crop_size)
    recipe.check_fits(bank.crop_size)
    parts = dict[str, Part]()
    with TemporaryDirectory(prefix="faceblend-load-") as temporary:
        folder = Path(temporary, "set") if out is None else out
        readings = watched(
            _make,
            (bank.root, recipe, folder, count, workers, shard_size),
            name="generate",
            done=lambda: _committed(folder, shard_size, count),
            every=every,
        )
        parts["generate"] = _part(readings, count, "count")
        if minutes:
            done = multiprocessing.get_context("spawn").RawValue("Q", 0)
            readings = watched(
                _read,
                (done, folder, readers, batch, 60 * minutes),
                name="read",
                done=lambda: done.value,
                every=every,
            )
            parts["read"] = _part(readings, done.value, "minutes")
    return LoadBench(
        workers=workers,
        readers=readers if minutes else 0,
        shards=math.ceil(count / shard_size),
        parts=parts,
        machine=machine(
            recipe=recipe.name,
            window=recipe.crop.size,
            faces=len(bank),
            shard_size=shard_size,
            batch=batch,
            every=every,
        ),
    )


def windowed(recipe: Recipe, side: int, crop_size: int) -> Recipe:
    """The recipe with a window of ``side`` px on the cheek, where most masks have an edge."""
    if not side:
        return recipe
    top, left = (min(round(share * crop_size), crop_size - side) for share in (0.47, 0.13))
    if min(top, left) < 0:
        raise BadArgument("window", f"is {side}", f"the bank's crops have {crop_size} px")
    return replace(recipe, crop=Crop(top=top, left=left, size=side))


def _make(
    root: Path, recipe: Recipe, folder: Path, count: int, workers: int, shard_size: int
) -> None:
    report = generate(
        FaceBank.open(root),
        recipe,
        folder,
        count=count,
        seed=_SEED,
        workers=workers,
        shard_size=shard_size,
    )
    for failed in report.failed:
        raise FaceblendError(failed.name, failed.reason, "mend that first")


def _read(done: Any, folder: Path, readers: int, batch: int, seconds: float) -> None:
    import torch
    from torch.utils.data import DataLoader

    from faceblend.torch import BlendedFaces

    # more readers than processors are asked for
    warnings.filterwarnings("ignore", "This DataLoader will create")
    torch.set_num_threads(1)
    loader = DataLoader(
        BlendedFaces(folder),
        batch,
        shuffle=True,
        num_workers=readers,
        multiprocessing_context="fork",  # Linux's own way up to Python 3.13; here spawn is set
        persistent_workers=True,  # or none would live long enough to grow
        generator=torch.Generator().manual_seed(_SEED),
    )
    end = math.inf
    while True:
        for items in loader:
            # the clock starts with the first batch: that many processes start slowly
            end = min(end, time.monotonic() + seconds)
            done.value += len(items["index"])
            if time.monotonic() >= end:
                return


def _check_torch() -> None:
    # not imported here: it would be most of the watcher's memory
    if find_spec("torch") is None:
        raise BadArgument(
            "minutes",
            "a DataLoader needs PyTorch, which is not installed",
            "install it with: pip install 'faceblend[train]', or give 0 to make the set only",
        )


def _committed(folder: Path, shard_size: int, count: int) -> int:
    # a name that does not start with a dot is a whole shard
    return min(count, shard_size * sum(1 for _ in folder.glob("shard-*.h5")))


def _part(readings: Watched, samples: int, argument: str) -> Part:
    start, end = second_half(readings) if readings.seconds else (0.0, 0.0)
    taken = sum(start <= at <= end for at in readings.seconds)
    if taken < LEAST:
        raise BadArgument(
            argument,
            f"gives {taken} readings of the run's second half",
            f"give more: {LEAST} can be judged",
        )
    seconds = readings.seconds[-1]
    return Part(
        samples=samples,
        seconds=seconds,
        per_second=samples / seconds,
        rates=_rates(readings),
        judged=(start, end),
        verdicts=judged(readings),
        curves={
            process.name: {
                "seconds": _thinned(process.seconds),
                **{name: _thinned(process.measures[name]) for name in MEASURES},
            }
            for process in readings.processes.values()
        },
    )


def _rates(readings: Watched) -> list[tuple[float, float]]:
    taken = len(readings.seconds)
    ends = np.linspace(0, taken - 1, min(_RATES, taken)).astype(int)
    seconds, done = np.array(readings.seconds)[ends], np.array(readings.done)[ends]
    middle, rate = (seconds[1:] + seconds[:-1]) / 2, np.diff(done) / np.diff(seconds)
    return list(zip(middle.round(1).tolist(), rate.round(1).tolist(), strict=True))


def _thinned(values: Any) -> list[float]:
    step = max(1, math.ceil(len(values) / _POINTS))
    return [round(value, 1) for value in values[::step]]
