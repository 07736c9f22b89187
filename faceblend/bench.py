"""Every speed claim as a command: warm-up, repeated rounds, medians, and the time of each step."""

import cProfile
import inspect
import platform
import pstats
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceblend import draw, partner
from faceblend.bank import FaceBank
from faceblend.ops import NAMED, degrade, geometry, mask, warp
from faceblend.ops import xray as xrays
from faceblend.recipe import Recipe
from faceblend.sample import sample, versions

STEPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "read and decode crops": (FaceBank.__getitem__,),
    "search the partner": (partner.nearest,),
    "draw the numbers": (draw.draw,),
    "resize to the working size": (geometry.resize,),
    "mask": tuple(NAMED["mask"].values()),
    "deform the mask": (warp.piecewise, warp.bend),
    "erode, dilate": (mask.erode, mask.dilate),
    "soften the edge": (mask.feather, mask.blur),
    "place the foreground": (warp.place,),
    "match colours": tuple(NAMED["color"].values()),
    "blend": tuple(NAMED["blend"].values()),
    "resample": (degrade.resample,),
    "JPEG": (degrade.jpeg,),
    "crop, flip": (geometry.crop, geometry.flip),
    "X-ray": (xrays.xray,),
}
"""What each line of the table times; a step's time includes what it calls."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Figures of one benchmark, ready for JSON."""

    samples_per_second: float
    """median over the rounds"""
    rounds: list[float]
    """samples a second of each round"""
    step_ms: dict[str, float]
    """mean milliseconds a sample of each step, measured in a profiled round of its own"""
    machine: dict[str, Any]
    """processor, Python and library versions"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_generate(
    bank: FaceBank, recipe: Recipe, *, count: int = 200, rounds: int = 5, fakes_only: bool = True
) -> Bench:
    """Time ``sample`` on one core, storing nothing.

    Args:
        bank: the faces; its files should be in the page cache, the warm-up sees to it.
        recipe: what is drawn.
        count: samples a round; every round makes other samples.
        rounds: timed rounds after one that is not counted.
        fakes_only: make every sample a fake, the dearer class.
    """
    if fakes_only:
        recipe = replace(recipe, fake_share=1.0)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rates = [_rate(bank, recipe, number, count) for number in range(rounds + 1)][1:]
        steps = _profiled(bank, recipe, count)
    finally:
        cv2.setNumThreads(threads)
    return Bench(
        samples_per_second=statistics.median(rates),
        rounds=rates,
        step_ms=steps,
        machine={
            "processor": _processor(),
            "python": platform.python_version(),
            **versions(),
            "faces": len(bank),
            "crop_format": Path(bank.crop(0)).suffix,
            "recipe": recipe.name,
            "candidates": recipe.partner.candidates,
        },
    )


def _rate(bank: FaceBank, recipe: Recipe, seed: int, count: int) -> float:
    start = time.perf_counter()
    for index in range(count):
        sample(bank, recipe, seed, index)
    return count / (time.perf_counter() - start)


def _profiled(bank: FaceBank, recipe: Recipe, count: int) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.enable()
    _rate(bank, recipe, 0, count)
    profile.disable()
    # functions by where their code starts: names alone are not unique
    stats = pstats.Stats(profile)
    spent = {place: row[3] for place, row in stats.stats.items()}  # type: ignore[attr-defined]
    steps = {name: _total(spent, functions) for name, functions in STEPS.items()}
    steps["draw the numbers"] -= steps["search the partner"]
    steps["record and the rest"] = _total(spent, (sample,)) - sum(steps.values())
    return {name: 1000 * seconds / count for name, seconds in steps.items()}


def _total(
    spent: Mapping[tuple[str, int, str], float], functions: tuple[Callable[..., Any], ...]
) -> float:
    codes = (inspect.unwrap(function).__code__ for function in functions)
    places = [(code.co_filename, code.co_firstlineno, code.co_name) for code in codes]
    return float(np.sum([spent.get(place, 0.0) for place in places]))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
