"""The nearest faces of every real face, once a bank: exact search then costs a look-up.

Blocks of rows are committed one by one in the bank's ``cache/``, so a run that was cut off does
the others; when all are there they become one file.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceblend import atomic, jobs, partner
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank

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


def neighbours(bank: FaceBank, top: int = 5, *, workers: int = 1) -> Neighbours:
    """Find the nearest faces that may lend theirs to each real face of a bank.

    The same as ``partner.nearest_of_all``, which looks here first.

    Args:
        bank: in a folder of its own.
        top: how many of each; recipes that ask for as many or fewer need no search.
        workers: processes.

    Raises:
        BadArgument: ``top`` is out of range.
        BadBank: the bank is no folder of its own, or nobody could lend a face to anybody.
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
    for split in np.unique(bank.splits[bank.reals]):
        bank.index(int(split))  # on disk before the workers ask for it
    work = _Blocks(bank=bank, top=top, folder=path.with_suffix(""))
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
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([one for one in blocks if one is not None]))
    shutil.rmtree(work.folder)
    bank.__dict__.pop("neighbours", None)
    return Neighbours(path=path, kept=kept, done=len(missing))


@dataclass(frozen=True, kw_only=True)
class _Blocks:
    """The work on one block, called with its first row."""

    bank: FaceBank
    top: int
    folder: Path

    def __call__(self, start: int) -> None:
        stop = min(start + BLOCK, len(self.bank))
        found = np.full((stop - start, self.top), -1, np.int32)
        reals = self.bank.reals
        for row in reals[(reals >= start) & (reals < stop)]:
            near = partner.nearest_of_all(self.bank, int(row), self.top)
            found[row - start, : len(near)] = near
        with atomic.replacing(self._path(start)) as temporary, temporary.open("wb") as file:
            np.save(file, found)

    def read(self, start: int) -> np.ndarray | None:
        """A block that is there and whole."""
        length = min(BLOCK, len(self.bank) - start)
        try:
            block = np.load(self._path(start), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = block.shape == (length, self.top) and block.dtype == np.int32
        return np.asarray(block) if whole else None

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.npy"
