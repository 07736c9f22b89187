"""What the shortcut audit found, as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceblend import atomic
from faceblend.audit.shortcuts import LEAST, Shortcuts

_COLOURS = {True: "#b3402a", False: "#3b6ea5"}


def draw_chart(found: Shortcuts, title: str) -> Figure:
    """AUC of every group as a bar from 0.5, with its interval; leaks are red."""
    shown = (found.overall, *found.groups)
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for place, one in enumerate(shown):
        colour = _COLOURS[one.leaks]
        axis.barh(place, one.auc - 0.5, left=0.5, color=colour, alpha=0.55)
        axis.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
        axis.text(max(one.high, 0.5) + 0.01, place, f"{one.auc:.3f}", va="center", fontsize=9)
    axis.axvline(0.5, color="black", linewidth=1)
    axis.axvline(LEAST, color="black", linewidth=1, linestyle=":")
    axis.set_yticks(range(len(shown)), [one.group for one in shown])
    axis.invert_yaxis()
    axis.set_xlim(min(0.4, *(one.low for one in shown)), 1.05)
    axis.set_xlabel("AUC outside the masks, 95% interval; 0.5: nothing is told")
    axis.set_title(title, fontsize=10)
    return figure


def save_chart(found: Shortcuts, title: str, path: Path) -> None:
    """Write the chart as a PNG."""
    with atomic.replacing(path) as temporary:
        draw_chart(found, title).savefig(temporary, format="png", dpi=110)
