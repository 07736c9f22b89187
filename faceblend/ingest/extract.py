"""Photographs and videos -> bank: resumable, one checkpoint a video, every refusal told.

A "video" of photographs is what ``group`` says: pictures whose faces never lend to each
other; a video file is one by itself. Each video is one task; when its crops are written it
leaves a checkpoint, and a run that was cut off does the videos that have none.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from faceblend import atomic, jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, MissingModel, Unwritable
from faceblend.ingest.crop import CROP_SIZE, SCALE, crop_face
from faceblend.ingest.cut import Cutter, Finished
from faceblend.ingest.detect import Detector, DlibHog
from faceblend.ingest.landmarks import LandmarksReport, landmarks
from faceblend.ingest.look import Refusal, counted, told, write_refusals
from faceblend.ingest.photograph import MAX_PIXELS, read_photograph
from faceblend.ingest.plan import Plan, Settings, Task, plan_folder, plan_table, sliced
from faceblend.videos import VideoTable, read_videos

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
    source: str | os.PathLike[str] | VideoTable,
    out: str | os.PathLike[str],
    *,
    group: str = "folder",
    subject: str | None = None,
    labels: Literal["all", "real", "fake"] = "all",
    split: Literal["all", "train", "val", "test"] = "all",
    detector: Detector | None = None,
    faces: Literal["largest", "all", "subjects"] = "largest",
    min_face: int = 40,
    crop_size: int = CROP_SIZE,
    crop_scale: float = SCALE,
    crop_format: Literal["png", "jpg"] = "png",
    align: Literal["none", "five-point"] = "none",
    frames_per_video: int = 32,
    max_pixels: int = MAX_PIXELS,
    offset: int = 0,
    num: int | None = None,
    check: Literal["lazy", "deep"] = "deep",
    workers: int = 1,
    executor: Executor | None = None,
) -> ExtractReport:
    """Find the faces in photographs and videos and make a bank of them.

    The same call continues a run that was cut off, and does the videos again whose
    files have changed since. The bank is the same byte for byte whatever the number of
    workers and however often it was cut off.

    Args:
        source: folder of photographs and videos, searched with its subfolders; one video; or
            a table of videos, whose labels, splits and subjects go into the bank.
        out: folder of the bank; new, empty, or one of the same settings.
        group: what a "video" of photographs is: ``folder``; ``file``, each photograph by
            itself; or a regular expression that is searched in the path below ``source``, whose
            first group (or whole match) names the video. A path without a match is refused.
        subject: who is shown, by the same rules; a path without a match shows nobody known.
        labels: of a table, only ``real`` or only ``fake`` videos. Blends need reals alone.
        split: of a table, one split only. Where a rule has split it, videos in none are left out.
        detector: finds faces; :class:`~faceblend.ingest.detect.DlibHog` if not given.
        faces: the largest face of each photograph and frame; ``all``; or ``subjects``: of a
            video every person who is in a fifth of the frames with faces or more, followed by
            place. Several of them get subjects of their own, ``VIDEO#0`` and so on.
        min_face: least size of a face, px: the longer side of its landmarks' bounding box
            in the photograph. Smaller ones are refused.
        crop_size: side of the crops, px.
        crop_scale: side of the square over the longer side of the landmarks' bounding box, 1
            to 4; with ``five-point``, an aligned face is as large as in a square of this scale.
        crop_format: ``png``, lossless; or ``jpg``, quality 95 with full colour (4:4:4).
        align: ``none``, the upright square around the landmarks; or ``five-point``, turned and
            scaled so that eyes, nose and mouth come onto a template.
        frames_per_video: frames of each video file, evenly spaced from the first to the last;
            0 takes all. A split that names frames (``-Nfpv``) goes before it.
        max_pixels: photographs and frames with more are refused before they are decoded.
        offset: how many videos, in the order of their names, are left to other runs.
        num: how many after those are this run's; all if not given, 0 makes the bank of what is
            done and does nothing else. Runs over slices may share ``out``; the last of them, or
            one with ``num=0``, makes the bank of all. Where two of them do the same video, both
            write the same; a run over all of them is alone in ``out``.
        check: how crops of an earlier run are looked at before they are kept: ``deep`` reads
            them and compares their CRC-32, ``lazy`` sees that they are there and not empty.
        workers: processes.
        executor: any ``concurrent.futures.Executor`` instead of ``workers`` processes.

    Raises:
        BadArgument: a value cannot be used, ``source`` holds no photograph, ``out`` holds
            other files, other photographs' faces or a bank of other settings, or another run
            writes it.
        BadBank: no photograph gave a face; ``errors.jsonl`` tells why.
        MissingModel: dlib or its landmark model is not there.
        Unwritable: the disk is full, or ``out`` may no longer be written. Finished videos
            stand, and the same call continues.
    """
    started = time.monotonic()
    detector = detector if detector is not None else DlibHog()
    settings = Settings(
        detector=detector.name,
        group=group,
        subject=subject,
        faces=faces,
        min_face=min_face,
        crop_size=crop_size,
        crop_scale=float(crop_scale),
        crop_format=crop_format,
        align=align,
        frames_per_video=frames_per_video,
        max_pixels=max_pixels,
    )
    if check not in ("lazy", "deep"):
        raise BadArgument("check", f"is {check!r}", "give lazy or deep")
    root = Path(out).resolve()
    plan = _planned(source, root, settings, labels, split)
    work = Cutter(
        source=plan.folder, out=root, settings=settings, detector=detector, deep=check == "deep"
    )
    mine = sliced(plan.tasks, offset, num)
    with atomic.alone_in(root, shared=len(mine) < len(plan.tasks)):
        _take_over(root, settings)
        _check_same_source(work, plan.tasks)
        done = _checked(work, plan.tasks, workers, executor)
        kept = len(done)
        refusals = [*plan.refusals, *_do_the_rest(work, mine, done, workers, executor)]
        # runs over other slices may be at the end, too
        with atomic.alone_in(root / "checkpoints", wait=True):
            others = set(plan.tasks) - done.keys() - set(mine)
            done |= _checked(work, [one for one in plan.tasks if one in others], workers, executor)
            refusals += [refusal for finished in done.values() for refusal in finished.refusals]
            errors = write_refusals(root / "errors.jsonl", refusals)
            (root / "bank.json").unlink(missing_ok=True)  # no bank while its crops change
            if len(mine) == len(plan.tasks):
                _sweep(work, plan.tasks, done)  # nobody else is at it
            rows = (row for one in plan.tasks if one in done for row in work.rows(one, done[one]))
            bank = FaceBank.create(root, rows, crop_size=crop_size, made_by=asdict(settings))
    clips = sum(task.is_clip for task in plan.tasks)
    pictures = sum(len(task.photographs) for task in plan.tasks) - clips
    return ExtractReport(
        bank=bank,
        faces=len(bank),
        videos=len(plan.tasks),
        kept=kept,
        undone=len(set(plan.tasks) - done.keys()),
        pictures=pictures + sum(one.kind == "ungrouped" for one in plan.refusals),
        clips=clips,
        errors=errors,
        ignored=plan.ignored,
        seconds=time.monotonic() - started,
    )


def _planned(
    source: str | os.PathLike[str] | VideoTable,
    out: Path,
    settings: Settings,
    labels: str,
    split: str,
) -> Plan:
    if not isinstance(source, VideoTable) and Path(source).suffix == ".parquet":
        source = read_videos(source)
    if isinstance(source, VideoTable):
        return plan_table(source, settings, labels=labels, split=split)
    for name, value in (("labels", labels), ("split", split)):
        if value != "all":
            raise BadArgument(name, f"is {value!r}", "only a table of videos tells them")
    return plan_folder(Path(source).resolve(), out, settings)


def _checked(
    work: Cutter, tasks: Sequence[Task], workers: int, executor: Executor | None
) -> dict[Task, Finished]:
    """The videos that an earlier run has finished."""
    begun = [task for task in tasks if work.checkpoint(task).exists()]
    if not begun:
        return {}
    done: dict[Task, Finished] = {}
    with jobs.progress("check", total=len(begun), unit="videos") as report:
        for outcome in jobs.run(begun, work.finished, workers=workers, executor=executor):
            if outcome.result is not None:
                done[outcome.task] = outcome.result
            report.advance(1)
    return done


def _do_the_rest(
    work: Cutter,
    videos: list[Task],
    done: dict[Task, Finished],
    workers: int,
    executor: Executor | None,
) -> list[Refusal]:
    """Extract the videos that are not ``done`` into it; tell which failed as a whole."""
    refusals: list[Refusal] = []
    todo = [video for video in videos if video not in done]
    outcomes = jobs.run(todo, work, workers=workers, executor=executor)
    (work.out / "bank.json").unlink(missing_ok=True)
    total = sum(len(video.photographs) for video in videos)
    kept = sum(len(video.photographs) for video in videos if video in done)
    with jobs.progress("extract", total=total, unit="files", kept=kept) as report:
        for outcome in outcomes:
            video = outcome.task
            if isinstance(outcome.error, MissingModel | Unwritable):
                raise outcome.error  # the next videos would fare no better
            if outcome.error is not None:
                report.warn(f"{video.name}: {outcome.error}")
                refusals += video.failed(told(outcome.error))
            elif outcome.result is not None:
                done[video] = outcome.result
            report.advance(len(video.photographs))
    return refusals


# -- a folder that may be continued ------------------------------------------------------


def _take_over(root: Path, settings: Settings) -> None:
    """Make the bank's folder ours, if it is new, empty or of the same settings."""
    path = root / SETTINGS
    try:
        root.mkdir(parents=True, exist_ok=True)
        strangers = sorted(one.name for one in root.iterdir() if not _is_temporary(one))
        there = json.loads(path.read_bytes()) if SETTINGS in strangers else None
    except (OSError, ValueError, RecursionError) as error:
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


def _check_same_source(work: Cutter, videos: Sequence[Task]) -> None:
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


def _sweep(work: Cutter, tasks: Sequence[Task], done: Mapping[Task, Finished]) -> None:
    """Delete what no bank names: of videos that changed, and of writers that were killed."""
    wanted = {str(work.checkpoint(task)) for task in tasks}
    wanted |= {str(work.out / row.crop) for task in done for row in work.rows(task, done[task])}
    for folder in (work.out / "crops", work.out / "checkpoints"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file() and str(path) not in wanted:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    for path in work.out.iterdir():
        if _is_temporary(path):
            path.unlink()
