"""What ``audit.json`` of a set says, for its page."""

import json
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from faceblend.errors import BadRecipe
from faceblend.recipe import build

_LARGEST = 10_000_000  # bytes; an audit has a thousandth


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A group of statistics, as ``audit.shortcuts`` writes it."""

    group: str
    auc: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, kw_only=True)
class _Audit:
    """The whole file."""

    audited: str = ""
    leaks: bool
    overall: _Row
    groups: list[_Row]
    reals: int
    fakes: int
    left_out: dict[str, int]
    people: int
    told_by: str


@dataclass(frozen=True, kw_only=True)
class LeakTable:
    """The shortcut audit as a table."""

    verdict: str
    leaks: bool
    rows: list[tuple[str, Markup, list[str]]]
    """group; its interval drawn; AUC, interval and verdict"""
    judged: str
    """of how many samples and people"""
    fault: str
    """why it cannot be shown"""


def leak_table(path: Path) -> LeakTable | None:
    """Read what ``faceblend audit`` wrote of a set.

    Returns:
        None where there is no such file. A file that cannot be read is told in ``fault``.
    """
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        told = build(_Audit, json.loads(path.read_bytes()), path.name)
    except (OSError, ValueError, RecursionError, BadRecipe) as error:
        fault = f"{path.name} cannot be read: {str(error)[:200]}"
        return LeakTable(verdict="", leaks=False, rows=[], judged="", fault=fault)
    words = "A shortcut was found" if told.leaks else "No shortcut was found"
    left = sum(told.left_out.values())
    return LeakTable(
        verdict=f"{words}: AUC {told.overall.auc:.3f} ({_between(told.overall)})",
        leaks=told.leaks,
        rows=[
            (one.group, _drawn(one), [f"{one.auc:.3f}", _between(one), one.verdict])
            for one in (told.overall, *sorted(told.groups, key=lambda one: -one.auc))
        ],
        judged=f"{told.reals:,} reals and {told.fakes:,} fakes of {told.people:,} people, told "
        f"apart by {told.told_by}; {left:,} more have masks that leave too little to look at.",
        fault="",
    )


def _between(one: _Row) -> str:
    return f"{one.low:.3f} to {one.high:.3f}"


def _drawn(one: _Row) -> Markup:
    low, auc, high = (2 + 100 * min(max(end, 0.0), 1.0) for end in (one.low, one.auc, one.high))
    return Markup(
        '<svg class="interval" viewBox="0 0 104 14" aria-hidden="true">'
        '<line class="chance" x1="52" y1="0" x2="52" y2="14"/>'
        '<line x1="{:.1f}" y1="7" x2="{:.1f}" y2="7"/><circle cx="{:.1f}" cy="7" r="3"/></svg>'
    ).format(low, high, auc)
