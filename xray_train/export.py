"""A checkpoint as ONNX or TorchScript, compared with the network that it came from."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from faceblend import atomic
from faceblend.errors import FaceblendError

Form = Literal["onnx", "torchscript"]

_BATCHES = (1, 3)  # both, so that the batch is no constant of the file
_TOLERANCE = 1e-4  # on probabilities


class NoParity(FaceblendError):
    """An exported network that says something else than its original."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how far it is from the network."""

    path: Path
    scores_apart: float
    """largest difference of a score, over random pictures"""
    xrays_apart: float
    """largest difference of an X-ray's pixel"""

    def __str__(self) -> str:
        return (
            f"{self.path}: scores differ by {self.scores_apart:.1e} at most, X-rays by "
            f"{self.xrays_apart:.1e}"
        )


class _Served(nn.Module):
    """uint8 pictures in, score and X-ray out."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        xray_logits, class_logits = self.task(images)
        return class_logits.softmax(dim=1)[:, 1], xray_logits.sigmoid()[:, 0]


def export(task: nn.Module, path: Path, form: Form, *, side: int = 256) -> Exported:
    """Write a network with input ``images`` (B, 3, side, side) uint8 RGB and outputs ``score``
    (B,) and ``xray`` (B, side, side), both 0 to 1; then run the file and compare.

    Args:
        task: the network, in evaluation mode on the CPU.
        path: the file.
        form: ``onnx`` or ``torchscript``.
        side: px.

    Raises:
        NoParity: the file's outputs differ by more than 1e-4; it is not kept.
    """
    served = _Served(task).eval()
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
        for count in _BATCHES
    ]
    with torch.no_grad(), warnings.catch_warnings(), atomic.replacing(path) as temporary:
        # of the exporters' own future, and of sizes that are constants here: parity is measured
        warnings.simplefilter("ignore")
        if form == "onnx":
            torch.onnx.export(
                served,
                (pictures[-1],),
                str(temporary),
                input_names=["images"],
                output_names=["score", "xray"],
                dynamic_axes={name: {0: "batch"} for name in ("images", "score", "xray")},
                dynamo=False,
            )
        else:
            traced = torch.jit.trace(served, pictures[-1], check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(temporary))
        apart = [_apart(served, temporary, form, batch) for batch in pictures]
        scores, xrays = (max(column) for column in zip(*apart, strict=True))
        if max(scores, xrays) > _TOLERANCE:
            raise NoParity(
                path,
                f"differs from the network by {max(scores, xrays):.1e}",
                "it was not kept; report it with the versions of torch and onnx",
            )
    return Exported(path=path, scores_apart=scores, xrays_apart=xrays)


def _apart(served: nn.Module, path: Path, form: Form, batch: torch.Tensor) -> tuple[float, float]:
    wanted = [one.numpy() for one in served(batch)]
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        got = session.run(None, {"images": batch.numpy()})
    else:
        got = [one.numpy() for one in torch.jit.load(str(path))(batch)]  # type: ignore[no-untyped-call]
    scores, xrays = (
        float(np.abs(one - other).max()) for one, other in zip(wanted, got, strict=True)
    )
    return scores, xrays
