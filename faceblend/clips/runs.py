"""Which faces of a bank are consecutive frames of one person, with no cut between them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank

Rows = Int[np.ndarray, " faces"]
Matrices = Float64[np.ndarray, "frames 2 3"]

CENTRE = 0.2
"""Sides of the crop; between neighbouring frames a crop that moves by more was cut."""

SCALE = 1.3
"""Times; a crop that grows or shrinks by more was cut."""

SHAPE = 0.05
"""Sides of the crop; landmarks that move inside it by more, in the mean, were cut."""

_BLOCK = 1 << 14  # rows whose landmarks are compared at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """The real faces of a bank in the order of their frames, and where runs of them begin."""

    order: Rows
    """rows of the bank, by video, person and frame"""
    frames: Rows
    """frame number of each of ``order``"""
    first: Rows
    """of each of ``order``, the position where its run begins"""
    end: Rows
    """and the position behind its end"""

    @property
    def longest(self) -> int:
        """Frames of the longest run; 0 where there is no real face."""
        return int((self.end - self.first).max(initial=0))

    def middles(self, frames: int) -> Rows:
        """Rows that are the middle, number ``frames // 2``, of that many consecutive ones."""
        start = np.arange(len(self.order)) - frames // 2
        fits = (start >= self.first) & (start + frames <= self.end)
        return np.asarray(self.order[fits])

    def around(self, row: int, frames: int) -> list[int]:
        """Consecutive rows with ``row`` in the middle, or as near to it as its run allows.

        Returns:
            ``frames`` rows; ``row`` that often where its run is shorter, or where it is in none.
        """
        places = np.flatnonzero(self.order == row)
        place = int(places[0]) if len(places) else 0
        first, end = int(self.first[place]), int(self.end[place])
        if not len(places) or end - first < frames:
            return [row] * frames
        start = min(max(place - frames // 2, first), end - frames)
        rows: list[int] = self.order[start : start + frames].tolist()
        return rows

    def times(self, rows: list[int]) -> Float64[np.ndarray, " frames"]:
        """Frame numbers of consecutive rows, in units of their median distance."""
        (place,) = np.flatnonzero(self.order == rows[0])
        frames = self.frames[place : place + len(rows)].astype(np.float64)
        return np.asarray(frames / (np.median(np.diff(frames)) if len(rows) > 1 else 1))


@lru_cache(maxsize=4)
def runs(bank: FaceBank, step: int) -> Runs:
    """Find every run of consecutive frames: one video, one person, no cut.

    A run ends where the next frame of that video and person is more than ``step`` on, where
    the crop jumps by over :data:`CENTRE` or :data:`SCALE`, or where landmarks jump by over
    :data:`SHAPE`. Of several faces in one frame that no subject tells apart, none counts.

    Raises:
        BadArgument: ``step`` is below 1.
    """
    if step < 1:
        raise BadArgument("step", f"is {step}", "give 1 frame or more")
    rows = bank.reals
    numbers = bank.table["frame"].to_numpy()[rows]
    keys = (numbers, bank.subjects[rows], bank.videos[rows])
    by = np.lexsort(keys)
    same = np.ones(max(len(by) - 1, 0), np.bool_)
    for key in keys[1:]:
        same &= np.diff(key[by]) == 0
    twin = same & (np.diff(numbers[by]) == 0)
    alone = ~(np.append(twin, False) | np.insert(twin, 0, False))[: len(by)]
    order, frames = rows[by][alone], numbers[by][alone].astype(np.int64)
    ends = np.ones(len(order), np.bool_)
    for key in keys[1:]:
        ends[:-1] &= np.diff(key[by][alone]) == 0
    ends[:-1] = ~(ends[:-1] & (np.diff(frames) <= step)) | _jumps(bank, order)
    ends[-1:] = True
    behind = np.flatnonzero(ends) + 1
    number = np.cumsum(np.insert(ends, 0, False)[:-1])
    return Runs(
        order=order,
        frames=frames,
        first=np.insert(behind, 0, 0)[number],
        end=behind[number],
    )


def windows(bank: FaceBank, frames: int, step: int) -> Rows:
    """Rows that are the middle of a clip.

    Raises:
        BadArgument: ``frames`` or ``step`` is below 1.
        BadBank: no video is long enough.
    """
    if frames < 1:
        raise BadArgument("frames", f"is {frames}", "give 1 frame or more a clip")
    found = runs(bank, step)
    middles = found.middles(frames)
    if not len(middles):
        raise BadBank(
            bank.root,
            f"its longest run of frames at most {step} apart has {found.longest}, and a clip of "
            f"{frames} is asked for",
            "ask for fewer frames or a larger step, or extract with --frames-per-video 0",
        )
    return middles


def matrices(bank: FaceBank, rows: Rows | list[int]) -> Matrices | None:
    """``crop_to_frame`` of rows; None where the bank does not tell all of them."""
    column = bank.table["crop_to_frame"].take(np.asarray(rows, np.int64))
    if column.null_count:
        return None
    flat = column.combine_chunks().flatten().to_numpy()
    return np.asarray(flat, np.float64).reshape(-1, 2, 3)


def _jumps(bank: FaceBank, order: Rows) -> np.ndarray:
    jumps = np.zeros(max(len(order) - 1, 0), np.bool_)
    middle = np.array([(bank.crop_size - 1) / 2, (bank.crop_size - 1) / 2, 1.0])
    for start in range(0, len(jumps), _BLOCK):
        part = order[start : start + _BLOCK + 1]
        moved = np.diff(bank.landmarks[part], axis=0)
        far = np.linalg.norm(moved, axis=2).mean(axis=1) > SHAPE * bank.crop_size
        known = matrices(bank, part)
        if known is not None:
            side = bank.crop_size * np.sqrt(np.abs(np.linalg.det(known[:, :, :2])))
            way = np.linalg.norm(np.diff(known @ middle, axis=0), axis=1)
            far |= way > CENTRE * side[1:]
            far |= np.abs(np.diff(np.log(side))) > np.log(SCALE)
        jumps[start : start + len(far)] = far
    return jumps
