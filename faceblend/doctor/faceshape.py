"""Can these 68 points be a face? Their shape against a mean one, their place against the bank's.

The mean shape was measured by this project: 125 faces of 28 people, placed by dlib's
predictor, superimposed by similarities and averaged with their mirror image. A point's error
is its distance from the mean shape, laid over the face, in distances between the eyes.

Measured on 851 real faces (125 of single people, 219 of group photographs down to 26 px, those
again aligned by five points, 163 of a video): none is reported; error 0.27 in the root mean
square and 0.65 at a point at most, turned by 24 degrees at most, place off by 5.8 times the
bank's median deviation at most. The same faces made wrong: found are all that were shuffled,
mirrored without renumbering, renumbered by one, turned upside down, with x and y exchanged, or
with noise of 30 px at every point; 99.6% with one point moved by 100 px of 317. Shifted as a
whole by a tenth of the crop: all of upright crops, a quarter to a half of aligned ones, whose
places differ by themselves; by 0.3, 98%. A full profile, which dlib gives no landmarks of, would
be reported.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from faceblend.face import Landmarks

Faces = Float32[np.ndarray, "faces 68 2"]
"""Landmarks of many faces, px of their crops."""

# fmt: off
_MEAN = np.array([
    (-1.14, 0.05), (-1.12, 0.36), (-1.1, 0.66), (-1.05, 0.96), (-0.95, 1.25), (-0.77, 1.5),
    (-0.55, 1.71), (-0.3, 1.87), (0, 1.91), (0.3, 1.87), (0.55, 1.71), (0.77, 1.5),
    (0.95, 1.25), (1.05, 0.96), (1.1, 0.66), (1.12, 0.36), (1.14, 0.05), (-0.93, -0.16),
    (-0.79, -0.3), (-0.59, -0.35), (-0.38, -0.33), (-0.18, -0.26), (0.18, -0.26),
    (0.38, -0.33), (0.59, -0.35), (0.79, -0.3), (0.93, -0.16), (0, -0.04), (0, 0.16),
    (0, 0.36), (0, 0.57), (-0.23, 0.69), (-0.12, 0.74), (0, 0.78), (0.12, 0.74), (0.23, 0.69),
    (-0.69, 0.01), (-0.57, -0.07), (-0.43, -0.07), (-0.3, 0.03), (-0.44, 0.05), (-0.58, 0.05),
    (0.3, 0.03), (0.43, -0.07), (0.57, -0.07), (0.69, 0.01), (0.58, 0.05), (0.44, 0.05),
    (-0.47, 1.07), (-0.3, 1.01), (-0.13, 0.98), (0, 1.01), (0.13, 0.98), (0.3, 1.01),
    (0.47, 1.07), (0.31, 1.24), (0.14, 1.32), (0, 1.33), (-0.14, 1.32), (-0.31, 1.24),
    (-0.4, 1.08), (-0.13, 1.07), (0, 1.09), (0.13, 1.07), (0.4, 1.08), (0.13, 1.17), (0, 1.19),
    (-0.13, 1.17),
])
"""(68, 2): a mean face, upright; the middle between its eyes is the origin, they are 1 apart."""
# fmt: on

_WORST_SHAPE = 0.36  # root mean square; real faces reach 0.27
_WORST_POINT = 0.85  # real faces reach 0.65
_STEEPEST = 75.0  # degrees; real faces reach 25
_LEAST_SPAN = 0.1  # of the crop's side; crops give a face half of it or more
_FARTHEST = 0.25  # of the side, outside the crop
_FEW = 50  # faces, too few to say how much their places differ
_DEVIATIONS = 10.0  # times the median deviation of a bank's faces; real faces reach 5.8
_LEAST_OFF = np.array([0.05, 0.05, 0.1])  # of the side, twice, and of the size's logarithm
_LEAST_OFF_OF_FEW = np.array([0.2, 0.2, 0.4])


def implausible(landmarks: Landmarks, crop_size: int) -> str | None:
    """What is wrong with the shape of 68 points, in words; None for what can be a face.

    Args:
        landmarks: (68, 2) float32, px of the crop.
        crop_size: side of the crop, px.

    Example:
        >>> implausible(np.zeros((68, 2), np.float32), 317)
        'its landmarks are collapsed: they span 0 px of a crop of 317 px'
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    span = float((high - low).max())
    if span < _LEAST_SPAN * crop_size:
        return f"its landmarks are collapsed: they span {span:.0f} px of a crop of {crop_size} px"
    outside = float(max(-low.min(), high.max() - (crop_size - 1)))
    if outside > _FARTHEST * crop_size:
        return f"its landmarks reach {outside:.0f} px out of the crop"
    errors, degrees = _misfit(landmarks)
    shape = _rms(errors)
    # the mirror image of a face, renumbered, is a face: without that its left is right
    if _rms(_misfit(landmarks * np.array([-1, 1], np.float32))[0]) < shape:
        return "its landmarks are mirrored: left and right are exchanged"
    if abs(degrees) > _STEEPEST:
        return f"its landmarks stand {abs(degrees):.0f} degrees from upright"
    if shape > _WORST_SHAPE:
        return f"its landmarks do not lie as a face's do: {shape:.2f} eye distances off"
    worst = int(errors.argmax())
    if errors[worst] > _WORST_POINT:
        return f"landmark {worst} is {errors[worst]:.2f} eye distances from where a face has it"
    return None


def _misfit(landmarks: Landmarks) -> tuple[np.ndarray, float]:
    """Each point's error under the best similarity, and the degrees that this turns by."""
    points = landmarks[:, 0].astype(np.float64) + 1j * landmarks[:, 1]
    mean = _MEAN[:, 0] + 1j * _MEAN[:, 1]
    points -= points.mean()
    turn = np.vdot(points, mean - mean.mean()) / np.vdot(points, points).real
    errors = np.abs(turn * points - (mean - mean.mean()))
    return errors, float(np.degrees(np.angle(turn)))


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors * errors)))


def misplaced(faces: Faces, crop_size: int) -> Iterator[tuple[int, str]]:
    """Faces that lie elsewhere in their crop, or larger or smaller, than the bank's others.

    Crops of a bank are cut by one rule, so the landmarks' bounding boxes agree: to 0.013 of the
    side in upright crops, to 0.14 in aligned ones.

    Args:
        faces: (faces, 68, 2) float32, px of the crops.
        crop_size: side of the crops, px.

    Yields:
        The row, and what is wrong with it in words.
    """
    low, high = faces.min(axis=1) / crop_size, faces.max(axis=1) / crop_size
    spans = np.maximum((high - low).max(axis=1), 1e-6)
    places = np.column_stack([(low + high) / 2, np.log(spans)]).astype(np.float64)
    usual = np.median(places, axis=0)
    off = np.abs(places - usual)
    least = _LEAST_OFF if len(faces) >= _FEW else _LEAST_OFF_OF_FEW
    allowed = np.maximum(least, _DEVIATIONS * np.median(off, axis=0))
    for row in np.flatnonzero((off > allowed).any(axis=1)).tolist():
        x, y = (crop_size * (places[row, :2] - usual[:2])).tolist()
        times = float(np.exp(places[row, 2] - usual[2]))
        yield (
            row,
            f"its landmarks lie ({x:+.0f}, {y:+.0f}) px from where the bank's other faces have "
            f"them, {times:.2f} times as large",
        )
