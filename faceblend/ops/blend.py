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
    # blendLinear divides by the weights' sum plus 1e-5: 0.003 levels at most
    return np.asarray(cv2.blendLinear(foreground, background, alpha, 1 - alpha))
