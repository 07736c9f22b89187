"""A checkpoint as ONNX or TorchScript, compared with the network that it came from."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from faceblend import atomic
from faceblend.errors import BadArgument, FaceblendError
from xray_train.tasks.identity import Identity
from xray_train.tasks.siamese import Triplet

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
    xrays_apart: float | None
    """largest difference of an X-ray's pixel; None where the system predicts none"""

    def __str__(self) -> str:
        text = f"{self.path}: scores differ by {self.scores_apart:.1e} at most"
        return text if self.xrays_apart is None else f"{text}, X-rays by {self.xrays_apart:.1e}"


class _Served(nn.Module):
    """uint8 pictures in, score out, and the X-ray where the system predicts one."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        said = self.task.predict(images)  # type: ignore[operator]
        return (said.scores,) if said.xrays is None else (said.scores, said.xrays)


def export(task: nn.Module, path: Path, form: Form, *, side: int = 256) -> Exported:
    """Write a network with input ``images`` (B, 3, side, side) uint8 RGB and outputs ``score``
    (B,) and, where the system predicts one, ``xray`` (B, side, side), both 0 to 1; then run the
    file and compare.

    Args:
        task: the network, in evaluation mode on the CPU.
        path: the file.
        form: ``onnx`` or ``torchscript``.
        side: px.

    Raises:
        BadArgument: the task scores several pictures together, or takes none of that side.
        NoParity: the file's outputs differ by more than 1e-4; it is not kept.
    """
    if isinstance(task, (Identity, Triplet)):
        raise BadArgument(
            "--ckpt",
            f"holds {type(task).__name__}, which scores several pictures together",
            "export a network that scores single ones",
        )
    served = _Served(task).eval()
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
        for count in _BATCHES
    ]
    try:
        with torch.no_grad():
            names = ["score", "xray"][: len(served(pictures[0]))]
    except RuntimeError as error:  # HRNet halves five times
        reason = str(error).splitlines()[0]
        raise BadArgument(
            "side", f"is {side} px, which the network cannot take ({reason})", "give it as trained"
        ) from error
    with torch.no_grad(), warnings.catch_warnings(), atomic.replacing(path) as temporary:
        # of the exporters' own future, and of sizes that are constants here: parity is measured
        warnings.simplefilter("ignore")
        if form == "onnx":
            torch.onnx.export(
                served,
                (pictures[-1],),
                str(temporary),
                input_names=["images"],
                output_names=names,
                dynamic_axes={name: {0: "batch"} for name in ("images", *names)},
                dynamo=False,
            )
        else:
            traced = torch.jit.trace(served, pictures[-1], check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(temporary))
        apart = [_apart(served, temporary, form, batch) for batch in pictures]
        worst = [max(column) for column in zip(*apart, strict=True)]
        if max(worst) > _TOLERANCE:
            raise NoParity(
                path,
                f"differs from the network by {max(worst):.1e}",
                "it was not kept; report it with the versions of torch and onnx",
            )
    xrays = worst[1] if len(worst) > 1 else None
    return Exported(path=path, scores_apart=worst[0], xrays_apart=xrays)


def _apart(served: nn.Module, path: Path, form: Form, batch: torch.Tensor) -> list[float]:
    wanted = [one.numpy() for one in served(batch)]
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        got = session.run(None, {"images": batch.numpy()})
    else:
        got = [one.numpy() for one in torch.jit.load(str(path))(batch)]  # type: ignore[no-untyped-call]
    return [float(np.abs(one - other).max()) for one, other in zip(wanted, got, strict=True)]
