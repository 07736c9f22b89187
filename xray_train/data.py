"""Which items a step takes, and in which order: a batch is a function of (seed, step) alone.

A source hands out items by number. Which items step ``s`` takes is arithmetic, so a run that
was interrupted goes on with the batch that it would have had, and each of several processes
takes its own part of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from faceblend.errors import BadArgument, FaceblendError
from xray_train.sources import Item, Source


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

    @property
    def epoch(self) -> int:
        """Samples that make a pass over the sources."""
        return sum(source.epoch for source in self.sources)

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
            rng = np.random.Generator(np.random.Philox(key=key, counter=counter))
            item = source.changed(item, rng)
        return {name: item[name] for name in ("image", "xray", "label")}


class InOrder(Dataset[tuple[Item, str]]):
    """A source from its first item to its last, with videos: to evaluate on."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> tuple[Item, str]:
        item, video = self._source.named(number)
        return {name: item[name] for name in ("image", "xray", "label")}, video


def training_batches(batches: Batches, mix: Mix, workers: int) -> Iterator[Item]:
    """Load the batches of a run in order.

    Raises:
        FaceblendError: whatever a source says of an item, in any number of workers.
    """
    loader: DataLoader[Any] = DataLoader(
        _Caught(Mixed(mix)),
        collate_fn=_collated,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # forked after CUDA or BLAS threads have begun, workers hang
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        generator=_own(),
    )
    return _raised(loader)


def evaluation_batches(
    source: Source, batch: int, workers: int
) -> Iterator[tuple[Item, Sequence[str]]]:
    """Load a source in order, once: items, and the video of each.

    Raises:
        FaceblendError: whatever the source says of an item, in any number of workers.
    """
    loader: DataLoader[Any] = DataLoader(
        _Caught(InOrder(source)),
        collate_fn=_collated,
        batch_size=batch,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="spawn" if workers else None,
        generator=_own(),
    )
    return _raised(loader)


class _Caught(Dataset[Any]):
    """Another one, whose errors come as items: torch would make tracebacks of a worker's."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, place: Any) -> Any:
        try:
            return self._of[place]
        except FaceblendError as error:
            return error


def _collated(items: list[Any]) -> Any:
    for one in items:
        if isinstance(one, FaceblendError):
            return one
    return default_collate(items)


def _raised(loader: DataLoader[Any]) -> Iterator[Any]:
    for batch in loader:
        if isinstance(batch, FaceblendError):
            raise batch
        yield batch


def _own() -> torch.Generator:
    # a loader draws its workers' seed: from torch's own generator, a resumed run would differ
    return torch.Generator().manual_seed(0)
