"""Nearest landmarks among a million faces, exactly: bounds first, distances where they matter.

The distance of two faces is the sum over 68 landmarks of the Euclidean distances. For any group
of landmarks ``|sum(a) - sum(b)| <= sum |a - b|`` (triangle inequality), so the distances of eight
groups' sums, 16 numbers a face, bound the whole from below. Faces whose bound is over the best
distance so far need no look. The bound is a metric itself, which is what :class:`Index` is built
on: leaves of faces with a centre and a radius.
"""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int

from faceblend import atomic
from faceblend.face import Landmarks

Rows = Int[np.ndarray, " faces"]
Distances = Float32[np.ndarray, " faces"]
Found = tuple[Int[np.ndarray, " found"], Float32[np.ndarray, " found"]]
"""Rows, nearest first, and their distances."""
Sums = Float32[np.ndarray, "faces 16"]
"""The x of eight groups' sums, then their y."""
Columns = Float32[np.ndarray, "16 faces"]
"""The same, a face a column: arithmetic over many takes an eighth of the time."""

GROUPS = (
    range(0, 5), range(5, 9), range(9, 12), range(12, 17),  # the jaw
    (*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)),  # brows with eyes
    range(27, 36), range(48, 68),  # nose, mouth
)  # fmt: skip
"""Every landmark is in one of them."""

LEAF = 256
"""Faces a leaf at most."""

_BLOCK = 16_384  # faces a block: 18 MB of differences, whatever the bank's size
_FORMAT = 2
_ONES = np.ones(8, np.float32)
_FIRST = 4  # leaves that are looked at before there is a best distance
_MORE = 32  # leaves at a time after that


def distances(
    landmarks: Landmarks, candidates: Float32[np.ndarray, "faces 68 2"]
) -> Float32[np.ndarray, " faces"]:
    """Sum over the 68 points of the Euclidean distance to each candidate, px."""
    apart = candidates - landmarks
    apart *= apart
    return np.asarray(np.sqrt(apart[..., 0] + apart[..., 1]).sum(axis=1))


def sums(landmarks: Float32[np.ndarray, "faces 68 2"]) -> Sums:
    """The sums that bound distances, one row a face."""
    made = np.empty((len(landmarks), 2 * len(GROUPS)), np.float32)
    weights = np.zeros((68, len(GROUPS)))
    for number, group in enumerate(GROUPS):
        weights[list(group), number] = 1
    for start in range(0, len(landmarks), _BLOCK):
        # in float64, so that each sum is rounded once
        block = landmarks[start : start + _BLOCK].astype(np.float64)
        made[start : start + _BLOCK, :8] = block[..., 0] @ weights
        made[start : start + _BLOCK, 8:] = block[..., 1] @ weights
    return made


def bounds(one: Float32[np.ndarray, " 16"], others: Columns) -> Distances:
    """At most the distance of one face to each of the others, but for :func:`slack`."""
    if not others.shape[1]:
        return np.empty(0, np.float32)  # OpenCV gives None
    apart = others - one[:, np.newaxis]
    return np.asarray(_ONES @ cv2.magnitude(apart[:8], apart[8:]))


def slack(largest: float, distance: float) -> float:
    """What float32 may add to a bound over the distance that it bounds, px.

    Each of 16 sums and differences is off by at most two units in the last place of 20
    landmarks' coordinates; adding and rooting, by some units of the distance.
    """
    return 1e-4 * largest + 1e-5 * distance


def smallest(values: Distances, count: int) -> Int[np.ndarray, " places"]:
    """Places of the ``count`` smallest values, ascending; equal ones by their place."""
    if count == 1 and len(values):
        return np.array([np.argmin(values)])
    if count < len(values):
        # everything up to the count-th smallest value, so that ties are kept
        limit = np.partition(values, count - 1)[count - 1]
        near = np.flatnonzero(values <= limit)
    else:
        near = np.arange(len(values))
    return near[np.argsort(values[near], kind="stable")][:count]


def nearest_of(
    query: Landmarks,
    landmarks: Float32[np.ndarray, "bank 68 2"],
    candidates: Rows,
    bound: Distances,
    top: int,
) -> Found:
    """The nearest of some candidates, of which only those are measured that can be.

    Args:
        query: the face whose neighbours are looked for.
        landmarks: of every face.
        candidates: rows to choose among; repeated rows count once.
        bound: of each candidate, see :func:`bounds`.
        top: how many are wanted.

    Returns:
        Up to ``top`` distinct rows, nearest first, ties to the lower row, and their distances.
    """
    largest = float(np.abs(query).max())
    first = 4 * top
    if top == 1 and len(candidates):
        # one distance leaves few to measure, in a quarter of the time of a partition
        best = candidates[[int(np.argmin(bound))]]
        limit = float(_measured(query, landmarks, best)[0])
        candidates = candidates[bound <= limit + slack(largest, limit)]
        bound, first = bound[:0], len(candidates)
    while True:
        if first >= len(candidates):
            near = candidates
            break
        # the best of the most promising: nothing with a bound over it can be nearer
        promising = np.unique(candidates[np.argpartition(bound, first)[:first]])
        if len(promising) >= top:
            apart = _measured(query, landmarks, promising)
            limit = float(np.partition(apart, top - 1)[top - 1])
            near = candidates[bound <= limit + slack(largest, limit)]
            break
        first *= 4  # repeated rows
    near = np.unique(near)
    apart = _measured(query, landmarks, near)
    chosen = smallest(apart, top)
    return near[chosen], apart[chosen]


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Faces in leaves of neighbours, so that the nearest of all are found exactly.

    Takes 64 bytes a face beside the landmarks; a query looks at some leaves of many.
    """

    landmarks: np.ndarray
    """(faces, 68, 2) float32 of the whole bank; may be memory-mapped"""
    rows: Rows
    """the bank's rows in the order of the leaves"""
    sums: Columns
    """of those rows"""
    starts: Int[np.ndarray, " ends"]
    """where each leaf starts in ``rows``, and the end of the last"""
    centres: Float32[np.ndarray, "16 leaves"]
    radii: Float32[np.ndarray, " leaves"]
    largest: float
    """of all coordinates, without sign"""

    @classmethod
    def build(cls, landmarks: np.ndarray, rows: Rows) -> "Index":
        """Arrange the given rows of a bank.

        Args:
            landmarks: (faces, 68, 2) float32 of the whole bank.
            rows: the faces that may be found, at least one.
        """
        rows = np.asarray(rows, np.int64)
        if not len(rows):
            raise ValueError("an index needs a row")
        numbers = _gathered(landmarks, rows)
        parts = [np.arange(len(rows))]
        # halves of halves, along the direction in which each part is longest
        while max(map(len, parts)) > LEAF:
            parts = [half for part in parts for half in _halves(numbers, part)]
        order = np.concatenate(parts)
        starts = np.cumsum([0, *map(len, parts)])
        ordered = np.ascontiguousarray(numbers[order].T)
        means = [numbers[part].mean(axis=0, dtype=np.float64) for part in parts]
        centres = np.stack(means, axis=1).astype(np.float32)
        radii = np.array(
            [
                bounds(centre, ordered[:, start:stop]).max()
                for centre, start, stop in zip(centres.T, starts, starts[1:], strict=False)
            ],
            np.float32,
        )
        return cls(
            landmarks=landmarks,
            rows=rows[order],
            sums=ordered,
            starts=starts,
            centres=centres,
            radii=radii,
            largest=_largest(landmarks, rows),
        )

    def nearest(
        self, query: Landmarks, may: Callable[[Rows], Bool[np.ndarray, " faces"]], top: int = 1
    ) -> Found:
        """The nearest faces of all, as comparing every one would find them.

        Args:
            query: landmarks, px of the crops.
            may: which of some rows are eligible.
            top: how many are wanted.

        Returns:
            Up to ``top`` rows, nearest first, ties to the lower row, and their distances;
            fewer where fewer are eligible.
        """
        one = sums(query[np.newaxis])[0]
        largest = max(self.largest, float(np.abs(query).max()))
        least = bounds(one, self.centres) - self.radii
        order = np.argsort(least)
        found, apart = np.empty(0, np.int64), np.empty(0, np.float32)
        reach, done, count = np.inf, 0, _FIRST
        while done < len(order):
            leaves = order[done : done + count]
            leaves = leaves[least[leaves] <= reach]
            if not len(leaves):
                break  # those after it are further away
            done, count = done + count, _MORE
            rows, bound = self._members(one, leaves, reach)
            fits = may(rows)
            near, far = nearest_of(query, self.landmarks, rows[fits], bound[fits], top)
            found, apart = np.concatenate([found, near]), np.concatenate([apart, far])
            by_row = np.argsort(found)
            found, apart = found[by_row], apart[by_row]
            chosen = smallest(apart, top)
            if len(chosen) == top:
                limit = float(apart[chosen[-1]])
                reach = limit + slack(largest, limit)
        chosen = smallest(apart, top)
        return found[chosen], apart[chosen]

    def _members(
        self, one: Float32[np.ndarray, " 16"], leaves: np.ndarray, reach: float
    ) -> tuple[Rows, Distances]:
        parts = [slice(self.starts[leaf], self.starts[leaf + 1]) for leaf in leaves]
        bound = bounds(one, np.concatenate([self.sums[:, part] for part in parts], axis=1))
        rows = np.concatenate([self.rows[part] for part in parts])
        near = bound <= reach
        return rows[near], bound[near]

    # -- on disk ---------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write everything but the landmarks, whole or not at all."""
        with atomic.replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                format=_FORMAT,
                rows=self.rows,
                sums=self.sums,
                starts=self.starts,
                centres=self.centres,
                radii=self.radii,
                largest=self.largest,
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str], landmarks: np.ndarray) -> "Index | None":
        """Read what :meth:`save` wrote; None where there is nothing of use."""
        try:
            # opened here: numpy leaves a file open that is no archive
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as held:
                if int(held["format"]) != _FORMAT:
                    return None
                return cls(
                    landmarks=landmarks,
                    rows=held["rows"],
                    sums=held["sums"],
                    starts=held["starts"],
                    centres=held["centres"],
                    radii=held["radii"],
                    largest=float(held["largest"]),
                )
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # only a copy: it is made again


def _measured(query: Landmarks, landmarks: np.ndarray, rows: Rows) -> Distances:
    apart = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart[block] = distances(query, landmarks[rows[block]])
    return apart


def _halves(numbers: Sums, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points = numbers[part].astype(np.float64)
    points -= points.mean(axis=0)
    _, vectors = np.linalg.eigh(points.T @ points)
    middle = len(part) // 2
    order = np.argpartition(points @ vectors[:, -1], middle)
    return part[order[:middle]], part[order[middle:]]


def _gathered(landmarks: np.ndarray, rows: Rows) -> Sums:
    # blocks: the gathered copy of a million faces would be half a gigabyte
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([sums(landmarks[block]) for block in blocks])


def _largest(landmarks: np.ndarray, rows: Rows) -> float:
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return max(float(np.abs(landmarks[block]).max()) for block in blocks)
