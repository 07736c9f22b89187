"""What a person looks at: predictions beside their targets, and the curves of runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from faceblend import atomic
from faceblend.audit.report import grey, lay_out
from faceblend.errors import BadArgument
from faceblend.face import Image
from xray_train.sources import Source
from xray_train.tasks import Prediction

_PANEL = 160  # px
_LARGEST = 1e300  # that an axis holds
_COLUMNS = 3
_RED, _GLOW = np.array([255, 40, 40], np.float32), 0.4  # of an attention of 1
_XRAY_CURVES = {
    "train/xray": "X-ray cross-entropy, training",
    "val/frame_auc": "frame AUC, held out",
    "val/xray_ap": "X-ray pixel AP, held out",
}
_CURVES = {
    "train/loss": "loss, training",
    "val/frame_auc": "frame AUC, held out",
    "val/frame_log_loss": "frame log loss, held out",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Samples of a source and what a network says of them."""

    images: UInt8[torch.Tensor, "samples *pictures 3 height width"]
    """RGB; several pictures a sample where the system takes that many"""
    targets: UInt8[torch.Tensor, "samples 1 height width"]
    """X-rays, ``round(255 * B)``"""
    labels: list[int]
    """1 forged, 0 real"""
    predicted: Prediction


def look(task: nn.Module, source: Source, device: torch.device, count: int) -> Seen:
    """Predict samples that are spread evenly over a source.

    Args:
        task: a :class:`~xray_train.tasks.Task`.
        source: where they are from.
        device: where the network is.
        count: samples at most.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
    return look_at(task, source, device, chosen.tolist())


def look_at(task: nn.Module, source: Source, device: torch.device, numbers: Sequence[int]) -> Seen:
    """Predict the items of a source that are named.

    Args:
        task: a :class:`~xray_train.tasks.Task`; its mode is kept.
        source: where they are from.
        device: where the network is.
        numbers: of the items; at least one.
    """
    items = [source.item(number) for number in numbers]
    images = torch.stack([item["image"] for item in items])
    was_training = task.training
    task.eval()
    predicted = task.predict(images.to(device))  # type: ignore[operator]
    task.train(was_training)
    return Seen(
        images=images,
        targets=torch.stack([item["xray"] for item in items]),
        labels=[int(item["label"]) for item in items],
        predicted=predicted,
    )


def sheet(seen: Seen) -> UInt8[np.ndarray, "height width 3"]:
    """Lay samples out as picture, target and predicted X-ray, with label and score.

    Args:
        seen: of a task that predicts X-rays.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadArgument: the task predicts none.
    """
    if seen.predicted.xrays is None:
        raise BadArgument("task", "predicts no X-rays", "draw sheets of one that does")
    targets = seen.targets[:, 0].float().numpy() / np.float32(255)
    xrays = seen.predicted.xrays.float().cpu().numpy()
    scores = seen.predicted.scores.tolist()
    rows = zip(seen.images, targets, xrays, seen.labels, scores, strict=True)
    shown = [
        (
            (image.permute(1, 2, 0).numpy(), grey(target), grey(xray)),
            f"{'forged' if label else 'real'}, score {score:.2f}",
        )
        for image, target, xray, label, score in rows
    ]
    return lay_out(shown, panel=_PANEL, columns=_COLUMNS)


def write_sheet(seen: Seen, path: Path) -> None:
    """Write :func:`sheet` as PNG, whole or not at all."""
    done, data = cv2.imencode(".png", cv2.cvtColor(sheet(seen), cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV could not encode the sheet as PNG")
    atomic.write_bytes(path, bytes(data))


def attention_overlay(image: Image, attention: Float[np.ndarray, "rows columns"]) -> Image:
    """Lay a map of where a network looked over the picture.

    ``0.4 * attention`` of a pixel becomes red: 0 leaves the picture, 1 is plain to see and still
    shows the face. The map is brought to the picture's size bilinearly.

    Args:
        image: (H, W, 3) uint8 RGB.
        attention: (h, w), 0 to 1, as coarse as it is.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the map leaves 0 to 1.
    """
    if not (attention.min() >= 0 and attention.max() <= 1):
        raise ValueError("an attention map leaves 0 to 1, or is no number")
    size = (image.shape[1], image.shape[0])
    fine = cv2.resize(attention.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    weight = _GLOW * np.clip(fine, 0, 1)[..., np.newaxis]
    return np.asarray(np.rint(image * (1 - weight) + _RED * weight).astype(np.uint8))


def plane(vectors: Float[np.ndarray, "faces numbers"]) -> Float[np.ndarray, "faces 2"]:
    """Where to draw vectors: those of two numbers as they are, others by two principal components.

    The components are of these vectors, their mean at 0; of each, the entry farthest from 0 is
    positive, so that the same vectors are drawn alike. What has no second one lies at 0 there.

    Args:
        vectors: (N, E), N and E from 1.

    Example:
        >>> corners = [[0.0, 7.0, 0.0], [4.0, 7.0, 0.0], [0.0, 7.0, 2.0], [4.0, 7.0, 2.0]]
        >>> plane(np.array(corners)).round(9).tolist()
        [[-2.0, -1.0], [2.0, -1.0], [-2.0, 1.0], [2.0, 1.0]]
    """
    if vectors.shape[1] == 2:
        return vectors
    centred = vectors - vectors.mean(axis=0)
    ways = np.linalg.svd(centred, full_matrices=False)[2][:2]
    farthest = np.abs(ways).argmax(axis=1)
    ways = ways * np.sign(ways[np.arange(len(ways)), farthest])[:, np.newaxis]
    points = np.zeros((len(vectors), 2), vectors.dtype)
    points[:, : len(ways)] = centred @ ways.T
    return points


def scatter(vectors: Float[np.ndarray, "faces numbers"], names: Sequence[str]) -> Image:
    """Draw vectors as points of a plane, a colour a name.

    Args:
        vectors: (N, E); see :func:`plane`.
        names: of each, whose it is or what.

    Returns:
        (480, 480, 3) uint8 RGB; 20 colours, which begin again.
    """
    figure = Figure(figsize=(4.8, 4.8), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axis = figure.subplots()
    points, whose = plane(vectors), np.asarray(names)
    for number, name in enumerate(dict.fromkeys(names)):
        mine = points[whose == name]
        axis.scatter(
            mine[:, 0], mine[:, 1], s=16, color=colormaps["tab20"](number % 20), label=name
        )
    axis.set_aspect("equal", adjustable="datalim")
    itself = vectors.shape[1] == 2
    axis.set_title("embeddings" if itself else "two principal components", fontsize=10)
    axis.legend(fontsize=6, ncols=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_curves(runs: Sequence[Path], path: Path) -> None:
    """Draw loss, frame AUC and X-ray pixel AP over the steps of runs, as PNG.

    Of runs that predict no X-ray, the log loss takes the place of its pixel AP.

    Args:
        runs: folders with ``log.jsonl``.
        path: of the PNG.

    Raises:
        BadArgument: a run has no log that can be read.
    """
    logs = [_log(run) for run in runs]
    curves = _XRAY_CURVES if any("train/xray" in one for log in logs for one in log) else _CURVES
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(curves))
    for run, lines in zip(runs, logs, strict=True):
        for axis, (name, title) in zip(axes, curves.items(), strict=True):
            # a run that was cut off logs the steps since its checkpoint twice
            points = {one["step"]: one[name] for one in lines if name in one}
            axis.plot(list(points), list(points.values()), label=run.name)
            axis.set_title(title, fontsize=10)
            axis.set_xlabel("steps")
            axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _log(run: Path) -> list[dict[str, float]]:
    path = run / "log.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise BadArgument(path, f"cannot be read ({error})", "give the folder of a run") from error
    for number, line in enumerate(lines, 1):
        if not (
            isinstance(line, dict) and "step" in line and all(map(_is_drawable, line.values()))
        ):
            raise BadArgument(
                f"{path}, line {number}", "is not a step and its numbers", "take the line out"
            )
    return lines


def _is_drawable(value: object) -> bool:
    # what diverged is logged as NaN, and leaves a gap in its curve
    return isinstance(value, int | float) and (value != value or abs(value) < _LARGEST)
