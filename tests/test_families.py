"""Self-blending, moves, steps, opacity, drawn options and mixes: what is rendered of them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from faceblend.bank import FaceBank
from faceblend.draw import Draw, draw, noise
from faceblend.errors import BadBank, BadRecipe
from faceblend.face import Image
from faceblend.generate import generate
from faceblend.ops import NAMED, Choice, Seed, Span, degrade, named
from faceblend.ops.named import Option
from faceblend.recipe import Crop, Member, Partner, Recipe, Reject, Step, load_recipe
from faceblend.sample import Sample, render, replay, sample, unblended
from faceblend.store import BlendSet, verify
from tests.conftest import make_bank

BARE: dict[str, Any] = {
    "fake_share": 1,
    "partner": {"search": "self"},
    "align": "none",
    "mask": {"hull": 1},
    "deform": {"probability": 0},
    "morph": {"erode_probability": 0, "dilate": [1, 1]},
    "color": {"none": 1},
    "flip": {"horizontal": 0},
    **{name: {"probability": 0} for name in ("working", "resample", "jpeg")},
}
"""A face blended into itself where it stands, and nothing else."""


def bare(**fields: Any) -> Recipe:
    return Recipe.from_dict({**BARE, **fields})


def window(image: Image) -> Image:
    return image[60:316, 30:286]


def drawn_of(made: Sample) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(made.record)["draw"]
    return values


def assert_same(one: Sample, other: Sample) -> None:
    for part in ("image", "xray", "alpha", "landmarks"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)
    assert one.digest() == other.digest()


# -- a face and itself ---------------------------------------------------------------


def test_a_face_blended_into_itself_unchanged_is_that_face_to_the_byte(bank: FaceBank) -> None:
    for index in range(6):
        made = sample(bank, bare(), 0, index)
        drawn = drawn_of(made)
        assert drawn["fake"]["foreground"] == drawn["background"]
        assert made.alpha is not None
        assert made.alpha.max() == 1
        np.testing.assert_array_equal(made.image, window(bank.image(drawn["background"])))


def test_self_blending_needs_one_face_alone(tmp_path: Path) -> None:
    lonely = make_bank(tmp_path / "bank", videos=1, frames=1)
    generate(lonely, load_recipe("sbi"), tmp_path / "set", count=4)
    assert verify(tmp_path / "set", bank=lonely, replays=4).problems == ()
    for name in ("bi", "mix"):
        with pytest.raises(BadBank, match="one video"):
            generate(lonely, load_recipe(name), tmp_path / name, count=4)


# -- moves ---------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "down"), [(20, 0), (0, 20), (-13, 8)])
def test_a_move_takes_foreground_and_mask_along(right: int, down: int, bank: FaceBank) -> None:
    """Positive is right and down, in shares of the picture's side."""
    # drawn numbers have six decimals
    shift = {"right": [round(right / 317, 6)] * 2, "down": [round(down / 317, 6)] * 2}
    moved = sample(bank, bare(move={"probability": 1, **shift}, soften=WIDE), 0, 3)
    still = sample(bank, bare(soften=WIDE), 0, 3)
    crop = bank.image(drawn_of(still)["background"]).astype(float)
    assert still.alpha is not None
    assert moved.alpha is not None
    inner = np.s_[40:-40, 40:-40]
    np.testing.assert_allclose(
        moved.alpha[inner], np.roll(still.alpha, (down, right), (0, 1))[inner], atol=0.02
    )
    lent = window(np.roll(crop, (down, right), (0, 1)))
    weight = moved.alpha[..., None].astype(float)
    expected = weight * lent + (1 - weight) * window(crop)
    assert np.abs(moved.image - expected)[inner].max() <= 2


WIDE = {"kinds": {"feather": 1}, "feather": [0.2, 0.2]}


@pytest.mark.parametrize(("turn", "scale"), [(10.0, 1.0), (0.0, 1.05), (-7.0, 0.95)])
def test_a_turn_is_clockwise_and_a_scale_enlarges(
    turn: float, scale: float, bank: FaceBank
) -> None:
    move = {"probability": 1, "turn": [turn, turn], "scale": [scale, scale]}
    made = sample(bank, bare(move=move, soften=WIDE), 0, 3)
    crop = bank.image(drawn_of(made)["background"])
    # OpenCV turns counter-clockwise
    matrix = cv2.getRotationMatrix2D((158.0, 158.0), -turn, scale)
    lent = window(cv2.warpAffine(crop, matrix, (317, 317), borderMode=cv2.BORDER_REFLECT_101))
    assert made.alpha is not None
    inside = made.alpha == 1
    assert inside.mean() > 0.1
    apart = np.abs(made.image.astype(int) - lent)[inside]
    assert apart.mean() < 0.5
    assert np.abs(made.image.astype(int) - window(crop))[inside].mean() > 2


# -- steps ---------------------------------------------------------------------------

BRIGHT = {"ops": {"rgb-shift": 1}, "options": {"rgb-shift": {
    name: [30, 30] for name in ("red", "green", "blue")
}}}  # fmt: skip


@pytest.mark.parametrize("background", [0, 1])
def test_one_of_the_two_faces_is_prepared_and_the_other_left(
    background: int, bank: FaceBank
) -> None:
    recipe = bare(prepare={"background": background, "steps": [BRIGHT]})
    made = sample(bank, recipe, 0, 0)
    crop = window(bank.image(drawn_of(made)["background"]))
    bright = degrade.rgb_shift(crop, red=30, green=30, blue=30)
    assert made.alpha is not None
    inside, outside = made.alpha == 1, made.alpha == 0
    lent, stayed = (crop, bright) if background else (bright, crop)
    np.testing.assert_array_equal(made.image[inside], lent[inside])
    np.testing.assert_array_equal(made.image[outside], stayed[outside])


@pytest.mark.parametrize("background", [0, 1])
def test_a_real_is_what_a_background_is(background: int, bank: FaceBank) -> None:
    recipe = bare(fake_share=0, prepare={"background": background, "steps": [BRIGHT]})
    made = sample(bank, recipe, 0, 0)
    crop = window(bank.image(drawn_of(made)["background"]))
    bright = degrade.rgb_shift(crop, red=30, green=30, blue=30)
    np.testing.assert_array_equal(made.image, bright if background else crop)


def test_the_real_half_of_a_self_blend_keeps_its_prepared_background(bank: FaceBank) -> None:
    """Nothing far from the blend tells a fake from its real; JPEG alone spreads by squares."""
    recipe = load_recipe("sbi", {"fake_share": 1, "jpeg.probability": 0})
    prepared = set()
    for index in range(10):
        blend = sample(bank, recipe, 5, index)
        real = unblended(blend, bank)
        drawn, kept = drawn_of(blend), drawn_of(real)
        assert {**drawn, "fake": None} == kept
        assert (real.label, float(real.xray.max())) == (0, 0.0)
        assert blend.alpha is not None
        np.testing.assert_array_equal(real.image[blend.alpha == 0], blend.image[blend.alpha == 0])
        assert (real.image != blend.image).any()
        assert replay(real.record, bank).digest() == real.digest()
        plain = replay(with_value(real.record, "draw.prepare", []), bank)
        assert (plain.image != real.image).any() == (drawn["prepared"] == "background")
        prepared.add(drawn["prepared"])
    assert prepared == {"background", "foreground"}


def test_steps_of_the_finished_picture_come_one_after_the_other(bank: FaceBank) -> None:
    steps = [BRIGHT, {"ops": {"brightness-contrast": 1}, "options": {
        "brightness-contrast": {"brightness": [0, 0], "contrast": [-0.5, -0.5]}
    }}]  # fmt: skip
    made = sample(bank, bare(fake_share=0, degrade=steps), 0, 0)
    crop = window(bank.image(drawn_of(made)["background"]))
    bright = degrade.rgb_shift(crop, red=30, green=30, blue=30)
    expected = degrade.brightness_contrast(bright, brightness=0.0, contrast=-0.5)
    np.testing.assert_array_equal(made.image, expected)


# -- opacity -------------------------------------------------------------------------


@pytest.mark.parametrize("opacity", [0.15, 0.25, 0.5, 0.9])
def test_opacity_lowers_alpha_and_the_xray_follows(opacity: float, bank: FaceBank) -> None:
    full, faint = (sample(bank, bare(opacity=[one]), 0, 2) for one in (1.0, opacity))
    assert full.alpha is not None
    assert faint.alpha is not None
    np.testing.assert_allclose(faint.alpha, np.float32(opacity) * full.alpha, rtol=1e-6)
    exact = 4 * faint.alpha.astype(float) * (1 - faint.alpha.astype(float))
    np.testing.assert_allclose(faint.xray, exact, atol=3e-7)
    assert faint.xray.max() >= 0.5


def test_a_mask_is_judged_by_what_it_covers_and_not_by_its_opacity(bank: FaceBank) -> None:
    recipe = bare(opacity=[0.25], reject={"min_area": 0.2})
    made = sample(bank, recipe, 0, 2)
    assert made.alpha is not None
    assert made.alpha.max() == 0.25
    assert (made.alpha > 0.125).mean() > 0.2


# -- drawn options -------------------------------------------------------------------


@pytest.fixture
def speckled() -> Iterator[None]:
    """An operation of the user's own with an option of every sort."""

    @named("degrade", "speckle", share=Span(0.1, 0.2, 0, 1), level=Span(3, 9, 0, 255),
           where=Choice(("top", "bottom")), rng=Seed())  # fmt: skip
    def speckle(
        image: Image, *, share: float, level: int, where: str, rng: np.random.Generator
    ) -> Image:
        made = image.copy()
        half = made[:100] if where == "top" else made[-100:]
        half[rng.uniform(size=half.shape[:2]) < share] = level
        return made

    yield
    del NAMED["degrade"]["speckle"]


SPECKLE: dict[str, Any] = {"ops": {"speckle": 1}}


@pytest.mark.parametrize(
    ("told", "shares", "levels", "wheres"),
    [
        ({}, (0.1, 0.2), set(range(3, 10)), {"top", "bottom"}),
        ({"share": [0.5, 1], "level": [1, 2]}, (0.5, 1), {1, 2}, {"top", "bottom"}),
        ({"level": ["one of", 4, 200], "where": ["top"]}, (0.1, 0.2), {4, 200}, {"top"}),
    ],
)
@pytest.mark.usefixtures("speckled")
def test_options_are_drawn_in_range_and_replay_to_the_byte(
    told: dict[str, Any],
    shares: tuple[float, float],
    levels: set[int],
    wheres: set[str],
    bank: FaceBank,
) -> None:
    recipe = bare(fake_share=0, degrade=[{**SPECKLE, "options": {"speckle": told}}])
    made = [sample(bank, recipe, 0, index) for index in range(60)]
    drawn = [drawn_of(one)["degrade"][0]["options"] for one in made]
    assert {one["level"] for one in drawn} == levels
    assert all(type(one["level"]) is int for one in drawn)
    assert {one["where"] for one in drawn} == wheres
    assert all(shares[0] <= one["share"] <= shares[1] for one in drawn)
    assert max(one["share"] for one in drawn) - min(one["share"] for one in drawn) > 0.08
    assert len({one["rng"] for one in drawn}) == len(drawn)
    for one, options in list(zip(made, drawn, strict=True))[:8]:
        assert_same(replay(one.record, bank), one)
        # and by hand: the seed of the record is all that the noise depends on
        crop = bank.image(drawn_of(one)["background"])
        again = NAMED["degrade"]["speckle"](crop, **{**options, "rng": noise(options["rng"])})
        np.testing.assert_array_equal(one.image, window(again))


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [("warp", "elastic", {"alpha": [20, 30], "sigma": ["one of", 5, 9]})],
)
def test_options_of_a_recipe_reach_the_operations_of_the_blend(
    kind: str, name: str, told: dict[str, Any], bank: FaceBank
) -> None:
    recipe = bare(deform={"kinds": {name: 1}}, options={kind: {name: told}})
    drawn = [draw(bank, recipe, 0, index) for index in range(40)]
    options = [one.fake.mask.warp.options for one in drawn]  # type: ignore[union-attr]
    assert all(20 <= one["alpha"] <= 30 for one in options)
    assert {one["sigma"] for one in options} == {5, 9}


# -- streams of their own ------------------------------------------------------------

CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({"prepare.background": 0.9}, {"prepared"}),
    ({"degrade": []}, {"degrade"}),
    ({"move.probability": 0.5}, {"fake.move"}),
    ({"move.right": [0.1, 0.2]}, {"fake.move"}),
    ({"deform.kinds": {"piecewise": 1}}, {"fake.mask.warp", "fake.mask.offsets"}),
    ({"options": {"warp": {"elastic": {"sigma": [4, 9]}}}}, {"fake.mask.warp"}),
    ({"soften.stage_size": [100, 120]}, {"fake.mask.stages"}),
    ({"soften.kinds": {"blur": 1}},
     {"fake.mask.stages", "fake.mask.soften", "fake.mask.width"}),
    ({"opacity": [0.3, 0.6]}, {"fake.opacity"}),
    ({"mask": {"full": 1}}, {"fake.mask.kind"}),
    ({"jpeg.quality": [5, 9]}, {"jpeg"}),
]  # fmt: skip


@pytest.mark.parametrize(("change", "own"), CHANGES, ids=[next(iter(c)) for c, _ in CHANGES])
def test_changing_one_part_of_self_blending_leaves_the_numbers_of_all_others(
    change: dict[str, Any], own: set[str], bank: FaceBank
) -> None:
    usual, changed = load_recipe("sbi"), load_recipe("sbi", change)
    moved: set[str] = set()
    for index in range(30):
        before, after = (parts(draw(bank, one, 0, index)) for one in (usual, changed))
        moved |= {name for name in before | after if before.get(name) != after.get(name)}
    assert moved
    assert moved <= own


def test_changing_one_step_leaves_the_others(bank: FaceBank) -> None:
    usual = load_recipe("sbi")
    louder = replace(usual.degrade[0], probability=1.0)
    changed = replace(usual, degrade=(louder, *usual.degrade[1:]))
    for index in range(30):
        before, after = (draw(bank, one, 0, index) for one in (usual, changed))
        others = [[op for op in d.degrade if op.name != "rgb-shift"] for d in (before, after)]
        assert others[0] == others[1]
        assert len(after.degrade) == 1 + len(others[1])
        assert replace(before, degrade=[]) == replace(after, degrade=[])


def parts(drawn: Draw) -> dict[str, Any]:
    values = asdict(drawn)
    fake = values.pop("fake") or {}
    mask = fake.pop("mask", {})
    return {
        **values,
        **{f"fake.{name}": value for name, value in fake.items()},
        **{f"fake.mask.{name}": value for name, value in mask.items()},
    }


# -- damaged records -----------------------------------------------------------------

NOISE = {"name": "noise", "options": {"sigma": 3.0, "rng": 5}}
DAMAGE: list[tuple[str, Any]] = [
    ("draw.family", 3),
    ("draw.prepared", "both"),
    ("draw.prepare", None),
    ("draw.prepare", [{"name": "sepia", "options": {}}]),
    ("draw.prepare", [{"name": "hull", "options": {}}]),
    ("draw.prepare", [{"name": "noise"}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": 3.0}}]),
    ("draw.degrade", [{**NOISE, "options": {**NOISE["options"], "hue": 1.0}}]),  # type: ignore[dict-item]
    ("draw.degrade", [{"name": "noise", "options": {"sigma": 3e9, "rng": 5}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": float("nan"), "rng": 5}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": True, "rng": 5}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": "loud", "rng": 5}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": [3.0], "rng": 5}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": 3.0, "rng": -1}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": 3.0, "rng": 2**60}}]),
    ("draw.degrade", [{"name": "noise", "options": {"sigma": 3.0, "rng": 0.5}}]),
    ("draw.degrade", NOISE),
    ("draw.fake.move", {}),
    ("draw.fake.move.right", 1.5),
    ("draw.fake.move.down", -1.5),
    ("draw.fake.move.turn", 400.0),
    ("draw.fake.move.scale", 0.0),
    ("draw.fake.move.scale", float("inf")),
    ("draw.fake.opacity", 0.0),
    ("draw.fake.opacity", 1.5),
    ("draw.fake.color.options", {"sigma": 1.0}),
    ("draw.fake.blend.options", {"levels": 3}),
    ("draw.fake.mask.options", {"parts": 3}),
    ("draw.fake.mask.warp", {"name": "twirl", "options": {}}),
    ("draw.fake.mask.warp.options.sigma", 0.0),
    ("draw.fake.mask.warp.options.rng", 1.5),
    ("draw.fake.mask.offsets", [[[0.0, 0.0]] * 2] * 2),  # beside a warp
    ("draw.fake.mask.stages", None),
    ("draw.fake.mask.stages.height", 0),
    ("draw.fake.mask.stages.width", 10**6),
    ("draw.fake.mask.stages.first", 4),
    ("draw.fake.mask.stages.second", 1001),
    ("draw.fake.mask.stages.sigma", 0),
    ("draw.fake.mask.width", 0.1),
    ("draw.fake.mask.soften", "feather"),
]


def with_value(record: str, dotted: str, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(record)
    *path, last = dotted.split(".")
    inner = content
    for step in path:
        inner = inner[step]
    inner[last] = value
    return content


@pytest.fixture(scope="module")
def self_blend(bank: FaceBank) -> str:
    return sample(bank, load_recipe("sbi", {"fake_share": 1}), 0, 0).record


@pytest.mark.parametrize(("dotted", "value"), DAMAGE)
def test_a_damaged_step_option_or_move_is_refused_in_words(
    dotted: str, value: Any, bank: FaceBank, self_blend: str
) -> None:
    replay(self_blend, bank)
    with pytest.raises(BadRecipe, match="record") as caught:
        replay(with_value(self_blend, dotted, value), bank)
    assert "\n" not in str(caught.value)


# -- wrong recipes -------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"degrade": [{"ops": {"sepia": 1}}]}, r"step\.ops: is sepia; choose among .*noise"),
    ({"degrade": [{"ops": {}}]}, r"step\.ops: is \{\}"),
    ({"degrade": [{}]}, "degrade.ops is missing"),
    ({"degrade": {"ops": {"noise": 1}}}, "degrade is .* a list belongs there"),
    ({"degrade": [{"ops": {"noise": 1}, "probability": 2}]}, r"step\.probability: is 2"),
    ({"degrade": [{"ops": {"noise": 1}, "options": {"rgb-shift": {}}}]}, "choose among noise"),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"loudness": [1, 2]}}}]},
        r"noise\.loudness: is no option; the options of noise are: rng, sigma",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"sigma": [1, 300]}}}]},
        r"noise\.sigma: is \[1, 300\]; give .* 0 <= low <= high <= 255",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"sigma": [3, 1]}}}]},
        r"noise\.sigma: is \[3, 1\]",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"sigma": 3}}}]},
        r"noise\.sigma is 3, and a list",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"sigma": ["one of"]}}}]},
        "one of",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"sigma": ["one of", 400]}}}]},
        "400",
    ),
    (
        {"degrade": [{"ops": {"noise": 1}, "options": {"noise": {"rng": [1, 2]}}}]},
        r"noise\.rng: is \[1, 2\]; leave it out",
    ),
    ({"prepare": {"steps": [{"ops": {"hull": 1}}]}}, r"step\.ops: is hull"),
    ({"prepare": {"background": 2}}, r"prepare\.background"),
    ({"options": {"degrade": {}}}, "options: is for 'degrade'; .* each step has its own"),
    ({"options": {"nose": {}}}, "options: is for 'nose'"),
    ({"options": {"warp": {"twirl": {}}}}, r"options\.warp: is for 'twirl'; choose among .*elas"),
    ({"options": {"warp": {"elastic": {"beta": [1, 2]}}}}, r"elastic\.beta: is no option"),
    ({"options": {"warp": {"elastic": {"sigma": [0, 2]}}}}, r"0\.1 <= low <= high <= 200"),
    ({"options": {"color": {"mean": {"sigma": [0, 2]}}}}, "options of mean are: none"),
    ({"options": {"warp": ["elastic"]}}, "options.warp is .* names and their values"),
    ({"move": {"scale": [0, 1]}}, r"move\.scale"),
    ({"move": {"right": [0.2, 0.1]}}, r"move\.right"),
    ({"move": {"turn": [0, 360]}}, r"move\.turn"),
    ({"opacity": []}, r"opacity: is \[\]; give one or more numbers, 0.15 to 1"),
    ({"opacity": [0.1]}, r"opacity: is \[0.1\]"),
    ({"opacity": [1, 1.2]}, "opacity"),
    ({"opacity": 1}, "opacity is 1, and a list"),
    ({"partner": {"search": "itself"}}, r"partner\.search"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[words for _, words in WRONG])
def test_what_cannot_be_drawn_from_is_refused_in_words(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(BadRecipe, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_word_that_is_no_choice_is_refused_with_those_that_are() -> None:
    may: Option = Choice(("top", "bottom"))
    assert may.fault(["left"]) == "give a list of some of top, bottom"
    assert may.fault([]) is not None
    assert may.fault(["top"]) is None


# -- mixes ---------------------------------------------------------------------------


def mix_of(folder: Path, text: str) -> Path:
    path = folder / "mix-of-mine.yaml"
    path.write_text(text)
    return path


def test_a_mix_takes_presets_files_beside_it_and_whole_recipes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\njpeg: {probability: 0}\n")
    path = mix_of(
        tmp_path,
        "mix:\n  bi: 2\n  mine.yaml: 1\n"
        "  inline: {weight: 0.5, recipe: {jpeg: {quality: [9, 9]}}}\n",
    )
    mixed = load_recipe(path)
    assert [one.weight for one in mixed.mix.values()] == [2, 1, 0.5]
    assert mixed.mix["bi"].recipe == load_recipe("bi")
    assert mixed.mix["mine.yaml"].recipe == load_recipe(tmp_path / "mine.yaml")
    assert mixed.mix["inline"].recipe.jpeg.quality == (9, 9)
    assert Recipe.from_dict(json.loads(json.dumps(mixed.to_dict()))) == mixed
    assert load_recipe(mix_of(tmp_path, yaml.safe_dump(mixed.to_dict()))) == mixed


def test_a_mix_is_drawn_from_by_its_weights(bank: FaceBank) -> None:
    mixed = load_recipe("mix", {"mix": {"bi": 3, "sbi": 1, "seed": 0}})
    families = [draw(bank, mixed, 0, index).family for index in range(400)]
    assert 70 < families.count("sbi") < 130
    assert families.count("bi") == 400 - families.count("sbi")


def test_an_override_reaches_into_a_mix() -> None:
    changed = load_recipe("mix", {"mix.sbi.recipe.jpeg.quality": [50, 60], "mix.bi.weight": 4})
    assert changed.mix["sbi"].recipe.jpeg.quality == (50, 60)
    assert changed.mix["bi"].weight == 4
    untouched = replace(changed.mix["sbi"].recipe, jpeg=load_recipe("sbi").jpeg)
    assert untouched == load_recipe("sbi")
    assert load_recipe("mix", {"mix.seed": 2}).mix["seed"].recipe == load_recipe("seed")


WRONG_MIXES: list[tuple[str, str]] = [
    ("mix: {mix: 1}", r"mix\.mix: is a mix itself; name the recipes"),
    ("mix: {mix-of-mine.yaml: 1}", r"mix\.mix-of-mine\.yaml: is a mix itself"),
    ("mix: {bi: 0}", "mix: is of no weight"),
    ("mix: {bi: -1, sbi: 2}", "mix: is of weight -1"),
    ("mix: {bi: .nan}", "mix.bi.weight is nan"),
    ("mix: {nowhere.yaml: 1}", r"nowhere\.yaml: is neither a preset nor a file"),
    ("mix: {bi: often}", "mix.bi is 'often', and fields belong"),
    ("mix: {bi: true}", "mix.bi is True"),
    ("mix: [bi, sbi]", "mix is .*, and names and their values belong"),
    ("mix: {bi: {weight: 1}}", "mix.bi.recipe is missing"),
    ("mix: {bi: {weight: 1, recipe: bi}}", "mix.bi.recipe is 'bi', and fields belong"),
    ("mix: {bi: {weight: 1, recipe: {nose: 1}}}", "no field mix.bi.recipe.nose"),
    (
        "mix: {bi: 1, small: {weight: 1, recipe: {crop: {size: 128}}}}",
        r"mix\.small\.crop\.size: is 128 px, and the mix 256 px",
    ),
    ("mix: {bi: 1}\njpeg: {probability: 0}", "jpeg: is told to a mix, .* mix.NAME.recipe.jpeg"),
    ("mix: {bi: 1}\ncrop: {top: 0}", "crop: is told to a mix"),
    ("mix: {bi: 1}\nreject: {min_area: 0.1}", "reject: is told to a mix"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_MIXES, ids=[text for text, _ in WRONG_MIXES])
def test_a_mix_that_cannot_be_drawn_from_is_refused_in_words(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe, match=message) as caught:
        load_recipe(mix_of(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_fault_in_a_file_of_a_mix_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("nose: 1\n")
    with pytest.raises(BadRecipe, match=r"mine\.yaml: there is no field nose"):
        load_recipe(mix_of(tmp_path, "mix: {mine.yaml: 1}"))


def test_a_mix_made_in_python_is_checked_as_well() -> None:
    with pytest.raises(BadRecipe, match="partner: is told to a mix"):
        Recipe(mix={"bi": Member(weight=1, recipe=Recipe())}, partner=Partner(top=3))
    with pytest.raises(BadRecipe, match="weight of 0 or more"):
        Member(weight=-1, recipe=Recipe())
    own = Recipe(mix={"bi": Member(weight=1, recipe=Recipe())}, reject=Reject(attempts=3))
    assert own.reject.attempts == 3


def test_the_windows_of_a_mix_are_those_of_its_recipes() -> None:
    small = Recipe(crop=Crop(top=0, left=0, size=256))
    mixed = Recipe(mix={"one": Member(weight=1, recipe=small)})
    mixed.check_fits(256)
    with pytest.raises(BadRecipe, match="choose a window inside"):
        mixed.check_fits(255)


def test_a_recipe_tells_how_its_partners_are_found() -> None:
    assert {one.search for one in load_recipe("sbi").partners} == {"self"}
    assert {one.search for one in load_recipe("mix").partners} == {"sampled", "self", "exact"}
    assert not load_recipe("sbi").lends
    assert load_recipe("bi").lends
    assert not load_recipe("mix", {"mix": {"sbi": 1, "bi": 0}}).lends


def test_a_mix_is_generated_stored_read_and_replayed(bank: FaceBank, tmp_path: Path) -> None:
    mixed = load_recipe("mix")
    generate(bank, mixed, tmp_path / "set", count=18, seed=3, shard_size=7)
    assert verify(tmp_path / "set", bank=bank, replays=18).problems == ()
    told = json.loads((tmp_path / "set" / "manifest.json").read_text())["recipe"]
    assert Recipe.from_dict(told) == mixed
    with BlendSet(tmp_path / "set") as stored:
        families = {drawn_of(one)["family"] for one in stored}
        for one in stored:
            again = replay(one.record, bank)
            np.testing.assert_array_equal(again.image, one.image)
            np.testing.assert_array_equal(again.xray_u8, one.xray_u8)
            assert (again.label, again.record) == (one.label, one.record)
    assert families == {"bi", "sbi", "i2g"}


def test_a_step_that_is_not_taken_leaves_nothing(bank: FaceBank) -> None:
    never = Recipe(degrade=(Step(ops={"noise": 1.0}, probability=0.0),))
    drawn = draw(bank, never, 0, 0)
    assert drawn.degrade == []
    face = bank[drawn.background]
    one = render(face, None, replace(drawn, fake=None))
    other = render(face, None, replace(draw(bank, Recipe(), 0, 0), fake=None))
    np.testing.assert_array_equal(one.image, other.image)
