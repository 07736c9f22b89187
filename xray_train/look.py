"""What a person looks at: predictions beside their targets, and the curves of runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from faceblend import atomic
from faceblend.audit.report import grey, lay_out
from faceblend.errors import BadArgument
from xray_train.sources import Source
from xray_train.tasks import Prediction

_PANEL = 160  # px
_COLUMNS = 3
_CURVES = {
    "train/xray": "X-ray cross-entropy, training",
    "val/frame_auc": "frame AUC, held out",
    "val/xray_ap": "X-ray pixel AP, held out",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Samples of a source and what a network says of them."""

    images: UInt8[torch.Tensor, "samples *pictures height width"]
    """RGB, (N, 3, H, W); (N, K, 3, H, W) where a sample has several"""
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
    items = [source.item(int(number)) for number in chosen]
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


def write_curves(runs: Sequence[Path], path: Path) -> None:
    """Draw loss, frame AUC and X-ray pixel AP over the steps of runs, as PNG.

    Args:
        runs: folders with ``log.jsonl``.
        path: of the PNG.

    Raises:
        BadArgument: a run has no log that can be read.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(_CURVES))
    for run in runs:
        lines = _log(run)
        for axis, (name, title) in zip(axes, _CURVES.items(), strict=True):
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
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise BadArgument(path, f"cannot be read ({error})", "give the folder of a run") from error
