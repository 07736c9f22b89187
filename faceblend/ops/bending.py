"""Smooth ways to bend a mask; the field of each is a product of small matrices.

They read the mask through a displacement field: what stands at ``p`` in the bent mask
stood at ``p + d(p)``. Beyond the picture the mask is empty. It is interpolated and cut at one
half, so its edge stays smooth.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from numpy.random import Generator

from faceblend.face import Mask
from faceblend.ops.mask import bounding_box
from faceblend.ops.warp import about

Moves = Float32[np.ndarray, "2 rows columns"]
"""x and y of displacements, px."""


def elastic_grid(mask: Mask, *, points: int, sigma: float, rng: Generator) -> Mask:
    """Move the points of a grid over the picture; a cubic spline carries the rest along.

    Each of ``points`` x ``points`` control points, the corners included, moves by
    two independent normal numbers; in between, the moves are interpolated by cubic B-splines,
    mirrored at the border. The inconsistent images of Zhao et al., *Learning self-consistency
    for deepfake detection*, ICCV 2021, are bent so.

    Args:
        mask: (S, S) bool.
        points: along each side, 2 or more.
        sigma: standard deviation of a point's move, px of a 256 px picture; grows with the mask.
        rng: where the moves are from.
    """
    size = mask.shape[0]
    moves = grid_moves(size, points, sigma, rng)
    along = spline(points, size)
    return _read(mask, (along @ moves @ along.T).astype(np.float32))


def thin_plate(mask: Mask, *, points: int, sigma: float, rng: Generator) -> Mask:
    """Move the points of a grid over the picture; a thin plate of metal carries the rest along.

    The displacement that passes through the moved points and bends least: Bookstein, *Principal
    warps*, IEEE TPAMI 1989, equations 1 to 12. Unlike that of :func:`elastic_grid` it goes on
    straight where points move alike, so turns, scales and shears of the whole are among what is
    drawn. It is worked out at a quarter of the points' distance, at most 0.02 sigma off.

    Args:
        mask: (S, S) bool.
        points: along each side, 2 or more, the corners included.
        sigma: standard deviation of a point's move, px of a 256 px picture; grows with the mask.
        rng: where the moves are from.
    """
    size = mask.shape[0]
    coarse = plate_moves(size, points, sigma, rng)
    along = spline(coarse.shape[1], size, BEYOND)
    return _read(mask, (along @ coarse @ along.T).astype(np.float32))


def similarity(mask: Mask, *, turn: float, scale: float, right: float, down: float) -> Mask:
    """Turn, scale and shift the mask alone, about the centre of its box.

    Args:
        mask: (S, S) bool.
        turn: degrees, clockwise.
        scale: times; above 1 enlarges.
        right, down: shares of the mask's side S.
    """
    rows, columns = bounding_box(mask)
    size = mask.shape[0]
    centre = np.array([columns.start + columns.stop - 1, rows.start + rows.stop - 1]) / 2
    moved = about(0.0, scale, turn, (right * size, down * size))
    moved[:, 2] += centre - moved[:, :2] @ centre
    # interpolated between 0 and 1 and rounded: cut at one half
    made = cv2.warpAffine(mask.view(np.uint8), moved, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(made).view(np.bool_)


def grid_moves(
    size: int, points: int, sigma: float, rng: Generator
) -> Float64[np.ndarray, "2 points points"]:
    """How the control points of :func:`elastic_grid` move, px."""
    return np.asarray(rng.standard_normal((2, points, points)) * (sigma * size / 256))


def plate_moves(
    size: int, points: int, sigma: float, rng: Generator
) -> Float64[np.ndarray, "2 nodes nodes"]:
    """The field of :func:`thin_plate` on its fine grid, px; see :data:`BEYOND`."""
    moves = grid_moves(size, points, sigma, rng)
    return np.asarray((moves.reshape(2, -1) @ _plate(points).T).reshape(2, _nodes(points), -1))


def _read(mask: Mask, moves: Moves) -> Mask:
    size = mask.shape[0]
    grid = np.arange(size, dtype=np.float32)
    x, y = moves[0] + grid, moves[1] + grid[:, np.newaxis]
    # interpolated between 0 and 1 and rounded: cut at one half
    bent = cv2.remap(mask.view(np.uint8), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(bent).view(np.bool_)


@lru_cache(maxsize=256)  # a recipe draws some sizes and few grids, again and again
def spline(points: int, size: int, beyond: int = 0) -> Float64[np.ndarray, "size points"]:
    """What each pixel has of each control point: cardinal cubic splines, mirrored at the ends.

    The first ``beyond`` points and the last lie outside the picture.
    """
    held = _cubic(np.linspace(beyond, points - 1 - beyond, size), points)
    # coefficients that pass through the points: the inverse of what the splines hold at them
    made = held @ np.linalg.inv(_cubic(np.arange(points, dtype=np.float64), points))
    made.flags.writeable = False  # every caller gets the same
    return made


_FINE = 4  # nodes from one control point of a thin plate to the next
BEYOND = 3
"""nodes on each side outside the picture: there the mirrored splines end level"""


def _nodes(points: int) -> int:
    return _FINE * (points - 1) + 1 + 2 * BEYOND


@lru_cache(maxsize=16)
def _plate(points: int) -> Float64[np.ndarray, "nodes knots"]:
    """What each node of a fine grid has of each control point; the same at every size."""
    control = _square(np.arange(points, dtype=np.float64))
    fine = _square((np.arange(_nodes(points)) - BEYOND) / _FINE)
    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _bent(control, control)
    system[count:, :count] = system[:count, count:].T
    # the moves are linear in what is drawn: solved for each point's alone
    made = _bent(fine, control) @ np.linalg.inv(system)[:, :count]
    made.flags.writeable = False  # every caller gets the same
    return np.asarray(made)


def _square(along: Float64[np.ndarray, " places"]) -> Float64[np.ndarray, "all 2"]:
    y, x = np.meshgrid(along, along, indexing="ij")
    return np.column_stack([x.ravel(), y.ravel()])


def _bent(
    places: Float64[np.ndarray, "places 2"], control: Float64[np.ndarray, "knots 2"]
) -> Float64[np.ndarray, "places terms"]:
    # r^2 log r to every control point, then what is flat: 1, x, y
    squared = ((places[:, np.newaxis] - control) ** 2).sum(axis=2)
    kernel = squared * np.log(np.maximum(squared, 1e-300)) / 2
    return np.column_stack([kernel, np.ones(len(places)), places])


def _cubic(
    places: Float64[np.ndarray, " places"], points: int
) -> Float64[np.ndarray, "places points"]:
    knots = np.arange(-1, points + 1)  # one beyond each end counts
    away = np.abs(places[:, np.newaxis] - knots)
    weights = np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6)
    held = np.zeros((len(places), points))
    period = max(2 * points - 2, 1)
    for knot, column in zip(knots, weights.T, strict=True):
        mirrored = knot % period
        held[:, min(mirrored, period - mirrored)] += column
    return held
