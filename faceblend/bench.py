"""Every speed claim as a command: warm-up, repeated rounds, medians, and the time of each step."""

import cProfile
import inspect
import platform
import pstats
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from faceblend import draw, partner
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.face import Landmarks
from faceblend.ingest.detect import Detection, DlibHog, overlap
from faceblend.ingest.track import follow
from faceblend.ingest.video import evenly, probe, read_frames
from faceblend.ops import NAMED, degrade, geometry, mask, warp
from faceblend.ops import xray as xrays
from faceblend.recipe import Recipe
from faceblend.sample import sample, versions

T = TypeVar("T")

STEPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "read and decode crops": (FaceBank.__getitem__,),
    "search the partner": (partner.nearest,),
    "draw the numbers": (draw.draw,),
    "resize to the working size": (geometry.resize,),
    "mask": tuple(NAMED["mask"].values()),
    "deform the mask": (warp.piecewise, warp.bend),
    "erode, dilate": (mask.erode, mask.dilate),
    "soften the edge": (mask.feather, mask.blur),
    "place the foreground": (warp.place,),
    "match colours": tuple(NAMED["color"].values()),
    "blend": tuple(NAMED["blend"].values()),
    "resample": (degrade.resample,),
    "JPEG": (degrade.jpeg,),
    "crop, flip": (geometry.crop, geometry.flip),
    "X-ray": (xrays.xray,),
}
"""What each line of the table times; a step's time includes what it calls."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Figures of one benchmark, ready for JSON."""

    samples_per_second: float
    """median over the rounds"""
    rounds: list[float]
    """samples a second of each round"""
    step_ms: dict[str, float]
    """mean milliseconds a sample of each step, measured in a profiled round of its own"""
    machine: dict[str, Any]
    """processor, Python and library versions"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_generate(
    bank: FaceBank, recipe: Recipe, *, count: int = 200, rounds: int = 5, fakes_only: bool = True
) -> Bench:
    """Time ``sample`` on one core, storing nothing.

    Args:
        bank: the faces; its files should be in the page cache, the warm-up sees to it.
        recipe: what is drawn.
        count: samples a round; every round makes other samples.
        rounds: timed rounds after one that is not counted.
        fakes_only: make every sample a fake, the dearer class.

    Raises:
        BadArgument: there is nothing to time.
    """
    _check_least(1, count=count, rounds=rounds)
    if fakes_only:
        recipe = replace(recipe, fake_share=1.0)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rates = [_rate(bank, recipe, number, count) for number in range(rounds + 1)][1:]
        steps = _profiled(bank, recipe, count)
    finally:
        cv2.setNumThreads(threads)
    return Bench(
        samples_per_second=statistics.median(rates),
        rounds=rates,
        step_ms=steps,
        machine={
            "processor": _processor(),
            "python": platform.python_version(),
            **versions(),
            "faces": len(bank),
            "crop_format": Path(bank.crop(0)).suffix,
            "recipe": recipe.name,
            "candidates": recipe.partner.candidates,
        },
    )


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
    _check_least(0, frames=frames)
    _check_least(1, rounds=rounds)
    there = probe(video)
    wanted = evenly(there.frames, frames or there.frames)
    detector = DlibHog()
    # the models are loaded, and the file is in the page cache
    list(follow(read_frames(video, wanted[:1]), detector))
    naive, fast = [], []
    for _ in range(rounds):
        spent, reference = _timed(lambda: list(_search_all(video, wanted, detector)))
        naive.append(spent)
        spent, seen = _timed(lambda: list(_followed(video, wanted, detector)))
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
        machine={
            "processor": _processor(),
            "python": platform.python_version(),
            **versions(),
            "detector": detector.name,
        },
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


def _check_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise BadArgument(name, f"is {value}", f"give {least} or more")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _rate(bank: FaceBank, recipe: Recipe, seed: int, count: int) -> float:
    start = time.perf_counter()
    for index in range(count):
        sample(bank, recipe, seed, index)
    return count / (time.perf_counter() - start)


def _profiled(bank: FaceBank, recipe: Recipe, count: int) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.enable()
    _rate(bank, recipe, 0, count)
    profile.disable()
    # functions by where their code starts: names alone are not unique
    stats = pstats.Stats(profile)
    spent = {place: row[3] for place, row in stats.stats.items()}  # type: ignore[attr-defined]
    steps = {name: _total(spent, functions) for name, functions in STEPS.items()}
    steps["draw the numbers"] -= steps["search the partner"]
    steps["record and the rest"] = _total(spent, (sample,)) - sum(steps.values())
    return {name: 1000 * seconds / count for name, seconds in steps.items()}


def _total(
    spent: Mapping[tuple[str, int, str], float], functions: tuple[Callable[..., Any], ...]
) -> float:
    codes = (inspect.unwrap(function).__code__ for function in functions)
    places = [(code.co_filename, code.co_firstlineno, code.co_name) for code in codes]
    return float(np.sum([spent.get(place, 0.0) for place in places]))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
