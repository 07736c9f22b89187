"""What every kind of data is to training: samples by number."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from faceblend.errors import at_least
from faceblend.face import Image
from xray_train.augment.jitter import draw_jitter, jittered

Item = dict[str, torch.Tensor]
"""``image`` (3, H, W) uint8 RGB, or several of one size (K, 3, H, W); ``xray`` (1, H, W) uint8,
zeros where there is none; ``label`` int64. In a batch with another dimension before."""


class Source(ABC):
    """Samples by number."""

    parts: int
    """how many of the mix's parts are this source's"""
    augment: bool = False
    """whether training changes its samples at random; see :meth:`changed`"""
    pairs: bool = False
    """whether items ``2k`` and ``2k + 1`` belong together, and are changed alike"""

    @abstractmethod
    def __len__(self) -> int:
        """Items; endless sources say how many differ."""

    @abstractmethod
    def item(self, number: int) -> Item:
        """``image``, ``xray`` and ``label`` of one item."""

    @abstractmethod
    def named(self, number: int) -> tuple[Item, str]:
        """The same, with the video that it was made of."""

    @property
    def epoch(self) -> int:
        """Items that training calls a pass over the source: all, where it has an end."""
        return len(self)

    def changed(self, item: Item, rng: np.random.Generator) -> Item:
        """An item as training sees it where ``augment`` says so; see ``xray_train.augment``."""
        picture, xray = as_picture(item["image"]), item["xray"][0].numpy()
        picture, xray = jittered(picture, xray, draw_jitter(rng))
        return {
            "image": as_tensor(picture),
            "xray": torch.from_numpy(xray[np.newaxis]),
            "label": item["label"],
        }

    @abstractmethod
    def shuffled(self) -> bool:
        """Whether its items are to be taken in another order each time."""

    @abstractmethod
    def classes(self) -> set[int]:
        """Labels that its items can have."""


class Planned(Source):
    """Samples that are drawn where others are loaded, and can be rendered where they are used."""

    @abstractmethod
    def renders_on(self, training: torch.device) -> torch.device | None:
        """Where its batches are rendered in a run that trains on ``training``.

        None where they cannot be: its items are then loaded as any source's are, and a line of
        the log says why.
        """

    @abstractmethod
    def plan(self, numbers: Sequence[int], rngs: Sequence[np.random.Generator] | None) -> Any:
        """Draw the items that are named; touches no device, and what it gives pickles.

        Args:
            numbers: of the items.
            rngs: one an item, to draw from what :meth:`changed` would; None to change nothing.
        """

    @abstractmethod
    def render(self, plan: Any, device: torch.device) -> Item:
        """Render what was drawn: ``image``, ``xray`` and ``label`` of a batch, on the device."""


def as_tensor(picture: Image) -> UInt8[torch.Tensor, "3 height width"]:
    """A picture (H, W, 3) as networks take it, with memory of its own."""
    # a copy always: a bank's kept pixels are read-only
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def as_picture(image: UInt8[torch.Tensor, "3 height width"]) -> Image:
    """The way back: (H, W, 3), contiguous."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def without_xray(picture: Image, label: int) -> Item:
    """A picture (H, W, 3) that has no X-ray, and its label."""
    xray = torch.zeros(1, *picture.shape[:2], dtype=torch.uint8)
    return {"image": as_tensor(picture), "xray": xray, "label": torch.tensor(label)}


def positive(parts: int) -> int:
    """Parts of a mix, checked.

    Raises:
        BadArgument: there is none.
    """
    at_least(1, parts=parts)
    return parts
