"""Several networks on a folder of videos, one probability a video: a challenge's submission.

As the second place of the DFDC challenge (seed 001): the mean over a video's faces, then the
weighted mean over the networks.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from faceblend import atomic, jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadImage, BadVideo, at_least
from faceblend.face import Image
from faceblend.ingest.crop import CROP_SIZE, align_face, crop_face
from faceblend.ingest.detect import Detection, Detector
from faceblend.ingest.photograph import list_photographs
from faceblend.ingest.track import follow
from faceblend.ingest.video import SUFFIXES, evenly, probe, read_frames
from xray_train.evaluate import LOWER, Diverged
from xray_train.metrics import log_loss
from xray_train.sources import window
from xray_train.sources.source import as_tensor
from xray_train.sources.videos import resized

Cut = Literal["aligned", "upright", "window"]
"""How a face is cut out: turned onto a template, 320 px; upright, 317 px; or, of that, the 256 px
that :class:`~xray_train.sources.Faces` and the blends show."""

UNKNOWN = 0.5
"""Label of a video that shows no face, or cannot be read."""

_ALIGNED = 320  # px


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A network of the ensemble."""

    name: str
    """for messages"""
    task: nn.Module
    """a :class:`~xray_train.tasks.Task` in evaluation mode"""
    weight: float = 1.0
    """over 0; they need not add up to 1"""
    side: int = 0
    """px, that a face is resized to; 0 as it was cut out"""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What a call of :func:`submit` wrote."""

    out: Path
    labels: Mapping[str, float]
    """probability of forged of each video, ordered by name"""
    faceless: int
    """videos that were read and show no face"""
    refused: tuple[tuple[str, str], ...]
    """videos that could not be read, and why"""

    def __str__(self) -> str:
        text = f"{len(self.labels):,} videos in {self.out}"
        if self.faceless:
            text += f"\nwithout a face, {UNKNOWN}: {self.faceless:,}"
        for name, reason in self.refused:
            text += f"\nrefused, {UNKNOWN}: {name}: {reason}"
        return text


def submit(
    members: Sequence[Member],
    source: Path,
    out: Path,
    *,
    detector: Detector,
    device: torch.device,
    cut: Cut = "aligned",
    every: int = 10,
    faces: int = 25,
    batch: int = 25,
) -> Submitted:
    """Score the videos of a folder or a bank and write ``filename,label``.

    The largest face of a frame counts. ``label`` is the probability of forged, six decimals: the
    mean over faces, then the weighted mean over networks. Rows are ordered by name, which is the
    path below the folder. What cannot be read has a row with .5 and its reason in
    ``OUT.refused.csv``; without such videos that file is not there.

    Args:
        members: the networks.
        source: folder of videos, or a bank, whose crops are taken whole.
        out: the CSV.
        detector: finds faces and landmarks; a bank has its own.
        device: where the networks are.
        cut: how faces are cut out; of a bank's crops only ``window`` takes a part.
        every: frames from one that is looked at to the next; of a bank, all that it has.
        faces: most frames of a video; of more, as many evenly spaced ones.
        batch: faces that a network sees at a time.

    Raises:
        BadArgument: there is no video, or a number is out of range.
        Diverged: a network gives scores that are no numbers.
        MissingModel: the detector cannot work.
    """
    _check(members, every=every, faces=faces, batch=batch)
    bank = FaceBank.open(source) if (source / "bank.json").exists() else None
    if bank is not None:
        where = _rows(bank)
        refused = list[tuple[str, str]]()
    else:
        listing = list_photographs(source, suffixes=SUFFIXES)
        where = {one.source: np.empty(0, np.int64) for one in listing.photographs}
        refused = list(listing.unreachable)
    labels = dict.fromkeys((name for name, _ in refused), UNKNOWN)
    faceless = 0
    with jobs.progress("submit", total=len(where), unit="videos") as report:
        for name, rows in where.items():
            labels[name] = UNKNOWN
            try:
                if bank is not None:
                    crops = [
                        _part(bank.image(int(rows[one])), cut) for one in evenly(len(rows), faces)
                    ]
                else:
                    crops = list(_of_video(source / name, detector, cut, every, faces))
                if crops:
                    labels[name] = _score(members, crops, device, batch)
                faceless += not crops
            except (BadImage, BadVideo) as error:
                refused.append((name, error.reason))
                report.warn(f"{name}: {error.reason}")
            report.advance(1)
    labels = {name: labels[name] for name in sorted(labels)}
    atomic.write_csv(
        out, ("filename", "label"), [(name, f"{one:.6f}") for name, one in labels.items()]
    )
    told = out.with_name(f"{out.name}.refused.csv")
    told.unlink(missing_ok=True)  # of an earlier call
    if refused:
        atomic.write_csv(told, ("filename", "reason"), sorted(refused))
    return Submitted(out=out, labels=labels, faceless=faceless, refused=tuple(sorted(refused)))


def read_labels(path: Path) -> dict[str, int]:
    """The truth of videos: a CSV with columns ``filename`` and ``label``, 1 forged and 0 real.

    Raises:
        BadArgument: it cannot be read as that, or names a video twice.
    """
    remedy = "give a CSV with the columns filename and label, 1 forged and 0 real"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadArgument(path, f"cannot be read ({error})", remedy) from error
    found: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        name, label = row.get("filename"), row.get("label")
        if not name or label not in ("0", "1"):
            raise BadArgument(f"{path}, line {number}", f"says {name!r}: {label!r}", remedy)
        if name in found:
            raise BadArgument(f"{path}, line {number}", f"names {name} again", "keep one")
        found[name] = int(label)
    if not found:
        raise BadArgument(path, "holds no label", remedy)
    return found


def judged(submitted: Mapping[str, float], truth: Mapping[str, int]) -> str:
    """The log loss over the videos that both name, and how many only one of them does.

    Raises:
        BadArgument: they have no video in common.
    """
    both = sorted(set(submitted) & set(truth))
    if not both:
        name = next(iter(submitted))
        raise BadArgument(
            "--labels", f"names none of the videos, such as {name}", "name them as the CSV does"
        )
    scores = np.array([submitted[name] for name in both])
    loss = log_loss(np.array([truth[name] for name in both]), scores)
    text = f"log loss {loss:.5f} of {len(both):,} videos"
    for count, words in (
        (len(submitted) - len(both), "without a label"),
        (len(truth) - len(both), "with a label are not in the input"),
    ):
        text += f"; {count:,} {words}" if count else ""
    return text


# -- faces and scores --------------------------------------------------------------------


def _check(members: Sequence[Member], **least_one: int) -> None:
    at_least(1, **least_one)
    if not members:
        raise BadArgument("members", "names no network", "give a checkpoint")
    for member in members:
        if not (member.weight > 0 and math.isfinite(member.weight)):
            raise BadArgument(
                "weights",
                f"gives {member.name} {member.weight}",
                "give more than 0, or leave it out",
            )
        if member.side < 0:
            raise BadArgument("sides", f"gives {member.name} {member.side}", "give px, or 0")


def _rows(bank: FaceBank) -> dict[str, np.ndarray]:
    """Rows of each video's faces; a bank is ordered by video."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(bank.videos)) + 1])
    names = bank.table["video"].take(first).to_pylist()
    return dict(zip(names, np.split(np.arange(len(bank)), first[1:]), strict=True))


def _of_video(path: Path, detector: Detector, cut: Cut, every: int, faces: int) -> Iterator[Image]:
    """The largest face of frames ``every`` apart."""
    frames = range(0, probe(path).frames, every)
    wanted = [frames[one] for one in evenly(len(frames), faces)]
    for seen in follow(read_frames(path, wanted), detector):
        crop = _cut_out(seen.frame.rgb, seen.faces[0], cut) if seen.faces else None
        if crop is not None:
            yield crop


def _cut_out(image: Image, face: Detection, cut: Cut) -> np.ndarray | None:
    try:
        if cut == "aligned":
            return align_face(image, face.landmarks, _ALIGNED)[0]
        return _part(crop_face(image, face.landmarks, CROP_SIZE)[0], cut)
    except ValueError:
        return None  # landmarks around no point of the frame: no face that can be cut out


def _part(crop: np.ndarray, cut: Cut) -> np.ndarray:
    return window(crop) if cut == "window" else crop


def _score(
    members: Sequence[Member], crops: Sequence[np.ndarray], device: torch.device, batch: int
) -> float:
    """Mean over faces of each network, weighted mean over networks."""
    total = sum(member.weight for member in members)
    label = 0.0
    for member in members:
        side = member.side or crops[0].shape[0]
        pictures = torch.stack([as_tensor(resized(one, side)) for one in crops])
        scores = [
            member.task.predict(pictures[start : start + batch].to(device)).scores  # type: ignore[operator]
            for start in range(0, len(pictures), batch)
        ]
        mean = float(torch.cat(scores).double().mean())
        if not math.isfinite(mean):
            raise Diverged(member.name, "gives scores that are no numbers", LOWER)
        label += member.weight / total * mean
    return label
