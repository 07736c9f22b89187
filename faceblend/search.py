"""Nearest landmarks among a million faces, exactly: bounds first, distances where they matter.

The distance of two faces is the sum over 68 landmarks of the Euclidean distances. For any group
of landmarks ``|sum(a) - sum(b)| <= sum |a - b|`` (triangle inequality), so the distances of eight
groups' sums, 16 numbers a face, bound the whole from below. Faces whose bound is over the best
distance so far need no look. The bound is a metric itself, which is what :class:`Index` is built
on: leaves of faces with a centre and a radius.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
Blocks = Float32[np.ndarray, "leaves numbers"]
"""The same for leaves of one size: of each leaf, one sum of all its faces after the other."""

GROUPS = (
    range(0, 5), range(5, 9), range(9, 12), range(12, 17),  # the jaw
    (*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)),  # brows with eyes
    range(27, 36), range(48, 68),  # nose, mouth
)  # fmt: skip
"""Every landmark is in one of them."""

LEAF = 24
"""Faces a leaf at most."""

_BLOCK = 16_384  # faces a block: 18 MB of differences, whatever the bank's size
_BATCH = 65_536  # faces whose sums are copied at a time: 4 MB
_FORMAT = 3
_ALIGNED = 64  # bytes; as numpy aligns an array in a file of its own
_ONES = np.ones(8, np.float32)
_ROUNDED = 4e-6  # relative; four times what adding eight lengths in float32 may be off by
_BUDS = 16  # leaves a twig
_FIRST = 4  # twigs that are looked at before there is a best distance
_SOME = 128  # leaves that are looked at after that, so that it is a good one
_MORE = 1024  # leaves at a time for the rest


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

    Leaves of one size, a few to a twig, each with a centre and a radius: a query looks at some
    leaves of some twigs. Takes 76 bytes a face beside the landmarks.
    """

    landmarks: np.ndarray
    """(faces, 68, 2) float32 of the whole bank; may be memory-mapped"""
    rows: Int[np.ndarray, "leaves width"]
    """the bank's rows, int32; some are in two leaves, so that all are of one size"""
    sums: Blocks
    """of those rows, so laid out that one copy takes a leaf"""
    centres: Float32[np.ndarray, "twigs lengths"]
    """of the leaves of each twig, laid out as ``sums``"""
    radii: Float32[np.ndarray, "twigs buds"]
    """of those leaves"""
    twig_centres: Float32[np.ndarray, "1 all"]
    """laid out as ``sums``"""
    twig_radii: Float32[np.ndarray, "1 twigs"]
    count: int
    """of different rows"""
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
        leaves = 1
        while leaves * LEAF < len(rows):
            leaves *= 2
        width = -(-len(rows) // leaves)
        order = np.arange(leaves * width) % len(rows)
        # halves of halves, along the direction in which each part is longest
        parts = 1
        while parts < leaves:
            _halve(numbers, order.reshape(parts, -1))
            parts *= 2
        twigs = max(leaves // _BUDS, 1)
        held = _laid_out(numbers, order.reshape(leaves, width))
        means = held.reshape(leaves, 16, width).mean(axis=2, dtype=np.float64)
        centres = means.astype(np.float32)
        thick = means.reshape(twigs, -1, 16).mean(axis=1).astype(np.float32)
        around = np.repeat(thick, leaves // twigs, axis=0)
        every = np.arange(leaves).reshape(twigs, -1)
        return cls(
            landmarks=landmarks,
            rows=rows[order].reshape(leaves, width).astype(np.int32),
            sums=held,
            centres=_laid_out(centres, every),
            radii=_radii(held, centres).reshape(twigs, -1),
            twig_centres=_laid_out(thick, np.arange(twigs)[np.newaxis]),
            twig_radii=_radii(held, around).reshape(twigs, -1).max(axis=1)[np.newaxis],
            count=len(rows),
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
        best = _Best(top=top, largest=max(self.largest, float(np.abs(query).max())))
        least = _least(one, self.twig_centres.copy(), self.twig_radii)[0]
        order = np.argsort(least)
        # whole twigs, until there is a distance to stay under
        done, count = 0, _FIRST
        while done < len(order) and best.reach == np.inf:
            twigs, done = order[done : done + count], done + count
            self._look(query, one, self._leaves_of(twigs).ravel(), may, best)
            count = min(2 * count, _MORE // _BUDS)
        # of the others their leaves, the nearest first
        twigs = order[done:]
        twigs = twigs[least[twigs] <= best.reach]
        if not len(twigs):
            return best.rows, best.apart
        far = _least(one, self.centres.take(twigs, axis=0), self.radii.take(twigs, axis=0))
        within = far <= best.reach
        leaves, away = self._leaves_of(twigs)[within], far[within]
        by_distance = np.argsort(away)
        leaves, away = leaves[by_distance], away[by_distance]
        done, count = 0, _SOME
        while done < len(leaves) and away[done] <= best.reach:
            some = slice(done, done + count)
            self._look(query, one, leaves[some][away[some] <= best.reach], may, best)
            done, count = done + count, _MORE
        return best.rows, best.apart

    def _leaves_of(self, twigs: np.ndarray) -> np.ndarray:
        buds = self.radii.shape[1]
        return np.asarray(twigs[:, np.newaxis] * buds + np.arange(buds))

    def _look(
        self,
        query: Landmarks,
        one: Float32[np.ndarray, " 16"],
        leaves: np.ndarray,
        may: Callable[[Rows], Bool[np.ndarray, " faces"]],
        best: "_Best",
    ) -> None:
        """Improve the best by the faces of some leaves."""
        bound = _block_bounds(one, self.sums.take(leaves, axis=0)).ravel()
        near = np.flatnonzero(bound <= best.reach)
        rows, bound = self.rows.take(leaves, axis=0).ravel()[near], bound[near]
        fits = may(rows)
        best.add(*nearest_of(query, self.landmarks, rows[fits], bound[fits], best.top))

    # -- on disk ---------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write everything but the landmarks, whole or not at all.

        Arrays as numpy writes them, one after the other, each where it can be mapped.
        """
        with atomic.replacing(path) as temporary, temporary.open("wb") as file:
            head = np.array([_FORMAT, self.count, self.largest])
            for array in (head, *(getattr(self, name) for name in _KEPT)):
                np.save(file, array, allow_pickle=False)
                file.write(bytes(-file.tell() % _ALIGNED))

    @classmethod
    def load(cls, path: str | os.PathLike[str], landmarks: np.ndarray) -> "Index | None":
        """Map what :meth:`save` wrote, shared by all processes; None where nothing is of use."""
        try:
            with Path(path).open("rb") as file:
                head = _mapped(file, np.float64)
                if head.shape != (3,) or head[0] != _FORMAT:
                    return None
                parts = {name: _mapped(file, kind) for name, kind in _KEPT.items()}
            rows = parts["rows"]
            if not _fit_together(**parts) or rows.min() < 0 or rows.max() >= len(landmarks):
                return None
            return cls(landmarks=landmarks, count=int(head[1]), largest=float(head[2]), **parts)
        except Exception:  # NumPy evaluates headers, so damaged ones raise nearly anything
            return None  # only a copy: it is made again


_KEPT = {
    "rows": np.int32,
    "sums": np.float32,
    "centres": np.float32,
    "radii": np.float32,
    "twig_centres": np.float32,
    "twig_radii": np.float32,
}


def _mapped(file: BinaryIO, kind: type) -> np.ndarray:
    np.lib.format.read_magic(file)
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype != kind or by_columns:
        raise ValueError(f"{dtype} is not what was kept")
    start = file.tell()
    # refused where the file ends before the array does
    array = np.asarray(np.memmap(file, dtype, "r", start, shape))
    file.seek(start + array.nbytes + -(start + array.nbytes) % _ALIGNED)
    return array


def _fit_together(
    rows: np.ndarray,
    sums: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
    twig_centres: np.ndarray,
    twig_radii: np.ndarray,
) -> bool:
    if rows.ndim != 2 or radii.ndim != 2 or not rows.size:
        return False
    (leaves, width), (twigs, buds) = rows.shape, radii.shape
    return (
        leaves == twigs * buds
        and sums.shape == (leaves, 16 * width)
        and centres.shape == (twigs, 16 * buds)
        and twig_centres.shape == (1, 16 * twigs)
        and twig_radii.shape == (1, twigs)
    )


class _Best:
    """The nearest so far."""

    def __init__(self, top: int, largest: float) -> None:
        self.top = top
        self.rows = np.empty(0, np.int64)
        self.apart = np.empty(0, np.float32)
        self.reach = np.inf
        """what a face may have as its bound at most, to be of use"""
        self._largest = largest

    def add(self, rows: Int[np.ndarray, " found"], apart: Float32[np.ndarray, " found"]) -> None:
        # ascending, so that ties go to the lower row; a face of two leaves comes twice
        rows, first = np.unique(np.concatenate([self.rows, rows]), return_index=True)
        apart = np.concatenate([self.apart, apart])[first]
        chosen = smallest(apart, self.top)
        self.rows, self.apart = rows[chosen], apart[chosen]
        if len(chosen) == self.top:
            limit = float(self.apart[-1])
            self.reach = limit + slack(self._largest, limit)


def _least(
    one: Float32[np.ndarray, " 16"],
    centres: Float32[np.ndarray, "nodes numbers"],
    radii: Float32[np.ndarray, "nodes width"],
) -> Float32[np.ndarray, "nodes width"]:
    """At most the bound of any face that a ball holds."""
    return np.asarray(_block_bounds(one, centres) * np.float32(1 - _ROUNDED) - radii)


def _block_bounds(
    ones: Float32[np.ndarray, "*some 16"], blocks: Blocks
) -> Float32[np.ndarray, "leaves width"]:
    """:func:`bounds` of one face, or of one a leaf, to the faces of each leaf.

    Overwrites the blocks: another copy would not fit in the processor's cache beside them.
    """
    width = blocks.shape[1] // 16
    blocks -= np.repeat(ones, width, axis=-1)
    long = cv2.magnitude(blocks[:, : 8 * width], blocks[:, 8 * width :])
    for groups in (4, 2, 1):
        long = cv2.add(long[:, : groups * width], long[:, groups * width :])
    return np.asarray(long)


def _halve(numbers: Sums, parts: Int[np.ndarray, "parts size"]) -> None:
    """Reorder each part in place: one half, then the other, along its longest direction."""
    size = parts.shape[1]
    for start in range(0, len(parts), max(_BATCH // size, 1)):
        some = parts[start : start + max(_BATCH // size, 1)]
        points = numbers[some]
        points -= points.mean(axis=1, keepdims=True)
        _, vectors = np.linalg.eigh((points.transpose(0, 2, 1) @ points).astype(np.float64))
        along = (points @ vectors[:, :, -1:].astype(np.float32))[..., 0]
        some[:] = np.take_along_axis(some, np.argpartition(along, size // 2, axis=1), axis=1)


def _laid_out(numbers: Sums, leaves: Int[np.ndarray, "leaves width"]) -> Blocks:
    made = np.empty((len(leaves), 16 * leaves.shape[1]), np.float32)
    step = max(_BATCH // leaves.shape[1], 1)
    for start in range(0, len(leaves), step):
        block = numbers[leaves[start : start + step]].transpose(0, 2, 1)
        made[start : start + step] = block.reshape(len(block), -1)
    return made


def _radii(
    held: Blocks, centres: Float32[np.ndarray, "leaves 16"]
) -> Float32[np.ndarray, " leaves"]:
    """The farthest face of each leaf from a centre, and what rounding may add."""
    step = max(16 * _BATCH // held.shape[1], 1)
    farthest = [
        _block_bounds(centres[start : start + step], held[start : start + step].copy()).max(axis=1)
        for start in range(0, len(held), step)
    ]
    return np.concatenate(farthest) * np.float32(1 + _ROUNDED)


def _measured(query: Landmarks, landmarks: np.ndarray, rows: Rows) -> Distances:
    apart = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart[block] = distances(query, landmarks[rows[block]])
    return apart


def _gathered(landmarks: np.ndarray, rows: Rows) -> Sums:
    # blocks: the gathered copy of a million faces would be half a gigabyte
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([sums(landmarks[block]) for block in blocks])


def _largest(landmarks: np.ndarray, rows: Rows) -> float:
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return max(float(np.abs(landmarks[block]).max()) for block in blocks)
