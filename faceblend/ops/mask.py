"""Regions of the face from its landmarks, and their softened edge.

The four regions are those of the Face X-ray reproductions: the convex hull, the full
face, the face with its forehead, and the union of its components. A region is a boolean
mask until :func:`feather` or :func:`blur` makes the alpha that blends.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Int32, Shaped

from faceblend.face import Alpha, Mask

JAW = range(17)
BROWS = range(17, 27)
RIDGE = range(27, 31)
CHIN = 8

_COMPONENTS = (
    (*range(0, 9), 17),  # jaw, left half
    (*range(8, 17), 26),  # jaw, right half
    (*range(17, 20), CHIN),  # cheek under the left brow
    (*range(24, 27), CHIN),  # cheek under the right brow
    (*range(19, 25), CHIN),  # forehead between the brows, down to the chin
    (*range(17, 22), 27, *range(31, 36), CHIN),  # left eye
    (*range(22, 27), 27, *range(31, 36), CHIN),  # right eye
    (*range(27, 36),),  # nose
)
_FULL = (
    (*JAW, *range(48, 68)),  # jaw line and mouth
    (*BROWS, 0, CHIN, 16),  # brows down to the ends and the tip of the jaw
    (*RIDGE, *range(31, 36)),  # nose
)
UNDER_BROW = (36, 37, 37, 38, 39, 42, 43, 44, 44, 45)
"""Under each point of the brows, the point of the eye that it is raised away from."""

_FRACTION_BITS = 4
WIDE = 16
"""px; from here on a ramp is worked out at half the resolution"""

Points = Float32[np.ndarray, "_ 2"]
"""``(x, y)`` in pixels: the 68 landmarks, the forehead's 13 after them where they are known, or
some of them."""


def hull(landmarks: Points, size: int) -> Mask:
    """Convex hull of all points: with the forehead where there are 81.

    Args:
        landmarks: (68, 2) or (81, 2) float32 in pixels.
        size: side of the square mask, px.

    Returns:
        (size, size) bool.
    """
    return fill([landmarks], size)


def full(landmarks: Points, size: int) -> Mask:
    """Jaw with mouth, brows with chin, and nose, each as a convex hull; see :func:`hull`."""
    return fill(parts_of_full(landmarks), size)


def extended(landmarks: Points, size: int) -> Mask:
    """Hull of the 68 with brows raised by half their distance from the eye: some forehead."""
    return fill([raised(landmarks)], size)


def components(landmarks: Points, size: int) -> Mask:
    """Union of the hulls of eight parts of the face: the outline may turn inwards."""
    return fill(parts_of_components(landmarks), size)


def parts_of_full(landmarks: Points) -> list[Points]:
    """Points whose hulls :func:`full` unites."""
    return [landmarks[list(part)] for part in _FULL]


def parts_of_components(landmarks: Points) -> list[Points]:
    """Points whose hulls :func:`components` unites."""
    return [landmarks[list(part)] for part in _COMPONENTS]


def raised(landmarks: Points) -> Points:
    """The 68 points whose hull :func:`extended` is: brows raised from the eyes."""
    points = landmarks[:68].copy()
    brows = points[17:27]
    points[17:27] = brows + (brows - landmarks[list(UNDER_BROW)]) / 2
    return points


def segmentation(landmarks: Points, size: int, *, segment: Mask) -> Mask:
    """The face as a user's own segmentation has it; the landmarks do not count.

    Args:
        landmarks: not used; every mask has them.
        size: side of the square mask, px.
        segment: (size, size) bool, the background's.

    Raises:
        ValueError: the segment has another size.
    """
    del landmarks
    if segment.shape != (size, size):
        raise ValueError(f"segment is {segment.shape}; give {(size, size)}")
    return segment


def erode(mask: Mask, width: int) -> Mask:
    """Shrink a mask by a square of ``width`` px (odd); beyond the picture counts as inside."""
    return _morph(cv2.erode, mask, width)


def dilate(mask: Mask, width: int) -> Mask:
    """Grow a mask by a square of ``width`` px (odd)."""
    return _morph(cv2.dilate, mask, width)


def bounding_box(mask: Shaped[np.ndarray, "height width"], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns that hold every non-zero pixel, and ``margin`` px around them.

    Returns:
        Slices that stay inside the picture; both empty where the mask is.
    """
    set_ = mask if mask.dtype == np.bool_ else mask != 0
    left, top, width, height = cv2.boundingRect(set_.view(np.uint8))
    if not width:
        return slice(0, 0), slice(0, 0)
    rows, columns = slice(top, top + height), slice(left, left + width)
    return _wider(rows, columns, margin, mask.shape) if margin else (rows, columns)


def feather(mask: Mask, share: float, *, of_hull: bool = False) -> Alpha:
    """Let alpha rise linearly from the mask's edge inwards.

    ``alpha = clip(d / width, 0, 1)`` with ``d`` the Euclidean distance to the edge, negative
    outside, and ``width = share`` times the longer side of the mask's box. The distance is
    averaged over a square a quarter as wide as the ramp, or the pixel stairs of the edge
    would shine through as rays. Ramps of 16 px and more are worked out at half the resolution:
    at a corner they may lie two pixels off. The picture's border is no edge.

    Args:
        mask: (H, W) bool.
        share: how wide the ramp is, as a share of the longer side of the mask's box.
        of_hull: measure the distance inside the mask's convex hull, as AlgoHunt does; where
            the mask turns inwards alpha then ends in a step.

    Returns:
        (H, W) float32 in [0, 1].
    """
    alpha = np.zeros(mask.shape, np.float32)
    rows, columns = bounding_box(mask)
    if rows.stop == 0:
        return alpha
    width = max(share * max(rows.stop - rows.start, columns.stop - columns.start), 1.0)
    stairs = max(int(width / 4) | 1, 3)
    box = _wider(rows, columns, stairs + 1, mask.shape)
    inside = mask[box].view(np.uint8)
    # a wide ramp is as smooth on a quarter of the pixels
    step = 2 if width >= WIDE else 1
    distance = _to_hull(inside, stairs, step) if of_hull else _to_edge(inside, stairs, step)
    distance *= np.float32(step / width)
    if step > 1:
        distance = cv2.resize(distance, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # clipped in place by OpenCV, in half of numpy's time
    cv2.threshold(distance, 0, 0, cv2.THRESH_TOZERO, distance)
    if of_hull:
        cv2.min(distance, inside.astype(np.float32), alpha[box])
    else:
        cv2.threshold(distance, 1, 0, cv2.THRESH_TRUNC, alpha[box])
    return alpha


def blur(mask: Mask, sigma: float) -> Alpha:
    """Soften the edge with a Gaussian of ``sigma`` px: alpha is 1/2 where the edge was.

    Returns:
        (H, W) float32 in [0, 1]; reaches 3 sigma beyond the mask and is zero further out.
    """
    alpha = np.zeros(mask.shape, np.float32)
    reach = int(np.ceil(3 * sigma))
    box = bounding_box(mask, margin=reach)
    if box[0] == box[1] == slice(0, 0):
        return alpha
    kernel = 2 * reach + 1
    soft = cv2.GaussianBlur(
        mask[box].astype(np.float32), (kernel, kernel), sigma, borderType=cv2.BORDER_REPLICATE
    )
    alpha[box] = np.clip(soft, 0, 1)
    return alpha


_NEARLY_FULL = np.float32(1 - 1e-6)  # the resize rounds


def two_stage(
    mask: Mask, *, height: int, width: int, first: int, second: int, sigma: float
) -> Alpha:
    """Soften the edge in two stages, at a size of its own.

    Shiohara and Yamasaki, *Detecting Deepfakes with Self-Blended Images*, CVPR 2022: the mask
    is brought to ``height`` x ``width`` px; a Gaussian of the ``first`` kernel over it, and
    everything below full is set to zero; a Gaussian of the ``second`` kernel over that, divided
    by its maximum; and back. Full after the first stage is where the whole kernel lies in the
    mask, so it is done as an erosion. Published sizes of 192 to 256 px make the kernels, told
    in px of that size, shares of the picture's side.

    Args:
        mask: (S, S) bool.
        height, width: px that the mask is brought to, bilinearly.
        first, second: kernels, px, odd.
        sigma: of the second kernel, px; a large one makes the kernel a plain average.

    Returns:
        (S, S) float32 in [0, 1]; its maximum is 1 before it is brought back, and it is zero
        everywhere where the first stage leaves nothing.
    """
    # float, as bytes would round what is partly covered up to full
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    inside = _morph(cv2.erode, small > _NEARLY_FULL, first).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (second, second), sigma, borderType=cv2.BORDER_REFLECT_101)
    most = float(soft.max())
    if most <= 0:
        return np.zeros(mask.shape, np.float32)
    soft *= np.float32(1 / most)
    grown = cv2.resize(soft, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(grown, 0, 1))


def _wider(
    rows: slice, columns: slice, margin: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    return (
        slice(max(rows.start - margin, 0), min(rows.stop + margin, shape[0])),
        slice(max(columns.start - margin, 0), min(columns.stop + margin, shape[1])),
    )


def fill(parts: Sequence[Points], size: int) -> Mask:
    """The union of the parts' convex hulls; a part inside the picture has a pixel at least.

    Args:
        parts: each some ``(x, y)``, float32, px.
        size: side of the square mask, px.

    Returns:
        (size, size) bool.
    """
    canvas = np.zeros((size, size), np.uint8)
    for part in parts:
        cv2.fillConvexPoly(canvas, outline(part), 1, cv2.LINE_8, _FRACTION_BITS)
    return canvas.view(np.bool_)


def outline(part: Points) -> Int32[np.ndarray, "corners 1 2"]:
    """Corners of some points' convex hull as :func:`fill` takes them, sixteenths of a pixel."""
    points = np.rint(part * (1 << _FRACTION_BITS)).astype(np.int32)
    return np.asarray(cv2.convexHull(points))


def _to_edge(mask: np.ndarray, stairs: int, step: int) -> np.ndarray:
    # distance to the edge in steps, negative beyond it, averaged over the stairs
    region = mask
    if step > 1:
        region = cv2.resize(mask * np.uint8(255), _reduced(mask, step)) >> 7
    # the 5x5 chamfer distance is four times as fast as the exact one and 2% off at most
    distance = cv2.distanceTransform(region, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance -= cv2.distanceTransform(1 - region, cv2.DIST_L2, cv2.DIST_MASK_5)
    # a pixel's centre lies half a pixel from the edge
    distance += np.float32(0.5) - region
    return _averaged(distance, stairs // step | 1)


def _to_hull(mask: np.ndarray, stairs: int, step: int) -> np.ndarray:
    # the hull of its outlines is that of all its pixels, and they are a hundredth as many
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    width, height = _reduced(mask, step)
    across, down = mask.shape[1] / width, mask.shape[0] / height
    corners = cv2.convexHull(np.concatenate(outlines)) + 0.5
    points = np.rint((corners / (across, down) - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)
    # a hull that is wider by ``beyond``: its distances, less that, are those of both sides
    beyond = (stairs // step | 1) // 2 + 1
    wide = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(wide, points, 1, cv2.LINE_8, _FRACTION_BITS)
    cv2.polylines(wide, [points], True, 1, 2 * beyond, cv2.LINE_8, _FRACTION_BITS)
    distance = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_5)
    # thick lines come out 0.2 px narrower; a pixel's centre lies half a pixel from the edge
    distance -= np.float32(beyond + 0.8 - 0.5 / step)
    return _averaged(distance, stairs // step | 1)


def _reduced(mask: np.ndarray, step: int) -> tuple[int, int]:
    return mask.shape[1] // step, mask.shape[0] // step


def _averaged(distance: np.ndarray, stairs: int) -> np.ndarray:
    return np.asarray(cv2.blur(distance, (stairs, stairs), borderType=cv2.BORDER_REPLICATE))


def _morph(operation: Callable[..., Any], mask: Mask, width: int) -> Mask:
    if width < 1 or width % 2 == 0:
        raise ValueError(f"width is {width}; give an odd number of pixels, so that it is centred")
    if width == 1:
        return mask
    kernel = np.ones((width, width), np.uint8)
    return np.asarray(operation(mask.view(np.uint8), kernel)).view(np.bool_)
