"""dlib's HOG pyramid, rebuilt around one face: the same pixels, cells and boxes.

dlib doubles the picture and shrinks it by 5/6 from level to level; on each it looks at windows
of cells of 8 px. A part of a picture gives the boxes of the whole only where its pixels and its
cells fall on those of the whole.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Image

Box = tuple[float, float, float, float]
"""``left, top, right, bottom``: edges in pixels with pixel centres at integers, so the box
of a whole picture 10 px wide goes from -0.5 to 9.5."""

Picture = UInt8[np.ndarray, "rows columns 3"]
"""RGB of any size: a picture, a copy or a part of one."""

_STEP = 6 / 5  # px of a level in one of the next
_WINDOW = 73  # px; side of a box on its level
_CELL = 8  # px of a level; windows start at multiples of it
_LEAD = 5  # levels made one after the other before the first that is searched


def level_of(box: Box) -> int:
    """The level on which dlib finds a face of this size; 0 for the smallest."""
    size = box[2] - box[0] + box[3] - box[1]  # twice the side: the picture is doubled
    return max(round(float(np.log(size / _WINDOW) / np.log(_STEP))), 0)


def levels(
    image: Image, box: Box, first: int, last: int
) -> Iterator[tuple[int, Picture, np.ndarray]]:
    """The surroundings of a box on some levels of dlib's pyramid over a picture enlarged once.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: px of ``image``; a square of twice its size around it is given.
        first, last: levels; 0 is the enlarged picture.

    Yields:
        Each level's number, its pixels and where on the level (x, y) they start: on a cell.
    """
    size = np.array([box[2] - box[0], box[3] - box[1]])
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    low, high = middle - size, middle + size
    before = np.array(image.shape[1::-1])
    sizes = [2 * before + (2, 1)]  # what dlib's pyramid_up makes
    while len(sizes) <= last:
        sizes.append(sizes[-1] * 5 // 6)
    low, high = np.maximum(low, 0).astype(int), np.minimum(high, before - 1).astype(int)
    origin, copy = low, image[low[1] : high[1] + 1, low[0] : high[0] + 1]
    for level in range(max(0, first - _LEAD), last + 1):
        if (high < low).any() or sizes[level].min() < _WINDOW:
            return
        step = (before - 1) / (sizes[level] - 1)  # dlib resizes corner to corner
        low, high = np.ceil(low / step - 1e-6).astype(int), (high / step + 1e-6).astype(int)
        x, y = low * step - origin
        copy = cv2.warpAffine(
            copy.astype(np.float32),
            np.array([[step[0], 0, x], [0, step[1], y]]),
            tuple((high - low + 1).tolist()),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.uint8)  # cut off, not rounded, as dlib does
        origin, before = low, sizes[level]
        if level >= first:
            skip = -low % _CELL
            yield level, np.ascontiguousarray(copy[skip[1] :, skip[0] :]), low + skip


def from_level(box: Any, origin: np.ndarray, level: int) -> Box:
    """A dlib rectangle on a part of a level, on the picture: as dlib computes and rounds it."""
    corners = np.array([[box.left(), box.top()], [box.right(), box.bottom()]]) + origin
    for _ in range(level):
        corners = corners * _STEP + 0.3
    # halves go up, in the rounding of both steps
    corners = np.floor(np.floor(corners + 0.5) / 2 - (1.25, 0.75) + 0.5)
    (left, top), (right, bottom) = corners.tolist()
    return (left - 0.5, top - 0.5, right + 0.5, bottom + 0.5)
