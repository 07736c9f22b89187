"""Does what a process needs grow? The line through the second half of the work."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faceblend.bench.watch import Process, Watched

GROWTH = 0.05
"""Share of its mean resident memory by which a flat process's line may rise or fall."""

LEAST = 10
"""Readings in the second half that a verdict needs."""

_NOISE = 4.0  # standard errors that chance does not reach
_PASSING = 0.1  # of the half's readings; what was there for less came and went


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a process's readings of the second half say; the first is for warming up."""

    name: str
    readings: int
    """of the second half"""
    rss_mib: float
    """mean resident memory"""
    mib_per_hour: float
    """slope of resident memory, least squares"""
    mib_per_100k: float | None
    """the same a 100,000 samples of the whole job; None where none was made meanwhile"""
    uss_mib_per_hour: float
    """slope of the memory that the process shares with no other"""
    bound_mib_per_hour: float
    """the slope from which on this run is not called flat"""
    flat_memory: bool
    files: tuple[int, int]
    """least and most open descriptors"""
    files_growth: float
    """rise of their line, least squares"""
    flat_files: bool
    threads: tuple[int, int]
    """least and most"""

    @property
    def flat(self) -> bool:
        """Neither memory nor descriptors grow."""
        return self.flat_memory and self.flat_files


def second_half(readings: Watched) -> tuple[float, float]:
    """From when to when verdicts are of, s: the later half of the time when samples came.

    Starting processes is no part of it, nor is ending them: the last reading that counts is the
    one before all was done.
    """
    done, seconds = np.array(readings.done), np.array(readings.seconds)
    first, last = int(np.argmax(done > 0)), max(0, int(np.argmax(done == done[-1])) - 1)
    return float(seconds[first] + seconds[last]) / 2, float(seconds[last])


def judged(readings: Watched) -> list[Verdict]:
    """A verdict of every process that was there for a tenth of the second half, or longer."""
    start, end = second_half(readings)
    taken = [sum(start <= at <= end for at in one.seconds) for one in readings.processes.values()]
    most = max(taken, default=0)
    # a worker that was started late has too few for a line, and says nothing against the others
    least = max(LEAST if most >= LEAST else 2, _PASSING * most)
    return [
        verdict(process, readings)
        for process, there in zip(readings.processes.values(), taken, strict=True)
        if there >= least
    ]


def verdict(process: Process, readings: Watched) -> Verdict:
    """Whether a process needed the same all through the second half of the work."""
    start, end = second_half(readings)
    seconds = np.array(process.seconds)
    there = (start <= seconds) & (seconds <= end)
    seconds = seconds[there]
    measures = {name: np.array(values)[there] for name, values in process.measures.items()}
    lasted = float(seconds[-1] - seconds[0])
    made = float(np.diff(np.interp(seconds[[0, -1]], readings.seconds, readings.done))[0])
    rss, files, threads = measures["rss"], measures["files"], measures["threads"]
    mean, slope = float(rss.mean()), line(seconds, rss)
    growth = line(seconds, files) * lasted
    return Verdict(
        name=process.name,
        readings=len(seconds),
        rss_mib=mean,
        mib_per_hour=slope * 3600,
        mib_per_100k=slope * lasted / made * 100_000 if made else None,
        uss_mib_per_hour=line(seconds, measures["uss"]) * 3600,
        bound_mib_per_hour=GROWTH * mean / lasted * 3600 if lasted else 0.0,
        flat_memory=len(seconds) >= LEAST and abs(slope) * lasted < GROWTH * mean,
        files=(int(files.min()), int(files.max())),
        files_growth=growth,
        flat_files=len(seconds) >= LEAST and not _gathers(seconds, files, growth),
        threads=(int(threads.min()), int(threads.max())),
    )


def line(seconds: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray) -> float:
    """Slope of the least-squares line, in the values' unit a second."""
    at = np.asarray(seconds) - np.mean(seconds)
    spread = float(at @ at)
    return float(at @ np.asarray(values)) / spread if spread else 0.0


def _gathers(seconds: np.ndarray, files: np.ndarray, growth: float) -> bool:
    """Descriptors are left open: their line rises beyond its noise, and so does their floor.

    A count swings while it does not grow, as files are opened, read and closed, and tensors pass
    from process to process as descriptors. One that is left open raises the least count as well.
    """
    at = seconds - seconds.mean()
    lasted = float(seconds[-1] - seconds[0])
    off = files - files.mean() - growth / lasted * at
    error = float(off.std() * lasted / np.sqrt(at @ at))
    early, late = np.array_split(files, 2)
    return growth >= max(1.0, _NOISE * error) and bool(late.min() > early.min())
