"""Who is who in a video: faces of frames that ascend get the numbers of persons."""

import math
from collections import Counter
from collections.abc import Sequence

from faceblend.ingest.detect import overlap
from faceblend.ingest.pyramid import Box

_SAME = 0.1  # overlap (intersection over union) of a face with itself some frames later
_NEAR = 1.0  # or this far away at most, times its size
_LASTING = 0.2  # share of the frames with faces; who is in fewer is a passer-by, or no face


class People:
    """The persons of one video, numbered from 0 in the order in which they appear.

    A face is the person whose last face it overlaps most; where it overlaps none, the nearest
    one within its own size; else somebody new. Faces are not compared by their looks: who
    leaves and comes back elsewhere is somebody new.
    """

    def __init__(self) -> None:
        self._last: dict[int, Box] = {}
        self._frames: Counter[int] = Counter()
        self._looks = 0

    def numbers(self, boxes: Sequence[Box]) -> list[int]:
        """The persons of a frame's faces, each another one."""
        self._looks += bool(boxes)
        pairs = sorted(
            (-closeness, face, person)
            for face, box in enumerate(boxes)
            for person, last in self._last.items()
            if (closeness := _closeness(box, last)) > 0
        )
        found: dict[int, int] = {}
        for _, face, person in pairs:
            if face not in found and person not in found.values():
                found[face] = person
        for face in range(len(boxes)):
            found.setdefault(face, len({*self._last, *found.values()}))
        for face, box in enumerate(boxes):
            self._last[found[face]] = box
            self._frames[found[face]] += 1
        return [found[face] for face in range(len(boxes))]

    def lasting(self) -> set[int]:
        """Those who are in a fifth of the frames that show faces, or more."""
        return {one for one, seen in self._frames.items() if seen >= _LASTING * self._looks}


def _closeness(box: Box, last: Box) -> float:
    """Above 1 for faces that overlap, up to 1 for near ones, 0 for others."""
    shared = overlap(box, last)
    if shared > _SAME:
        return 1 + shared
    x, y = (_middle(box, 0) - _middle(last, 0)), (_middle(box, 1) - _middle(last, 1))
    size = max(last[2] - last[0], last[3] - last[1])
    return max(0.0, 1 - math.hypot(x, y) / (_NEAR * size))


def _middle(box: Box, axis: int) -> float:
    return (box[axis] + box[axis + 2]) / 2
