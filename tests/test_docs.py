"""What README and docs say is what the library does."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.ops import NAMED
from faceblend.recipe import Recipe, load_recipe, preset_names
from faceblend.sample import replay, sample

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def field_names(cls: Any, prefix: str = "") -> Iterator[str]:
    for one in fields(cls):
        if is_dataclass(one.type):
            yield from field_names(one.type, f"{prefix}{one.name}.")
        else:
            yield prefix + one.name


def test_the_python_of_the_readme_runs(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", count=3)
    (tmp_path / "bank").symlink_to(bank.root)
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks(ROOT / "README.md")
    exec(compile(block, "README.md", "exec"), {})


def test_the_operations_of_the_recipes_page_can_be_named_and_rendered(
    bank: FaceBank, tmp_path: Path
) -> None:
    page = ROOT / "docs" / "recipes.md"
    color, blend = python_blocks(page)
    assert len(blend.strip().splitlines()) < 20
    (told,) = re.findall(r"```yaml\n(name: screen.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "screen.yaml").write_text(told)
    place: dict[str, Any] = {}
    try:
        exec(compile(color, "recipes.md", "exec"), place)
        exec(compile(blend, "screen.py", "exec"), {})
        made = [sample(bank, place["recipe"], 0, index) for index in range(8)]
        assert any('"color":{"name":"half-mean"' in one.record for one in made)
        screened = load_recipe(tmp_path / "screen.yaml")
        made = [sample(bank, screened, 0, index) for index in range(16)]
        drawn = [json.loads(one.record)["draw"]["fake"] for one in made if one.label]
        named = [one["blend"]["options"] for one in drawn if one["blend"]["name"] == "screen"]
        assert 0 < len(named) < len(drawn)
        assert all(0.5 <= one["strength"] <= 0.8 for one in named)
        assert all(replay(one.record, bank).digest() == one.digest() for one in made)
    finally:
        NAMED["color"].pop("half-mean", None)
        NAMED["blend"].pop("screen", None)


def test_the_recipes_page_names_every_field_with_its_default() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    shown = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    assert set(shown) == set(field_names(Recipe))
    defaults = Recipe(name="needed").to_dict()
    for name, text in shown.items():
        value: Any = defaults
        for step in name.split("."):
            value = value[step]
        assert yaml.safe_load(text) == value, name


def test_every_preset_and_operation_has_its_place_on_the_recipes_page() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    for name in (*preset_names(), *(one for kind in NAMED.values() for one in kind)):
        assert f"`{name}`" in page or f"{{{name}: 1}}" in page, name
    for kind in ("mask", "warp", "color", "blend"):
        for name in NAMED[kind]:
            assert f"figures/{kind}-{name}.jpg" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_figure_and_page_that_is_linked_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)\)", page.read_text())
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) == page.count("::")
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"
    of_faults = {path.relative_to(ROOT) for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert {str(path) for path in of_faults} <= {path for path, _ in named}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "systems").glob("*.md")), ids=str)
def test_every_test_that_a_systems_page_names_is_there(page: Path) -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"\btest_\w+\b(?:\.py)?", page.read_text()))
    assert named
    for name in named:
        there = name in files if name.endswith(".py") else f"def {name}(" in tests
        assert there, f"{page.name} names {name}, which is not there"
