"""The network of a checkpoint, ready to predict."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint, Checkpoint, fit_into, load
from xray_train.tasks.face_xray import FaceXray
from xray_train.tasks.frame import Frame
from xray_train.tasks.identity import Identity
from xray_train.tasks.siamese import FrozenHead, Triplet
from xray_train.tasks.wsdan import Wsdan

TASKS: dict[str, type[nn.Module]] = {
    "xray_train.tasks.face_xray.FaceXray": FaceXray,
    "xray_train.tasks.frame.Frame": Frame,
    "xray_train.tasks.siamese.FrozenHead": FrozenHead,
    "xray_train.tasks.siamese.Triplet": Triplet,
    "xray_train.tasks.wsdan.Wsdan": Wsdan,
    "xray_train.tasks.identity.Identity": Identity,
}
"""Tasks that a checkpoint may name. Any other class would run whatever the file asks for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network and what its training chose."""

    task: nn.Module
    """in evaluation mode; a :class:`~xray_train.tasks.Task`"""
    threshold: float
    """over which a score means forged: fixed on validation"""
    checkpoint: Checkpoint


def rebuild(path: Path, device: torch.device, task: nn.Module | None = None) -> Trained:
    """Load a checkpoint's network.

    Args:
        path: the checkpoint.
        device: where to.
        task: an instance of the class that it was trained with, where that is none of ``TASKS``.

    Raises:
        BadCheckpoint: it cannot be read, names an unknown task, or does not fit.
    """
    saved = load(path)
    if task is None:
        name = str(saved.task.get("class_path"))
        if name not in TASKS:
            raise BadCheckpoint(
                path, f"is of the task {name!r}, which is none of ours", "give the task yourself"
            )
        try:
            # its weights are in the checkpoint: nothing else is read or fetched
            task = TASKS[name](**{**saved.task.get("init_args", {}), "pretrained": "none"})
        except TypeError as error:
            raise BadCheckpoint(
                path, f"describes its task wrongly ({error})", "give another checkpoint"
            ) from error
    fit_into(task, saved.weights, path)
    threshold = float(saved.progress.get("threshold", 0.5))
    return Trained(task=task.to(device).eval(), threshold=threshold, checkpoint=saved)


def pick_device(name: str) -> torch.device:
    """``auto`` is a GPU where there is one.

    Raises:
        BadArgument: torch knows no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise BadArgument("--device", f"is {name!r}", "give auto, cpu or cuda") from error
