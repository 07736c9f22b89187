"""How the published datasets lay out their videos: what a path says of label, source, person.

Each layout turns the files of a tree, whole or in part, into rows of a
:class:`~faceblend.videos.VideoTable`. Nothing here opens a video.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import pyarrow as pa

from faceblend import within
from faceblend.errors import BadArgument
from faceblend.ingest.deepfakebench import COMPRESSIONS, folder_label, video_folders
from faceblend.ingest.photograph import writable
from faceblend.ingest.rearranged import find_index, read_index
from faceblend.ingest.video import SUFFIXES

Layout = Literal["dfdc", "ffpp", "celebdf", "deepfakebench", "folder"]
"""Trees that can be indexed."""

LAYOUTS: tuple[str, ...] = get_args(Layout)

CELEBDF_TEST = "List_of_testing_videos.txt"
"""Celeb-DF's own list of test videos: a number and a path a line."""

_PROBLEMS = ("missing", "duplicate", "misplaced", "unreadable")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A video that is not as its dataset has it."""

    source: str
    """path relative to the root"""
    kind: Literal["missing", "duplicate", "misplaced", "unreadable"]
    """``missing``: named by the dataset and not there; ``duplicate``: there twice, the first
    counts; ``misplaced``: where the layout has no videos; ``unreadable``: kept, of 0 frames"""
    reason: str
    """what is wrong, and what to do"""


@dataclass(kw_only=True)
class Found:
    """What a layout makes of a tree."""

    own: pa.Schema
    """the dataset's own columns"""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """of each video what its place tells"""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, source: str, kind: str, reason: str) -> None:
        """Report a video."""
        assert kind in _PROBLEMS
        self.problems.append(Problem(source=source, kind=kind, reason=reason))  # type: ignore[arg-type]


def read_layout(layout: str, root: Path, fakes: str | None = None) -> Found:
    """Find the videos of a tree and what their places tell.

    Args:
        layout: one of ``LAYOUTS``.
        root: folder of the dataset, or one above it.
        fakes: for ``folder``, a regular expression: paths in which it is found are forged.

    Raises:
        BadArgument: there is no such layout or folder, or no video of the layout in it.
        BadBank: from ``deepfakebench``, a tree or JSON that cannot be used.
    """
    if layout not in LAYOUTS:
        raise BadArgument("dataset", f"is {layout!r}", f"give one of {', '.join(LAYOUTS)}")
    if fakes is not None and layout != "folder":
        raise BadArgument("fakes", f"has no use with {layout}", "it is for a plain folder")
    if not root.is_dir():
        raise BadArgument(root, "is not a folder", "give the folder of the dataset")
    found = _READERS[layout](root) if fakes is None else _folder(root, fakes)
    if not found.rows:
        first = [f"; {one.source}: {one.reason}" for one in found.problems[:1]]
        raise BadArgument(
            root,
            f"holds no video where {layout} has them{''.join(first)}",
            f"see data/README.md for the layout of {layout}",
        )
    return found


# -- DFDC ----------------------------------------------------------------------------------


def _dfdc(root: Path) -> Found:
    found = Found(own=pa.schema([("folder", pa.uint8())]))
    videos = set(_videos(root))
    first: dict[str, str] = {}
    listed = set()
    for metadata in [name for name in _files(root, (".json",)) if _is_metadata(name)]:
        part = PurePosixPath(metadata).parent
        number = _part_number(part.name or root.resolve().name)
        for name, said in sorted(_metadata(root / metadata, found, metadata).items()):
            path = (part / name).as_posix()
            listed.add(path)
            if path not in videos:
                found.problem(path, "missing", f"{metadata} names it; download the part again")
                continue
            if name in first:
                wrong = f"{first[name]} has the same name; keep one of the two"
                found.problem(path, "duplicate", wrong)
                continue
            label = {"REAL": 0, "FAKE": 1}.get(str(said.get("label")))
            if label is None:
                wrong = f"{metadata} calls it {said.get('label')!r}, and not REAL or FAKE"
                found.problem(path, "misplaced", wrong)
                continue
            first[name] = path
            original = said.get("original")
            of = None
            if label and isinstance(original, str) and not within.leaves(original):
                of = (part / _storable(original)).as_posix()
            found.rows.append({"path": path, "label": label, "original": of, "folder": number})
    for path in sorted(videos - listed):
        found.problem(path, "misplaced", "no metadata.json beside it names it; leave it out")
    return found


def _is_metadata(name: str) -> bool:
    return PurePosixPath(name).name == "metadata.json"


def _part_number(name: str) -> int | None:
    # dfdc_train_part_07
    number = name.rpartition("_")[2]
    return int(number) if number.isascii() and number.isdigit() and int(number) < 256 else None


def _metadata(path: Path, found: Found, name: str) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        found.problem(name, "unreadable", f"{words}; download the part again")
        return {}
    if not isinstance(content, dict):
        found.problem(name, "unreadable", "holds no {video: {label, original}}")
        return {}
    # a name may say anything; it stays in its folder
    return {
        _storable(PurePosixPath(video).name): said if isinstance(said, dict) else {}
        for video, said in content.items()
    }


def _storable(name: str) -> str:
    # JSON may hold halves of characters, which no table and no file of text does
    return name.encode(errors="backslashreplace").decode()


# -- FaceForensics++, with DeepFakeDetection and FaceShifter --------------------------------


def _ffpp(root: Path) -> Found:
    found = Found(own=_FFPP)
    for path in _videos(root):
        row = _ffpp_row(PurePosixPath(path), "videos")
        if row is None:
            found.problem(path, "misplaced", "FF++ has CLASS/SOURCE/QUALITY/videos/NAME.mp4")
        elif row["quality"] != "masks":
            found.rows.append(row)
    _report_lost_originals(found)
    return found


_FFPP = pa.schema([("class", pa.string()), ("source", pa.string()), ("quality", pa.string())])
_REAL, _FORGED = "original_sequences", "manipulated_sequences"
_IDS = re.compile(r"(\d+)_(\d+)")
_ACTORS = re.compile(r"(\d+)_(\d+)__(.+)__[^_]+")


def _ffpp_row(path: PurePosixPath, within: str) -> dict[str, Any] | None:
    """What ``manipulated_sequences/Deepfakes/c23/videos/003_010.mp4`` tells."""
    if len(path.parts) < 5 or path.parent.name != within:
        return None
    kind, source, quality = path.parts[-5:-2]
    if kind not in (_REAL, _FORGED):
        return None
    row = {"path": path.as_posix(), "class": kind, "source": source, "quality": quality}
    name = _stem(path)
    if kind == _REAL:
        person = f"{source}/{name.partition('__')[0]}"
        return {**row, "label": 0, "subject": person}
    ids, actors = _IDS.fullmatch(name), _ACTORS.fullmatch(name)
    if actors is not None:
        target, donor, scene = actors.groups()
        where, original = "actors", f"{target}__{scene}"
    elif ids is not None:
        target, donor = ids.groups()
        where = "youtube"
        original = target
    else:
        return None
    # of the same quality: the names repeat in every one
    real = PurePosixPath(*path.parts[:-5], _REAL, where, quality, within, original)
    return {
        **row,
        "label": 1,
        "original": real.as_posix() + (path.suffix if within == "videos" else ""),
        "subject": f"{where}/{target}",
        "donor": f"{where}/{donor}",
    }


# -- Celeb-DF ------------------------------------------------------------------------------


def _celebdf(root: Path) -> Found:
    found = Found(own=pa.schema([("class", pa.string()), ("test", pa.bool_())]))
    lists = [name for name in _files(root, (".txt",)) if name.endswith(CELEBDF_TEST)]
    test = {path for name in lists for path in _test_list(root, name, found)}
    if not lists:
        found.problem(CELEBDF_TEST, "missing", "no video counts as test; download it")
    for path in _videos(root):
        row = _celebdf_row(PurePosixPath(path), "")
        if row is None:
            found.problem(path, "misplaced", "Celeb-DF has CLASS/NAME.mp4 of three classes")
        else:
            found.rows.append({**row, "test": path in test if lists else None})
    for path in sorted(test - {row["path"] for row in found.rows}):
        found.problem(path, "missing", f"{CELEBDF_TEST} names it; download it again")
    _report_lost_originals(found)
    return found


_CELEB = re.compile(r"(id\d+)_(\d+)")
_SYNTHESIS = re.compile(r"(id\d+)_(id\d+)_(\d+)")


def _celebdf_row(path: PurePosixPath, within: str) -> dict[str, Any] | None:
    """What ``Celeb-synthesis/id0_id1_0000.mp4`` tells: the face of id1 in a video of id0."""
    home = path.parent.parent if within and path.parent.name == within else path.parent
    name, row = _stem(path), {"path": path.as_posix(), "class": home.name}
    real, forged = _CELEB.fullmatch(name), _SYNTHESIS.fullmatch(name)
    if home.name == "Celeb-real" and real is not None:
        return {**row, "label": 0, "subject": real[1]}
    if home.name == "YouTube-real":
        return {**row, "label": 0, "subject": f"YouTube-real/{name}"}
    if home.name == "Celeb-synthesis" and forged is not None:
        target, donor, number = forged.groups()
        original = home.parent / "Celeb-real" / within / f"{target}_{number}"
        return {
            **row,
            "label": 1,
            "original": original.as_posix() + ("" if within else path.suffix),
            "subject": target,
            "donor": donor,
        }
    return None


def _test_list(root: Path, name: str, found: Found) -> list[str]:
    home, paths = PurePosixPath(name).parent, []
    try:
        lines = (root / name).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        found.problem(name, "unreadable", f"{error}; download it again")
        return []
    for line in lines:
        number, _, path = line.strip().partition(" ")
        if number in ("0", "1") and path.strip():
            if within.leaves(path.strip()):
                found.problem(
                    name, "unreadable", f"its line {line.strip()[:60]!r} leaves the folder"
                )
                continue
            paths.append((home / path.strip()).as_posix())
        elif line.strip():
            found.problem(name, "unreadable", f"its line {line.strip()[:60]!r} names no video")
    return paths


# -- DeepfakeBench -------------------------------------------------------------------------


def _deepfakebench(root: Path) -> Found:
    """Folders of frames; the dataset's JSON, if there is one, tells labels and splits."""
    found = Found(own=pa.schema([("method", pa.string()), ("compression", pa.string())]))
    folders = list(video_folders(root))
    where = find_index(root) if folders else None
    listed = None if where is None else read_index(where, root, folders)
    for folder in folders:
        home = folder.parent.parent
        packed = home.name if home.name in COMPRESSIONS else None
        method = (home.parent if packed else home).name
        row: dict[str, Any] = {"path": folder.as_posix(), "method": method or None}
        row["compression"] = packed
        told = _ffpp_row(folder, "frames") or _celebdf_row(folder, "frames") or {}
        row |= {key: told[key] for key in ("original", "subject", "donor") if key in told}
        if listed is None:
            row["label"] = folder_label(root, folder, None)
        elif folder in listed.videos:
            row["label"] = listed.videos[folder].label
            row["split"] = listed.videos[folder].split
        else:
            continue  # of another dataset in the same tree
        found.rows.append(row)
    for name in () if listed is None else listed.missing:
        found.problem(name, "missing", "the JSON lists it; preprocess it again")
    return found


# -- anything else -------------------------------------------------------------------------


def _folder(root: Path, fakes: str | None = None) -> Found:
    try:
        forged = None if fakes is None else re.compile(fakes)
    except re.error as error:
        raise BadArgument(
            "fakes", f"is {fakes!r}, which is no regular expression ({error})", "correct it"
        ) from error
    found = Found(own=pa.schema([]))
    for path in _videos(root):
        label = int(forged is not None and forged.search(path) is not None)
        found.rows.append({"path": path, "label": label})
    return found


_READERS: dict[str, Callable[[Path], Found]] = {
    "dfdc": _dfdc,
    "ffpp": _ffpp,
    "celebdf": _celebdf,
    "deepfakebench": _deepfakebench,
    "folder": _folder,
}


# -- files ---------------------------------------------------------------------------------


def _videos(root: Path) -> list[str]:
    return _files(root, SUFFIXES)


def _files(root: Path, suffixes: Sequence[str]) -> list[str]:
    """Files below a folder by their suffix, ascending; links are followed, hidden names left."""
    files: list[str] = []
    seen: set[tuple[int, int]] = set()

    def blocked(error: OSError) -> None:
        raise BadArgument(
            error.filename, f"cannot be listed ({error.strerror})", "check its permissions"
        ) from error

    # datasets are put together with links; one that leads back would never end
    for place, folders, names in os.walk(root, followlinks=True, onerror=blocked):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                path = Path(place, name).relative_to(root).as_posix()
                files.append(writable(path))
    return sorted(files)


def _stem(path: PurePosixPath) -> str:
    """The video's name: a folder of frames may have a dot in its own."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _report_lost_originals(found: Found) -> None:
    there = {row["path"] for row in found.rows}
    lost = Counter(row["original"] for row in found.rows if row.get("original"))
    for path in sorted(set(lost) - there):
        word = "forgery" if lost[path] == 1 else "forgeries"
        found.problem(path, "missing", f"{lost[path]} {word} of it are there, and it is not")
