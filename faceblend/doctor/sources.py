"""Photographs and videos looked at before anything is extracted from them."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from faceblend import jobs
from faceblend.doctor.crops import digest_of
from faceblend.doctor.finding import Finding, Kind, few
from faceblend.doctor.lookalike import linked, look_of, lookalikes, same
from faceblend.errors import BadImage, BadVideo, MissingModel
from faceblend.face import Image
from faceblend.ingest.detect import Detector
from faceblend.ingest.photograph import SUFFIXES, list_photographs, read_photograph
from faceblend.ingest.video import SUFFIXES as CLIPS
from faceblend.ingest.video import evenly, probe, read_frames

_FRAMES = 6  # of a video that are decoded, from its first to its last
_LEAST_FRAMES = 32  # what an extraction takes of a video unless told otherwise
_LEAVE_OUT = "replace it or leave it out"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """What was seen in one file."""

    source: str
    findings: tuple[Finding, ...] = ()
    looks: np.ndarray | None = None
    """(pictures, 64) float32: the photograph, or frames of the video; None where unreadable"""
    digest: int = 0
    """of a photograph's pixels"""
    size: int = 0
    """bytes"""


def folder_findings(
    root: Path, workers: int, min_size: int, distance: int, detector: Detector | None
) -> tuple[int, list[Finding]]:
    """Look at every photograph and video of a folder.

    Returns:
        How many there are, and what was found.

    Raises:
        BadArgument: there is no such folder, or neither photograph nor video in it.
        MissingModel: the detector cannot work at all.
    """
    listing = list_photographs(root, suffixes=(*SUFFIXES, *CLIPS))
    findings = [
        Finding(item=source, kind="corrupt", detail=reason, remedy=_LEAVE_OUT)
        for source, reason in listing.unreachable
    ]
    sources = [one.source for one in listing.photographs]
    seen: list[_Seen] = []
    look = _Look(root=root, min_size=min_size, detector=detector)
    with jobs.progress("doctor", total=len(sources), unit="files") as report:
        for outcome in jobs.run(sources, look, workers=workers):
            if isinstance(outcome.error, MissingModel):
                raise outcome.error
            if outcome.result is not None:
                seen.append(outcome.result)
            else:
                detail = f"could not be looked at ({outcome.error})"
                findings.append(_finding(outcome.task, "failed", detail, "run again"))
            report.advance()
    seen.sort(key=lambda one: one.source)
    findings += [finding for one in seen for finding in one.findings]
    findings += _same_photographs([one for one in seen if not is_clip(one.source)], distance)
    findings += _same_videos(root, [one for one in seen if is_clip(one.source)], distance)
    return len(sources) + len(listing.unreachable), findings


def is_clip(source: str) -> bool:
    """It has the name of a video."""
    return PurePosixPath(source).suffix.lower() in CLIPS


def _finding(source: str, kind: Kind, detail: str, remedy: str) -> Finding:
    return Finding(item=source, kind=kind, detail=detail, remedy=remedy)


# -- one file ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Look:
    """Looks at one photograph or video; travels to the workers."""

    root: Path
    min_size: int
    detector: Detector | None

    def __call__(self, source: str) -> _Seen:
        findings: list[Finding] = []
        pictures: list[Image] = []
        try:
            for picture in self._pictures(source, findings):
                pictures.append(picture)  # those before the damage count
        except (BadImage, BadVideo) as error:
            findings.append(_finding(source, "corrupt", error.reason, str(error.args[2])))
        if not pictures:
            return _Seen(source=source, findings=tuple(findings))
        shorter = min(pictures[0].shape[:2])
        if shorter < self.min_size:
            detail = f"its shorter side has {shorter} px: no face in it has {self.min_size}"
            findings.append(_finding(source, "low-resolution", detail, "find a larger copy"))
        if self.detector is not None:
            findings += _faces(source, pictures, self.detector)
        return _Seen(
            source=source,
            findings=tuple(findings),
            looks=np.stack([look_of(picture) for picture in pictures]),
            digest=digest_of(pictures[0]),
            size=(self.root / source).stat().st_size,
        )

    def _pictures(self, source: str, findings: list[Finding]) -> Iterator[Image]:
        path = self.root / source
        if not is_clip(source):
            yield read_photograph(path)
            return
        there = probe(path)
        if there.frames < there.claimed:
            detail = f"its header says {there.claimed} frames, and {there.frames} are there"
            findings.append(_finding(source, "short", detail, "fetch it again: it was cut off"))
        elif there.frames < _LEAST_FRAMES:
            detail = f"has {there.frames} frames, under {_LEAST_FRAMES}"
            findings.append(_finding(source, "short", detail, "leave it out if that is too few"))
        for frame in read_frames(path, evenly(there.frames, _FRAMES)):
            yield frame.rgb


def _faces(source: str, pictures: list[Image], detector: Detector) -> Iterator[Finding]:
    where = f"in {len(pictures)} frames" if is_clip(source) else "in it"
    try:
        counts = [len(detector.detect(picture)) for picture in pictures]
    except MissingModel:
        raise
    except Exception as error:  # one picture that a detector chokes on stops no job
        detail = f"the detector failed {where} ({type(error).__name__}: {error})"
        yield _finding(source, "failed", detail, "look into the detector")
        return
    if max(counts) == 0:
        detail = f"the detector finds no face {where}"
        yield _finding(source, "no-face", detail, "leave it out or crop it closer")
    elif max(counts) > 1:
        detail = f"the detector finds up to {max(counts)} faces {where}"
        yield _finding(source, "multi-face", detail, "choose with --faces largest or all")


# -- files that show the same --------------------------------------------------------------


def _same_photographs(seen: Sequence[_Seen], distance: int) -> Iterator[Finding]:
    read = [one for one in seen if one.looks is not None]
    looks = np.concatenate(
        [np.empty((0, 64), np.float32), *(one.looks for one in read if one.looks is not None)]
    )
    digests = np.array([one.digest for one in read], np.int64)
    for cluster in lookalikes(looks, digests, np.arange(len(read)), distance):
        yield _duplicate([read[row].source for row in cluster])


def _same_videos(root: Path, seen: Sequence[_Seen], distance: int) -> Iterator[Finding]:
    """Videos of equal bytes, or whose frames at equal places show the same."""
    pairs = [*_of_equal_bytes(root, seen), *_of_equal_frames(seen, distance)]
    for cluster in linked(pairs, len(seen)):
        if len(cluster) > 1:
            yield _duplicate([seen[number].source for number in cluster])


def _of_equal_bytes(root: Path, seen: Sequence[_Seen]) -> Iterator[tuple[int, int]]:
    of_size: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(seen):
        if one.looks is not None:
            of_size[one.size].append(number)
    for numbers in of_size.values():
        first: dict[bytes, int] = {}
        for number in numbers if len(numbers) > 1 else []:
            digest = _file_digest(root / seen[number].source)
            if digest is not None and first.setdefault(digest, number) != number:
                yield first[digest], number


def _file_digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None  # it was readable a moment ago; whoever deletes it now needs no telling


def _of_equal_frames(seen: Sequence[_Seen], distance: int) -> Iterator[tuple[int, int]]:
    frames = [
        (number, place, look)
        for number, one in enumerate(seen)
        if one.looks is not None
        for place, look in enumerate(one.looks)
        if look.any()
    ]
    if not frames:
        return
    shown = Counter(number for number, _, _ in frames)
    matches: Counter[tuple[int, int]] = Counter()
    for one, other in same(np.stack([look for _, _, look in frames]), distance).tolist():
        (video, place, _), (video_2, place_2, _) = frames[one], frames[other]
        if video != video_2 and place == place_2:
            matches[video, video_2] += 1
    for (video, video_2), count in matches.items():
        # one frame may fall on a cut
        if count >= max(2, max(shown[video], shown[video_2]) - 1):
            yield video, video_2


def _duplicate(sources: list[str]) -> Finding:
    return _finding(
        sources[0],
        "duplicate",
        f"shows the same as {few(sources[1:])}",
        "keep the best of them, or see that one --group holds them all",
    )
