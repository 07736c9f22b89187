"""Move a picture, its alpha and its landmarks together, so that none is left behind.

Pixel centres are at integers: a picture of width W spans -0.5 to W - 0.5, its mirror
image of ``x`` is ``W - 1 - x``, and resizing maps ``x`` to ``(x + 0.5) * new / old - 0.5``.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from faceblend.face import Alpha, Forehead, Image, Landmarks, Mask

# iBUG 300-W: where each point stands in the mirror image
MIRRORED = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # ridge of the nose
        *range(35, 30, -1),  # nostrils
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *range(54, 47, -1),  # mouth, outer upper
        *range(59, 54, -1),  # mouth, outer lower
        *range(64, 59, -1),  # mouth, inner upper
        *range(67, 64, -1),  # mouth, inner lower
    ]
)
"""(68,) landmark ``MIRRORED[k]`` of a face becomes landmark ``k`` of its mirror image."""


_IN_PARTS = 2.0  # px; of a wider Gaussian, what rounding leaves to the middle would stand out


@dataclass(frozen=True, kw_only=True, eq=False)
class Layers:
    """What one geometry moves: a picture, the alpha that blended it, the face's points."""

    image: Image
    """(H, W, 3) uint8 RGB."""
    alpha: Alpha | None
    """(H, W) float32 in [0, 1]; None where nothing was blended in."""
    landmarks: Landmarks
    """(68, 2) float32 ``(x, y)`` in pixels of ``image``."""
    forehead: Forehead | None = None
    """(13, 2) float32, as ``landmarks``, in no lasting order; None where nobody knows it."""
    segment: Mask | None = None
    """(H, W) bool, the user's own segmentation of the face; None where nothing asks for it."""


def crop(layers: Layers, *, top: int, left: int, height: int, width: int) -> Layers:
    """Cut the window whose first row is ``top`` and first column is ``left``.

    Raises:
        ValueError: the window leaves the picture.
    """
    rows, columns = layers.image.shape[:2]
    if not (top >= 0 and top + height <= rows and left >= 0 and left + width <= columns):
        raise ValueError(
            f"window rows {top}:{top + height}, columns {left}:{left + width} leaves a picture "
            f"of {rows} rows and {columns} columns"
        )
    window = np.s_[top : top + height, left : left + width]
    corner = np.array([left, top], np.float32)
    return Layers(
        image=layers.image[window],
        alpha=None if layers.alpha is None else layers.alpha[window],
        landmarks=layers.landmarks - corner,
        forehead=None if layers.forehead is None else layers.forehead - corner,
        segment=None if layers.segment is None else np.ascontiguousarray(layers.segment[window]),
    )


def flip(layers: Layers, *, horizontal: bool, vertical: bool) -> Layers:
    """Mirror left and right, top and bottom, or both.

    Each mirroring swaps the left and right landmarks, so point 36 stays the outer corner
    of the eye that stands left when the face is upright.
    """
    if not (horizontal or vertical):
        return layers
    code = -1 if horizontal and vertical else int(horizontal)
    height, width = layers.image.shape[:2]
    points = layers.landmarks.copy()
    segment, forehead = layers.segment, layers.forehead
    if forehead is not None:
        forehead = forehead.copy()
    for some in (points,) if forehead is None else (points, forehead):
        if horizontal:
            some[:, 0] = width - 1 - some[:, 0]
        if vertical:
            some[:, 1] = height - 1 - some[:, 1]
    return Layers(
        image=np.asarray(cv2.flip(layers.image, code)),
        alpha=None if layers.alpha is None else np.asarray(cv2.flip(layers.alpha, code)),
        landmarks=points[MIRRORED] if horizontal != vertical else points,
        forehead=forehead,
        segment=None if segment is None else cv2.flip(segment.view(np.uint8), code).view(np.bool_),
    )


def resize(layers: Layers, size: int) -> Layers:
    """Bring a square picture to ``size`` x ``size`` px, low-passed first where it shrinks.

    Alpha is interpolated exactly as the picture is, so it stays the weight with which the
    foreground counts in each new pixel.
    """
    old = layers.image.shape[0]
    if old == size:
        return layers
    return Layers(
        image=resize_plane(layers.image, size),
        alpha=None if layers.alpha is None else resize_plane(layers.alpha, size),
        landmarks=resize_points(layers.landmarks, old, size),
        forehead=None if layers.forehead is None else resize_points(layers.forehead, old, size),
        segment=None if layers.segment is None else resize_mask(layers.segment, size),
    )


def resize_points(
    points: Float32[np.ndarray, "count 2"], old: int, new: int
) -> Float32[np.ndarray, "count 2"]:
    """Where points of an ``old`` px wide picture stand once it is ``new`` px wide."""
    return (points + np.float32(0.5)) * np.float32(new / old) - np.float32(0.5)


def resize_mask(mask: Bool[np.ndarray, "old old"], size: int) -> Bool[np.ndarray, "new new"]:
    """Resize a square mask: what it covers more than half of each new pixel."""
    # as float, as bytes would round a half
    share = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(share > np.float32(0.5))


def resize_plane(
    plane: UInt8[np.ndarray, "old old 3"] | Float32[np.ndarray, "old old"], size: int
) -> UInt8[np.ndarray, "new new 3"] | Float32[np.ndarray, "new new"]:
    """Resize one square array bilinearly, with a Gaussian before it where it shrinks.

    Floats are taken for weights in [0, 1] and stay there.
    """
    old = plane.shape[0]
    if size < old:
        plane = low_pass(plane, old / size)
    if plane.dtype == np.float32:
        resized = cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR)
        # weights sum to 1 but for rounding; numpy takes ten times as long for a minimum
        return np.asarray(cv2.threshold(resized, 1, 0, cv2.THRESH_TRUNC, resized)[1])
    return bilinear(plane, size)


def bilinear(image: UInt8[np.ndarray, "old old 3"], size: int) -> UInt8[np.ndarray, "new new 3"]:
    """Resize a square picture bilinearly, each value rounded to nearest; no low-pass."""
    # OpenCV is a third faster on 16 bits than on bytes, and rounds better: off by 0.5 levels
    # at most, where bytes are off by 0.8
    wide = cv2.resize(image.astype(np.uint16), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide).astype(np.uint8)


def low_pass(
    plane: UInt8[np.ndarray, "..."] | Float32[np.ndarray, "..."], factor: float
) -> UInt8[np.ndarray, "..."] | Float32[np.ndarray, "..."]:
    """Remove what a picture shrunk ``factor`` times cannot show: sigma (factor - 1) / 2 px.

    The width is the one that scikit-image's ``resize`` takes by default. Up to 5 times, weights
    are multiples of 1/256 that sum to 1: bytes are then filtered in integers, in half the time.
    """
    weights = taps((factor - 1) / 2)
    if len(weights) == 1:
        return plane
    return np.asarray(
        cv2.sepFilter2D(plane, -1, weights, weights, borderType=cv2.BORDER_REFLECT_101)
    )


def reach(factor: float) -> int:
    """How many pixels to each side :func:`low_pass` looks."""
    return len(taps((factor - 1) / 2)) // 2


@lru_cache(maxsize=1024)
def taps(sigma: float) -> Float32[np.ndarray, " taps"]:
    """Weights of :func:`low_pass` for a Gaussian of ``sigma`` px, an odd number of them."""
    if sigma <= 0:
        return np.ones(1, np.float32)
    side = int(np.ceil(3 * sigma))
    weights = np.exp(-(np.arange(-side, side + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    if sigma <= _IN_PARTS:
        parts = np.rint(256 * weights)
        parts[side] += 256 - parts.sum()
        weights = parts[parts > 0] / 256
    made: Float32[np.ndarray, " taps"] = weights.astype(np.float32)
    made.flags.writeable = False  # every caller gets the same
    return made
