"""The rows of a bank: landmarks that are no face's, small faces, columns at odds."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from faceblend.bank import FaceBank
from faceblend.doctor.faceshape import implausible, misplaced
from faceblend.doctor.finding import Finding

_OUT_OF_BOX = 0.5  # of the box, from its middle to the landmarks'; real faces reach 0.21
_AGAIN = "extract the bank again"


def row_findings(bank: FaceBank, min_size: int) -> Iterator[Finding]:
    """Landmarks and sizes, face by face."""
    odd = {}
    for row in range(len(bank)):
        what = implausible(np.array(bank.landmarks[row], np.float32), bank.crop_size)
        if what is not None:
            odd[row] = what
    for row, what in misplaced(np.asarray(bank.landmarks, np.float32), bank.crop_size):
        odd.setdefault(row, what)
    for row, what in odd.items():
        yield Finding(
            item=bank.crop(row),
            kind="landmark-implausible",
            detail=what,
            remedy="look at it, and leave it out or place its landmarks anew",
        )
    spans = (bank.landmarks.max(axis=1) - bank.landmarks.min(axis=1)).max(axis=1)
    to_frame, boxes = bank.table["crop_to_frame"].to_pylist(), bank.table["box"].to_pylist()
    for row, (matrix, box) in enumerate(zip(to_frame, boxes, strict=True)):
        if matrix is None:
            continue
        turned = np.array(matrix).reshape(2, 3)
        size = float(spans[row]) * float(np.sqrt(abs(np.linalg.det(turned[:, :2]))))
        if size < min_size:
            yield Finding(
                item=bank.crop(row),
                kind="low-resolution",
                detail=f"its face has {size:.0f} px in the source, under {min_size}",
                remedy="leave it out, or ask for less with a lower --min-size",
            )
        if box is not None and row not in odd and _leaves_box(bank.landmarks[row], turned, box):
            yield Finding(
                item=bank.crop(row),
                kind="inconsistent",
                detail="its landmarks, box and crop_to_frame do not meet in the source",
                remedy=_AGAIN,
            )


def unknown_sizes(bank: FaceBank) -> int:
    """Faces of which the bank does not know how large they were."""
    return int(bank.table["crop_to_frame"].null_count)


def _leaves_box(landmarks: np.ndarray, to_frame: np.ndarray, box: list[float]) -> bool:
    middle = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    x, y = to_frame @ np.array([middle[0], middle[1], 1.0])
    left, top, right, bottom = box
    reach = _OUT_OF_BOX * max(right - left, bottom - top)
    return bool(max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) > reach)


def column_findings(bank: FaceBank) -> Iterator[Finding]:
    """Columns that contradict each other, or the copy of the landmarks."""
    columns = {
        name: bank.table[name].to_pylist()
        for name in ("video", "subject", "split", "label", "frame")
    }
    for name in ("label", "split"):
        values = _by(columns["video"], columns[name])
        for video in sorted(one for one, found in values.items() if len(found) > 1):
            told = " and ".join(map(str, sorted(values[video], key=str)))
            yield Finding(
                item=video,
                kind="inconsistent",
                detail=f"is one video, and its faces have {name} {told}",
                remedy="give all faces of a video the same, or split the video in two",
            )
    splits = _by(columns["subject"], columns["split"])
    for subject in sorted(one for one, found in splits.items() if one and len(found) > 1):
        told = " and ".join(sorted(map(str, splits[subject])))
        yield Finding(
            item=subject,
            kind="inconsistent",
            detail=f"is one subject, and is in {told}",
            remedy="split by subject, so that nobody is learned and tested",
        )
    for row, label in enumerate(columns["label"]):
        if label not in (0, 1):
            yield Finding(
                item=bank.crop(row),
                kind="inconsistent",
                detail=f"has label {label}, which is neither 0 nor 1",
                remedy=_AGAIN,
            )
    yield from _crowded(columns["video"], columns["frame"])


def _by(keys: list[Any], values: list[Any]) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = defaultdict(set)
    for key, value in zip(keys, values, strict=True):
        found[key].add(value)
    return found


def _crowded(videos: list[str], frames: list[int]) -> Iterator[Finding]:
    several: dict[str, list[int]] = defaultdict(list)
    for (video, _), count in Counter(zip(videos, frames, strict=True)).items():
        several[video].append(count)
    for video, counts in several.items():
        if max(counts) > 1:
            more = sum(count > 1 for count in counts)
            yield Finding(
                item=video,
                kind="multi-face",
                detail=f"several faces in {more} of {len(counts)} frames, up to {max(counts)}",
                remedy="nothing, if that is meant; --faces largest takes one a frame",
            )


def copy_findings(bank: FaceBank) -> Iterator[Finding]:
    """The memory-mapped copy of the landmarks against faces.parquet."""
    stored = pq.read_table(bank.root / "faces.parquet", columns=["landmarks"])["landmarks"]
    points = np.concatenate([np.asarray(chunk.flatten()) for chunk in stored.chunks])
    if not np.array_equal(points.reshape(-1, 68, 2), bank.landmarks):
        yield Finding(
            item="cache",
            kind="inconsistent",
            detail="its copy of the landmarks is not what faces.parquet holds",
            remedy="delete the folder cache; it is made again",
        )
