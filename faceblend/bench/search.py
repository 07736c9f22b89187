"""Partner search over landmarks like a bank's, as many as wanted, beside comparing every face."""

import statistics
import time
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from faceblend import jobs, search
from faceblend.bank import FaceBank
from faceblend.bench.machine import (
    check_least,
    machine,
    one_thread,
    peak_mib,
    processes,
    ratio,
    spin_rate,
    timed,
)
from faceblend.bench.madeup import FRAMES, TWIN, made_up
from faceblend.draw import stream
from faceblend.errors import BadArgument

_AT_ONCE = 512  # faces that are measured from many queries while the processor's cache has them
_TIMED = 25  # queries that a process takes at a time: few, so that all end together
_CHECKED = 50  # many, for each task reads all landmarks

Rows = list[int]


@dataclass(frozen=True, kw_only=True)
class SearchBench:
    """Figures of one benchmark, ready for JSON."""

    faces: int
    modes: int
    """ways in which the made-up faces vary, beside noise"""
    build_seconds: float
    """arranging all of them, once a bank"""
    exact_per_second: float
    """median over the rounds of queries for the nearest of all, faces of its video excluded"""
    workers: int
    all_per_second: float
    """the same by so many processes at once"""
    speedup: float
    """of all over one, side by side"""
    spin_speedup: float
    """the same of plain arithmetic: what the machine itself gives"""
    sampled_ms: float
    """median of the nearest of ``candidates`` random faces"""
    loop_ms: float
    """median of the same by comparing one candidate after the other, side by side"""
    candidates: int
    checked: int
    """queries that were compared with measuring every face"""
    equal: int
    """those that gave the same rows and distances"""
    tied: int
    """those of them whose nearest had equal distances"""
    check_seconds: float
    """measuring every face for them, all processes at once"""
    peak_mib: float
    """most resident memory of the process that arranged them, mapped landmarks included"""
    worker_peak_mib: float
    """the same of a process that searches: pages of mapped files count, and are shared"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_search(
    bank: FaceBank,
    *,
    faces: int = 1_000_000,
    candidates: int = 5000,
    queries: int = 1000,
    rounds: int = 5,
    checked: int = 1000,
    top: int = 5,
    workers: int = 2,
) -> SearchBench:
    """Time the nearest of all and of some: in one process, and in several that share files.

    Args:
        bank: whose landmarks the made-up ones are like, see ``madeup``.
        faces: how many.
        candidates: of a sampled search.
        queries: a round and process.
        rounds: timed, after one that is not counted.
        checked: queries to compare with measuring every face.
        top: neighbours of those.
        workers: processes that search at once.

    Raises:
        BadArgument: there is nothing to time, or the bank has too few faces to be like.
    """
    check_least(1, candidates=candidates, queries=queries, rounds=rounds, top=top, workers=workers)
    check_least(0, checked=checked)
    rng = stream(0, 0, "bench search")
    with TemporaryDirectory() as name, one_thread():
        folder = Path(name)
        modes = made_up(bank, faces, rng, folder / "landmarks.npy")
        landmarks = np.asarray(
            np.load(folder / "landmarks.npy", mmap_mode="r", allow_pickle=False)
        )
        build, index = timed(lambda: search.Index.build(landmarks, np.arange(faces)))
        index.save(folder / "index.npy")
        np.save(folder / "sums.npy", search.sums(landmarks))
        del index

        def rows(count: int) -> Rows:
            return [int(row) for row in rng.integers(faces, size=count)]

        one, every = list[float](), list[float]()
        spun, spun_all = list[float](), list[float]()
        sampled_ms, loop_ms, peaks = list[float](), list[float](), list[float]()
        with processes(workers) as pool, processes(1) as single:
            for number in range(rounds + 1):
                one.append(_rate(single, folder, rows(queries), []))
                every.append(_rate(pool, folder, rows(workers * queries), peaks))
                spun.append(spin_rate(single, 1))
                spun_all.append(spin_rate(pool, workers))
                sampled = partial(_sampled, folder, candidates, number)
                sampled_ms += single.map(sampled, [rows(queries)])
                loop_ms += single.map(partial(_loop, folder, candidates, number), [rows(4)])
            seconds, answers = timed(lambda: _check(pool, folder, rows(checked), top))
        return SearchBench(
            faces=faces,
            modes=modes,
            build_seconds=build,
            exact_per_second=statistics.median(one[1:]),
            workers=workers,
            all_per_second=statistics.median(every[1:]),
            speedup=ratio(every[1:], one[1:]),
            spin_speedup=ratio(spun_all, spun),
            sampled_ms=statistics.median(sampled_ms[1:]),
            loop_ms=statistics.median(loop_ms[1:]),
            candidates=candidates,
            checked=checked,
            equal=sum(equal for equal, _ in answers),
            tied=sum(equal and tied for equal, tied in answers),
            check_seconds=seconds,
            peak_mib=peak_mib(),
            worker_peak_mib=max(peaks),
            machine=machine(top=top, leaf=search.LEAF, frames=FRAMES, twin=TWIN),
        )


def measured(
    landmarks: np.ndarray, videos: np.ndarray, rows: Rows, top: int
) -> list[search.Found]:
    """The nearest faces of other videos, by measuring every face of all.

    One pass for all queries: a few faces at a time are measured from each.

    Args:
        landmarks: (faces, 68, 2) float32.
        videos: (faces,) numbers.
        rows: the queries.
        top: how many are wanted.

    Returns:
        For each query rows, nearest first, ties to the lower row, and distances.
    """
    best = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in rows]
    for start in range(0, len(landmarks), _AT_ONCE):
        block = landmarks[start : start + _AT_ONCE]
        for place, row in enumerate(rows):
            apart = search.distances(landmarks[row], block)
            kept, far = best[place]
            # a later face that is as far away as the last one kept has the higher row
            near = np.flatnonzero(apart < far[-1] if len(far) == top else apart < np.inf)
            near = near[videos[start + near] != videos[row]]
            if len(near):
                kept, far = np.append(kept, start + near), np.append(far, apart[near])
                order = np.argsort(far, kind="stable")[:top]
                best[place] = kept[order], far[order]
    return best


# -- in the processes ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Faces:
    landmarks: np.ndarray
    sums: np.ndarray
    videos: np.ndarray
    index: search.Index

    def nearest(self, row: int, top: int = 1) -> search.Found:
        def may(rows: np.ndarray) -> np.ndarray:
            return np.asarray(self.videos[rows] != self.videos[row])

        return self.index.nearest(self.landmarks[row], may, top)


@lru_cache(maxsize=1)
def _opened(folder: Path) -> _Faces:
    # mapped, and once a process
    landmarks = np.asarray(np.load(folder / "landmarks.npy", mmap_mode="r", allow_pickle=False))
    index = search.Index.load(folder / "index.npy", landmarks)
    if index is None:
        raise BadArgument(str(folder), "lost its index", "do not clean it meanwhile")
    sums = np.asarray(np.load(folder / "sums.npy", mmap_mode="r", allow_pickle=False))
    videos = np.arange(len(landmarks), dtype=np.int32) // FRAMES
    return _Faces(landmarks=landmarks, sums=sums, videos=videos, index=index)


def _exact(folder: Path, rows: Rows) -> float:
    """Find the nearest of all, and tell the most memory that the process had, MiB."""
    faces = _opened(folder)
    for row in rows:
        faces.nearest(row)
    return peak_mib()


def _sampled(folder: Path, candidates: int, number: int, rows: Rows) -> float:
    """Milliseconds for the nearest of random faces."""
    faces, rng = _opened(folder), stream(0, number, "bench sampled search")
    start = time.perf_counter()
    for row in rows:
        some = rng.integers(len(faces.landmarks), size=candidates)
        some = some[faces.videos[some] != faces.videos[row]]
        near = np.ascontiguousarray(faces.sums.take(some, axis=0).T)
        bound = search.bounds(faces.sums[row], near)
        search.nearest_of(faces.landmarks[row], faces.landmarks, some, bound, 1)
    return 1000 * (time.perf_counter() - start) / len(rows)


def _loop(folder: Path, candidates: int, number: int, rows: Rows) -> float:
    """Milliseconds for the same, one candidate after the other."""
    faces, rng = _opened(folder), stream(0, number, "bench search in a loop")
    start = time.perf_counter()
    for row in rows:
        here = faces.landmarks[row]
        best = np.inf
        for one in rng.integers(len(faces.landmarks), size=candidates):
            if faces.videos[one] != faces.videos[row]:
                apart = np.sqrt(((faces.landmarks[one] - here) ** 2).sum(axis=1)).sum()
                best = min(best, float(apart))
    return 1000 * (time.perf_counter() - start) / len(rows)


def _checked(folder: Path, top: int, rows: Rows) -> list[tuple[bool, bool]]:
    """Of each query, whether the index finds what measuring every face does, and ties."""
    faces = _opened(folder)
    truths = measured(faces.landmarks, faces.videos, rows, top)
    answers = [faces.nearest(row, top) for row in rows]
    return [
        (
            np.array_equal(answer[0], truth[0]) and np.array_equal(answer[1], truth[1]),
            len(np.unique(truth[1])) < len(truth[1]),
        )
        for answer, truth in zip(answers, truths, strict=True)
    ]


# -- and beside them -------------------------------------------------------------------


def _tasks(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _rate(pool: Executor, folder: Path, rows: Rows, peaks: list[float]) -> float:
    start = time.perf_counter()
    peaks += pool.map(partial(_exact, folder), _tasks(rows, _TIMED))
    return len(rows) / (time.perf_counter() - start)


def _check(pool: Executor, folder: Path, rows: Rows, top: int) -> list[tuple[bool, bool]]:
    answers = list[tuple[bool, bool]]()
    if not rows:
        return answers
    with jobs.progress("check", total=len(rows), unit="queries") as report:
        for task in pool.map(partial(_checked, folder, top), _tasks(rows, _CHECKED)):
            answers += task
            report.advance(len(task))
    return answers
