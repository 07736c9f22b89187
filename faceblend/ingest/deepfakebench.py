"""A DeepfakeBench-preprocessed tree, read in place as a bank.

Its layout: beside ``videos/`` lie ``frames/<video>/012.png``, aligned square crops, and
``landmarks/<video>/012.npy``, 81 points of each (or the 68 of iBUG 300-W). Which videos are
forged and how they are split stands in a JSON of its own, made by DeepfakeBench's
``rearrange.py``. Nothing is written into the tree.
"""

import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from faceblend.bank import FaceBank, FaceRow
from faceblend.errors import BadBank
from faceblend.ingest.rearranged import Index, find_index, read_index
from faceblend.ops.mask import Points

COMPRESSIONS = ("c0", "raw", "c23", "c40")
"""Folders that hold one film at several compressions: its faces never lend to each other."""

POINTS = (68, 81)
"""Landmarks of a face in such a tree; the first 68 of 81 are those of iBUG 300-W, the other 13
the forehead's."""

_REAL = {"original_sequences", "original_videos", "source_videos", "real"}
_REAL |= {"Celeb-real", "YouTube-real"}
_FORGED = {"manipulated_sequences", "manipulated_videos", "fake"}
_FORGED |= {"Celeb-synthesis", "method_A", "method_B"}

_NOT_ENTERED = {"frames", "landmarks", "masks", "videos"}
_NAME = re.compile(r"(\d{1,18})(?:_\d+)?")
_LARGEST_FILE = 65_536  # bytes; 81 points of float64 take 1,424
_NOT_HELD = "the JSON lists it, and this tree does not hold it"
_BEYOND = 1e6  # px; no picture is so large


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A frame or video of the tree that is not in the bank."""

    source: str
    """path in the tree, or the folder that the JSON names"""
    kind: str
    """``no-landmarks``, ``bad-landmarks``, ``bad-picture``, ``bad-name``, ``missing``"""
    reason: str
    """why, in words"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """A tree that was read: what serves as a bank, and what does not."""

    bank: FaceBank
    refused: tuple[Refused, ...]
    """ordered by ``source``"""


def picture_paths(video: str, name: str) -> tuple[str, str]:
    """Where a frame and its landmarks stand in a tree, for those who write one.

    Args:
        video: as the bank names it: ``000``, or ``train/000`` with the folder it stands in.
        name: of the frame, ``012``.

    Example:
        >>> picture_paths("train/000", "012")
        ('train/frames/000/012.png', 'train/landmarks/000/012.npy')
    """
    place = PurePosixPath(video)
    frame = place.parent / "frames" / place.name / f"{name}.png"
    points = place.parent / "landmarks" / place.name / f"{name}.npy"
    return frame.as_posix(), points.as_posix()


def has_frames(root: Path) -> bool:
    """Whether a folder is a tree of this layout: ``frames/<video>/`` in it or below."""
    return next(video_folders(root), None) is not None


def open_deepfakebench(
    root: str | os.PathLike[str],
    index: str | os.PathLike[str] | None = None,
    *,
    label: int | None = None,
) -> FaceBank:
    """Open a tree as a bank; what had to be left out is told in one warning.

    See :func:`read_deepfakebench`, which returns what was left out.
    """
    tree = read_deepfakebench(root, index, label=label)
    if tree.refused:
        kinds = Counter(one.kind for one in tree.refused)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        first = tree.refused[0]
        warnings.warn(f"{root}: left out {counts}; {first.source}: {first.reason}", stacklevel=2)
    return tree.bank


def read_deepfakebench(
    root: str | os.PathLike[str],
    index: str | os.PathLike[str] | None = None,
    *,
    label: int | None = None,
) -> Tree:
    """Read a tree as a bank. The crops stay where they are and are served as they are.

    A video is named after its folder without ``frames`` and without the compression:
    ``original_sequences/youtube/000``. Frames whose landmarks are missing or odd, or whose
    picture is no PNG of the tree's size, are left out and returned with the reason.

    Args:
        root: any folder with ``frames/<video>/*.png`` in it or below.
        index: the dataset's JSON: only what it lists is read, with its labels and splits. A
            video that it lists in several splits counts to the strictest: test, then val. If
            not given, the one JSON of that form directly in ``root``, if there is one.
        label: of videos that neither a JSON nor the dataset's folder names tell: 0 real,
            1 forged. Forged faces that were taken for real would be blended.

    Raises:
        BadBank: there is no such tree; no face of it can be used; the JSON is not one, names
            none of its videos, or contradicts itself; or nothing tells a video's label.
    """
    root = Path(root)
    folders = list(video_folders(root))
    if not folders:
        raise BadBank(
            root,
            "holds no frames/<video>/ folder, nor does any folder in it",
            "give the folder that holds frames/ and landmarks/, or one above it",
        )
    where = Path(index) if index is not None else find_index(root)
    listed = None if where is None else read_index(where, root, folders)
    found = _Found(refused=[] if listed is None else _missing(listed))
    for folder in folders:
        if listed is None:
            found.add(root, folder, None, folder_label(root, folder, label), None)
        elif folder in listed.videos:
            video = listed.videos[folder]
            found.add(root, folder, video.frames, video.label, video.split)
    return found.tree(root)


class _Found:
    """Faces and refusals while a tree is walked through."""

    def __init__(self, refused: list[Refused]) -> None:
        self._refused = refused
        self._rows: list[tuple[FaceRow, tuple[int, int]]] = []

    def add(
        self,
        root: Path,
        folder: PurePosixPath,
        wanted: frozenset[str] | None,
        label: int,
        split: str | None,
    ) -> None:
        """Read the frames of one video, all or those that are wanted."""
        beside = folder.parent.parent
        home = beside.parent if beside.name in COMPRESSIONS else beside
        files = {path.name for path in (root / folder).iterdir()}
        names = {name for name in files if name.lower().endswith(".png")}
        for name in sorted((wanted or names) - names):
            self._refuse(folder / name, "missing", _NOT_HELD)
        for name in sorted(names & (wanted or names)):
            frame = folder / name
            try:
                number = _number(frame)
                size = _png_size(root / frame)
                points = _points(root / beside / "landmarks" / folder.name / f"{frame.stem}.npy")
            except _OddError as odd:
                self._refuse(frame, *odd.args)
                continue
            row = FaceRow(
                video=(home / folder.name).as_posix(),
                frame=number,
                source=(beside / "videos" / f"{folder.name}.mp4").as_posix(),
                crop=frame.as_posix(),
                landmarks=points[:68].ravel().tolist(),
                forehead=points[68:].ravel().tolist() or None,
                label=label,
                split=split,
            )
            self._rows.append((row, size))

    def tree(self, root: Path) -> Tree:
        """The bank of all faces whose picture has the size that most have."""
        squares = Counter(size for _, size in self._rows if size[0] == size[1])
        if not squares:
            first = f" ({self._refused[0].reason})" if self._refused else ""
            raise BadBank(
                root,
                f"no frame of it is a square picture with landmarks{first}",
                "preprocess the videos again, or extract them: faceblend extract",
            )
        usual = max(squares, key=lambda size: (squares[size], size))
        for row, size in self._rows:
            if size != usual:
                wrong = f"is {size[0]}x{size[1]} where most frames are {usual[0]}x{usual[1]}"
                self._refuse(PurePosixPath(row.crop), "bad-picture", wrong)
        rows = [row for row, size in self._rows if size == usual]
        refused = sorted(self._refused, key=lambda one: one.source)
        return Tree(bank=FaceBank.in_place(root, rows, crop_size=usual[0]), refused=tuple(refused))

    def _refuse(self, frame: PurePosixPath, kind: str, reason: str) -> None:
        source = frame.as_posix().encode(errors="backslashreplace").decode()
        self._refused.append(Refused(source=source, kind=kind, reason=reason))


class _OddError(Exception):
    """Why a frame is left out: kind and reason."""


def video_folders(root: Path) -> Iterator[PurePosixPath]:
    """The folders of frames of a tree, ``.../frames/<video>``, relative to it.

    Raises:
        BadBank: it is no folder, or a part of it cannot be listed.
    """
    if not root.is_dir():
        raise BadBank(root, "is not a folder", "give the folder of a preprocessed dataset")
    seen: set[tuple[int, int]] = set()
    # datasets are put together with links; one that leads back would never end
    for place, folders, _ in os.walk(root, followlinks=True, onerror=_unlisted):
        here = Path(place)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if "frames" in folders:
            frames = here / "frames"
            for video in sorted(frames.iterdir()):
                if video.is_dir() and not video.name.startswith("."):
                    yield PurePosixPath(video.relative_to(root).as_posix())
        folders[:] = sorted(set(folders) - _NOT_ENTERED)


def _unlisted(error: OSError) -> None:
    raise BadBank(error.filename, f"cannot be listed ({error.strerror})", "check its permissions")


def _missing(listed: Index) -> list[Refused]:
    return [Refused(source=name, kind="missing", reason=_NOT_HELD) for name in listed.missing]


def folder_label(root: Path, folder: PurePosixPath, otherwise: int | None) -> int:
    """What the dataset's folder names say of a video: 0 real, 1 forged; else ``otherwise``.

    Raises:
        BadBank: they say nothing, and ``otherwise`` is None.
    """
    parts = set(folder.parts[:-2])
    if parts & _FORGED:
        return 1
    if parts & _REAL:
        return 0
    if otherwise is None:
        raise BadBank(
            root / folder,
            "nothing tells whether it is real or forged",
            "give the dataset's JSON, or the label that such videos have",
        )
    return otherwise


def _number(frame: PurePosixPath) -> int:
    try:
        frame.as_posix().encode()
    except UnicodeEncodeError:
        raise _OddError("bad-name", "its name is not UTF-8; rename it") from None
    named = _NAME.fullmatch(frame.stem)
    if named is None:
        raise _OddError("bad-name", "is not named after its frame's number, such as 012.png")
    return int(named[1])


def _png_size(path: Path) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise _OddError("bad-picture", f"cannot be read ({error.strerror})") from error
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise _OddError("bad-picture", "is not a PNG")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _points(path: Path) -> Points:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise _OddError("bad-landmarks", "its landmark file is too large to be one")
        # never pickled: such a file could run any code
        points = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except FileNotFoundError:
        raise _OddError("no-landmarks", f"has no {path.name} in landmarks/") from None
    except Exception as error:  # NumPy evaluates the header: damaged, it raises nearly anything
        words = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise _OddError("bad-landmarks", f"its landmark file cannot be read ({words})") from error
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "iuf":
        raise _OddError("bad-landmarks", "its landmark file holds no array of numbers")
    if points.shape not in [(count, 2) for count in POINTS]:
        shape = "x".join(map(str, points.shape)) or "one number"
        raise _OddError("bad-landmarks", f"its landmarks are {shape}, and not 68x2 or 81x2")
    with np.errstate(all="ignore"):  # of what is no number, which is told here
        points = points.astype(np.float64)
    # NaN fails this too
    if not np.abs(points).max() < _BEYOND or not np.ptp(points[:68], axis=0).all():
        raise _OddError("bad-landmarks", "its landmarks are no numbers, or all in one line")
    return points.astype(np.float32)
