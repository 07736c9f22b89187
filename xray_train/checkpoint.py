"""A run's whole state on disk: written whole or not at all, read without running code."""

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faceblend import atomic
from faceblend.errors import FaceblendError

FORMAT = 1
"""Version of a checkpoint's layout."""


class BadCheckpoint(FaceblendError):
    """A checkpoint that is missing, damaged, or of something else."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Everything that a run is at one step."""

    step: int
    """steps that are done"""
    task: dict[str, Any]
    """``class_path`` and ``init_args`` of the task: plain values"""
    model: dict[str, torch.Tensor]
    """its tensors"""
    ema: dict[str, torch.Tensor] | None
    """their moving averages; None where the run keeps none"""
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    random: dict[str, torch.Tensor]
    """states of torch's generators"""
    progress: dict[str, Any]
    """what the run has seen so far: scores, threshold, patience; plain values"""
    settings: dict[str, Any]
    """what the run was asked for; plain values"""

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What to predict with: the averages where there are some."""
        return self.model if self.ema is None else self.ema


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    plain = {
        "format": FORMAT,
        "step": checkpoint.step,
        "task": json.dumps(checkpoint.task),
        "progress": json.dumps(checkpoint.progress),
        "settings": json.dumps(checkpoint.settings),
        "model": checkpoint.model,
        "ema": checkpoint.ema,
        "optimizer": checkpoint.optimizer,
        "scaler": checkpoint.scaler,
        "random": checkpoint.random,
    }
    with atomic.replacing(path) as temporary:
        torch.save(plain, temporary)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint into memory, on the CPU.

    Raises:
        BadCheckpoint: it is not there, cut off, no checkpoint of ours, of another version, or
            holds more than tensors and plain values.
    """
    content = _read(path)
    if not isinstance(content, dict) or "format" not in content:
        raise BadCheckpoint(
            path, "holds no run of xray-train", "give a checkpoint that xray-train fit wrote"
        )
    if content["format"] != FORMAT:
        raise BadCheckpoint(
            path,
            f"has format {content['format']!r}, and this version reads format {FORMAT}",
            "train again, or use the version that wrote it",
        )
    try:
        texts = {name: json.loads(content[name]) for name in ("task", "progress", "settings")}
        rest = ("step", "model", "ema", "optimizer", "scaler", "random")
        return Checkpoint(**texts, **{name: content[name] for name in rest})
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            path, f"is incomplete ({error})", "give another checkpoint of the run"
        ) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a model file by timm, by others, or of ours.

    ``.safetensors``; or a file of ``torch.save`` that holds the tensors themselves or has them
    under ``state_dict``, ``model`` or ``ema``.

    Raises:
        BadCheckpoint: it cannot be read, or holds no tensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read(path)
    for name in ("ema", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
        raise BadCheckpoint(path, "holds no model's tensors", "give a file of torch.save")
    return tensors


def fit_into(module: torch.nn.Module, tensors: dict[str, torch.Tensor], where: Path) -> None:
    """Load tensors into a module that must have exactly these.

    Raises:
        BadCheckpoint: one is lacking, too many, or of another shape.
    """
    wanted = module.state_dict()
    lost, spare = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    odd = sorted(
        name for name in set(wanted) & set(tensors) if wanted[name].shape != tensors[name].shape
    )
    for names, wrong in ((lost, "lacks"), (spare, "has besides"), (odd, "has in other shapes")):
        if names:
            raise BadCheckpoint(
                where,
                f"is of another model: it {wrong} {len(names)} tensors ({names[0]})",
                "give the checkpoint of this task and backbone",
            )
    module.load_state_dict(tensors)


def _read(path: Path) -> Any:
    try:
        # never more than tensors and plain values: a pickle could run any code
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadCheckpoint(path, "is not there", "check the path") from None
    except pickle.UnpicklingError as error:
        raise BadCheckpoint(
            path,
            f"holds more than tensors, or is damaged ({_words(error)})",
            "it was not loaded, since it could run any code: give one that xray-train wrote",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadCheckpoint(
            path, f"cannot be read ({_words(error)})", "it may be cut off: give another one"
        ) from error


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise BadCheckpoint(path, "is not there", "check the path") from None
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(
            path, f"cannot be read ({_words(error)})", "it may be cut off: give another one"
        ) from error


def _words(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
