"""The report shows what is in a set."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.audit.report import contact_sheet, histograms, inspect, overlay
from faceblend.bank import FaceBank
from faceblend.errors import BadShard
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
    painted = overlay(image, xray)
    assert painted[1, 2].tolist() == [216, 55, 55]
    assert (painted[xray == 0] == 100).all()


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


def test_a_sample_that_renders_alike_has_the_same_caption(bank: FaceBank) -> None:
    one = sample(bank, load_recipe("bi"), 0, 3)
    np.testing.assert_array_equal(contact_sheet([one]), contact_sheet([one]))
