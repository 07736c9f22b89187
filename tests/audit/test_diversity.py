"""A hundred pairs drawn a million times are told from variety."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from faceblend.audit.diversity import Use, chao_shen, diversity, diversity_of, entropy
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadShard
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import sample
from faceblend.store import BlendSet
from tests.conftest import make_bank


def record(
    background: str, foreground: str | None, *, mask: str = "hull", color: str = "mean"
) -> str:
    fake: dict[str, Any] | None = None
    if foreground is not None:
        region = {"kind": mask, "offsets": None, "warp": None, "soften": "feather"}
        fake = {"mask": region, "color": {"name": color}, "blend": {"name": "alpha"}}
    draw = {"fake": fake, "family": None, "prepared": "background", "prepare": []}
    return json.dumps({"background": background, "foreground": foreground, "draw": draw})


def by_formula(counts: list[int]) -> float:
    """Chao and Shen's estimator, term by term."""
    n, once = sum(counts), counts.count(1)
    total = 0.0
    for count in counts:
        p = (1 - once / n) * count / n
        total -= p * math.log(p) / (1 - (1 - p) ** n)
    return total


def test_entropy_is_shannons() -> None:
    counts = np.array([5, 1, 0, 90, 4])
    assert entropy(counts) == pytest.approx(float(stats.entropy(counts)))
    assert entropy(np.array([7])) == 0
    assert entropy(np.array([], np.int64)) == 0


def test_the_estimator_is_the_published_one() -> None:
    counts = [1, 1, 1, 2, 2, 3, 8, 13]
    assert chao_shen(np.array([*counts, 0])) == pytest.approx(by_formula(counts), rel=1e-12)
    assert chao_shen(np.array([9])) == 0


@pytest.mark.parametrize(("kinds", "draws"), [(100, 1_000_000), (1000, 1000), (3000, 1000)])
def test_equally_likely_kinds_are_counted(kinds: int, draws: int) -> None:
    rng = np.random.default_rng(3)
    numbers = [
        math.exp(chao_shen(np.bincount(rng.integers(kinds, size=draws)))) for _ in range(20)
    ]
    # as many draws as kinds: a tenth too many, which is the estimator's own (docs/diversity.md)
    assert np.mean(numbers) == pytest.approx(kinds, rel=0.12)
    if draws <= kinds:
        # what was seen alone says too little, by far
        assert math.exp(entropy(np.bincount(rng.integers(kinds, size=draws)))) < 0.65 * kinds


def test_uneven_kinds_are_corrected_towards_the_truth() -> None:
    share = 1 / np.arange(1, 2001)
    share /= share.sum()
    true = float(stats.entropy(share))
    rng = np.random.default_rng(4)
    drawn = [rng.multinomial(1500, share) for _ in range(20)]
    corrected = np.mean([chao_shen(counts) for counts in drawn])
    plain = np.mean([entropy(counts) for counts in drawn])
    assert abs(corrected - true) < 0.1
    assert true - plain > 0.4


def test_kinds_that_never_repeat_are_many() -> None:
    assert chao_shen(np.ones(1000, np.int64)) == pytest.approx(2 * math.log(1000), rel=0.1)


def test_a_hundred_pairs_drawn_often_are_a_hundred() -> None:
    rng = np.random.default_rng(0)
    few = [record(f"b{pair}", f"f{pair}") for pair in rng.integers(100, size=20_000)]
    found = diversity(few)
    assert found.pairs.distinct == found.blends.distinct == 100
    assert found.distinct_blends == pytest.approx(100, rel=0.01)
    assert "as varied as about 99.7 equally likely" in str(found)
    many = [record(f"b{a}", f"f{b}") for a, b in rng.integers(1000, size=(5000, 2))]
    assert diversity(many).distinct_blends > 100_000


def test_choices_multiply_pairs() -> None:
    rng = np.random.default_rng(1)
    drawn = [
        record(f"b{pair}", "f", mask=("hull", "full")[one], color=("mean", "none")[two])
        for pair, one, two in zip(
            rng.integers(50, size=9000),
            rng.integers(2, size=9000),
            rng.integers(2, size=9000),
            strict=True,
        )
    ]
    found = diversity(drawn)
    assert found.pairs.effective == pytest.approx(50, rel=0.01)
    assert found.distinct_blends == pytest.approx(200, rel=0.02)
    assert found.choices["mask"].effective == pytest.approx(2, rel=0.01)
    assert found.choices["blend"].distinct == 1
    named = [name for name, _ in found.rows()]
    assert named == [
        "faces as background", "faces as foreground", "pairs", "mask", "colour", "distinct blends",
    ]  # fmt: skip
    assert found.foregrounds.largest_share == 1


def test_faces_are_counted_by_role_and_against_the_bank() -> None:
    drawn = [record("a", "b"), record("a", "b"), record("c", "d"), record("e", None)]
    found = diversity(drawn, faces=10)
    assert (found.samples, found.fakes) == (4, 3)
    backgrounds, foregrounds = found.backgrounds, found.foregrounds
    assert (backgrounds.distinct, backgrounds.most, backgrounds.coverage) == (3, 2, 0.3)
    assert (foregrounds.distinct, foregrounds.most) == (2, 2)
    assert foregrounds.largest_share == pytest.approx(2 / 3)
    even = float(stats.entropy([2, 1])) / math.log(10)
    assert foregrounds.evenness == pytest.approx(even)
    assert diversity(drawn).foregrounds.evenness == pytest.approx(
        even * math.log(10) / math.log(2)
    )
    assert found.once == 1
    assert diversity(drawn).backgrounds.coverage is None
    with pytest.raises(BadArgument, match="faces: is 2, and the set shows 3"):
        diversity(drawn, faces=2)


def test_what_is_used_once_or_never_has_no_evenness() -> None:
    none = diversity([record("a", None)])
    assert none.distinct_blends == 0
    assert none.pairs == Use(total=0, distinct=0, most=0, effective=0.0, of=None)
    assert none.pairs.evenness is None
    assert str(none) == "1 samples, none of them a blend"
    assert none.to_dict()["pairs"]["largest_share"] == 0


def test_a_real_recipe_is_read(bank: FaceBank) -> None:
    recipe = load_recipe("bi", {"fake_share": 1.0})
    records = [sample(bank, recipe, 2, index).record for index in range(12)]
    found = diversity(records, faces=len(bank))
    contents = [json.loads(one) for one in records]
    assert found.foregrounds.distinct == len({one["foreground"] for one in contents})
    masks = {one["draw"]["fake"]["mask"]["kind"] for one in contents}
    assert found.choices["mask"].distinct == len(masks)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_a_set_is_counted_against_its_own_bank(bank: FaceBank, tmp_path: Path) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", count=8)
    found = diversity_of(tmp_path / "set", bank)
    with BlendSet(tmp_path / "set") as made:
        assert found == diversity(made.records(), faces=len(bank.reals))
    with pytest.raises(BadBank, match=r"is not the bank that .*set was made from"):
        diversity_of(tmp_path / "set", make_bank(tmp_path / "other", videos=2))


@pytest.mark.parametrize(
    "damaged",
    ["not json", "[]", "{}", record("a", "b").replace('"a"', "3"), record("a", "b")[:-5] + "}"],
)
def test_a_damaged_record_is_named(damaged: str) -> None:
    with pytest.raises(BadShard, match="set, record 1: "):
        diversity([record("a", None), damaged], where="set, record")
