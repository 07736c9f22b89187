"""The faces of a bank as the table ``faces_df`` of icpr2020dfdc, in parquet.

One row a face: ``path`` (its index there), ``video, label, videosubject, original``, for FF++
``class, source, quality``, ``kp1x, kp1y, ... kp6x, kp6y``, ``conf, left, top, right, bottom``,
then of the video table what it has of ``folder, subject, scene, cluster``, ``nfaces`` and
``test``: for DFDC the 23 columns beside the index.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from faceblend import atomic
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument

FORMAT = 1
"""Version of the file's layout."""

_BEFORE = ("class", "source", "quality")
_BEHIND = ("folder", "subject", "scene", "cluster")
_INT16 = 32_767
_EXTRACTED = re.compile(r"(\d{6,})_(\d+)\.\w+")

Points = Float[np.ndarray, "faces 68 2"]


def write_faces_df(
    bank: FaceBank, out: str | os.PathLike[str], videos: pa.Table | None = None
) -> None:
    """Write the table of a bank's faces; see :func:`faces_df`."""
    table = faces_df(bank, videos)
    said = {"format": FORMAT, "root": str(bank.root.absolute()), "bank": bank.fingerprint}
    table = table.replace_schema_metadata({b"faceblend": json.dumps(said).encode()})
    with atomic.replacing(Path(out)) as temporary:
        pq.write_table(table, temporary)


def faces_df(bank: FaceBank, videos: pa.Table | None = None) -> pa.Table:
    """The table of a bank's faces.

    - ``path``: the crop, relative to the bank. ``video`` (int32): row of the video table; of
      the videos in the bank, ordered by name, where none is given.
    - ``label`` (bool): forged. ``videosubject`` (int8): which of its frame's faces.
      ``original``: path of the real video behind a forged one, where the table tells.
    - ``kp1`` to ``kp6`` (int16, px of the crop), as BlazeFace has them: the middle of the eye
      at the viewer's left, of that at the right, nose tip, middle of the mouth, and the ears
      at the left and right. From 68 landmarks: means of 36-41 and 42-47, 30, mean of 48-59,
      and the jaw's ends 0 and 16, which lie a little below the ears.
    - ``conf`` (float32): the detector's. ``left, top, right, bottom`` (int16): the detected
      face in px of the crop; the box of the landmarks where the bank has none.
    - ``nfaces`` (int32): faces of the video in the bank.

    Args:
        bank: the faces.
        videos: video table; its ``path`` is looked up for the ``source`` of each face, then
            for its ``video``, with or without the suffix.

    Raises:
        BadArgument: ``videos`` has no ``path``, or lacks a video of the bank.
    """
    names = bank.table["video"].to_pylist()
    points = np.asarray(bank.landmarks, np.float64)
    rows = bank.videos if videos is None else _video_rows(bank, videos)
    counts = Counter(names)
    columns: dict[str, Any] = {
        "path": bank.table["crop"],
        "video": pa.array(rows, pa.int32()),
        "label": pa.array([bool(label) for label in bank.table["label"].to_pylist()]),
        "videosubject": pa.array(_nth_of_frame(bank), pa.int8()),
        "original": _taken(videos, "original", rows) or pa.nulls(len(bank), pa.string()),
    }
    columns |= _known(videos, _BEFORE, rows)
    for number, place in enumerate(_keypoints(points), start=1):
        columns[f"kp{number}x"], columns[f"kp{number}y"] = _int16(place[:, 0]), _int16(place[:, 1])
    columns["conf"] = bank.table["score"].cast(pa.float32())
    box = _boxes(bank, points)
    for name, values in zip(("left", "top", "right", "bottom"), box.T, strict=True):
        columns[name] = _int16(values)
    columns |= _known(videos, _BEHIND, rows)
    columns["nfaces"] = pa.array([counts[name] for name in names], pa.int32())
    columns |= _known(videos, ("test",), rows)
    return pa.table(columns)


def _video_rows(bank: FaceBank, videos: pa.Table) -> np.ndarray:
    if "path" not in videos.column_names:
        raise BadArgument("videos", "has no column 'path'", "make the table: faceblend index")
    places: dict[str, int] = {}
    for row, path in enumerate(videos["path"].to_pylist()):
        places.setdefault(PurePosixPath(path).with_suffix("").as_posix(), row)
        places[path] = row
    found: list[int] = []
    cells = bank.table.select(["source", "video"]).to_pylist()
    for cell in cells:
        at = places.get(cell["source"], places.get(cell["video"]))
        if at is None:
            raise BadArgument(
                "videos",
                f"lacks video {cell['video']!r} of {bank.root}",
                "give the table that the bank was extracted from",
            )
        found.append(at)
    return np.asarray(found, np.int32)


def _taken(videos: pa.Table | None, name: str, rows: np.ndarray) -> pa.ChunkedArray | None:
    if videos is None or name not in videos.column_names:
        return None
    taken = videos[name].take(pa.array(rows))
    return None if taken.null_count == len(taken) else taken


def _known(videos: pa.Table | None, names: tuple[str, ...], rows: np.ndarray) -> dict[str, Any]:
    taken = {name: _taken(videos, name, rows) for name in names}
    return {name: column for name, column in taken.items() if column is not None}


def _nth_of_frame(bank: FaceBank) -> list[int]:
    """What extraction calls a face in its frame's crops, ``000012_1.png``; else its position."""
    seen: Counter[tuple[str, int]] = Counter()
    nth = []
    columns = (bank.table[name].to_pylist() for name in ("video", "frame", "crop"))
    for video, frame, crop in zip(*columns, strict=True):
        named = _EXTRACTED.fullmatch(PurePosixPath(crop).name)
        known = named is not None and int(named[1]) == frame
        nth.append(min(int(named[2]) if named and known else seen[video, frame], 127))
        seen[video, frame] += 1
    return nth


def _keypoints(points: Points) -> list[Float[np.ndarray, "faces 2"]]:
    return [
        points[:, 36:42].mean(axis=1),
        points[:, 42:48].mean(axis=1),
        points[:, 30],
        points[:, 48:60].mean(axis=1),
        points[:, 0],
        points[:, 16],
    ]


def _boxes(bank: FaceBank, points: Points) -> Float[np.ndarray, "faces 4"]:
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    cells = bank.table.select(["box", "crop_to_frame"]).to_pylist()
    for row, cell in enumerate(cells):
        if cell["box"] is None or cell["crop_to_frame"] is None:
            continue
        forward = np.asarray(cell["crop_to_frame"], np.float64).reshape(2, 3)
        left, top, right, bottom = cell["box"]
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        inside = np.linalg.solve(forward[:, :2], (corners - forward[:, 2]).T).T
        boxes[row] = np.concatenate([inside.min(axis=0), inside.max(axis=0)])
    return boxes


def _int16(values: np.ndarray) -> pa.Array:
    return pa.array(np.rint(np.clip(values, -_INT16, _INT16)).astype(np.int16))
