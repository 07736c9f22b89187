"""What is drawn is a pure function of (seed, index, attempt), with the published distributions."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from faceblend import draw as drawing
from faceblend.bank import FaceBank
from faceblend.draw import Draw, draw, stream
from faceblend.errors import FaceblendError, Rejected
from faceblend.recipe import Partner, Recipe, build, load_recipe, preset_names

DRAWS = 2400
LEAST_P = 1e-3  # seeds are fixed, so a test that passes once passes always
Draws = Callable[[str], list[Draw]]


@pytest.fixture(scope="module")
def draws(bank: FaceBank) -> Draws:
    """The first draws of seed 0 of a preset."""
    made: dict[str, list[Draw]] = {}

    def of(name: str) -> list[Draw]:
        if name not in made:
            recipe = load_recipe(name)
            made[name] = [draw(bank, recipe, 0, index) for index in range(DRAWS)]
        return made[name]

    return of


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a draw under its dotted name."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{prefix}{name}.")
    else:
        yield prefix.rstrip("."), value


def numbers(drawn: Draw) -> dict[str, Any]:
    return dict(flat(asdict(drawn)))


def assert_uniform(values: list[int], low: int, high: int) -> None:
    """Every whole number from low to high is as likely as the others, and no other occurs."""
    counts = Counter(values)
    assert min(counts) >= low
    assert max(counts) <= high
    every = [counts[value] for value in range(low, high + 1)]
    assert stats.chisquare(every).pvalue > LEAST_P


def assert_weights(values: list[Any], weights: dict[Any, float]) -> None:
    counts = Counter(values)
    assert set(counts) <= set(weights)
    share = len(values) / sum(weights.values())
    expected = [weight * share for weight in weights.values()]
    assert stats.chisquare([counts[name] for name in weights], expected).pvalue > LEAST_P


def assert_probability(happened: int, of: int, probability: float) -> None:
    assert stats.binomtest(happened, of, probability).pvalue > LEAST_P


def odd_widths(low: int, high: int) -> dict[int, float]:
    """Uniform widths where an even one is raised to the next odd one."""
    return dict(Counter(width | 1 for width in range(low, high + 1)))


def fakes(drawn: list[Draw]) -> list[Draw]:
    return [one for one in drawn if one.fake is not None]


def reals(drawn: list[Draw]) -> list[Draw]:
    return [one for one in drawn if one.fake is None]


# -- a pure function -----------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_the_same_arguments_draw_the_same_numbers(name: str, bank: FaceBank) -> None:
    recipe = load_recipe(name)
    first = [draw(bank, recipe, 5, index, attempt) for index in range(6) for attempt in (0, 1)]
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    random.seed(1)
    again = [draw(bank, recipe, 5, index, attempt) for index in range(6) for attempt in (0, 1)]
    assert first == again


def test_numpys_global_random_state_is_not_touched(bank: FaceBank) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(bank, load_recipe("bi"), 0, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_seed_1_index_0_is_not_seed_0_index_1(bank: FaceBank) -> None:
    recipe = load_recipe("bi")
    assert draw(bank, recipe, 1, 0) != draw(bank, recipe, 0, 1)
    assert stream(1, 0, "jpeg").random() != stream(0, 1, "jpeg").random()


def test_no_two_of_seed_index_name_and_attempt_share_their_numbers() -> None:
    firsts = {
        stream(seed, index, name, attempt).random()
        for seed in (*range(12), 2**63, 2**64 - 1)
        for index in (*range(12), 2**64 - 1)
        for name in ("jpeg", "flip", "partner")
        for attempt in range(3)
    }
    assert len(firsts) == 14 * 13 * 3 * 3


def test_a_long_stream_never_runs_into_its_neighbours() -> None:
    long = set(stream(0, 0, "jpeg").random(20_000).tolist())
    for other in (stream(0, 0, "jpeg", 1), stream(0, 1, "jpeg"), stream(0, 0, "flip")):
        assert not long & set(other.random(20_000).tolist())


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1), (2**64, 0), (0, 2**64)])
def test_a_number_beyond_64_bits_is_refused_and_never_wrapped(seed: int, index: int) -> None:
    with pytest.raises((OverflowError, FaceblendError)):
        stream(seed, index, "jpeg")


def test_the_label_does_not_change_when_a_sample_is_drawn_again(bank: FaceBank) -> None:
    recipe = load_recipe("bi")
    for index in range(40):
        labels = {draw(bank, recipe, 0, index, attempt).fake is None for attempt in range(6)}
        assert len(labels) == 1


def test_everything_else_changes_when_a_sample_is_drawn_again(bank: FaceBank) -> None:
    recipe = replace(load_recipe("bi"), fake_share=1.0)
    pairs = [[numbers(draw(bank, recipe, 0, index, a)) for a in (0, 1)] for index in range(60)]
    changed = {name for one, two in pairs for name in one if one[name] != two.get(name)}
    constant = {
        "family",
        "prepared",
        "prepare",
        "degrade",
        "crop.top",
        "crop.left",
        "crop.size",
        "flip_vertical",
        "fake.align",
    }
    constant |= {
        "fake.blend.name",
        "fake.min_area",
        "fake.move",
        "fake.opacity",
        "fake.mask.warp",
        "fake.mask.stages",
        "fake.mask.options",
        "fake.mask.of_hull",
    }
    assert changed >= set(pairs[0][0]) - constant


@pytest.mark.parametrize("name", preset_names())
def test_a_draw_comes_back_from_json_unchanged(name: str, draws: Draws) -> None:
    for drawn in draws(name)[:5]:
        assert build(Draw, json.loads(json.dumps(asdict(drawn))), "record") == drawn


# -- streams of their own ------------------------------------------------------------

CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({"jpeg.probability": 0.05}, {"jpeg"}),
    ({"jpeg.quality": [5, 9]}, {"jpeg"}),
    ({"color": {"none": 1}}, {"fake.color.name"}),
    ({"color": {"mean": 1, "lab": 3}}, {"fake.color.name"}),
    ({"mask": {"components": 1}}, {"fake.mask.kind"}),
    ({"deform.probability": 0.5}, {"fake.mask.offsets"}),
    ({"deform.rows": [2, 9]}, {"fake.mask.offsets"}),
    ({"morph.erode_probability": 0.1}, {"fake.mask.erode", "fake.mask.dilate"}),
    ({"soften.kinds": {"blur": 1}}, {"fake.mask.soften", "fake.mask.width"}),
    ({"soften.of_hull": True}, {"fake.mask.of_hull"}),
    ({"resample.probability": 1}, {"resample.size", "resample.down", "resample"}),
    ({"working.size": [200, 210]}, {"working_size"}),
    ({"working.probability": 0}, {"working_size"}),
    ({"partner.candidates": 3}, {"fake.foreground"}),
    ({"partner.search": "exact", "partner.top": 1}, {"fake.foreground"}),
    ({"align": "none"}, {"fake.align"}),
    ({"flip.horizontal": 0.9}, {"flip_horizontal"}),
    ({"flip.vertical": 0.5}, {"flip_vertical"}),
    ({"crop.top": 0}, {"crop.top"}),
    ({"reject.min_area": 0.2}, {"fake.min_area"}),
]


@pytest.mark.parametrize(("change", "own"), CHANGES, ids=[next(iter(c)) for c, _ in CHANGES])
def test_changing_one_operation_leaves_the_numbers_of_all_others(
    change: dict[str, Any], own: set[str], bank: FaceBank, draws: Draws
) -> None:
    recipe = load_recipe("bi", change)
    moved: set[str] = set()
    for index, usual in enumerate(draws("bi")[:50]):
        before, after = numbers(usual), numbers(draw(bank, recipe, 0, index))
        moved |= {name for name in before | after if before.get(name) != after.get(name)}
    assert moved  # the change reached the draw
    assert moved <= own


def test_an_operation_that_draws_more_numbers_moves_no_other(
    bank: FaceBank, draws: Draws, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = drawing._draw_jpeg

    def greedy(may: Any, rng: np.random.Generator) -> int | None:
        rng.normal(size=1000)
        return usual(may, rng)

    monkeypatch.setattr(drawing, "_draw_jpeg", greedy)
    recipe = load_recipe("bi")
    made = [draw(bank, recipe, 0, index) for index in range(50)]
    assert [replace(one, jpeg=None) for one in made] == [
        replace(one, jpeg=None) for one in draws("bi")[:50]
    ]
    assert [one.jpeg for one in made] != [one.jpeg for one in draws("bi")[:50]]


def test_a_real_becomes_a_fake_without_any_other_number_moving(
    bank: FaceBank, draws: Draws
) -> None:
    recipe = replace(load_recipe("bi"), fake_share=1.0)
    for index, usual in enumerate(draws("bi")[:50]):
        forced = draw(bank, recipe, 0, index)
        assert forced.fake is not None
        assert replace(forced, fake=None) == replace(usual, fake=None)


def test_the_numbers_of_two_operations_and_of_two_samples_are_unrelated(draws: Draws) -> None:
    made = fakes(draws("algohunt"))
    columns = {
        "size": [one.working_size for one in made],
        "kind": [
            ["hull", "full", "extended", "components"].index(one.fake.mask.kind) for one in made
        ],
        "offset": [one.fake.mask.offsets[0][0][0] for one in made],
        "erode": [one.fake.mask.erode for one in made],
        "flip": [one.flip_horizontal for one in made],
        "jpeg": [one.jpeg or 0 for one in made],
        "resample": [one.resample.size if one.resample else 0 for one in made],
        "background": [one.background for one in made],
    }
    names = list(columns)
    for position, one in enumerate(names):
        for other in names[position + 1 :]:
            assert stats.spearmanr(columns[one], columns[other]).pvalue > LEAST_P / 28, (
                one,
                other,
            )
        following = stats.spearmanr(columns[one][:-1], columns[one][1:])
        assert following.pvalue > LEAST_P / 8, one


# -- published distributions ---------------------------------------------------------


def test_algohunt_makes_as_many_fakes_as_reals_of_every_face(draws: Draws, bank: FaceBank) -> None:
    made = draws("algohunt")
    assert_probability(len(fakes(made)), DRAWS, 0.5)
    assert_uniform([one.background for one in made], 0, len(bank) - 1)


def test_algohunt_resamples_fakes_alone_from_128_to_317_px_before_blending(draws: Draws) -> None:
    made = draws("algohunt")
    assert {one.working_size for one in reals(made)} == {None}
    assert_uniform([one.working_size for one in fakes(made)], 128, 317)


def test_algohunt_draws_four_regions_alike_where_the_foreground_stands(draws: Draws) -> None:
    made = [one.fake for one in fakes(draws("algohunt"))]
    four = dict.fromkeys(("hull", "full", "extended", "components"), 1.0)
    assert_weights([one.mask.kind for one in made], four)
    assert {(one.align, one.color.name, one.blend.name) for one in made} == {
        ("none", "mean", "alpha")
    }


def test_algohunt_bends_grids_of_2_to_4_rows_and_columns_by_1_to_15_percent(
    draws: Draws,
) -> None:
    offsets = [np.array(one.fake.mask.offsets) for one in fakes(draws("algohunt"))]
    assert_uniform([len(one) for one in offsets], 2, 4)
    assert_uniform([one.shape[1] for one in offsets], 2, 4)
    assert_weights(
        [one.shape[:2] for one in offsets],
        {(rows, columns): 1.0 for rows in (2, 3, 4) for columns in (2, 3, 4)},
    )
    assert_strengths(offsets, 0.01, 0.15, shapes=[one.shape for one in offsets])


def assert_strengths(
    offsets: list[np.ndarray], low: float, high: float, shapes: list[tuple[int, ...]]
) -> None:
    """Normal moves whose standard deviation is uniform, against moves drawn independently."""
    rng = np.random.default_rng(7)
    expected = [
        np.sqrt(np.mean(rng.normal(0, rng.uniform(low, high), shape) ** 2))
        for shape in shapes
        for _ in range(8)
    ]
    found = [np.sqrt(np.mean(one**2)) for one in offsets]
    assert stats.ks_2samp(found, expected).pvalue > LEAST_P
    # across and down alike, to both sides alike
    assert (
        stats.ks_2samp([o[0, 0, 0] for o in offsets], [o[0, 0, 1] for o in offsets])[1] > LEAST_P
    )
    assert_probability(sum(bool(one[-1, -1, 0] > 0) for one in offsets), len(offsets), 0.5)


@pytest.mark.parametrize("name", ["algohunt", "seed"])
def test_half_the_masks_erode_by_1_to_21_px_and_half_dilate_by_1_to_5(
    name: str, draws: Draws
) -> None:
    eroded, dilated = odd_widths(1, 21), odd_widths(1, 5)
    weights = {(width, 1): count / 21 for width, count in eroded.items()}
    for width, count in dilated.items():
        weights[(1, width)] = weights.get((1, width), 0) + count / 5
    made = [one.fake.mask for one in fakes(draws(name))]
    assert_weights([(one.erode, one.dilate) for one in made], weights)


@pytest.mark.parametrize(("name", "of_hull"), [("algohunt", True), ("seed", False)])
def test_the_feather_is_a_fifth_of_the_mask(name: str, of_hull: bool, draws: Draws) -> None:
    made = {
        (one.fake.mask.soften, one.fake.mask.width, one.fake.mask.of_hull)
        for one in fakes(draws(name))
    }
    assert made == {("feather", 0.2, of_hull)}


@pytest.mark.parametrize("name", ["algohunt", "bi", "seed"])
def test_half_of_all_samples_are_resampled_from_64_to_317_px(name: str, draws: Draws) -> None:
    made = [one.resample for one in draws(name) if one.resample is not None]
    assert_probability(len(made), DRAWS, 0.5)
    assert_uniform([one.size for one in made], 64, 317)
    assert_weights([one.down for one in made], {"nearest": 1.0, "bilinear": 1.0})


@pytest.mark.parametrize("name", ["algohunt", "bi", "seed"])
def test_half_of_all_samples_are_compressed_at_quality_60_to_100(name: str, draws: Draws) -> None:
    made = [one.jpeg for one in draws(name) if one.jpeg is not None]
    assert_probability(len(made), DRAWS, 0.5)
    assert_uniform(made, 60, 100)


@pytest.mark.parametrize("name", preset_names())
def test_half_of_all_samples_are_mirrored_and_none_stands_on_its_head(
    name: str, draws: Draws
) -> None:
    made = draws(name)
    assert_probability(sum(one.flip_horizontal for one in made), DRAWS, 0.5)
    assert not any(one.flip_vertical for one in made)
    assert {(one.crop.top, one.crop.left, one.crop.size) for one in made} == {(60, 30, 256)}


def test_the_seed_preset_keeps_the_numbers_of_the_notes(draws: Draws) -> None:
    made = draws("seed")
    assert_probability(len(fakes(made)), DRAWS, 0.5)
    assert {one.working_size for one in made} == {None}
    four = dict.fromkeys(("hull", "full", "extended", "components"), 1.0)
    assert_weights([one.fake.mask.kind for one in fakes(made)], four)
    kept = {(one.fake.align, one.fake.color.name, one.fake.blend.name) for one in fakes(made)}
    assert kept == {("affine", "mean", "alpha")}
    offsets = [np.array(one.fake.mask.offsets) for one in fakes(made)]
    assert {one.shape for one in offsets} == {(4, 4, 2)}
    assert_strengths(offsets, 0.01, 0.15, shapes=[(4, 4, 2)] * len(offsets))


@pytest.mark.parametrize(("name", "candidates"), [("algohunt", 5000), ("seed", 1000)])
def test_the_partner_is_the_nearest_of_as_many_random_faces_as_published(
    name: str, candidates: int
) -> None:
    assert load_recipe(name).partner == Partner(search="sampled", candidates=candidates, top=1)


def test_bi_draws_its_widened_ranges(draws: Draws) -> None:
    made = [one.fake for one in fakes(draws("bi"))]
    assert_weights(
        [one.color.name for one in made], dict.fromkeys(("mean", "mean-std", "lab"), 1.0)
    )
    assert_weights([one.mask.soften for one in made], {"feather": 1.0, "blur": 1.0})
    for kind, low, high in (("feather", 0.05, 0.25), ("blur", 0.005, 0.03)):
        widths = [one.mask.width for one in made if one.mask.soften == kind]
        assert stats.kstest(widths, stats.uniform(low, high - low).cdf).pvalue > LEAST_P
    offsets = [np.array(one.mask.offsets) for one in made]
    assert_strengths(offsets, 0.01, 0.06, shapes=[(4, 4, 2)] * len(offsets))


# -- symmetry ------------------------------------------------------------------------

SYMMETRIC: dict[str, Callable[[Draw], float]] = {
    "background": lambda one: one.background,
    "working size": lambda one: one.working_size or 0,
    "resampled": lambda one: one.resample is not None,
    "resample size": lambda one: one.resample.size if one.resample else 0,
    "resample by nearest": lambda one: bool(one.resample) and one.resample.down == "nearest",
    "compressed": lambda one: one.jpeg is not None,
    "quality": lambda one: one.jpeg or 0,
    "mirrored": lambda one: one.flip_horizontal,
}


@pytest.mark.parametrize("what", sorted(SYMMETRIC))
def test_bi_draws_for_reals_what_it_draws_for_fakes(what: str, draws: Draws) -> None:
    made = draws("bi")
    of = SYMMETRIC[what]
    one, other = [of(d) for d in reals(made)], [of(d) for d in fakes(made)]
    assert min(len(one), len(other)) > 1000
    assert stats.ks_2samp(one, other).pvalue > LEAST_P


def test_algohunt_does_not_and_the_test_above_would_say_so(draws: Draws) -> None:
    made = draws("algohunt")
    of = SYMMETRIC["working size"]
    one, other = [of(d) for d in reals(made)], [of(d) for d in fakes(made)]
    assert stats.ks_2samp(one, other).pvalue < 1e-9


# -- corners -------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "label"), [(0.0, False), (1.0, True)])
def test_a_share_of_none_or_all_is_exact(share: float, label: bool, bank: FaceBank) -> None:
    recipe = Recipe(fake_share=share)
    assert {draw(bank, recipe, 0, index).fake is not None for index in range(200)} == {label}


def test_a_weight_of_zero_is_never_drawn(bank: FaceBank) -> None:
    recipe = Recipe(fake_share=1.0, mask={"hull": 0.0, "full": 1.0, "extended": 0.0})
    assert {draw(bank, recipe, 0, i).fake.mask.kind for i in range(100)} == {"full"}


def test_a_background_without_an_eligible_candidate_is_told_and_not_lent_to_itself(
    bank: FaceBank,
) -> None:
    recipe = Recipe(fake_share=1.0, partner=Partner(candidates=1))
    reasons, lent = [], 0
    for index in range(40):
        try:
            drawn = draw(bank, recipe, 0, index)
        except Rejected as rejected:
            reasons.append(rejected.reason)
        else:
            assert drawn.fake is not None
            assert bank.videos[drawn.fake.foreground] != bank.videos[drawn.background]
            lent += 1
    assert lent > len(reasons) > 0  # a quarter of the faces are of the background's own video
    assert all("no drawn candidate" in reason for reason in reasons)


@pytest.mark.parametrize(("seed", "index", "attempt"), [(0, 0, 0), (2**64 - 1, 2**64 - 1, 7)])
def test_a_generator_that_was_set_back_gives_what_a_new_one_gives(
    seed: int, index: int, attempt: int
) -> None:
    again = drawing._OneStream()
    again.of(seed, index)
    again.again(attempt)
    for name in ("label", "mask", "label"):
        new, old = stream(seed, index, name, attempt), again(name)
        assert old.random() == new.random()
        assert old.integers(10, dtype=np.uint32) == new.integers(10, dtype=np.uint32)
        np.testing.assert_array_equal(old.normal(size=5), new.normal(size=5))
        old.integers(10, dtype=np.uint32)  # half a word is left over, and forgotten
