"""Faces through a video: detection now and then, a look around the last face in between.

A face's box decides its landmarks: a pixel beside it moves those of a small face by 2 to 5% of
the distance between the eyes. So every box that counts comes from the detector's ``near``, which
gives what searching the whole frame would. (Measured on 275 frames of 640x360: all 135 faces of
searching every frame enlarged once, at least 95% of them with the very same landmarks.)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from faceblend.errors import BadVideo
from faceblend.face import Image
from faceblend.ingest.detect import (
    Detection,
    Detector,
    RegionDetector,
    one_box_a_face,
    overlap,
)
from faceblend.ingest.pyramid import Box
from faceblend.ingest.video import Frame

_LONG_SIDE = 960  # px; about what a whole frame is searched at
_SAME = 0.3  # overlap (intersection over union) of a face with itself one look later
_FAINT = -0.2  # the score at which a face that is followed is lost
_CUT = 18  # levels; a larger mean change of a thumbnail is another scene
_THUMBNAIL = (32, 18)
_STEP = 5 / 6  # from one level of the pyramid to the next


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
    placed on the full frame. A detector that cannot look around a face searches every frame
    in full.

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
        if cut or self._since >= self._every or not self._boxes or not self._followed(frame):
            found = self._search(frame)
            before = [] if cut else [box for _, box in self._boxes if not _among(box, found)]
            # faces that only following finds stay
            self._boxes = one_box_a_face([*found, *self._around(frame, before)])
            self._since = 0
        self._since += 1

    def _followed(self, frame: Frame) -> bool:
        """Whether every face is still there; if so, where it is now."""
        still = self._around(frame, [box for _, box in self._boxes])
        if len(still) < len(self._boxes):
            return False
        self._boxes = one_box_a_face(still)
        return True

    def _around(self, frame: Frame, boxes: list[Box]) -> list[tuple[float, Box]]:
        near = (_near(self._detector, frame.rgb, box) for box in boxes)
        return [one for one in near if one is not None]

    def _looked_back(self, around: list[tuple[float, Box]] | None) -> Iterator[Seen]:
        """The frame that was left out: searched around later faces, or in full for None."""
        skipped, self._skipped = self._skipped, None
        if skipped is None:
            return
        if around is None:
            yield self._seen(skipped, self._search(skipped))
            return
        near = self._around(skipped, [box for _, box in around])
        yield self._seen(skipped, one_box_a_face(near))

    def _search(self, frame: Frame) -> list[tuple[float, Box]]:
        scale = _scale(_LONG_SIDE / max(frame.rgb.shape[:2]))
        found = self._detector.boxes(frame.rgb, scale)
        # a quick search finds faces; where exactly, only a look around each tells
        closer = [_near(self._detector, frame.rgb, box) or (score, box) for score, box in found]
        return one_box_a_face(closer)

    def _seen(self, frame: Frame, boxes: list[tuple[float, Box]]) -> Seen:
        placed = [
            Detection(box=box, score=score, landmarks=self._detector.landmarks(frame.rgb, box))
            for score, box in boxes
        ]
        largest_first = sorted(placed, key=lambda face: (-_side(face.box), face.box))
        return Seen(frame=frame, faces=tuple(largest_first))


def _near(detector: RegionDetector, image: Image, box: Box) -> tuple[float, Box] | None:
    """The face of ``box`` one look later, or None where it is gone."""
    found = detector.near(image, box, _FAINT)
    return max((one for one in found if overlap(one[1], box) > _SAME), default=None)


def _among(box: Box, found: list[tuple[float, Box]]) -> bool:
    return any(overlap(box, other) > _SAME for _, other in found)


def _scale(wanted: float) -> float:
    """The pyramid's step that comes nearest to a scale, twice the size at most."""
    return float(2 * _STEP ** max(round(np.log(wanted / 2) / np.log(_STEP)), 0))


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])
