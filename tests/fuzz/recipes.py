"""Targets: recipes, their overrides and grids of strengths, and the records of samples."""

import json
from functools import lru_cache
from pathlib import Path

from hypothesis import strategies as st

from faceblend import cli
from faceblend.errors import BadRecipe
from faceblend.recipe import load_recipe, preset_names, preset_path
from faceblend.sample import replay, sample
from tests.fuzz.material import bank, documents, lines, small
from tests.fuzz.target import Target


def _recipe_seeds() -> list[bytes]:
    return [preset_path(name).read_bytes() for name in preset_names()]


def _recipe_trees() -> list[bytes]:
    return [json.dumps(load_recipe(name).to_dict()).encode() for name in preset_names()]


def _recipe(data: bytes, folder: Path) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    load_recipe(path)


_OVERRIDES = [
    b"bi\ncrop.size=64\nworking.size=[96, 128]",
    b"sbi\nfake_share=0.5\njpeg.quality=[30, 100]",
    b"bi\nmask={hull: 1, full: 2}",
]


def _overrides(data: bytes, folder: Path) -> None:
    del folder
    # what a command line holds: no zero bytes, and bytes that are no text as surrogates
    name, *words = data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
    rest, overrides = cli._split_overrides([f"--recipe.{word}" for word in words if "=" in word])
    load_recipe(name if name in preset_names() else "bi", overrides)
    assert not rest


@lru_cache
def _record_seeds() -> list[bytes]:
    return [
        sample(bank(), small(name), 0, index).record.encode()
        for name in preset_names()
        if name != "mix"
        for index in (0, 1)
    ]


def _record(data: bytes, folder: Path) -> None:
    del folder
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadRecipe("record", "is not text", "a record is text where it is stored") from None
    replay(text, bank())


TARGETS = (
    Target(
        name="recipe-yaml",
        seeds=_recipe_seeds,
        read=_recipe,
        strategy=documents(_recipe_trees()),
    ),
    Target(
        name="recipe-overrides",
        seeds=lambda: list(_OVERRIDES),
        read=_overrides,
        strategy=lines(_OVERRIDES),
    ),
    Target(
        name="record",
        seeds=_record_seeds,
        read=_record,
        strategy=st.deferred(lambda: documents(_record_seeds())),
    ),
)
