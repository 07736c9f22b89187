"""Clips to look at: a strip of frames, or a moving picture."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pillow

from faceblend import atomic
from faceblend.audit.report import grey, overlay
from faceblend.clips.blended import Clip
from faceblend.errors import BadArgument, BadShard
from faceblend.face import Image
from faceblend.store.shard import UNREADABLE, is_ours

_AGAIN = "delete it and make the clips again"
_GAP = 4  # px
_DURATION = 80  # ms a frame


def strip(clip: Clip, *, panel: int = 120, every: int = 1) -> UInt8[np.ndarray, "height width 3"]:
    """Frames from left to right: picture, X-ray, and the X-ray over the picture below each other.

    Args:
        clip: what to show.
        panel: side of each picture, px.
        every: of how many frames one is shown.

    Returns:
        (3 * panel, shown * panel, 3) uint8 RGB.
    """
    columns = [
        np.concatenate([_small(one, panel) for one in _pictures(clip, frame)])
        for frame in range(0, len(clip.images), every)
    ]
    return np.concatenate(columns, axis=1)


def write_preview(clips: Sequence[Clip], path: Path, *, panel: int = 160) -> None:
    """Write clips as an animated GIF, beside each other, or as a PNG of their strips.

    Args:
        clips: one or more, of one number of frames.
        path: ends in .gif or .png.
        panel: side of each picture, px.

    Raises:
        BadArgument: the name has another ending, or there is no clip.
    """
    if path.suffix not in (".gif", ".png"):
        raise BadArgument(path, "is neither .gif nor .png", "end it in one of them")
    if not clips:
        raise BadArgument(path, "has no blended clip to show", "make more clips")
    if path.suffix == ".png":
        rows = [strip(clip, panel=panel) for clip in clips]
        gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
        pages = [np.concatenate([part for row in rows for part in (row, gap)][:-1])]
    else:
        # all frames of all strips, cut apart again
        strips = np.concatenate([strip(clip, panel=panel)[None] for clip in clips])
        frames = np.split(strips, len(clips[0].images), axis=2)
        pages = [np.concatenate(list(frame), axis=1) for frame in frames]
    first, *others = (Pillow.fromarray(page) for page in pages)
    with atomic.replacing(path) as temporary:
        if others:
            first.save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=others,
                duration=_DURATION,
                loop=0,
            )
        else:
            first.save(temporary, format=path.suffix[1:].upper())


def first_blended(folder: Path, *, most: int) -> list[Clip]:
    """The first blended clips of a set; without records; their alpha is zero, for a set has none.

    Args:
        folder: of the set.
        most: how many.

    Raises:
        BadShard: a shard is damaged.
    """
    found: list[Clip] = []
    for path in sorted(folder.glob("clips-*.h5")):
        try:
            with h5py.File(path, "r") as file:
                _check(path, file)
                for row in np.flatnonzero(file["label"][:])[: most - len(found)]:
                    found.append(_clip(file, int(row)))
        except UNREADABLE as error:
            words = " ".join(str(error).split())
            raise BadShard(path, f"cannot be read ({words})", _AGAIN) from error
    return found


def _check(path: Path, file: h5py.File) -> None:
    size = path.stat().st_size
    shape = getattr(file["image"], "shape", None) or ()  # a group has none
    clips, frames, side = (*shape, 0, 0, 0)[:3]
    layout = {
        "image": ((clips, frames, side, side, 3), "u1"),
        "xray": ((clips, frames, side, side), "u1"),
        "landmarks": ((clips, frames, 68, 2), "<f4"),
        "label": ((clips,), "u1"),
        "index": ((clips,), "<i8"),
        "record": ((clips,), h5py.string_dtype("utf-8")),
    }
    for name, (shape, dtype) in layout.items():
        there = file[name]
        kept = isinstance(there, h5py.Dataset) and there.shape == shape and there.dtype == dtype
        if not kept or not is_ours(file, there, size):
            raise BadShard(path, f"its {name!r} is not what clips have", _AGAIN)


def _clip(file: h5py.File, row: int) -> Clip:
    xrays = file["xray"][row] / np.float32(255)
    return Clip(
        index=int(file["index"][row]),
        images=file["image"][row],
        xrays=xrays,
        alphas=np.zeros_like(xrays),
        landmarks=file["landmarks"][row],
        label=1,
        record="",  # HDF5 may hang on damaged texts, and nobody looks at this one
    )


def _pictures(clip: Clip, frame: int) -> tuple[Image, Image, Image]:
    image, xray = clip.images[frame], clip.xrays[frame]
    return image, grey(xray), overlay(image, xray)


def _small(picture: Image, panel: int) -> UInt8[np.ndarray, "panel panel 3"]:
    return np.asarray(cv2.resize(picture, (panel, panel), interpolation=cv2.INTER_AREA))
