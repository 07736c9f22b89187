"""The Face X-ray of a blend."""

import cv2
import numpy as np

from faceblend.face import Alpha, Xray


def xray(alpha: Alpha) -> Xray:
    """Mark where both faces contribute to a blended pixel.

    ``B = 4 * alpha * (1 - alpha)`` (equation 2 of Li et al., *Face X-ray for More General
    Face Forgery Detection*, CVPR 2020): 0 where one face alone is seen, 1 where both weigh
    the same.

    Args:
        alpha: (H, W) float32 in [0, 1], weight of the foreground. Pass the alpha that the
            blend really used, not the mask that it was softened from: a hard mask has no
            X-ray, and this returns zeros for it.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        ValueError: ``alpha`` leaves [0, 1]; the target would be negative there.

    Example:
        >>> xray(np.array([[0.0, 0.5, 0.75, 1.0]], np.float32))
        array([[0.  , 1.  , 0.75, 0.  ]], dtype=float32)
    """
    made = np.subtract(1, alpha, order="C")
    cv2.multiply(alpha, made, made, scale=4)
    # negative where alpha leaves [0, 1], and there alone; NaN fails this too
    if not made.min() >= 0:
        low, high = float(alpha.min()), float(alpha.max())
        raise ValueError(
            f"alpha spans [{low:.3g}, {high:.3g}], but a weight lies in [0, 1]; "
            "clip it where it was softened, so that image and target agree"
        )
    return np.asarray(made)
