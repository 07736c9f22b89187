"""What is wrong with a bank, or with photographs and videos, before it spoils a training.

Nothing is changed; one bad item stops nothing. What counts as wrong was measured on real faces,
see :mod:`~faceblend.doctor.lookalike` and :mod:`~faceblend.doctor.faceshape`: 125 crops of single
people and 163 of a video gave no false finding.
"""

import os
from pathlib import Path

from faceblend.doctor.bankfolder import (
    is_bank,
    opened,
    refusal_findings,
    short_findings,
    stray_findings,
)
from faceblend.doctor.crops import crop_findings
from faceblend.doctor.finding import NOTES, Diagnosis, Finding, Kind, ordered
from faceblend.doctor.lookalike import DISTANCE
from faceblend.doctor.rows import column_findings, copy_findings, row_findings, unknown_sizes
from faceblend.doctor.sources import folder_findings
from faceblend.errors import BadArgument
from faceblend.ingest.detect import Detector

__all__ = ["DISTANCE", "MIN_SIZE", "NOTES", "Diagnosis", "Finding", "Kind", "doctor"]

MIN_SIZE = 64
"""px: a smaller face is enlarged more than three times for the usual crop of 317 px."""

_LARGEST_DISTANCE = 16  # bits; the index compares nearly everything with everything beyond


def doctor(
    path: str | os.PathLike[str],
    *,
    workers: int = 1,
    min_size: int = MIN_SIZE,
    distance: int = DISTANCE,
    detector: Detector | None = None,
) -> Diagnosis:
    """Look for what is wrong with a bank, or with a folder of photographs and videos.

    The findings do not depend on the number of workers.

    Args:
        path: a bank, finished or not; or any other folder, searched with its subfolders.
        workers: processes.
        min_size: least size, px: of a face (the longer side of its landmarks' bounding box in
            the source), or of a photograph's or video's shorter side.
        distance: bits of 64 by which the hashes of two pictures of the same may differ.
        detector: finds faces in photographs, and in up to six frames of each video; without
            one that is not looked for. A bank knows its faces already.

    Returns:
        What was found, nothing for a sound bank or folder.

    Raises:
        BadArgument: a value cannot be used, ``path`` is no folder, or holds neither a bank nor
            a photograph or video.
        MissingModel: the detector cannot work at all.
    """
    if min_size < 1:
        raise BadArgument("min_size", f"is {min_size}", "give 1 or more")
    if not 0 <= distance <= _LARGEST_DISTANCE:
        raise BadArgument("distance", f"is {distance}", f"give 0 to {_LARGEST_DISTANCE} bits")
    root = Path(path)
    if root.is_dir() and is_bank(root):
        return _of_bank(root, workers, min_size, distance)
    items, findings = folder_findings(root, workers, min_size, distance, detector)
    unseen = () if detector else ("faces, none and several: no detector was given",)
    return Diagnosis(
        root=str(root), what="folder", items=items, findings=ordered(findings), unseen=unseen
    )


def _of_bank(root: Path, workers: int, min_size: int, distance: int) -> Diagnosis:
    bank, finished, findings = opened(root)
    sound = not findings
    unseen = []
    findings += refusal_findings(root)
    if bank is not None:
        findings += crop_findings(bank, workers, distance)
        findings += row_findings(bank, min_size)
        findings += column_findings(bank)
        findings += short_findings(bank)
        unknown = unknown_sizes(bank)
        if unknown:
            unseen.append(
                f"small faces among {unknown:,}: the bank keeps no crop_to_frame of them"
            )
    if bank is not None and sound:
        findings += copy_findings(bank)
        findings += stray_findings(bank)
    else:
        # an extraction may be at work there, and its crops come before their checkpoints
        unseen.append("stray pictures: the bank's rows are not known for certain")
    return Diagnosis(
        root=str(root),
        what="bank" if finished else "unfinished bank",
        items=0 if bank is None else len(bank),
        findings=ordered(findings),
        unseen=tuple(unseen),
    )
