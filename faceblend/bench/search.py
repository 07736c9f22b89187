"""Partner search over landmarks like a bank's, as many as wanted, beside comparing every face."""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.random import Generator

from faceblend import search
from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, one_thread, timed
from faceblend.draw import stream
from faceblend.errors import BadArgument

FRAMES = 100
"""Faces a video of the made-up landmarks."""

_BLOCK = 16_384
_WITHIN = 0.2  # share of the variance that is inside a video
_NOISE = 0.5  # px, of the landmark detector
_KEPT = 0.99  # share of the variance that the modes keep


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
    sampled_ms: float
    """median of the nearest of ``candidates`` random faces"""
    loop_ms: float
    """median of the same by comparing one candidate after the other, side by side"""
    candidates: int
    checked: int
    """queries that were compared with measuring every face"""
    equal: int
    """those that gave the same rows and distances"""
    peak_mib: float
    """most resident memory of the process so far, mapped landmarks included"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_search(
    bank: FaceBank,
    *,
    faces: int = 1_000_000,
    candidates: int = 5000,
    queries: int = 500,
    rounds: int = 5,
    checked: int = 20,
    top: int = 5,
) -> SearchBench:
    """Time the nearest of all and of some, on one core.

    Args:
        bank: whose landmarks the made-up ones are like: its mean and main modes of
            variation, four fifths of the variance between videos of ``FRAMES`` faces, and half
            a pixel of noise.
        faces: how many.
        candidates: of a sampled search.
        queries: a round.
        rounds: timed, after one that is not counted.
        checked: queries to compare with measuring every face.
        top: neighbours of those.

    Raises:
        BadArgument: there is nothing to time, or the bank has too few faces to be like.
    """
    check_least(1, candidates=candidates, queries=queries, rounds=rounds, top=top)
    check_least(0, checked=checked)
    check_least(2 * FRAMES, faces=faces)
    if len(bank) < 8:
        raise BadArgument("bank", f"has {len(bank)} faces", "give one of 8 or more")
    rng = stream(0, 0, "bench search")
    with TemporaryDirectory() as folder, one_thread():
        modes, landmarks = _made_up(bank, faces, rng, Path(folder) / "landmarks.npy")
        build, index = timed(lambda: search.Index.build(landmarks, np.arange(faces)))
        sums = search.sums(landmarks)
        videos = np.arange(faces) // FRAMES

        def exact(row: int, top: int = 1) -> search.Found:
            return index.nearest(landmarks[row], lambda rows: videos[rows] != videos[row], top)

        def sampled(row: int) -> None:
            some = rng.integers(faces, size=candidates)
            some = some[videos[some] != videos[row]]
            near = np.ascontiguousarray(sums.take(some, axis=0).T)
            bound = search.bounds(sums[row], near)
            search.nearest_of(landmarks[row], landmarks, some, bound, 1)

        def loop(row: int) -> None:
            here = landmarks[row]
            best = np.inf
            for one in rng.integers(faces, size=candidates):
                if videos[one] != videos[row]:
                    best = min(best, np.sqrt(((landmarks[one] - here) ** 2).sum(axis=1)).sum())

        def rows(count: int) -> list[int]:
            return [int(row) for row in rng.integers(faces, size=count)]

        rates, sampled_ms, loop_ms = list[float](), list[float](), list[float]()
        for _ in range(rounds + 1):
            rates.append(1 / _each(exact, rows(queries)))
            sampled_ms.append(1000 * _each(sampled, rows(queries)))
            loop_ms.append(1000 * _each(loop, rows(4)))
        equal = sum(_same(exact(row, top), landmarks, videos, row, top) for row in rows(checked))
        return SearchBench(
            faces=faces,
            modes=modes,
            build_seconds=build,
            exact_per_second=statistics.median(rates[1:]),
            sampled_ms=statistics.median(sampled_ms[1:]),
            loop_ms=statistics.median(loop_ms[1:]),
            candidates=candidates,
            checked=checked,
            equal=equal,
            peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            machine=machine(top=top, leaf=search.LEAF),
        )


def _made_up(bank: FaceBank, faces: int, rng: Generator, path: Path) -> tuple[int, np.ndarray]:
    """Landmarks with the mean and the modes of a bank's, in a mapped file."""
    points = np.asarray(bank.landmarks, np.float64).reshape(len(bank), 136)
    mean = points.mean(axis=0)
    _, spread, ways = np.linalg.svd(points - mean, full_matrices=False)
    share = np.cumsum(spread**2) / (spread**2).sum()
    modes = int(np.searchsorted(share, _KEPT)) + 1
    ways = ways[:modes] * (spread[:modes, np.newaxis] / np.sqrt(len(bank)))
    videos = rng.standard_normal((faces // FRAMES + 1, modes)) * np.sqrt(1 - _WITHIN)
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (faces, 68, 2))
    for start in range(0, faces, _BLOCK):
        number = np.arange(start, min(start + _BLOCK, faces))
        weights = videos[number // FRAMES]
        weights = weights + rng.standard_normal(weights.shape) * np.sqrt(_WITHIN)
        block = mean + weights @ ways + _NOISE * rng.standard_normal((len(number), 136))
        mapped[number] = block.reshape(-1, 68, 2)
    mapped.flush()
    del mapped
    return modes, np.load(path, mmap_mode="r")


def _each(work: Callable[[int], object], rows: list[int]) -> float:
    start = time.perf_counter()
    for row in rows:
        work(row)
    return (time.perf_counter() - start) / len(rows)


def _same(
    found: search.Found, landmarks: np.ndarray, videos: np.ndarray, row: int, top: int
) -> bool:
    apart = np.empty(len(landmarks), np.float32)
    for start in range(0, len(landmarks), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart[block] = search.distances(landmarks[row], landmarks[block])
    apart[videos == videos[row]] = np.inf
    best = np.argsort(apart, kind="stable")[:top]
    return np.array_equal(found[0], best) and np.array_equal(found[1], apart[best])
