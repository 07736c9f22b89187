"""What training on frames of videos changes at random: mirrors, noise, blur, colours, filters.

The kinds and their chances are those of seed 001 (kaggle-dfdc, second place); how strong each
may be was not told there, and is chosen here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from faceblend.face import Image
from xray_train import photometric

Filter = Literal["brightness", "sharpen", "emboss"]

CHANGED = 0.5
"""Chance that a picture is changed at all; the others are chances within that."""

FLIP, NOISE, BLUR, HSV, FILTER, SEPIA = 0.5, 0.2, 0.2, 0.2, 0.6, 0.1
"""Chances: mirrored, noise, blur, colours turned, one filter of three, brown tones."""


@dataclass(frozen=True, kw_only=True)
class Strong:
    """One draw; None where a change is left out."""

    flip: bool = False
    noise: tuple[float, int] | None = None
    """sigma, levels, and the seed of its pixels"""
    blur: float | None = None
    """sigma, px"""
    hsv: tuple[float, float, float] | None = None
    """hue, degrees of 180; saturation and value, levels"""
    filter: tuple[Filter, float] | None = None
    """brightness: the gain; sharpen, emboss: the amount, 0 to 1"""
    sepia: float | None = None
    """amount, 0 to 1"""


def draw_strong(rng: Generator) -> Strong:
    """Draw what happens to one picture: to every second one nothing."""
    if rng.random() >= CHANGED:
        return Strong()
    flip = bool(rng.random() < FLIP)
    noise = blur = hsv = applied = sepia = None
    if rng.random() < NOISE:
        noise = (rng.uniform(3, 7), int(rng.integers(2**32)))
    if rng.random() < BLUR:
        blur = rng.uniform(0.5, 1.5)
    if rng.random() < HSV:
        hsv = (rng.uniform(-20, 20), rng.uniform(-30, 30), rng.uniform(-20, 20))
    if rng.random() < FILTER:
        applied = _draw_filter(rng)
    if rng.random() < SEPIA:
        sepia = rng.uniform(0.5, 1)
    return Strong(flip=flip, noise=noise, blur=blur, hsv=hsv, filter=applied, sepia=sepia)


def _draw_filter(rng: Generator) -> tuple[Filter, float]:
    which = int(rng.integers(3))
    if which == 0:
        return "brightness", rng.uniform(0.8, 1.2)
    return "sharpen" if which == 1 else "emboss", rng.uniform(0.2, 0.5)


def strengthened(image: Image, draw: Strong) -> Image:
    """Change a picture as was drawn; without a change it is the same array.

    Args:
        image: (H, W, 3) uint8 RGB.
        draw: from :func:`draw_strong`.
    """
    if draw.flip:
        image = np.ascontiguousarray(image[:, ::-1])
    if draw.noise is not None:
        sigma, seed = draw.noise
        pixels = Generator(np.random.Philox(key=[seed, 0]))
        image = photometric.gaussian_noise(image, sigma, pixels)
    if draw.blur is not None:
        image = photometric.blur(image, draw.blur)
    if draw.hsv is not None:
        image = photometric.shift_hsv(image, *draw.hsv)
    if draw.filter is not None:
        image = _filtered(image, *draw.filter)
    if draw.sepia is not None:
        image = photometric.sepia(image, draw.sepia)
    return image


def _filtered(image: Image, name: Filter, amount: float) -> Image:
    if name == "sharpen":
        return photometric.sharpen(image, amount)
    if name == "emboss":
        return photometric.emboss(image, amount)
    return photometric.brightness_contrast(image, amount, 0.0)
