"""Move the foreground's whole distribution of colours onto the background's.

Where :mod:`faceblend.ops.color` matches a mean and a spread, these match covariances or every
quantile. All take the foreground, the background and the mask in which colours are compared,
see :func:`faceblend.ops.color.none`. Both distributions have as many pixels, those of the mask;
a pixel outside it moves as the colours nearest to its own do. Pixels of one colour stay of one
colour, so a foreground without contrast is shifted only.
"""

import cv2
import numpy as np
from jaxtyping import Float64, Int64
from numpy.random import Generator

from faceblend.face import Image, Mask

Colours = Float64[np.ndarray, "colours 3"]
"""Positions in RGB, levels."""

_FLAT = 1e-6  # variance in levels squared; a direction that varies less has no contrast


def mkl(foreground: Image, background: Image, mask: Mask) -> Image:
    """Give the colours the background's mean and covariance by the linear map that moves least.

    ``x' = T (x - m_F) + m_B`` with
    ``T = A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2)``, A and B the covariances of foreground
    and background in RGB: the Monge-Kantorovitch solution between Gaussians (Pitie and Kokaram,
    *The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer*,
    CVMP 2007). Directions in which the foreground has no contrast are shifted only.

    Args:
        foreground: (H, W, 3) uint8 RGB.
        background: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, where colours are compared; not empty.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    own_mean, own = _gaussian(foreground[mask])
    other_mean, other = _gaussian(background[mask])
    variances, axes = np.linalg.eigh(own)
    axes, spread = axes[:, variances > _FLAT], np.sqrt(variances[variances > _FLAT])
    # seen along the foreground's own axes: A is diagonal there, and flat directions are gone
    half = _root(axes.T @ other @ axes) * spread
    # the root of half^T half, without squaring what is small already
    _, singular, turned = np.linalg.svd(half)
    middle = (turned.T * singular) @ turned
    stretched = middle / np.outer(spread, spread)
    gain = np.eye(3) + axes @ (stretched - np.eye(len(spread))) @ axes.T
    # in floats: of bytes OpenCV rounds the map itself, which errs by another .3 levels
    levels = foreground.astype(np.float32)
    return _painted(cv2.transform(levels, np.column_stack([gain, other_mean - gain @ own_mean])))


def histogram(foreground: Image, background: Image, mask: Mask) -> Image:
    """Give each RGB channel the background's histogram.

    A level goes to where the middle of its share of the pixels stands among the background's,
    interpolated (Gonzalez and Woods, *Digital Image Processing*, section 3.3, with the middles
    of the steps, which shift a flat channel to the median and not to an end). Levels that the
    mask does not show move as their neighbours do. See :func:`mkl`.
    """
    levels = np.arange(256)
    table = np.empty((256, 1, 3), np.uint8)
    for channel in range(3):
        own, own_middles = _steps(foreground[..., channel][mask])
        other, other_middles = _steps(background[..., channel][mask])
        shift = np.interp(own_middles, other_middles, other) - own
        moved = levels + np.interp(levels, own, shift)
        table[:, 0, channel] = np.clip(np.rint(moved), 0, 255)
    return np.asarray(cv2.LUT(foreground, table))


def idt(
    foreground: Image, background: Image, mask: Mask, *, iterations: int, rng: Generator
) -> Image:
    """Match the distribution along three axes at a time, turned at random each time.

    Iterative distribution transfer (Pitie, Kokaram and Dahyot, *Automated colour grading using
    colour distribution transfer*, CVIU 2007, without its regraining): each iteration draws a
    rotation and matches the three marginals exactly, by their quantiles. See :func:`mkl`.

    Args:
        iterations: how many rotations.
        rng: where they are from.
    """
    colours, places, counts = _palette(foreground, mask)
    goal, moved = background[mask].astype(np.float64), colours
    for _ in range(iterations):
        axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        moved = moved + _shifts(moved, counts, goal, axes) @ axes
    return np.asarray(_painted(moved)[places])


def sot(
    foreground: Image,
    background: Image,
    mask: Mask,
    *,
    steps: int,
    batch: int,
    smooth: float,
    rng: Generator,
) -> Image:
    """Move colours down the gradient of the sliced Wasserstein distance.

    Sliced optimal transport (Rabin et al., *Wasserstein barycenter and its application to
    texture mixing*, SSVM 2011; Bonneel et al., *Sliced and Radon Wasserstein barycenters of
    measures*, JMIV 2015): each step projects both sides on random directions, sorts, and moves
    every colour by the mean of what the directions ask for. Pixels of one colour get the mean of
    their targets. The displacement is then smoothed over the picture by a Gaussian, which keeps
    grain from being stretched with the colours. See :func:`mkl`.

    Args:
        steps: how often.
        batch: directions a step.
        smooth: sigma of the displacement's smoothing, px; 0 for none.
        rng: where the directions are from.
    """
    colours, places, counts = _palette(foreground, mask)
    goal, moved = background[mask].astype(np.float64), colours
    for _ in range(steps):
        axes = rng.standard_normal((batch, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        moved = moved + _shifts(moved, counts, goal, axes) @ axes / batch
    if smooth == 0:
        return np.asarray(_painted(moved)[places])
    shift = (moved - colours).astype(np.float32)[places]
    return _painted(foreground + cv2.GaussianBlur(shift, (0, 0), smooth))


def _shifts(
    colours: Colours,
    counts: Int64[np.ndarray, " colours"],
    goal: Float64[np.ndarray, "pixels 3"],
    axes: Float64[np.ndarray, "axes 3"],
) -> Float64[np.ndarray, "colours axes"]:
    """How far each colour goes along each axis to match the goal's quantiles."""
    shifts = np.empty((len(colours), len(axes)))
    for axis, shift in zip(axes, shifts.T, strict=True):
        here = _along(colours, axis)
        # stable: equal ones come in one order on every processor
        order = np.argsort(here, kind="stable")
        here, weight = here[order], counts[order]
        seen = weight > 0
        ends, sums = np.cumsum(weight[seen]), np.cumsum(np.sort(_along(goal, axis)))
        means = np.diff(sums[ends - 1], prepend=0) / weight[seen]
        moves = means - here[seen]
        shift[order] = moves if seen.all() else np.interp(here, here[seen], moves)
    return shifts


def _along(
    points: Float64[np.ndarray, "points 3"], axis: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, " points"]:
    # in this order whatever the number of threads and processors
    return np.asarray(points[:, 0] * axis[0] + points[:, 1] * axis[1] + points[:, 2] * axis[2])


def _palette(
    image: Image, mask: Mask
) -> tuple[Colours, Int64[np.ndarray, "height width"], Int64[np.ndarray, " colours"]]:
    """The picture's distinct colours, which each pixel has, and how many pixels of the mask."""
    codes = image.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    seen, places = np.unique(codes, return_inverse=True)
    places = places.reshape(mask.shape)
    counts = np.bincount(places[mask], minlength=len(seen))
    return np.stack([seen >> 16, seen >> 8 & 255, seen & 255], 1).astype(float), places, counts


def _painted(levels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _gaussian(
    pixels: np.ndarray,
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, "3 3"]]:
    mean = pixels.mean(axis=0, dtype=np.float64)
    apart = np.ascontiguousarray((pixels - mean).T)
    # not BLAS, which adds in another order with other threads
    return mean, np.einsum("in,jn->ij", apart, apart) / len(pixels)


def _root(matrix: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _steps(values: np.ndarray) -> tuple[Int64[np.ndarray, " seen"], Float64[np.ndarray, " seen"]]:
    """The levels that occur, and how many pixels lie below the middle of each."""
    counts = np.bincount(values, minlength=256)
    seen = np.flatnonzero(counts)
    return seen, np.cumsum(counts)[seen] - counts[seen] / 2
