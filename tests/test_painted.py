"""Every colour transfer and way to blend that a recipe can name is rendered and replayed."""

import json

import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.ops import NAMED
from faceblend.recipe import load_recipe
from faceblend.sample import replay, sample

CASES = [(kind, name) for kind in ("color", "blend") for name in NAMED[kind]]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_recipe_names_it_and_its_record_makes_the_same_bytes_again(
    kind: str, name: str, bank: FaceBank
) -> None:
    recipe = load_recipe("bi", {"fake_share": 1.0, kind: {name: 1}})
    for index in (0, 1):
        made = sample(bank, recipe, 0, index)
        drawn = json.loads(made.record)["draw"]["fake"][kind]
        assert drawn["name"] == name
        assert set(drawn["options"]) == set(NAMED[kind][name].options)
        again = replay(made.record, bank)
        np.testing.assert_array_equal(again.image, made.image)
        np.testing.assert_array_equal(again.xray, made.xray)
        assert again.digest() == made.digest() == sample(bank, recipe, 0, index).digest()


@pytest.mark.parametrize(
    ("kind", "name", "option", "told"),
    [
        ("color", "idt", "iterations", [3, 4]),
        ("color", "sot", "smooth", [5.0, 6.0]),
        ("blend", "pyramid", "levels", [1, 1]),
        ("blend", "frequency", "width", [20.0, 30.0]),
    ],
)
def test_options_of_a_recipe_reach_it(
    kind: str, name: str, option: str, told: list[float], bank: FaceBank
) -> None:
    values = {"fake_share": 1.0, kind: {name: 1}, "options": {kind: {name: {option: told}}}}
    for index in range(3):
        made = sample(bank, load_recipe("bi", values), 0, index)
        drawn = json.loads(made.record)["draw"]["fake"][kind]["options"][option]
        assert told[0] <= drawn <= told[1]


@pytest.mark.parametrize("kind", ["color", "blend"])
def test_each_name_of_a_kind_makes_another_picture(kind: str, bank: FaceBank) -> None:
    recipes = [load_recipe("bi", {"fake_share": 1.0, kind: {name: 1}}) for name in NAMED[kind]]
    made = [sample(bank, recipe, 0, 0) for recipe in recipes]
    assert len({one.image.tobytes() for one in made}) == len(NAMED[kind])
    assert len({one.xray.tobytes() for one in made}) == 1
