"""A photograph looked at: its usable faces, or why it has none."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from faceblend import atomic
from faceblend.errors import BadImage, BadVideo, MissingModel, shown
from faceblend.face import Image, Landmarks
from faceblend.ingest.detect import Detection, Detector
from faceblend.ingest.photograph import read_photograph

Kind = Literal["unreadable", "cut-off", "no-face", "small-face", "ungrouped", "failed"]
"""``unreadable``: no picture came out of the file; ``cut-off``: not all of a video's frames did;
``ungrouped``: its path matches no group; ``failed``: the detector or the disk did, and the same
command tries again."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A line of ``errors.jsonl``: a photograph that gave nothing, or less than it shows."""

    source: str
    """path relative to the folder of photographs"""
    kind: Kind
    reason: str
    """what is wrong, and what to do"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What a photograph shows."""

    image: Image | None
    """None where it could not be read"""
    faces: tuple[Detection, ...]
    """the usable ones, the largest first"""
    refusal: Refusal | None
    """why there is no face, or fewer than were found"""


def look(
    folder: Path,
    source: str,
    detector: Detector,
    *,
    only_largest: bool,
    min_face: int,
    max_pixels: int,
) -> Look:
    """Read a photograph and find its usable faces; whatever is wrong with it, is said.

    Args:
        folder: what ``source`` is relative to.
        source: the photograph.
        detector: finds faces.
        only_largest: leave the others out.
        min_face: least size of a face: the longer side of its landmarks' bounding box, px of
            the photograph.
        max_pixels: limit on width times height of the photograph.

    Raises:
        MissingModel: the detector cannot work at all.
    """
    try:
        image = read_photograph(folder / source, max_pixels)
    except BadImage as error:
        reason = "; ".join(error.args[1:])
        kind: Kind = "failed" if disk_failed(error) else "unreadable"
        return Look(image=None, faces=(), refusal=_refusal(source, kind, reason))
    try:
        found = detector.detect(image)
    except MissingModel:
        raise
    except Exception as error:  # one photograph that a detector chokes on stops no job
        return Look(image=image, faces=(), refusal=_refusal(source, "failed", told(error)))
    if not found:
        reason = "shows no face that the detector finds; leave it out or crop it closer"
        return Look(image=image, faces=(), refusal=_refusal(source, "no-face", reason))
    chosen = found[:1] if only_largest else found
    if not all(np.isfinite(face.landmarks).all() for face in chosen):
        reason = "the detector gave landmarks that are no numbers; look into the detector"
        return Look(image=image, faces=(), refusal=_refusal(source, "failed", reason))
    sizes = [face_size(face.landmarks) for face in chosen]
    usable = tuple(face for face, size in zip(chosen, sizes, strict=True) if size >= min_face)
    if len(usable) == len(chosen):
        return Look(image=image, faces=usable, refusal=None)
    if len(chosen) == 1:
        reason = f"its face of {int(sizes[0])} px is under {min_face} px"
    else:
        few = len(chosen) - len(usable)
        reason = f"{few} of its {len(chosen)} faces are under {min_face} px"
    reason += "; lower --min-face to take such"
    return Look(image=image, faces=usable, refusal=_refusal(source, "small-face", reason))


def face_size(landmarks: Landmarks) -> float:
    """The longer side of the landmarks' bounding box, px."""
    return float((landmarks.max(axis=0) - landmarks.min(axis=0)).max())


def told(error: Exception) -> str:
    """An error in one line that says its kind."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def write_refusals(path: Path, refusals: Iterable[Refusal]) -> dict[str, int]:
    """Write ``errors.jsonl``, ordered by source, and count its lines by kind."""
    ordered = sorted(refusals, key=lambda one: (one.source, one.kind))
    lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in ordered)
    atomic.write_bytes(path, lines.encode())
    return dict(sorted(Counter(one.kind for one in ordered).items()))


def counted(counts: dict[str, int]) -> str:
    """``3 (no-face 2, unreadable 1)``."""
    parts = ", ".join(f"{shown(name) or 'no suffix'} {count}" for name, count in counts.items())
    return f"{sum(counts.values()):,} ({parts})"


def disk_failed(error: BadImage | BadVideo) -> bool:
    """Whether the system refused a file, rather than its content: trying again may help."""
    # a number comes from the system; Pillow raises OSError for damage too, without one
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno is not None


def _refusal(source: str, kind: Kind, reason: str) -> Refusal:
    return Refusal(source=source, kind=kind, reason=reason)
