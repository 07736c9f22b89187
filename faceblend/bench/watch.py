"""A job in a process of its own, watched from outside: memory, open files, threads, progress."""

import multiprocessing
import os
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faceblend.errors import BadArgument, FaceblendError

MEASURES = ("rss", "pss", "uss", "files", "threads")
"""What is read of a process: memory that is resident, its share of it where processes have pages
in common, and what it alone has, in MiB; open file descriptors; threads."""

_PROC = Path("/proc")
_RESIDENT = {b"Rss": ("rss",), b"Pss": ("pss",), b"Private_Clean": ("uss",)} | {
    b"Private_Dirty": ("uss",)
}


def _numbers() -> array:
    return array("d")  # packed: an hour of readings adds nothing that can be seen to the watcher


@dataclass(kw_only=True)
class Process:
    """Readings of one process."""

    pid: int
    name: str
    seconds: array = field(default_factory=_numbers)
    """when each reading was taken, s from the job's start"""
    measures: dict[str, array] = field(
        default_factory=lambda: {name: _numbers() for name in MEASURES}
    )


@dataclass(kw_only=True)
class Watched:
    """Readings of a job, of every process below it and of the watcher."""

    seconds: array = field(default_factory=_numbers)
    """s from the job's start"""
    done: array = field(default_factory=_numbers)
    """samples by then"""
    processes: dict[int, Process] = field(default_factory=dict)
    """by pid, as they appeared: the job's own, the watcher, then those that the job started"""


def watched(
    job: Callable[..., object],
    arguments: tuple[Any, ...],
    *,
    name: str,
    done: Callable[[], int],
    every: float = 1.0,
) -> Watched:
    """Call ``job(*arguments)`` in a new process and read what its processes need until it ends.

    Nothing is read from inside, so the job is as it is without a watcher.

    Args:
        job: a function of a module; it may start processes.
        arguments: for it; they are pickled, or are shared values of the context ``spawn``.
        name: what the job's own process is called.
        done: samples that are done by now.
        every: s between two readings.

    Raises:
        BadArgument: this system has no /proc with ``smaps_rollup``.
        FaceblendError: the job raised it, or ended otherwise.
    """
    check_system()
    context = multiprocessing.get_context("spawn")  # nothing of the watcher is in its memory
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(theirs, job, arguments))
    process.start()
    theirs.close()
    try:
        readings = _read_until_told(process.pid or 0, ours, name, done, every)
        error = _told(ours)
        process.join()
    finally:
        process.terminate()  # nothing where it has ended
        process.join()
        ours.close()
    if error is not None:
        raise error
    if process.exitcode:
        raise FaceblendError(
            name, f"ended with status {process.exitcode}", "see what it said, or run it alone"
        )
    return readings


def check_system() -> None:
    """Refuse a system whose processes cannot be read.

    Raises:
        BadArgument: it is not Linux, or older than 4.14.
    """
    if not sys.platform.startswith("linux") or not (_PROC / "self" / "smaps_rollup").exists():
        raise BadArgument(
            "bench load",
            f"reads /proc/PID/smaps_rollup, which {sys.platform} does not have here",
            "run it on Linux 4.14 or later",
        )


def _call(line: Connection, job: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    try:
        job(*arguments)
    except FaceblendError as error:
        line.send(error)
    else:
        line.send(None)


def _told(line: Connection) -> FaceblendError | None:
    try:
        error: FaceblendError | None = line.recv()
    except EOFError:
        return None  # it never came to the end: its exit status tells
    return error


def _read_until_told(
    root: int, line: Connection, name: str, done: Callable[[], int], every: float
) -> Watched:
    start = time.monotonic()
    readings = Watched()
    own = os.getpid()
    readings.processes = {
        root: Process(pid=root, name=name),
        own: Process(pid=own, name="the watcher"),
    }
    number = 0
    # a line that is cut, by a job that was killed, wakes it as well
    while not line.poll(max(0.0, start + number * every - time.monotonic())):
        now = time.monotonic() - start
        readings.seconds.append(now)
        readings.done.append(done())
        for pid in (own, *_family(root)):
            found = read_process(pid)
            if found is None:
                continue  # it has just ended
            if pid not in readings.processes:
                number_of = len(readings.processes) - 1
                readings.processes[pid] = Process(pid=pid, name=f"worker {number_of}")
            one = readings.processes[pid]
            one.seconds.append(now)
            for measure, value in found.items():
                one.measures[measure].append(value)
        # a reading that came late, on a machine that was busy, is not made up for
        number = max(number + 1, int((time.monotonic() - start) / every))
    return readings


def read_process(pid: int) -> dict[str, float] | None:
    """Every measure of a process by name; None where it has ended."""
    found = dict.fromkeys(MEASURES, 0.0)
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_bytes().splitlines()[1:]:
            label, _, rest = line.partition(b":")
            for measure in _RESIDENT.get(label, ()):
                found[measure] += int(rest.split()[0]) / 1024
        for measure, folder in (("files", "fd"), ("threads", "task")):
            found[measure] = float(sum(1 for _ in (_PROC / str(pid) / folder).iterdir()))
        if pid == os.getpid():
            found["files"] -= 1  # the folder that was just read
        # one on its way out is still there, without memory, and soon without files
        return found if found["rss"] and found["files"] else None
    return None


def _family(root: int) -> list[int]:
    """A process and all that come from it, by pid."""
    parents = dict[int, int]()
    for path in _PROC.iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # the name, in brackets, may hold spaces and brackets
                told = (path / "stat").read_text(errors="replace").rpartition(")")[2]
                parents[int(path.name)] = int(told.split()[1])
    family = {root}
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    return sorted(family)
