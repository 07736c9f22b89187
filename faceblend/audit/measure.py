"""The statistics of a whole set, from disk or rendered on the way."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import cv2
import numpy as np
from jaxtyping import Float64, Int64

from faceblend import jobs
from faceblend.audit.statistics import GROUPS, room, statistics_of
from faceblend.audit.zone import Zones, zones_of_set
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadImage, BadShard, Rejected
from faceblend.recipe import Recipe
from faceblend.sample import Sample, sample
from faceblend.store import BlendSet

_CHUNK = 100  # samples a task


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Statistics of the samples whose zone is large enough."""

    values: dict[str, Float64[np.ndarray, "samples _"]]
    """by group of ``statistics.GROUPS``"""
    labels: Int64[np.ndarray, " samples"]
    """1 blended, 0 real"""
    backgrounds: Int64[np.ndarray, " samples"]
    """equal numbers mean the same face"""
    people: Int64[np.ndarray, " samples"]
    """equal numbers mean the same person"""
    told_by: str
    """what tells people apart: ``subject``, ``video`` or ``folder``"""
    left_out: dict[str, int]
    """samples of each class, ``real`` and ``fake``, whose zone holds no tile"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _One:
    label: int
    background: str
    values: dict[str, np.ndarray] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rendered:
    bank: FaceBank
    recipe: Recipe
    seed: int

    def __call__(self, indices: range) -> list[_One]:
        cv2.setNumThreads(1)
        zones = Zones(recipe=self.recipe, bank=self.bank, crop_size=self.bank.crop_size)
        found = []
        for index in indices:
            try:
                made = sample(self.bank, self.recipe, self.seed, index)
            except (Rejected, BadImage):
                continue  # generate leaves it out, too
            found.append(_measure(made, zones))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stored:
    blends: BlendSet
    zones: Zones

    def __call__(self, positions: range) -> list[_One]:
        cv2.setNumThreads(1)
        return [_measure(self.blends[position], self.zones) for position in positions]


def measure_recipe(
    bank: FaceBank, recipe: Recipe, *, count: int, seed: int = 0, workers: int = 1
) -> Measured:
    """Measure the samples that :func:`faceblend.generate.generate` would make; stores none.

    Args:
        bank: the real faces.
        recipe: what may be drawn.
        count: sample numbers, from 0.
        seed: the run's.
        workers: processes.
    """
    if count < 1:
        raise BadArgument("count", f"is {count}", "give 1 or more samples")
    recipe.check_fits(bank.crop_size)
    return _gathered(_Rendered(bank=bank, recipe=recipe, seed=seed), count, workers, bank)


def measure_set(blends: BlendSet, bank: FaceBank | None = None, *, workers: int = 1) -> Measured:
    """Measure every sample of a set.

    Args:
        blends: the set.
        bank: the bank that it was made from, which knows who is shown; without it people are
            told apart by the folders of their crops, which extract names for videos.
        workers: processes.

    Raises:
        BadShard: the set cannot be read, or is empty.
        BadBank: the set was made from another bank.
        BadArgument: there is no bank, and the set is not of crops of the usual size.
    """
    if not len(blends):
        raise BadShard(blends.path, "holds no sample", "generate some first")
    work = _Stored(blends=blends, zones=zones_of_set(blends, bank))
    return _gathered(work, len(blends), workers, bank)


def _measure(made: Sample, zones: Zones) -> _One:
    zone = zones.of(made)
    values = statistics_of(made.image, zone) if room(zone) else None
    return _One(label=made.label, background=json.loads(made.record)["background"], values=values)


def _gathered(
    work: _Rendered | _Stored, count: int, workers: int, bank: FaceBank | None
) -> Measured:
    tasks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    done: dict[int, list[_One]] = {}
    with jobs.progress("audit", total=count, unit="samples") as progress:
        for outcome in jobs.run(tasks, work, workers=workers):
            if outcome.result is None:
                assert outcome.error is not None
                raise outcome.error
            done[outcome.task.start] = outcome.result
            progress.advance(len(outcome.task))
    return _stacked([one for first in sorted(done) for one in done[first]], bank)


def _stacked(ones: Sequence[_One], bank: FaceBank | None) -> Measured:
    kept = [one for one in ones if one.values is not None]
    names, backgrounds = np.unique([one.background for one in kept], return_inverse=True)
    who = _People(bank)
    _, people = np.unique([who.of(str(name)) for name in names], return_inverse=True)
    out = [one.label for one in ones if one.values is None]
    return Measured(
        values={
            group: np.stack([one.values[group] for one in kept if one.values is not None])
            if kept
            else np.empty((0, 0))
            for group in GROUPS
        },
        labels=np.array([one.label for one in kept], np.int64),
        backgrounds=backgrounds.astype(np.int64),
        people=people.astype(np.int64)[backgrounds],
        told_by=who.told_by,
        left_out={"real": out.count(0), "fake": out.count(1)},
    )


class _People:
    """Who is shown on a crop, as well as anything tells."""

    def __init__(self, bank: FaceBank | None) -> None:
        self._bank = bank
        self.told_by = "folder"
        if bank is not None:
            self.told_by = "subject" if bank.table["subject"].null_count == 0 else "video"

    def of(self, crop: str) -> str:
        return PurePosixPath(crop).parent.as_posix() if self._bank is None else self._known[crop]

    @cached_property
    def _known(self) -> dict[str, str]:
        assert self._bank is not None
        table = self._bank.table
        columns = (table[name].to_pylist() for name in ("crop", "subject", "video"))
        return {
            crop: f"video {video}" if subject is None else f"subject {subject}"
            for crop, subject, video in zip(*columns, strict=True)
        }
