"""One forgery: its frames, their estimated X-rays, and a record of each."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceblend import atomic
from faceblend.errors import BadArgument, BadImage, BadVideo
from faceblend.face import Alpha, Image
from faceblend.ingest import photograph, video
from faceblend.ops.forged import (
    DIFFERENCE_LEVEL,
    MASK_LEVEL,
    SHARE,
    alpha_from_difference,
    alpha_from_mask,
)
from faceblend.ops.xray import xray
from faceblend.store.folder import picture_paths

FORMAT = 1
"""Version of the records."""


@dataclass(frozen=True, kw_only=True)
class How:
    """What an estimate is asked for; each record repeats it."""

    frames: int = 32
    """of each video, spread evenly"""
    share: float | None = None
    """width of the transition over the region's longer side, 0 to 1; None measures it from
    the difference, and is :data:`faceblend.ops.forged.SHARE` for a mask"""
    level: int | None = None
    """0 to 254, above which a mask or a difference counts; None is the default of either"""
    hull: bool = False
    """take the convex hull of what differs"""

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise BadArgument("frames", f"is {self.frames}", "give 1 or more")
        if self.share is not None and not 0 <= self.share <= 1:
            raise BadArgument("share", f"is {self.share}", "give a share of the region: 0 to 1")
        if self.level is not None and not 0 <= self.level < 255:
            raise BadArgument("level", f"is {self.level}", "give 0 to 254")


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """A forged video or picture, what tells of it, and where its X-rays go."""

    name: str
    """as records call it"""
    fake: Path
    original: Path | None
    mask: Path | None
    out: Path


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """A finished forgery."""

    out: Path
    records: list[dict[str, Any]]
    """one a frame, ordered by frame"""
    kept: bool
    """whether an earlier run had finished it"""


def estimate(forgery: Forgery, how: How) -> Estimated:
    """Write a forgery's frames, X-rays and records, or find that they are there.

    Raises:
        BadArgument: neither or both of original and mask; a video beside a picture; or a
            file that is neither.
        BadVideo, BadImage: one cannot be read, or is not of the fake's size.
    """
    beside, how = _beside(forgery), _settled(forgery, how)
    asked = _asked(forgery, beside, how)
    before = _finished(forgery.out, asked)
    if before is not None:
        return Estimated(out=forgery.out, records=before, kept=True)
    (forgery.out / "records.jsonl").unlink(missing_ok=True)
    numbers = video.evenly(min(_count(forgery.fake), _count(beside)), how.frames)
    frames = zip(numbers, _frames(forgery.fake, numbers), _frames(beside, numbers), strict=True)
    records = []
    for number, fake, other in frames:
        _check_sizes(forgery.fake, beside, fake, other)
        alpha = _alpha(forgery, fake, other, how)
        records.append(asked | {"frame": number} | _written(forgery, number, fake, alpha, how))
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
    atomic.write_bytes(forgery.out / "records.jsonl", lines.encode())
    return Estimated(out=forgery.out, records=records, kept=False)


def png(picture: np.ndarray) -> bytes:
    """A picture, BGR or grey, as PNG."""
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {picture.shape} as PNG")
    return bytes(data)


def _beside(forgery: Forgery) -> Path:
    given = [path for path in (forgery.mask, forgery.original) if path is not None]
    if len(given) != 1:
        both = "has both a mask and an original" if given else "has neither mask nor original"
        raise BadArgument(forgery.fake, both, "give one of the two")
    if _is_video(forgery.fake) != _is_video(given[0]):
        raise BadArgument(
            given[0],
            f"cannot be paired with {forgery.fake.name}",
            "give two videos or two pictures",
        )
    return given[0]


def _settled(forgery: Forgery, how: How) -> How:
    if forgery.mask is None:
        return replace(how, level=DIFFERENCE_LEVEL) if how.level is None else how
    share = SHARE if how.share is None else how.share
    level = MASK_LEVEL if how.level is None else how.level
    return replace(how, share=share, level=level, hull=False)


def _asked(forgery: Forgery, beside: Path, how: How) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": forgery.name,
        "from": "difference" if forgery.mask is None else "mask",
        "bytes": [_size(forgery.fake), _size(beside)],
        **asdict(how),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _bad(path)(path, f"cannot be read ({error.strerror})", "check the path") from error


def _finished(out: Path, asked: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of an earlier run that was asked for the same of the same files."""
    try:
        lines = (out / "records.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        same = bool(records) and all(asked.items() <= record.items() for record in records)
        named = [record[key] for record in records for key in ("image", "xray")]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # none, or damaged: it is made again
    there = all((out / name).is_file() for name in named if name is not None)
    return records if same and there else None


def _is_video(path: Path) -> bool:
    suffix, known = path.suffix.lower(), (*video.SUFFIXES, *photograph.SUFFIXES)
    if suffix not in known:
        raise BadArgument(
            path,
            "is neither a video nor a picture by its name",
            f"names end in {', '.join(known)}",
        )
    return suffix in video.SUFFIXES


def _bad(path: Path) -> type[BadVideo | BadImage]:
    return BadVideo if _is_video(path) else BadImage


def _count(path: Path) -> int:
    return video.probe(path).frames if _is_video(path) else 1


def _frames(path: Path, numbers: list[int]) -> Iterator[Image]:
    if _is_video(path):
        for frame in video.read_frames(path, numbers):
            yield frame.rgb
    else:
        yield photograph.read_photograph(path)


def _check_sizes(path: Path, beside: Path, fake: np.ndarray, other: np.ndarray) -> None:
    if fake.shape != other.shape:
        sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (other, fake)]
        raise _bad(beside)(
            beside,
            f"is {sizes[0]}, and {path.name} is {sizes[1]}",
            "give both at one size: of the same download, neither cropped nor scaled",
        )


def _alpha(forgery: Forgery, fake: Image, other: Image, how: How) -> Alpha:
    assert how.level is not None
    if forgery.mask is None:
        return alpha_from_difference(fake, other, share=how.share, level=how.level, hull=how.hull)
    assert how.share is not None
    return alpha_from_mask(other, share=how.share, level=how.level)


def _written(forgery: Forgery, number: int, fake: Image, alpha: Alpha, how: How) -> dict[str, Any]:
    if not alpha.any():
        told = "nothing differs" if forgery.mask is None else "the mask is empty"
        reason = f"{told} above level {how.level}"
        return {"image": None, "xray": None, "area": 0.0, "reason": reason}
    paths = picture_paths(forgery.out, number, 1)
    grey = np.rint(xray(alpha) * np.float32(255)).astype(np.uint8)
    for path, picture in zip(paths, (cv2.cvtColor(fake, cv2.COLOR_RGB2BGR), grey), strict=True):
        atomic.write_bytes(path, png(picture))
    image, target = (path.relative_to(forgery.out).as_posix() for path in paths)
    area = round(float((alpha > 0.5).mean()), 6)
    return {"image": image, "xray": target, "area": area, "reason": None}
