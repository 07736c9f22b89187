"""Reading a set: in random order and in its own, pixels alone and whole samples."""

import os
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from faceblend.bench.machine import check_least, machine, one_thread, timed
from faceblend.draw import stream
from faceblend.errors import BadArgument
from faceblend.store import BlendSet


@dataclass(frozen=True, kw_only=True)
class ReadBench:
    """Figures of one benchmark, ready for JSON; medians over the rounds, page cache warm."""

    samples: int
    """of the set"""
    pixels_per_second: float
    """images with X-rays, in random order: what training reads"""
    in_order_per_second: float
    """the same from the first to the last"""
    whole_per_second: float
    """samples with landmarks and record, in random order"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_read(path: str | os.PathLike[str], *, count: int = 2000, rounds: int = 5) -> ReadBench:
    """Time reading a set on one core.

    Args:
        path: the set's folder.
        count: samples read a round; a smaller set is read again and again.
        rounds: timed, all ways in turn, after one that is not counted.

    Raises:
        BadArgument: there is nothing to time, or nothing to read.
        BadShard: a shard is missing or damaged.
    """
    check_least(1, count=count, rounds=rounds)
    with BlendSet(Path(path)) as blends, one_thread():
        if not len(blends):
            raise BadArgument("set", f"{path} holds no sample yet", "generate one first")
        order = stream(0, 0, "bench read").integers(len(blends), size=count).tolist()
        ways: tuple[tuple[Callable[[int], object], Sequence[int]], ...] = (
            (blends.pixels, order),
            (blends.pixels, [number % len(blends) for number in range(count)]),
            (blends.__getitem__, order),
        )
        spent: list[list[float]] = [[] for _ in ways]
        for _ in range(rounds + 1):
            for seconds, (read, wanted) in zip(spent, ways, strict=True):
                # nothing that was read is kept
                seconds.append(timed(partial(deque, map(read, wanted), 0))[0])
        rates = [count / statistics.median(seconds[1:]) for seconds in spent]
        return ReadBench(
            samples=len(blends),
            pixels_per_second=rates[0],
            in_order_per_second=rates[1],
            whole_per_second=rates[2],
            machine=machine(
                layout=blends.manifest.plan.layout,
                image_size=blends.manifest.plan.image_size,
                h5py=h5py.__version__,
            ),
        )
