"""How well scores tell forged from real: numbers in, numbers out.

Scores are higher for forged; labels are 1 forged and 0 real. Frames of one video are not
independent, so intervals come from whole videos drawn again (a bootstrap by cluster).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8

from xray_train.aggregate import Aggregation, aggregate

Scores = Float[np.ndarray, " items"]
Labels = Integer[np.ndarray, " items"]

_BINS = 1024  # of a predicted X-ray's value
_ROUNDS = 1000
_LEVEL = 0.95


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Chance that a forged item scores higher than a real one; a tie counts a half.

    Raises:
        ValueError: there is one class alone, or a score is no number.
    """
    _check(labels, scores)
    return _auc(labels, scores, np.ones(len(scores), np.int64))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision at every distinct score, weighted by the recall that it adds.

    Raises:
        ValueError: there is one class alone, or a score is no number.
    """
    _check(labels, scores)
    true, false = _counts(labels, scores)
    recall = true / true[-1]
    return float(np.sum(np.diff(recall, prepend=0) * true / (true + false)))


def equal_error_rate(labels: Labels, scores: Scores) -> tuple[float, float]:
    """Where as many reals are taken for forged as forged for real, and the score there.

    Between two thresholds both rates are taken as straight lines.

    Raises:
        ValueError: there is one class alone, or a score is no number.
    """
    _check(labels, scores)
    true, false = _counts(labels, scores)
    thresholds = np.unique(scores)[::-1].astype(float)
    missed = np.concatenate([[1.0], 1 - true / true[-1]])
    alarms = np.concatenate([[0.0], false / false[-1]])
    places = np.concatenate([[thresholds[0]], thresholds])
    after = int(np.argmax(alarms >= missed))
    gap_before = missed[after - 1] - alarms[after - 1]
    gap_after = alarms[after] - missed[after]
    share = gap_before / (gap_before + gap_after)
    rate = alarms[after - 1] + share * (alarms[after] - alarms[after - 1])
    return float(rate), float(places[after - 1] + share * (places[after] - places[after - 1]))


def accuracy(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of items on the right side; a score at the threshold means forged."""
    return float(((scores >= threshold) == (labels == 1)).mean())


def log_loss(labels: Labels, scores: Scores) -> float:
    """Mean negative logarithm of what the right class was given (DFDC's measure).

    Scores are taken for probabilities and kept 1e-15 away from 0 and 1.

    Example:
        >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 4)
        0.6931
    """
    kept = np.clip(scores.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-np.log(np.where(labels == 1, kept, 1 - kept)).mean())


def balanced_threshold(labels: Labels, scores: Scores) -> float:
    """The threshold of the best balanced accuracy: choose it on validation, never on test.

    Halfway between the two neighbouring scores; of several as good the lowest.

    Raises:
        ValueError: there is one class alone, or a score is no number.
    """
    _check(labels, scores)
    true, false = _counts(labels, scores)
    values = np.unique(scores)[::-1].astype(float)
    balanced = true / true[-1] + 1 - false / false[-1]
    best = int(np.flatnonzero(balanced == balanced.max())[-1])
    below = values[best + 1] if best + 1 < len(values) else values[best]
    return float((values[best] + below) / 2)


def by_video(
    videos: Sequence[str],
    labels: Labels,
    scores: Scores,
    how: Aggregation = "mean",
    threshold: float = 0.5,
) -> tuple[Integer[np.ndarray, " videos"], Float[np.ndarray, " videos"]]:
    """Labels and scores of videos, ordered by name; ``vote`` is the share over ``threshold``.

    A video that has real and forged items (backgrounds of blends do) counts as two.
    """
    groups: dict[tuple[str, int], list[float]] = {}
    for video, label, score in zip(videos, labels.tolist(), scores.tolist(), strict=True):
        groups.setdefault((video, label), []).append(score)
    ordered = sorted(groups)
    found = np.array([aggregate(np.array(groups[key], float), how, threshold) for key in ordered])
    return np.array([label for _, label in ordered], np.int64), found


# -- pixels ------------------------------------------------------------------------------


class PixelHistogram:
    """X-ray pixels in bins of their predicted value: millions cost no memory.

    A pixel is positive where the target is over a half. Within a bin of 1/1024 order is not
    known; its pixels count as ties.
    """

    def __init__(self) -> None:
        self._positive = np.zeros(_BINS, np.int64)
        self._negative = np.zeros(_BINS, np.int64)

    def add(
        self,
        target: UInt8[np.ndarray, "batch height width"],
        predicted: Float[np.ndarray, "batch height width"],
    ) -> None:
        """Count the pixels of a batch.

        Args:
            target: ``round(255 * B)``.
            predicted: 0 to 1.

        Raises:
            ValueError: a prediction is no number from 0 to 1.
        """
        if not (predicted.min() >= 0 and predicted.max() <= 1):
            raise ValueError("a predicted X-ray leaves 0 to 1, or is no number")
        bins = np.minimum((predicted * _BINS).astype(np.int64), _BINS - 1)
        positive = target > 127
        self._positive += np.bincount(bins[positive], minlength=_BINS)
        self._negative += np.bincount(bins[~positive], minlength=_BINS)

    def average_precision(self) -> float | None:
        """Of all pixels; None where none is positive."""
        true, false = np.cumsum(self._positive[::-1]), np.cumsum(self._negative[::-1])
        if not true[-1]:
            return None
        some = true + false > 0
        precision = true[some] / (true + false)[some]
        return float(np.sum(np.diff(true[some] / true[-1], prepend=0) * precision))

    def iou(self, threshold: float = 0.5) -> float | None:
        """Overlap of predicted and true pixels over their union; None without either."""
        place = round(threshold * _BINS)
        found, false = self._positive[place:].sum(), self._negative[place:].sum()
        union = self._positive.sum() + false
        return float(found / union) if union else None


# -- intervals ---------------------------------------------------------------------------


def clustered_bootstrap(
    videos: Sequence[str],
    labels: Labels,
    scores: Scores,
    rng: np.random.Generator,
    *,
    rounds: int = _ROUNDS,
    level: float = _LEVEL,
) -> tuple[float, float]:
    """Interval of the AUC: percentiles over sets of whole videos, drawn with replacement.

    Args:
        videos: of each item.
        labels, scores: of each item.
        rng: draws the videos.
        rounds: sets that are drawn; those of one class alone are drawn again.
        level: of the interval.

    Raises:
        ValueError: there is one class alone, or a score is no number.
    """
    _check(labels, scores)
    names, video_of = np.unique(np.asarray(videos), return_inverse=True)
    order = np.argsort(scores, kind="stable")
    found: list[float] = []
    while len(found) < rounds:
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = drawn[video_of]
        if not weights[labels == 1].sum() or not weights[labels == 0].sum():
            if len(names) == 1:
                return float("nan"), float("nan")
            continue
        found.append(_auc(labels, scores, weights, order))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Figures of a set, with the counts behind them; None where one class is missing."""

    frame_auc: float | None
    frame_auc_interval: tuple[float, float] | None
    """95%, videos drawn again"""
    frame_ap: float | None
    frame_eer: float | None
    frame_accuracy: float
    """at the threshold of validation"""
    frame_accuracy_at_half: float
    """at a score of one half"""
    frame_log_loss: float
    video_auc: float | None
    """of the videos' mean scores"""
    frames: int
    videos: int
    reals: int
    """frames"""
    fakes: int
    """frames"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def summary(
    videos: Sequence[str],
    labels: Labels,
    scores: Scores,
    threshold: float,
    rng: np.random.Generator,
) -> Summary:
    """All figures of a set.

    Args:
        videos: of each frame.
        labels, scores: of each frame.
        threshold: of the accuracy.
        rng: draws the videos of the interval.

    Raises:
        ValueError: a score is no number.
    """
    _check_numbers(scores)
    both = len(np.unique(labels)) == 2
    video_labels, video_scores = by_video(videos, labels, scores)
    return Summary(
        frame_auc=roc_auc(labels, scores) if both else None,
        frame_auc_interval=clustered_bootstrap(videos, labels, scores, rng) if both else None,
        frame_ap=average_precision(labels, scores) if both else None,
        frame_eer=equal_error_rate(labels, scores)[0] if both else None,
        frame_accuracy=accuracy(labels, scores, threshold),
        frame_accuracy_at_half=accuracy(labels, scores, 0.5),
        frame_log_loss=log_loss(labels, scores),
        video_auc=roc_auc(video_labels, video_scores) if both else None,
        frames=len(scores),
        videos=len(set(videos)),
        reals=int((labels == 0).sum()),
        fakes=int((labels == 1).sum()),
    )


# -- counting ----------------------------------------------------------------------------


def _auc(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, order: np.ndarray | None = None
) -> float:
    order = np.argsort(scores, kind="stable") if order is None else order
    ranked = scores[order]
    first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    forged = np.where(labels[order] == 1, weights[order], 0)
    real = np.where(labels[order] == 0, weights[order], 0)
    forged_at, real_at = np.add.reduceat(forged, first), np.add.reduceat(real, first)
    below = np.cumsum(real_at) - real_at
    won = np.sum(forged_at * (below + real_at / 2))
    return float(won / (forged.sum() * real.sum()))


def _counts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forged and real items at or over each distinct score, from the highest down."""
    _, place = np.unique(-scores, return_inverse=True)
    size = int(place.max()) + 1
    forged = np.bincount(place[labels == 1], minlength=size)
    real = np.bincount(place[labels == 0], minlength=size)
    return np.cumsum(forged), np.cumsum(real)


def _check(labels: np.ndarray, scores: np.ndarray) -> None:
    _check_numbers(scores)
    found = set(np.unique(labels).tolist())
    if found != {0, 1}:
        raise ValueError(f"labels are {sorted(found)}, and both 0 and 1 are needed")


def _check_numbers(scores: np.ndarray) -> None:
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(scores)} scores are no numbers")
