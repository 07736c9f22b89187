"""One score of a video from those of its frames: numbers in, numbers out.

The policies of icpr2020dfdc take logits, the log odds of forged. Where one gives a logit, 0 is
undecided; where one gives a share or a probability, one half is.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

Logits = Float[np.ndarray, " frames"]
"""Log odds of forged; at least one."""

Aggregation = Literal["mean", "max", "p95", "vote"]
"""How the scores of a video's frames become one; ``vote`` is the share over the threshold."""

DEAD_ZONE = 0.5
"""Logits nearer to 0 than this do not vote: probabilities between .378 and .622."""


def aggregate(scores: Float[np.ndarray, " frames"], how: Aggregation, threshold: float) -> float:
    """One score of a video's frames, from probabilities.

    Example:
        >>> [round(aggregate(np.array([0.1, 0.2, 0.9]), how, 0.5), 2)
        ...  for how in ("mean", "max", "p95", "vote")]
        [0.4, 0.9, 0.83, 0.33]
    """
    if how == "max":
        return float(scores.max())
    if how == "p95":
        return float(np.percentile(scores, 95))
    return float((scores >= threshold).mean() if how == "vote" else scores.mean())


def mean(logits: Logits) -> float:
    """Mean of the logits: a logit."""
    return float(logits.mean())


def sigmean(logits: Logits) -> float:
    """Mean of the probabilities."""
    return float(sigmoid(logits).mean())


def power_mean(logits: Logits, power: int = 3) -> float:
    """Power mean of the logits, which keeps their signs: a logit.

    ``sign(m) * |m|^(1 / power)`` with ``m`` the mean of ``logit^power``; confident frames weigh
    more.

    Args:
        logits: of the frames.
        power: odd.

    Raises:
        ValueError: ``power`` is even, and signs would be lost.
    """
    if power < 1 or power % 2 == 0:
        raise ValueError(f"power is {power}; give 1, 3, 5 or so: an even one loses the signs")
    moment = float((logits.astype(np.float64) ** power).mean())
    return float(np.sign(moment) * abs(moment) ** (1 / power))


def median(logits: Logits) -> float:
    """Median of the logits, of an even count the mean of the middle two: a logit."""
    return float(np.median(logits))


def sigmedian(logits: Logits) -> float:
    """Median of the probabilities, of an even count the mean of the middle two."""
    return float(np.median(sigmoid(logits)))


def maxabs(logits: Logits) -> float:
    """The logit farthest from 0, with its sign; of two as far the forged one."""
    low, high = float(logits.min()), float(logits.max())
    return low if -low > high else high


def voting(logits: Logits) -> float:
    """Share of the frames whose logit is 0 or more (average voting)."""
    return float((logits >= 0).mean())


def voting_with_dead_zone(logits: Logits, zone: float = DEAD_ZONE) -> float:
    """Share of forged votes among the frames that vote: ``|logit| >= zone``.

    One half where no frame votes.
    """
    votes = logits[np.abs(logits) >= zone]
    return float((votes > 0).mean()) if len(votes) else 0.5


def sigmoid(logits: Logits) -> Logits:
    """Probabilities of log odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


POLICIES: dict[str, Callable[[Logits], float]] = {
    "mean": mean,
    "sigmean": sigmean,
    "pmean": power_mean,
    "median": median,
    "sigmedian": sigmedian,
    "maxabs": maxabs,
    "voting": voting,
    "deadzone": voting_with_dead_zone,
}
"""The eight policies by the names of their columns."""
