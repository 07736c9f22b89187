"""Arrays in, arrays out: no disk, no randomness.

The named operations are one table, :data:`NAMED`; a recipe chooses among its names. A user
adds one with :func:`named`::

    @named("color", "grey-world")
    def grey_world(foreground, background, mask): ...

Functions of one kind share one signature:

========  ==========================================================
mask      ``(landmarks, size) -> mask``
color     ``(foreground, background, mask) -> foreground``
blend     ``(foreground, background, alpha) -> image``
========  ==========================================================
"""

from collections.abc import Callable
from typing import Any

from faceblend.ops import blend, color, mask

NAMED: dict[str, dict[str, Callable[..., Any]]] = {
    "mask": {
        "hull": mask.hull,
        "full": mask.full,
        "extended": mask.extended,
        "components": mask.components,
    },
    "color": {
        "none": color.none,
        "mean": color.mean,
        "mean-std": color.mean_std,
        "lab": color.lab,
    },
    "blend": {"alpha": blend.alpha},
}
"""Kind, name, function: every operation that a recipe can name."""


def named(kind: str, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an operation under a name that recipes can use.

    The module that calls this must be imported in every process that renders: put it where
    worker processes import it too, not under ``if __name__ == "__main__"``.

    Raises:
        ValueError: there is no such kind, or the name is taken.
    """
    if kind not in NAMED:
        raise ValueError(f"no operations of kind {kind!r}; the kinds are {', '.join(NAMED)}")
    if name in NAMED[kind]:
        raise ValueError(f"{kind} {name!r} exists already; choose another name")

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        NAMED[kind][name] = function
        return function

    return add
