"""What cameras, codecs and platforms do to a picture: values change, geometry does not."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.random import Generator

from faceblend.face import Image
from faceblend.ops.geometry import bilinear, resize_plane

DOWN = {
    "nearest": cv2.INTER_NEAREST_EXACT,  # the other one moves the picture by half a pixel
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
"""OpenCV's ways to shrink; only ``area`` looks at every pixel."""

UP = {name: way for name, way in DOWN.items() if name != "area"}
"""Its ways to grow: there, ``area`` is ``bilinear``."""

SAMPLING = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}
"""Chroma of half the size, of half the width, of the whole size."""


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


def jpeg(image: Image, quality: int, sampling: str = "4:2:0") -> Image:
    """Encode as JPEG and decode again.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: libjpeg's, 1 to 100.
        sampling: of chroma, one of :data:`SAMPLING`.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # the encoder takes BGR: given RGB it would weigh red as blue, and code chroma wrongly
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    how = [cv2.IMWRITE_JPEG_QUALITY, quality]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling]]
    done, data = cv2.imencode(".jpg", bgr, how)
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


def noise(image: Image, *, sigma: float, rng: Generator) -> Image:
    """Add independent Gaussian noise to every value, rounded and clipped to 0 to 255.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: standard deviation, levels.
        rng: where the noise is from.
    """
    noisy = rng.standard_normal(image.shape, np.float32)
    noisy *= np.float32(sigma)
    noisy += image
    return _as_bytes(noisy)


def shot_noise(image: Image, *, full: float, rng: Generator) -> Image:
    """Add the noise of counting photons, rounded and clipped to 0 to 255.

    Independent for every value, Gaussian with the variance that ``full`` photons at 255 give a
    value ``v``, ``v * 255 / full`` (Foi et al., *Practical Poissonian-Gaussian noise modeling*,
    2008): light is noisier than dark, and black is not noisy.

    Args:
        image: (H, W, 3) uint8 RGB.
        full: photons that make 255; fewer are noisier.
        rng: where the noise is from.
    """
    noisy = rng.standard_normal(image.shape, np.float32)
    noisy *= cv2.LUT(image, np.sqrt(np.arange(256) * 255 / full).astype(np.float32))
    noisy += image
    return _as_bytes(noisy)


def rgb_shift(image: Image, *, red: float, green: float, blue: float) -> Image:
    """Add a number to every value of a channel, rounded and clipped to 0 to 255.

    Args:
        image: (H, W, 3) uint8 RGB.
        red, green, blue: what is added, levels; 0 changes nothing.
    """
    return _looked_up(image, np.arange(256)[:, None] + np.array([red, green, blue], float))


def brightness_contrast(image: Image, *, brightness: float, contrast: float) -> Image:
    """Stretch all values from black and move them, rounded and clipped to 0 to 255.

    ``v' = (1 + contrast) * v + 255 * brightness``: contrast turns about black, not about grey,
    so it brightens as well.

    Args:
        image: (H, W, 3) uint8 RGB.
        brightness: share of the full range; 0 changes nothing.
        contrast: share; 0 changes nothing, -1 leaves one flat colour.
    """
    return _looked_up(image, (1 + contrast) * np.arange(256.0) + 255 * brightness)


def gamma(image: Image, *, exponent: float) -> Image:
    """Raise every value to a power, ``v' = 255 * (v / 255) ** exponent``, rounded.

    Args:
        image: (H, W, 3) uint8 RGB.
        exponent: above 0; below 1 brightens, 1 changes nothing.
    """
    return _looked_up(image, 255 * (np.arange(256) / 255) ** exponent)


def hsv_shift(image: Image, *, hue: float, saturation: float, value: float) -> Image:
    """Add to hue, saturation and value (Smith, *Color gamut transform pairs*, 1978).

    Hue goes round; saturation and value are clipped to [0, 1]. A grey has hue 0, so it turns
    reddish where saturation is added. Computed in float32 and rounded once.

    Args:
        image: (H, W, 3) uint8 RGB.
        hue: share of the full circle.
        saturation, value: share of the full range. Where all are 0 nothing changes.
    """
    hsv = cv2.cvtColor(_as_float(image, 1 / 255), cv2.COLOR_RGB2HSV)
    turned, intense, bright = cv2.split(hsv)
    turned = cv2.add(turned, 360 * hue)
    turned[turned < 0] += np.float32(360)
    turned[turned >= 360] -= np.float32(360)
    intense = np.clip(cv2.add(intense, saturation), 0, 1)
    bright = np.clip(cv2.add(bright, value), 0, 1)
    rgb = cv2.cvtColor(cv2.merge([turned, intense, bright]), cv2.COLOR_HSV2RGB)
    return _as_bytes(rgb * np.float32(255))


def down_up(image: Image, *, times: float, down: str, up: str) -> Image:
    """Shrink a picture and bring it back, by OpenCV's filters and nothing before them.

    Pixels are matched by their centres, so the picture stays where it was; ``nearest`` alone
    is off by half a pixel where it shrinks an even number of times, as the centre falls between
    two pixels. Both ways are computed in float32; overshoot is clipped and rounded once, at the
    end.

    Args:
        image: (H, W, 3) uint8 RGB.
        times: how many times smaller each side gets, to the next whole pixel; 1 changes nothing.
        down: one of :data:`DOWN`.
        up: one of :data:`UP`.
    """
    height, width = image.shape[:2]
    small = (max(round(width / times), 1), max(round(height / times), 1))
    if small == (width, height):
        return image
    shrunk = cv2.resize(_as_float(image), small, interpolation=DOWN[down])
    return _as_bytes(cv2.resize(shrunk, (width, height), interpolation=UP[up]))


def sharpen(image: Image, *, amount: float, sigma: float) -> Image:
    """Add what a Gaussian takes away: an unsharp mask, rounded and clipped once.

    ``v' = v + amount * (v - G(v))``; beyond the border the picture is mirrored.

    Args:
        image: (H, W, 3) uint8 RGB.
        amount: times; 0 changes nothing.
        sigma: of the Gaussian, px.
    """
    plane = _as_float(image)
    return _as_bytes(cv2.addWeighted(plane, 1 + amount, _soft(plane, sigma), -amount, 0))


def blur(image: Image, *, sigma: float) -> Image:
    """Blur by a Gaussian, as out of focus; beyond the border the picture is mirrored.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: px; 0 changes nothing.
    """
    return image if sigma == 0 else _as_bytes(_soft(_as_float(image), sigma))


def motion_blur(image: Image, *, length: float, angle: float) -> Image:
    """Blur along a line, as a moving camera does; beyond the border the picture is mirrored.

    Every pixel becomes the mean along a line through its middle, read bilinearly.

    Args:
        image: (H, W, 3) uint8 RGB.
        length: of the line, px; 0 changes nothing.
        angle: degrees, clockwise from the right.
    """
    # 32 bits: bytes would be filtered in steps of 1/256 where OpenCV likes
    return _as_bytes(
        cv2.filter2D(_as_float(image), -1, line(length, angle), borderType=cv2.BORDER_REFLECT_101)
    )


def line(length: float, angle: float) -> Float32[np.ndarray, "side side"]:
    """How much a line through the middle weighs each pixel; see :func:`motion_blur`.

    Returns:
        Weights of an odd side, which sum to 1.
    """
    turn = np.deg2rad(angle)
    # the middles of 16 pieces a pixel, which are one step and its mirror image
    pieces = max(round(16 * length), 1)
    along = ((np.arange(pieces) + 0.5) / pieces - 0.5) * length
    x, y = along * np.cos(turn), along * np.sin(turn)
    reach = int(np.ceil(length / 2)) + 1
    taps = np.arange(-reach, reach + 1)
    rows, columns = (np.clip(1 - abs(taps[:, None] - at), 0, None) for at in (y, x))
    return np.asarray((rows @ columns.T / pieces).astype(np.float32))


def median(image: Image, *, width: int) -> Image:
    """Replace every value by the median of the square around it, channel by channel.

    Beyond the border the last pixel goes on.

    Args:
        image: (H, W, 3) uint8 RGB.
        width: of the square, px; an even one is raised to the next odd one, 1 changes nothing.
    """
    return image if width == 1 else np.asarray(cv2.medianBlur(image, width | 1))


def _looked_up(
    image: Image, levels: Float64[np.ndarray, "256 3"] | Float64[np.ndarray, " 256"]
) -> Image:
    """Every value replaced by the one of ``levels``, rounded and clipped."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table.reshape(1, 256, -1)))


def _soft(
    plane: Float32[np.ndarray, "height width 3"], sigma: float
) -> Float32[np.ndarray, "height width 3"]:
    # no size given: OpenCV takes 4 sigma to each side
    return np.asarray(cv2.GaussianBlur(plane, None, sigma, borderType=cv2.BORDER_REFLECT_101))


def _as_float(image: Image, scale: float = 1.0) -> Float32[np.ndarray, "height width 3"]:
    return np.asarray(np.multiply(image, np.float32(scale), dtype=np.float32))


def _as_bytes(image: Float32[np.ndarray, "height width 3"]) -> Image:
    """Rounded to nearest and clipped; ``image`` is spent."""
    # the absolute value of what is not below 0; OpenCV takes half of NumPy's time
    return np.asarray(cv2.convertScaleAbs(cv2.max(image, 0.0, image)))
