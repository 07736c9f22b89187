"""What was drawn: every random number of a sample, as data. The only file that draws.

Each operation has a stream of its own, named by the seed, the sample's index and the
operation: a new draw in one operation leaves the numbers of all others where they were.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from faceblend import capped, partner
from faceblend.bank import FaceBank
from faceblend.errors import BadRecipe, Rejected
from faceblend.ops import NAMED, Choice, Option, Seed
from faceblend.ops.named import ONE_OF
from faceblend.recipe import (
    WIDEST,
    WIDEST_SQUARE,
    Crop,
    Deform,
    Flip,
    Jpeg,
    Morph,
    Move,
    Partner,
    Prepare,
    Recipe,
    Resample,
    Soften,
    Step,
    Working,
)

Generator = np.random.Generator
Streams = Callable[[str], Generator]

_DECIMALS = 6  # drawn numbers are rounded before use, so that records stay short


Options = dict[str, Any]
"""What was drawn for an operation's keyword arguments."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of ``ops.NAMED``, and what was drawn for it."""

    name: str
    options: Options


@dataclass(frozen=True, kw_only=True)
class MoveDraw:
    """How foreground and mask are moved."""

    right: float
    """share of the picture's side"""
    down: float
    """share of the picture's side"""
    scale: float
    """times, about the picture's centre"""
    turn: float
    """degrees, clockwise, about the picture's centre"""


@dataclass(frozen=True, kw_only=True)
class StagesDraw:
    """What ``two-stage`` softens by; see ``ops.mask.two_stage``."""

    height: int
    """px that the mask is brought to"""
    width: int
    """px that the mask is brought to"""
    first: int
    """px, odd: the kernel that shrinks"""
    second: int
    """px, odd: the kernel that averages"""
    sigma: int
    """px, of the second kernel"""


@dataclass(frozen=True, kw_only=True)
class MaskDraw:
    """The region that is swapped and its edge."""

    kind: str
    """name in ``ops.NAMED["mask"]``"""
    options: Options
    offsets: list[list[list[float]]] | None
    """rows x columns x (dx, dy), share of the picture's side; None: not bent so"""
    warp: Operation | None
    """what bends it instead"""
    erode: int
    """px, odd; 1 leaves the mask as it is"""
    dilate: int
    """px, odd; 1 leaves the mask as it is"""
    soften: Literal["feather", "blur", "two-stage"]
    """how the edge is softened"""
    width: float | None
    """feather: share of the longer side of the mask's box; blur: sigma, share of the side"""
    stages: StagesDraw | None
    """two-stage, which has no one width"""
    of_hull: bool
    """the feather is measured from the mask's convex hull"""


@dataclass(frozen=True, kw_only=True)
class FakeDraw:
    """What makes a sample a fake."""

    foreground: int
    """row of the partner"""
    align: Literal["none", "similarity", "affine"]
    move: MoveDraw | None
    mask: MaskDraw
    color: Operation
    blend: Operation
    opacity: float
    """what alpha is multiplied by"""
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
    family: str | None
    """which recipe of a mix; None where the recipe is none"""
    prepared: Literal["background", "foreground"]
    """which face takes the steps of ``prepare``"""
    prepare: list[Operation]
    working_size: int | None
    """side at which pictures are blended, px; None: the crop's own"""
    fake: FakeDraw | None
    """None makes the sample a real one"""
    degrade: list[Operation]
    resample: ResampleDraw | None
    jpeg: int | None
    """quality; None: not compressed"""
    crop: Crop
    flip_horizontal: bool
    flip_vertical: bool


@dataclass(frozen=True, kw_only=True)
class WanderDraw:
    """How the blend of a clip moves over its frames: cosines of time, one a number that moves."""

    amplitude: float
    """of each of them, share of the picture's side"""
    waves: list[list[float]]
    """``[period, phase]``, frames and turns: right, down, scale, turn, then the ``dx, dy`` of
    every point of the mask's grid, row by row"""


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


def noise(seed: int) -> Generator:
    """The generator of an operation that draws noise, of its seed in the record."""
    return Generator(np.random.Philox(key=seed))


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


def draw(
    bank: FaceBank,
    recipe: Recipe,
    seed: int,
    index: int,
    attempt: int = 0,
    among: np.ndarray | None = None,
) -> Draw:
    """Draw one sample's numbers; a pure function of its arguments.

    Neither whether the sample is a fake nor its recipe of a mix depends on ``attempt``:
    redrawing a degenerate mask turns no fake into a real, and none into another family's. The
    background is one of the rows ``among``, or of all real faces.

    Raises:
        Rejected: none of the drawn candidates may lend a face to the background.
    """
    rng = _STREAMS
    rng.of(seed, index)
    is_fake = bool(rng("label").random() < recipe.fake_share)
    family = None
    if recipe.mix:
        # stays, as the label does: a family that is often rejected would get rarer among fakes
        family = _pick({name: one.weight for name, one in recipe.mix.items()}, rng("family"))
        recipe = recipe.mix[family].recipe
    rng.again(attempt)
    among = bank.reals if among is None else among
    background = int(among[rng("background").integers(len(among))])
    fake = None
    if is_fake:
        fake = FakeDraw(
            foreground=_draw_partner(recipe.partner, bank, background, rng("partner")),
            align=recipe.align,
            move=_draw_move(recipe.move, rng),
            mask=_draw_mask(recipe, rng),
            color=_draw_operation("color", recipe.color, recipe, rng),
            blend=_draw_operation("blend", recipe.blend, recipe, rng),
            opacity=_draw_opacity(recipe.opacity, rng),
            min_area=recipe.reject.min_area,
        )
    horizontal, vertical = _draw_flip(recipe.flip, rng("flip"))
    return Draw(
        background=background,
        family=family,
        prepared=_draw_prepared(recipe.prepare, rng),
        prepare=_draw_steps("prepare", recipe.prepare.steps, rng),
        working_size=_draw_working(recipe.working, is_fake, rng("working")),
        fake=fake,
        degrade=_draw_steps("degrade", recipe.degrade, rng),
        resample=_draw_resample(recipe.resample, rng("resample")),
        jpeg=_draw_jpeg(recipe.jpeg, rng("jpeg")),
        crop=recipe.crop,
        flip_horizontal=horizontal,
        flip_vertical=vertical,
    )


def wander(
    recipe: Recipe, drawn: Draw, seed: int, index: int, attempt: int = 0
) -> WanderDraw | None:
    """Draw how a clip's blend moves; a pure function of its arguments.

    Args:
        recipe: what ``drawn`` was drawn from.
        drawn: what all frames of the clip share.
        seed, index, attempt: as :func:`draw` had them.

    Returns:
        None for a real clip.
    """
    if drawn.fake is None:
        return None
    may = recipe.wander if drawn.family is None else recipe.mix[drawn.family].recipe.wander
    of = stream(seed, index, "wander", attempt)
    amplitude = _uniform(may.amplitude, of)
    grid = drawn.fake.mask.offsets
    count = 4 + (0 if grid is None else 2 * len(grid) * len(grid[0]))
    waves = [[_uniform(may.period, of), _uniform((0.0, 1.0), of)] for _ in range(count)]
    return WanderDraw(amplitude=amplitude, waves=waves)


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
    yield "prepare", _are_drawn("degrade", drawn.prepare)
    yield "degrade", _are_drawn("degrade", drawn.degrade)
    yield "crop", max(window.top, window.left) + window.size <= bank.crop_size
    if drawn.fake is None:
        return
    region, move = drawn.fake.mask, drawn.fake.move
    yield "foreground", 0 <= drawn.fake.foreground < len(bank)
    yield "mask.kind", _is_drawn("mask", region.kind, region.options)
    yield "mask.offsets", region.offsets is None or _is_grid(region.offsets)
    yield "mask.warp", region.warp is None or _are_drawn("warp", [region.warp])
    yield "mask.warp beside offsets", region.warp is None or region.offsets is None
    for name, width in (("mask.erode", region.erode), ("mask.dilate", region.dilate)):
        yield name, width % 2 == 1 and 1 <= width <= WIDEST_SQUARE
    staged = region.soften == "two-stage"
    yield "mask.width", region.width is None if staged else _is_width(region.width)
    yield "mask.stages", (region.stages is not None and _are_stages(region.stages)) == staged
    yield "color", _are_drawn("color", [drawn.fake.color])
    yield "blend", _are_drawn("blend", [drawn.fake.blend])
    yield "opacity", 0 < drawn.fake.opacity <= 1
    if move is not None:
        yield "move", max(abs(move.right), abs(move.down)) <= 1 and abs(move.turn) <= 180
        yield "move.scale", 0.1 <= move.scale <= 10


def _are_drawn(kind: str, operations: list[Operation]) -> bool:
    return all(_is_drawn(kind, one.name, one.options) for one in operations)


def _is_drawn(kind: str, name: str, options: Options) -> bool:
    known = NAMED[kind].get(name)
    return (
        known is not None
        and set(options) == set(known.options)
        and all(known.options[option].holds(value) for option, value in options.items())
    )


def _is_width(width: float | None) -> bool:
    return width is not None and 0 <= width <= 2


def _are_stages(stages: StagesDraw) -> bool:
    return (
        all(8 <= side <= WIDEST for side in (stages.height, stages.width))
        and all(one % 2 and 1 <= one <= WIDEST_SQUARE for one in (stages.first, stages.second))
        and 1 <= stages.sigma <= WIDEST_SQUARE
    )


def _is_grid(offsets: list[list[list[float]]]) -> bool:
    columns = len(offsets[0]) if offsets else 0
    return (
        2 <= len(offsets) <= 64
        and 2 <= columns <= 64
        and all(len(row) == columns for row in offsets)
        and all(len(move) == 2 and np.isfinite(move).all() for row in offsets for move in row)
    )


def _draw_partner(may: Partner, bank: FaceBank, background: int, rng: Generator) -> int:
    if may.search == "self":
        return background
    if may.search == "sampled":
        candidates = bank.reals.take(rng.integers(len(bank.reals), size=may.candidates))
        near = partner.nearest(bank, background, candidates, may.top)
    elif may.cap is not None:
        near = capped.nearest(bank, background, may.top, may.cap)
    else:
        near = partner.nearest_of_all(bank, background, may.top)
    if not len(near) and may.cap is not None:
        raise Rejected(
            f"{bank.root}, face {bank.crop(background)}",
            f"whoever may lend it a face does so {may.cap} times already (partner.cap)",
            "raise partner.cap, or extract more people",
        )
    if not len(near):
        raise Rejected(
            f"{bank.root}, face {bank.crop(background)}",
            "no drawn candidate may lend it a face (other video, other person, same split)",
            "raise partner.candidates, or use partner.search: exact",
        )
    return int(near[rng.integers(len(near))])


def _draw_mask(recipe: Recipe, rng: Streams) -> MaskDraw:
    erode, dilate = _draw_morph(recipe.morph, rng("morph"))
    soften, width, stages = _draw_soften(recipe.soften, rng("soften"))
    region = _draw_operation("mask", recipe.mask, recipe, rng)
    offsets, warp = _draw_bending(recipe, rng)
    return MaskDraw(
        kind=region.name,
        options=region.options,
        offsets=offsets,
        warp=warp,
        erode=erode,
        dilate=dilate,
        soften=soften,
        width=width,
        stages=stages,
        of_hull=recipe.soften.of_hull,
    )


def _draw_operation(
    kind: str, weights: Mapping[str, float], recipe: Recipe, rng: Streams
) -> Operation:
    name = _pick(weights, rng(kind))
    told = recipe.options.get(kind, {}).get(name, {})
    return Operation(name=name, options=_draw_options(kind, name, told, rng))


def _draw_options(kind: str, name: str, told: Mapping[str, list[Any]], rng: Streams) -> Options:
    known = NAMED[kind][name].options
    if not known:
        return {}
    of = rng(f"{kind}/{name}")
    return {
        option: _draw_option(may, told.get(option, may.default()), of)
        for option, may in sorted(known.items())
    }


def _draw_option(may: Option, told: list[Any], rng: Generator) -> float | int | str:
    if isinstance(may, Choice):
        return str(_one_of(told, rng))
    if told[0] == ONE_OF:
        drawn: float | int = _one_of(told[1:], rng)
        return drawn
    if isinstance(may, Seed) or may.whole:
        return _between((told[0], told[1]), rng)
    return _uniform((told[0], told[1]), rng)


def _draw_steps(name: str, steps: Sequence[Step], rng: Streams) -> list[Operation]:
    taken = []
    for number, step in enumerate(steps):
        of = rng(f"{name}/{number}")
        if of.random() < step.probability:
            done = _pick(step.ops, of)
            told = step.options.get(done, {})
            options = {
                option: _draw_option(may, told.get(option, may.default()), of)
                for option, may in sorted(NAMED["degrade"][done].options.items())
            }
            taken.append(Operation(name=done, options=options))
    return taken


def _draw_prepared(may: Prepare, rng: Streams) -> Literal["background", "foreground"]:
    # reals too, so that a background is as often changed in both classes
    if not may.steps:
        return "background"
    return "background" if rng("prepare").random() < may.background else "foreground"


def _draw_move(may: Move, rng: Streams) -> MoveDraw | None:
    if not may.probability:
        return None
    of = rng("move")
    if of.random() >= may.probability:
        return None
    return MoveDraw(
        right=_uniform(may.right, of),
        down=_uniform(may.down, of),
        scale=_uniform(may.scale, of),
        turn=_uniform(may.turn, of),
    )


def _draw_opacity(may: Sequence[float], rng: Streams) -> float:
    return may[0] if len(may) == 1 else float(_one_of(may, rng("opacity")))


def _draw_bending(
    recipe: Recipe, rng: Streams
) -> tuple[list[list[list[float]]] | None, Operation | None]:
    kinds = recipe.deform.kinds
    kind = next(iter(kinds)) if len(kinds) == 1 else _pick(kinds, rng("warp"))
    if kind == "piecewise":
        return _draw_deform(recipe.deform, rng("deform")), None
    if rng("deform").random() >= recipe.deform.probability:
        return None, None
    told = recipe.options.get("warp", {}).get(kind, {})
    return None, Operation(name=kind, options=_draw_options("warp", kind, told, rng))


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


def _draw_soften(
    may: Soften, rng: Generator
) -> tuple[Literal["feather", "blur", "two-stage"], float | None, StagesDraw | None]:
    kind = _pick(may.kinds, rng)
    if kind == "feather":
        return "feather", _uniform(may.feather, rng), None
    if kind == "blur":
        return "blur", _uniform(may.blur, rng), None
    stages = StagesDraw(
        height=_between(may.stage_size, rng),
        width=_between(may.stage_size, rng),
        first=_odd_between(may.stage_kernel, rng),
        second=_odd_between(may.stage_kernel, rng),
        sigma=_between(may.stage_sigma, rng),
    )
    return "two-stage", None, stages


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


def _one_of(values: Sequence[Any], rng: Generator) -> Any:
    return values[0] if len(values) == 1 else values[int(rng.integers(len(values)))]


def _between(bounds: tuple[int, int], rng: Generator) -> int:
    low, high = bounds
    return int(rng.integers(low, high, endpoint=True))


def _uniform(bounds: tuple[float, float], rng: Generator) -> float:
    return round(float(rng.uniform(*bounds)), _DECIMALS)


def _odd_between(bounds: tuple[int, int], rng: Generator) -> int:
    low, high = bounds
    return low + 2 * _between((0, (high - low) // 2), rng)


def _odd(width: int) -> int:
    return width | 1


@cache
def _lane(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
