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
_DEATHS = 2  # times that Dask calls a task what kills workers; each takes several of them


@dataclass(frozen=True, kw_only=True)
class _Task:
    payload: bytes
    mine: Future[Any]
    deaths: int = 0


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
        FaceblendError: no scheduler answers, or a worker has other versions.
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
        self._flying: dict[Future[Any], Any] = {}
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
        self._send(task)
        return task.mine

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what is still under way is dropped, and no worker is ended."""
        del wait, cancel_futures
        self._over.set()
        with self._lock:
            theirs = list(self._flying.values())
        if self._client.status == "running":
            self._client.cancel(theirs)
        self._client.close(timeout=5)

    def _send(self, task: _Task) -> None:
        where = None if not self._unfit else sorted(set(self._client.nthreads()) - self._unfit)
        if where is not None and not where:
            task.mine.set_exception(BrokenExecutor("every worker has other versions"))
            return
        theirs = self._client.submit(
            _on_worker, task.payload, versions(), pure=False, workers=where
        )
        with self._lock:
            self._flying[task.mine] = theirs
        theirs.add_done_callback(lambda done: self._arrived(task, done))

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
            try:
                task = self._again.get(timeout=1)
            except queue.Empty:
                told = self._tell_lonely(told)
                continue
            while self._client.status not in ("running", "closed") and not self._over.is_set():
                time.sleep(_LOOK)
            try:
                self._send(task)
            except Exception as error:
                if self._client.status != "closed":
                    self._again.put(task)  # it went again, just now
                    time.sleep(_LOOK)
                    continue
                self._say(f"{self.name} did not come back in {self._patience:g} s")
                task.mine.set_exception(BrokenExecutor(_words(error)))

    def _tell_lonely(self, told: float) -> float:
        if time.monotonic() - told < _LONELY or not self._flying:
            return told
        try:
            lonely = self._client.status == "running" and not self._client.nthreads()
        except Exception:  # the scheduler is just going; the next look tells
            lonely = False
        if lonely:
            start = f"start some with `dask worker {self._address}`, or wait for the queue"
            self._say(f"{self.name} has no workers: {start}")
        return time.monotonic()

    def _check_workers(self) -> None:
        told: Mapping[str, Any] = self._client.run(versions)
        for worker, theirs in told.items():
            if theirs != versions():
                raise _unfit(worker, theirs, versions())


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
    except (OSError, ValueError, TimeoutError) as error:
        raise FaceblendError(
            address, f"is no scheduler that answers ({_words(error)})", "start `dask scheduler`"
        ) from error


def _on_worker(payload: bytes, expected: dict[str, Any]) -> bytes:
    _prepare()
    if versions() != expected:
        raise _unfit(distributed.get_worker().address, versions(), expected)
    fn, args, kwargs = pickle.loads(payload)  # noqa: S301 - of the run's own process
    return pickle.dumps(fn(*args, **kwargs))


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
