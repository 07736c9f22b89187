"""What fuzzing found stays mended, and the harness sees what it is there to see.

A campaign is run by ``python -m tests.fuzz``, see docs/fuzzing.md.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import broken, campaign
from tests.fuzz.mutate import mutated
from tests.fuzz.target import FOUND, ROOT

_BROKEN = "tests.fuzz.broken"


@pytest.mark.parametrize("module", campaign.MODULES)
def test_what_was_found_stays_mended(module: str) -> None:
    if module not in campaign.modules():
        pytest.skip(f"{module} needs what is not installed")
    result = campaign.again(module, each=20)
    assert not result.failures, "\n".join(map(str, result.failures))
    assert result.cases > 20
    assert result.accepted  # else no case gets past the door
    assert result.refused


@pytest.mark.slow
@pytest.mark.parametrize("module", campaign.MODULES)
def test_hundreds_of_hostile_files_are_read_or_refused_in_words(module: str) -> None:
    if module not in campaign.modules():
        pytest.skip(f"{module} needs what is not installed")
    result = campaign.again(module, each=400)
    assert not result.failures, "\n".join(map(str, result.failures))


def test_every_found_file_has_its_target() -> None:
    names = {one.name for one in campaign.targets(campaign.modules())}
    kept = {path.name for path in FOUND.iterdir()}
    if not importlib.util.find_spec("timm"):
        kept -= {"training-config"}
    # those of xray-train where it is not installed
    assert kept <= names or not importlib.util.find_spec("torch")


@pytest.mark.parametrize(
    ("name", "words", "seconds"),
    [
        ("raises", "raises KeyError", 5.0),
        ("dies", "takes the process with it (exit -6)", 5.0),
        ("hangs", "hangs for", 0.1),
        ("slow", "takes 0.", 0.2),
        ("grows", "takes 6", 5.0),
        ("hoards", "raises MemoryError", 5.0),
        ("mute", "names no place", 5.0),
    ],
)
def test_the_harness_sees(name: str, words: str, seconds: float, tmp_path: Path) -> None:
    chosen = [one for one in broken.TARGETS if one.name == name]
    (result,) = campaign.run(
        chosen,
        cases=2,
        engines=["mutation"],
        names=[_BROKEN],
        found=tmp_path,
        seconds=seconds,
        growth=2**25,
    )
    assert result.failed
    assert result.failures[0]["failure"].startswith(words)
    assert Path(result.failures[0]["path"]).parent == tmp_path / name
    assert result.cases == 2  # a process that died had a successor


def test_a_sound_reader_is_counted_as_such(tmp_path: Path) -> None:
    chosen = [one for one in broken.TARGETS if one.name == "sound"]
    results = list(
        campaign.run(chosen, cases=40, engines=["mutation"], names=[_BROKEN], found=tmp_path)
    )
    one = results[0]
    assert (one.cases, one.failed) == (40, 0)
    assert one.accepted
    assert one.refused
    assert campaign.report(results)["total"]["cases"] == 40
    assert "sound" in campaign.table(results)
    assert not list(tmp_path.iterdir())


def test_a_case_is_a_function_of_seed_and_number() -> None:
    seeds = [b'{"a": [1, 2, 3]}', b"text"]
    first, second = (
        [mutated(seeds, np.random.default_rng(number)) for number in range(50)] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) > 30


def test_every_target_is_on_the_page() -> None:
    page = (ROOT / "docs" / "fuzzing.md").read_text("utf-8")
    for one in campaign.targets(campaign.modules()):
        assert f"`{one.name}`" in page, one.name
