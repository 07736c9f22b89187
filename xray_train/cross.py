"""Detectors trained on one set and tested on another: the table that the field compares by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceblend import atomic
from faceblend.errors import BadArgument
from xray_train.evaluate import How, Result, evaluate
from xray_train.rebuild import rebuild
from xray_train.sources import Source

COLUMNS = (
    "trained", "tested", "frame_auc", "frame_auc_low", "frame_auc_high", "video_auc", "threshold",
    "frame_accuracy", "frames", "videos", "reals", "fakes",
)  # fmt: skip
"""Of the CSV."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One detector on one set."""

    trained: str
    """name of the checkpoint"""
    tested: str
    """name of the source"""
    result: Result
    """at the checkpoint's threshold, which was fixed on its validation"""


def cross(
    trained: Mapping[str, Path],
    tested: Mapping[str, Source],
    *,
    device: torch.device,
    settings: How,
) -> list[Cell]:
    """Test every checkpoint on every source, whatever its task.

    Args:
        trained: checkpoints by name.
        tested: sources by name. One of a single class gets no AUC.
        device: where to.
        settings: batch, workers, precision and layout.

    Returns:
        By checkpoint, then by source, in their orders.

    Raises:
        BadArgument: there is nothing to test, or nothing to test on.
        BadCheckpoint: one cannot be read; before any is tested.
    """
    for name, given in (("trained", trained), ("tested", tested)):
        if not given:
            raise BadArgument(name, "names nothing", "give one or more, each by a name")
    for path in trained.values():
        rebuild(path, torch.device("cpu"))  # hours before the first that is damaged are lost
    cells = []
    for name, path in trained.items():
        one = rebuild(path, device)
        for on, source in tested.items():
            result = evaluate(
                one.task, source, device=device, settings=settings, threshold=one.threshold
            )
            cells.append(Cell(trained=name, tested=on, result=result))
    return cells


def write(cells: Sequence[Cell], out: Path) -> list[Path]:
    """Write ``cross.json``, ``.csv``, ``.md`` and ``.png`` into a folder; give their paths.

    Args:
        cells: of :func:`cross`.
        out: the folder.
    """
    paths = [out / f"cross.{kind}" for kind in ("json", "csv", "md", "png")]
    plain: list[dict[str, Any]] = [
        {"trained": one.trained, "tested": one.tested, **one.result.to_dict()} for one in cells
    ]
    atomic.write_json(paths[0], {"format": 1, "cells": plain})
    atomic.write_csv(paths[1], COLUMNS, map(row, cells))
    atomic.write_bytes(paths[2], markdown(cells).encode())
    with atomic.replacing(paths[3]) as temporary:
        _heat_map(cells).savefig(temporary, format="png", dpi=110)
    return paths


def row(cell: Cell) -> tuple[str, ...]:
    """A cell as ``COLUMNS``."""
    figures = cell.result.summary
    low, high = figures.frame_auc_interval or (None, None)
    values = (
        figures.frame_auc, low, high, figures.video_auc, cell.result.threshold,
        figures.frame_accuracy,
    )  # fmt: skip
    shown = ("" if value is None else f"{value:.6f}" for value in values)
    counts = (figures.frames, figures.videos, figures.reals, figures.fakes)
    return (cell.trained, cell.tested, *shown, *map(str, counts))


def markdown(cells: Sequence[Cell]) -> str:
    """The table: a row a checkpoint, a column a set, frame AUC with its interval, video AUC."""
    rows, columns = _names(cells)
    by_place = {(one.trained, one.tested): one for one in cells}
    lines = [
        ("trained \\ tested", *columns),
        ("---",) * (len(columns) + 1),
        *((name, *(said(by_place[name, on]) for on in columns)) for name in rows),
    ]
    table = "".join(f"| {' | '.join(_plain(one) for one in line)} |\n" for line in lines)
    counts = (
        f"{on}: {by_place[rows[0], on].result.summary.reals:,} real and "
        f"{by_place[rows[0], on].result.summary.fakes:,} forged frames"
        for on in columns
    )
    return f"{table}\nFrame AUC (95% interval over videos), video AUC. {'; '.join(counts)}.\n"


def said(cell: Cell) -> str:
    """``frame AUC (low to high), video AUC``; ``none`` of one class alone."""
    figures = cell.result.summary
    if figures.frame_auc is None or figures.frame_auc_interval is None:
        return "none"
    low, high = figures.frame_auc_interval
    return f"{figures.frame_auc:.3f} ({low:.3f} to {high:.3f}), {figures.video_auc:.3f}"


def _names(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    return (
        list(dict.fromkeys(one.trained for one in cells)),
        list(dict.fromkeys(one.tested for one in cells)),
    )


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _heat_map(cells: Sequence[Cell]) -> Figure:
    rows, columns = _names(cells)
    values = np.full((len(rows), len(columns)), np.nan)
    for one in cells:
        auc = one.result.summary.frame_auc
        values[rows.index(one.trained), columns.index(one.tested)] = np.nan if auc is None else auc
    figure = Figure(
        figsize=(2.4 + 1.5 * len(columns), 1.6 + 0.8 * len(rows)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    shown = axis.imshow(values, vmin=0.5, vmax=1.0, cmap="viridis", aspect="auto")
    for place, value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if value < 0.75 else "black"
            axis.text(place[1], place[0], f"{value:.3f}", ha="center", va="center", color=ink)
    axis.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xlabel("tested on")
    axis.set_ylabel("trained on")
    figure.colorbar(shown, label="frame AUC", extend="min")
    return figure
