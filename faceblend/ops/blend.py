"""Put the foreground over the background."""

import cv2
import numpy as np

from faceblend.face import Alpha, Image


def alpha(foreground: Image, background: Image, alpha: Alpha) -> Image:
    """Blend two pictures: ``I = alpha * F + (1 - alpha) * B``, rounded to nearest once.

    Equation 1 of Li et al., *Face X-ray for More General Face Forgery Detection*, CVPR
    2020, with the mask M softened to alpha.

    Args:
        foreground: (H, W, 3) uint8 RGB.
        background: (H, W, 3) uint8 RGB, the same size.
        alpha: (H, W) float32 in [0, 1], weight of the foreground.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # B + alpha * (F - B), in place; in floats, which OpenCV does in half the time of bytes
    below = background.astype(np.float32)
    mixed = foreground.astype(np.float32)
    cv2.subtract(mixed, below, mixed)
    cv2.multiply(mixed, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), mixed)
    return np.asarray(cv2.convertScaleAbs(cv2.add(mixed, below, mixed)))
