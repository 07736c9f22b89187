"""Idempotent tasks over any executor: bounded, retried, with progress, whatever breaks."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Generic, TypeVar

import rich.progress
from rich.console import Console

from faceblend.errors import BadArgument, FaceblendError, shown

T = TypeVar("T")
R = TypeVar("R")

_GIVEN_WINDOW = 256  # tasks in flight on an executor that tells nobody its size
_ATTEMPTS = 2  # deaths of its own pool before a task counts as what kills the worker
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T, R]):
    """What became of one task: a result, or the error that it ended with."""

    task: T
    """the task, as it was given"""
    result: R | None = None
    """what the work returned; None where it failed"""
    error: Exception | None = None
    """why there is no result; None where the work returned"""


def run(
    tasks: Sequence[T],
    work: Callable[[T], R],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    setup: Callable[..., None] | None = None,
    setup_args: tuple[object, ...] = (),
) -> Iterator[Outcome[T, R]]:
    """Do ``work`` on every task and yield each outcome as it finishes, in any order.

    A task may be done more than once (its worker died, an engine retried it), so doing it
    again must give the same. What ``work`` raises is an outcome and stops nothing. Leaving
    the iteration early, by Ctrl-C too, ends the workers at once; so does the end of this
    process, whatever ended it.

    Args:
        tasks: what to do; few are in flight at a time, so a million cost no memory.
        work: called with one task. Other processes get it pickled: a function of a module,
            or an object with ``__call__``.
        workers: processes; 1 works in this process. Beside an ``executor`` it is how many
            workers that is thought to have.
        executor: any ``concurrent.futures.Executor``; used as it is and never shut down.
        setup: called once in every process that works, before its first task.
        setup_args: what ``setup`` is called with.

    Raises:
        BadArgument: there are no workers, or a ``setup`` beside an executor, whose workers
            cannot be reached.
        FaceblendError: no worker process could start, or the given executor broke.
    """
    if workers < 1:
        raise BadArgument("workers", f"is {workers}", "give 1 or more")
    if executor is not None and setup is not None:
        raise BadArgument(
            "setup",
            "cannot reach the workers of a given executor",
            "prepare them where they start",
        )
    if executor is not None:
        return _over(executor, tasks, work, max(_GIVEN_WINDOW, 2 * workers))
    if workers == 1:
        return _inline(tasks, work, setup, setup_args)
    return _pooled(tasks, work, workers, _Setup(call=setup, arguments=setup_args))


def _inline(
    tasks: Sequence[T],
    work: Callable[[T], R],
    setup: Callable[..., None] | None,
    setup_args: tuple[object, ...],
) -> Iterator[Outcome[T, R]]:
    if setup is not None:
        setup(*setup_args)
    for task in tasks:
        try:
            result = work(task)
        except Exception as error:  # an outcome, whatever it is
            yield Outcome(task=task, error=error)
        else:
            yield Outcome(task=task, result=result)


def _over(
    executor: Executor, tasks: Sequence[T], work: Callable[[T], R], window: int
) -> Iterator[Outcome[T, R]]:
    def submit(task: T) -> Future[R]:
        return executor.submit(_do, work, task)

    lost = yield from _flown(iter(tasks), submit, window, cancel=True)
    if lost:
        raise FaceblendError(
            getattr(executor, "name", "the given executor"),
            f"broke with {len(lost)} tasks in flight",
            "start it again; the same call continues",
        )


def _pooled(
    tasks: Sequence[T], work: Callable[[T], R], workers: int, setup: "_Setup"
) -> Iterator[Outcome[T, R]]:
    pending = iter(tasks)
    while True:
        with _Pool(work, min(workers, len(tasks)) or 1, setup) as pool:
            lost = yield from _flown(pending, pool.submit, 2 * workers)
            if not lost:
                return
            pool.check_started()
        yield from _alone(lost, work, setup)


def _alone(tasks: list[T], work: Callable[[T], R], setup: "_Setup") -> Iterator[Outcome[T, R]]:
    # nobody knows which of them killed the worker: each gets a pool of one to prove itself
    queue, deaths = deque(tasks), 0
    while queue:
        with _Pool(work, 1, setup) as pool:
            while queue and not (yield from _flown(iter([queue[0]]), pool.submit, 1)):
                queue.popleft()
                deaths = 0
            if not queue:
                return
            pool.check_started()
        deaths += 1
        if deaths == _ATTEMPTS:
            yield Outcome(task=queue[0], error=_killer(queue[0]))
            queue.popleft()
            deaths = 0


def _flown(
    pending: Iterator[T], submit: Callable[[T], Future[R]], window: int, *, cancel: bool = False
) -> Generator[Outcome[T, R], None, list[T]]:
    """Yield outcomes with ``window`` tasks in flight; return those lost to a broken pool.

    A pool of our own is shut down as it is left, which cancels what waits. Cancelled here, a task
    makes Python 3.11's pool fail aloud when its workers end at the same moment.
    """
    flying: dict[Future[R], T] = {}
    lost: list[T] = []
    try:
        while True:
            for task in islice(pending, 0 if lost else window - len(flying)):
                try:
                    flying[submit(task)] = task
                except BrokenExecutor:
                    lost.append(task)
                    break
            if not flying:
                return lost
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                task = flying.pop(future)
                try:
                    outcome = Outcome(task=task, result=future.result())
                except BrokenExecutor:
                    lost.append(task)
                except Exception as error:  # an outcome, whatever it is
                    yield Outcome(task=task, error=error)
                else:
                    yield outcome
    finally:
        for future in flying if cancel else ():
            future.cancel()


def _killer(task: object) -> FaceblendError:
    return FaceblendError(
        f"task {str(task)[:80]}",
        f"the worker process died on it, {_ATTEMPTS} times with nothing else to do",
        "it may need more memory, or crash a library: one worker and this task alone will tell",
    )


# -- processes of our own --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Setup:
    call: Callable[..., None] | None
    arguments: tuple[object, ...]


class _Pool(Generic[T, R]):
    """Spawned processes on a line to this one: they say how they started, and hang on it.

    The line's end is the workers' end, so none outlives its parent, even a killed one.
    """

    def __init__(self, work: Callable[[T], R], workers: int, setup: _Setup) -> None:
        context = multiprocessing.get_context("spawn")  # forked BLAS and dlib threads hang
        self._work = work
        self._ours, self._theirs = context.Pipe()
        self._executor = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_prepare, initargs=(self._theirs, setup)
        )

    def submit(self, task: T) -> Future[R]:
        with one_thread_each(), _out_of_reach():
            return self._executor.submit(_do, self._work, task)

    def check_started(self) -> None:
        """Raise why no worker of a broken pool was ever ready, if none was."""
        told: list[Exception | None] = []
        while self._ours.poll():
            told.append(self._ours.recv())
        for error in told:
            if error is not None:
                raise error
        if not told:
            raise FaceblendError(
                "the worker processes",
                "ended before they could start",
                'put what a script does under `if __name__ == "__main__":`, or use one worker',
            )

    def __enter__(self) -> "_Pool[T, R]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._ours.close()  # nobody waits for what they are at
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._ours.close()
        self._theirs.close()


def keep_memory() -> None:
    """Let this process keep freed pictures for the next ones, where the C library is glibc.

    It gives every 300 kB back to the kernel, and takes it again page by page: measured, a fifth
    of a sample's time. For processes of our own alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def _prepare(line: Connection, setup: _Setup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them all; the parent decides
    threading.Thread(target=_hang_on, args=(line,), daemon=True).start()
    try:
        import cv2

        cv2.setNumThreads(0)
        keep_memory()
        if setup.call is not None:
            setup.call(*setup.arguments)
    except Exception as error:
        line.send(error)
        os._exit(1)  # the parent raises it; the pool's own traceback would say it twice
    line.send(None)


def _hang_on(line: Connection) -> None:
    try:
        line.recv_bytes()  # nobody sends any: it returns when the line is cut
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let the processes that are started meanwhile do their matrix products in one thread."""
    # a BLAS reads these once, while it is loaded: too early for anything but the environment
    added = {name: value for name, value in _ONE_THREAD.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _out_of_reach() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started meanwhile, until they ignore it themselves."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield  # here it waits
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do(work: Callable[[T], R], task: T) -> R:
    try:
        return work(task)
    except Exception as error:
        if _survives_pickling(error):
            raise
        # it would break the pool on its way out
        words = traceback.format_exception_only(error)[-1].strip()
        raise FaceblendError(f"task {str(task)[:80]}", words, "see what it did") from None


def _survives_pickling(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes of a moment ago
    except Exception:  # its constructor may refuse in any way
        return False
    return True


# -- progress --------------------------------------------------------------------------

_LINE_EVERY = 5.0  # s between two lines of a log, at least
_LINE_AFTER = 60.0  # s without a tenth more done, and a line comes all the same


class Progress:
    """How far a job has come; :func:`progress` makes one."""

    def __init__(
        self,
        label: str,
        total: int,
        unit: str,
        kept: int,
        console: Console,
        clock: Callable[[], float],
        bar: rich.progress.Progress | None,
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._kept = self._done = self._told = kept
        self._console, self._clock, self._bar = console, clock, bar
        self._started = self._told_at = clock()
        self._note = ""
        if bar is not None:
            self._task = bar.add_task(label, total=total, completed=kept, unit=unit, note="")

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more units as done."""
        self._done += n
        if self._bar is not None:
            self._bar.advance(self._task, n)
            return
        silent = self._clock() - self._told_at
        tenth_more = 10 * (self._done - self._told) >= self._total
        if silent >= _LINE_AFTER or (silent >= _LINE_EVERY and tenth_more):
            share = f"{self._done / max(1, self._total):.0%}"
            how_far = f"{self._done:,} of {self._total:,} {self._unit} ({share}), {self._rate()}"
            self._say(f"{how_far}, {self._note}" if self._note else how_far)

    def note(self, text: str) -> None:
        """Show ``text`` beside the bar, and at the end of a log's lines, until the next one."""
        self._note = text
        if self._bar is not None:
            self._bar.update(self._task, note=text)

    def warn(self, text: str) -> None:
        """Say ``text`` on a line of its own, above the bar."""
        self._print(f"{self._label}: {text}")

    def finish(self, *, stopped: bool) -> None:
        """Say how much was done, how long it took and how fast it went."""
        seconds = f"{self._clock() - self._started:.1f} s"
        if stopped:
            self._say(f"stopped at {self._done:,} of {self._total:,} {self._unit} after {seconds}")
            return
        kept = f" ({self._kept:,} of them from before)" if self._kept else ""
        self._say(f"{self._done:,} {self._unit}{kept} in {seconds}, {self._rate()}")

    def _say(self, text: str) -> None:
        self._print(f"{self._label}: {text}")
        self._told, self._told_at = self._done, self._clock()

    def _print(self, text: str) -> None:
        self._console.print(shown(text), markup=False, highlight=False, soft_wrap=True)

    def _rate(self) -> str:
        seconds = max(self._clock() - self._started, 1e-9)
        return f"{(self._done - self._kept) / seconds:,.3g} {self._unit}/s"


@contextmanager
def progress(
    label: str,
    *,
    total: int,
    unit: str,
    kept: int = 0,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Show how far a job has come: a bar on a terminal, some plain lines in a log.

    Args:
        label: the job.
        total: units there are to do.
        unit: what they are, in the plural.
        kept: units that an earlier run did; they count as done and not for the rate.
        console: where to; standard error if not given.
        clock: seconds that only grow.

    Yields:
        A :class:`Progress`: ``advance(n)`` counts, ``warn(text)`` prints above the bar.

    Example:
        >>> with progress("extract", total=2, unit="pictures") as report:
        ...     report.advance(2)
    """
    console = console if console is not None else Console(stderr=True)
    bar = _bar(console) if console.file.isatty() and not console.is_dumb_terminal else None
    report = Progress(label, total, unit, kept, console, clock, bar)
    if bar is not None:
        bar.start()
    stopped = True
    try:
        yield report
        stopped = False
    finally:
        if bar is not None:
            bar.stop()
        report.finish(stopped=stopped)


def _bar(console: Console) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[unit]}"),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
    )
