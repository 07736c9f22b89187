"""Faces through a video: detection now and then, a look around the last face in between.

Every scale that is searched is one of the detector's own pyramid steps away from the full
picture at twice its size: boxes then fall where searching every frame in full would put them
(measured on a 1080p clip of 275 frames: of 137 faces 137 found instead of 126 to 136).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.errors import BadVideo
from faceblend.face import Image, Landmarks
from faceblend.ingest.detect import (
    Box,
    Detection,
    Detector,
    RegionDetector,
    one_box_a_face,
    overlap,
)
from faceblend.ingest.video import Frame

_LONG_SIDE = 960  # px; about what a whole frame is searched at
_FACE = 110  # px; about what a followed face is searched at
_AROUND = 2.0  # times the face, the side of the square that is searched for it
_SAME = 0.3  # overlap (intersection over union) of a face with itself one look later
_FAINT = -0.2  # the score at which a face that is followed is lost
_CUT = 18  # levels; a larger mean change of a thumbnail is another scene
_THUMBNAIL = (32, 18)
_STEP = 5 / 6  # from one level of the pyramid to the next
_NUDGES = ((0, 0, 1), (0.04, 0, 1), (-0.04, 0, 1), (0, 0.04, 1), (0, -0.04, 1))

_Region = UInt8[np.ndarray, "rows columns 3"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A frame and its faces."""

    frame: Frame
    faces: tuple[Detection, ...]
    """the largest first"""


def follow(frames: Iterable[Frame], detector: Detector, *, every: int = 10) -> Iterator[Seen]:
    """Find the faces of frames that ascend.

    Whole frames are searched every ``every`` frames, where the scene changes and where a face
    is lost, and every other frame while there is none; the others only around each face, those
    between two searches without a face around what the second one finds. Landmarks are always
    placed on the full frame, as the mean over five boxes a few pixels apart: one box alone
    makes them tremble. A detector that cannot search regions searches every frame in full.

    Args:
        frames: ascending, of one video.
        detector: finds faces.
        every: frames from one full search to the next.

    Raises:
        BadVideo: from ``frames``, when decoding fails; frames before that have been seen.
        MissingModel: the detector cannot work at all.
    """
    if isinstance(detector, RegionDetector):
        yield from _Follower(detector, every).follow(frames)
        return
    for frame in frames:
        yield Seen(frame=frame, faces=tuple(detector.detect(frame.rgb)))


class _Follower:
    """The faces of the last frame, and when whole frames were searched."""

    def __init__(self, detector: RegionDetector, every: int) -> None:
        self._detector, self._every = detector, every
        self._boxes: list[tuple[float, Box]] = []
        self._since = every  # frames ago that a whole one was searched
        self._thumbnail: np.ndarray | None = None
        self._skipped: Frame | None = None

    def follow(self, frames: Iterable[Frame]) -> Iterator[Seen]:
        try:
            for frame in frames:
                cut = self._is_cut(frame)
                if not (cut or self._boxes or self._skipped or self._since >= self._every):
                    self._skipped = frame
                    continue
                self._look(frame, cut)
                yield from self._looked_back(None if cut else self._boxes)
                yield self._seen(frame, self._boxes)
        except BadVideo:
            yield from self._looked_back(None)
            raise
        yield from self._looked_back(None)

    def _is_cut(self, frame: Frame) -> bool:
        small = cv2.resize(frame.grey, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.int16)
        before, self._thumbnail = self._thumbnail, small
        return before is None or float(np.abs(small - before).mean()) > _CUT

    def _look(self, frame: Frame, cut: bool) -> None:
        image, boxes = frame.rgb, [] if cut else self._boxes
        still = [one for _, box in boxes if (one := _near(self._detector, image, box)) is not None]
        if cut or self._since >= self._every or not boxes or len(still) < len(boxes):
            found = self._search(frame)
            # what a full search finds goes before what is only followed
            self._boxes = [*found, *(one for one in still if not _among(one[1], found))]
            self._since = 0
        else:
            self._boxes = one_box_a_face(still)
        self._since += 1

    def _looked_back(self, around: list[tuple[float, Box]] | None) -> Iterator[Seen]:
        """The frame that was left out: searched around later faces, or in full for None."""
        skipped, self._skipped = self._skipped, None
        if skipped is None:
            return
        if around is None:
            yield self._seen(skipped, self._search(skipped))
            return
        near = (_near(self._detector, skipped.rgb, box) for _, box in around)
        yield self._seen(skipped, one_box_a_face([one for one in near if one is not None]))

    def _search(self, frame: Frame) -> list[tuple[float, Box]]:
        return self._detector.boxes(frame.rgb, _scale(_LONG_SIDE / max(frame.rgb.shape[:2])))

    def _seen(self, frame: Frame, boxes: list[tuple[float, Box]]) -> Seen:
        placed = [
            Detection(box=box, score=score, landmarks=_steady(self._detector, frame.rgb, box))
            for score, box in boxes
        ]
        largest_first = sorted(placed, key=lambda face: (-_side(face.box), face.box))
        return Seen(frame=frame, faces=tuple(largest_first))


def _near(detector: RegionDetector, image: Image, box: Box) -> tuple[float, Box] | None:
    """The face of ``box`` one look later, or None where it is gone."""
    side = _side(box)
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, side * _AROUND / 2
    height, width = image.shape[:2]
    left, right = max(0, int(x - half)), min(width, int(x + half))
    top, bottom = max(0, int(y - half)), min(height, int(y + half))
    if right <= left or bottom <= top:
        return None
    region: _Region = np.ascontiguousarray(image[top:bottom, left:right])
    found = [
        (score, (x0 + left, y0 + top, x1 + left, y1 + top))
        for score, (x0, y0, x1, y1) in detector.boxes(region, _scale(_FACE / side), _FAINT)
    ]
    same = [one for one in found if overlap(one[1], box) > _SAME]
    return max(same) if same else None


def _steady(detector: RegionDetector, image: Image, box: Box) -> Landmarks:
    side = _side(box)
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    placed = []
    for x, y, size in _NUDGES:
        left, top = middle_x + (x - size / 2) * side, middle_y + (y - size / 2) * side
        placed.append(
            detector.landmarks(image, (left, top, left + size * side, top + size * side))
        )
    return np.asarray(np.mean(placed, axis=0, dtype=np.float32))


def _among(box: Box, found: list[tuple[float, Box]]) -> bool:
    return any(overlap(box, other) > _SAME for _, other in found)


def _scale(wanted: float) -> float:
    """The pyramid's step that comes nearest to a scale, twice the size at most."""
    return float(2 * _STEP ** max(round(np.log(wanted / 2) / np.log(_STEP)), 0))


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])
