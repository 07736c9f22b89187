"""The generator on one core: the whole, its steps, its floor, and the straightforward way."""

import cProfile
import inspect
import pstats
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faceblend import draw, partner
from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, one_thread, ratio
from faceblend.bench.reference import straightforward
from faceblend.ops import NAMED, degrade, geometry, mask, warp
from faceblend.ops import xray as xrays
from faceblend.recipe import Recipe
from faceblend.sample import sample

STEPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "read and decode crops": (FaceBank.__getitem__,),
    "search the partner": (partner.nearest, partner.nearest_of_all),
    "draw the numbers": (draw.draw,),
    "resize to the working size": (geometry.resize,),
    "mask": tuple(one.function for one in NAMED["mask"].values()),
    "deform the mask": (warp.bend, *(one.function for one in NAMED["warp"].values())),
    "erode, dilate": (mask.erode, mask.dilate),
    "soften the edge": (mask.feather, mask.blur, mask.two_stage),
    "place the foreground": (warp.place,),
    "match colours": tuple(one.function for one in NAMED["color"].values()),
    "blend": tuple(one.function for one in NAMED["blend"].values()),
    "degrade": tuple(one.function for one in NAMED["degrade"].values()),
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
    floor_per_second: float
    """median over the rounds of decoding both crops and the JPEG step alone"""
    floor_share: float
    """median over the rounds of library to floor, side by side"""
    reference_per_second: float | None
    """median over the rounds of the straightforward way, where it was asked for"""
    reference_ratio: float | None
    """median over the rounds of library to reference, side by side"""
    step_ms: dict[str, float]
    """mean milliseconds a sample of each step, measured in a profiled round of its own"""
    machine: dict[str, Any]
    """processor, Python and library versions"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_generate(
    bank: FaceBank,
    recipe: Recipe,
    *,
    count: int = 200,
    rounds: int = 5,
    fakes_only: bool = True,
    reference: int = 0,
) -> Bench:
    """Time ``sample`` on one core, storing nothing; all ways take turns, round by round.

    Args:
        bank: the faces; its files should be in the page cache, the warm-up sees to it.
        recipe: what is drawn.
        count: samples a round; every round makes other samples.
        rounds: timed rounds after one that is not counted.
        fakes_only: make every sample a fake, the dearer class.
        reference: fakes a round of the straightforward way; 0 leaves it out.

    Raises:
        BadArgument: there is nothing to time.
    """
    check_least(1, count=count, rounds=rounds)
    check_least(0, reference=reference)
    if fakes_only:
        recipe = replace(recipe, fake_share=1.0)
    rates, floors, slow = list[float](), list[float](), list[float]()
    with one_thread():
        for number in range(rounds + 1):
            rates.append(_rate(sample, bank, recipe, number, count))
            floors.append(_rate(_floor, bank, recipe, number, count))
            if reference:
                slow.append(_rate(straightforward, bank, recipe, number, reference))
        steps = _profiled(bank, recipe, count)
    rates, floors, slow = rates[1:], floors[1:], slow[1:]
    return Bench(
        samples_per_second=statistics.median(rates),
        rounds=rates,
        floor_per_second=statistics.median(floors),
        floor_share=ratio(rates, floors),
        reference_per_second=statistics.median(slow) if slow else None,
        reference_ratio=ratio(rates, slow) if slow else None,
        step_ms=steps,
        machine=machine(
            faces=len(bank),
            crop_format="decoded" if bank.decoded is not None else Path(bank.crop(0)).suffix,
            recipe=recipe.name,
            candidates=recipe.partner.candidates,
        ),
    )


def _floor(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> None:
    """What no generator can leave out: two crops decoded, and the recipe's JPEG step."""
    rng = draw.stream(seed, index, "floor")
    image = bank.image(int(bank.reals[rng.integers(len(bank.reals))]))
    bank.image(int(bank.reals[rng.integers(len(bank.reals))]))
    if rng.uniform() < recipe.jpeg.probability:
        degrade.jpeg(image, int(rng.integers(*recipe.jpeg.quality, endpoint=True)))


def _rate(
    make: Callable[[FaceBank, Recipe, int, int], Any],
    bank: FaceBank,
    recipe: Recipe,
    seed: int,
    count: int,
) -> float:
    start = time.perf_counter()
    for index in range(count):
        make(bank, recipe, seed, index)
    return count / (time.perf_counter() - start)


def _profiled(bank: FaceBank, recipe: Recipe, count: int) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.enable()
    _rate(sample, bank, recipe, 0, count)
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
