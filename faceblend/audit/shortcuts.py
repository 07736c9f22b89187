"""Can reals and fakes be told apart where no foreground shows? Then a detector learns that.

Small models learn the label from statistics of a zone that no mask reaches
(:mod:`~faceblend.audit.zone`, :mod:`~faceblend.audit.statistics`), and are asked about people that
they have not seen. Their AUC is 0.5 where the two classes were made alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from faceblend import draw as drawing
from faceblend.audit.measure import Measured
from faceblend.errors import BadArgument

LEAST = 0.55
"""AUC that a leak has at least, besides an interval above 0.5."""

_FOLDS = 5
_RESAMPLES = 2000
_LEVEL = 0.975  # of Student's t: 95% on both sides
_BOTH_WAYS = 2**0.5  # each person teaches and is asked, so chance agreements count twice
_CLUSTERS = 1000  # people beyond are taken together: the interval is as wide
_LEAST_EACH = 20  # samples of a class

Scores = Float64[np.ndarray, " samples"]
Codes = Int64[np.ndarray, " samples"]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How well the label is told from some statistics."""

    group: str
    """of ``statistics.GROUPS``, or ``overall`` for all of them together"""
    auc: float
    """0.5 where nothing is told, 1 where everything is"""
    low: float
    """lower end of the 95% interval"""
    high: float
    """upper end of the 95% interval"""

    @property
    def leaks(self) -> bool:
        """The interval lies above 0.5, and the AUC above 0.55."""
        return self.low > 0.5 and self.auc > LEAST

    @property
    def verdict(self) -> str:
        """In words."""
        if self.leaks:
            return "leaks"
        if self.low > 0.5:
            return "faint"
        return "below chance" if self.high < 0.5 else "none found"


@dataclass(frozen=True, kw_only=True)
class Shortcuts:
    """What the audit found."""

    overall: Leak
    groups: tuple[Leak, ...]
    reals: int
    """real samples that were looked at"""
    fakes: int
    """fakes that were looked at"""
    left_out: dict[str, int]
    """samples of each class whose mask leaves too little"""
    people: int
    told_by: str
    """what tells people apart: ``subject``, ``video`` or ``folder``"""

    @property
    def leaks(self) -> bool:
        """Whether any statistic or all of them together give the label away."""
        return any(one.leaks for one in (self.overall, *self.groups))

    def __str__(self) -> str:
        left = sum(self.left_out.values())
        counted = (
            f"{self.reals:,} reals and {self.fakes:,} fakes of {self.people:,} people (told apart "
            f"by {self.told_by}); {left:,} more have masks that leave too little to look at"
        )
        if not self.leaks:
            return f"{counted}\nno shortcut found: outside the masks reals and fakes look alike"
        named = [one.group for one in self.groups if one.leaks]
        by = f" by {', '.join(named)}" if named else ""
        return f"{counted}\nshortcut: outside the masks reals and fakes are told apart{by}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "leaks": self.leaks,
            "overall": _plain(self.overall),
            "groups": [_plain(one) for one in self.groups],
            "reals": self.reals,
            "fakes": self.fakes,
            "left_out": self.left_out,
            "people": self.people,
            "told_by": self.told_by,
        }


def shortcuts(measured: Measured, *, seed: int = 0) -> Shortcuts:
    """Measure the leak of each group of statistics, and of all together.

    Each statistic is taken beside its mean over all samples, real or fake, of the same face, so
    that what a face looks like hides less. A logistic regression and gradient-boosted trees learn
    from four fifths of the people, and each scores the last fifth; the score is the sum of its two
    ranks there, so that folds can be taken together. The interval is that of a bootstrap of
    people, with Student's quantile for as many, and wider by the square root of two: each person
    teaches the models that score the others, and the scores vary twice as much as a bootstrap of
    fixed scores sees. (With the labels of 3,168 samples of ``bi`` shuffled 200 times, 0.5 lies in
    94% of these intervals, and in 85% of those of the bootstrap alone.)

    Args:
        measured: the statistics.
        seed: of the folds and the bootstrap.

    Raises:
        BadArgument: scikit-learn is not installed; or there are fewer than 5 people or 20
            samples of a class.
    """
    _check_enough(measured)
    rng = drawing.stream(seed, 0, "audit")
    folds = _folds(measured.people, rng)
    resampled = _resampled(measured.people, rng)
    centred = {
        group: _beside_its_face(values, measured.backgrounds)
        for group, values in measured.values.items()
    }
    with _one_thread():
        groups = [
            _leak(group, values, measured.labels, folds, resampled)
            for group, values in centred.items()
        ]
        everything = np.concatenate(list(centred.values()), axis=1)
        overall = _leak("overall", everything, measured.labels, folds, resampled)
    fakes = int(measured.labels.sum())
    return Shortcuts(
        overall=overall,
        groups=tuple(groups),
        reals=len(measured.labels) - fakes,
        fakes=fakes,
        left_out=measured.left_out,
        people=len(np.unique(measured.people)),
        told_by=measured.told_by,
    )


def needs() -> None:
    """See that scikit-learn is there, before minutes are spent on what it learns from.

    Raises:
        BadArgument: it is not.
    """
    if find_spec("sklearn") is None:
        raise BadArgument(
            "faceblend audit",
            "needs scikit-learn, which is not installed",
            "pip install 'faceblend[audit]'",
        )


def interval(
    scores: Scores, labels: Codes, people: Codes, draws: Int64[np.ndarray, "draws clusters"]
) -> tuple[float, float, float]:
    """AUC and the ends of its 95% interval, see :func:`shortcuts`.

    Args:
        scores: higher for a fake.
        labels: 1 or 0.
        people: 0 to clusters - 1.
        draws: how often each person is in each draw.
    """
    from scipy.stats import t

    count = draws.shape[1]
    fakes, reals = (np.bincount(people[labels == one], minlength=count) for one in (1, 0))
    won = np.stack(
        [_won(scores[labels == 1], people[labels == 1], other, count) for other in
         (scores[(labels == 0) & (people == who)] for who in range(count))],
        axis=1,
    )  # fmt: skip
    auc = float(won.sum() / (fakes.sum() * reals.sum()))
    pairs = (draws @ fakes) * (draws @ reals)
    drawn = np.einsum("dp,pq,dq->d", draws, won, draws, optimize=True)[pairs > 0]
    spread = _BOTH_WAYS * float(np.std(drawn / pairs[pairs > 0], ddof=1))
    reach = float(t.ppf(_LEVEL, max(count - 1, 1))) * spread
    return auc, max(auc - reach, 0.0), min(auc + reach, 1.0)


def _won(scores: np.ndarray, people: np.ndarray, against: np.ndarray, count: int) -> np.ndarray:
    # by person, how many of the others' scores theirs are above; a tie is half
    ordered = np.sort(against)
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.bincount(people, below / 2, minlength=count)


def _leak(
    group: str,
    values: Float64[np.ndarray, "samples _"],
    labels: Codes,
    folds: Codes,
    resampled: tuple[Codes, np.ndarray],
) -> Leak:
    from scipy.stats import rankdata

    scores = np.empty(len(labels))
    for fold in range(_FOLDS):
        asked = folds == fold
        ranks = [
            rankdata(model.fit(values[~asked], labels[~asked]).predict_proba(values[asked])[:, 1])
            for model in _models()
        ]
        scores[asked] = sum(ranks) / asked.sum()
    people, draws = resampled
    auc, low, high = interval(scores, labels, people, draws)
    return Leak(group=group, auc=auc, low=low, high=high)


def _models() -> Sequence[Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    trees = HistGradientBoostingClassifier(
        max_iter=80,
        max_leaf_nodes=15,
        min_samples_leaf=30,
        max_features=0.3,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    return line, trees


def _one_thread() -> Any:
    needs()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _check_enough(measured: Measured) -> None:
    people = len(np.unique(measured.people))
    if people < _FOLDS:
        raise BadArgument(
            "the audit",
            f"has samples of {people} people, told apart by {measured.told_by}",
            f"give a set of {_FOLDS} people or more",
        )
    for name, label in (("real", 0), ("fake", 1)):
        count = int(np.count_nonzero(measured.labels == label))
        if count < _LEAST_EACH:
            raise BadArgument(
                "the audit",
                f"has {count} {name} samples whose mask leaves a zone to look at",
                f"give {_LEAST_EACH} or more, better thousands",
            )


def _folds(people: Codes, rng: drawing.Generator) -> Codes:
    count = int(people.max()) + 1
    fold_of = np.empty(count, np.int64)
    fold_of[rng.permutation(count)] = np.arange(count) % _FOLDS
    return np.asarray(fold_of[people])


def _resampled(people: Codes, rng: drawing.Generator) -> tuple[Codes, np.ndarray]:
    count = min(int(people.max()) + 1, _CLUSTERS)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return people % count, draws.astype(np.int64)


def _beside_its_face(
    values: Float64[np.ndarray, "samples _"], faces: Codes
) -> Float64[np.ndarray, "samples _"]:
    # the mean of few samples is drawn towards that of all, as one more sample would
    away = values - values.mean(0)
    counts = np.bincount(faces)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, faces, away)
    return np.asarray(away - (sums / (counts[:, None] + 1))[faces])


def _plain(leak: Leak) -> dict[str, Any]:
    return {
        "group": leak.group,
        "auc": leak.auc,
        "low": leak.low,
        "high": leak.high,
        "verdict": leak.verdict,
    }
