"""What is trained on, and in which order: a batch is a function of (seed, step) alone.

A source hands out items by number. Which items step ``s`` takes is arithmetic, so a run that
was interrupted goes on with the batch that it would have had, and each of several processes
takes its own part of it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from faceblend.torch import BlendedFaces, OnlineBlend
from xray_train.augment import draw_jitter, jittered

Item = dict[str, torch.Tensor]
"""``image`` (3, H, W) uint8 RGB, ``xray`` (1, H, W) uint8, ``label`` int64; in a batch with
another dimension before."""

WINDOW = (60, 30, 256)
"""Top, left and side, px, of what training sees of a crop of 317 px."""


class Source(ABC):
    """Samples by number."""

    parts: int
    """how many of the mix's parts are this source's"""
    augment: bool = False
    """whether training changes its samples at random; see ``augment``"""
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

    @abstractmethod
    def shuffled(self) -> bool:
        """Whether its items are to be taken in another order each time."""

    @abstractmethod
    def classes(self) -> set[int]:
        """Labels that its items can have."""


class Shards(Source):
    """A generated set on disk.

    Args:
        path: folder of the set.
        parts: of the mix.
        augment: training changes colours, size and place at random.
    """

    def __init__(self, path: str, parts: int = 1, augment: bool = False) -> None:
        self.parts, self.augment = _positive(parts), augment
        self._set = BlendedFaces(path)
        if not len(self._set):
            raise BadBank(path, "holds no sample", "generate some first")

    def __len__(self) -> int:
        return len(self._set)

    def item(self, number: int) -> Item:
        """The ``number``-th stored sample."""
        return self._set[number]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its background's video."""
        return self._set[number], _video(self._set.set[number].record)

    def shuffled(self) -> bool:
        """Yes: it is seen again and again."""
        return True

    def classes(self) -> set[int]:
        """As its manifest counts."""
        shards = self._set.set.manifest.shards
        fakes, stored = sum(one.fakes for one in shards), sum(one.stored for one in shards)
        return {label for label, count in ((0, stored - fakes), (1, fakes)) if count}


class Online(Source):
    """Samples blended while training, none of them twice.

    Args:
        bank: folder of the bank.
        recipe: a preset or a YAML file.
        seed: of the samples; another one than the validation's.
        length: samples that differ; validation takes that many.
        parts: of the mix.
        pairs: each blend is followed by its background, unblended but otherwise the same, so
            that nothing but the blending can be learned.
        augment: training changes colours, size and place at random.
    """

    def __init__(
        self,
        bank: str,
        recipe: str = "bi",
        seed: int = 0,
        length: int = 10_000_000,
        parts: int = 1,
        pairs: bool = False,
        augment: bool = False,
    ) -> None:
        self.parts, self.pairs, self.augment = _positive(parts), pairs, augment
        self._blend = OnlineBlend(bank, recipe, seed=seed, length=length, pairs=pairs)

    def __len__(self) -> int:
        return len(self._blend)

    def item(self, number: int) -> Item:
        """The ``number``-th sample of the seed."""
        return self._blend[number]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its background's video."""
        item, record = self._blend.with_record(number)
        return item, _video(record)

    def shuffled(self) -> bool:
        """No: every number is as random as the next."""
        return False

    def classes(self) -> set[int]:
        """As its recipe draws them."""
        if self.pairs:
            return {0, 1}
        share = self._blend.recipe.fake_share
        return {label for label, chance in ((0, 1 - share), (1, share)) if chance}


class Faces(Source):
    """The faces of a bank as they are, real and forged: to test on. They have no X-ray.

    Args:
        bank: folder of the bank.
        split: one split of it only; ``all`` for every face.
        parts: of the mix.
    """

    def __init__(self, bank: str, split: str = "all", parts: int = 1) -> None:
        self.parts = _positive(parts)
        self._bank = FaceBank.open(bank)
        names = self._bank.table["split"].to_pylist()
        self._rows = [row for row, name in enumerate(names) if split in ("all", name)]
        if not self._rows:
            raise BadBank(bank, f"holds no face of the split {split!r}", "give another split")

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, number: int) -> Item:
        """The ``number``-th face, cut to what training sees."""
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its video."""
        face = self._bank[self._rows[number]]
        image = window(face.image)
        item = {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "xray": torch.zeros(1, *image.shape[:2], dtype=torch.uint8),
            "label": torch.tensor(face.label),
        }
        return item, face.video

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """As its faces are labelled."""
        labels = self._bank.table["label"].to_numpy()
        return set(labels[self._rows].tolist())


def window(crop: np.ndarray) -> np.ndarray:
    """The part of a bank's crop that training sees: ``[60:316, 30:286]`` of 317 px.

    Raises:
        BadArgument: the crop is smaller.
    """
    top, left, side = WINDOW
    if min(crop.shape[:2]) < max(top, left) + side:
        raise BadArgument(
            "the bank",
            f"has crops of {crop.shape[1]}x{crop.shape[0]} px, and {max(top, left) + side} are "
            "needed",
            "extract it with --crop-size 317",
        )
    return crop[top : top + side, left : left + side]


# -- which items a step takes ------------------------------------------------------------


class Place(NamedTuple):
    """A sample of a run."""

    source: int
    item: int
    """its number in the source"""
    given: int
    """how many the source has given before"""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Several sources in whole-number parts.

    Sample ``t`` of a run belongs to the source that ``t`` modulo the sum of the parts names,
    so every batch has its share of each, and what a source has given so far is arithmetic.
    """

    sources: Sequence[Source]
    seed: int

    def __post_init__(self) -> None:
        if not self.sources:
            raise BadArgument("train", "names no source", "give shards or a bank")

    def at(self, sample: int) -> Place:
        """Where the ``sample``-th sample of the run is found."""
        pattern = self._pattern()
        turn, place = divmod(sample, len(pattern))
        source = pattern[place]
        given = turn * self.sources[source].parts + pattern[:place].count(source)
        return Place(source, self._item(source, given), given)

    def _pattern(self) -> list[int]:
        # spread evenly: each part stands at the middle of its share of the turn
        places = [
            ((part + 0.5) / source.parts, number)
            for number, source in enumerate(self.sources)
            for part in range(source.parts)
        ]
        return [number for _, number in sorted(places)]

    def _item(self, source: int, given: int) -> int:
        length = len(self.sources[source])
        epoch, place = divmod(given, length)
        if not self.sources[source].shuffled():
            return place
        return int(_order(self.seed, source, epoch, length)[place])


@lru_cache(maxsize=8)
def _order(seed: int, source: int, epoch: int, length: int) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=[seed, 0], counter=[0, 0, source, epoch]))
    return rng.permutation(length)


class Batches(Sampler[list[Place]]):
    """The items of every step from ``start`` to ``stop``, this process's part of each.

    Args:
        mix: the sources.
        batch: samples a step, over all processes and accumulated parts.
        start, stop: steps.
        rank, world: this process and how many there are.
        accumulate: how many parts a process takes a step in.

    Raises:
        BadArgument: the batch cannot be dealt out evenly.
    """

    def __init__(
        self,
        mix: Mix,
        batch: int,
        *,
        start: int,
        stop: int,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
    ) -> None:
        if batch < 1 or batch % (world * accumulate):
            raise BadArgument(
                "batch",
                f"is {batch}, for {world} processes that take it in {accumulate} parts",
                f"give a multiple of {world * accumulate}",
            )
        self._mix, self._batch, self._steps = mix, batch, range(start, stop)
        self._rank, self._world, self._accumulate = rank, world, accumulate

    def __len__(self) -> int:
        return len(self._steps) * self._accumulate

    def __iter__(self) -> Iterator[list[Place]]:
        for step in self._steps:
            # neighbours stay together: the halves of a pair cost one blend
            size = self._batch // (self._world * self._accumulate)
            first = step * self._batch + self._rank * self._accumulate * size
            for part in range(self._accumulate):
                start = first + part * size
                yield [self._mix.at(sample) for sample in range(start, start + size)]


class Mixed(Dataset[Item]):
    """The items that :class:`Batches` names, changed at random where their source says so."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix

    def __getitem__(self, place: Place) -> Item:
        source = self._mix.sources[place.source]
        item = source.item(place.item)
        if source.augment:
            number = place.given // 2 if source.pairs else place.given
            key, counter = [self._mix.seed, 1], [0, 0, place.source, number]
            item = _changed(item, np.random.Generator(np.random.Philox(key=key, counter=counter)))
        return {name: item[name] for name in ("image", "xray", "label")}


def _changed(item: Item, rng: np.random.Generator) -> Item:
    image, xray = item["image"].permute(1, 2, 0).numpy(), item["xray"][0].numpy()
    image, xray = jittered(np.ascontiguousarray(image), xray, draw_jitter(rng))
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "xray": torch.from_numpy(xray[np.newaxis]),
        "label": item["label"],
    }


class InOrder(Dataset[tuple[Item, str]]):
    """A source from its first item to its last, with videos: to evaluate on."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> tuple[Item, str]:
        item, video = self._source.named(number)
        return {name: item[name] for name in ("image", "xray", "label")}, video


def training_batches(batches: Batches, mix: Mix, workers: int) -> DataLoader[Item]:
    """Load the batches of a run in order."""
    return DataLoader(
        Mixed(mix),
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # forked after CUDA or BLAS threads have begun, workers hang
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        generator=_own(),
    )


def evaluation_batches(source: Source, batch: int, workers: int) -> DataLoader[tuple[Item, str]]:
    """Load a source in order, once."""
    return DataLoader(
        InOrder(source),
        batch_size=batch,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="spawn" if workers else None,
        generator=_own(),
    )


def _own() -> torch.Generator:
    # a loader draws its workers' seed: from torch's own generator, a resumed run would differ
    return torch.Generator().manual_seed(0)


def _video(record: str) -> str:
    return str(PurePosixPath(json.loads(record)["background"]).parent)


def _positive(parts: int) -> int:
    if parts < 1:
        raise BadArgument("parts", f"is {parts}", "give 1 or more")
    return parts
