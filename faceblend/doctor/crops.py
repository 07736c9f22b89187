"""The crops of a bank, read one by one: missing, corrupt, or the same as another."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from faceblend import jobs
from faceblend.bank import FaceBank
from faceblend.doctor.finding import Finding, few
from faceblend.doctor.lookalike import look_of, lookalikes
from faceblend.errors import BadImage
from faceblend.face import Image

_CHUNK = 128  # crops a task


def digest_of(image: Image) -> int:
    """64 bits that only equal pixels share."""
    data = repr(image.shape).encode() + image.tobytes()
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little", signed=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """What was seen in the crops of some rows."""

    findings: tuple[Finding, ...]
    rows: list[int]
    """those that could be read"""
    looks: np.ndarray
    digests: list[int]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Some neighbouring rows of a bank, light enough to travel."""

    bank: FaceBank
    first: int

    def __str__(self) -> str:
        return f"crops from {self.bank.crop(0)} on"


def _look(part: _Part) -> _Seen:
    findings, rows, looks, digests = [], [], [], []
    for row in range(len(part.bank)):
        try:
            image = part.bank.read_crop(row)
        except BadImage as error:
            lost = isinstance(error.__cause__, FileNotFoundError)
            findings.append(
                Finding(
                    item=part.bank.crop(row),
                    kind="missing" if lost else "corrupt",
                    detail="is listed in faces.parquet and is not there" if lost else error.reason,
                    remedy=str(error.args[2]),
                )
            )
            continue
        rows.append(part.first + row)
        looks.append(look_of(image))
        digests.append(digest_of(image))
    found = np.stack(looks) if looks else np.empty((0, 64), np.float32)
    return _Seen(findings=tuple(findings), rows=rows, looks=found, digests=digests)


def _parts(bank: FaceBank) -> list[_Part]:
    return [
        _Part(
            first=first,
            # a slice that pickles whole: no worker opens the bank
            bank=replace(
                bank,
                table=bank.table.slice(first, _CHUNK),
                landmarks=np.array(bank.landmarks[first : first + _CHUNK]),
                videos=bank.videos[first : first + _CHUNK],
                subjects=bank.subjects[first : first + _CHUNK],
                splits=bank.splits[first : first + _CHUNK],
                reals=np.empty(0, np.int64),
                _reopen=(),
            ),
        )
        for first in range(0, len(bank), _CHUNK)
    ]


def crop_findings(bank: FaceBank, workers: int, distance: int) -> Iterator[Finding]:
    """Read every crop: missing, corrupt, the same as another."""
    seen: list[_Seen] = []
    with jobs.progress("doctor", total=len(bank), unit="crops") as report:
        for outcome in jobs.run(_parts(bank), _look, workers=workers):
            if outcome.result is None:
                yield _unlooked(outcome.task, outcome.error)
            else:
                seen.append(outcome.result)
                yield from outcome.result.findings
            report.advance(len(outcome.task.bank))
    seen.sort(key=lambda one: one.rows)  # parts end in any order
    rows = np.array([row for one in seen for row in one.rows], np.int64)
    digests = np.array([digest for one in seen for digest in one.digests], np.int64)
    looks = np.concatenate([np.empty((0, 64), np.float32), *(one.looks for one in seen)])
    yield from _repeated(bank, rows, digests)
    # forgeries of one film look alike by nature, and are never blended
    real = bank.table["label"].to_numpy()[rows] == 0
    videos, subjects = (
        codes[rows[real]].astype(np.int64) for codes in (bank.videos, bank.subjects)
    )
    # videos of one known person never lend to each other: two qualities of a film may be there
    groups = np.where(subjects < 0, videos, len(bank) + subjects)
    for cluster in lookalikes(looks[real], digests[real], groups, distance):
        yield _lookalike(bank, rows[real][cluster].tolist())


def _unlooked(part: _Part, error: Exception | None) -> Finding:
    return Finding(
        item=part.bank.crop(0),
        kind="failed",
        detail=f"it and the {len(part.bank) - 1} behind it could not be looked at ({error})",
        remedy="run again with one worker",
    )


def _lookalike(bank: FaceBank, rows: list[int]) -> Finding:
    cells = bank.table.select(["crop", "video", "split"]).take(rows).to_pylist()
    videos = sorted({cell["video"] for cell in cells})
    splits = sorted({cell["split"] for cell in cells} - {None})
    others = few([cell["crop"] for cell in cells[1:]])
    across = f", across {' and '.join(splits)}" if len(splits) > 1 else ""
    return Finding(
        item=cells[0]["crop"],
        kind="duplicate",
        detail=f"shows the same as {others} ({len(videos)} videos{across})",
        remedy="keep one of the videos, or group them as one: a face could lend to itself",
    )


def _repeated(bank: FaceBank, rows: np.ndarray, digests: np.ndarray) -> Iterator[Finding]:
    """Equal pixels within one video, or with two labels."""
    alike: dict[int, list[int]] = defaultdict(list)
    for row, digest in zip(rows.tolist(), digests.tolist(), strict=True):
        alike[digest].append(row)
    labels, frames = bank.table["label"].to_pylist(), bank.table["frame"].to_pylist()
    twice: dict[int, list[list[int]]] = defaultdict(list)
    for equal in alike.values():
        if len(equal) == 1:
            continue
        if len({labels[row] for row in equal}) > 1:
            yield Finding(
                item=bank.crop(equal[0]),
                kind="inconsistent",
                detail=f"has the pixels of {few([bank.crop(row) for row in equal[1:]])}, "
                "and they are labelled both real and forged",
                remedy="find out which label is right and leave the others out",
            )
        of_video: dict[int, list[int]] = defaultdict(list)
        for row in equal:
            of_video[int(bank.videos[row])].append(row)
        for video, same in of_video.items():
            if len(same) > 1:
                twice[video].append(same)
    for groups in twice.values():
        first = [bank.crop(row) for row in groups[0]]
        one_frame = any(len({frames[row] for row in same}) < len(same) for same in groups)
        count = sum(len(same) - 1 for same in groups)
        yield Finding(
            item=first[0],
            kind="inconsistent" if one_frame else "duplicate",
            detail=f"has the pixels of {few(first[1:])} of the same "
            + ("frame" if one_frame else "video")
            + (f", {count} such in it" if count > 1 else ""),
            remedy="leave out what is there twice",
        )
