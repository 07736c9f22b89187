"""A network on a source, from its first item to its last: figures with their counts."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import nn

from faceblend import jobs
from faceblend.errors import BadArgument, FaceblendError
from xray_train.data import evaluation_batches
from xray_train.metrics import PixelHistogram, Summary, balanced_threshold, summary
from xray_train.sources import Source


class Diverged(FaceblendError):
    """A network whose losses, weights or scores are no numbers any more."""


LOWER = "lower the rate or clip gradients, and go on from an earlier checkpoint"

_BOOTSTRAP = 0  # seed of the intervals: the same figures twice


@runtime_checkable
class How(Protocol):
    """What of a run's settings an evaluation needs."""

    @property
    def batch(self) -> int:
        """Samples at a time."""
        ...

    @property
    def workers(self) -> int:
        """Processes that load samples."""
        ...

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``."""
        ...

    @property
    def channels_last(self) -> bool:
        """Memory layout."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """What a network said of every item, in the source's order."""

    videos: tuple[str, ...]
    labels: Integer[np.ndarray, " items"]
    """1 forged, 0 real"""
    scores: Float[np.ndarray, " items"]
    """probability of forged"""
    logits: Float[np.ndarray, " items"]
    """log odds of forged; of a task that gives none, those of its scores, kept 1e-15 away from 0
    and 1"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a network reached on a source."""

    summary: Summary
    """of frames and of videos, with intervals and counts"""
    threshold: float
    """of the accuracies: chosen here on validation, given on test"""
    threshold_chosen_here: bool
    """False where it was fixed before these samples were seen"""
    xray_ap: float | None
    """average precision of X-ray pixels (target over a half is positive); None without any"""
    xray_iou: float | None
    """intersection over union of X-ray pixels at a half"""
    items: Items = field(repr=False, compare=False)
    """of which these are the figures; not among the plain values"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "summary": self.summary.to_dict(),
            "threshold": self.threshold,
            "threshold_chosen_here": self.threshold_chosen_here,
            "xray_ap": self.xray_ap,
            "xray_iou": self.xray_iou,
        }


def evaluate(
    task: nn.Module,
    source: Source,
    *,
    device: torch.device,
    settings: How,
    threshold: float | None = None,
    rank: int = 0,
) -> Result:
    """Predict every item of a source, in order and without augmentation.

    Args:
        task: a :class:`~xray_train.tasks.Task`.
        source: what to evaluate on.
        device: where to.
        settings: batch, workers, precision and layout.
        threshold: of the accuracies, fixed on validation; if not given, the one that is best
            here.
        rank: of several processes, each of which evaluates everything; the first shows it.

    Raises:
        BadArgument: the source's labels are not 0 and 1.
        Diverged: a score is no number.
    """
    if not source.classes() <= {0, 1}:
        raise BadArgument(
            "the source",
            "has labels of people",
            "give reals and forgeries; of an Identity pairs, as xray_train.sources.PairsOf",
        )
    was_training = task.training
    task.eval()
    pixels = PixelHistogram()
    scores: list[np.ndarray] = []
    logits: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    videos: list[str] = []
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    shown = jobs.progress("evaluate", total=len(source), unit="samples") if rank == 0 else None
    with shown or nullcontext() as report:
        for batch, names in evaluation_batches(source, settings.batch, settings.workers):
            image = batch["image"].to(device, non_blocking=True)
            if image.dim() == 4:  # and not several pictures a sample
                image = image.contiguous(memory_format=layout)
            with arithmetic(settings.precision, device):
                predicted = task.predict(image)  # type: ignore[operator]
            scores.append(predicted.scores.double().cpu().numpy())
            if predicted.logits is not None:
                logits.append(predicted.logits.double().cpu().numpy())
            labels.append(batch["label"].numpy())
            videos.extend(names)
            if predicted.xrays is not None and np.isfinite(scores[-1]).all():
                pixels.add(batch["xray"][:, 0].numpy(), predicted.xrays.float().cpu().numpy())
            if report is not None:
                report.advance(len(names))
    task.train(was_training)
    lost = sum(int((~np.isfinite(one)).sum()) for one in scores)
    if lost:
        raise Diverged("the network", f"gives {lost} scores that are no numbers", LOWER)
    score, label = np.concatenate(scores), np.concatenate(labels)
    chosen = threshold is None
    both = len(np.unique(label)) == 2
    if threshold is None:
        threshold = balanced_threshold(label, score) if both else 0.5
    rng = np.random.Generator(np.random.Philox(key=_BOOTSTRAP))
    return Result(
        summary=summary(videos, label, score, threshold, rng),
        threshold=float(threshold),
        threshold_chosen_here=chosen,
        xray_ap=pixels.average_precision(),
        xray_iou=pixels.iou(),
        items=Items(
            videos=tuple(videos),
            labels=label,
            scores=score,
            logits=np.concatenate(logits) if logits else _log_odds(score),
        ),
    )


def _log_odds(scores: np.ndarray) -> np.ndarray:
    kept = np.clip(scores, 1e-15, 1 - 1e-15)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def arithmetic(name: str, device: torch.device) -> Any:
    """The context in which a network runs in ``fp32``, ``bf16`` or ``fp16``."""
    if name == "fp32":
        return nullcontext()
    kind = torch.bfloat16 if name == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=kind)
