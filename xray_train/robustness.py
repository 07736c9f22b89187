"""How much of its AUC a detector keeps when pictures get worse: table, CSV, JSON and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from faceblend import atomic, plainyaml
from faceblend.errors import BadArgument
from xray_train.degradations import DEGRADATIONS
from xray_train.evaluate import How, Result, evaluate
from xray_train.sources import Item, Source
from xray_train.sources.source import as_picture, as_tensor

GRID = Path(__file__).parent / "configs" / "robustness.yaml"
"""The strengths that are tested unless told otherwise."""

PLAIN = "none"
"""Name of the row of pictures as they are."""

Grid = dict[str, tuple[float, ...]]
"""Strengths of each way in ``DEGRADATIONS``, the mildest first."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is left at one strength."""

    degradation: str
    """a name of ``DEGRADATIONS``, or ``PLAIN``"""
    value: float | None
    """the strength; None for ``PLAIN``"""
    result: Result
    """at the threshold of validation"""


class Degraded(Source):
    """Another source, every picture of it worse: to test on.

    Noise is a function of (seed, item) but for its strength, which multiplies it.

    Args:
        source: what gets worse.
        name: of ``DEGRADATIONS``.
        value: how much.
        seed: of the noise.
    """

    def __init__(self, source: Source, name: str, value: float, seed: int = 0) -> None:
        self.parts, self._source = source.parts, source
        self._name, self._value, self._seed = name, value, seed

    def __len__(self) -> int:
        return len(self._source)

    def item(self, number: int) -> Item:
        """The ``number``-th item, its picture or pictures degraded."""
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its video."""
        item, video = self._source.named(number)
        rng = np.random.Generator(np.random.Philox(key=[self._seed, 2], counter=[0, 0, 0, number]))
        given = item["image"]
        apply = DEGRADATIONS[self._name].apply
        worse = [
            as_tensor(apply(as_picture(one), self._value, rng))
            for one in given.reshape(-1, *given.shape[-3:])
        ]
        return {**item, "image": torch.stack(worse).reshape(given.shape)}, video

    def shuffled(self) -> bool:
        """As the source."""
        return self._source.shuffled()

    def classes(self) -> set[int]:
        """As the source's."""
        return self._source.classes()


def read_grid(path: Path = GRID) -> Grid:
    """Read which strengths to test.

    Args:
        path: YAML: for names of ``DEGRADATIONS`` a list of strengths each.

    Raises:
        BadArgument: it cannot be read, or a name or a strength is none.
    """
    try:
        content = plainyaml.parse(path.read_text("utf-8"))
    except OSError as error:
        raise BadArgument(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValueError as error:
        raise BadArgument(path, f"is no YAML ({error})", f"see {GRID}") from error
    if not isinstance(content, dict) or not content:
        raise BadArgument(path, "names nothing to test", f"see {GRID}")
    grid: Grid = {}
    for name, values in content.items():
        if name not in DEGRADATIONS:
            known = ", ".join(DEGRADATIONS)
            raise BadArgument(path, f"names {name!r}", f"give some of {known}")
        if not isinstance(values, list) or not values:
            raise BadArgument(path, f"has {values!r} for {name}", "give a list of numbers")
        kind = DEGRADATIONS[name]
        for value in values:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            fits = number and kind.low <= value <= kind.high
            if not fits or (kind.whole and value != int(value)):
                whole = "whole numbers " if kind.whole else ""
                raise BadArgument(
                    path,
                    f"has {value!r} for {name}",
                    f"give {whole}from {kind.low} to {kind.high}",
                )
        grid[name] = tuple(sorted(set(values), reverse=kind.falling))
    return grid


def measure(
    task: nn.Module,
    source: Source,
    grid: Grid,
    *,
    device: torch.device,
    settings: How,
    threshold: float,
    seed: int = 0,
) -> list[Point]:
    """Evaluate a network on a source as it is, and at every strength of a grid.

    The same videos are drawn again for every interval, so two points differ by what was done to
    the pictures alone.

    Args:
        task: a :class:`~xray_train.tasks.Task`.
        source: real and forged.
        grid: see :func:`read_grid`.
        device: where the network is.
        settings: batch, workers, precision and layout.
        threshold: of the accuracies, fixed on validation.
        seed: of the noise.

    Returns:
        The plain point first, then those of the grid in its order.

    Raises:
        BadArgument: the source has one class alone.
    """
    if source.classes() != {0, 1}:
        raise BadArgument("--on", "holds one class alone", "give a source of reals and forgeries")

    def looked(on: Source) -> Result:
        return evaluate(task, on, device=device, settings=settings, threshold=threshold)

    points = [Point(degradation=PLAIN, value=None, result=looked(source))]
    for name, values in grid.items():
        for value in values:
            result = looked(Degraded(source, name, value, seed))
            points.append(Point(degradation=name, value=value, result=result))
    return points


# -- what is written ---------------------------------------------------------------------

COLUMNS = (
    "degradation", "value", "frame_auc", "frame_auc_low", "frame_auc_high", "video_auc",
    "frame_accuracy", "frames", "videos",
)  # fmt: skip
"""Of the CSV."""


def write(points: Sequence[Point], out: Path, *, what: str, seed: int) -> list[Path]:
    """Write ``robustness.json``, ``.csv`` and ``.png`` into a folder; give their paths.

    Args:
        points: of :func:`measure`.
        out: the folder.
        what: checkpoint and source, in words.
        seed: of the noise.
    """
    paths = [out / f"robustness.{kind}" for kind in ("json", "csv", "png")]
    plain: list[dict[str, Any]] = [
        {"degradation": one.degradation, "value": one.value, **one.result.to_dict()}
        for one in points
    ]
    atomic.write_json(paths[0], {"format": 1, "what": what, "seed": seed, "points": plain})
    atomic.write_csv(paths[1], COLUMNS, map(row, points))
    with atomic.replacing(paths[2]) as temporary:
        _figure(points, what).savefig(temporary, format="png", dpi=110)
    return paths


def row(point: Point, digits: int = 6) -> tuple[str, ...]:
    """A point as ``COLUMNS``, figures with so many digits behind the point."""
    figures = point.result.summary
    low, high = figures.frame_auc_interval or (None, None)
    shown = (figures.frame_auc, low, high, figures.video_auc, figures.frame_accuracy)
    return (
        point.degradation,
        "" if point.value is None else f"{point.value:g}",
        *("" if value is None else f"{value:.{digits}f}" for value in shown),
        str(figures.frames),
        str(figures.videos),
    )


def _figure(points: Sequence[Point], what: str) -> Figure:
    plain, rest = points[0], points[1:]
    names = list(dict.fromkeys(one.degradation for one in rest))
    figure = Figure(figsize=(3.1 * max(len(names), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(what, fontsize=9)
    axes = figure.subplots(1, max(len(names), 1), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=False):
        mine = [plain, *(one for one in rest if one.degradation == name)]
        middle = [one.result.summary.frame_auc for one in mine]
        bounds = [one.result.summary.frame_auc_interval or (np.nan, np.nan) for one in mine]
        places = range(len(mine))
        axis.fill_between(places, *zip(*bounds, strict=True), alpha=0.2)
        axis.plot(places, middle, marker="o", markersize=3)
        labels = [PLAIN, *(f"{one.value:g}" for one in mine[1:])]
        axis.set_xticks(list(places), labels, fontsize=8)
        axis.set_xlabel(DEGRADATIONS[name].unit, fontsize=9)
        axis.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("frame AUC, 95%", fontsize=9)
    return figure
