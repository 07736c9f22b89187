"""What every benchmark needs: the machine's name, one thread, processes, seconds, memory."""

import multiprocessing
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2

from faceblend import jobs
from faceblend.errors import BadArgument
from faceblend.sample import versions

T = TypeVar("T")

_SPINS = 25  # half a second


def machine(**more: Any) -> dict[str, Any]:
    """Processor, Python and the versions that decide a sample's bytes, and ``more``."""
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        **versions(),
        **more,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """As a worker of ``faceblend generate`` is set up: one thread, freed memory kept."""
    jobs.keep_memory()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, each set up as a worker of ``faceblend generate``."""
    # as the job does: forked BLAS threads hang
    context = multiprocessing.get_context("spawn")
    with (
        jobs.one_thread_each(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare) as pool,
    ):
        yield pool


def _prepare() -> None:
    cv2.setNumThreads(0)
    jobs.keep_memory()


def spin_rate(pool: Executor, workers: int) -> float:
    """Loops of plain arithmetic a second by a pool: what the machine gives to so many processes.

    Processors that are shared with others give two processes less than twice as much.
    """
    loops = _SPINS * workers
    return loops / timed(lambda: list(pool.map(_spin, range(loops))))[0]


def _spin(_: int) -> int:
    total = 0
    for number in range(300_000):  # some 20 ms
        total += number * number
    return total


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of what was measured side by side."""
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def peak_mib() -> float:
    """The most memory that this process had resident, pages of mapped files included, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # a spawned process's ru_maxrss starts at what its parent had
        told = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        if told is not None:
            return int(told[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds that some work took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def check_least(least: int, **values: int) -> None:
    """Refuse numbers under ``least``.

    Raises:
        BadArgument: the first of them.
    """
    for name, value in values.items():
        if value < least:
            raise BadArgument(name, f"is {value}", f"give {least} or more")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
