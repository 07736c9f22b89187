"""Many machines: the jobs' tasks on the workers of a Dask scheduler; extra ``cluster``."""

import pickle
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from faceblend import jobs
from faceblend.errors import BadArgument, FaceblendError
from faceblend.sample import versions

try:
    import distributed
except ImportError:  # only those who have a cluster need it
    distributed = None

_PATIENCE = 60.0  # s that a scheduler may be gone before the run gives up
_LOOK = 0.2  # s between two looks at a scheduler that is gone
_LONELY = 15.0  # s without a worker before that is told, and between two times
_LIBRARIES = ("av", "deflate", "dlib", "dlib-bin", "h5py", "pillow", "pyarrow")
_DEATHS = 2  # times that Dask calls a task what kills workers; each takes several of them


@dataclass(frozen=True, kw_only=True)
class _Task:
    payload: bytes
    mine: Future[Any]
    deaths: int = 0


@dataclass(frozen=True, kw_only=True)
class _Flight:
    theirs: Any
    """Dask's future"""
    fit: frozenset[str] | None
    """the workers that may have it; None: all, for none is known to be unfit"""


class Cluster(Executor):
    """The workers of a Dask scheduler as an executor for ``generate`` and ``extract``.

    Workers may come and go: Dask gives the tasks of a lost one to others. A scheduler that is
    started again at the same address gets all tasks again that it had not answered. Workers must
    have the versions of the libraries that this process has, or the bytes would be others; all
    must see the bank and the output at the same paths.

    Args:
        address: of the scheduler, such as ``tcp://node7:8786``; or a file that ``dask scheduler
            --scheduler-file`` has written.
        patience: seconds that the scheduler may be unreachable, at the start and later on.
        say: told what a user should know meanwhile; prints to standard error if not given.

    Raises:
        BadArgument: ``dask.distributed`` is not installed, or the address is none.
        FaceblendError: no scheduler answers, or a worker has other versions or no faceblend.
    """

    def __init__(
        self,
        address: str,
        *,
        patience: float = _PATIENCE,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if distributed is None:
            raise BadArgument(
                "cluster", "needs dask.distributed", "pip install 'faceblend[cluster]'"
            )
        self.name = f"the cluster at {address}"
        self._address, self._patience = address, patience
        self._say = say if say is not None else _print
        self._unfit: set[str] = set()
        self._flying: dict[Future[Any], _Flight] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._again: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._client = _connected(address, patience)
        try:
            self._check_workers()
        except BaseException:
            self._client.close()
            raise
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def workers(self) -> int:
        """Tasks that can run at a time, now."""
        return sum(self._client.nthreads().values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` on a worker. Its future breaks only if the scheduler stays away."""
        # in bytes, for the scheduler reads tasks too, and need not see the bank
        task = _Task(payload=pickle.dumps((fn, args, kwargs)), mine=Future())
        task.mine.set_running_or_notify_cancel()
        try:
            sent = self._send(task)
        except Exception:  # the scheduler is away, for now or for good
            sent = False
        if not sent:
            self._again.put(task)
        return task.mine

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what is still under way is dropped, and no worker is ended."""
        del wait, cancel_futures
        self._over.set()
        with self._lock:
            theirs = [flight.theirs for flight in self._flying.values()]
        if self._client.status == "running":
            self._client.cancel(theirs)
        self._client.close(timeout=5)

    def _send(self, task: _Task) -> bool:
        """Give a task to the scheduler, if anybody may have it."""
        fit = self._fit()
        if fit is not None and not fit:
            return False
        theirs = self._client.submit(
            _on_worker, task.payload, _installed(), pure=False, workers=fit and sorted(fit)
        )
        with self._lock:
            self._flying[task.mine] = _Flight(theirs=theirs, fit=fit)
        theirs.add_done_callback(lambda done: self._arrived(task, done))
        return True

    def _fit(self) -> frozenset[str] | None:
        return frozenset(self._client.nthreads()) - self._unfit if self._unfit else None

    def _arrived(self, task: _Task, theirs: Any) -> None:
        with self._lock:
            self._flying.pop(task.mine, None)
        if self._over.is_set():
            return
        if theirs.status not in ("finished", "error"):  # the scheduler went, and forgot it
            self._again.put(task)
            return
        try:
            error = theirs.exception()
            answer = theirs.result() if error is None else b""
        except Exception:  # it went between the answer and the reading of it
            self._again.put(task)
            return
        if error is not None:
            self._failed(task, error)
        else:
            task.mine.set_result(pickle.loads(answer))  # noqa: S301 - of our own workers

    def _failed(self, task: _Task, error: BaseException) -> None:
        if isinstance(error, distributed.KilledWorker):
            # whatever waits on a worker that dies counts as its killer: each gets another turn
            deaths = task.deaths + 1
            if deaths < _DEATHS:
                self._again.put(_Task(payload=task.payload, mine=task.mine, deaths=deaths))
                return
            error = FaceblendError(
                "the task",
                f"was lost with every worker that had it ({_words(error)})",
                "look into the workers' logs: it may need more memory, or crash a library",
            )
        if isinstance(error, _Unfit):
            if error.worker not in self._unfit:
                self._say(f"cluster: {error}: it gets no more tasks")
            self._unfit.add(error.worker)
            self._again.put(task)
            return
        task.mine.set_exception(error)

    def _keep(self) -> None:
        """Give tasks again that the scheduler has forgotten, once it is there."""
        told = time.monotonic()
        while not self._over.is_set():
            told = self._tell_lonely(told)
            try:
                task = self._again.get(timeout=1)
            except queue.Empty:
                self._free_pinned()
                continue
            while self._client.status not in ("running", "closed") and not self._over.is_set():
                time.sleep(_LOOK)
            try:
                if not self._send(task):
                    self._again.put(task)
                    time.sleep(_LOOK)
            except Exception as error:
                if self._client.status != "closed":
                    self._again.put(task)  # it went again, just now
                    time.sleep(_LOOK)
                    continue
                self._say(f"{self.name} did not come back in {self._patience:g} s")
                task.mine.set_exception(BrokenExecutor(_words(error)))

    def _tell_lonely(self, told: float) -> float:
        if time.monotonic() - told < _LONELY or (not self._flying and self._again.empty()):
            return told
        try:
            there = (
                frozenset(self._client.nthreads()) if self._client.status == "running" else None
            )
        except Exception:  # the scheduler is just going; the next look tells
            there = None
        if there is not None and not there - self._unfit:
            start = f"start some with `dask worker {self._address}`, or wait for the queue"
            kind = "workers of these versions" if there else "workers"
            self._say(f"{self.name} has no {kind}: {start}")
        return time.monotonic()

    def _free_pinned(self) -> None:
        # Dask has no list of workers to avoid: tasks name those that may have them, and those
        # may have gone since, or others come
        with self._lock:
            pinned = [one for one in self._flying.values() if one.fit is not None]
        if not pinned or self._client.status != "running":
            return
        try:
            fit = self._fit()
            stale = [one.theirs for one in pinned if one.fit != fit]
            if stale:
                self._client.cancel(stale, force=True)
        except Exception:  # the scheduler is just going, and forgets them by itself
            return

    def _check_workers(self) -> None:
        try:
            told: Mapping[str, Any] = self._client.run(_installed, on_error="return")
        except Exception as error:
            raise FaceblendError(
                self.name, f"has workers that do not answer ({_words(error)})", "start them again"
            ) from error
        for worker, theirs in told.items():
            if isinstance(theirs, BaseException):
                raise FaceblendError(
                    f"worker {worker}",
                    f"cannot run faceblend ({_words(theirs)})",
                    "install the same versions there",
                )
            if theirs != _installed():
                raise _unfit(worker, theirs, _installed())


class _Unfit(FaceblendError):
    """A worker that would make other bytes."""

    @property
    def worker(self) -> str:
        """Its address."""
        return self.where.removeprefix("worker ")


def _connected(address: str, patience: float) -> Any:
    file = Path(address)
    where = {"scheduler_file": address} if file.is_file() else {"address": address}
    if "://" not in address and not file.is_file():
        raise BadArgument(
            "cluster", f"is {address!r}", "give tcp://HOST:PORT or a scheduler's file"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its versions: ours are compared here
            return distributed.Client(
                **where, timeout=patience, set_as_default=False, name="faceblend"
            )
    # the last three are of a file that is none of a scheduler's
    except (OSError, ValueError, TimeoutError, AssertionError, KeyError, TypeError) as error:
        raise FaceblendError(
            address, f"is no scheduler that answers ({_words(error)})", "start `dask scheduler`"
        ) from error


def _on_worker(payload: bytes, expected: dict[str, Any]) -> bytes:
    _prepare()
    if _installed() != expected:
        raise _unfit(distributed.get_worker().address, _installed(), expected)
    fn, args, kwargs = pickle.loads(payload)  # noqa: S301 - of the run's own process
    return pickle.dumps(fn(*args, **kwargs))


@lru_cache(maxsize=1)
def _installed() -> dict[str, Any]:
    """The versions that decide the bytes of shards, crops and tables."""
    found: dict[str, Any] = dict(versions())
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@lru_cache(maxsize=1)  # once a process
def _prepare() -> None:
    import cv2

    cv2.setNumThreads(0)
    jobs.keep_memory()


def _unfit(worker: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> _Unfit:
    differing = [
        f"{name} {theirs.get(name)} where this run has {ours.get(name)}"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    return _Unfit(
        f"worker {worker}", f"has {', '.join(differing)}", "install the same versions there"
    )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
