"""DeepfakeBench's dataset JSON: which videos are forged, and how they are split.

``{dataset: {label: {split: {video: {"label": ..., "frames": [path, ...]}}}}}``, for the FF++
family with the compression between split and video. Its paths are those of the machine that
wrote it, some with backslashes, so videos are found by the end of their paths.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from faceblend.errors import BadBank

SPLITS = ("train", "val", "test")
"""From the laxest to the strictest."""

LABELS = {
    "FF-real": 0,
    "FF-DF": 1,
    "FF-F2F": 1,
    "FF-FS": 1,
    "FF-NT": 1,
    "FF-FH": 1,
    "DFDCP_FakeA": 1,
    "DFDCP_FakeB": 1,
}
"""Names of labels that do not end in ``real`` or ``fake``, as all others do."""

_FORM = "it must be {dataset: {label: {train|val|test: {video: {label, frames}}}}}"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a JSON says of one video."""

    label: int
    """0 real, 1 forged"""
    split: str
    """``train``, ``val`` or ``test``: the strictest that lists it"""
    frames: frozenset[str]
    """names of its frames, ``012.png``"""


@dataclass(frozen=True, kw_only=True)
class Index:
    """A JSON, matched with a tree."""

    videos: dict[PurePosixPath, Listed]
    """by the folder of their frames, relative to the tree's root"""
    missing: tuple[str, ...]
    """folders that the JSON names and the tree does not hold, ascending"""


def find_index(root: Path) -> Path | None:
    """The dataset JSON that lies directly in a tree's root, if one does.

    Raises:
        BadBank: several do.
    """
    found = [path for path in sorted(root.glob("*.json")) if _is_index(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BadBank(root, f"holds several dataset JSONs ({names})", "say which one to read")
    return found[0] if found else None


def read_index(path: Path, root: Path, folders: Sequence[PurePosixPath]) -> Index:
    """Read a dataset JSON for a tree that holds these folders of frames.

    Raises:
        BadBank: it is no such JSON, a label says neither real nor fake, one video is both,
            or it names none of the folders.
    """
    tails: dict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
    for folder in folders:
        tails[folder.parts[-2:]].append(folder)
    videos: dict[PurePosixPath, Listed] = {}
    missing = set()
    for place, said in _listed(path).items():
        match = _match(place, tails[place.parts[-2:]], path)
        if match is None:
            missing.add(place.as_posix())
        else:
            videos[match] = said if match not in videos else _merged(videos[match], said, place)
    if not videos:
        named = f", {min(missing)!r} for one," if missing else ""
        raise BadBank(
            path,
            f"none of the {len(missing)} videos that it lists{named} is in {root}",
            "give the JSON of this tree, or the tree's root",
        )
    return Index(videos=videos, missing=tuple(sorted(missing)))


def _is_index(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False  # some other file of the dataset's
    if not isinstance(content, dict) or not content:
        return False
    labels = [splits for labels in content.values() for splits in _values(labels)]
    return bool(labels) and all(_is_split(splits) for splits in labels)


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]


def _is_split(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= set(SPLITS)


def _listed(path: Path) -> dict[PurePosixPath, Listed]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadBank(path, f"cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, RecursionError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadBank(path, f"is not JSON ({words})", _FORM) from error
    if not isinstance(content, dict) or not content:
        raise BadBank(path, "lists no dataset", _FORM)
    videos: dict[PurePosixPath, Listed] = {}
    for dataset, labels in content.items():
        for label, splits in _pairs(labels, f"{path}: {dataset}"):
            for split, node in _pairs(splits, f"{path}: {dataset}/{label}"):
                where = f"{path}: {dataset}/{label}/{split}"
                if split not in SPLITS:
                    raise BadBank(where, f"{split!r} is no split", _FORM)
                for place, said in _videos(node, split, where):
                    videos[place] = (
                        said if place not in videos else _merged(videos[place], said, place)
                    )
    return videos


def _videos(node: Any, split: str, where: str) -> Iterator[tuple[PurePosixPath, Listed]]:
    # wherever the frames are: below a compression, or, for DFDC's val, in the split itself
    if isinstance(node, dict) and "frames" not in node:
        for name, below in node.items():
            yield from _videos(below, split, f"{where}/{name}")
        return
    frames = node.get("frames") if isinstance(node, dict) else None
    if not isinstance(frames, list) or not all(isinstance(one, str) for one in frames):
        raise BadBank(where, "has no list of frames", _FORM)
    label = _label(node.get("label"), where)
    by_folder: dict[PurePosixPath, set[str]] = defaultdict(set)
    for one in frames:
        frame = PurePosixPath(one.replace("\\", "/"))
        by_folder[frame.parent].add(frame.name)
    for folder, names in by_folder.items():
        yield folder, Listed(label=label, split=split, frames=frozenset(names))


def _pairs(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise BadBank(where, f"is {type(value).__name__}, no mapping", _FORM)
    return list(value.items())


def _label(name: Any, where: str) -> int:
    if isinstance(name, str) and name in LABELS:
        return LABELS[name]
    ending = str(name).lower()
    if not ending.endswith(("real", "fake")):
        raise BadBank(
            where, f"its label {name!r} says neither real nor fake", "end it in real or in fake"
        )
    return int(ending.endswith("fake"))


def _merged(one: Listed, other: Listed, place: PurePosixPath) -> Listed:
    if one.label != other.label:
        raise BadBank(place, "is listed both as real and as forged", "keep one entry of it")
    split = max(one.split, other.split, key=SPLITS.index)
    return Listed(label=one.label, split=split, frames=one.frames | other.frames)


def _match(
    place: PurePosixPath, candidates: list[PurePosixPath], path: Path
) -> PurePosixPath | None:
    parts = tuple(part for part in place.parts if part not in ("/", ".", ".."))
    fits: dict[PurePosixPath, int] = {}
    for folder in candidates:
        common = _common_end(parts, folder.parts)
        # one path must end in the whole other; less would take one compression for another
        if common >= min(len(parts), len(folder.parts)):
            fits[folder] = common
    longest = [folder for folder, common in fits.items() if common == max(fits.values())]
    if len(longest) > 1:
        raise BadBank(
            path,
            f"{place.as_posix()!r} may be {longest[0].as_posix()!r} or {longest[1].as_posix()!r}",
            "give the JSON longer paths, or a root further down",
        )
    return longest[0] if longest else None


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
