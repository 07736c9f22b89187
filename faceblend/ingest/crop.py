"""The square crop around a face: upright, or turned and scaled onto a template."""

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Image, Landmarks
from faceblend.ops.warp import place, similarity, then

CROP_SIZE = 317
"""px; ``[60:316, 30:286]`` of such a crop is the 256x256 that training sees."""

SCALE = 317 / 196
"""Side of the crop over the longer side of the landmarks' bounding box."""

Crop = UInt8[np.ndarray, "size size 3"]
"""RGB square, 0 to 255."""

_CENTRE_Y = 0.64  # of the side, for the middle of the bounding box: more room above than below


def crop_face(
    image: Image, landmarks: Landmarks, size: int = CROP_SIZE, scale: float = SCALE
) -> tuple[Crop, Landmarks, np.ndarray]:
    """Cut out the square around a face and resize it once.

    The landmarks fall where the classic 317 px crops have them: a bounding box of 196x175
    reaches from about (60, 115) to (256, 290), so that the window ``[60:316, 30:286]``
    frames the face with its chin inside. Where the square leaves the photograph, that is
    mirrored. The square has whole pixels; resizing is by area when it shrinks and cubic
    when it grows.

    With pixel centres at integers, ``x_frame = (x_crop + 0.5) * side / size - 0.5 + left``.

    Args:
        image: (H, W, 3) uint8 RGB photograph.
        landmarks: (68, 2) float32, px of the photograph.
        size: side of the crop, px.
        scale: side of the square over the longer side of the landmarks' bounding box.

    Returns:
        The crop, (size, size, 3) uint8; the landmarks in it, (68, 2) float32; and
        ``crop_to_frame``, (2, 3) float64, which takes ``(x, y, 1)`` of the crop to
        ``(x, y)`` of the photograph.

    Raises:
        ValueError: the landmarks are one point, not finite, or around no point of the
            photograph.
    """
    low, high = landmarks.min(axis=0).astype(float), landmarks.max(axis=0).astype(float)
    longer = float(max(high - low))
    if not 0 < longer < np.inf:
        raise ValueError(f"the landmarks span {longer} px, and a square needs some")
    middle_x, middle_y = (low + high) / 2
    height, width = image.shape[:2]
    if not (-0.5 <= middle_x <= width - 0.5 and -0.5 <= middle_y <= height - 0.5):
        raise ValueError(
            f"the landmarks are around ({middle_x:.0f}, {middle_y:.0f}), and the photograph is "
            f"{width}x{height}"
        )
    side = max(1, round(scale * longer))
    left = round(middle_x + 0.5 - side / 2)
    top = round(middle_y + 0.5 - side * _CENTRE_Y)
    square = _square(image, left, top, side)
    if side != size:
        how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        square = cv2.resize(square, (size, size), interpolation=how)
    step = side / size
    corner = np.array([left, top]) + 0.5 * step - 0.5
    inside = ((landmarks - corner) / step).astype(np.float32)
    return square, inside, np.column_stack([np.eye(2) * step, corner])


TEMPLATE = np.array(
    [(122.5, 141.25), (197.5, 141.25), (160, 178.75), (137.5, 225.25), (182.5, 225.25)], np.float32
)
"""Eyes, nose tip and corners of the mouth on a 320 px crop: kaggle-dfdc's (seed 001)."""

_TEMPLATE_SIZE = 320  # px


def align_face(
    image: Image, landmarks: Landmarks, size: int = CROP_SIZE, scale: float = SCALE
) -> tuple[Crop, Landmarks, np.ndarray]:
    """Turn, scale and shift a face so that five points of it come nearest to a template.

    The points are the centres of the eyes, the tip of the nose and the corners of the mouth;
    the map is the least-squares similarity. The picture is resampled once, bilinearly, with
    a Gaussian before it where it shrinks; beyond its border it is mirrored.

    Args and returns: as :func:`crop_face`. The template is met at the default ``scale``; at
    another one, its points come closer to the crop's centre or go away from it.

    Raises:
        ValueError: the five points coincide or are not finite, or the map leaves the
            photograph.
    """
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    points = np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])
    if not np.isfinite(points).all():
        raise ValueError("the landmarks are not finite")
    middle = np.float32(_TEMPLATE_SIZE / 2)
    template = middle + (TEMPLATE - middle) * np.float32(SCALE / scale)
    frame_to_crop = similarity(points, template * np.float32(size / _TEMPLATE_SIZE))
    crop_to_frame = cv2.invertAffineTransform(frame_to_crop)
    corners = np.array([[-1, -1, 1], [size, -1, 1], [-1, size, 1], [size, size, 1]])
    reached = corners @ crop_to_frame.T
    step = float(np.sqrt(abs(np.linalg.det(crop_to_frame[:, :2]))))
    if not step <= max(image.shape):
        raise ValueError(f"one pixel of the aligned crop would be {step:.3g} of the photograph")
    # only the part that is seen is smoothed and mirrored
    low = np.maximum(np.floor(reached.min(axis=0) - 2 * step).astype(int), 0)
    high = np.minimum(np.ceil(reached.max(axis=0) + 2 * step).astype(int) + 1, image.shape[1::-1])
    if (high - low < 1).any():
        raise ValueError("the aligned crop would lie outside the photograph")
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    shift = np.array([[1, 0, low[0]], [0, 1, low[1]]], np.float64)
    crop = place(part, then(shift, frame_to_crop), (slice(0, size), slice(0, size)))
    inside = np.column_stack([landmarks.astype(np.float64), np.ones(68)]) @ frame_to_crop.T
    return crop, inside.astype(np.float32), crop_to_frame


def _square(image: Image, left: int, top: int, side: int) -> Crop:
    height, width = image.shape[:2]
    x0, x1 = max(left, 0), min(left + side, width)
    y0, y1 = max(top, 0), min(top + side, height)
    inside = np.ascontiguousarray(image[y0:y1, x0:x1])
    above, below, before, behind = y0 - top, top + side - y1, x0 - left, left + side - x1
    if not any((above, below, before, behind)):
        return inside
    return np.asarray(
        cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_REFLECT_101)
    )
