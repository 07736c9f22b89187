"""Where the foreground goes, and how a mask is bent: every displacement of the blend."""

import math
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.random import Generator

from faceblend.face import Image, Landmarks, Mask
from faceblend.ops.geometry import low_pass, reach

Matrix = Float64[np.ndarray, "2 3"]
"""Takes ``(x, y, 1)`` of the one picture to ``(x, y)`` of the other."""

Points = Float32[np.ndarray, "points 2"]
"""``(x, y)`` in pixels."""

Field = Float32[np.ndarray, "2 height width"]
"""The x and the y that each output pixel is read from."""

_SMOOTH = 3  # points of a grid to sigma, that hold a field that a Gaussian smoothed
_ALONE = 250_000  # multiplications; OpenBLAS takes more than 2**18 to several threads


def similarity(source: Points, target: Points) -> Matrix:
    """Turn, scale and shift that bring ``source`` closest to ``target``.

    Least squares without reflection, in closed form (Umeyama, *Least-squares estimation of
    transformation parameters between two point patterns*, TPAMI 1991), with points as
    complex numbers: the best ``a`` in ``z' = a z + b`` is a quotient of two inner products.

    Returns:
        (2, 3) float64: ``(x, y, 1)`` of the source picture to ``(x, y)`` of the target's.

    Raises:
        ValueError: all source points coincide.
    """
    start = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    end = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    around = start - start.mean()
    spread = np.vdot(around, around).real
    if spread <= 0:
        raise ValueError("all source points coincide, so no scale fits them")
    turn = np.vdot(around, end - end.mean()) / spread
    shift = end.mean() - turn * start.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64
    )


def affine(source: Landmarks, target: Landmarks) -> Matrix:
    """The affine map that brings ``source`` closest to ``target``, by least squares.

    Raises:
        ValueError: the source points lie on one line.
    """
    design = np.column_stack([source.astype(np.float64), np.ones(len(source))])
    solution, _, rank, _ = np.linalg.lstsq(design, target.astype(np.float64), rcond=None)
    if rank < 3:
        raise ValueError("the source points lie on one line, so no affine map fits them")
    return np.ascontiguousarray(solution.T)


def scaling(old: int, new: int) -> Matrix:
    """The map of a resize from ``old`` to ``new`` px, pixel centres at integers."""
    factor = new / old
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift]], np.float64)


def then(first: Matrix, second: Matrix) -> Matrix:
    """One map that does ``first`` and then ``second``."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))


def about(centre: float, scale: float, turn: float, shift: tuple[float, float]) -> Matrix:
    """Scale and turn about the point ``(centre, centre)``, then shift.

    Args:
        centre: px.
        scale: times.
        turn: degrees, clockwise.
        shift: right and down, px.
    """
    angle = math.radians(turn)
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    around = np.array([[a, -b, 0], [b, a, 0]], np.float64)
    around[:, 2] = np.add(shift, centre) - around[:, :2] @ (centre, centre)
    return around


def carried(points: Points, matrix: Matrix) -> Points:
    """Where a map takes points."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved, np.float32)


def carried_mask(mask: Mask, matrix: Matrix) -> Mask:
    """Where a map takes a mask: interpolated, cut at one half, empty beyond its border."""
    moved = cv2.warpAffine(mask.astype(np.float32), matrix, mask.shape[::-1])
    return np.asarray(moved > np.float32(0.5))


def place(
    image: Image, matrix: Matrix, box: tuple[slice, slice]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resample a picture once, under ``matrix``, into a box of the target picture.

    Bilinear, low-passed first by as much as the matrix shrinks; beyond its border the
    picture is mirrored.

    Args:
        image: (H, W, 3) uint8 RGB.
        matrix: from pixels of ``image`` to pixels of the target.
        box: rows and columns of the target that are wanted.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    rows, columns = box
    (a, b, _), (c, d, _) = matrix.tolist()
    shrink = 1 / math.sqrt(abs(a * d - b * c))
    # only the part that the box shows is low-passed
    top, left, part = _shown(image, matrix, box, reach(shrink) + 2)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top) - (columns.start, rows.start)
    # OpenCV moves four bytes a pixel in two thirds of the time of three
    placed = cv2.warpAffine(
        cv2.cvtColor(low_pass(part, shrink), cv2.COLOR_RGB2RGBA),
        moved,
        (columns.stop - columns.start, rows.stop - rows.start),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(cv2.cvtColor(placed, cv2.COLOR_RGBA2RGB))


def piecewise(
    offsets: Float32[np.ndarray, "points_down points_across 2"],
    size: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Field:
    """Displacement field of a piecewise-affine map of a square picture.

    Control points stand on a regular grid over the picture, the corners included. Every
    cell is cut along its falling diagonal, and the field is linear in each triangle.

    Args:
        offsets: (points down, points across, 2) float32 ``(dx, dy)`` of every control point, as
            a share of the picture's side; at least two each way.
        size: the picture's side, px.
        rows, columns: the part of the picture that is wanted.

    Returns:
        (2, rows, columns) float32: the x and the y that each output pixel is read from.
    """
    points = control_points(offsets, size)
    cells_down, cells_across = points.shape[1] - 1, points.shape[2] - 1
    u, across = (one[columns] for one in _axis(cells_across, size))
    v, down = (one[rows] for one in _axis(cells_down, size))
    # in a cell with corners P, both triangles are P00 + u (P01 - P00) + v (P10 - P00)
    # + min(u, v) (P00 + P11 - P01 - P10): small matrix products, no gathering
    corners = points[:, :-1, :-1]
    plane = np.zeros((2, 2 * cells_down, 2 * cells_across), np.float32)
    plane[:, :cells_down, :cells_across] = corners
    plane[:, :cells_down, cells_across:] = points[:, :-1, 1:] - corners
    plane[:, cells_down:, :cells_across] = points[:, 1:, :-1] - corners
    twist = points[:, 1:, 1:] - points[:, :-1, 1:] - plane[:, cells_down:, :cells_across]
    fold = np.minimum.outer(v, u)
    field = np.empty((2, len(v), len(u)), np.float32)
    # x and y one below the other, in one product
    made = field.reshape(-1, len(u))
    falling = np.concatenate([cv2.gemm(down[:, :cells_down], one, 1, None, 0) for one in twist])
    rising = np.concatenate([cv2.gemm(down, one, 1, None, 0) for one in plane])
    # in strips: a product of more makes BLAS wake threads, which then wait by spinning
    step = max(_ALONE // (2 * cells_across * len(u)), 1)
    strips = [slice(start, start + step) for start in range(0, len(made), step)]
    for strip in strips:
        # OpenCV's product writes in place
        cv2.gemm(falling[strip], across[:, :cells_across], 1, None, 0, made[strip], cv2.GEMM_2_T)
    field *= fold
    for strip in strips:
        cv2.gemm(rising[strip], across, 1, made[strip], 1, made[strip], cv2.GEMM_2_T)
    return field


def bend(mask: Mask, offsets: Float32[np.ndarray, "points_down points_across 2"]) -> Mask:
    """Read a square mask through a piecewise-affine map; beyond the picture it is empty.

    The mask is interpolated and cut at one half, so its edge stays smooth.

    Args:
        mask: (S, S) bool.
        offsets: of the control points, see :func:`piecewise`.
    """
    size = mask.shape[0]
    region, bent = mask.view(np.uint8), np.zeros(mask.shape, np.uint8)
    left, top, width, height = cv2.boundingRect(region)
    # only where the map reads from the mask's box: half of the picture
    x, y = control_points(offsets, size)
    rows = _reading(y.tolist(), top, top + height, size)
    columns = _reading(x.T.tolist(), left, left + width, size)
    if width and rows.stop and columns.stop:
        field = piecewise(offsets, size, rows, columns)
        # interpolated between 0 and 1 and rounded: cut at one half
        bent[rows, columns] = cv2.remap(
            region, field[0], field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
    return bent.view(np.bool_)


def elastic(mask: Mask, *, alpha: float, sigma: float, rng: Generator) -> Mask:
    """Read a mask through a smooth random field; beyond the picture it is empty.

    Simard et al., *Best practices for convolutional neural networks applied to visual document
    analysis*, ICDAR 2003: noise in [-1, 1], a Gaussian of ``sigma`` px over it, times
    ``alpha``. Both are told in pixels of a 256 px picture, and grow with the mask. A field so
    smooth is drawn on a grid of a third of sigma, and is as large and as smooth there.

    Args:
        mask: (S, S) bool.
        alpha: what the smoothed noise is multiplied by.
        sigma: the Gaussian's, px.
        rng: where the noise is from.
    """
    size = mask.shape[0]
    grid = np.arange(size, dtype=np.float32)
    x, y = _elastic(size, alpha, sigma, rng)
    x += grid
    y += grid[:, np.newaxis]
    bent = cv2.remap(mask.view(np.uint8), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(bent).view(np.bool_)


def _elastic(size: int, alpha: float, sigma: float, rng: Generator) -> Field:
    return np.stack(
        [
            cv2.resize(moves, (size, size), interpolation=cv2.INTER_CUBIC)
            for moves in elastic_moves(size, alpha, sigma, rng)
        ]
    )


def elastic_moves(
    size: int, alpha: float, sigma: float, rng: Generator
) -> Float32[np.ndarray, "2 points points"]:
    """The field of :func:`elastic` on its grid, px; a cubic resize brings it to the picture."""
    grown = size / 256
    wide = sigma * grown
    points = min(size, math.ceil(_SMOOTH * size / wide))
    held = wide * points / size  # of the Gaussian, in points
    # averaging over fewer points leaves more of the noise, over more less: as much as in pixels
    # of a 256 px picture, which then grow
    times = np.float32(alpha * grown * held / sigma)
    moves = np.empty((2, points, points), np.float32)
    for axis in range(2):
        noise = rng.uniform(-1, 1, (points, points)).astype(np.float32) * times
        cv2.GaussianBlur(noise, (0, 0), held, moves[axis], borderType=cv2.BORDER_REFLECT_101)
    return moves


def control_points(
    offsets: Float32[np.ndarray, "points_down points_across 2"], size: int
) -> Float32[np.ndarray, "2 points_down points_across"]:
    """The x and the y that each control point of :func:`piecewise` is read from, px."""
    grid = _grid(offsets.shape[0] - 1, offsets.shape[1] - 1)
    return np.asarray(grid * np.float32(size - 1) + offsets.transpose(2, 0, 1) * np.float32(size))


def _reading(along: list[list[float]], low: float, high: float, size: int) -> slice:
    # the rows (or columns) with a pixel that is read from between low and high, or some more:
    # between two rows of control points nothing lies beyond both rows' least and most
    step = (size - 1) / (len(along) - 1)
    ends = [(min(one), max(one)) for one in along]
    near = list[float]()
    for number, ((least, most), (next_least, next_most)) in enumerate(pairwise(ends)):
        under = _below(least, next_least, high + 1)
        over = _below(-most, -next_most, 2 - low)
        first, last = max(under[0], over[0]), min(under[1], over[1])
        if first <= last:
            near += [(number + first) * step, (number + last) * step]
    return slice(max(math.floor(near[0]), 0), math.ceil(near[-1]) + 1) if near else slice(0, 0)


def _below(start: float, end: float, limit: float) -> tuple[float, float]:
    # from where to where on its way, 0 to 1, a straight line is below a limit
    if start >= limit and end >= limit:
        return 1.0, 0.0
    crossing = (limit - start) / (end - start) if (start < limit) != (end < limit) else 1.0
    return (0.0, crossing) if start < limit else (crossing, 1.0)


def _shown(
    image: Image, matrix: Matrix, box: tuple[slice, slice], margin: int
) -> tuple[int, int, UInt8[np.ndarray, "part_rows part_columns 3"]]:
    # the part of a picture that a box of the target is read from, mirrored borders included
    rows, columns = box
    (a, b, e), (c, d, f) = matrix.tolist()
    area = a * d - b * c
    ends = [(x - e, y - f) for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)]
    left, right = _span([(d * x - b * y) / area for x, y in ends], margin, image.shape[1])
    top, bottom = _span([(a * y - c * x) / area for x, y in ends], margin, image.shape[0])
    return top, left, image[top:bottom, left:right]


def _span(read: list[float], margin: int, side: int) -> tuple[int, int]:
    start, stop = math.floor(min(read)) - margin, math.ceil(max(read)) + margin
    # beyond a border is read what lies as far inside of it
    first, last = min(start, 2 * side - stop), max(stop, -start)
    return min(max(first, 0), side - 1), max(min(last, side), 1)


@lru_cache(maxsize=64)
def _grid(rows: int, columns: int) -> Float32[np.ndarray, "2 points_down points_across"]:
    # x and y of the control points, as shares of the way to the last pixel
    grid = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    made = np.stack(grid).astype(np.float32)
    made.flags.writeable = False  # every caller gets the same
    return made


@lru_cache(maxsize=1024)  # a recipe draws some sizes and few grids, again and again
def _axis(cells: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    # per pixel: the way along its cell; the cell that it is in, and the way times that
    along = np.linspace(0, cells, size)
    cell = np.minimum(along.astype(np.intp), cells - 1)
    way = (along - cell).astype(np.float32)
    pixel = np.arange(size)
    held = np.zeros((size, 2 * cells), np.float32)
    held[pixel, cell] = 1
    held[pixel, cells + cell] = way
    for one in (way, held):
        one.flags.writeable = False  # every caller gets the same
    return way, held
