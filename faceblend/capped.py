"""Who lends to whom where no face may lend itself to more than some backgrounds.

Nearest landmarks alone let a few ordinary faces lend themselves to hundreds of others, and a
detector may learn those few. With a cap, every background still gets the nearest that are left.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from faceblend import atomic, jobs, partner, search
from faceblend.bank import FaceBank
from faceblend.errors import Unwritable
from faceblend.kept import mapped

Table = Int32[np.ndarray, "faces top"]
"""Rows of the bank, first come first; -1 where nobody was left."""

Proposal = tuple[float, int, int]
"""Distance in px, the background's row, the lender's row: in this order they are heard."""


def nearest(bank: FaceBank, row: int, top: int, cap: int) -> Int[np.ndarray, " found"]:
    """The faces that may lend theirs to a background, looked up.

    Args:
        bank: the faces.
        row: the background, a real face.
        top: how many are wanted.
        cap: backgrounds that one face lends itself to at most.

    Returns:
        Up to ``top`` rows, in the order in which the background got them.
    """
    kept = _table(bank, top, cap)[row]
    return np.asarray(kept[kept >= 0], np.int64)


def arrange(bank: FaceBank, top: int, cap: int) -> None:
    """Make the table that :func:`nearest` reads, with progress, so that workers find it.

    Where a bank keeps no copies, or cannot be written, each process makes its own.
    """
    path = bank.capped_path(top, cap)
    if path is None or _read(path, (len(bank), top)) is not None:
        return
    with jobs.progress("partners", total=len(bank.reals) * top, unit="places") as report:
        made = assign(bank, top, cap, heard=report.advance)
    with suppress(Unwritable):
        _write(path, made)


def assign(
    bank: FaceBank, top: int, cap: int, *, heard: Callable[[int], None] | None = None
) -> Table:
    """Give every real face its ``top`` partners, none of which lends itself over ``cap`` times.

    Rank by rank: a first partner for all before anybody gets a second one. Within a rank all
    pairs of a background and an eligible lender are heard by ascending distance, ties by the
    background's row and then the lender's. A pair is made if the background has none in this
    rank yet, not this lender in an earlier one, and the lender is not full. Nobody can do better
    without somebody nearer doing worse.

    Takes 8 bytes a face and rank and some 40 bytes a face beside the bank: 70 MB for a million
    faces and five ranks, and 150 bytes more for each background that waits for another lender
    than its nearest. A search a place, or a look at the table of ``faceblend neighbours``.

    Args:
        bank: the faces.
        top: partners of each.
        cap: backgrounds that one face lends itself to at most; ``top`` or more.
        heard: called with the number of places that were decided since.

    Returns:
        (faces, top) int32; rows of forged faces hold -1 only.
    """
    desk = _Desk(bank, top, cap)
    for rank in range(top):
        _hear(desk, rank, heard or _unheard)
    return desk.table


def _unheard(places: int) -> None:
    del places


def _hear(desk: "_Desk", rank: int, heard: Callable[[int], None]) -> None:
    rows = desk.bank.reals
    lenders, apart = np.empty(len(rows), np.int32), np.full(len(rows), np.inf, np.float32)
    for place, row in enumerate(rows.tolist()):
        first = desk.next(row, rank)
        if first is not None:
            apart[place], _, lenders[place] = first
    # ascending rows, so that a stable order leaves ties to the lower one
    order = np.argsort(apart, kind="stable")
    order = order[: np.count_nonzero(np.isfinite(apart))]
    heard(len(rows) - len(order))  # they get nobody
    waiting: list[Proposal] = []
    done = 0
    while done < len(order) or waiting:
        if done < len(order):
            at = order[done]
            proposal = (float(apart[at]), int(rows[at]), int(lenders[at]))
            if waiting and waiting[0] < proposal:
                proposal = heappop(waiting)
            else:
                done += 1
        else:
            proposal = heappop(waiting)
        _, row, lender = proposal
        if desk.left[lender]:
            desk.table[row, rank] = lender
            desk.left[lender] -= 1
            heard(1)
            continue
        # full for good: those who come after it are farther away
        another = desk.next(row, rank)
        if another is None:
            heard(1)
        else:
            heappush(waiting, another)


class _Desk:
    """What is assigned so far, and who comes next for a background."""

    def __init__(self, bank: FaceBank, top: int, cap: int) -> None:
        self.bank = bank
        self.table = np.full((len(bank), top), -1, np.int32)
        self.left = np.full(len(bank), cap, np.int64)
        """backgrounds that each face may still lend itself to"""
        self._near = bank.neighbours
        self._seen = np.zeros(len(bank), np.int32)  # of a row's neighbours: full or taken by it

    def next(self, row: int, rank: int) -> Proposal | None:
        """The nearest that is not full and not the background's already."""
        mine = self.table[row, :rank]
        if self._near is not None:
            near = self._near[row]
            while self._seen[row] < len(near):
                lender = int(near[self._seen[row]])
                if lender < 0:
                    return None  # there are no others
                if self.left[lender] and lender not in mine:
                    there = self.bank.landmarks[[lender]]
                    apart = search.distances(self.bank.landmarks[row], there)
                    return float(apart[0]), row, lender
                self._seen[row] += 1

        def may(rows: search.Rows) -> np.ndarray:
            fits = partner.eligible(self.bank, row, rows) & (self.left[rows] > 0)
            return np.asarray(fits & ~np.isin(rows, mine))

        index = self.bank.index(int(self.bank.splits[row]))
        assert index is not None  # the row itself is in it
        found, away = index.nearest(self.bank.landmarks[row], may, 1)
        return (float(away[0]), row, int(found[0])) if len(found) else None


@lru_cache(maxsize=4)  # each worker reads it once; a bank of another program's has no file
def _table(bank: FaceBank, top: int, cap: int) -> np.ndarray:
    path = bank.capped_path(top, cap)
    if path is None:
        return assign(bank, top, cap)
    there = _read(path, (len(bank), top))
    if there is not None:
        return there
    made = assign(bank, top, cap)
    with suppress(Unwritable):  # a read-only bank is served from memory
        _write(path, made)
    return made


def _write(path: Path, table: Table) -> None:
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, table, allow_pickle=False)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    return mapped(path, shape, np.int32, below=shape[0])
