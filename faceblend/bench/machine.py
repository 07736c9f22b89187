"""What every benchmark needs: the machine's name, one thread, seconds."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2

from faceblend import jobs
from faceblend.errors import BadArgument
from faceblend.sample import versions

T = TypeVar("T")


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
