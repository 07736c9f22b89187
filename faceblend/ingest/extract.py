"""Photographs and videos -> bank: resumable, one checkpoint a video, every refusal told.

A "video" of photographs is what ``group`` says: pictures whose faces never lend to each
other; a video file is one by itself. Each video is one task; when its crops are written it
leaves a checkpoint, and a run that was cut off does the videos that have none.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import cv2
import numpy as np

from faceblend import atomic, jobs
from faceblend.bank import FaceBank, FaceRow
from faceblend.errors import BadArgument, BadVideo, MissingModel
from faceblend.face import Image
from faceblend.ingest.crop import CROP_SIZE, align_face, crop_face
from faceblend.ingest.detect import Detection, Detector, DlibHog
from faceblend.ingest.group import check_rule, named, safe_path
from faceblend.ingest.landmarks import LandmarksReport, landmarks
from faceblend.ingest.look import (
    Kind,
    Refusal,
    counted,
    disk_failed,
    face_size,
    look,
    told,
    write_refusals,
)
from faceblend.ingest.photograph import (
    MAX_PIXELS,
    SUFFIXES,
    Listing,
    Photograph,
    list_photographs,
    read_photograph,
)
from faceblend.ingest.track import follow
from faceblend.ingest.video import SUFFIXES as CLIPS
from faceblend.ingest.video import evenly, probe, read_frames

__all__ = [
    "ExtractReport",
    "LandmarksReport",
    "crop_face",
    "extract",
    "landmarks",
    "read_photograph",
]

SETTINGS = "settings.json"
"""How the bank is being made; written first, so that no other settings continue it."""

_FORMAT = 1  # of checkpoints
_LEAST_CROP = 32  # px
_CROPS = {"none": crop_face, "five-point": align_face}
_ENCODINGS: dict[str, list[int]] = {
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],  # more makes it 6% smaller in twice the time
    "jpg": [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ],
}


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What a call of :func:`extract` left behind."""

    bank: FaceBank
    """the finished bank"""
    faces: int
    """faces in it"""
    videos: int
    """videos that were looked at"""
    kept: int
    """those of them that an earlier run had finished"""
    undone: int
    """those of them that are not in the bank yet: other slices, or failed"""
    pictures: int
    """photographs that were looked at"""
    clips: int
    """video files that were looked at"""
    errors: dict[str, int]
    """lines of ``errors.jsonl`` by kind"""
    ignored: dict[str, int]
    """files that are no photographs by suffix"""
    seconds: float
    """time that this call took"""

    def __str__(self) -> str:
        text = (
            f"{self.faces:,} faces from {self._files()} of {self.videos:,} videos"
            f" in {self.bank.root} ({self.seconds:.1f} s)"
        )
        if self.undone:
            text += f"\nnot done yet: {self.undone:,} videos"
        if self.errors:
            text += f"\nrefused: {counted(self.errors)}, see {self.bank.root / 'errors.jsonl'}"
        if self.ignored:
            text += f"\nignored: {counted(self.ignored)}"
        return text

    def _files(self) -> str:
        files = [(self.pictures, "pictures"), (self.clips, "video files")]
        return " and ".join(f"{count:,} {kind}" for count, kind in files if count)


def extract(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    group: str = "folder",
    subject: str | None = None,
    detector: Detector | None = None,
    faces: Literal["largest", "all"] = "largest",
    min_face: int = 40,
    crop_size: int = CROP_SIZE,
    crop_format: Literal["png", "jpg"] = "png",
    align: Literal["none", "five-point"] = "none",
    frames_per_video: int = 32,
    max_pixels: int = MAX_PIXELS,
    offset: int = 0,
    num: int | None = None,
    workers: int = 1,
    executor: Executor | None = None,
) -> ExtractReport:
    """Find the faces in photographs and videos and make a bank of them.

    The same call continues a run that was cut off, and does the videos again whose
    files have changed since. The bank is the same byte for byte whatever the number of
    workers and however often it was cut off.

    Args:
        source: folder of photographs and videos, searched with its subfolders; or one video.
        out: folder of the bank; new, empty, or one of the same settings.
        group: what a "video" of photographs is: ``folder``; ``file``, each photograph by
            itself; or a regular expression that is searched in the path below ``source``, whose
            first group (or whole match) names the video. A path without a match is refused.
        subject: who is shown, by the same rules; a path without a match shows nobody known.
        detector: finds faces; :class:`~faceblend.ingest.detect.DlibHog` if not given.
        faces: the largest face of each photograph and frame, or ``all``.
        min_face: least size of a face, px: the longer side of its landmarks' bounding box
            in the photograph. Smaller ones are refused.
        crop_size: side of the crops, px.
        crop_format: ``png``, lossless; or ``jpg``, quality 95 with full colour (4:4:4).
        align: ``none``, the upright square around the landmarks; or ``five-point``, turned and
            scaled so that eyes, nose and mouth come onto a template.
        frames_per_video: frames of each video file, evenly spaced from the first to the last;
            0 takes all.
        max_pixels: photographs and frames with more are refused before they are decoded.
        offset: how many videos, in the order of their names, are left to other runs.
        num: how many after those are this run's; all if not given, 0 makes the bank of what is
            done and does nothing else. Runs over slices may share ``out``; the last of them, or
            one with ``num=0``, makes the bank of all.
        workers: processes.
        executor: any ``concurrent.futures.Executor`` instead of ``workers`` processes.

    Raises:
        BadArgument: a value cannot be used, ``source`` holds no photograph, or ``out`` holds
            other files, other photographs' faces or a bank of other settings.
        BadBank: no photograph gave a face; ``errors.jsonl`` tells why.
        MissingModel: dlib or its landmark model is not there.
    """
    started = time.monotonic()
    detector = detector if detector is not None else DlibHog()
    settings = _Settings(
        detector=detector.name,
        group=group,
        subject=subject,
        faces=faces,
        min_face=min_face,
        crop_size=crop_size,
        crop_format=crop_format,
        align=align,
        frames_per_video=frames_per_video,
        max_pixels=max_pixels,
    )
    root = Path(out).resolve()
    folder, listing = _listed(Path(source).resolve(), root)
    videos, refusals = _plan(listing, settings, folder.name)
    _take_over(root, settings)
    work = _Extraction(source=folder, out=root, settings=settings, detector=detector)
    _check_same_source(work, videos)
    before = {video: work.finished(video) for video in videos}
    done = {video: finished for video, finished in before.items() if finished is not None}
    kept = len(done)
    mine = _slice(videos, offset, num)
    refusals += _do_the_rest(work, mine, done, workers, executor)
    for video in videos:
        finished = None if video in done or video in mine else work.finished(video)
        if finished is not None:
            done[video] = finished  # by a run over another slice, meanwhile
    refusals += [refusal for finished in done.values() for refusal in finished.refusals]
    rows = [row for finished in done.values() for row in finished.rows]
    errors = write_refusals(root / "errors.jsonl", refusals)
    if len(mine) == len(videos):
        _sweep(work, videos, rows)  # nobody else is at it
    bank = FaceBank.create(root, rows, crop_size=crop_size, made_by=asdict(settings))
    return ExtractReport(
        bank=bank,
        faces=len(bank),
        videos=len(videos),
        kept=kept,
        undone=sum(video not in done for video in videos),
        pictures=len(listing.photographs) - sum(video.is_clip for video in videos),
        clips=sum(video.is_clip for video in videos),
        errors=errors,
        ignored=listing.ignored,
        seconds=time.monotonic() - started,
    )


def _do_the_rest(
    work: "_Extraction",
    videos: list["_Video"],
    done: dict["_Video", "_Finished"],
    workers: int,
    executor: Executor | None,
) -> list[Refusal]:
    """Extract the videos that are not ``done`` into it; tell which failed as a whole."""
    refusals: list[Refusal] = []
    todo = [video for video in videos if video not in done]
    outcomes = jobs.run(todo, work, workers=workers, executor=executor)
    (work.out / "bank.json").unlink(missing_ok=True)  # no bank while its crops change
    total = sum(len(video.photographs) for video in videos)
    kept = sum(len(video.photographs) for video in videos if video in done)
    with jobs.progress("extract", total=total, unit="files", kept=kept) as report:
        for outcome in outcomes:
            video = outcome.task
            if isinstance(outcome.error, MissingModel):
                raise outcome.error
            if outcome.error is not None:
                report.warn(f"{video.name}: {outcome.error}")
                refusals += video.failed(told(outcome.error))
            elif outcome.result is not None:
                done[video] = outcome.result
            report.advance(len(video.photographs))
    return refusals


# -- what is to be done ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Everything that decides what a bank holds, besides the photographs."""

    detector: str
    group: str
    subject: str | None
    faces: str
    min_face: int
    crop_size: int
    crop_format: str
    align: str
    frames_per_video: int
    max_pixels: int

    def __post_init__(self) -> None:
        lowest = {"min_face": 1, "crop_size": _LEAST_CROP, "frames_per_video": 0, "max_pixels": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise BadArgument(name, f"is {getattr(self, name)}", f"give {least} or more")
        choices = {
            "faces": ("largest", "all"),
            "crop_format": tuple(_ENCODINGS),
            "align": tuple(_CROPS),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise BadArgument(
                    name, f"is {getattr(self, name)!r}", f"give {' or '.join(known)}"
                )
        check_rule("group", self.group)
        check_rule("subject", self.subject or "")

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Video:
    """One task: photographs whose faces belong together, or one video file."""

    name: str
    photographs: tuple[Photograph, ...]

    @property
    def is_clip(self) -> bool:
        """It is a video file."""
        return _is_clip(self.photographs[0])

    def failed(self, reason: str) -> list[Refusal]:
        return [
            Refusal(source=photograph.source, kind="failed", reason=reason)
            for photograph in self.photographs
        ]


def _plan(
    listing: Listing, settings: _Settings, root_name: str
) -> tuple[list[_Video], list[Refusal]]:
    refusals = [
        Refusal(source=source, kind="unreadable", reason=reason)
        for source, reason in listing.unreachable
    ]
    groups: dict[str, list[Photograph]] = {}
    clips = {one.source for one in listing.photographs if _is_clip(one)}
    for photograph in listing.photographs:
        rule = "file" if _is_clip(photograph) else settings.group
        name = named(rule, photograph.source, root_name)
        if name is None:
            reason = f"its path does not match --group {settings.group!r}; widen it"
            refusals.append(Refusal(source=photograph.source, kind="ungrouped", reason=reason))
        elif name in clips and not _is_clip(photograph):
            reason = f"--group calls it {name!r}, as a video file is; choose another rule"
            refusals.append(Refusal(source=photograph.source, kind="ungrouped", reason=reason))
        else:
            groups.setdefault(name, []).append(photograph)
    videos = [_Video(name=name, photographs=tuple(groups[name])) for name in sorted(groups)]
    return videos, refusals


def _slice(videos: list["_Video"], offset: int, num: int | None) -> list["_Video"]:
    for name, value in (("offset", offset), ("num", num)):
        if value is not None and value < 0:
            raise BadArgument(name, f"is {value}", "give 0 or more")
    return videos[offset : None if num is None else offset + num]


def _listed(source: Path, out: Path) -> tuple[Path, Listing]:
    """The folder that sources are relative to, and what lies in it."""
    if not (source.is_file() and source.suffix.lower() in CLIPS):
        return source, list_photographs(source, leave_out=out, suffixes=(*SUFFIXES, *CLIPS))
    status = source.stat()
    clip = Photograph(source=source.name, size=status.st_size, mtime_ns=status.st_mtime_ns)
    return source.parent, Listing(photographs=(clip,), unreachable=(), ignored={})


def _is_clip(file: Photograph) -> bool:
    return PurePosixPath(file.source).suffix.lower() in CLIPS


# -- a folder that may be continued ------------------------------------------------------


def _take_over(root: Path, settings: _Settings) -> None:
    """Make the bank's folder ours, if it is new, empty or of the same settings."""
    path = root / SETTINGS
    try:
        root.mkdir(parents=True, exist_ok=True)
        strangers = sorted(one.name for one in root.iterdir() if not _is_temporary(one))
        there = json.loads(path.read_bytes()) if SETTINGS in strangers else None
    except (OSError, ValueError) as error:
        raise BadArgument(
            root, f"cannot be used as a bank ({told(error)})", "give another folder"
        ) from error
    if there is None and strangers:
        raise BadArgument(
            root,
            f"holds other files ({', '.join(strangers[:3])}) and no {SETTINGS}",
            "give a new or empty folder",
        )
    if there is None:
        atomic.write_json(path, asdict(settings))
        return
    differing = _differences(there, asdict(settings))
    if differing:
        raise BadArgument(
            root,
            f"is a bank of other settings: {'; '.join(differing)}",
            "give the same to continue it, or another folder",
        )


def _differences(there: Any, here: Mapping[str, Any]) -> list[str]:
    if not isinstance(there, dict):
        return [f"{SETTINGS} holds none"]
    return [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


def _check_same_source(work: "_Extraction", videos: list[_Video]) -> None:
    # a second source in the same folder would sweep away the first one's faces
    others = next((work.out / "checkpoints").rglob("*.json"), None)
    if others is not None and not any(work.checkpoint(video).exists() for video in videos):
        raise BadArgument(
            work.out,
            f"holds the faces of other photographs, and none of those in {work.source}",
            "give another folder for these",
        )


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(atomic.TEMPORARY)


def _sweep(work: "_Extraction", videos: list["_Video"], rows: list[FaceRow]) -> None:
    """Delete what no bank names: of videos that changed, and of writers that were killed."""
    wanted = {work.out / row.crop for row in rows}
    wanted |= {work.checkpoint(video) for video in videos}
    for folder in (work.out / "crops", work.out / "checkpoints"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file() and path not in wanted:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    for path in work.out.iterdir():
        if _is_temporary(path):
            path.unlink()


# -- one video ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """What a video gave; its checkpoint says the same."""

    rows: tuple[FaceRow, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, kw_only=True)
class _Extraction:
    """Extracts one video; travels to the workers."""

    source: Path
    out: Path
    settings: _Settings
    detector: Detector

    def __call__(self, video: _Video) -> _Finished:
        rows: list[FaceRow] = []
        refusals: list[Refusal] = []
        if video.is_clip:
            self._extract_clip(video, rows, refusals)
        else:
            for frame, photograph in enumerate(video.photographs):
                self._extract(video, frame, photograph, rows, refusals)
        finished = _Finished(rows=tuple(rows), refusals=tuple(refusals))
        # what failed is tried again by the next run
        if all(refusal.kind != "failed" for refusal in refusals):
            saved = json.dumps({**self._key(video), **asdict(finished)}, ensure_ascii=False)
            atomic.write_bytes(self.checkpoint(video), saved.encode())
        return finished

    def _extract(
        self,
        video: _Video,
        frame: int,
        photograph: Photograph,
        rows: list[FaceRow],
        refusals: list[Refusal],
    ) -> None:
        settings, source = self.settings, photograph.source
        seen = look(
            self.source,
            source,
            self.detector,
            only_largest=settings.faces == "largest",
            min_face=settings.min_face,
            max_pixels=settings.max_pixels,
        )
        if seen.refusal is not None:
            refusals.append(seen.refusal)
        if seen.image is not None:
            self._cut(video, frame, source, seen.image, seen.faces, rows, refusals)

    def _extract_clip(self, video: _Video, rows: list[FaceRow], refusals: list[Refusal]) -> None:
        settings, source = self.settings, video.photographs[0].source
        path = self.source / source
        frames = faces = 0
        try:
            there = probe(path)
            count = settings.frames_per_video or there.frames
            wanted = read_frames(path, evenly(there.frames, count), max_pixels=settings.max_pixels)
            for seen in follow(wanted, self.detector):
                chosen = seen.faces[:1] if settings.faces == "largest" else seen.faces
                if not all(np.isfinite(one.landmarks).all() for one in chosen):
                    raise ValueError(f"landmarks of frame {seen.frame.number} are no numbers")
                usable = [one for one in chosen if face_size(one.landmarks) >= settings.min_face]
                if usable:  # turning a frame into RGB costs more than all the rest of an empty one
                    number, image = seen.frame.number, seen.frame.rgb
                    self._cut(video, number, source, image, usable, rows, refusals)
                frames, faces = frames + 1, faces + len(chosen)
            if there.frames < there.claimed:
                words = f"its header says {there.claimed} frames, and {there.frames} are there"
                refusals.append(Refusal(source=source, kind="cut-off", reason=words))
        except BadVideo as error:
            kind: Kind = "cut-off" if frames else "unreadable"
            if disk_failed(error):
                kind = "failed"
            reason = "; ".join(error.args[1:])
            refusals.append(Refusal(source=source, kind=kind, reason=reason))
        if frames and not rows:
            kind, reason = "no-face", f"shows no face in {frames} frames that the detector finds"
            if faces:
                kind = "small-face"
                reason = f"its faces are under {settings.min_face} px; lower --min-face"
            refusals.append(Refusal(source=source, kind=kind, reason=reason))

    def _cut(
        self,
        video: _Video,
        frame: int,
        source: str,
        image: Image,
        faces: Iterable[Detection],
        rows: list[FaceRow],
        refusals: list[Refusal],
    ) -> None:
        settings = self.settings
        subject = settings.subject and named(settings.subject, source, self.source.name)
        for number, face in enumerate(faces):
            try:
                crop, points, crop_to_frame = _CROPS[settings.align](
                    image, face.landmarks, settings.crop_size
                )
            except ValueError as error:  # a detector's landmarks can be anything
                refusals.append(Refusal(source=source, kind="failed", reason=told(error)))
                continue
            data = self._encoded(crop)
            path = f"crops/{safe_path(video.name)}/{frame:06d}_{number}.{settings.crop_format}"
            atomic.write_bytes(self.out / path, data)
            rows.append(
                FaceRow(
                    video=video.name,
                    frame=frame,
                    subject=subject or None,
                    source=source,
                    crop=path,
                    crc32=zlib.crc32(data),
                    box=[float(np.float32(edge)) for edge in face.box],
                    score=float(np.float32(face.score)),
                    landmarks=points.ravel().tolist(),
                    crop_to_frame=crop_to_frame.ravel().tolist(),
                )
            )

    def _encoded(self, crop: Image) -> bytes:
        kind = self.settings.crop_format
        bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        return bytes(cv2.imencode(f".{kind}", bgr, _ENCODINGS[kind])[1].tobytes())

    def checkpoint(self, video: _Video) -> Path:
        """Where a finished video says so."""
        return self.out / "checkpoints" / f"{safe_path(video.name)}.json"

    def finished(self, video: _Video) -> _Finished | None:
        """What an earlier run made of a video; None where it is to be done."""
        try:
            saved = json.loads(self.checkpoint(video).read_bytes())
            key = self._key(video)
            if {name: saved[name] for name in key} != key:
                return None
            finished = _Finished(
                rows=tuple(FaceRow(**row) for row in saved["rows"]),
                refusals=tuple(Refusal(**one) for one in saved["refusals"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # missing or damaged: the video is done again
        return finished if all(map(self._has_crop, finished.rows)) else None

    def _has_crop(self, row: FaceRow) -> bool:
        try:
            return zlib.crc32((self.out / row.crop).read_bytes()) == row.crc32
        except OSError:
            return False  # lost: the video is done again

    def _key(self, video: _Video) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "video": video.name,
            "settings": self.settings.digest,
            "inputs": [[one.source, one.size, one.mtime_ns] for one in video.photographs],
        }
