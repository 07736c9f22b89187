"""Put the foreground over the background."""

import cv2
import numpy as np
from jaxtyping import Float32

from faceblend.face import Alpha, Image
from faceblend.ops.membrane import membrane

Levels = Float32[np.ndarray, "height width 3"]
"""A picture between its steps, 0 to 255 and, for a while, beyond."""


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


def poisson(foreground: Image, background: Image, alpha: Alpha) -> Image:
    """Blend the foreground's gradients: its colours are led over into the background's.

    ``I = alpha * F' + (1 - alpha) * B``, where F' has the gradients of F and meets B around
    the region (Perez et al., *Poisson image editing*, SIGGRAPH 2003, equations 4 and 7). The
    region is where alpha is not 0, without the outermost pixels of the arrays; elsewhere F' is B.

    Alpha is the weight of F', so the X-ray says where both pictures weigh; at the outer end of
    the edge F' is the background already, and the trace of blending is fainter there than the
    X-ray. See :func:`alpha`.
    """
    inside = alpha > 0
    inside[[0, -1]] = inside[:, [0, -1]] = False
    below = background.astype(np.float32)
    apart = below - foreground
    return _added(below, membrane(apart, inside) - apart, alpha)


def pyramid(foreground: Image, background: Image, alpha: Alpha, *, levels: int) -> Image:
    """Blend each band of frequencies with an alpha that is as coarse as the band.

    Burt and Adelson, *A multiresolution spline with application to image mosaics*, TOG 1983:
    the bands of the Laplacian pyramids are blended by the levels of alpha's Gaussian pyramid,
    and summed. That reaches beyond alpha, so the outermost part of the edge, where alpha is
    below 1/4, leads over to the background linearly, and where alpha is 0 no pixel changes.

    Alpha, and the X-ray with it, is true for the finest details; the coarser a band, the wider
    its two pictures mix, up to ``2**levels`` px farther in. See :func:`alpha`.

    Args:
        levels: how often the pictures are halved; fewer where a side would be less than 2 px.
    """
    above, below = foreground.astype(np.float32), background.astype(np.float32)
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    mixed = _pyramid(above, below, weight, levels)
    return _added(below, mixed - below, np.minimum(4 * alpha, np.float32(1)))


def frequency(
    foreground: Image, background: Image, alpha: Alpha, *, sigma: float, width: float
) -> Image:
    """Blend one band of frequencies; the others stay the background's.

    ``I = B + alpha * (band(F) - band(B))``, the band being the difference of two Gaussians
    (Marr and Hildreth, *Theory of edge detection*, 1980). The pictures go on mirrored beyond
    their border.

    Alpha is the weight of the foreground within the band alone. The X-ray says where both
    bands weigh; outside of the band the whole region is the background's. See :func:`alpha`.

    Args:
        sigma: of the narrower Gaussian, px; 0 keeps the finest details in the band.
        width: how much wider the other Gaussian is, px.
    """
    below = background.astype(np.float32)
    apart = foreground - below
    wide = _blurred(apart, sigma + width)
    return _added(below, _blurred(apart, sigma) - wide, alpha)


def _pyramid(above: Levels, below: Levels, weight: Levels, levels: int) -> Levels:
    height, width = above.shape[:2]
    if levels == 0 or min(height, width) < 4:
        return np.asarray(below + weight * (above - below))
    size = (width, height)
    higher, lower = cv2.pyrDown(above), cv2.pyrDown(below)
    fine, other = (
        layer - cv2.pyrUp(half, dstsize=size) for layer, half in ((above, higher), (below, lower))
    )
    coarse = _pyramid(higher, lower, cv2.pyrDown(weight), levels - 1)
    return np.asarray(other + weight * (fine - other) + cv2.pyrUp(coarse, dstsize=size))


def _blurred(picture: Levels, sigma: float) -> Levels:
    if sigma == 0:
        return picture
    side = 2 * int(np.ceil(3 * sigma)) + 1
    return np.asarray(
        cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    )


def _added(below: Levels, apart: Levels, weight: Alpha) -> Image:
    """``B + alpha * apart``, clipped and rounded."""
    mixed = cv2.multiply(apart, cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB))
    cv2.max(cv2.add(mixed, below, mixed), 0.0, mixed)
    return np.asarray(cv2.convertScaleAbs(mixed))
