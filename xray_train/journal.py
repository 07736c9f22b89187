"""What a run tells while it goes: TensorBoard's events and a line of JSON for each."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from xray_train.evaluate import Result
from xray_train.look import Seen, attention_overlay, look, look_at, scatter
from xray_train.sources import Source

_PICTURES = 8  # samples a validation
_EMBEDDED, _PEOPLE = 128, 16  # faces in the projector; of so many people where people are told
_PROJECT_EVERY = 5000  # steps, at least: a table of them is a megabyte


@runtime_checkable
class Embeds(Protocol):
    """A task whose features are worth a look by themselves."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """(B, F) features of (B, 3, H, W) uint8 pictures."""
        ...


@runtime_checkable
class OfFaces(Protocol):
    """A source whose items are made of another one's."""

    @property
    def faces(self) -> Source:
        """The other one: a picture and a label each."""
        ...


@runtime_checkable
class OfPeople(Protocol):
    """A source whose labels are numbers of people."""

    @property
    def labels(self) -> np.ndarray:
        """(items,) int64."""
        ...

    @property
    def people(self) -> tuple[str, ...]:
        """Their names, by number."""
        ...


class Journal:
    """Writes ``events`` and ``log.jsonl`` into a run's folder; the first process alone does."""

    def __init__(self, out: Path, rank: int) -> None:
        self._path = out / "log.jsonl"
        self._events: Any = None
        self._projected = -_PROJECT_EVERY  # step
        if rank == 0:
            from torch.utils.tensorboard import SummaryWriter

            out.mkdir(parents=True, exist_ok=True)
            self._events = SummaryWriter(str(out))
        self._reset()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None:
            self._events.close()

    def step(self, waited: float, samples: int) -> None:
        """A step is done; it waited so long for its samples."""
        self._waited += waited
        self._samples += samples

    def log(self, step: int, rate: float, losses: dict[str, torch.Tensor]) -> None:
        """The figures since the last line."""
        if self._events is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = max(time.monotonic() - self._since, 1e-9)
        values = {f"train/{name}": float(value.detach()) for name, value in losses.items()}
        values |= {
            "rate": rate,
            "samples_per_second": self._samples / seconds,
            "waiting_share": self._waited / seconds,
        }
        self._write(step, values)
        self._reset()

    def result(
        self, step: int, result: Result, task: nn.Module, source: Source, device: torch.device
    ) -> None:
        """A validation, with its curve of precision and recall, and pictures: what was given, its
        target, its predicted X-ray.

        Of a network that tells where it looked, the map over the source's first real and first
        forged picture: the same two at each validation. Of a network of features, those of some
        faces as points of a plane (:func:`~xray_train.look.plane`), and every 5,000 steps or so
        for the projector: real and forged, or, of identities, several of each of some people.
        """
        if self._events is None:
            return
        plain = result.summary.to_dict()
        values = {f"val/{name}": value for name, value in plain.items() if _is_number(value)}
        for name in ("xray_ap", "xray_iou", "threshold"):
            values[f"val/{name}"] = getattr(result, name)
        self._write(step, {name: value for name, value in values.items() if value is not None})
        items = result.items
        if len(np.unique(items.labels)) == 2:
            self._events.add_pr_curve("val/precision_recall", items.labels, items.scores, step)
        seen = look(task, source, device, _PICTURES)
        self._events.add_images("val/samples", _pictures(seen), step)
        if seen.predicted.attention is not None:
            for name, label in (("real", 0), ("forged", 1)):
                found = np.flatnonzero(items.labels == label)
                if len(found):
                    shown = _attended(look_at(task, source, device, [int(found[0])]))
                    self._events.add_image(f"val/attention_{name}", shown, step)
        if isinstance(task, Embeds) and isinstance(source, OfFaces):
            self._project(step, task, source.faces, device)
        self._reset()

    def _project(self, step: int, task: Any, faces: Source, device: torch.device) -> None:
        # named: never wider than what the network is given, as item is where training crops
        items = [faces.named(number)[0] for number in _shown(faces)]
        labels = [int(item["label"]) for item in items]
        told = isinstance(faces, OfPeople)
        names = [str(one) if told else ("real", "forged")[one] for one in labels]
        images = torch.stack([item["image"] for item in items])
        was_training = task.training
        task.eval()
        parts = [task.embed(part.to(device)).cpu() for part in torch.split(images, _PICTURES)]
        task.train(was_training)
        features = torch.cat(parts).float()
        drawn = scatter(features.numpy(), names)
        self._events.add_image("val/faces", drawn, step, dataformats="HWC")
        if step - self._projected < _PROJECT_EVERY:
            return
        self._projected = step
        self._events.add_embedding(
            features,
            metadata=names,
            label_img=functional.interpolate(images.float() / 255, size=(48, 48), mode="area"),
            global_step=step,
            tag="faces",
        )

    def _write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def _reset(self) -> None:
        self._since, self._waited, self._samples = time.monotonic(), 0.0, 0


def _shown(faces: Source) -> list[int]:
    """Numbers of the faces that are embedded: spread evenly, or several of each of some people."""
    if not isinstance(faces, OfPeople):
        return _spread(len(faces), _EMBEDDED)
    known = np.unique(faces.labels)
    some = known[_spread(len(known), _PEOPLE)]
    each = _EMBEDDED // len(some)
    return [int(one) for who in some for one in np.flatnonzero(faces.labels == who)[:each]]


def _spread(length: int, count: int) -> list[int]:
    spread = np.linspace(0, length - 1, min(count, length)).astype(int)
    return [int(one) for one in np.unique(spread)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _attended(seen: Seen) -> torch.Tensor:
    """(3, H, 2W) uint8: the first sample's picture, and the same with its attention over it."""
    attention = seen.predicted.attention
    assert attention is not None
    image = np.ascontiguousarray(seen.images[0].permute(1, 2, 0).numpy())
    over = attention_overlay(image, attention[0].float().cpu().numpy())
    return torch.from_numpy(np.concatenate([image, over], axis=1).transpose(2, 0, 1).copy())


def _pictures(seen: Seen) -> torch.Tensor:
    """(N, 3, H, W) uint8: each sample's picture or pictures, target and prediction in a row."""
    images = seen.images
    if images.dim() == 5:
        return torch.cat(images.unbind(1), dim=3)
    if seen.predicted.xrays is None:
        return images
    xrays = (seen.predicted.xrays.float().cpu() * 255).round().to(torch.uint8)
    panels = [seen.targets.expand(-1, 3, -1, -1), xrays[:, None].expand(-1, 3, -1, -1)]
    return torch.cat([images, *panels], dim=3)
