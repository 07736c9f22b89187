"""What a command is, how it ends, and the options that several share."""

from collections.abc import Callable
from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace

from faceblend.errors import BadArgument, at_least

DONE, FAILURES, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; see :mod:`xray_train.commands`."""

_PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of ``xray-train``."""

    said: str
    """its line of the help"""
    parser: Callable[[], ArgumentParser]
    """makes the parser of its options"""
    run: Callable[[ArgumentParser, Namespace], int]
    """takes the whole parser and what was asked for, and gives the exit status"""


def add_how(parser: ArgumentParser) -> None:
    """Options of whatever evaluates: batch, workers, precision, layout and device."""
    parser.add_argument("--batch", type=int, default=32, help="samples at a time")
    parser.add_argument("--workers", type=int, default=0, help="processes that load samples")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or fp16")
    parser.add_argument("--channels_last", type=bool, default=False, help="memory layout")
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")


def check_how(given: Namespace) -> None:
    """See that the options of :func:`add_how` can be used.

    Raises:
        BadArgument: one cannot.
    """
    if given.precision not in _PRECISIONS:
        raise BadArgument("--precision", f"is {given.precision!r}", "give fp32, bf16 or fp16")
    check_least(given, batch=1, workers=0)


def check_least(given: Namespace, **least: int) -> None:
    """See that numbers of a command line are as large as they have to be.

    Raises:
        BadArgument: one is not.
    """
    for name, low in least.items():
        at_least(low, **{f"--{name}": given[name]})
