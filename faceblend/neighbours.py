"""The nearest faces of every real face, once a bank: exact search then costs a look-up.

Blocks of rows are committed one by one in the bank's ``cache/``, so a run that was cut off does
the others; when all are there they become one file.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceblend import atomic, jobs, partner
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from faceblend.kept import mapped

if TYPE_CHECKING:
    from faceblend.search_torch import Brute

BLOCK = 5000
"""Faces a task."""

MOST = 1000
"""Neighbours of a face at most."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """What a call of :func:`neighbours` left behind."""

    path: Path
    """(faces, top) int32 rows of the bank, nearest first; -1 where nobody else is eligible"""
    kept: int
    """blocks that an earlier run had done"""
    done: int
    """blocks that this call did"""


def neighbours(
    bank: FaceBank, top: int = 5, *, workers: int = 1, device: str = "cpu"
) -> Neighbours:
    """Find the nearest faces that may lend theirs to each real face of a bank.

    The same as ``partner.nearest_of_all``, which looks here first.

    Args:
        bank: in a folder of its own.
        top: how many of each; recipes that ask for as many or fewer need no search.
        workers: processes; one where a GPU searches.
        device: ``cpu`` searches by the bank's index; what else torch knows, such as ``cuda``,
            compares all faces there and finds the same rows.

    Raises:
        BadArgument: ``top`` is out of range, there is no such device, or another run is at it.
        BadBank: the bank is no folder of its own, or nobody could lend a face to anybody.
        Unwritable: the disk is full, or the bank's folder may not be written.
    """
    if not 1 <= top <= MOST:
        raise BadArgument("top", f"is {top}", f"give 1 to {MOST}")
    path = bank.neighbours_path(top)
    if path is None:
        raise BadBank(
            bank.root, "keeps no copies", "make a bank of these pictures: faceblend extract"
        )
    partner.check(bank)
    starts = range(0, len(bank), BLOCK)
    if path.exists() and bank.neighbours is not None and bank.neighbours.shape[1] >= top:
        return Neighbours(path=path, kept=len(starts), done=0)
    if device == "cpu":
        partner.arrange(bank)  # on disk before the workers ask for it
    else:
        _check_device(device)  # before the work begins
        workers = 1
    work = _Blocks(bank=bank, top=top, folder=path.with_suffix(""), device=device)
    with atomic.alone_in(bank.root):
        if path.exists() and bank.neighbours is not None and bank.neighbours.shape[1] >= top:
            return Neighbours(path=path, kept=len(starts), done=0)  # another run's, meanwhile
        return _run(bank, work, path, starts, workers)


def _run(bank: FaceBank, work: "_Blocks", path: Path, starts: range, workers: int) -> Neighbours:
    missing = [start for start in starts if work.read(start) is None]
    kept = len(starts) - len(missing)
    with jobs.progress(
        "neighbours", total=len(bank), unit="faces", kept=min(kept * BLOCK, len(bank))
    ) as report:
        for outcome in jobs.run(missing, work, workers=workers):
            if outcome.error is not None:
                raise outcome.error
            report.advance(min(BLOCK, len(bank) - outcome.task))
    blocks = [work.read(start) for start in starts]
    found = [one for one in blocks if one is not None]
    if len(found) < len(blocks):
        raise BadBank(
            work.folder, "has blocks that cannot be read again", "run the same command again"
        )
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(found))
    del blocks, found  # mapped: Windows removes no such file
    shutil.rmtree(work.folder)
    bank.__dict__.pop("neighbours", None)
    return Neighbours(path=path, kept=kept, done=len(missing))


def _check_device(device: str) -> None:
    try:
        from faceblend.search_torch import usable
    except ImportError as error:
        raise BadArgument(
            "device", "needs PyTorch, which is not installed", "pip install 'faceblend[train]'"
        ) from error
    usable(device)


@dataclass(frozen=True, kw_only=True)
class _Blocks:
    """The work on one block, called with its first row."""

    bank: FaceBank
    top: int
    folder: Path
    device: str

    def __call__(self, start: int) -> None:
        stop = min(start + BLOCK, len(self.bank))
        found = np.full((stop - start, self.top), -1, np.int32)
        reals = self.bank.reals
        rows = reals[(reals >= start) & (reals < stop)]
        for row, near in self._nearest(rows):
            found[row - start, : len(near)] = near
        with atomic.replacing(self._path(start)) as temporary, temporary.open("wb") as file:
            np.save(file, found)

    def _nearest(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        if self.device == "cpu":
            for row in rows:
                yield int(row), partner.nearest_of_all(self.bank, int(row), self.top)
            return
        splits = self.bank.splits[rows]
        for split in np.unique(splits):
            some = rows[splits == split]
            yield from zip(
                some.tolist(), self._brute(int(split)).nearest(some, self.top), strict=True
            )

    def _brute(self, split: int) -> "Brute":
        from faceblend.search_torch import Brute

        # of one split at a time: a device's memory is small
        if split not in self._brutes:
            self._brutes.clear()
            self._brutes[split] = Brute(self.bank, split, self.device)
        return self._brutes[split]

    @cached_property
    def _brutes(self) -> "dict[int, Brute]":
        return {}

    def read(self, start: int) -> np.ndarray | None:
        """A block that is there and whole."""
        length = min(BLOCK, len(self.bank) - start)
        return mapped(self._path(start), (length, self.top), np.int32, below=len(self.bank))

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.npy"
