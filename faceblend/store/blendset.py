"""BlendSet: a generated set, read through its manifest."""

import operator
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from errno import EMFILE
from itertools import accumulate
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import UInt8

from faceblend.errors import BadArgument, BadShard
from faceblend.sample import Sample
from faceblend.store.cache import ShardCache
from faceblend.store.place import Folder, place_at
from faceblend.store.remote import Remote
from faceblend.store.shard import REMAKE, UNREADABLE, OpenShard, Stored

_OPEN_AT_MOST = 256  # files; Linux allows a process 1024 unless told otherwise


class BlendSet:
    """The samples of a set, in the order of their numbers.

    ``len(blends)`` counts the samples that are stored, ``blends[i]`` reads one and
    ``blends[-1]`` the last. Only shards that the manifest lists count: a set that is still
    being made opens with what is committed. Files are opened when they are first read, once
    a process: a set may be used after a fork and pickled to workers.

    Args:
        path: folder of the set, or its URL as fsspec knows it (``s3://bucket/set``).
        cache: of a set at a URL, folder for whole shards as they are read, which may be shared
            with other sets and processes; a private temporary one if not given, removed by
            :meth:`close`. It holds as much as was read, at most the set.

    Raises:
        BadShard: there is no readable manifest, or the set is a folder of PNGs.
        BadArgument: the URL cannot be reached, or there is a cache and no URL.

    Example:
        >>> with BlendSet("set") as blends:                             # doctest: +SKIP
        ...     blends[0].image.shape, blends.labels.mean()
        ((256, 256, 3), 0.5)
    """

    def __init__(
        self, path: str | os.PathLike[str], *, cache: str | os.PathLike[str] | None = None
    ) -> None:
        place = place_at(path)
        self.path: Path | str = place.path if isinstance(place, Folder) else str(place)
        if cache is not None and not isinstance(place, Remote):
            raise BadArgument("cache", f"is for URLs, and {path} is none", "leave it out")
        self.manifest = place.load()
        if self.manifest.plan.layout != "hdf5":
            raise BadShard(
                self.path,
                "is a set of PNG folders, which any program reads and this class does not",
                "read true/, fake/ and mask/, or generate it with the hdf5 layout",
            )
        self._cache: ShardCache | None = None
        if isinstance(place, Remote):
            self._cache = ShardCache(place, None if cache is None else Path(cache).resolve())
        # the number of samples up to the end of each shard
        self._ends = list(accumulate(entry.stored for entry in self.manifest.shards))
        self._most = _OPEN_AT_MOST
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._pid = os.getpid()

    @property
    def finished(self) -> bool:
        """Every shard of the set is committed."""
        return self.manifest.finished

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: SupportsIndex) -> Sample:
        """Read one sample.

        Its X-ray is the stored one divided by 255, its alpha None unless the set keeps it.

        Raises:
            IndexError: there are not so many samples.
            BadShard: its shard is missing or damaged; the error names it.
        """
        shard, row = self._place(position)
        return _sample(self._shard(shard).row(row))

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    def pixels(
        self, position: SupportsIndex
    ) -> tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "height width"], int, int]:
        """Image, stored X-ray, label and number of one sample: all that training reads.

        Raises:
            IndexError, BadShard: as for ``blends[position]``.
        """
        number, row = self._place(position)
        shard = self._shard(number)
        return *shard.pixels(row), int(shard.labels[row]), int(shard.indices[row])

    def images(self, rows: slice) -> UInt8[np.ndarray, "samples height width 3"]:
        """Images of a slice of positions, RGB, in one array."""
        size = self.manifest.plan.image_size
        return self._gather(rows, (size, size, 3), lambda shard: shard.images)

    def xrays(self, rows: slice) -> UInt8[np.ndarray, "samples height width"]:
        """X-rays of a slice of positions as stored, ``round(255 * B)``, in one array."""
        size = self.manifest.plan.image_size
        return self._gather(rows, (size, size), lambda shard: shard.xrays)

    @property
    def labels(self) -> UInt8[np.ndarray, " samples"]:
        """Label of every sample: 1 blended, 0 real. Reads all shards."""
        return self._gather(slice(None), (), lambda shard: shard.labels)

    def records(self) -> Iterator[str]:
        """Every sample's record, in order."""
        for number in range(len(self._ends)):
            yield from self._shard(number).records()

    def close(self) -> None:
        """Close the files that this process opened; the next read opens them again.

        A private cache is removed by the process that made it.
        """
        self._forget()
        if self._cache is not None:
            self._cache.close()

    def _forget(self) -> None:
        # files that came through a fork are the parent's to close
        if self._pid == os.getpid():
            for shard in self._open.values():
                shard.close()
        self._open = OrderedDict()
        self._pid = os.getpid()

    def __enter__(self) -> "BlendSet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def _place(self, position: SupportsIndex) -> tuple[int, int]:
        place = range(len(self))[operator.index(position)]
        shard = bisect_right(self._ends, place)
        return shard, place - (self._ends[shard - 1] if shard else 0)

    def _shard(self, number: int) -> OpenShard:
        if self._pid != os.getpid():
            self._forget()
        shard = self._open.get(number)
        if shard is None:
            self._close_but(min(_OPEN_AT_MOST, self._most) - 1)
            try:
                shard = self._opened(number)
            except BadShard as error:
                if getattr(error.__cause__, "errno", None) != EMFILE or not self._open:
                    raise
                # other sets and files of this process need theirs, too: half is kept from now on
                self._most = max(1, len(self._open) // 2)
                self._close_but(self._most - 1)
                shard = self._opened(number)
            self._open[number] = shard
        self._open.move_to_end(number)
        return shard

    def _opened(self, number: int) -> OpenShard:
        entry = self.manifest.shards[number]
        path = self._cache.fetched(entry) if self._cache else Path(self.path, entry.name)
        return OpenShard(path, entry, self.manifest.plan)

    def _close_but(self, most: int) -> None:
        while len(self._open) > most:
            self._open.popitem(last=False)[1].close()

    def _gather(
        self, rows: slice, shape: tuple[int, ...], dataset: Callable[[OpenShard], Any]
    ) -> np.ndarray:
        wanted = range(len(self))[rows]
        # HDF5 reads forwards only
        forwards = wanted if wanted.step > 0 else wanted[::-1]
        gathered = np.empty((len(wanted), *shape), np.uint8)
        done = 0
        while done < len(forwards):
            number, row = self._place(forwards[done])
            end = self._ends[number]
            here = len(range(forwards[done], min(end, forwards.stop), forwards.step))
            part = slice(row, row + (here - 1) * forwards.step + 1, forwards.step)
            shard = self._shard(number)
            try:
                gathered[done : done + here] = dataset(shard)[part]
            except UNREADABLE as error:
                raise BadShard(shard.path, f"cannot be read ({error})", REMAKE) from error
            done += here
        return gathered if wanted.step > 0 else gathered[::-1]


def _sample(stored: Stored) -> Sample:
    assert stored.landmarks is not None  # every HDF5 shard has them
    return Sample(
        index=stored.index,
        image=stored.image,
        xray=stored.xray_u8 / np.float32(255),
        alpha=stored.alpha,
        landmarks=stored.landmarks,
        label=stored.label,
        record=stored.record,
    )
