"""Are two faces one person: accuracy by ten folds, as LFW asks (Huang et al., 2007).

The threshold of each fold is chosen on the other nine, so no pair has a say in its own verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from faceblend import atomic, jobs
from faceblend.errors import BadArgument
from xray_train.data import evaluation_batches
from xray_train.evaluate import LOWER, Diverged
from xray_train.metrics import equal_error_rate, roc_auc
from xray_train.sources import Source
from xray_train.tasks.identity import Identity, Mirror

FOLDS = 10


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Figures of a list of pairs."""

    accuracy: float
    """mean over the folds"""
    accuracy_std: float
    """standard deviation over the folds, of the population"""
    auc: float
    """over all pairs; no threshold is in it"""
    eer: float
    """over all pairs"""
    accuracies: tuple[float, ...]
    """of each fold"""
    thresholds: tuple[float, ...]
    """of each fold, chosen on the others"""
    sizes: tuple[int, ...]
    """pairs of each fold"""
    alike: int
    """pairs of one person"""
    apart: int
    """pairs of two"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f} ± {self.accuracy_std:.4f} over {len(self.sizes)} folds,"
            f" AUC {self.auc:.4f}, {self.alike:,} pairs of one person and {self.apart:,} of two"
        )


def by_folds(labels: np.ndarray, scores: np.ndarray, folds: int = FOLDS) -> Verification:
    """Judge each fold by the threshold that is best on the others.

    Folds are consecutive pairs; where they cannot be of one size, the first have one more.

    Args:
        labels: (pairs,) 1 one person, 0 two.
        scores: (pairs,) higher for one person.
        folds: their number.

    Raises:
        BadArgument: there are fewer pairs than folds, or all pairs are of one kind, or all but
            those of a fold.
        ValueError: a score is no number.
    """
    if not 2 <= folds <= len(labels):
        raise BadArgument("folds", f"is {folds}, of {len(labels)} pairs", "give 2 to as many")
    if len(np.unique(labels)) < 2:
        raise BadArgument("pairs", "are all of one kind", "give pairs of one person and of two")
    fold_of = np.repeat(np.arange(folds), [len(one) for one in _folds(len(labels), folds)])
    accuracies, thresholds, sizes = list[float](), list[float](), list[int]()
    auc = roc_auc(labels, scores)  # it looks at the scores first
    for fold in range(folds):
        mine = fold_of == fold
        if len(np.unique(labels[~mine])) < 2:
            raise BadArgument(
                "pairs",
                f"outside fold {fold + 1} all are of one kind",
                "mix both kinds along the list, as LFW's has them",
            )
        threshold = best_threshold(labels[~mine], scores[~mine])
        accuracies.append(float(((scores[mine] >= threshold) == (labels[mine] == 1)).mean()))
        thresholds.append(threshold)
        sizes.append(int(mine.sum()))
    return Verification(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        auc=auc,
        eer=equal_error_rate(labels, scores)[0],
        accuracies=tuple(accuracies),
        thresholds=tuple(thresholds),
        sizes=tuple(sizes),
        alike=int((labels == 1).sum()),
        apart=int((labels == 0).sum()),
    )


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with most pairs on their right side; of several the middle one.

    It lies halfway between two neighbouring scores, or beyond all of them.

    Args:
        labels: (pairs,) 1 one person, 0 two.
        scores: (pairs,) higher for one person.

    Example:
        >>> best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9]))
        0.4
    """
    values, place = np.unique(scores, return_inverse=True)
    alike = np.bincount(place[labels == 1], minlength=len(values))
    apart = np.bincount(place[labels == 0], minlength=len(values))
    # over the k lowest values: pairs of two below are right, and pairs of one person not below
    right = np.append(0, np.cumsum(apart)) + alike.sum() - np.append(0, np.cumsum(alike))
    edges = np.concatenate([[values[0]], (values[:-1] + values[1:]) / 2, [math.inf]])
    best = np.flatnonzero(right == right.max())
    found = float(edges[best[len(best) // 2]])
    return found if math.isfinite(found) else float(np.nextafter(values[-1], math.inf))


@torch.no_grad()
def score_pairs(
    task: nn.Module,
    pairs: Source,
    *,
    device: torch.device,
    mirror: Mirror = "concat",
    batch: int = 32,
    workers: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores, ``(cosine + 1) / 2``, of pairs in their order.

    Args:
        task: an :class:`~xray_train.tasks.identity.Identity`.
        pairs: a source of pairs (2, 3, H, W).
        device: where to.
        mirror: features of the mirror image behind the picture's (LFW's usual), added, or none.
        batch: pairs at a time.
        workers: processes that load them.

    Raises:
        BadArgument: the task embeds nothing.
        Diverged: its embeddings are no numbers.
    """
    if not isinstance(task, Identity):
        raise BadArgument(
            "task", f"is {type(task).__name__}, which has no embedding", "give an Identity"
        )
    task.to(device).eval()
    labels, scores = list[np.ndarray](), list[np.ndarray]()
    with jobs.progress("verify", total=len(pairs), unit="pairs") as report:
        for items, names in evaluation_batches(pairs, batch, workers):
            images = items["image"].to(device)
            first, second = (task.embed(one, mirror) for one in images.unbind(dim=1))
            cosines = (first.double() * second.double()).sum(dim=1)
            scores.append(((cosines + 1) / 2).cpu().numpy())
            labels.append(items["label"].numpy())
            report.advance(len(names))
    if not np.isfinite(found := np.concatenate(scores)).all():
        raise Diverged("the network", "gives embeddings that are no numbers", LOWER)
    return np.concatenate(labels), found


def verify(
    task: nn.Module,
    pairs: Source,
    out: Path,
    *,
    what: str,
    device: torch.device,
    mirror: Mirror = "concat",
    batch: int = 32,
    workers: int = 0,
    folds: int = FOLDS,
) -> Verification:
    """Score pairs, judge them by folds and write the figures as JSON.

    Args:
        task, pairs, device, mirror, batch, workers: see :func:`score_pairs`.
        out: the JSON file.
        what: of what by what, for the file.
        folds: see :func:`by_folds`.
    """
    labels, scores = score_pairs(
        task, pairs, device=device, mirror=mirror, batch=batch, workers=workers
    )
    made = by_folds(labels, scores, folds)
    atomic.write_json(out, {"format": 1, "what": what, "mirror": mirror, **made.to_dict()})
    return made


def _folds(count: int, folds: int) -> Sequence[np.ndarray]:
    return np.array_split(np.arange(count), folds)
