"""A recipe is what it says: it travels as JSON and YAML, and refuses what cannot be drawn."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from faceblend.bank import FaceBank
from faceblend.errors import BadRecipe
from faceblend.face import Image, Mask
from faceblend.ops import NAMED, named
from faceblend.recipe import Crop, Recipe, Reject, load_recipe, preset_names, preset_path
from faceblend.sample import sample

CHANGED: dict[str, Any] = {
    "name": "other",
    "fake_share": 0.25,
    "partner.search": "exact",
    "partner.candidates": 7,
    "partner.cap": 9,
    "partner.top": 3,
    "working.probability": 0.3,
    "working.size": [130, 300],
    "working.reals": False,
    "align": "affine",
    "prepare.background": 0.25,
    "prepare.steps": [{"ops": {"noise": 1.0}, "probability": 0.5, "options": {}}],
    "move.probability": 0.5,
    "move.right": [-0.1, 0.1],
    "move.down": [-0.2, 0.2],
    "move.scale": [0.9, 1.1],
    "move.turn": [-5.0, 5.0],
    "mask": {"hull": 1.0},
    "deform.probability": 0.2,
    "deform.kinds": {"elastic": 1.0},
    "deform.rows": [2, 3],
    "deform.columns": [3, 5],
    "deform.strength": [0.02, 0.04],
    "morph.erode_probability": 0.9,
    "morph.erode": [1, 5],
    "morph.dilate": [3, 7],
    "soften.kinds": {"blur": 1.0},
    "soften.feather": [0.1, 0.2],
    "soften.blur": [0.01, 0.02],
    "soften.of_hull": True,
    "soften.stage_size": [100, 200],
    "soften.stage_kernel": [3, 9],
    "soften.stage_sigma": [2, 8],
    "color": {"lab": 1.0},
    "blend": {"alpha": 2.0},
    "opacity": [0.5, 1.0],
    "options": {"warp": {"elastic": {"sigma": [5.0, 6.0]}}},
    "degrade": [{"ops": {"noise": 1.0}, "probability": 0.5, "options": {}}],
    "resample.probability": 0.1,
    "resample.size": [80, 200],
    "resample.down": {"nearest": 1.0},
    "jpeg.probability": 0.1,
    "jpeg.quality": [50, 60],
    "crop.top": 10,
    "crop.left": 20,
    "crop.size": 128,
    "flip.horizontal": 0.1,
    "flip.vertical": 0.1,
    "reject.min_area": 0.02,
    "reject.attempts": 3,
    "wander.amplitude": [0.001, 0.01],
    "wander.period": [12.0, 40.0],
    "mix": {"bi": {"weight": 1.0, "recipe": load_recipe("bi").to_dict()}},
}

WRONG: list[tuple[str, Any]] = [
    ("fake_share", 1.5),
    ("fake_share", -0.1),
    ("fake_share", float("nan")),
    ("fake_share", "half"),
    ("fake_share", [0.1]),
    ("partner.search", "fastest"),
    ("partner.candidates", 0),
    ("partner.candidates", 10**12),
    ("partner.candidates", 1.5),
    ("partner.top", 0),
    ("working.probability", 2),
    ("working.size", [317, 128]),
    ("working.size", [0, 128]),
    ("working.size", [128, 10**6]),
    ("working.size", [128]),
    ("working.size", [1, 2, 3]),
    ("align", "tps"),
    ("mask", {"beard": 1}),
    ("mask", {}),
    ("mask", {"hull": 0}),
    ("mask", {"hull": -1, "full": 2}),
    ("mask", {"hull": float("nan")}),
    ("mask", {"hull": "often"}),
    ("mask", ["hull"]),
    ("deform.rows", [1, 4]),
    ("deform.columns", [2, 65]),
    ("deform.strength", [-0.1, 0.1]),
    ("deform.strength", [0.0, 2.0]),
    ("morph.erode", [0, 21]),
    ("morph.dilate", [5, 1]),
    ("morph.erode_probability", float("inf")),
    ("soften.kinds", {"smear": 1}),
    ("soften.feather", [0.3, 0.1]),
    ("soften.blur", [0.0, 0.1]),
    ("soften.stage_size", [4, 256]),
    ("soften.stage_kernel", [4, 25]),
    ("soften.stage_kernel", [5, 1001]),
    ("soften.stage_sigma", [0, 45]),
    ("color", {"sepia": 1}),
    ("blend", {"poison": 1}),
    ("resample.down", {"cubic": 1}),
    ("resample.size", [0, 5]),
    ("jpeg.quality", [60, 101]),
    ("jpeg.quality", [0, 50]),
    ("jpeg.probability", True),
    ("crop.top", -1),
    ("crop.size", 4),
    ("crop.left", 1.5),
    ("flip.horizontal", 7),
    ("reject.min_area", 0),
    ("reject.min_area", 1),
    ("reject.attempts", 0),
    ("wander.amplitude", [0, 0.2]),
    ("wander.period", [1, 24]),
]


def leaves(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of every field of a dataclass, depth first."""
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            yield from leaves(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def set_in(values: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    *path, last = dotted.split(".")
    inner = values
    for step in path:
        inner = inner.setdefault(step, {})
    inner[last] = value
    return values


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


# -- there and back ------------------------------------------------------------------


def test_the_presets_are_those_of_the_docs() -> None:
    assert preset_names() == ["algohunt", "bi", "i2g", "mix", "sbi", "seed"]


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_comes_back_from_json_and_yaml_with_the_same_digest(
    name: str, tmp_path: Path
) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    path = written(tmp_path, yaml.safe_dump(recipe.to_dict()))
    assert load_recipe(path) == recipe
    assert load_recipe(path).digest() == load_recipe(str(path)).digest() == recipe.digest()
    assert load_recipe(preset_path(name)) == recipe


def test_the_digest_is_short_hex_and_the_same_every_time() -> None:
    assert Recipe().digest() == Recipe().digest()
    assert len(Recipe().digest()) == 16
    int(Recipe().digest(), 16)


def test_the_presets_differ() -> None:
    assert len({load_recipe(name).digest() for name in preset_names()}) == len(preset_names())


def test_the_list_of_changes_names_every_field() -> None:
    assert set(CHANGED) == set(leaves(Recipe()))


@pytest.mark.parametrize("dotted", sorted(CHANGED))
def test_the_digest_changes_with_every_field(dotted: str) -> None:
    # a cap goes with the exact search alone
    needed = {"partner": {"search": "exact"}} if dotted == "partner.cap" else {}
    before = Recipe.from_dict(needed)
    changed = Recipe.from_dict(set_in(needed, dotted, CHANGED[dotted]))
    assert changed != before
    assert changed.digest() != before.digest()


def test_a_field_that_is_not_named_keeps_its_default() -> None:
    recipe = Recipe.from_dict({"partner": {"top": 3}})
    assert recipe.partner.candidates == Recipe().partner.candidates
    assert replace(recipe, partner=Recipe().partner) == Recipe()


@pytest.mark.parametrize("kind", ["mask", "color"])
def test_weights_that_are_named_replace_the_defaults_and_do_not_join_them(kind: str) -> None:
    only = "hull" if kind == "mask" else "lab"
    assert getattr(Recipe.from_dict({kind: {only: 2}}), kind) == {only: 2}


def test_recipes_with_one_digest_draw_the_same(bank: FaceBank) -> None:
    """A dict has an order and the digest has none: the order must not decide what is drawn."""
    one = Recipe(fake_share=1.0, color={"mean": 1.0, "lab": 1.0, "none": 1.0})
    other = replace(one, color=dict(reversed(one.color.items())))
    assert one == other
    assert one.digest() == other.digest()
    for index in range(8):
        assert sample(bank, one, 0, index).digest() == sample(bank, other, 0, index).digest()


def test_reading_a_recipe_leaves_the_callers_values_as_they_were() -> None:
    values = {"mask": {"hull": 1}, "working": {"size": [130, 140]}}
    Recipe.from_dict(values)
    assert values == {"mask": {"hull": 1}, "working": {"size": [130, 140]}}
    assert type(values["mask"]["hull"]) is int


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        Recipe().fake_share = 0.1  # type: ignore[misc]


# -- overrides -----------------------------------------------------------------------


def test_dotted_overrides_change_their_field_and_no_other() -> None:
    changed = load_recipe("bi", {"partner.candidates": 5000, "mask": {"hull": 1}})
    before = load_recipe("bi")
    assert changed.partner.candidates == 5000
    assert changed.mask == {"hull": 1}
    restored = replace(changed, partner=before.partner, mask=before.mask)
    assert restored == before


def test_an_override_may_reach_into_weights() -> None:
    changed = load_recipe("bi", {"mask.hull": 4})
    assert changed.mask == {**load_recipe("bi").mask, "hull": 4}


def test_an_override_holds_for_one_call_only() -> None:
    load_recipe("bi", {"partner.candidates": 1})
    assert load_recipe("bi").partner.candidates == 1000


@pytest.mark.parametrize(
    ("dotted", "named_field"),
    [("partner.canditates", "canditates"), ("nose", "nose"), ("fake_share.x", "fake_share")],
)
def test_an_override_of_a_field_that_does_not_exist_names_it(
    dotted: str, named_field: str
) -> None:
    with pytest.raises(BadRecipe, match=named_field):
        load_recipe("bi", {dotted: 1})


# -- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize(("dotted", "value"), WRONG)
def test_a_value_that_cannot_be_drawn_from_is_refused_by_the_name_of_its_field(
    dotted: str, value: Any
) -> None:
    with pytest.raises(BadRecipe) as caught:
        Recipe.from_dict(set_in({}, dotted, value))
    message = str(caught.value)
    assert dotted in message or all(step in message for step in dotted.split("."))
    assert "\n" not in message


@pytest.mark.parametrize("field", ["partner", "working", "deform", "jpeg", "crop", "reject"])
@pytest.mark.parametrize("value", [3, None, [1]])
def test_a_step_that_holds_no_fields_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(BadRecipe) as caught:
        Recipe.from_dict({field: value})
    assert field in str(caught.value)
    assert "functools" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", None), ("fake_share", None), ("align", None), ("mask", None), ("mask", {1: 2.0})],
)
def test_a_field_left_empty_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(BadRecipe, match=field):
        Recipe.from_dict({field: value})


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        ({"colour": {"mean": 1}}, "colour"),
        ({"partner": {"candidatez": 5}}, "candidatez"),
        ({"seed": 3}, "seed"),
        ({"init_args": {}}, "init_args"),
        ({"class_path": "os.system"}, "class_path"),
    ],
)
def test_an_unknown_field_is_refused_by_its_name(values: dict[str, Any], unknown: str) -> None:
    with pytest.raises(BadRecipe, match=unknown):
        Recipe.from_dict(values)


def test_a_step_is_never_read_from_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text where fields are meant must not open a file of that name: the digest hides it."""
    (tmp_path / "partner.yaml").write_text("candidates: 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRecipe, match="partner"):
        Recipe.from_dict({"partner": "partner.yaml"})


def test_weights_that_name_no_operation_tell_the_known_ones() -> None:
    with pytest.raises(BadRecipe, match=r"beard; choose among components, extended, .*\bhull"):
        Recipe(mask={"beard": 1.0, "hull": 1.0})


@pytest.mark.parametrize("value", [2.0, -1.0])
def test_a_recipe_made_in_python_is_checked_as_well(value: float) -> None:
    with pytest.raises(BadRecipe, match=f"fake_share: is {value}; give a probability"):
        Recipe(fake_share=value)
    with pytest.raises(BadRecipe, match=r"crop\.top"):
        Crop(top=-1)
    with pytest.raises(BadRecipe, match=r"reject\.attempts"):
        Reject(attempts=0)


def test_a_file_that_is_not_there_is_told_together_with_the_presets() -> None:
    with pytest.raises(BadRecipe, match=r"nowhere\.yaml: is neither .* algohunt, bi, .*seed"):
        load_recipe("nowhere.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="cannot be read"):
        load_recipe(tmp_path)


@pytest.mark.parametrize("text", ["- hull\n- full\n", "", "hull", "3", "# nothing\n"])
def test_yaml_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadRecipe, match=r"mine\.yaml: holds no fields"):
        load_recipe(path)


@pytest.mark.parametrize("text", ["mask: [hull", "a: b: c", "? {a: 1}\n: 2", "\tname: x"])
def test_what_is_not_yaml_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadRecipe, match="is not YAML") as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(BadRecipe, match="cannot be read"):
        load_recipe(path)


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/object/new:os.mkdir"])
def test_yaml_cannot_run_code(tag: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"name: !!{tag} [{tmp_path / 'made'}]\n")
    with pytest.raises(BadRecipe, match="is not YAML"):
        load_recipe(path)
    assert not (tmp_path / "made").exists()


# -- operations of the user ----------------------------------------------------------


@pytest.fixture
def grey() -> Iterator[str]:
    """A colour transfer of the user's own, taken out of the table afterwards."""

    @named("color", "grey")
    def to_grey(foreground: Image, background: Image, mask: Mask) -> Image:
        del background, mask
        return np.repeat(foreground.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

    yield "grey"
    del NAMED["color"]["grey"]


def test_an_operation_of_the_user_can_be_named_in_a_file_and_is_used(
    grey: str, tmp_path: Path, bank: FaceBank
) -> None:
    path = written(tmp_path, f"fake_share: 1\ncolor: {{{grey}: 1}}\njpeg: {{probability: 0}}\n")
    own = load_recipe(path)
    usual = replace(own, color={"none": 1.0})
    made, other = sample(bank, own, 0, 0), sample(bank, usual, 0, 0)
    assert '"color":{"name":"grey"' in made.record
    np.testing.assert_array_equal(made.alpha, other.alpha)

    def saturation(image: Image) -> float:
        assert made.alpha is not None
        return float(np.ptp(image, axis=2)[made.alpha > 0.9].mean())

    assert saturation(made.image) < 0.2 * saturation(other.image)


def test_an_operation_that_is_not_registered_is_refused() -> None:
    with pytest.raises(BadRecipe, match="grey; choose among"):
        Recipe(color={"grey": 1.0})


def test_names_are_taken_once_and_kinds_are_fixed(grey: str) -> None:
    with pytest.raises(ValueError, match="exists already"):
        named("color", grey)
    with pytest.raises(ValueError, match="the kinds are mask, warp, color, blend, degrade"):
        named("nose", "long")


# -- the window ----------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_the_presets_fit_crops_of_317_px_and_say_why_they_fit_no_smaller(name: str) -> None:
    recipe = load_recipe(name)
    assert asdict(recipe.crop) == {"top": 60, "left": 30, "size": 256}
    recipe.check_fits(317)
    recipe.check_fits(316)
    with pytest.raises(BadRecipe, match="rows 60:316, columns 30:286; the bank's crops are 315"):
        recipe.check_fits(315)


def test_a_window_too_wide_is_refused_as_one_too_low_is() -> None:
    with pytest.raises(BadRecipe, match="columns 62:318"):
        Recipe(crop=Crop(top=0, left=62, size=256)).check_fits(317)


def test_sampling_from_crops_that_are_too_small_is_refused(bank: FaceBank) -> None:
    with pytest.raises(BadRecipe, match="choose a window inside them"):
        sample(bank, Recipe(crop=Crop(top=62)), 0, 0)
