"""What was drawn: every random number of a sample, as data. The only file that draws.

Each operation has a stream of its own, named by the seed, the sample's index and the
operation: a new draw in one operation leaves the numbers of all others where they were.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from faceblend import partner
from faceblend.bank import FaceBank
from faceblend.errors import BadRecipe, Rejected
from faceblend.ops import NAMED
from faceblend.recipe import (
    WIDEST,
    WIDEST_SQUARE,
    Crop,
    Deform,
    Flip,
    Jpeg,
    Morph,
    Partner,
    Recipe,
    Resample,
    Soften,
    Working,
)

Generator = np.random.Generator
Streams = Callable[[str], Generator]

_DECIMALS = 6  # drawn numbers are rounded before use, so that records stay short


@dataclass(frozen=True, kw_only=True)
class MaskDraw:
    """The region that is swapped and its edge."""

    kind: str
    """name in ``ops.NAMED["mask"]``"""
    offsets: list[list[list[float]]] | None
    """rows x columns x (dx, dy), share of the picture's side; None: not bent"""
    erode: int
    """px, odd; 1 leaves the mask as it is"""
    dilate: int
    """px, odd; 1 leaves the mask as it is"""
    soften: Literal["feather", "blur"]
    """how the edge is softened"""
    width: float
    """feather: share of the longer side of the mask's box; blur: sigma, share of the side"""
    of_hull: bool
    """the feather is measured from the mask's convex hull"""


@dataclass(frozen=True, kw_only=True)
class FakeDraw:
    """What makes a sample a fake."""

    foreground: int
    """row of the partner"""
    align: Literal["none", "similarity", "affine"]
    mask: MaskDraw
    color: str
    """name in ``ops.NAMED["color"]``"""
    blend: str
    """name in ``ops.NAMED["blend"]``"""
    min_area: float
    """least share of the sample where the foreground outweighs the background"""


@dataclass(frozen=True, kw_only=True)
class ResampleDraw:
    """One way down and back up."""

    size: int
    """side of the small picture, px"""
    down: Literal["nearest", "bilinear"]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """All that ``render`` needs beside the two faces."""

    background: int
    """row of the face whose picture stays"""
    working_size: int | None
    """side at which pictures are blended, px; None: the crop's own"""
    fake: FakeDraw | None
    """None makes the sample a real one"""
    resample: ResampleDraw | None
    jpeg: int | None
    """quality; None: not compressed"""
    crop: Crop
    flip_horizontal: bool
    flip_vertical: bool


def stream(seed: int, index: int, name: str, attempt: int = 0) -> Generator:
    """Random numbers for one operation of one sample.

    Args:
        seed: the run's, 0 to 2**64 - 1.
        index: the sample's, 0 to 2**64 - 1.
        name: the operation's.
        attempt: how often the sample was drawn before and found degenerate.

    Returns:
        A generator that shares no number with another seed, index, name or attempt.
    """
    key = np.array([seed, index], np.uint64)
    counter = np.array([0, 0, attempt, _lane(name)], np.uint64)
    return Generator(np.random.Philox(key=key, counter=counter))


class _OneStream(threading.local):
    """:func:`stream`, one at a time: asking for the next ends the one before.

    Setting a generator back takes a tenth of the time that making one does, so each thread
    keeps one; nothing of what it drew for one sample reaches the next.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(key=0)
        self._generator = Generator(self._bits)
        self._state: Any = self._bits.state
        self._counter, self._key = self._state["state"]["counter"], self._state["state"]["key"]

    def of(self, seed: int, index: int) -> None:
        """Start with another sample, its first attempt."""
        self._key[:] = seed, index
        self._counter[:] = 0

    def again(self, attempt: int) -> None:
        """Name the attempt from here on."""
        self._counter[2] = attempt

    def __call__(self, name: str) -> Generator:
        self._counter[3] = _lane(name)
        self._bits.state = self._state
        return self._generator


_STREAMS = _OneStream()


def legacy(seed: int) -> np.random.RandomState:
    """numpy's old generator, for splits that were published by a seed of it."""
    return np.random.RandomState(seed)


def draw(bank: FaceBank, recipe: Recipe, seed: int, index: int, attempt: int = 0) -> Draw:
    """Draw one sample's numbers; a pure function of its arguments.

    Whether the sample is a fake does not depend on ``attempt``, so redrawing a degenerate
    mask does not turn fakes into reals.

    Raises:
        Rejected: none of the drawn candidates may lend a face to the background.
    """
    rng = _STREAMS
    rng.of(seed, index)
    is_fake = bool(rng("label").random() < recipe.fake_share)
    rng.again(attempt)
    background = int(bank.reals[rng("background").integers(len(bank.reals))])
    fake = None
    if is_fake:
        fake = FakeDraw(
            foreground=_draw_partner(recipe.partner, bank, background, rng("partner")),
            align=recipe.align,
            mask=_draw_mask(recipe, rng),
            color=_pick(recipe.color, rng("color")),
            blend=_pick(recipe.blend, rng("blend")),
            min_area=recipe.reject.min_area,
        )
    horizontal, vertical = _draw_flip(recipe.flip, rng("flip"))
    return Draw(
        background=background,
        working_size=_draw_working(recipe.working, is_fake, rng("working")),
        fake=fake,
        resample=_draw_resample(recipe.resample, rng("resample")),
        jpeg=_draw_jpeg(recipe.jpeg, rng("jpeg")),
        crop=recipe.crop,
        flip_horizontal=horizontal,
        flip_vertical=vertical,
    )


def check(drawn: Draw, bank: FaceBank) -> None:
    """Refuse numbers that no recipe draws: a damaged record could exhaust the machine.

    Raises:
        BadRecipe: it names the first of them.
    """
    for name, holds in _claims(drawn, bank):
        if not holds:
            raise BadRecipe(
                "record", f"has a {name} that no recipe draws", "give a sample's own record"
            )


def _claims(drawn: Draw, bank: FaceBank) -> Iterator[tuple[str, bool]]:
    window = drawn.crop
    yield "background", 0 <= drawn.background < len(bank)
    yield "working_size", drawn.working_size is None or 8 <= drawn.working_size <= WIDEST
    yield "resample.size", drawn.resample is None or 1 <= drawn.resample.size <= WIDEST
    yield "jpeg", drawn.jpeg is None or 1 <= drawn.jpeg <= 100
    yield "crop", max(window.top, window.left) + window.size <= bank.crop_size
    if drawn.fake is None:
        return
    region = drawn.fake.mask
    yield "foreground", 0 <= drawn.fake.foreground < len(bank)
    yield "mask.kind", region.kind in NAMED["mask"]
    yield "mask.offsets", region.offsets is None or _is_grid(region.offsets)
    for name, width in (("mask.erode", region.erode), ("mask.dilate", region.dilate)):
        yield name, width % 2 == 1 and 1 <= width <= WIDEST_SQUARE
    yield "mask.width", 0 <= region.width <= 2
    yield "color", drawn.fake.color in NAMED["color"]
    yield "blend", drawn.fake.blend in NAMED["blend"]


def _is_grid(offsets: list[list[list[float]]]) -> bool:
    columns = len(offsets[0]) if offsets else 0
    return (
        2 <= len(offsets) <= 64
        and 2 <= columns <= 64
        and all(len(row) == columns for row in offsets)
        and all(len(move) == 2 and np.isfinite(move).all() for row in offsets for move in row)
    )


def _draw_partner(may: Partner, bank: FaceBank, background: int, rng: Generator) -> int:
    if may.search == "sampled":
        candidates = bank.reals.take(rng.integers(len(bank.reals), size=may.candidates))
        near = partner.nearest(bank, background, candidates, may.top)
    else:
        near = partner.nearest_of_all(bank, background, may.top)
    if not len(near):
        raise Rejected(
            f"{bank.root}, face {bank.crop(background)}",
            "no drawn candidate may lend it a face (other video, other person, same split)",
            "raise partner.candidates, or use partner.search: exact",
        )
    return int(near[rng.integers(len(near))])


def _draw_mask(recipe: Recipe, rng: Streams) -> MaskDraw:
    erode, dilate = _draw_morph(recipe.morph, rng("morph"))
    soften, width = _draw_soften(recipe.soften, rng("soften"))
    return MaskDraw(
        kind=_pick(recipe.mask, rng("mask")),
        offsets=_draw_deform(recipe.deform, rng("deform")),
        erode=erode,
        dilate=dilate,
        soften=soften,
        width=width,
        of_hull=recipe.soften.of_hull,
    )


def _draw_deform(may: Deform, rng: Generator) -> list[list[list[float]]] | None:
    if rng.random() >= may.probability:
        return None
    rows = _between(may.rows, rng)
    columns = _between(may.columns, rng)
    strength = rng.uniform(*may.strength)
    offsets = rng.normal(0.0, strength, (rows, columns, 2)).round(_DECIMALS)
    nested: list[list[list[float]]] = offsets.tolist()
    return nested


def _draw_morph(may: Morph, rng: Generator) -> tuple[int, int]:
    if rng.random() < may.erode_probability:
        return _odd(_between(may.erode, rng)), 1
    return 1, _odd(_between(may.dilate, rng))


def _draw_soften(may: Soften, rng: Generator) -> tuple[Literal["feather", "blur"], float]:
    if _pick(may.kinds, rng) == "feather":
        return "feather", _uniform(may.feather, rng)
    return "blur", _uniform(may.blur, rng)


def _draw_working(may: Working, is_fake: bool, rng: Generator) -> int | None:
    # drawn for reals too, so that both classes see one distribution of sizes
    chosen = rng.random() < may.probability
    size = _between(may.size, rng)
    return size if chosen and (is_fake or may.reals) else None


def _draw_resample(may: Resample, rng: Generator) -> ResampleDraw | None:
    if rng.random() >= may.probability:
        return None
    size = _between(may.size, rng)
    nearest = _pick(may.down, rng) == "nearest"
    return ResampleDraw(size=size, down="nearest" if nearest else "bilinear")


def _draw_jpeg(may: Jpeg, rng: Generator) -> int | None:
    return _between(may.quality, rng) if rng.random() < may.probability else None


def _draw_flip(may: Flip, rng: Generator) -> tuple[bool, bool]:
    return bool(rng.random() < may.horizontal), bool(rng.random() < may.vertical)


def _pick(weights: Mapping[str, float], rng: Generator) -> str:
    names = sorted(weights)  # a dict has an order, a recipe's digest has none
    ends = list(accumulate(weights[name] for name in names))
    return names[bisect_right(ends, rng.random() * ends[-1])]


def _between(bounds: tuple[int, int], rng: Generator) -> int:
    low, high = bounds
    return int(rng.integers(low, high, endpoint=True))


def _uniform(bounds: tuple[float, float], rng: Generator) -> float:
    return round(float(rng.uniform(*bounds)), _DECIMALS)


def _odd(width: int) -> int:
    return width | 1


@cache
def _lane(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
