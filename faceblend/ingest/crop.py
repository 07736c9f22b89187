"""The square crop around a face, placed by its landmarks."""

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Image, Landmarks

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
