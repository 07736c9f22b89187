"""What lies in a bank's folder beside its faces: strays, settings, refusals, checkpoints."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from faceblend import atomic
from faceblend.bank import FaceBank, FaceRow
from faceblend.doctor.finding import Finding, Kind
from faceblend.errors import BadBank
from faceblend.ingest.checkpoint import unseal
from faceblend.ingest.photograph import SUFFIXES, writable
from faceblend.ingest.video import SUFFIXES as CLIPS

_OWN = ("cache", "checkpoints", "segments")  # folders of a bank without crops
_CLEARLY_FEWER = 0.5  # of the frames that were asked for
_CONTINUE = "give faceblend extract the same arguments again: it continues"
_REFUSED: dict[str, Kind] = {
    "no-face": "no-face",
    "unreadable": "corrupt",
    "cut-off": "short",
    "small-face": "low-resolution",
    "ungrouped": "missing",
}
"""Kinds of errors.jsonl and what they are here; others are ``failed``."""


def is_bank(root: Path) -> bool:
    """Whether a folder is a bank, finished, damaged or begun."""
    if (root / "bank.json").exists() or (root / "faces.parquet").exists():
        return True
    return (root / "settings.json").is_file() and (root / "checkpoints").is_dir()


def opened(root: Path) -> tuple[FaceBank | None, bool, list[Finding]]:
    """A bank, whether it is finished, and what kept it from being opened.

    Of an unfinished or damaged one the faces are those that its checkpoints list; None where
    there are none.
    """
    finished = (root / "bank.json").exists()
    try:
        return FaceBank.open(root), True, []
    except BadBank as error:
        wrong = Finding(
            item="bank.json" if not finished else _inside(root, error.where),
            kind="corrupt" if finished else "missing",
            detail=error.reason if finished else "the bank is not finished: there is no bank.json",
            remedy=str(error.args[2]) if finished else _CONTINUE,
        )
    try:
        rows = list(_checkpointed(root))
        size = settings_of(root).get("crop_size")
        if not rows or not isinstance(size, int):
            return None, finished, [wrong]
        return FaceBank.in_place(root, rows, crop_size=size), finished, [wrong]
    except (BadBank, OSError, ValueError, KeyError, TypeError) as error:
        lost = Finding(
            item="checkpoints",
            kind="corrupt",
            detail=f"cannot be read, so no crop was looked at ({error})",
            remedy=_CONTINUE,
        )
        return None, finished, [wrong, lost]


def _inside(root: Path, where: str) -> str:
    path = Path(where)
    inside = path.is_relative_to(root) and path != root
    return path.relative_to(root).as_posix() if inside else "bank.json"


def _checkpointed(root: Path) -> Iterator[FaceRow]:
    for path in sorted((root / "checkpoints").rglob("*.json")):
        for row in unseal(path.read_bytes())["rows"]:
            yield FaceRow(**row)


def stray_findings(bank: FaceBank) -> Iterator[Finding]:
    """Pictures that no row names, and what killed writers left."""
    named = set(bank.table["crop"].to_pylist())
    for place, folders, files in os.walk(bank.root):
        if Path(place) == bank.root:
            folders[:] = [name for name in folders if name not in _OWN]
        for name in files:
            path = Path(place, name).relative_to(bank.root).as_posix()
            if name.startswith(".") and name.endswith(atomic.TEMPORARY):
                detail = "is left over from a run that did not finish"
            elif PurePosixPath(name).suffix.lower() in SUFFIXES and path not in named:
                detail = "is a picture that no row of faces.parquet names"
            else:
                continue
            yield Finding(item=writable(path), kind="stray", detail=detail, remedy="delete it")


def short_findings(bank: FaceBank) -> Iterator[Finding]:
    """Video files that gave clearly fewer frames than were asked for."""
    asked = _asked(bank.root)
    frames: dict[str, set[int]] = defaultdict(set)
    cells = bank.table.select(["source", "frame"]).to_pydict()
    for source, frame in zip(cells["source"], cells["frame"], strict=True):
        frames[source].add(frame)
    for source, there in sorted(frames.items()):
        if PurePosixPath(source).suffix.lower() not in CLIPS:
            continue
        if len(there) < _CLEARLY_FEWER * asked:
            yield Finding(
                item=source,
                kind="short",
                detail=f"gave faces in {len(there)} frames, and {asked} were asked for",
                remedy="look whether it shows a face throughout, or leave it out",
            )


def _asked(root: Path) -> int:
    """Frames a video file that the extraction was asked for; 0 where all, or nobody knows."""
    try:
        meta = json.loads((root / "bank.json").read_bytes())["made_by"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        meta = settings_of(root)  # an unfinished bank
    frames = meta.get("frames_per_video") if isinstance(meta, dict) else None
    return frames if isinstance(frames, int) else 0


def settings_of(root: Path) -> dict[str, Any]:
    """What the extraction was asked for; nothing where that cannot be read."""
    try:
        settings = json.loads((root / "settings.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def refusal_findings(root: Path) -> Iterator[Finding]:
    """What the extraction refused: the lines of errors.jsonl."""
    try:
        lines = (root / "errors.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return  # a bank that was not extracted
    except OSError as error:
        yield _unreadable(f"cannot be read ({error.strerror})")
        return
    for number, line in enumerate(lines, 1):
        try:
            refusal = json.loads(line)
            source, kind, reason = (str(refusal[name]) for name in ("source", "kind", "reason"))
        except (ValueError, KeyError, TypeError, RecursionError):
            yield _unreadable(f"its line {number} cannot be read")
            continue
        what, _, remedy = reason.rpartition("; ")
        yield Finding(
            item=source,
            kind=_REFUSED.get(kind, "failed"),
            detail=f"refused by extract as {kind}: {what or reason}",
            remedy=remedy if what else "mend or leave out the source, and extract again",
        )


def _unreadable(detail: str) -> Finding:
    return Finding(
        item="errors.jsonl", kind="corrupt", detail=detail, remedy="extract the bank again"
    )
