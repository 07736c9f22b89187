"""The job: X-rays of one forgery or of a whole tree, and a contact sheet of them."""

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from faceblend import atomic, jobs
from faceblend.audit.report import sheet
from faceblend.errors import BadArgument, FaceblendError
from faceblend.face import Image, Xray
from faceblend.forged.estimate import Estimated, Forgery, How, estimate, png
from faceblend.forged.ffpp import PATTERN, forgeries
from faceblend.ingest.photograph import read_photograph
from faceblend.ingest.video import evenly

T = TypeVar("T")

_ON_SHEET = 24  # pictures, as on the sheet of a set


@dataclass(frozen=True, kw_only=True)
class ForgedReport:
    """What came out of some forgeries."""

    out: Path
    xrays: int
    """frames with an X-ray"""
    empty: int
    """frames without: an empty mask, or nothing that differs; recorded with the reason"""
    kept: int
    """forgeries that an earlier run had finished"""
    errors: tuple[tuple[str, str], ...]
    """forgeries that gave nothing, and why; ordered by name"""

    def __str__(self) -> str:
        kept = f", {self.kept:,} forgeries kept from before" if self.kept else ""
        errors = f", {len(self.errors):,} forgeries refused" if self.errors else ""
        return f"{self.xrays:,} X-rays in {self.out}, {self.empty:,} frames without{kept}{errors}"


def xray_of(
    fake: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    original: str | os.PathLike[str] | None = None,
    mask: str | os.PathLike[str] | None = None,
    how: How | None = None,
) -> ForgedReport:
    """Write frames of a forgery and their estimated X-rays.

    ``out/fake/00000012.png`` is frame 12, RGB; ``out/mask/00000012.png`` its X-ray, grey,
    ``round(255 * B)``; ``out/records.jsonl``, written last, has one line a frame, also for
    those without an X-ray, with the reason; ``out/contact-sheet.png`` shows them.

    Frames are paired by their number, up to the end of the shorter video.

    Args:
        fake: video or picture.
        out: folder.
        original: the real video or picture that it was made of; or
        mask: the mask that its dataset ships.
        how: frames and thresholds.

    Raises:
        BadArgument: neither or both of ``original`` and ``mask``; a video beside a picture;
            or a file that is neither.
        BadVideo, BadImage: one cannot be read, or is not of the fake's size.
    """
    forgery = Forgery(
        name=Path(fake).name,
        fake=Path(fake),
        original=None if original is None else Path(original),
        mask=None if mask is None else Path(mask),
        out=Path(out),
    )
    done = estimate(forgery, how if how is not None else How())
    _write_sheet(Path(out), _spread([(done.out, one) for one in done.records if one["xray"]]))
    return _report(Path(out), [done], [])


def xray_of_ffpp(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    how: How | None = None,
    originals: bool = False,
    workers: int = 1,
) -> ForgedReport:
    """Write the estimated X-rays of all forgeries of an FF++ tree; continue such a run.

    Each is written as :func:`xray_of` does it, into ``out/<method>/<quality>/<name>``. What
    cannot be read, or has neither mask nor original, ends in ``out/errors.jsonl``.

    Args:
        root: folder with ``manipulated_sequences``, in whole or in part.
        out: folder.
        how: frames and thresholds.
        originals: compare with the original even where there is a mask.
        workers: processes.

    Raises:
        BadArgument: there is no forgery in ``root``.
    """
    root, out = Path(root), Path(out)
    found = list(forgeries(root, out, originals=originals))
    if not found:
        raise BadArgument(root, f"holds no {PATTERN}", "give the root of FF++")
    finished: list[Estimated] = []
    errors: list[tuple[str, str]] = []
    work = partial(estimate, how=how if how is not None else How())
    with jobs.progress("xray-of", total=len(found), unit="forgeries") as report:
        for outcome in jobs.run(found, work, workers=workers):
            if outcome.result is not None:
                finished.append(outcome.result)
            elif isinstance(outcome.error, FaceblendError):
                reason = f"{outcome.error.where}: {outcome.error.reason}"
                errors.append((outcome.task.name, reason))
            elif outcome.error is not None:
                raise outcome.error
            report.advance()
    errors.sort()
    finished.sort(key=lambda one: one.out)
    lines = [json.dumps({"source": name, "reason": why}) + "\n" for name, why in errors]
    atomic.write_bytes(out / "errors.jsonl", "".join(lines).encode())
    _write_sheet(out, _spread(_middles(finished)))
    return _report(out, finished, errors)


def _report(out: Path, done: list[Estimated], errors: list[tuple[str, str]]) -> ForgedReport:
    with_xray = [record["xray"] is not None for one in done for record in one.records]
    return ForgedReport(
        out=out,
        xrays=sum(with_xray),
        empty=len(with_xray) - sum(with_xray),
        kept=sum(one.kept for one in done),
        errors=tuple(errors),
    )


def _spread(shown: list[T]) -> list[T]:
    return [shown[place] for place in evenly(len(shown), _ON_SHEET)]


def _middles(done: list[Estimated]) -> list[tuple[Path, dict[str, Any]]]:
    """One frame of each forgery."""
    middles = []
    for one in done:
        records = [record for record in one.records if record["xray"]]
        if records:
            middles.append((one.out, records[len(records) // 2]))
    return middles


def _write_sheet(out: Path, chosen: list[tuple[Path, dict[str, Any]]]) -> None:
    if not chosen:
        return
    shown: list[tuple[Image, Xray, str]] = []
    for place, record in chosen:
        image = read_photograph(place / record["image"])
        grey = read_photograph(place / record["xray"])[..., 0]
        caption = f"{Path(record['source']).name}, frame {record['frame']}, {record['from']}"
        shown.append((image, grey.astype(np.float32) / np.float32(255), caption))
    laid = cv2.cvtColor(sheet(shown), cv2.COLOR_RGB2BGR)
    atomic.write_bytes(out / "contact-sheet.png", png(laid))
