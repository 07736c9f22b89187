"""Bring the foreground's colours towards the background's before they are blended.

Every function takes the foreground, the background and the mask in which colours are
compared, and returns a new foreground; only what the mask covers is looked at.
"""

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from faceblend.face import Image, Mask

_FLAT = 1e-3  # levels; a channel that varies less has no contrast to stretch


def none(foreground: Image, background: Image, mask: Mask) -> Image:
    """Leave the foreground as it is.

    Args:
        foreground: (H, W, 3) uint8 RGB.
        background: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, where colours are compared; not empty.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    del background, mask
    return foreground


def mean(foreground: Image, background: Image, mask: Mask) -> Image:
    """Shift each channel by whole levels, so that its mean in the mask is the background's.

    See :func:`none`.

    The colour step of the Face X-ray paper (Li et al., CVPR 2020) and of AlgoHunt.
    """
    inside = mask.view(np.uint8)
    pixels = cv2.countNonZero(inside)
    kept = cv2.cvtColor(inside * np.uint8(255), cv2.COLOR_GRAY2RGB)
    totals = zip(_totals(background, kept), _totals(foreground, kept), strict=True)
    shift = np.eye(3, 4)
    shift[:, 3] = [round((theirs - own) / pixels) for theirs, own in totals]
    # an addition takes twice as long where a level is negative
    return np.asarray(cv2.transform(foreground, shift))


def mean_std(foreground: Image, background: Image, mask: Mask) -> Image:
    """Give each RGB channel the background's mean and standard deviation; see :func:`none`.

    A channel without contrast is shifted only.
    """
    gain, offset = _match(*_moments(foreground, mask), *_moments(background, mask))
    return _channelwise(foreground, gain, offset)


def lab(foreground: Image, background: Image, mask: Mask) -> Image:
    """Match mean and standard deviation in CIE L*a*b*; see :func:`none`.

    Reinhard et al., *Color transfer between images*, 2001, in L*a*b* (D65) instead of
    their l-alpha-beta. Computed in float32: an 8-bit L*a*b* loses colours.
    """
    source = _to_lab(foreground)
    gain, offset = _match(*_moments(source, mask), *_moments(_to_lab(background), mask))
    rgb = cv2.cvtColor(_channelwise(source, gain, offset), cv2.COLOR_LAB2RGB)
    # rounds: truncation would darken every fake by half a level, a trace to learn
    np.maximum(rgb, 0, out=rgb)  # OpenCV's takes a single pixel for four numbers
    return np.asarray(cv2.convertScaleAbs(rgb, alpha=255))


def _to_lab(image: Image) -> Float32[np.ndarray, "height width 3"]:
    return np.asarray(
        cv2.cvtColor(image.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2LAB)
    )


def _totals(image: Image, kept: np.ndarray) -> tuple[float, ...]:
    # a copy that is zero outside and its sum: a quarter of the time of a mean under a mask
    return cv2.sumElems(cv2.bitwise_and(image, kept))[:3]


def _moments(
    image: np.ndarray, mask: Mask
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    average, deviation = cv2.meanStdDev(image, mask=mask.view(np.uint8))
    return np.asarray(average)[:, 0], np.asarray(deviation)[:, 0]


def _match(
    own_mean: np.ndarray, own_std: np.ndarray, other_mean: np.ndarray, other_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    flat = own_std < _FLAT
    gain = np.where(flat, 1.0, other_std / np.where(flat, 1.0, own_std))
    return gain, other_mean - gain * own_mean


def _channelwise(image: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    # bytes are rounded and stay within 0 to 255
    return np.asarray(cv2.transform(image, np.column_stack([np.diag(gain), offset])))
