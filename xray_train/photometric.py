"""Changes of a picture's values by given amounts, for training augmentation: arrays in and out.

What is drawn is drawn elsewhere; the two functions of noise take the generator. Pictures are
(H, W, 3) uint8 RGB, and are never changed in place.
"""

import cv2
import numpy as np
from numpy.random import Generator

from faceblend.face import Image

_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
_SHARP = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
_EMBOSS = np.array([[-1, -1, 0], [-1, 1, 1], [0, 1, 1]], np.float32)


def brightness_contrast(image: Image, gain: float, offset: float) -> Image:
    """``gain * value + offset``, offset in levels."""
    table = np.rint(np.clip(np.arange(256) * gain + offset, 0, 255)).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table))


def shift_hsv(image: Image, hue: float, saturation: float, value: float) -> Image:
    """Turn the hue by ``hue`` degrees of 180, add to saturation and value in levels of 255."""
    turned, grey, bright = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    levels = np.arange(256)
    tables = (
        np.mod(np.rint(levels + hue), 180),
        np.clip(np.rint(levels + saturation), 0, 255),
        np.clip(np.rint(levels + value), 0, 255),
    )
    planes = [
        cv2.LUT(plane, table.astype(np.uint8))
        for plane, table in zip((turned, grey, bright), tables, strict=True)
    ]
    return np.asarray(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_HSV2RGB))


def gaussian_noise(image: Image, sigma: float, rng: Generator) -> Image:
    """Add independent noise of ``sigma`` levels to every value."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
    return _rounded(image + noise)


def iso_noise(image: Image, intensity: float, tint: float, rng: Generator) -> Image:
    """What a camera adds in the dark: luminance noise, and a shift of the hue from pixel to pixel.

    Args:
        image: (H, W, 3) uint8 RGB.
        intensity: of the luminance noise, share of the picture's own spread of luminance.
        tint: standard deviation of the hue, share of the circle.
        rng: draws both.
    """
    hls = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HLS)
    spread = float(hls[..., 1].std())
    shape = hls.shape[:2]
    hls[..., 0] = np.mod(hls[..., 0] + rng.normal(0, 360 * tint, shape), 360)
    hls[..., 1] += rng.normal(0, max(intensity * spread, 1e-6), shape) * (1 - hls[..., 1])
    np.clip(hls[..., 1], 0, 1, out=hls[..., 1])
    return _rounded(255 * cv2.cvtColor(hls, cv2.COLOR_HLS2RGB))


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur of ``sigma`` px."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def sharpen(image: Image, amount: float) -> Image:
    """Mix the picture with its sharpened version (a 3x3 Laplacian); ``amount`` 0 to 1."""
    return _mixed(image, _SHARP, amount)


def emboss(image: Image, amount: float) -> Image:
    """Mix the picture with its relief, lit from the upper left; ``amount`` 0 to 1."""
    return _mixed(image, _EMBOSS, amount)


def sepia(image: Image, amount: float) -> Image:
    """Mix the picture with its brown tones; ``amount`` 0 to 1."""
    weights = np.eye(3) * (1 - amount) + _SEPIA * amount
    return np.asarray(cv2.transform(image, weights))


def downscale(image: Image, factor: float, *, smooth: bool = True) -> Image:
    """Shrink a picture to ``factor`` of its size and bring it back to it.

    Args:
        image: (H, W, 3) uint8 RGB.
        factor: over 0, at most 1.
        smooth: bilinear both ways; else the nearest pixel.
    """
    height, width = image.shape[:2]
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    way = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
    small = cv2.resize(image, size, interpolation=way)
    return np.asarray(cv2.resize(small, (width, height), interpolation=way))


def _mixed(image: Image, kernel: np.ndarray, amount: float) -> Image:
    weights = kernel * np.float32(amount)
    weights[1, 1] += 1 - amount
    return np.asarray(cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101))


def _rounded(values: np.ndarray) -> Image:
    return np.asarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))
