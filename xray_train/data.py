"""Which items a step takes, and in which order: a batch is a function of (seed, step) alone.

A source hands out items by number. Which items step ``s`` takes is arithmetic, so a run that
was interrupted goes on with the batch that it would have had, and each of several processes
takes its own part of it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from faceblend.errors import BadArgument, FaceblendError
from xray_train.sources import Item, Planned, Source


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
            item = source.changed(item, self.rng(place))
        return {name: item[name] for name in ("image", "xray", "label")}

    def rng(self, place: Place) -> np.random.Generator:
        """What an item is changed by: its own for every time that it is given."""
        number = place.given
        if self._mix.sources[place.source].pairs:
            number //= 2
        key, counter = [self._mix.seed, 1], [0, 0, place.source, number]
        return np.random.Generator(np.random.Philox(key=key, counter=counter))


class Parts(NamedTuple):
    """A batch on its way: what was loaded of it, and what was drawn to be rendered."""

    items: Item | None
    loaded: list[int]
    """places in the batch of the items"""
    drawn: list[tuple[int, list[int], Any]]
    """number of a source, places in the batch of its samples, and its plan"""


class Halfway(Dataset[Parts]):
    """Whole batches, of which some sources' samples are drawn and the others' loaded.

    Args:
        mix: the sources.
        rendered: numbers of those whose samples are drawn.
    """

    def __init__(self, mix: Mix, rendered: Collection[int]) -> None:
        self._mix, self._rendered, self._items = mix, frozenset(rendered), Mixed(mix)

    def __getitem__(self, places: list[Place]) -> Parts:
        of: dict[int, list[int]] = {number: [] for number in sorted(self._rendered)}
        loaded = list[int]()
        for position, place in enumerate(places):
            of.get(place.source, loaded).append(position)
        items = default_collate([self._items[places[one]] for one in loaded]) if loaded else None
        drawn = [
            (number, positions, self._plan(number, [places[one] for one in positions]))
            for number, positions in of.items()
            if positions
        ]
        return Parts(items, loaded, drawn)

    def _plan(self, number: int, places: list[Place]) -> Any:
        source = self._mix.sources[number]
        assert isinstance(source, Planned)
        rngs = [self._items.rng(place) for place in places] if source.augment else None
        return source.plan([place.item for place in places], rngs)


class InOrder(Dataset[tuple[Item, str]]):
    """A source from its first item to its last, with videos: to evaluate on."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> tuple[Item, str]:
        item, video = self._source.named(number)
        return {name: item[name] for name in ("image", "xray", "label")}, video


def training_batches(
    batches: Batches, mix: Mix, workers: int, device: torch.device | None = None
) -> Iterator[Item]:
    """Load the batches of a run in order.

    Args:
        batches: what is taken.
        mix: the sources.
        workers: processes that load; 0 loads in this one.
        device: what trains; sources that can be rendered there are, a batch ahead. None for the
            CPU.

    Raises:
        FaceblendError: whatever a source says of an item, in any number of workers.
    """
    where = device or torch.device("cpu")
    on = {
        number: found
        for number, source in enumerate(mix.sources)
        if isinstance(source, Planned) and (found := source.renders_on(where)) is not None
    }
    taken: dict[str, Any] = {"collate_fn": _collated, "batch_sampler": batches}
    if on:  # a batch is an item then
        taken = {"collate_fn": _as_it_is, "batch_size": None, "sampler": batches}
    loader: DataLoader[Any] = DataLoader(
        _Caught(Halfway(mix, on) if on else Mixed(mix)),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # forked after CUDA or BLAS threads have begun, workers hang
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        generator=_own(),
        **taken,
    )
    return _ahead(_raised(loader), mix, on, where) if on else _raised(loader)


def _ahead(
    halfway: Iterator[Parts], mix: Mix, on: Mapping[int, torch.device], device: torch.device
) -> Iterator[Item]:
    """Render each batch while the network is busy with the one before."""
    stream: Any = None
    if device.type == "cuda":
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ready: tuple[Item, Any] | None = None
    for parts in halfway:
        try:
            with torch.cuda.stream(stream):  # None is where the network is
                made = _whole(parts, mix, on, device)
                done = None if stream is None else stream.record_event()
        except FaceblendError:
            if ready is not None:  # what was made before is whole
                yield _handed(*ready, device)
            raise
        if ready is not None:
            yield _handed(*ready, device)
        ready = made, done
    if ready is not None:
        yield _handed(*ready, device)


def _handed(batch: Item, done: Any, device: torch.device) -> Item:
    if done is not None:
        network = torch.cuda.current_stream(device)
        network.wait_event(done)
        for one in batch.values():
            one.record_stream(network)  # or its memory is given away while it is read
    return batch


def _whole(parts: Parts, mix: Mix, on: Mapping[int, torch.device], device: torch.device) -> Item:
    """The batch in its order, on the device."""
    made = list[tuple[list[int], Item]]()
    if parts.items is not None:
        made.append((parts.loaded, parts.items))
    for number, positions, plan in parts.drawn:
        source = mix.sources[number]
        assert isinstance(source, Planned)
        with torch.no_grad():
            made.append((positions, source.render(plan, on[number])))
    order = np.argsort([one for positions, _ in made for one in positions])
    sorted_already = len(made) == 1
    whole = {}
    for name in ("image", "xray", "label"):
        pieces = [item[name].to(device, non_blocking=True) for _, item in made]
        joined = pieces[0] if sorted_already else torch.cat(pieces)
        whole[name] = joined if sorted_already else joined[torch.from_numpy(order).to(device)]
    return whole


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


def _as_it_is(batch: Any) -> Any:
    return batch


def _raised(loader: DataLoader[Any]) -> Iterator[Any]:
    for batch in loader:
        if isinstance(batch, FaceblendError):
            raise batch
        yield batch


def _own() -> torch.Generator:
    # a loader draws its workers' seed: from torch's own generator, a resumed run would differ
    return torch.Generator().manual_seed(0)
