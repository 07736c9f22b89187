"""What training changes at random in a face that is looked at alone (icpr2020dfdc's set).

Real and forged faces draw from the same distributions. What is drawn is plain data, so that a
change can be repeated; the noise of a picture comes from a number that was drawn, too.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator, Philox

from faceblend.face import Image
from faceblend.ops.degrade import jpeg
from xray_train.photometric import (
    brightness_contrast,
    downscale,
    gaussian_noise,
    iso_noise,
    shift_hsv,
)


@dataclass(frozen=True, kw_only=True)
class FrameChange:
    """One draw; 1 or ``none`` leaves the picture as it is."""

    coarse: float = 1.0
    """first downscaling, of the side"""
    flip: bool = False
    """left to right"""
    colour: Literal["none", "light", "hsv"] = "none"
    gain: float = 1.0
    offset: float = 0.0
    """levels, with ``light``"""
    hue: float = 0.0
    """degrees of 180, with ``hsv``"""
    saturation: float = 0.0
    """levels, with ``hsv``"""
    value: float = 0.0
    """levels, with ``hsv``"""
    noise: Literal["none", "iso", "gaussian"] = "none"
    intensity: float = 0.0
    """share of the spread of luminance, with ``iso``"""
    tint: float = 0.0
    """share of the circle of hues, with ``iso``"""
    sigma: float = 0.0
    """levels, with ``gaussian``"""
    noise_key: int = 0
    """of the noise's own generator"""
    fine: float = 1.0
    """second downscaling, of the side"""
    quality: int = 0
    """JPEG's, 1 to 100; 0 does not compress"""


def draw_frame_change(rng: Generator) -> FrameChange:
    """Draw the set that EfficientNets were trained with on DFDC and FaceForensics++.

    Bonettini et al., *Video Face Manipulation Detection Through Ensemble of CNNs*, ICPR 2020:
    downscaling by a half, mirroring, light or hue, camera or Gaussian noise, downscaling to .7 to
    .9, JPEG of quality 50 to 99. Each comes with a chance of one half. The ranges of light (20%)
    and of camera noise are not recorded, and chosen here.
    """
    # every number is drawn whether it is used or not: one change leaves the others' numbers
    chances, second = rng.random(6) < 0.5, rng.random(2) < 0.5
    gain, share = rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)
    hue, saturation, value = rng.uniform([-10, -30, -20], [10, 30, 20]).tolist()
    intensity, tint = rng.uniform(0.1, 0.5), rng.uniform(0.01, 0.05)
    sigma, key = 255 * rng.uniform(0.01, 0.03), int(rng.integers(2**63))
    fine, quality = rng.uniform(0.7, 0.9), int(rng.integers(50, 100))
    return FrameChange(
        coarse=0.5 if chances[0] else 1.0,
        flip=bool(chances[1]),
        colour="none" if not chances[2] else "hsv" if second[0] else "light",
        gain=gain,
        offset=255 * share,
        hue=hue,
        saturation=saturation,
        value=value,
        noise="none" if not chances[3] else "gaussian" if second[1] else "iso",
        intensity=intensity,
        tint=tint,
        sigma=sigma,
        noise_key=key,
        fine=fine if chances[4] else 1.0,
        quality=quality if chances[5] else 0,
    )


def change_frame(image: Image, change: FrameChange) -> Image:
    """Apply a draw, in the order of its fields.

    Args:
        image: (H, W, 3) uint8 RGB.
        change: what was drawn.

    Returns:
        (H, W, 3) uint8 RGB, new or the same.
    """
    if change.coarse < 1:
        image = downscale(image, change.coarse)
    if change.flip:
        image = np.ascontiguousarray(image[:, ::-1])
    if change.colour == "light":
        image = brightness_contrast(image, change.gain, change.offset)
    elif change.colour == "hsv":
        image = shift_hsv(image, change.hue, change.saturation, change.value)
    if change.noise == "iso":
        image = iso_noise(image, change.intensity, change.tint, _noise(change))
    elif change.noise == "gaussian":
        image = gaussian_noise(image, change.sigma, _noise(change))
    if change.fine < 1:
        image = downscale(image, change.fine)
    return jpeg(image, change.quality) if change.quality else image


def _noise(change: FrameChange) -> Generator:
    return Generator(Philox(key=change.noise_key))
