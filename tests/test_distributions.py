"""Every number that every preset draws has its published range and probability.

One table a preset: the name of a drawn number, how often it is there, and how it is spread.
A number that is drawn and not in the table fails, and so does a row that is never drawn.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from faceblend import partner
from faceblend.bank import FaceBank
from faceblend.draw import Draw, draw
from faceblend.recipe import load_recipe, preset_names

DRAWS = 2400
LEAST_P = 1e-4  # there are some two hundred rows; seeds are fixed, so what passes passes always


# -- how a number can be spread ------------------------------------------------------


@dataclass(frozen=True)
class Uniform:
    """Any number from low to high: Kolmogorov-Smirnov."""

    low: float
    high: float

    def p(self, values: list[Any]) -> float:
        assert all(self.low - 1e-6 <= one <= self.high + 1e-6 for one in values)
        # in units of the range: drawn numbers are rounded to six decimals
        spread = stats.uniform(self.low, self.high - self.low)
        return float(stats.kstest(values, spread.cdf).pvalue)


@dataclass(frozen=True)
class Weights:
    """Some values and how likely each is beside the others: exact counts, chi-square."""

    weights: Mapping[Any, float]

    def p(self, values: list[Any]) -> float:
        counts = Counter(values)
        assert set(counts) <= set(self.weights)
        share = len(values) / sum(self.weights.values())
        expected = [weight * share for weight in self.weights.values()]
        found = [counts[value] for value in self.weights]
        return float(stats.chisquare(found, expected).pvalue) if len(found) > 1 else 1.0


@dataclass(frozen=True)
class Moves:
    """Points moved by normal numbers whose deviation is uniform: against moves drawn here."""

    low: float
    high: float

    def p(self, values: list[Any]) -> float:
        rng = np.random.default_rng(7)
        drawn = [
            np.sqrt(np.mean(rng.normal(0, rng.uniform(self.low, self.high), one.shape) ** 2))
            for one in values
            for _ in range(8)
        ]
        found = [np.sqrt(np.mean(one**2)) for one in values]
        across, down = ([one[0, 0, side] for one in values] for side in (0, 1))
        right = sum(bool(one[-1, -1, 0] > 0) for one in values)
        return min(
            float(stats.ks_2samp(found, drawn).pvalue),
            float(stats.ks_2samp(across, down).pvalue),
            float(stats.binomtest(right, len(values), 0.5).pvalue),
        )


Spread = Uniform | Weights | Moves


@dataclass(frozen=True)
class Row:
    """How often a number is there, among the samples (or fakes) that could have it."""

    spread: Spread
    probability: float = 1.0


def only(value: Any, probability: float = 1.0) -> Row:
    return Row(Weights({value: 1.0}), probability)


def whole(low: int, high: int, step: int = 1) -> Weights:
    return Weights(dict.fromkeys(range(low, high + 1, step), 1.0))


def alike(*values: Any) -> Row:
    return Row(Weights(dict.fromkeys(values, 1.0)))


def morphs() -> Row:
    """Half erode by 1 to 21 px, half dilate by 1 to 5; even widths go up to the next odd one."""
    weights: Counter[tuple[int, int]] = Counter()
    for width in range(1, 22):
        weights[(width | 1, 1)] += 1 / 21  # type: ignore[assignment]
    for width in range(1, 6):
        weights[(1, width | 1)] += 1 / 5  # type: ignore[assignment]
    return Row(Weights(weights))


# -- the tables ----------------------------------------------------------------------

FACES = 12  # of the drawn bank
SEEDS = Uniform(0, 2**53 - 1)

ALWAYS = {
    "background": Row(whole(0, FACES - 1)),
    "is fake": Row(Weights({True: 1.0, False: 1.0})),
    "crop": only((60, 30, 256)),
    "flip_horizontal": alike(True, False),
    "flip_vertical": only(False),
}
PLAIN = {"prepared": only("background"), "fake.opacity": only(1.0)}
FOUR = alike("hull", "full", "extended", "components")
DEGRADED = {
    "resample.size": Row(whole(64, 317), 0.5),
    "resample.down": Row(Weights({"nearest": 1.0, "bilinear": 1.0}), 0.5),
    "jpeg": Row(whole(60, 100), 0.5),
}
XRAY = {**ALWAYS, **PLAIN, **DEGRADED, "fake.mask.kind": FOUR, "fake.mask.morph": morphs()}
BLENDED = {"fake.blend": only("alpha"), "fake.min_area": only(0.01)}


def grid(rows: Row, columns: Row, low: float, high: float) -> dict[str, Row]:
    named = {"rows": rows, "columns": columns, "moves": Row(Moves(low, high))}
    return {f"fake.mask.offsets.{name}": row for name, row in named.items()}


def shifted(step: str, color: float, brightness: float, probability: float) -> dict[str, Row]:
    """The three steps that self-blending changes values by."""
    rows = {f"rgb-shift.{name}": Row(Uniform(-20, 20), 0.3) for name in ("red", "green", "blue")}
    hue, level = 0.3 / 180, 0.3 / 255
    for name, most in (("hue", hue), ("saturation", level), ("value", level)):
        rows[f"hsv-shift.{name}"] = Row(Uniform(-most, most), color)
    for name in ("brightness", "contrast"):
        most = brightness
        rows[f"brightness-contrast.{name}"] = Row(Uniform(-most, most), probability)
    return {f"{step}.{name}": row for name, row in rows.items()}


TABLES: dict[str, dict[str, Row]] = {
    "algohunt": {
        **XRAY,
        **BLENDED,
        **grid(Row(whole(2, 4)), Row(whole(2, 4)), 0.01, 0.15),
        "working_size": Row(whole(128, 317), 0.5),  # fakes alone; see tests/test_draw.py
        "fake.align": only("none"),
        "fake.mask.feather": only(0.2),
        "fake.mask.of_hull": only(True),
        "fake.color": only("mean"),
        "fake.rank": only(0),
    },
    "bi": {
        **XRAY,
        **BLENDED,
        **grid(only(4), only(4), 0.01, 0.06),
        "working_size": Row(whole(128, 317)),
        "fake.align": only("similarity"),
        "fake.mask.feather": Row(Uniform(0.05, 0.25), 0.5),
        "fake.mask.blur": Row(Uniform(0.005, 0.03), 0.5),
        "fake.mask.of_hull": only(False),
        "fake.color": alike("mean", "mean-std", "lab"),
        "fake.rank": Row(whole(0, 4)),
    },
    "seed": {
        **XRAY,
        **BLENDED,
        **grid(only(4), only(4), 0.01, 0.15),
        "fake.align": only("affine"),
        "fake.mask.feather": only(0.2),
        "fake.mask.of_hull": only(False),
        "fake.color": only("mean"),
        "fake.rank": only(0),
    },
    "sbi": {
        **ALWAYS,
        **BLENDED,
        **shifted("prepare", 1.0, 0.1, 1.0),
        **shifted("degrade", 0.3, 0.3, 0.3),
        "prepared": alike("background", "foreground"),
        "prepare.down-up.times": Row(Weights({2: 1.0, 4: 1.0}), 0.5),
        "prepare.down-up.down": only("nearest", 0.5),
        "prepare.down-up.up": only("bilinear", 0.5),
        "prepare.sharpen.amount": Row(Uniform(1.8, 4.5), 0.5),
        "prepare.sharpen.sigma": only(0.816, 0.5),
        "jpeg": Row(whole(40, 100), 0.5),
        "fake.align": only("none"),
        "fake.move.right": Row(Uniform(-0.03, 0.03)),
        "fake.move.down": Row(Uniform(-0.015, 0.015)),
        "fake.move.scale": Row(Uniform(0.95, 1 / 0.95)),
        "fake.move.turn": only(0.0),
        "fake.mask.kind": only("hull"),
        "fake.mask.warp.elastic.alpha": only(50.0),
        "fake.mask.warp.elastic.sigma": only(7.0),
        "fake.mask.warp.elastic.rng": Row(SEEDS),
        "fake.mask.morph": only((1, 1)),
        "fake.mask.stages.height": Row(whole(192, 256)),
        "fake.mask.stages.width": Row(whole(192, 256)),
        "fake.mask.stages.first": Row(whole(5, 25, 2)),
        "fake.mask.stages.second": Row(whole(5, 25, 2)),
        "fake.mask.stages.sigma": Row(whole(5, 45)),
        "fake.mask.of_hull": only(False),
        "fake.color": only("none"),
        "fake.opacity": Row(Weights({0.25: 1.0, 0.5: 1.0, 0.75: 1.0, 1.0: 3.0})),
        "fake.rank": only("itself"),
    },
    "i2g": {
        **ALWAYS,
        **PLAIN,
        **BLENDED,
        "jpeg": Row(whole(60, 100), 0.5),
        "fake.align": only("similarity"),
        "fake.mask.kind": alike("hull", "regions"),
        "fake.mask.regions.parts": Row(whole(1, 255), 0.5),
        "fake.mask.warp.elastic-grid.points": only(6),
        "fake.mask.warp.elastic-grid.sigma": only(4.0),
        "fake.mask.warp.elastic-grid.rng": Row(SEEDS),
        "fake.mask.morph": only((1, 1)),
        "fake.mask.blur": only(0.021875),
        "fake.mask.of_hull": only(False),
        "fake.color": only("mean"),
        "fake.rank": Row(whole(0, 4)),
    },
}
MIXED = ("bi", "i2g", "sbi")
SYMMETRIC = ("bi", "seed", "sbi", "i2g", "mix")


# -- a draw by the names of the tables -----------------------------------------------


def numbers(drawn: Draw, bank: FaceBank) -> dict[str, Any]:
    """Every drawn number; what the sample does not have is left out."""
    # a new field of a draw must not be forgotten here
    assert {one.name for one in fields(Draw)} == {
        "background", "family", "prepared", "prepare", "working_size", "fake", "degrade",
        "resample", "jpeg", "crop", "flip_horizontal", "flip_vertical",
    }  # fmt: skip
    values = asdict(drawn)
    found = {name: values[name] for name in ("background", "prepared", "jpeg")}
    found |= {name: values[name] for name in ("flip_horizontal", "flip_vertical")}
    found |= {"is fake": drawn.fake is not None, "crop": tuple(values["crop"].values())}
    found |= dict(leaves("resample", values["resample"]))
    for name in ("prepare", "degrade"):
        for one in values[name]:
            found |= dict(leaves(f"{name}.{one['name']}", one["options"]))
    found["working_size"] = values["working_size"]
    if drawn.fake is not None:
        found |= dict(of_fake(values["fake"]))
        found["fake.rank"] = rank(drawn, bank)
    return {name: value for name, value in found.items() if value is not None}


def of_fake(fake: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    mask = fake.pop("mask")
    yield "fake.mask.morph", (mask.pop("erode"), mask.pop("dilate"))
    yield f"fake.mask.{mask.pop('soften')}", mask.pop("width")
    yield from leaves("fake.mask.stages", mask.pop("stages"))
    yield from leaves(f"fake.mask.{mask['kind']}", mask.pop("options"))
    offsets, warp = mask.pop("offsets"), mask.pop("warp")
    if offsets is not None:
        moves = np.array(offsets)
        yield "fake.mask.offsets.rows", moves.shape[0]
        yield "fake.mask.offsets.columns", moves.shape[1]
        yield "fake.mask.offsets.moves", moves
    if warp is not None:
        yield from leaves(f"fake.mask.warp.{warp['name']}", warp["options"])
    yield from leaves("fake.mask", mask)
    for kind in ("color", "blend"):
        one = fake.pop(kind)
        yield f"fake.{kind}", one["name"]
        yield from leaves(f"fake.{kind}.{one['name']}", one["options"])
    yield from leaves("fake.move", fake.pop("move"))
    del fake["foreground"]  # its rank says more
    yield from leaves("fake", fake)


def leaves(prefix: str, values: dict[str, Any] | None) -> Iterator[tuple[str, Any]]:
    for name, value in (values or {}).items():
        yield f"{prefix}.{name}", value


def rank(drawn: Draw, bank: FaceBank) -> int | str:
    """Which of the nearest the partner is; a thousand draws of twelve faces are all of them."""
    assert drawn.fake is not None
    if drawn.fake.foreground == drawn.background:
        return "itself"
    near = partner.nearest_of_all(bank, drawn.background, FACES)
    return int(np.flatnonzero(near == drawn.fake.foreground)[0])


Draws = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def draws(bank: FaceBank) -> Draws:
    """The first draws of seed 0 of a preset, by the names of its table."""
    made: dict[str, list[dict[str, Any]]] = {}

    def of(name: str) -> list[dict[str, Any]]:
        if name not in made:
            recipe = load_recipe(name)
            drawn = (draw(bank, recipe, 0, index) for index in range(DRAWS))
            made[name] = [numbers(one, bank) for one in drawn]
        return made[name]

    return of


def candidates(name: str, drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples that could have a number: fakes, for those of the blend."""
    return [one for one in drawn if one["is fake"]] if name.startswith("fake.") else drawn


def assert_row(name: str, row: Row, drawn: list[dict[str, Any]]) -> None:
    among = candidates(name, drawn)
    values = [one[name] for one in among if name in one]
    there = stats.binomtest(len(values), len(among), row.probability).pvalue
    assert there > LEAST_P, f"there {len(values)} times of {len(among)}"
    assert row.spread.p(values) > LEAST_P


# -- the tests -----------------------------------------------------------------------

ROWS = [(preset, name) for preset, table in TABLES.items() for name in table]


def test_every_preset_has_a_table() -> None:
    assert {*TABLES, "mix"} == set(preset_names())


@pytest.mark.parametrize("preset", sorted(TABLES))
def test_a_table_names_all_that_is_drawn_and_nothing_else(preset: str, draws: Draws) -> None:
    assert set().union(*draws(preset)) == set(TABLES[preset])


@pytest.mark.parametrize(("preset", "name"), ROWS)
def test_a_number_has_its_published_range_and_probability(
    preset: str, name: str, draws: Draws
) -> None:
    assert_row(name, TABLES[preset][name], draws(preset))


SLIPS: list[tuple[str, str, Row]] = [
    ("sbi", "prepare.rgb-shift.red", Row(Uniform(-20, 20), 0.25)),
    ("sbi", "prepare.rgb-shift.red", Row(Uniform(-20, 26), 0.3)),
    ("sbi", "prepare.rgb-shift.red", Row(Uniform(-19, 20), 0.3)),
    ("sbi", "fake.move.scale", Row(Uniform(0.95, 1.05))),
    ("sbi", "fake.opacity", alike(0.25, 0.5, 0.75, 1.0)),
    ("sbi", "fake.mask.stages.first", Row(whole(5, 27, 2))),
    ("sbi", "jpeg", Row(whole(40, 100), 0.56)),
    ("sbi", "prepare.down-up.times", only(2, 0.5)),
    ("i2g", "fake.mask.kind", Row(Weights({"hull": 2.0, "regions": 1.0}))),
    ("i2g", "fake.rank", Row(whole(0, 9))),
    ("bi", "fake.mask.offsets.moves", Row(Moves(0.01, 0.07))),
]


@pytest.mark.parametrize(("preset", "name", "slip"), SLIPS)
def test_a_slip_would_be_noticed(preset: str, name: str, slip: Row, draws: Draws) -> None:
    with pytest.raises(AssertionError):
        assert_row(name, slip, draws(preset))


@pytest.mark.parametrize("preset", SYMMETRIC)
def test_reals_and_fakes_draw_the_same_but_for_the_blend(preset: str, draws: Draws) -> None:
    drawn = draws(preset)
    both = [[one for one in drawn if one["is fake"] == label] for label in (True, False)]
    names = {name for one in drawn for name in one if not name.startswith("fake.")} - {"is fake"}
    assert not any(name.startswith("fake.") for name in set().union(*both[1]))
    for name in sorted(names):
        there = [sum(name in one for one in half) for half in both]
        away = [len(half) - count for half, count in zip(both, there, strict=True)]
        assert stats.fisher_exact([there, away]).pvalue > LEAST_P, name
        values = [[one[name] for one in half if name in one] for half in both]
        order = {value: place for place, value in enumerate(sorted({*values[0], *values[1]}))}
        ranks = [[order[value] for value in half] for half in values]
        assert stats.ks_2samp(*ranks).pvalue > LEAST_P, name


def test_algohunt_does_not_and_the_test_above_would_say_so(draws: Draws) -> None:
    sized = Counter(("working_size" in one, one["is fake"]) for one in draws("algohunt"))
    assert set(sized) == {(True, True), (False, False)}


def test_self_blending_takes_one_of_two_ways_to_another_sharpness(draws: Draws) -> None:
    for one in draws("sbi"):
        ways = [any(name.startswith(f"prepare.{way}") for name in one) for way in WAYS]
        assert sum(ways) == 1


WAYS = ("down-up", "sharpen")


@pytest.mark.parametrize("preset", ["sbi", "i2g"])
def test_no_number_of_a_sample_tells_another(preset: str, draws: Draws) -> None:
    made = [one for one in draws(preset) if one["is fake"]]
    columns = {
        name: [float(one.get(name, 0)) for one in made]
        for name in TABLES[preset]
        if all(isinstance(one.get(name, 0), int | float) for one in made)
    }
    # those that are there together, or never, are told by each other
    steps = ("prepare.", "degrade.")
    moving = {
        name: column
        for name, column in columns.items()
        if len(set(column)) > 1
        and (not name.startswith(steps) or all(name in one for one in made))
    }
    assert len(moving) > 5
    names = sorted(moving)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    for one, other in pairs:
        assert stats.spearmanr(moving[one], moving[other]).pvalue > LEAST_P / 10, (one, other)


# -- a mix ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(bank: FaceBank) -> list[Draw]:
    recipe = load_recipe("mix")
    return [draw(bank, recipe, 0, index) for index in range(DRAWS)]


def test_a_mix_draws_each_family_as_often_and_its_reals_as_well(mixed: list[Draw]) -> None:
    for label in (True, False):
        of = [one.family for one in mixed if (one.fake is not None) == label]
        assert Weights(dict.fromkeys(MIXED, 1.0)).p(of) > LEAST_P
    assert Weights({True: 1.0, False: 1.0}).p([one.fake is not None for one in mixed]) > LEAST_P


def test_a_mix_draws_every_number_that_the_family_alone_would_draw(
    mixed: list[Draw], bank: FaceBank
) -> None:
    """So what is shown of the families holds for the mix."""
    recipes = {name: load_recipe(name) for name in MIXED}
    for index, one in enumerate(mixed[:600]):
        assert one.family is not None
        alone = draw(bank, recipes[one.family], 0, index)
        assert replace(alone, family=one.family) == one


def test_a_sample_that_is_drawn_again_stays_of_its_family(bank: FaceBank) -> None:
    recipe = load_recipe("mix")
    for index in range(40):
        again = [draw(bank, recipe, 0, index, attempt) for attempt in range(4)]
        assert len({(one.family, one.fake is None) for one in again}) == 1
        assert len({one.background for one in again}) > 1
