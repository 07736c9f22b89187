"""A bank in the layouts that other programs read: DeepfakeBench's tree, frame dumps, tables."""

import io
import os
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import cv2
import numpy as np
import pyarrow as pa

from faceblend import atomic, jobs, within
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, FaceblendError, shown
from faceblend.face import Image, Landmarks
from faceblend.faces_df import write_faces_df
from faceblend.ingest.crop import Crop
from faceblend.ingest.deepfakebench import has_frames, picture_paths, read_deepfakebench
from faceblend.ingest.group import safe_path
from faceblend.ingest.video import SUFFIXES

Layout = Literal["deepfakebench", "folder", "json", "faces-df"]

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|(?:\A|/)-")
"""In names of videos: what a terminal or a command would obey."""

_LONGEST = 200  # bytes of a folder's name; disks take 255, temporary files add some

DEEPFAKEBENCH_SIZE = 256
"""px; DeepfakeBench resizes pictures to this as it reads them, and their landmarks not."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export wrote."""

    out: Path
    faces: int
    """faces in ``out``"""
    kept: int
    """of these, faces that an earlier run had written"""
    refused: tuple[tuple[str, str], ...]
    """crops that could not be read, and why, ordered by crop"""

    def __str__(self) -> str:
        kept = f" ({self.kept:,} were there)" if self.kept else ""
        refused = f"; {len(self.refused):,} refused" if self.refused else ""
        return f"{self.faces:,} faces in {self.out}{kept}{refused}"


def open_bank(path: Path, crops: Path | None = None) -> FaceBank:
    """A bank, whatever lies there: its own folder, a classic landmark file, DeepfakeBench's tree.

    Args:
        path: the folder, or the landmark file.
        crops: folder that the keys of a landmark file start from; its own if not given.

    Raises:
        BadArgument: ``crops`` is given with a folder.
        BadBank: there is no bank, or it is damaged.
    """
    if path.suffix == ".json":
        return FaceBank.from_landmarks_json(path, crops if crops is not None else path.parent)
    if crops is not None:
        raise BadArgument("--crops", "goes with a landmark file", f"{path} is a folder: drop it")
    if path.is_dir() and not (path / "bank.json").exists():
        tree = _deepfakebench(path)
        if tree is not None:
            return tree
    return FaceBank.open(path)


def export_bank(
    bank: FaceBank,
    out: str | os.PathLike[str],
    to: Layout,
    *,
    size: int | None = None,
    dataset: str | None = None,
    videos: pa.Table | None = None,
    workers: int = 1,
) -> ExportReport:
    """Write a bank in another layout; a run that was cut off continues.

    ===============  ==================================================================
    deepfakebench    ``frames/<video>/%03d.png``, ``landmarks/<video>/%03d.npy`` (68x2
                     float32) and ``<dataset>.json``, written last
    folder           ``<video>/%03d.png``
    json             the classic landmark file of the bank's crops; ``out`` is that file
    faces-df         one row a face with the columns of icpr2020dfdc's ``faces_df``, as
                     parquet; ``out`` is that file (:mod:`faceblend.faces_df`)
    ===============  ==================================================================

    ``%03d`` is the frame's number; a second face of one frame is ``012_1``. A video's folder
    is its name without ``.mp4`` and the like, and with a hash where that could not be one:
    control characters, a dash at its front, over 200 bytes. PNGs hold exactly the pixels of
    the bank's crops where ``size`` does not change them. Files that are there already are
    compared with what would be written, so a second run also verifies the first.

    Args:
        bank: the faces.
        out: folder, or file, to write.
        to: the layout.
        size: side of the pictures, px; landmarks are scaled with them. If not given, 256 for
            ``deepfakebench``, which is what it reads, and the bank's own for ``folder``.
        dataset: name in DeepfakeBench's JSON, and of the file; that of ``out`` if not given.
        videos: video table with a ``path`` column, for what the bank does not know of the
            videos in ``faces-df``.
        workers: processes.

    Raises:
        BadArgument: an option goes with another layout; a file is in the way that holds
            something else; another run writes ``out``; or ``videos`` lacks a video of the bank.
        BadBank: two videos would share a folder, or a video's name cannot be a folder's.
    """
    out = Path(out)
    _check(to, size, dataset, videos)
    if to == "json":
        bank.to_landmarks_json(out)
        return ExportReport(out=out, faces=len(bank), kept=0, refused=())
    if to == "faces-df":
        write_faces_df(bank, out, videos)
        return ExportReport(out=out, faces=len(bank), kept=0, refused=())
    if size is None:
        size = DEEPFAKEBENCH_SIZE if to == "deepfakebench" else bank.crop_size
    plans = _plans(bank, to)
    write = _Writer(bank=bank, root=out, size=size, landmarks=to == "deepfakebench")
    with atomic.alone_in(out):
        report = _written(plans, write, workers)
        if to == "deepfakebench":
            name = dataset if dataset is not None else out.absolute().name
            refused = {crop for crop, _ in report.refused}
            tree = {name: _rearranged(bank, plans, name, refused)}
            atomic.write_json(out / f"{name}.json", tree)
    return report


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The faces of one video and where each goes."""

    video: str
    """its folder"""
    faces: tuple[tuple[int, str, str | None], ...]
    """row, picture, landmark file"""


@dataclass(frozen=True, kw_only=True)
class _Done:
    kept: int
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Writes one video's faces; in another process, too."""

    bank: FaceBank
    root: Path
    size: int
    landmarks: bool

    def __call__(self, plan: _Plan) -> _Done:
        kept, refused = 0, []
        for row, picture, points in plan.faces:
            try:
                face = self.bank[row]
            except FaceblendError as error:
                refused.append((self.bank.crop(row), error.reason))
                continue
            image, landmarks = _resized(face.image, face.landmarks, self.size)
            there = _put(self.root / picture, _png(image))
            if points is not None:
                there &= _put(self.root / points, _npy(landmarks))
            kept += there
        return _Done(kept=kept, refused=tuple(refused))


def _check(to: str, size: int | None, dataset: str | None, videos: pa.Table | None) -> None:
    if to not in get_args(Layout):
        raise BadArgument("to", f"is {to!r}", f"give one of {', '.join(get_args(Layout))}")
    goes_with: list[tuple[str, Any, tuple[str, ...]]] = [
        ("size", size, ("deepfakebench", "folder")),
        ("dataset", dataset, ("deepfakebench",)),
        ("videos", videos, ("faces-df",)),
    ]
    for name, value, layouts in goes_with:
        if value is not None and to not in layouts:
            raise BadArgument(name, f"has no use with {to}", f"it is for {' and '.join(layouts)}")
    if size is not None and size < 1:
        raise BadArgument("size", f"is {size}", "give 1 px or more")
    if dataset is not None and (not dataset or PurePosixPath(dataset).name != dataset):
        raise BadArgument("dataset", f"is {dataset!r}", "give a name that a file can have")


def _plans(bank: FaceBank, to: Layout) -> list[_Plan]:
    names = bank.table["video"].to_pylist()
    frames = bank.table["frame"].to_pylist()
    place_of = {video: _place(video, bank, to) for video in dict.fromkeys(names)}
    shared = Counter(place_of.values())
    for video, place in place_of.items():
        if shared[place] > 1:
            raise BadBank(
                f"{bank.root}: video {video!r}",
                f"shares the folder {place!r} with another video",
                "extract the bank again with distinct names",
            )
    faces: dict[str, list[tuple[int, str, str | None]]] = defaultdict(list)
    seen: Counter[tuple[str, int]] = Counter()
    for row, (video, frame) in enumerate(zip(names, frames, strict=True)):
        nth = seen[video, frame]
        seen[video, frame] += 1
        name = f"{frame:03d}_{nth}" if nth else f"{frame:03d}"
        place = place_of[video]
        if to == "deepfakebench":
            faces[place].append((row, *picture_paths(place, name)))
        else:
            faces[place].append((row, f"{place}/{name}.png", None))
    return [_Plan(video=place, faces=tuple(found)) for place, found in faces.items()]


def _place(video: str, bank: FaceBank, to: Layout) -> str:
    path = PurePosixPath(video)
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    # a tree that was read by its folders: frames/000 is video 000
    if to == "deepfakebench" and path.parent.name == "frames":
        path = path.parent.parent / path.name
    where = f"{bank.root}: video {video!r}"
    if within.leaves(path.as_posix()) or "\\" in video:
        raise BadBank(where, "cannot name a folder", "extract the bank again with other names")
    if to == "deepfakebench" and "frames" in path.as_posix():
        raise BadBank(
            where,
            "has 'frames' in its name, which DeepfakeBench replaces to find its landmarks",
            "extract the bank again with other names",
        )
    long = max(len(part.encode()) for part in path.parts) > _LONGEST
    place = path.as_posix()
    return safe_path(place) if long or _ODD.search(place) else place


def _written(plans: list[_Plan], write: _Writer, workers: int) -> ExportReport:
    total = sum(len(plan.faces) for plan in plans)
    kept = 0
    refused: list[tuple[str, str]] = []
    with jobs.progress("export", total=total, unit="faces") as report:
        for outcome in jobs.run(plans, write, workers=workers):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            kept += outcome.result.kept
            refused += outcome.result.refused
            report.advance(len(outcome.task.faces))
    return ExportReport(
        out=write.root,
        faces=total - len(refused),
        kept=kept,
        refused=tuple(sorted(refused)),
    )


def _rearranged(
    bank: FaceBank, plans: list[_Plan], name: str, refused: set[str]
) -> dict[str, Any]:
    labels = bank.table["label"].to_pylist()
    splits = bank.table["split"].to_pylist()
    real, fake = f"{name}_Real", f"{name}_Fake"
    # DeepfakeBench asks for every split of every label
    tree: dict[str, Any] = {
        label: {split: {} for split in ("train", "val", "test")} for label in (real, fake)
    }
    for plan in plans:
        for row, picture, _ in plan.faces:
            if bank.crop(row) in refused:
                continue
            label = fake if labels[row] else real
            of_split = tree[label].setdefault(splits[row] or "train", {})
            video = of_split.setdefault(plan.video, {"label": label, "frames": []})
            video["frames"].append(f"{name}/{picture}")
    return tree


def _resized(image: Image, landmarks: Landmarks, size: int) -> tuple[Crop, Landmarks]:
    side = image.shape[0]
    if size == side:
        return image, landmarks
    how = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
    # pixel centres are at integers
    points = (landmarks + 0.5) * (size / side) - 0.5
    small = np.asarray(cv2.resize(image, (size, size), interpolation=how))
    return small, points.astype(np.float32)


def _put(path: Path, data: bytes) -> bool:
    """Write a file, or find that it is there; whether it was."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        atomic.write_bytes(path, data)
        return False
    if found != data:
        raise BadArgument(
            path, "is there and holds something else", "export into a folder of its own"
        )
    return True


def _png(image: Image) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape} as PNG")
    return bytes(data)


def _npy(points: Landmarks) -> bytes:
    file = io.BytesIO()
    np.save(file, points, allow_pickle=False)
    return file.getvalue()


def _deepfakebench(path: Path) -> FaceBank | None:
    """A DeepfakeBench tree, where the folder is one."""
    if not has_frames(path):
        return None
    tree = read_deepfakebench(path)
    for refused in tree.refused:
        print(shown(f"{refused.source}: {refused.reason}"), file=sys.stderr)
    return tree.bank
