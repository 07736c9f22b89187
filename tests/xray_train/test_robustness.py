"""The table of robustness: its grid, its rows, its files; the plain value is among them."""

import csv
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from faceblend.errors import BadArgument
from xray_train.degradations import DEGRADATIONS
from xray_train.robustness import (
    COLUMNS,
    PLAIN,
    Degraded,
    Point,
    measure,
    read_grid,
    write,
)
from xray_train.settings import Fit
from xray_train.sources import Item, Source
from xray_train.tasks import Images, Prediction

CPU = torch.device("cpu")
HOW = Fit(out="unused", batch=8)


class Grain(Source):
    """Smooth pictures; a forgery has grain on it. Two pictures are a video."""

    def __init__(self, only_reals: bool = False, several: bool = False) -> None:
        self.parts, self._only_reals, self._several = 1, only_reals, several

    def __len__(self) -> int:
        return 24

    def item(self, number: int) -> Item:
        rng = np.random.default_rng(number)
        image = rng.normal(128, 25, (40, 40, 3)).astype(np.float32)
        image = cv2.GaussianBlur(image, (0, 0), 4)
        label = 0 if self._only_reals else number % 2
        image += rng.normal(0, 1 + 3 * label, image.shape)
        given = torch.from_numpy(np.rint(image).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
        given = given.contiguous()
        if self._several:
            given = torch.stack([given, given.flip(-1)])
        return {
            "image": given,
            "xray": torch.zeros(1, 40, 40, dtype=torch.uint8),
            "label": torch.tensor(label),
        }

    def named(self, number: int) -> tuple[Item, str]:
        return self.item(number), f"video {number // 2 % 6}, {number % 2}"

    def shuffled(self) -> bool:
        return True

    def classes(self) -> set[int]:
        return {0} if self._only_reals else {0, 1}


class Roughness(nn.Module):
    """Scores a picture by how much neighbours differ."""

    def predict(self, images: Images) -> Prediction:
        rough = images.float().diff(dim=-1).abs().mean(dim=(1, 2, 3))
        return Prediction(scores=1 - torch.exp(-rough / 10))


def measured(grid: dict[str, tuple[float, ...]], source: Source | None = None) -> list[Point]:
    return measure(Roughness(), source or Grain(), grid, device=CPU, settings=HOW, threshold=0.3)


def test_the_packaged_grid_is_in_order_from_mild_to_hard() -> None:
    grid = read_grid()
    assert set(grid) == set(DEGRADATIONS)
    assert grid["jpeg"][0] == 95
    assert {23, 40} <= set(grid["h264"])  # FF++'s
    for name, values in grid.items():
        assert list(values) == sorted(values, reverse=DEGRADATIONS[name].falling)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fog: [1]", "names 'fog'; give some of jpeg, h264"),
        ("jpeg: []", r"has \[\] for jpeg"),
        ("jpeg: 50", "has 50 for jpeg; give a list"),
        ("jpeg: [0]", "has 0 for jpeg; give whole numbers from 1 to 100"),
        ("h264: [23.5]", "has 23.5 for h264; give whole numbers from 0 to 51"),
        ("blur: [true]", "has True for blur"),
        ("resize: [.nan]", "has nan for resize"),
        ("resize: [two]", "has 'two' for resize"),
        ("", "names nothing to test"),
        ("jpeg: [", "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(BadArgument, match=words):
        read_grid(tmp_path / "grid.yaml")


def test_the_plain_value_comes_first_and_the_mildest_are_close_to_it() -> None:
    points = measured({"jpeg": (100,), "noise": (0,), "resize": (1,)})
    assert [(one.degradation, one.value) for one in points] == [
        (PLAIN, None), ("jpeg", 100), ("noise", 0), ("resize", 1),
    ]  # fmt: skip
    plain, coded, still, whole = (one.result.summary for one in points)
    assert plain.frame_auc == 1.0
    assert still == whole == plain  # not a pixel is another
    assert coded.frame_auc == pytest.approx(plain.frame_auc, abs=0.02)
    assert all(one.result.threshold == 0.3 for one in points)
    assert not any(one.result.threshold_chosen_here for one in points)


def test_what_takes_the_trace_away_takes_the_auc_away() -> None:
    """Of a score that is the trace itself; a network's curve may go any way."""
    points = measured({"blur": (6.0,), "noise": (100.0,)})
    plain, blurred, noisy = (one.result.summary.frame_auc for one in points)
    assert plain == 1.0
    assert blurred is not None
    assert noisy is not None
    assert blurred < 0.95
    assert noisy < 0.95


def test_noise_is_of_the_seed_and_the_item_alone() -> None:
    given = Grain()
    first = Degraded(given, "noise", 10.0, seed=1)
    again = Degraded(given, "noise", 10.0, seed=1)
    assert torch.equal(first.item(3)["image"], again.item(3)["image"])
    assert not torch.equal(first.item(3)["image"], Degraded(given, "noise", 10.0).item(3)["image"])
    sent = pickle.loads(pickle.dumps(first))  # noqa: S301 - made here, as for a worker
    assert torch.equal(first.item(3)["image"], sent.item(3)["image"])
    added = [first.item(number)["image"].int() - given.item(number)["image"] for number in (3, 5)]
    assert not torch.equal(*added)


def test_labels_videos_and_several_pictures_a_sample_go_through() -> None:
    given = Grain(several=True)
    worse = Degraded(given, "blur", 2.0)
    item, video = worse.named(5)
    assert item["image"].shape == (2, 3, 40, 40)
    assert (int(item["label"]), video) == (1, given.named(5)[1])
    one = Degraded(Grain(), "blur", 2.0).item(5)["image"]
    assert torch.equal(item["image"][0], one)
    assert not torch.equal(item["image"][1], one)


def test_the_files_hold_every_point(tmp_path: Path) -> None:
    points = measured({"jpeg": (90, 30), "blur": (1.0,)})
    paths = write(points, tmp_path, what="roughness on grain", seed=0)
    told = json.loads(paths[0].read_text())
    assert [one["value"] for one in told["points"]] == [None, 90, 30, 1.0]
    rows = list(csv.reader(paths[1].read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row[:2] for row in rows[1:]] == [
        ["none", ""], ["jpeg", "90"], ["jpeg", "30"], ["blur", "1"],
    ]  # fmt: skip
    assert rows[1][-2:] == ["24", "12"]
    for row, one in zip(rows[1:], points, strict=True):
        auc, low, high = map(float, row[2:5])
        assert auc == pytest.approx(one.result.summary.frame_auc, abs=1e-6)
        assert low <= auc <= high
    assert b"\r" not in paths[1].read_bytes()
    image = cv2.imread(str(paths[2]))
    assert image is not None
    assert image.std() > 5


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(BadArgument, match="holds one class alone"):
        measured({"blur": (1.0,)}, Grain(only_reals=True))


def test_a_grid_of_ones_own_needs_no_other_ways(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"blur": [2, 0.5, 2]}))
    assert read_grid(tmp_path / "grid.yaml") == {"blur": (0.5, 2)}
