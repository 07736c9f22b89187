"""An operation that a recipe can name, and the numbers that are drawn for it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ONE_OF = "one of"
"""Begins a recipe's list of numbers that are each as likely: ``[one of, 2, 4]``."""

_EXACT = 2**53  # whole numbers beyond are not exact as floats


@dataclass(frozen=True, slots=True)
class Span:
    """A number, uniform between two, both ends included; whole where both are whole."""

    low: float
    """the least that is drawn, unless the recipe says otherwise"""
    high: float
    """the most"""
    least: float = -1e6
    """no recipe may go below"""
    most: float = 1e6
    """or above: larger numbers could exhaust the machine"""

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def default(self) -> list[Any]:
        """What is drawn from where a recipe says nothing."""
        return [self.low, self.high]

    def fault(self, told: list[Any]) -> str | None:
        """What is wrong with a recipe's ``[low, high]`` or ``[one of, ...]``; None: nothing."""
        if told[:1] == [ONE_OF] and len(told) > 1 and all(map(self.holds, told[1:])):
            return None
        if len(told) == 2 and all(map(self.holds, told)) and told[0] <= told[1]:
            return None
        kind = "whole numbers" if self.whole else "numbers"
        return (
            f"give [low, high], {kind} with {self.least:g} <= low <= high <= {self.most:g}, "
            f"or [{ONE_OF}, 1st, 2nd, ...]"
        )

    def holds(self, value: Any) -> bool:
        """Whether such a number can have been drawn."""
        kinds = int if self.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        # NaN fails this too, and no number is too large to compare
        return fits and self.least <= value <= self.most


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, each as likely."""

    words: tuple[str, ...]

    def default(self) -> list[Any]:
        """What is drawn from where a recipe says nothing."""
        return list(self.words)

    def fault(self, told: list[Any]) -> str | None:
        """What is wrong with a recipe's list of words; None where nothing is."""
        if told and all(map(self.holds, told)):
            return None
        return f"give a list of some of {', '.join(self.words)}"

    def holds(self, value: Any) -> bool:
        """Whether such a word can have been drawn."""
        return isinstance(value, str) and value in self.words


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed; the operation is given a ``numpy.random.Generator`` of it, for noise."""

    def default(self) -> list[Any]:
        """What is drawn from: every seed."""
        return [0, _EXACT - 1]

    def fault(self, told: list[Any]) -> str | None:
        """What is wrong with a recipe's list: that there is one."""
        del told
        return "leave it out: every sample has a seed of its own"

    def holds(self, value: Any) -> bool:
        """Whether such a seed can have been drawn."""
        return type(value) is int and 0 <= value < _EXACT


Option = Span | Choice | Seed


@dataclass(frozen=True, eq=False)
class Op:
    """A named operation: call it as the function that it is."""

    function: Callable[..., Any]
    options: Mapping[str, Option]
    """its keyword arguments that are drawn"""
    segmented: bool = False
    """whether it has a keyword ``segment`` too, which of a mask is the background's"""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **options)


def op(function: Callable[..., Any], **options: Option) -> Op:
    """An operation whose keyword arguments are drawn from ``options``."""
    return Op(function, options, "segment" in inspect.signature(function).parameters)
