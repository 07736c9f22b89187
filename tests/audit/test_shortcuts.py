"""The audit finds a planted shortcut, passes a clean set, and looks where no mask reaches."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from faceblend.audit import shortcuts as audit
from faceblend.audit.chart import draw_chart
from faceblend.audit.measure import Measured, measure_recipe, measure_set
from faceblend.audit.shortcuts import Leak, interval, shortcuts
from faceblend.audit.zone import MARGIN, Zones, zones_of_set
from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, DONE, FAILURES, main
from faceblend.errors import BadArgument, BadBank
from faceblend.generate import generate
from faceblend.recipe import Recipe, load_recipe, preset_names
from faceblend.sample import alpha_of, sample, unblended
from faceblend.store import BlendSet

FACES = Path(__file__).parents[3] / "shared" / "faces"
LEAKS = {"bi": False, "sbi": False, "i2g": False, "algohunt": True}


def made_up(leak: float, *, samples: int = 600, people: int = 12, seed: int = 0) -> Measured:
    """Noise beside the look of a face; ``leak`` is how far fakes are moved in one group."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 3 * people, samples)
    labels = rng.integers(0, 2, samples)
    looks = {
        "spectrum": rng.normal(0, 5, (3 * people, 4)),
        "noise": rng.normal(0, 5, (3 * people, 6)),
    }
    values = {
        name: look[faces] + rng.normal(size=(samples, look.shape[1]))
        for name, look in looks.items()
    }
    values["noise"][:, 2] += leak * labels
    return Measured(
        values=values,
        labels=labels,
        backgrounds=faces,
        people=faces // 3,
        told_by="video",
        left_out={"real": 0, "fake": 0},
    )


@pytest.fixture(scope="module")
def small() -> Recipe:
    """Blends that leave much of the window alone."""
    recipe = load_recipe("bi")
    still = replace(recipe.deform, probability=0.0)
    return replace(recipe, deform=still, partner=replace(recipe.partner, candidates=20))


# -- the zone ------------------------------------------------------------------------


def test_the_alpha_of_a_draw_is_the_one_that_blended(bank: FaceBank) -> None:
    from faceblend.draw import draw

    for name in ("bi", "seed"):
        recipe = replace(load_recipe(name), fake_share=1.0)
        for index in range(12):
            blend = sample(bank, recipe, 3, index)
            drawn = draw(bank, recipe, 3, index, json.loads(blend.record)["attempt"])
            landmarks = np.array(bank.landmarks[drawn.background])
            np.testing.assert_array_equal(alpha_of(landmarks, 317, drawn), blend.alpha)


def test_a_real_keeps_out_of_the_mask_that_it_would_have_had(
    bank: FaceBank, small: Recipe
) -> None:
    zones = Zones(recipe=small, bank=bank, crop_size=317)
    for index in range(40):
        blend = sample(bank, replace(small, fake_share=1.0), 0, index)
        real = sample(bank, replace(small, fake_share=0.0), 0, index)
        np.testing.assert_array_equal(zones.of(real), zones.of(blend))
        assert not (zones.of(blend) & (blend.alpha > 1 / 512)).any()  # type: ignore[operator]
        # and nothing but the foreground tells the two apart
        outside = cv2.dilate((blend.alpha > 0).astype(np.uint8), np.ones((41, 41))) == 0  # type: ignore[operator]
        same = (unblended(blend, bank).image == blend.image).all(2) | ~outside
        assert same.mean() > 0.999


def test_a_set_without_its_bank_has_the_same_zones(
    bank: FaceBank, small: Recipe, tmp_path: Path
) -> None:
    generate(bank, small, tmp_path / "set", count=24)
    with BlendSet(tmp_path / "set") as blends:
        alone, beside = zones_of_set(blends, None), zones_of_set(blends, bank)
        for one in blends:
            assert (alone.of(one) != beside.of(one)).mean() < 0.001
        other = replace(bank, fingerprint="f" * 64)
        with pytest.raises(BadBank, match="give the bank that the set was made from"):
            zones_of_set(blends, other)


def test_a_set_of_other_crops_asks_for_its_bank(
    bank: FaceBank, small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(bank, small, tmp_path / "set", count=12)
    monkeypatch.setattr("faceblend.audit.zone.USUAL_CROP", 400)
    with BlendSet(tmp_path / "set") as blends, pytest.raises(BadArgument, match="--bank"):
        zones_of_set(blends, None)
    assert MARGIN >= 18  # a square of JPEG's chroma, and what decoding looks at beside it


# -- the models ----------------------------------------------------------------------


def test_a_planted_leak_is_found_in_its_group_and_not_in_the_other() -> None:
    found = shortcuts(made_up(1.5))
    by_group = {one.group: one for one in found.groups}
    assert found.leaks
    assert found.overall.leaks
    assert by_group["noise"].leaks
    # Phi(1.5 / sqrt 2) = 0.856 is the best that there is
    assert 0.75 < by_group["noise"].auc < 0.86
    assert not by_group["spectrum"].leaks
    assert by_group["spectrum"].low < 0.5 < by_group["spectrum"].high


def test_where_nothing_is_planted_nothing_is_found_and_the_answer_is_always_the_same() -> None:
    clean = made_up(0.0)
    found = shortcuts(clean)
    assert not found.leaks
    assert found.overall.low < 0.5 < found.overall.high
    assert found == shortcuts(clean)
    assert "no shortcut found" in str(found)


def test_nobody_is_learned_from_and_asked_about() -> None:
    # a person whose samples are all fake tells the label to whoever has seen that person
    measured = made_up(0.0, samples=900)
    told = np.eye(12)[measured.people]
    labels = (measured.people % 2).astype(np.int64)
    values = {"noise": 10 * told}
    found = shortcuts(replace(measured, values=values, labels=labels, backgrounds=np.arange(900)))
    assert found.overall.auc < 0.6


def test_the_interval_holds_the_auc_that_scikit_learn_gives_and_narrows_with_people() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for people in (8, 60):
        who = np.arange(30 * people) % people
        labels = rng.integers(0, 2, len(who))
        scores = np.round(rng.normal(size=len(who)) + 0.3 * labels, 1)  # with ties
        draws = rng.multinomial(people, np.full(people, 1 / people), size=500)
        auc, low, high = interval(scores, labels, who, draws)
        assert auc == pytest.approx(roc_auc_score(labels, scores))
        assert low < auc < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_is_wider_where_people_differ() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(20), 30)
    labels = rng.integers(0, 2, 600)
    draws = rng.multinomial(20, np.full(20, 0.05), size=500)
    side = np.where(who % 2, 1.0, -1.0)
    alike = rng.normal(size=600)
    differing = alike + 2 * side * labels  # told, but the other way round for half of the people
    _, low, high = interval(alike, labels, who, draws)
    _, low_2, high_2 = interval(differing, labels, who, draws)
    assert high_2 - low_2 > 1.3 * (high - low)


@pytest.mark.parametrize(
    ("auc", "low", "high", "words"),
    [
        (0.7, 0.6, 0.8, "leaks"),
        (0.54, 0.51, 0.57, "faint"),
        (0.6, 0.45, 0.75, "none found"),
        (0.4, 0.3, 0.49, "below chance"),
    ],
)
def test_a_verdict_needs_the_interval_and_the_size(
    auc: float, low: float, high: float, words: str
) -> None:
    found = Leak(group="noise", auc=auc, low=low, high=high)
    assert found.verdict == words
    assert found.leaks == (words == "leaks")


def test_too_little_to_learn_from_is_said() -> None:
    few = made_up(0.0, people=4)
    with pytest.raises(BadArgument, match="samples of 4 people, told apart by video"):
        shortcuts(few)
    measured = made_up(0.0)
    with pytest.raises(BadArgument, match="has 0 fake samples"):
        shortcuts(replace(measured, labels=0 * measured.labels))


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "find_spec", lambda _: None)
    with pytest.raises(BadArgument, match=r"pip install 'faceblend\[audit\]'"):
        shortcuts(made_up(0.0))


def test_the_chart_shows_every_group() -> None:
    found = shortcuts(made_up(1.5))
    (axis,) = draw_chart(found, "made up").axes
    assert [one.get_text() for one in axis.get_yticklabels()] == ["overall", "spectrum", "noise"]
    widths = [bar.get_width() + 0.5 for bar in axis.patches]
    np.testing.assert_allclose(widths, [found.overall.auc, *(one.auc for one in found.groups)])


# -- the command ---------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logistic regression alone, which learns in a tenth of the time."""
    both = audit._models
    monkeypatch.setattr(audit, "_models", lambda: both()[:1])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Six drawn people."""
    from tests.conftest import make_bank

    return make_bank(tmp_path_factory.mktemp("people"), videos=6, frames=2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("reals", [False, True], ids=["fakes alone", "both"])
def test_resampling_before_the_blend_is_flagged_where_fakes_alone_take_it(
    reals: bool, people: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told_of = {
        "deform.probability": "0",
        "resample.probability": "0",
        "partner.candidates": "20",
        "working.size": "[128, 160]",
        "working.reals": str(reals).lower(),
    }
    words = ["audit", "--bank", str(people.root), "--count", "90", "--workers", "1", "--strict"]
    words += [word for name, value in told_of.items() for word in (f"--recipe.{name}", value)]
    words += ["--json", str(tmp_path / "audit.json"), "--plot", str(tmp_path / "audit.png")]
    assert main(words) == (DONE if reals else FAILURES)
    told = json.loads((tmp_path / "audit.json").read_text())
    leaking = {one["group"] for one in told["groups"] if one["verdict"] == "leaks"}
    assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")
    if reals:
        assert not leaking
        assert "no shortcut found" in capsys.readouterr().out
    else:
        assert told["overall"]["auc"] > 0.9
        assert leaking >= {"sharpness", "noise"}
        assert "shortcut: outside the masks" in capsys.readouterr().out


def test_a_set_and_its_recipe_are_measured_alike(
    people: FaceBank, small: Recipe, tmp_path: Path
) -> None:
    generate(people, small, tmp_path / "set", count=30, seed=2, shard_size=20)
    with BlendSet(tmp_path / "set") as blends:
        stored = measure_set(blends, people)
    rendered = measure_recipe(people, small, count=30, seed=2)
    assert stored.told_by == rendered.told_by == "video"
    for name in ("labels", "backgrounds", "people"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(rendered, name))
    for group, values in stored.values.items():
        np.testing.assert_array_equal(values, rendered.values[group])


@pytest.mark.usefixtures("quick")
def test_the_numbers_of_a_set_are_left_inside_it(
    people: FaceBank, small: Recipe, tmp_path: Path
) -> None:
    generate(people, small, tmp_path / "set", count=60)
    assert main(["audit", str(tmp_path / "set"), "--workers", "1"]) == DONE
    told = json.loads((tmp_path / "set" / "audit.json").read_text())
    assert told["audited"] == str(tmp_path / "set")
    assert told["told_by"] == "folder"
    assert told["people"] == 6
    assert (tmp_path / "set" / "audit.png").exists()


def test_nothing_to_look_at_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == BAD_INPUT
    assert "give a set, or --recipe and --bank" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("preset", [name for name in LEAKS if name in preset_names()])
def test_presets_on_photographs(preset: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from faceblend.ingest.detect import DlibHog
    from faceblend.ingest.extract import extract

    if not FACES.is_dir():
        pytest.skip(f"{FACES}, the photographs of 28 people, is not there")
    root = tmp_path_factory.getbasetemp() / "photographs"
    if not (root / "bank.json").exists():
        extract(FACES / "people", root, detector=DlibHog())
        FaceBank.open(root).decode()
    found = shortcuts(measure_recipe(FaceBank.open(root), load_recipe(preset), count=4000))
    if LEAKS[preset]:
        assert found.overall.auc >= 0.75
        assert found.overall.leaks
    else:
        assert found.overall.low <= 0.5 <= found.overall.high
        assert found.overall.auc <= 0.55
        assert not found.leaks
