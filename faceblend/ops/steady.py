"""Faces of consecutive frames, freed of the detector's jitter: landmarks and crops.

A detector finds each frame's landmarks anew, off by a pixel or two, and each crop is the square
around them. A mask made of them would flicker, and so do the crops. Both are smoothed where
they can be: in the frame, to which every crop's ``crop_to_frame`` leads.
"""

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from faceblend.ops import warp

Times = Float64[np.ndarray, " frames"]
"""Frame numbers, ascending, in units of the usual distance between two of them."""

Crops = UInt8[np.ndarray, "frames side side 3"]
Points = Float32[np.ndarray, "frames points 2"]
Matrices = Float64[np.ndarray, "frames 2 3"]

PLACE = (2, 1.0)
"""Where the face is: parabolas, for heads turn back quickly; Gaussian of 1 frame."""

SHAPE = (1, 2.0)
"""Its size, turn and outline: straight lines; Gaussian of 2 frames."""

_REACH = 2  # sigmas


def smoother(times: Times, degree: int, sigma: float) -> Float64[np.ndarray, "frames frames"]:
    """Weights that give each frame the value of a polynomial fitted around it.

    Local regression (Cleveland, *Robust locally weighted regression and smoothing
    scatterplots*, JASA 1979) with Gaussian weights, cut off at 2 sigma: within a run of evenly
    spaced frames the Savitzky-Golay filter with such weights. What moves as a polynomial of that
    degree stays where it is, at both ends too.

    Args:
        times: of the frames.
        degree: of the polynomial; less where there are too few frames.
        sigma: of the weights, in units of ``times``.

    Returns:
        (T, T) float64, rows of sum 1: ``smoother(...) @ values`` are the smoothed values.
    """
    weights = np.zeros((len(times), len(times)))
    for frame, now in enumerate(times):
        away = times - now
        near = np.abs(away) <= _REACH * sigma + 1e-9
        root = np.exp(-(away[near] ** 2) / (4 * sigma**2))
        powers = np.vander(away[near], min(degree, int(near.sum()) - 1) + 1, increasing=True)
        weights[frame, near] = np.linalg.pinv(powers * root[:, None])[0] * root
    return weights


def steadied(
    crops: Crops, landmarks: Points, crop_to_frame: Matrices, times: Times
) -> tuple[Crops, Points]:
    """Crops cut anew out of the old ones, along a smooth way, and smooth landmarks in them.

    Where the face is, its centre of landmarks, is fitted by :data:`PLACE`; its points around the
    centre, and the crop around it, by :data:`SHAPE`. The crop moves by what remains: it is
    resampled once, bilinearly, low-passed first where it shrinks, mirrored beyond its border.

    Args:
        crops: (T, S, S, 3) uint8 RGB.
        landmarks: (T, 68, 2) float32, px of the crops; more points than 68 are carried along.
        crop_to_frame: (T, 2, 3) float64, ``(x, y, 1)`` of the crop to ``(x, y)`` of the frame.
        times: of the frames.

    Returns:
        (T, S, S, 3) uint8 RGB and as many points, float32, px of the new crops.
    """
    size = crops.shape[1]
    middle = np.array([(size - 1) / 2, (size - 1) / 2, 1.0])
    place, shape = smoother(times, *PLACE), smoother(times, *SHAPE)
    points = np.stack([_carried(*pair) for pair in zip(landmarks, crop_to_frame, strict=True)])
    centres = points[:, :68].mean(axis=1)
    linear, beside = crop_to_frame[:, :, :2], crop_to_frame @ middle - centres
    smooth_centres = place @ centres
    smooth_points = _each(shape, points - centres[:, None]) + smooth_centres[:, None]
    cuts = np.empty_like(crop_to_frame)
    cuts[:, :, :2] = _each(shape, linear)
    cuts[:, :, 2] = shape @ beside + smooth_centres - cuts[:, :, :2] @ middle[:2]
    whole = (slice(0, size), slice(0, size))
    images, inside = np.empty_like(crops), np.empty_like(landmarks)
    for frame, cut in enumerate(cuts):
        back = np.asarray(cv2.invertAffineTransform(cut))
        images[frame] = warp.place(crops[frame], warp.then(crop_to_frame[frame], back), whole)
        inside[frame] = _carried(smooth_points[frame], back)
    return images, inside


def _carried(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.asarray(points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2])


def _each(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, values, axes=1)
