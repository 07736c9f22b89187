"""A run's whole state on disk: written whole or not at all, read without running code."""

import json
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from faceblend import atomic
from faceblend.errors import FaceblendError

FORMAT = 1
"""Version of a checkpoint's layout."""

_LONGEST_NAME = 1000  # characters of a class and its module


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
        rest = {name: content[name] for name in _KINDS}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadCheckpoint(
            path, f"is incomplete ({error})", "give another checkpoint of the run"
        ) from error
    odd = [name for name, kind in _KINDS.items() if not isinstance(rest[name], kind)]
    odd += [name for name, told in texts.items() if not isinstance(told, dict)]
    for name in ("model", "ema", "random"):
        if name not in odd and not _are_tensors(rest[name] or {}):
            odd.append(name)
    if odd:
        raise BadCheckpoint(path, f"has no valid {odd[0]!r}", "give another checkpoint of the run")
    return Checkpoint(**texts, **rest)


_KINDS: dict[str, Any] = {
    "step": int,
    "model": dict,
    "ema": dict | None,
    "optimizer": dict,
    "scaler": dict,
    "random": dict,
}


def _are_tensors(content: dict[Any, Any]) -> bool:
    return all(
        isinstance(name, str) and isinstance(one, torch.Tensor) for name, one in content.items()
    )


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
    if not tensors or not _are_tensors(tensors):
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
        _check_inflated(path)
        _check_names(path)
        # never more than tensors and plain values: a pickle could run any code
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadCheckpoint(path, "is not there", "check the path") from None
    except BadCheckpoint:
        raise
    except pickle.UnpicklingError as error:
        # torch's own words tell how to run the file's code all the same
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise BadCheckpoint(
            path,
            f"holds more than tensors, or is damaged{f' ({found[1]})' if found else ''}",
            "it was not loaded, since it could run any code: give one that xray-train wrote",
        ) from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise BadCheckpoint(
            path, f"cannot be read ({_words(error)})", "it may be cut off: give another one"
        ) from error


def _check_inflated(path: Path) -> None:
    """Refuse an archive that is larger inside than outside; torch writes none."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        inside = sum(member.file_size for member in archive.infolist())
    if inside > path.stat().st_size:
        raise BadCheckpoint(
            path, f"is compressed and claims {inside:,} bytes", "save it by torch.save"
        )


def _check_names(path: Path) -> None:
    """Refuse a class of an endless name: torch takes minutes to say what is wrong with it."""
    with ExitStack() as stack:
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            inside = [one for one in archive.namelist() if one.endswith("data.pkl")]
            files = [stack.enter_context(archive.open(one)) for one in inside]
        else:
            files = [stack.enter_context(path.open("rb"))]
        for file in files:
            names = (
                arg
                for op, arg, _ in chain.from_iterable(_pickles(file))
                if op.name in ("GLOBAL", "INST")
            )
            if any(len(name) > _LONGEST_NAME for name in names):
                raise BadCheckpoint(
                    path, "names a class that is none", "give one that xray-train wrote"
                )


def _pickles(file: Any) -> Iterator[Iterator[Any]]:
    # the old format has five of them before its numbers, an archive one
    for _ in range(5):
        yield _read_as_far_as_it_goes(pickletools.genops(file))


def _read_as_far_as_it_goes(operations: Iterator[Any]) -> Iterator[Any]:
    with suppress(Exception):  # damaged, or over: torch tells
        yield from operations


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
    line = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in line)
