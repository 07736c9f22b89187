"""Following faces in a video, beside searching every frame in full."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceblend.bench.machine import check_least, machine, timed
from faceblend.errors import BadArgument
from faceblend.face import Landmarks
from faceblend.ingest.detect import Detection, DlibHog, overlap
from faceblend.ingest.track import follow
from faceblend.ingest.video import evenly, probe, read_frames


@dataclass(frozen=True, kw_only=True)
class ExtractBench:
    """Following faces beside the straightforward loop, on the same frames in one run."""

    frames: int
    size: str
    """``width x height`` of the video, px"""
    seconds: float
    """median over the rounds of decoding and following"""
    naive_seconds: float
    """median over the rounds of decoding and searching every frame in full, once enlarged"""
    naive_faces: int
    """faces that the loop found"""
    kept: float
    """share of them that following found too: boxes overlap by 0.3 of their union"""
    apart_median: float
    """landmarks: mean distance in a face over the distance between its eyes, median over faces"""
    apart_95: float
    """the same, 95th percentile"""
    machine: dict[str, Any]

    @property
    def ratio(self) -> float:
        """How many times as fast."""
        return self.naive_seconds / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "ratio": self.ratio}


def bench_extract(video: Path, *, frames: int = 0, rounds: int = 1) -> ExtractBench:
    """Time faces out of a video, decoding included, beside the straightforward loop.

    The loop: every frame is searched by dlib's HOG detector at full size with one
    upsampling, detections of at least 0.3 count, and landmarks are placed in each box.

    Args:
        video: the file.
        frames: evenly spaced ones, or 0 for all.
        rounds: of both, in alternation.

    Raises:
        BadVideo: it cannot be read.
        BadArgument: the loop found no face in it, or there is nothing to time.
        MissingModel: dlib or its landmark model is not there.
    """
    check_least(0, frames=frames)
    check_least(1, rounds=rounds)
    there = probe(video)
    wanted = evenly(there.frames, frames or there.frames)
    detector = DlibHog()
    # the models are loaded, and the file is in the page cache
    list(follow(read_frames(video, wanted[:1]), detector))
    naive, fast = [], []
    for _ in range(rounds):
        spent, reference = timed(lambda: list(_search_all(video, wanted, detector)))
        naive.append(spent)
        spent, seen = timed(lambda: list(_followed(video, wanted, detector)))
        fast.append(spent)
    apart = [
        _apart(face.landmarks, same[0].landmarks) if same else None
        for one, other in zip(reference, seen, strict=True)
        for face in one
        for same in [[near for near in other if overlap(near.box, face.box) > 0.3]]
    ]
    found = [distance for distance in apart if distance is not None]
    if not found:
        raise BadArgument(video, "shows no face that both ways find", "give another video")
    return ExtractBench(
        frames=len(wanted),
        size=f"{there.width} x {there.height}",
        seconds=statistics.median(fast),
        naive_seconds=statistics.median(naive),
        naive_faces=len(apart),
        kept=len(found) / len(apart),
        apart_median=float(np.median(found)),
        apart_95=float(np.percentile(found, 95)),
        machine=machine(detector=detector.name),
    )


def _search_all(
    video: Path, wanted: Sequence[int], detector: DlibHog
) -> Iterator[tuple[Detection, ...]]:
    import dlib  # only this benchmark calls it past the detector

    hog = dlib.get_frontal_face_detector()
    for frame in read_frames(video, wanted):
        image = frame.rgb
        found = []
        for box, score in zip(*hog.run(image, 1, 0.0)[:2], strict=True):
            if score >= detector.min_score:
                edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
                face = (edges[0] - 0.5, edges[1] - 0.5, edges[2] - 0.5, edges[3] - 0.5)
                landmarks = detector.landmarks(image, face)
                found.append(Detection(box=face, score=score, landmarks=landmarks))
        yield tuple(found)


def _followed(
    video: Path, wanted: Sequence[int], detector: DlibHog
) -> Iterator[tuple[Detection, ...]]:
    for seen in follow(read_frames(video, wanted), detector):
        yield seen.faces


def _apart(one: Landmarks, other: Landmarks) -> float:
    eyes = np.linalg.norm(one[36:42].mean(axis=0) - one[42:48].mean(axis=0))
    return float(np.linalg.norm(one - other, axis=1).mean() / eyes)
