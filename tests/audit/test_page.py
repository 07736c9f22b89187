"""The page shows a set truly, is one file that asks for nothing, and works in a browser."""

import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import yaml
from scipy import stats

from faceblend.audit.again import again
from faceblend.audit.drawn import Field, Tally, facts, largest_gap, read, tallied
from faceblend.audit.leaktable import leak_table
from faceblend.audit.page import NAME, _embedded, _policy, page
from faceblend.audit.shortcuts import Leak, Shortcuts
from faceblend.bank import FaceBank
from faceblend.cli import main
from faceblend.errors import BadArgument, BadBank, BadShard
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import lent, sample, unblended
from faceblend.store import BlendSet
from tests.conftest import make_bank

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028'\"&{{7*7}}"
AUDIT = Shortcuts(
    overall=Leak(group="overall", auc=0.83, low=0.79, high=0.86),
    groups=(
        Leak(group="blocks", auc=0.5, low=0.45, high=0.55),
        Leak(group=HOSTILE, auc=0.85, low=0.8, high=0.9),
    ),
    reals=21,
    fakes=18,
    left_out={"real": 0, "fake": 1},
    people=5,
    told_by="video",
).to_dict()


@pytest.fixture(scope="module")
def made(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples whose reals are never resampled to a working size: asymmetric."""
    folder = tmp_path_factory.mktemp("page") / "set"
    recipe = load_recipe("bi", {"working.reals": False, "name": HOSTILE})
    generate(bank, recipe, folder, count=40)
    (folder / "audit.json").write_text(json.dumps(AUDIT))
    (folder / "LICENSES.txt").write_text(f"public domain {HOSTILE}")
    return folder


@pytest.fixture(scope="module")
def file(made: Path, bank: FaceBank) -> Path:
    return page(made, bank=bank)


@pytest.fixture(scope="module")
def text(file: Path) -> str:
    return file.read_text("utf-8")


@pytest.fixture(scope="module")
def contents(made: Path) -> list[dict[str, Any]]:
    with BlendSet(made) as opened:
        return [json.loads(record) for record in opened.records()]


def data(text: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    return list(json.loads(found[1]))


def plain(text: str) -> str:
    """What is read on the page, without markup."""
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


# -- the file ------------------------------------------------------------------------


def test_the_page_is_one_file_that_asks_for_nothing(file: Path, text: str) -> None:
    assert file.name == NAME
    assert [one.name for one in file.parent.iterdir()] == [NAME]
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    sources = re.findall(r'\b(?:src|href)="([^"]*)"', text)
    assert all(re.match(r"data:|#", one) for one in sources)
    assert "<link" in text
    assert "<iframe" not in text
    assert len(text) < 6e6


def test_48_samples_of_256_px_stay_under_6_megabytes(text: str) -> None:
    # drawn faces are noisier than photographs: an upper bound
    pictures = sum(len(one) for sample in data(text) for one in _uris(sample))
    images = sum(map(len, re.findall(r'<img src="(data:[^"]*)"', text)))
    assert (pictures + images) / 40 * 48 < 6e6


def _uris(sample: dict[str, Any]) -> Iterator[str]:
    yield from (one for one in sample["pictures"].values() if one)


def test_the_policy_allows_this_script_and_no_other(text: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert html.unescape(policy) == _policy(scripts[0], style)
    assert "default-src 'none'" in html.unescape(policy)
    assert "unsafe" not in policy
    others = {_policy(scripts[0] + " ", style), _policy(scripts[0], style + " ")}
    assert len({*others, _policy(scripts[0], style)}) == 3


def test_what_comes_from_files_is_text(text: str) -> None:
    assert "onerror=alert(1)>" not in text.replace("onerror=alert(1)&gt;", "")
    assert text.count("<script") == 2
    assert "<!--" not in text
    assert "\u2028" not in "".join(re.findall(r"<script.*?</script>", text, re.DOTALL))
    assert "49" not in re.findall(r"<header>.*?</header>", text, re.DOTALL)[0]
    shown = plain(text)
    assert " ".join(HOSTILE.split()) in shown
    assert f"public domain {' '.join(HOSTILE.split())}" in shown


def test_json_in_a_script_cannot_end_it() -> None:
    dangerous = ["</script>", "<!--", "\u2028\u2029", "&amp;", "\ud800"]
    embedded = str(_embedded(dangerous))
    assert not re.search("[<>&\u2028\u2029]", embedded)
    assert json.loads(embedded) == dangerous


# -- what it says --------------------------------------------------------------------


def test_the_counts_are_those_of_the_records(text: str, contents: list[dict[str, Any]]) -> None:
    fakes = [one for one in contents if one["draw"]["fake"] is not None]
    shown = plain(text)
    assert f"40 samples: {40 - len(fakes)} real, {len(fakes)} fake." in shown
    lenders = Counter(one["foreground"] for one in fakes)
    assert f"faces that lent themselves {len(lenders)} of 12" in shown
    assert f"most often {max(lenders.values())} times" in shown
    shares = np.array(list(lenders.values())) / len(fakes)
    assert f"effective number {np.exp(stats.entropy(shares)):.1f}" in shown
    backgrounds = {one["background"].split("/")[1] for one in contents}
    assert f"background {len(backgrounds)} not told" in shown
    assert "v0.mp4 3" in shown
    assert "detector: drawn" in shown
    for part in ("candidates: 1000", "numpy", "--count 40 --seed 0"):
        assert part in shown


def test_every_sample_has_its_pictures_and_record(
    made: Path, bank: FaceBank, text: str, contents: list[dict[str, Any]]
) -> None:
    told = data(text)
    assert [int(one["index"]) for one in told] == [one["index"] for one in contents]
    images = re.findall(r'<img src="(data:[^"]*)"', text)
    with BlendSet(made) as opened:
        for place, sample in enumerate(opened):
            pictures = told[place]["pictures"]
            assert json.loads(told[place]["record"]) == json.loads(sample.record)
            assert _apart(images[place], sample.image) < 6
            np.testing.assert_array_equal(_decoded(pictures["xray"])[..., 0], sample.xray_u8)
            if sample.label:
                assert _apart(pictures["background"], unblended(sample, bank).image) < 6
                assert _apart(pictures["foreground"], lent(sample, bank)) < 6
            else:
                assert (pictures["background"], pictures["foreground"]) == ("", None)


def _decoded(uri: str) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(raw, cv2.IMREAD_COLOR))[..., ::-1]


def _apart(uri: str, image: np.ndarray) -> float:
    return float(np.abs(_decoded(uri).astype(float) - image).mean())


@pytest.mark.parametrize("steps", [[], [{"ops": {"noise": 1}}]], ids=["plain", "prepared"])
def test_what_lent_and_background_shows_blends_into_the_picture(
    bank: FaceBank, steps: list[dict[str, Any]]
) -> None:
    quiet = {"working.probability": 0, "resample.probability": 0, "jpeg.probability": 0}
    recipe = load_recipe("bi", {**quiet, "fake_share": 1.0, "prepare.steps": steps})
    for index in range(4):
        one = sample(bank, recipe, 5, index)
        assert one.alpha is not None
        alpha = one.alpha[..., None].astype(float)
        blended = alpha * lent(one, bank) + (1 - alpha) * unblended(one, bank).image
        assert np.abs(blended - one.image).max() <= 0.5 + 1e-3


def test_nobody_lends_to_a_real_or_from_another_bank(bank: FaceBank, tmp_path: Path) -> None:
    both = {}
    for index in range(12):
        one = sample(bank, load_recipe("bi"), 0, index)
        both[one.label] = one
    with pytest.raises(BadArgument, match="is real"):
        lent(both[0], bank)
    with pytest.raises(BadBank, match="has fingerprint"):
        lent(both[1], make_bank(tmp_path / "other", videos=2, frames=1))


def test_only_what_reals_and_fakes_draw_differently_is_flagged(text: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    flagged = [plain(one).split(" ")[0] for one in figures if "Reals and fakes differ" in one]
    assert flagged == ["working"]
    titles = " ".join(re.findall(r"<figcaption>(.*?)</figcaption>", text))
    for name in ("fake.mask.kind", "working_size", "jpeg", "fake.mask.width", "resample.size"):
        assert f"<code>{name}</code>" in titles


def test_the_audit_is_shown_and_its_absence_told(text: str, made: Path, tmp_path: Path) -> None:
    shown = plain(text)
    assert "A shortcut was found: AUC 0.830 (0.790 to 0.860)" in shown
    assert "blocks 0.500 0.450 to 0.550 none found" in shown
    assert "21 reals and 18 fakes of 5 people, told apart by video; 1 more" in shown
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    (copy / "audit.json").unlink()
    assert "Not audited" in plain(page(copy).read_text())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        "{}",
        json.dumps({**AUDIT, "overall": 3}),
        json.dumps({**AUDIT, "leaks": "yes"}),
        json.dumps({**AUDIT, "groups": [{"auc": 1}]}),
        json.dumps({**AUDIT, "overall": {**AUDIT["overall"], "low": float("nan")}}),
    ],
    ids=range(9),
)
def test_a_damaged_audit_breaks_no_page_and_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(content)
    table = leak_table(tmp_path / "audit.json")
    assert table is not None
    assert "audit.json cannot be read" in table.fault


# -- sets of all kinds ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "count"), [(0.5, 1), (0.0, 6), (1.0, 6)], ids=["one sample", "reals", "fakes"]
)
def test_a_set_of_one_sample_or_one_class_has_a_page(
    bank: FaceBank, tmp_path: Path, share: float, count: int
) -> None:
    generate(bank, load_recipe("bi", {"fake_share": share}), tmp_path / "set", count=count)
    shown = page(tmp_path / "set", tmp_path / "out", bank=bank).read_text()
    assert len(data(shown)) == count
    assert "Reals and fakes differ" not in shown
    assert ("--recipe bi --" in shown) == (share == 0.5)


def test_without_a_bank_two_views_are_missing_and_the_page_says_why(made: Path) -> None:
    shown = page(made, made / "without").read_text()
    views = re.findall(r'name="view" value="(\w+)"', shown)
    assert views == ["image", "xray", "overlay"]
    assert "No background and no foreground here" in plain(shown)
    assert "--bank BANK" in data(shown)[0]["command"]


def test_another_bank_is_refused(made: Path, tmp_path: Path) -> None:
    other = make_bank(tmp_path / "other", videos=2, frames=1)
    with pytest.raises(BadBank, match="the set was made from"):
        page(made, bank=other)


def test_a_bank_of_people_and_splits_is_counted(tmp_path: Path) -> None:
    names = {f"v{video}": f"person {(video + 1) // 2}" for video in range(6)}
    splits = {f"v{video}": ("train", "test")[video // 3] for video in range(6)}
    people = make_bank(tmp_path / "bank", videos=6, frames=1, subjects=names, splits=splits)
    recipe = load_recipe("bi", {"fake_share": 0.0})
    generate(people, recipe, tmp_path / "set", count=12)
    shown = plain(page(tmp_path / "set", bank=people).read_text())
    with BlendSet(tmp_path / "set") as opened:
        used = [json.loads(record)["background"].split("/")[1] for record in opened.records()]
    count = Counter(splits[name] for name in used)
    assert f"test {count['test']} 0 train {count['train']} 0" in shown
    assert f"background {len(set(used))} {len({names[one] for one in used})}" in shown


def test_damage_and_nonsense_are_told_in_words(made: Path, tmp_path: Path) -> None:
    for wrong in ({"count": 0}, {"panel": 0}, {"licence": tmp_path / "none"}):
        with pytest.raises(BadArgument):
            page(made, tmp_path / "out", **wrong)
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    with h5py.File(copy / "shard-00000.h5", "r+") as shard:
        shard["record"][7] = '{"draw'
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadShard, match="record 7: is not one"):
        page(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- records -------------------------------------------------------------------------


def test_fields_that_nobody_knew_appear_by_themselves() -> None:
    fake = {"new": {"name": "shiny", "options": {"power": 2.5}}, "grid": [[0.5, -2.0], [1, 0]]}
    draw = {"fake": fake, "steps": [{"name": "blur", "options": {"sigma": 1}}], "flag": True}
    content = {"index": 0, "background": "a", "foreground": "b", "recipe": "r", "attempt": 0}
    found = facts(read(json.dumps({**content, "draw": draw})))
    assert found == {
        "label": "fake", "recipe": "r", "attempt": 0, "fake.new": "shiny",
        "fake.new.shiny.power": 2.5, "fake.grid, largest": 2.0, "steps": ["blur"],
        "steps.blur.sigma": 1, "flag": "yes",
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), 10**400, [[["a"]]], {"name": [], "options": 1}])
def test_what_nothing_draws_is_refused(value: Any) -> None:
    content = {"index": 0, "background": "a", "foreground": None, "recipe": "r", "attempt": 0}
    record = json.dumps({**content, "draw": {"fake": None, "odd": value}})
    with pytest.raises(BadShard, match="run faceblend verify"):
        facts(read(record))


def test_a_part_that_was_not_drawn_counts_for_each_of_its_fields() -> None:
    drawn = [{"label": "real", "resample": "none"}, {"label": "fake", "resample.size": 64}]
    fields = {one.name: one for one in tallied(drawn)}
    assert set(fields) == {"label", "resample.size"}
    assert fields["resample.size"].real.words == {"none": 1}
    assert list(fields["resample.size"].fake.numbers) == [64]


def test_the_gap_is_the_statistic_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(3)
    for second in (rng.normal(0.3, 1, 90), rng.integers(0, 5, 70).astype(float)):
        first = rng.normal(size=60).round(1)
        expected = stats.ks_2samp(first, second).statistic
        assert largest_gap(sorted(first), sorted(second)) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.12, 0.2, 0.5])
def test_a_field_differs_where_scipy_says_so(shift: float) -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=1500), rng.normal(shift, 1, 1500)
    field = Field(name="x", real=_tally(first), fake=_tally(second), whole=False)
    assert field.differs == bool(stats.ks_2samp(first, second).pvalue < 0.001)


@pytest.mark.parametrize("other", [500, 540, 600])
def test_words_differ_where_two_proportions_do(other: int) -> None:
    real, fake = Tally(), Tally()
    for tally, number in ((real, 500), (fake, other)):
        for place in range(1000):
            tally.add("a" if place < number else "b")
    pooled = (500 + other) / 2000
    z = abs(500 - other) / 1000 / np.sqrt(pooled * (1 - pooled) * 2 / 1000)
    field = Field(name="x", real=real, fake=fake, whole=True)
    assert field.differs == bool(stats.norm.sf(z) * 2 < 0.001 / 2)


def _tally(values: np.ndarray) -> Tally:
    tally = Tally()
    for value in values.tolist():
        tally.add(value)
    return tally


# -- commands ------------------------------------------------------------------------


def test_the_commands_write_the_page_and_make_a_sample_again(
    made: Path, bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(made), "--html", "--bank", str(bank.root), "--out", str(tmp_path)]
    assert main([*words, "--count", "3"]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / NAME
    told = data((tmp_path / NAME).read_text())
    assert len(told) == 3
    command = told[1]["command"].split()
    assert command[0] == "faceblend"
    picture = tmp_path / "again.png"
    assert main([*command[1:-1], str(picture)]) == 0
    assert "byte for byte" in capsys.readouterr().out
    with BlendSet(made) as opened:
        stored = next(one for one in opened if one.index == int(told[1]["index"]))
    np.testing.assert_array_equal(cv2.imread(str(picture))[..., ::-1], stored.image)
    assert main(["inspect", str(made), "--licence", str(tmp_path / "terms.txt")]) == 2
    assert "add --html" in capsys.readouterr().err


def test_a_sample_that_was_changed_is_told(
    made: Path, bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    with h5py.File(copy / "shard-00000.h5", "r+") as shard:
        picture = shard["image"][5]
        picture[0, 0, 0] ^= 8
        shard["image"][5] = picture
    result = again(copy, 5, bank)
    assert (result.image_off, result.xray_off, result.same) == (8, 0, False)
    assert main(["replay", str(copy), "5", "--bank", str(bank.root)]) == 1
    assert "off by up to 8 levels" in capsys.readouterr().out
    for index, out, words in ((99, None, "is not in"), (5, tmp_path / "a.jpg", "end it in .png")):
        with pytest.raises(BadArgument, match=words):
            again(copy, index, bank, out)


def test_a_sample_is_found_by_its_number_past_rejected_ones(
    bank: FaceBank, tmp_path: Path
) -> None:
    recipe = load_recipe("bi", {"reject.min_area": 0.28, "fake_share": 1, "reject.attempts": 1})
    generate(bank, recipe, tmp_path / "set", count=16, shard_size=5)
    with BlendSet(tmp_path / "set") as opened:
        numbers = [one.index for one in opened]
    assert 0 < len(numbers) < 16
    for number in range(16):
        if number in numbers:
            assert again(tmp_path / "set", number, bank).same
        else:
            with pytest.raises(BadArgument, match="is not in"):
                again(tmp_path / "set", number, bank)


def test_the_recipe_of_the_page_makes_the_set_again(
    text: str, made: Path, bank: FaceBank, tmp_path: Path
) -> None:
    (shown,) = re.findall(r'<pre tabindex="0" id="recipe"[^>]*>(.*?)</pre>', text, re.DOTALL)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(html.unescape(shown))
    assert yaml.safe_load(recipe.read_text())["name"] == HOSTILE
    generate(bank, load_recipe(recipe), tmp_path / "set", count=40)
    again_there = (tmp_path / "set" / "shard-00000.h5").read_bytes()
    assert again_there == (made / "shard-00000.h5").read_bytes()


def test_the_page_needs_no_network(made: Path, tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "socket.socket.connect = None\n"
        "from faceblend.audit.page import page\n"
        "page(sys.argv[1], sys.argv[2], count=1)\n"
    )
    words = [sys.executable, "-W", "error", "-c", code, str(made), str(tmp_path)]
    subprocess.run(words, check=True, env={**os.environ})
