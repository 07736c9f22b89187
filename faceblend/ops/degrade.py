"""What cameras, codecs and platforms do to a picture: values change, geometry does not."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Image
from faceblend.ops.geometry import bilinear, resize_plane


def resample(image: Image, size: int, down: Literal["nearest", "bilinear"]) -> Image:
    """Shrink a square picture to ``size`` px and bring it back bilinearly.

    ``nearest`` picks pixels by their centres, so the picture does not shift; ``bilinear``
    low-passes first.

    Args:
        image: (S, S, 3) uint8 RGB.
        size: side of the small picture, px.
        down: how it is shrunk.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    side = image.shape[0]
    if size == side:
        return image
    if down == "nearest":
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    else:
        small = resize_plane(image, size)
    return bilinear(small, side)


def jpeg(image: Image, quality: int) -> Image:
    """Encode as JPEG with 4:2:0 chroma and decode again.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: libjpeg's, 1 to 100.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # the encoder takes BGR: given RGB it would weigh red as blue, and code chroma wrongly
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape} as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def jpeg_window(
    image: Image, quality: int, rows: slice, columns: slice
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The window that ``jpeg(image, quality)[rows, columns]`` is, coding no more than it takes.

    JPEG with 4:2:0 chroma codes squares of 16 px by themselves, and decoding looks one chroma
    pixel, two pixels, beyond a square.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: libjpeg's, 1 to 100.
        rows, columns: inside the picture.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    top, left = (max(one.start - 2, 0) // 16 * 16 for one in (rows, columns))
    bottom, right = (-(-(one.stop + 2) // 16) * 16 for one in (rows, columns))
    coded = jpeg(image[top:bottom, left:right], quality)
    return coded[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def noise(image: Image, *, sigma: float, rng: np.random.Generator) -> Image:
    """Add independent Gaussian noise to every value, rounded and clipped to 0 to 255.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: standard deviation, levels.
        rng: where the noise is from.
    """
    noisy = rng.standard_normal(image.shape, np.float32)
    noisy *= np.float32(sigma)
    noisy += image
    return np.asarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
