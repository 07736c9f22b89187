"""What ``audit.json`` of a set says, for its page: shown as it is, whatever it holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

_LARGEST = 10_000_000  # bytes; a table of some hundred statistics has a thousandth
_LONGEST = 200  # characters of a cell
_FIRST = ("auc", "low", "high", "leaks")


@dataclass(frozen=True, kw_only=True)
class LeakTable:
    """The shortcut audit as a table."""

    verdict: str
    leaks: bool | None
    """None where the file does not say"""
    head: list[str]
    rows: list[tuple[str, Markup, list[str]]]
    """name, its interval drawn, and what else is known"""
    rest: list[tuple[str, str]]
    """what else the file says"""
    fault: str
    """why it cannot be shown"""


def leak_table(path: Path) -> LeakTable | None:
    """Read an audit's JSON, ``{"overall": {...}, "statistics": {name: {...}}, ...}``.

    Returns:
        None where there is no such file. A file that cannot be read is told in ``fault``.
    """
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no fields")
    except (OSError, ValueError, RecursionError) as error:
        return _table(fault=f"{path.name} cannot be read: {error}")
    overall = _mapping(content.get("overall"))
    named = {"overall": overall} if overall else {}
    told = {str(name): _mapping(one) for name, one in _mapping(content.get("statistics")).items()}
    named |= dict(sorted(told.items(), key=lambda one: -_auc(one[1])))
    columns = list(dict.fromkeys(key for one in named.values() for key in one))
    head = [one for one in _FIRST if one in columns]
    head += [one for one in columns if one not in _FIRST]
    leaks = overall.get("leaks")
    return _table(
        verdict=_verdict(overall),
        leaks=leaks if isinstance(leaks, bool) else None,
        head=[str(one)[:_LONGEST] for one in head],
        rows=[
            (name, _interval(one), [_cell(one.get(key)) for key in head])
            for name, one in named.items()
        ],
        rest=[
            (str(name)[:_LONGEST], _cell(value))
            for name, value in content.items()
            if name not in ("overall", "statistics")
        ],
    )


def _table(**told: Any) -> LeakTable:
    blank = LeakTable(verdict="", leaks=None, head=[], rows=[], rest=[], fault="")
    return LeakTable(**{**vars(blank), **told})


def _verdict(overall: Mapping[str, Any]) -> str:
    words = {True: "A shortcut was found", False: "No shortcut was found"}
    leaks = overall.get("leaks")
    verdict = words[leaks] if isinstance(leaks, bool) else "Audited"
    if _auc(overall) < 0:
        return verdict
    between = [overall.get(name) for name in ("low", "high")]
    if all(_is_number(one) for one in between):
        return f"{verdict}: AUC {_auc(overall):.3f} ({between[0]:.3f} to {between[1]:.3f})"
    return f"{verdict}: AUC {_auc(overall):.3f}"


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _auc(told: Mapping[str, Any]) -> float:
    value = told.get("auc")
    return float(value) if _is_number(value) else -1.0  # type: ignore[arg-type]


def _interval(told: Mapping[str, Any]) -> Markup:
    auc = _auc(told)
    if auc < 0:
        return Markup("")
    low, high = (
        float(told[name]) if _is_number(told.get(name)) else auc for name in ("low", "high")
    )
    return Markup(
        '<svg class="interval" viewBox="0 0 104 14" aria-hidden="true">'
        '<line class="chance" x1="52" y1="0" x2="52" y2="14"/>'
        '<line x1="{:.1f}" y1="7" x2="{:.1f}" y2="7"/><circle cx="{:.1f}" cy="7" r="3"/></svg>'
    ).format(2 + 100 * low, 2 + 100 * high, 2 + 100 * auc)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST]
