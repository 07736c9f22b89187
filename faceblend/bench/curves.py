"""The curves of a long run, as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceblend import atomic

_TITLES = {"generate": "making {samples:,} samples", "read": "reading them at random"}


def draw_load(told: Mapping[str, Any]) -> Figure:
    """A row a part: resident memory and descriptors of every process, and samples a second.

    The half that verdicts are of is shaded, and slopes stand in the legend.

    Args:
        told: what ``LoadBench.to_dict`` gives, or the file that ``bench load --json`` wrote.
    """
    parts = told["parts"]
    figure = Figure(figsize=(13, 3.6 * len(parts)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(parts), 3, squeeze=False)
    for (name, part), (memory, files, rate) in zip(parts.items(), rows, strict=True):
        slopes = {one["name"]: one["mib_per_hour"] for one in part["verdicts"]}
        for process, curve in part["curves"].items():
            if process not in slopes:
                continue
            minutes = [second / 60 for second in curve["seconds"]]
            label = f"{process}: {slopes[process]:+.1f} MiB an hour"
            memory.plot(minutes, curve["rss"], label=label, linewidth=1)
            files.plot(minutes, curve["files"], linewidth=1)
        rate.plot([second / 60 for second, _ in part["rates"]], [one for _, one in part["rates"]])
        for axis in (memory, files, rate):
            axis.set_ylim(bottom=0)
            axis.set_xlabel("minutes")
            axis.axvspan(*(at / 60 for at in part["judged"]), color="0.94", zorder=0)
        memory.legend(fontsize=6)
        title = _TITLES[name].format(samples=part["samples"])
        memory.set_title(f"{title}: resident memory, MiB", fontsize=10)
        files.set_title("open file descriptors", fontsize=10)
        rate.set_title("samples a second", fontsize=10)
    return figure


def save_load(told: Mapping[str, Any], path: Path) -> None:
    """Write the curves as a PNG."""
    with atomic.replacing(path) as temporary:
        draw_load(told).savefig(temporary, format="png", dpi=110)
