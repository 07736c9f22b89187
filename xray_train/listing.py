"""Score the pictures of a list as they are, and write the answer in the list's order.

What contests ask for: ``img_name,y_pred``, one line for each name, the probability of class 1.
No face is looked for; :mod:`xray_train.predict` does that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import nn
from torch.utils.data import DataLoader, Dataset

from faceblend import atomic, jobs
from faceblend.errors import BadArgument, BadImage, at_least
from faceblend.ingest.photograph import read_photograph
from xray_train.evaluate import LOWER, Diverged
from xray_train.predict import VIEWS, view
from xray_train.sources.listed import NAME, SIZE, read_list, squared
from xray_train.sources.source import as_tensor
from xray_train.tasks import Images

PREDICTED = "y_pred"
"""Column of the scores."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a call of :func:`score_list` wrote."""

    out: Path
    pictures: int
    """rows, with those that were refused"""
    refused: tuple[tuple[str, str], ...]
    """what could not be read, and why"""

    def __str__(self) -> str:
        text = f"{self.pictures:,} pictures in {self.out}"
        if self.refused:
            text += f"\nrefused: {len(self.refused):,}, see {refusals(self.out)}"
        return text


def refusals(out: Path) -> Path:
    """The table beside ``out`` of what could not be read: ``img_name,reason``."""
    return out.with_name(f"{out.name}.refused.csv")


def score_list(
    task: nn.Module,
    folder: Path,
    labels: Path,
    out: Path,
    *,
    device: torch.device,
    size: int = SIZE,
    views: int = 1,
    batch: int = 32,
    workers: int = 0,
    unread: float = 0.5,
) -> Scored:
    """Score every picture of a list and write ``img_name,y_pred`` in its order.

    A contest refuses a table with a gap. So a picture that cannot be read gets the score
    ``unread``, and is named with the reason in the table :func:`refusals`, which is there always
    and is empty but for its head where all went well.

    Args:
        task: a :class:`~xray_train.tasks.Task` in evaluation mode.
        folder: of the pictures.
        labels: the list; a column ``target`` is neither needed nor looked at by the network.
        out: the table, CSV. Scores have nine digits, all that float32 holds, so that no two
            pictures tie for being rounded.
        device: where the network is.
        size: px; the side that pictures are brought to, as in training.
        views: of each picture, 1 to 4, of which the mean is taken; see ``VIEWS``.
        batch: pictures at a time.
        workers: processes that read them.
        unread: score of what cannot be read, 0 to 1; one half says nothing.

    Raises:
        BadArgument: the list is wrong, none of its pictures can be read, or a number is out of
            range.
        Diverged: the network's scores are no numbers.
    """
    if not 1 <= views <= len(VIEWS):
        raise BadArgument("views", f"is {views}", f"give 1 to {len(VIEWS)}")
    if not 0 <= unread <= 1:
        raise BadArgument("unread", f"is {unread}", "give 0 to 1")
    at_least(1, batch=batch, size=size)
    at_least(0, workers=workers)
    names = read_list(labels).names
    loader = DataLoader(
        _Pictures(folder, names, size),
        batch_size=batch,
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator().manual_seed(0),
    )
    scores: list[float] = []
    refused: list[tuple[str, str]] = []
    with jobs.progress("score", total=len(names), unit="pictures") as report:
        for read in loader:
            good = [one for one in read if isinstance(one, torch.Tensor)]
            found = iter(mean_scores(task, torch.stack(good), device, views) if good else ())
            for one in read:
                if isinstance(one, torch.Tensor):
                    scores.append(float(next(found)))
                else:
                    refused.append((names[len(scores)], one))
                    report.warn(f"{names[len(scores)]}: {one}")
                    scores.append(unread)
            report.advance(len(read))
    if len(refused) == len(names):
        raise BadArgument(
            folder, f"holds no picture of {labels} that can be read", "check the folder"
        )
    rows = [(name, f"{score:.9g}") for name, score in zip(names, scores, strict=True)]
    atomic.write_csv(out, (NAME, PREDICTED), rows)
    atomic.write_csv(refusals(out), (NAME, "reason"), refused)
    return Scored(out=out, pictures=len(names), refused=tuple(refused))


def mean_scores(
    task: nn.Module, images: Images, device: torch.device, views: int
) -> Float64[np.ndarray, " batch"]:
    """Probability of forged, the mean over the first so many of ``VIEWS``: 0 to 1 as each is.

    Raises:
        Diverged: one is no number.
    """
    total = np.zeros(len(images))
    for number in range(views):
        given = view(images, number).to(device)
        total += task.predict(given).scores.double().cpu().numpy()  # type: ignore[operator]
    if not np.isfinite(total).all():
        raise Diverged("the network", "gives scores that are no numbers", LOWER)
    return total / views


class _Pictures(Dataset[UInt8[torch.Tensor, "3 size size"] | str]):
    """The pictures of a list, or why one cannot be read."""

    def __init__(self, folder: Path, names: Sequence[str], size: int) -> None:
        self._folder, self._names, self._size = folder, names, size

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> torch.Tensor | str:
        try:
            picture = read_photograph(self._folder / self._names[number])
        except BadImage as error:
            return error.reason
        return as_tensor(squared(picture, self._size))
