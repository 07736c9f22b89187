"""Following finds in a real video what searching every frame in full finds, and where it does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from faceblend.face import Landmarks
from faceblend.ingest.detect import DlibHog, overlap
from faceblend.ingest.pyramid import Box
from faceblend.ingest.track import follow
from faceblend.ingest.video import Frame, probe, read_frames

CLIP = Path(__file__).parents[3] / "shared" / "faces" / "video" / "hamilton_clip.mp4"

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not CLIP.exists(), reason="../shared/faces is not here"),
]


@dataclass(frozen=True)
class Found:
    """A face that searching a whole frame shows."""

    frame: Frame
    box: Box
    landmarks: Landmarks


def searched(frames: range) -> list[Found]:
    """What dlib finds on every frame, enlarged once."""
    import dlib

    hog, detector = dlib.get_frontal_face_detector(), DlibHog()
    found = []
    for frame in read_frames(CLIP, frames):
        boxes, scores, _ = hog.run(frame.rgb, 1, 0.0)
        for box, score in zip(boxes, scores, strict=True):
            if score >= detector.min_score:
                edges = (box.left() - 0.5, box.top() - 0.5, box.right() + 0.5, box.bottom() + 0.5)
                found.append(Found(frame, edges, detector.landmarks(frame.rgb, edges)))
    return found


def test_a_look_around_a_face_gives_the_box_of_searching_the_whole_frame() -> None:
    faces = searched(range(4, 275, 7))
    assert len(faces) > 15
    assert len({round(face.box[2] - face.box[0]) for face in faces}) > 3
    same = 0
    for face in faces:
        side = face.box[2] - face.box[0]
        # the face has moved since, and looked larger
        x, y, more = 0.11 * side, -0.07 * side, 0.08 * side
        left, top, right, bottom = face.box
        before = (left + x - more, top + y - more, right + x + more, bottom + y + more)
        same += face.box in [box for _, box in DlibHog().near(face.frame.rgb, before, -0.2)]
    assert same >= len(faces) - 1


@pytest.mark.slow
def test_following_a_clip_agrees_with_searching_every_frame() -> None:
    frames = range(probe(CLIP).frames)
    seen = {one.frame.number: one.faces for one in follow(read_frames(CLIP, frames), DlibHog())}
    apart = []
    for face in searched(frames):
        same = [one for one in seen[face.frame.number] if overlap(one.box, face.box) > 0.3]
        assert same, f"frame {face.frame.number}"
        points = face.landmarks
        eyes = np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0))
        apart.append(np.linalg.norm(same[0].landmarks - points, axis=1).mean() / eyes)
    assert len(apart) == 135
    assert np.median(apart) <= 0.02
    assert np.percentile(apart, 95) < 0.04
