"""Parts of the face as masks: features, and sets of them.

A region is a boolean mask of the background's landmarks, as those in ``ops/mask.py`` are. What
is drawn for a region is an option of it, so that its record makes the same region again.
"""

import numpy as np

from faceblend.face import Mask
from faceblend.ops.mask import UNDER_BROW, Points, fill

PARTS = (
    "left eye and brow",
    "right eye and brow",
    "nose",
    "mouth",
    "left cheek",
    "right cheek",
    "chin",
    "forehead",
)
"""What the bits of ``parts`` stand for, the lowest first; left and right as the viewer sees
them. The forehead is the strip from the brows to half their distance from the eyes above them,
or all of it where there are 81 points."""

_LEFT_EYE = (*range(17, 22), *range(36, 42))
_RIGHT_EYE = (*range(22, 27), *range(42, 48))
_NOSE = range(27, 36)
_MOUTH = range(48, 60)
_LEFT_CHEEK = (*range(7), 48, 31, 39, 40, 41, 36)
_RIGHT_CHEEK = (*range(10, 17), 54, 35, 42, 47, 46, 45)
_CHIN = (*range(4, 13), 48, *range(54, 60))
_BROWS = range(17, 27)
_FEATURES = (_LEFT_EYE, _RIGHT_EYE, _NOSE, _MOUTH, _LEFT_CHEEK, _RIGHT_CHEEK, _CHIN)

_SEAM = 0.05  # spreads; parts that touch in the face touch in the mask
_ROUND_EYES, _ROUND_MOUTH, _ROUND_NOSE = 0.1, 0.15, 0.15  # spreads; lashes, lips, nostrils

_angles = np.arange(16) * (np.pi / 8)
_CIRCLE = np.column_stack([np.cos(_angles), np.sin(_angles)]).astype(np.float32)


def regions(landmarks: Points, size: int, *, parts: int) -> Mask:
    """A set of the face's parts, each the convex hull of its points, a little widened.

    Args:
        landmarks: (68, 2) or (81, 2) float32, px.
        size: side of the square mask, px.
        parts: the set as a number in binary: 1 for the first of :data:`PARTS`, 2 for the
            second, 4 for the third, ..., and their sum for several.

    Returns:
        (size, size) bool.

    Raises:
        ValueError: the number stands for no part, or for more than there are.
    """
    return fill(parts_of_regions(landmarks, parts), size)


def parts_of_regions(landmarks: Points, parts: int) -> list[Points]:
    """Points whose hulls :func:`regions` unites; see there."""
    if not 1 <= parts < 1 << len(PARTS):
        raise ValueError(f"parts is {parts}; give 1 to {(1 << len(PARTS)) - 1}")
    points = [landmarks[list(feature)] for feature in _FEATURES]
    points.append(_forehead(landmarks))
    reach = _SEAM * _spread(landmarks)
    chosen = [one for number, one in enumerate(points) if parts >> number & 1]
    return [_widened(one, reach) for one in chosen]


def eyes(landmarks: Points, size: int) -> Mask:
    """Both eyes and brows and what is between them: one convex hull, widened."""
    return fill([around_eyes(landmarks)], size)


def mouth(landmarks: Points, size: int) -> Mask:
    """The mouth: the convex hull of its outline, widened so that it holds the lips' edges."""
    return fill([around_mouth(landmarks)], size)


def nose(landmarks: Points, size: int) -> Mask:
    """The nose: the convex hull of ridge and nostrils, widened so that it holds its wings."""
    return fill([around_nose(landmarks)], size)


def around_eyes(landmarks: Points) -> Points:
    """Points whose hull :func:`eyes` is."""
    both = landmarks[[*_LEFT_EYE, *_RIGHT_EYE]]
    return _widened(both, _ROUND_EYES * _spread(landmarks))


def around_mouth(landmarks: Points) -> Points:
    """Points whose hull :func:`mouth` is."""
    return _widened(landmarks[list(_MOUTH)], _ROUND_MOUTH * _spread(landmarks))


def around_nose(landmarks: Points) -> Points:
    """Points whose hull :func:`nose` is."""
    return _widened(landmarks[list(_NOSE)], _ROUND_NOSE * _spread(landmarks))


def _forehead(landmarks: Points) -> Points:
    brows = landmarks[list(_BROWS)]
    if len(landmarks) > 68:
        return np.concatenate([brows, landmarks[68:]])
    return np.concatenate([brows, brows + (brows - landmarks[list(UNDER_BROW)]) / 2])


def _spread(landmarks: Points) -> float:
    # how large the face is, however it is turned: root mean square distance from the middle
    around = landmarks[:68] - landmarks[:68].mean(axis=0)
    return float(np.sqrt((around**2).sum(axis=1).mean()))


def _widened(points: Points, reach: float) -> Points:
    # the hull of these is the points' hull and all that is nearer to it than ``reach``
    return np.asarray((points[:, np.newaxis] + np.float32(reach) * _CIRCLE).reshape(-1, 2))
