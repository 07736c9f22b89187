"""Draws docs/figures/performance.png and load.png from what `faceblend bench --json` wrote."""

import json
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceblend.bench.curves import save_load

HERE = Path(__file__).parent
BANKS = {
    "jpeg": "JPEG\n4:4:4",
    "jpeg420": "JPEG\n4:2:0",
    "png": "PNG",
    "decoded": "decoded",
}


def _read(name: str) -> Any:
    return json.loads((HERE / "benchmarks" / f"{name}.json").read_text())


def draw(path: Path) -> None:
    """One panel a claim: times the straightforward way, and where a fake's time goes."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    ratio, steps = figure.subplots(1, 2, width_ratios=[1, 2])
    found = {label: _read(f"generate-algohunt-{name}") for name, label in BANKS.items()}
    bars = ratio.bar(list(found), [one["reference_ratio"] for one in found.values()])
    ratio.bar_label(bars, fmt="%.0f x")
    ratio.set_title("algohunt fakes, times the straightforward way", fontsize=10)
    left = dict.fromkeys(found, 0.0)
    for number, step in enumerate(next(iter(found.values()))["step_ms"]):
        spent = [one["step_ms"][step] for one in found.values()]
        color = colormaps["tab20"](number)
        steps.barh(list(found), spent, left=list(left.values()), label=step, color=color)
        left = {name: left[name] + ms for name, ms in zip(left, spent, strict=True)}
    steps.set_title("ms a fake by step, under the profiler", fontsize=10)
    steps.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(HERE / "figures" / "performance.png")
    save_load(_read("load"), HERE / "figures" / "load.png")
