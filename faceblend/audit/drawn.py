"""What the records of a set say was drawn, field by field, and whether reals draw otherwise.

Nothing here knows the fields of a draw: a new one appears by itself.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, MutableSequence
from dataclasses import dataclass, field
from statistics import NormalDist
from types import NoneType
from typing import Any

from faceblend.errors import BadShard

Fact = int | float | str | list[str]
"""A number, a word, or the names of several steps."""

NOTHING = "none"
"""The word where a field was left undrawn."""

CLASSES = ("real", "fake")

_LOOK = "run faceblend verify: it looks at every record"
_CHANCE = 0.001  # that a field of a symmetric recipe is called asymmetric
_LONGEST = 200  # characters of a word
_LARGEST = 1e300


def read(record: str, where: str = "record") -> dict[str, Any]:
    """A sample's record as JSON, with the parts that every one has.

    Args:
        record: its text.
        where: what an error calls it.

    Raises:
        BadShard: it is not one.
    """
    try:
        content = json.loads(record)
        draw, foreground = content["draw"], content["foreground"]
        fitting = (
            isinstance(content["index"], int)
            and isinstance(content["background"], str)
            and isinstance(draw["fake"], dict | None)
            and isinstance(foreground, str if draw["fake"] is not None else NoneType)
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadShard(where, f"is not one ({error!r:.200})", _LOOK) from error
    if not fitting:
        raise BadShard(where, "has parts of another kind", _LOOK)
    return dict(content)


def facts(content: Mapping[str, Any], where: str = "record") -> dict[str, Fact]:
    """Everything that was drawn for one sample, by dotted names such as ``fake.mask.width``.

    An operation is the word of its name, its options numbers of their own; of a list of
    numbers, such as the offsets that bend a mask, the largest absolute one is told.

    Args:
        content: the sample's record, as :func:`read` gives it.
        where: what an error calls it.

    Raises:
        BadShard: it holds what nothing can have drawn.
    """
    draw = content["draw"]
    found: dict[str, Fact] = {"label": CLASSES[draw["fake"] is not None]}
    try:
        for name in ("recipe", "attempt"):
            _flatten(name, content[name], found)
        for name, value in draw.items():
            if not (name == "fake" and value is None):
                _flatten(name, value, found)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise BadShard(where, f"holds what nothing draws ({error!r:.200})", _LOOK) from error
    return found


def _flatten(name: str, value: Any, found: dict[str, Fact]) -> None:
    if isinstance(value, dict):
        if set(value) == {"name", "options"}:  # an operation
            found[name] = _word(value["name"])
            _flatten(f"{name}.{_word(value['name'])}", value["options"], found)
            return
        for key, inner in value.items():
            # the options of a mask's kind read as the mask's own
            _flatten(name if key == "options" else f"{name}.{key}", inner, found)
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        found[name] = [_word(step["name"]) for step in value] or [NOTHING]
        for step in value:
            _flatten(f"{name}.{_word(step['name'])}", step.get("options", {}), found)
    elif isinstance(value, list):
        found[f"{name}, largest"] = max((abs(_number(one)) for one in _leaves(value)), default=0)
    elif value is None:
        found[name] = NOTHING
    elif isinstance(value, bool):
        found[name] = "yes" if value else "no"
    elif isinstance(value, str):
        found[name] = _word(value)
    else:
        found[name] = _number(value)


def _leaves(value: list[Any]) -> Iterable[Any]:
    for one in value:
        yield from _leaves(one) if isinstance(one, list) else (one,)


def _word(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError(f"{value!r:.60} is no name")
    return value


def _number(value: Any) -> int | float:
    # JSON knows NaN, infinity, and numbers that no axis can show
    if isinstance(value, int | float) and abs(value) < _LARGEST:
        return value
    raise ValueError(f"{value!r:.60} is no number")


@dataclass
class Tally:
    """What one field came out as, over all samples of one class."""

    numbers: MutableSequence[float] = field(default_factory=lambda: array("d"))
    words: Counter[str] = field(default_factory=Counter)
    samples: int = 0

    def add(self, fact: Fact) -> None:
        """Count one sample."""
        self.samples += 1
        if isinstance(fact, list):
            self.words.update(set(fact))
        elif isinstance(fact, str):
            self.words[fact] += 1
        else:
            self.numbers.append(fact)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One drawn field over a whole set."""

    name: str
    real: Tally
    fake: Tally
    whole: bool
    """all its numbers are whole ones"""

    @property
    def constant(self) -> str | None:
        """Its only value; None if it has several."""
        numbers = {*self.real.numbers, *self.fake.numbers}
        there = [f"{one:g}" for one in numbers] if len(numbers) < 2 else ["some", "more"]
        there += {*self.real.words, *self.fake.words}
        return there[0] if len(there) == 1 else None

    @property
    def differs(self) -> bool:
        """Reals and fakes draw it otherwise, beyond what chance does once in 1000 fields.

        Two-sample Kolmogorov-Smirnov for its numbers, a test of two proportions for each of
        its words, corrected for how many there are (Bonferroni).
        """
        if not (self.real.samples and self.fake.samples):
            return False
        return self._numbers_differ() or self._words_differ()

    def _numbers_differ(self) -> bool:
        first, second = sorted(self.real.numbers), sorted(self.fake.numbers)
        if not (first and second):
            return False
        critical = math.sqrt(-math.log(_CHANCE / 2) / 2)
        sizes = math.sqrt((len(first) + len(second)) / (len(first) * len(second)))
        return largest_gap(first, second) > critical * sizes

    def _words_differ(self) -> bool:
        # a number or none: the share that drew one is a word, too
        words = {*self.real.words, *self.fake.words}
        total = self.real.samples + self.fake.samples
        if not words:
            return False
        limit = NormalDist().inv_cdf(1 - _CHANCE / (2 * len(words)))
        for word in words:
            pooled = (self.real.words[word] + self.fake.words[word]) / total
            apart = (
                self.real.words[word] / self.real.samples
                - self.fake.words[word] / self.fake.samples
            )
            spread = math.sqrt(
                pooled * (1 - pooled) * (1 / self.real.samples + 1 / self.fake.samples)
            )
            if abs(apart) > limit * spread > 0:
                return True
        return False


def largest_gap(first: list[float], second: list[float]) -> float:
    """The Kolmogorov-Smirnov statistic of two samples.

    Args:
        first: ascending numbers.
        second: ascending numbers.

    Returns:
        The largest distance between their two cumulated shares, 0 to 1.
    """
    i = j = 0
    widest = 0.0
    while i < len(first) and j < len(second):
        value = min(first[i], second[j])
        while i < len(first) and first[i] == value:
            i += 1
        while j < len(second) and second[j] == value:
            j += 1
        widest = max(widest, abs(i / len(first) - j / len(second)))
    return widest


def tallied(samples: Iterable[Mapping[str, Fact]]) -> list[Field]:
    """Count every field of every sample, reals and fakes apart.

    Args:
        samples: what :func:`facts` tells of each.
    """
    counted: dict[str, tuple[Tally, Tally]] = {}
    broken = set[str]()  # fields with a number that is not whole
    for drawn in samples:
        label = CLASSES.index(str(drawn["label"]))
        for name, fact in drawn.items():
            counted.setdefault(name, (Tally(), Tally()))[label].add(fact)
            if isinstance(fact, float):
                broken.add(name)
    _spread_undrawn(counted)
    return [
        Field(name=name, real=real, fake=fake, whole=name not in broken)
        for name, (real, fake) in counted.items()
    ]


def _spread_undrawn(counted: dict[str, tuple[Tally, Tally]]) -> None:
    # where `resample` is none, so is `resample.size`, which other samples have
    for name in sorted(counted):
        inner = [other for other in counted if other.startswith((f"{name}.", f"{name}, "))]
        both = counted[name]
        if not inner or any(set(one.words) - {NOTHING} or one.numbers for one in both):
            continue
        for other in inner:
            for above, tally in zip(both, counted[other], strict=True):
                tally.words[NOTHING] += above.words[NOTHING]
                tally.samples += above.words[NOTHING]
        del counted[name]
