"""Smooth ways to bend a mask; the field of each is a product of small matrices.

Every warp reads the mask through a displacement field: what stands at ``p`` in the bent mask
stood at ``p + d(p)``. Beyond the picture the mask is empty. It is interpolated and cut at one
half, so its edge stays smooth.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from numpy.random import Generator

from faceblend.face import Mask

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
    moves = rng.standard_normal((2, points, points)) * (sigma * size / 256)
    along = _spline(points, size)
    return _read(mask, (along @ moves @ along.T).astype(np.float32))


def _read(mask: Mask, moves: Moves) -> Mask:
    size = mask.shape[0]
    grid = np.arange(size, dtype=np.float32)
    x, y = moves[0] + grid, moves[1] + grid[:, np.newaxis]
    # interpolated between 0 and 1 and rounded: cut at one half
    bent = cv2.remap(mask.view(np.uint8), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(bent).view(np.bool_)


@lru_cache(maxsize=256)  # a recipe draws some sizes and few grids, again and again
def _spline(points: int, size: int) -> Float64[np.ndarray, "size points"]:
    """What each pixel has of each control point: cardinal cubic splines, mirrored at the ends."""
    held = _cubic(np.linspace(0, points - 1, size), points)
    # coefficients that pass through the points: the inverse of what the splines hold at them
    made = held @ np.linalg.inv(_cubic(np.arange(points, dtype=np.float64), points))
    made.flags.writeable = False  # every caller gets the same
    return made


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
