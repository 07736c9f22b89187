"""What training changes at random in a sample, and validation never: colours, size, place.

Resampling and compression are the recipe's, where reals and fakes share them. This is about
few photographs: without it a network knows them by heart before it knows a boundary.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numpy.random import Generator

from faceblend.face import Image

XrayBytes = UInt8[np.ndarray, "height width"]

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True, eq=False)
class Jitter:
    """One draw."""

    turn: float
    """degrees"""
    scale: float
    """times"""
    shift: tuple[float, float]
    """to the right and down, share of the side"""
    gamma: float
    saturation: float
    """0 is grey, 1 leaves the colours"""
    gains: Float64[np.ndarray, "3"]
    """of red, green and blue"""
    offset: float
    """levels"""


def draw_jitter(rng: Generator) -> Jitter:
    """Draw moderate changes: a face stays where a detector's crop may have it."""
    return Jitter(
        turn=rng.uniform(-8, 8),
        scale=float(np.exp(rng.uniform(-0.16, 0.16))),
        shift=(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)),
        gamma=float(np.exp(rng.uniform(-0.2, 0.2))),
        saturation=rng.uniform(0.6, 1.4),
        gains=np.exp(rng.uniform(-0.15, 0.15) + rng.uniform(-0.1, 0.1, 3)),
        offset=rng.uniform(-12, 12),
    )


def jittered(image: Image, xray: XrayBytes, jitter: Jitter) -> tuple[Image, XrayBytes]:
    """Change a picture, and move its X-ray along.

    Args:
        image: (H, W, 3) uint8 RGB.
        xray: (H, W) uint8.
        jitter: what was drawn.

    Returns:
        Both, of the same size; what lay beyond the border is mirrored.
    """
    height, width = xray.shape
    matrix = movement(jitter, height, width)
    moved, moved_xray = (
        cv2.warpAffine(
            one, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        for one in (image, xray)
    )
    curved = cv2.LUT(moved, gamma_curve(jitter))
    return np.asarray(cv2.transform(curved, color_matrix(jitter))), np.asarray(moved_xray)


def movement(jitter: Jitter, height: int, width: int) -> Float64[np.ndarray, "2 3"]:
    """Where a pixel of a picture of that size goes."""
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), jitter.turn, jitter.scale)
    matrix[:, 2] += jitter.shift[0] * width, jitter.shift[1] * height
    return np.asarray(matrix)


def gamma_curve(jitter: Jitter) -> UInt8[np.ndarray, "256"]:
    """What each level becomes."""
    return np.rint(255 * (np.arange(256) / 255) ** jitter.gamma).astype(np.uint8)


def color_matrix(jitter: Jitter) -> Float64[np.ndarray, "3 4"]:
    """Red, green, blue and a constant in; the colours out."""
    mix = np.eye(3) * jitter.saturation + np.outer(np.ones(3), _GREY) * (1 - jitter.saturation)
    return np.column_stack([jitter.gains[:, np.newaxis] * mix, np.full(3, jitter.offset)])
