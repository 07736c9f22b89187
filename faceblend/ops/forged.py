"""The alpha behind somebody else's forgery, estimated from its mask or its original.

What really blended such a picture is not known, so its X-ray, ``xray(alpha)``, is an estimate
too: good at where the pasted region ends, rough at how the transition runs.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Alpha, Image, Mask
from faceblend.ops.mask import bounding_box, feather

Shipped = UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"]

MASK_LEVEL = 64
"""Level above which a shipped mask means "forged"; compression rings below it."""

DIFFERENCE_LEVEL = 4
"""Levels by which a forged pixel differs, after codec noise is averaged away."""

SHARE = 0.1
"""Width of the transition where nothing measures it, as a share of the region's longer side."""

_LEAST = 0.0005  # of the picture; less is noise
_AVERAGED = 5  # px; a codec's noise changes from pixel to pixel
_NEARLY = 0.8  # of the plateau
_CLOSED = 0.15  # of the region's mean width: cheeks that the forgery left as they were


def alpha_from_mask(mask: Shipped, *, share: float = SHARE, level: int = MASK_LEVEL) -> Alpha:
    """Estimate alpha from the mask that a dataset ships, such as FF++'s mask videos.

    Such masks are black outside, of any colour inside, and were compressed. What is above
    ``level`` in any channel is the region, its largest part is kept, and alpha rises
    linearly from its edge inwards.

    Args:
        mask: (H, W) uint8, or (H, W, 3) uint8 RGB.
        share: width of the rise, as a share of the longer side of the region's box.
        level: what counts as inside, 0 to 254.

    Returns:
        (H, W) float32 in [0, 1]; zero everywhere where the mask is empty.
    """
    brightest = mask if mask.ndim == 2 else mask.max(axis=2)
    return feather(_largest(brightest > level), share)


def alpha_from_difference(
    fake: Image,
    original: Image,
    *,
    share: float | None = None,
    level: float = DIFFERENCE_LEVEL,
    hull: bool = False,
) -> Alpha:
    """Estimate alpha from a forged picture and the one that it was made of.

    The difference of the channel that differs most, averaged over 5x5 px, is compared with
    ``level``; gaps are closed, the largest part is kept and its holes filled, and alpha rises
    linearly from the edge inwards. Where the forgery equals its original, or differs by less
    than ``level``, the region falls short of what was blended.

    On 100 blends of the recipe ``bi`` with known alpha, as they were and as JPEG of quality
    90 and 70, the X-ray of this alpha overlaps the true one by 0.6 in the median and by 0.38
    in the worst tenth (sum of minima over sum of maxima; the region alone: 0.95).

    Args:
        fake: (H, W, 3) uint8 RGB.
        original: (H, W, 3) uint8 RGB, the same frame at the same size.
        share: width of the rise, as a share of the longer side of the region's box. If not
            given, it is measured: from the edge to where the difference is what it is in the
            region's inner half.
        level: least difference, 0 to 255. Raise it for strongly compressed pairs.
        hull: take the convex hull of the region.

    Returns:
        (H, W) float32 in [0, 1]; zero everywhere where nothing differs.
    """
    # before averaging: texture that moved counts, though its mean stays
    apart = cv2.absdiff(fake, original).max(axis=2).astype(np.float32)
    apart = cv2.blur(apart, (_AVERAGED, _AVERAGED))
    region = _largest(_closed(apart > level))
    if hull:
        region = _convex(region)
    return feather(region, _rise(region, apart) if share is None else share)


def _rise(region: Mask, apart: np.ndarray) -> float:
    if not region.any():
        return SHARE
    rows, columns = bounding_box(region)
    ring = cv2.distanceTransform(region.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5).astype(int)
    inside = region.ravel()
    ring, apart = ring.ravel()[inside], apart.ravel()[inside]
    profile = np.bincount(ring, apart) / np.maximum(np.bincount(ring), 1)
    plateau = float(np.median(profile[len(profile) // 2 :]))
    # ramps are judged before their end, where they run into the plateau's own ups and downs
    width = int(np.flatnonzero(profile >= _NEARLY * plateau)[0]) / _NEARLY
    return float(width / max(rows.stop - rows.start, columns.stop - columns.start))


def _closed(region: Mask) -> Mask:
    # the region's own size sets the scale: frames hold faces of all sizes
    width = int(_CLOSED * np.sqrt(np.count_nonzero(region))) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    # with room around it: at the picture's border a region would grow into it for good
    room = np.pad(region.view(np.uint8), width)
    closed = cv2.erode(cv2.dilate(room, kernel), kernel)
    return np.ascontiguousarray(closed[width:-width, width:-width]).view(np.bool_)


def _largest(region: Mask) -> Mask:
    """The largest connected part, its holes filled; empty where that is noise."""
    outlines, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros(region.shape, np.uint8)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    if np.count_nonzero(filled) < _LEAST * region.size:
        filled[:] = 0
    return filled.view(np.bool_)


def _convex(region: Mask) -> Mask:
    if not region.any():
        return region
    points = cv2.convexHull(np.argwhere(region)[:, ::-1].astype(np.int32))
    filled = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(filled, points, 1)
    return filled.view(np.bool_)
