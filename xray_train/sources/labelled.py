"""Pictures of numbered people: what every such source shares, whatever folder it reads."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Int64, UInt8

from faceblend.errors import BadArgument, at_least
from faceblend.face import Image
from xray_train.sources.source import Item, Source, positive, without_xray

Part = Literal["all", "train", "held"]
By = Literal["person", "picture"]

_WIDER = 1.1  # times the size: what a random crop is taken from


class Labelled(Source):
    """Pictures of people, or of other classes, numbered from 0.

    ``label`` is a person's number. With ``augment``, training sees a random crop of nine tenths,
    mirrored half of the time; otherwise the crop is the middle one, of the whole height or width.

    Args:
        names: of each picture, who it is.
        size: side of the pictures that are given, px.
        parts: of the mix.
        augment: crop and mirror at random.
        part: ``train`` or ``held``, of those that ``by`` and ``every`` divide; ``all`` for all.
        by: hold out whole people, whom training never sees, or some pictures of each.
        every: the last of every so many people, or pictures of a person, is held out.

    Raises:
        BadArgument: an argument cannot be used, or fewer than two people are left.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        size: int,
        parts: int,
        augment: bool,
        part: Part,
        by: By,
        every: int,
    ) -> None:
        self.parts, self.augment = positive(parts), augment
        at_least(8, size=size)
        at_least(2, every=every)
        self.size = size
        self._rows, self.labels, self.people = _divided(names, part, by, every)
        if len(set(self.labels.tolist())) < 2:
            raise BadArgument(
                "part", f"{part!r} leaves {len(set(self.labels.tolist()))} people of "
                f"{len(set(names))}", "give two or more people: others, or another every",
            )  # fmt: skip

    labels: Int64[np.ndarray, " items"]
    """number of each item's person"""
    people: tuple[str, ...]
    """names of the people, by number"""

    @abstractmethod
    def picture(self, row: int, side: int) -> Image:
        """A picture that is nearest to what is wanted: whole, or cut to the face.

        Args:
            row: among all that there are, held out or not.
            side: px; of the square that it is going to be.
        """

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, number: int) -> Item:
        """The ``number``-th picture; with ``augment`` wider, for :meth:`changed` to cut."""
        return self._item(number, round(self.size * _WIDER) if self.augment else self.size)

    def named(self, number: int) -> tuple[Item, str]:
        """The same, never wider, with its person's name in the place of a video."""
        return self._item(number, self.size), self.people[int(self.labels[number])]

    def changed(self, item: Item, rng: np.random.Generator) -> Item:
        """A random crop of ``size``, mirrored half of the time; colours as they are."""
        spare = item["image"].shape[-1] - self.size
        top, left = (int(one) for one in rng.integers(0, spare + 1, 2))
        image = item["image"][:, top : top + self.size, left : left + self.size]
        if rng.random() < 0.5:
            image = image.flip(-1)
        return {
            "image": image.contiguous(),
            "xray": torch.zeros(1, self.size, self.size, dtype=torch.uint8),
            "label": item["label"],
        }

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """Numbers of the people in it."""
        return set(self.labels.tolist())

    def _item(self, number: int, side: int) -> Item:
        image = square(self.picture(int(self._rows[number]), side), side)
        return without_xray(image, int(self.labels[number]))


def square(image: Image, side: int) -> UInt8[np.ndarray, "edge edge 3"]:
    """The middle square of a picture, resized: by area where it shrinks.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: px.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    middle = np.ascontiguousarray(image[top : top + edge, left : left + edge])
    if edge == side:
        return middle
    how = cv2.INTER_AREA if edge > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=how))


def _divided(
    names: Sequence[str], part: Part, by: By, every: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Rows that are taken, their numbers, and the people by number."""
    people, number_of = np.unique(np.asarray(names), return_inverse=True)
    if by == "person":
        held = number_of % every == every - 1
    else:
        seen = np.zeros(len(people), np.int64)
        held = np.zeros(len(number_of), bool)
        for row, number in enumerate(number_of):
            held[row] = seen[number] % every == every - 1
            seen[number] += 1
    taken = np.ones(len(held), bool) if part == "all" else held == (part == "held")
    rows, labels = np.flatnonzero(taken), number_of[taken].astype(np.int64)
    if by == "person" and len(rows):
        # consecutive among those that are left: a class for each
        left, labels = np.unique(labels, return_inverse=True)
        people, labels = people[left], labels.astype(np.int64)
    return rows, labels, tuple(str(one) for one in people)
