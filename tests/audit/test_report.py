"""The report shows what is in a set."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from PIL import ImageDraw

from faceblend.audit.report import contact_sheet, histograms, inspect, overlay
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadShard
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import Sample, sample
from faceblend.store import BlendSet


@pytest.fixture(scope="module")
def made(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "set"
    generate(bank, load_recipe("bi"), folder, count=12)
    return folder


@pytest.fixture(scope="module")
def samples(made: Path) -> list[Sample]:
    with BlendSet(made) as opened:
        return list(opened)


def test_a_sheet_shows_image_xray_and_overlay_of_each_sample(samples: list[Sample]) -> None:
    sheet = contact_sheet(samples[:5], panel=256, columns=2)
    for place, shown in enumerate(samples[:5]):
        top, left = place // 2 * 276, place % 2 * 772
        panels = [sheet[top : top + 256, left + 256 * i : left + 256 * (i + 1)] for i in range(3)]
        np.testing.assert_array_equal(panels[0], shown.image)
        np.testing.assert_array_equal(panels[1], np.dstack([shown.xray_u8] * 3))
        np.testing.assert_array_equal(panels[2], overlay(shown.image, shown.xray))
        # the caption
        assert (sheet[top + 256 : top + 272, left : left + 300] < 128).any()


def test_an_overlay_is_red_where_the_xray_is_and_the_picture_elsewhere() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    xray = np.zeros((4, 4), np.float32)
    xray[1, 2] = 1
    xray[2, 3] = 0.5
    painted = overlay(image, xray)
    assert painted[1, 2].tolist() == [216, 55, 55]
    assert painted[2, 3].tolist() == [158, 78, 78]
    assert (painted[xray == 0] == 100).all()


def test_the_xray_of_a_real_is_black_and_its_overlay_the_picture(samples: list[Sample]) -> None:
    sheet = contact_sheet(samples, panel=256, columns=1)
    for place, shown in enumerate(samples):
        top = place * 276
        picture, xray, mixed = np.split(sheet[top : top + 256, : 3 * 256], 3, axis=1)
        assert xray.any() == (shown.label == 1)
        assert np.array_equal(picture, mixed) == (shown.label == 0)
    assert {shown.label for shown in samples} == {0, 1}


def test_captions_tell_number_class_and_what_was_drawn(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original = ImageDraw.ImageDraw.text

    def spy(pen: Any, place: Any, text: str, **options: Any) -> None:
        written.append(text)
        original(pen, place, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    contact_sheet(samples)
    for caption, shown in zip(written, samples, strict=True):
        fake = json.loads(shown.record)["draw"]["fake"]
        if fake is None:
            assert caption == f"{shown.index} real"
        else:
            mask = fake["mask"]
            drawn = f"{mask['kind']}, {mask['soften']}, {fake['color']['name']}"
            assert caption == f"{shown.index} fake: {drawn}"


def test_every_panel_of_the_histograms_counts_all_that_was_drawn(samples: list[Sample]) -> None:
    contents = [json.loads(one.record) for one in samples]
    draws = [content["draw"] for content in contents]
    fakes = [draw["fake"] for draw in draws if draw["fake"] is not None]
    resampled = [draw for draw in draws if draw["resample"] is not None]
    lent = {content["foreground"] for content in contents} - {None}
    expected = {
        "class": len(samples),
        "times a face lent itself": len(lent),
        "mask": len(fakes),
        "colour transfer": len(fakes),
        "edge": len(fakes),
        "width of the edge, share": len(fakes),
        "erosion, px": len(fakes),
        "dilation, px": len(fakes),
        "working size, px": len([draw for draw in draws if draw["working_size"] is not None]),
        "resampled to, px": len(resampled),
        "resampled by": len(resampled),
        "JPEG quality": len([draw for draw in draws if draw["jpeg"] is not None]),
        "mirrored": len(samples),
        "redraws": len(samples),
    }
    figure = histograms(one.record for one in samples)
    counted = {
        axis.get_title().partition(" (n=")[0]: sum(bar.get_height() for bar in axis.patches)
        for axis in figure.axes
    }
    assert counted == expected
    for axis in figure.axes:
        title, told, number = axis.get_title().partition(" (n=")
        assert not told or int(number.rstrip(")")) == expected[title]


def test_histograms_count_every_sample(samples: list[Sample]) -> None:
    figure = histograms([one.record for one in samples])
    bars = {axis.get_title(): axis.patches for axis in figure.axes}
    fakes = sum(one.label for one in samples)
    assert sorted(bar.get_height() for bar in bars["class"]) == sorted([fakes, 12 - fakes])
    titles = {title.partition(" (")[0]: title for title in bars}
    assert sum(bar.get_height() for bar in bars[titles["working size, px"]]) == 12
    assert sum(bar.get_height() for bar in bars[titles["mask"]]) == fakes
    qualities = [json.loads(one.record)["draw"]["jpeg"] for one in samples]
    drawn = [quality for quality in qualities if quality is not None]
    assert sum(bar.get_height() for bar in bars[titles["JPEG quality"]]) == len(drawn)
    # one bin a whole number, so no bin holds two
    assert {bar.get_width() for bar in bars[titles["JPEG quality"]]} == {1.0}


def test_inspect_writes_both_pictures_where_it_is_told(made: Path, tmp_path: Path) -> None:
    shown = inspect(made, tmp_path / "look", count=50, panel=32)
    assert shown.samples == 12
    sheet = cv2.imread(str(shown.contact_sheet))
    # all twelve, three in a row
    assert sheet.shape[:2] == (4 * (32 + 20) - 4, 3 * (96 + 4) - 4)
    assert cv2.imread(str(shown.histograms)) is not None
    assert inspect(made, count=2, panel=32).contact_sheet.parent == made / "inspect"


def test_the_samples_of_a_sheet_are_spread_from_the_first_to_the_last(
    made: Path, samples: list[Sample], tmp_path: Path
) -> None:
    for count, chosen in ((1, [0]), (4, [0, 3, 7, 11])):
        inspect(made, tmp_path, count=count, panel=32)
        sheet = cv2.imread(str(tmp_path / "contact-sheet.png"))[..., ::-1]
        expected = contact_sheet([samples[place] for place in chosen], panel=32)
        np.testing.assert_array_equal(sheet, expected)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["contact-sheet.png", "histograms.png"]


def test_what_is_inspected_still_verifies(bank: FaceBank, made: Path) -> None:
    from faceblend.store import verify

    inspect(made, count=2, panel=32)
    assert not verify(made, bank=bank, replays=2).problems


def test_an_empty_or_missing_set_is_refused_in_words(bank: FaceBank, tmp_path: Path) -> None:
    with pytest.raises(BadShard, match=r"no manifest\.json"):
        inspect(tmp_path / "nowhere")
    recipe = load_recipe("bi", {"reject.min_area": 0.9, "fake_share": 1, "reject.attempts": 1})
    generate(bank, recipe, tmp_path / "set", count=2)
    with pytest.raises(BadShard, match="holds no sample"):
        inspect(tmp_path / "set")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "count: is 0"),
        ({"count": -1}, "count: is -1"),
        ({"panel": 0}, "panel: is 0"),
        ({"panel": 10**6}, "few programs open"),
    ],
    ids=str,
)
def test_a_sheet_of_nothing_or_of_the_whole_memory_is_refused(
    made: Path, tmp_path: Path, wrong: dict[str, int], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        inspect(made, tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


# -- damage --------------------------------------------------------------------------


def damaged(sound: str) -> Iterator[str]:
    """Records that no generator writes, made of one that it wrote for a fake."""
    yield from ("", "{", "null", "[]", "7", "{}", '{"draw": null}', '{"draw": {"fake": 1}}')
    yield "[" * 100_000
    for place, value in (
        ("foreground", None), ("foreground", []), ("attempt", "one"), ("attempt", 10**400),
        ("draw.fake", None), ("draw.fake.mask", 3), ("draw.fake.mask.kind", []),
        ("draw.fake.mask.kind", "a\nb"), ("draw.fake.mask.kind", "\ud800"),
        ("draw.fake.color", "x" * 5000), ("draw.fake.mask.width", "wide"),
        ("draw.fake.mask.erode", float("nan")), ("draw.jpeg", float("inf")),
        ("draw.jpeg", {}), ("draw.working_size", 10**12), ("draw.resample", []),
    ):  # fmt: skip
        content = json.loads(sound)
        inside = content
        *path, last = place.split(".")
        for step in path:
            inside = inside[step]
        inside[last] = value
        yield json.dumps(content)


def test_a_damaged_record_is_told_by_its_number_not_drawn(samples: list[Sample]) -> None:
    sound = next(one.record for one in samples if one.label == 1)
    tried = 0
    for record in damaged(sound):
        with pytest.raises(BadShard, match=r"^record 1: .*run faceblend verify"):
            histograms([sound, record])
        tried += 1
    assert tried == 25


def test_a_set_with_a_damaged_record_is_refused_by_its_name(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    shutil.rmtree(copy / "inspect", ignore_errors=True)
    with h5py.File(copy / "shard-00000.h5", "r+") as shard:
        shard["record"][7] = '{"draw'
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["bytes"] = (copy / "shard-00000.h5").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadShard, match="copy, record 7: is not one") as refused:
        inspect(copy)
    assert refused.value.where == f"{copy}, record 7"
    assert not (copy / "inspect").exists()


def test_a_lost_shard_and_a_set_of_folders_are_refused_in_words(
    bank: FaceBank, made: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    (copy / "shard-00000.h5").unlink()
    with pytest.raises(BadShard, match="is listed in the manifest and missing"):
        inspect(copy)
    generate(bank, load_recipe("bi"), tmp_path / "folders", count=2, layout="folder")
    with pytest.raises(BadShard, match="is a set of PNG folders"):
        inspect(tmp_path / "folders")


def test_a_sample_that_renders_alike_has_the_same_caption(bank: FaceBank) -> None:
    one = sample(bank, load_recipe("bi"), 0, 3)
    np.testing.assert_array_equal(contact_sheet([one]), contact_sheet([one]))
