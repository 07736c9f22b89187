"""What a margin does, to be looked at: embeddings of two numbers, drawn as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceblend import atomic
from faceblend.errors import BadArgument
from xray_train.data import evaluation_batches
from xray_train.rebuild import rebuild
from xray_train.sources import Labelled
from xray_train.tasks.identity import Identity

_BATCH = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Ring:
    """Pictures of a source as a run places them."""

    name: str
    """of the run"""
    margin: str
    """that it was trained with"""
    points: Float[np.ndarray, "items 2"]
    """embeddings, of any length"""
    labels: Integer[np.ndarray, " items"]
    """classes"""
    directions: Float[np.ndarray, "classes 2"]
    """of the classes, as trained"""
    right: int
    """items whose nearest class is their own"""

    @property
    def accuracy(self) -> float:
        """Of all items that were looked at, however the batches fell."""
        return self.right / len(self.labels)

    @property
    def degrees(self) -> float:
        """Mean angle between an embedding and the mean direction of its class."""
        unit = self.points / np.linalg.norm(self.points, axis=1, keepdims=True)
        apart = list[np.ndarray]()
        for one in np.unique(self.labels):
            mine = unit[self.labels == one]
            middle = mine.mean(axis=0) / np.linalg.norm(mine.mean(axis=0))
            apart.append(np.degrees(np.arccos(np.clip(mine @ middle, -1, 1))))
        return float(np.concatenate(apart).mean())


@torch.no_grad()
def placed(run: Path, source: Labelled) -> Ring:
    """Embed every picture of a source with the last checkpoint of a run.

    Args:
        run: its folder.
        source: classes numbered as in training.

    Raises:
        BadArgument: the run's embedding has not two numbers.
        BadCheckpoint: it has no ``last.pt`` of ours.
    """
    task = rebuild(run / "last.pt", torch.device("cpu")).task
    if not isinstance(task, Identity) or task.persons.shape[1] != 2:
        raise BadArgument(run, "has no embedding of two numbers", "train it with embedding 2")
    points, labels, right = list[np.ndarray](), list[np.ndarray](), 0
    for items, _ in evaluation_batches(source, _BATCH, 0):
        points.append(task(items["image"]).double().numpy())
        right += int((task.classify(items["image"]) == items["label"]).sum())
        labels.append(items["label"].numpy())
    return Ring(
        name=run.name,
        margin=task.margin,
        points=np.concatenate(points),
        labels=np.concatenate(labels),
        directions=task.persons.double().numpy(),
        right=right,
    )


def draw(rings: Sequence[Ring], data: str, path: Path) -> None:
    """Draw runs beside each other, as PNG: above as they are, below by direction alone.

    Lines lead to the classes' own directions. Below, the circle is cut into 180 parts of which
    each is as long as it holds pictures of a class.

    Args:
        rings: one a column.
        data: what was embedded.
        path: of the PNG.
    """
    figure = Figure(figsize=(4.6 * len(rings), 9), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(data, fontsize=9)
    colors = colormaps["tab10"]
    above, below = figure.subplots(2, len(rings), squeeze=False)
    for axis, circle, ring in zip(above, below, rings, strict=True):
        far = float(np.quantile(np.linalg.norm(ring.points, axis=1), 0.999))
        unit = ring.points / np.linalg.norm(ring.points, axis=1, keepdims=True)
        heading = ring.directions / np.linalg.norm(ring.directions, axis=1, keepdims=True)
        for one in range(len(heading)):
            mine, color = ring.labels == one, colors(one % 10)
            axis.scatter(*ring.points[mine].T, s=4, color=color, label=str(one), linewidths=0)
            for place, length in ((axis, far), (circle, 1.0)):
                place.plot(*np.stack([0 * heading[one], length * heading[one]]).T, c=color, lw=0.8)
            angles = np.arctan2(unit[mine, 1], unit[mine, 0])
            counts, edges = np.histogram(angles, bins=180, range=(-np.pi, np.pi))
            middles, high = (edges[1:] + edges[:-1]) / 2, np.sqrt(counts / max(1, counts.max()))
            for angle, extra in zip(middles[counts > 0], high[counts > 0], strict=True):
                way = np.array([np.cos(angle), np.sin(angle)])
                circle.plot(*np.stack([way, (1 + 0.35 * extra) * way]).T, c=color, lw=2)
        axis.set_title(
            f"{ring.name}: {ring.margin}, {ring.right:,} of {len(ring.labels):,} right "
            f"({ring.accuracy:.3f})",
            fontsize=10,
        )
        circle.set_title(
            f"directions; {ring.degrees:.1f}° from the class's mean on average", fontsize=9
        )
        for place in (axis, circle):
            place.set_aspect("equal")
        circle.set_xticks([])
        circle.set_yticks([])
        circle.set_xlim(-1.45, 1.45)
        circle.set_ylim(-1.45, 1.45)
    above[0].legend(markerscale=3, fontsize=8, loc="best")
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
