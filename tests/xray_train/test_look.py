"""Sheets and curves show what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faceblend.errors import BadArgument
from tests.xray_train.tiny import Stripes, Tiny
from xray_train.look import look, sheet, write_curves, write_sheet
from xray_train.tasks import Prediction

CPU = torch.device("cpu")


def test_samples_are_spread_over_the_source_and_the_mode_is_kept() -> None:
    task, source = Tiny().train(), Stripes(length=40)
    seen = look(task, source, CPU, 3)
    for place, number in enumerate((0, 19, 39)):
        assert torch.equal(seen.images[place], source.item(number)["image"])
    assert task.training
    assert len(look(task, Stripes(length=2), CPU, 24).labels) == 2


def test_a_sheet_shows_picture_target_and_prediction(tmp_path: Path) -> None:
    seen = look(Tiny(), Stripes(), CPU, 2)
    xrays = torch.zeros(2, *seen.images.shape[2:])
    xrays[1] = 1
    seen.predicted.xrays.copy_(xrays)  # type: ignore[union-attr]
    shown = sheet(seen)
    assert shown.shape == (176, 2 * 480 + 4 + 484, 3)  # three places in a row, the last empty
    assert (shown[:160, 320:480] == 0).all()
    assert (shown[:160, 484 + 320 : 484 + 480] == 255).all()
    write_sheet(seen, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as written:
        np.testing.assert_array_equal(np.asarray(written), shown)


def test_a_task_without_xrays_has_no_sheet() -> None:
    seen = look(Tiny(), Stripes(), CPU, 2)
    bare = type(seen)(
        images=seen.images,
        targets=seen.targets,
        labels=seen.labels,
        predicted=Prediction(scores=seen.predicted.scores, xrays=None),
    )
    with pytest.raises(BadArgument, match="predicts no X-rays"):
        sheet(bare)


def test_curves_are_drawn_of_every_run_and_a_missing_log_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lines = [{"step": 50, "train/xray": 0.2}, {"step": 100, "val/frame_auc": 0.6}]
        (tmp_path / name / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    write_curves([tmp_path / "a", tmp_path / "b"], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.size == (1320, 396)
    with pytest.raises(BadArgument, match=r"log\.jsonl.*give the folder of a run"):
        write_curves([tmp_path], tmp_path / "curves.png")


def test_the_curves_of_a_run_without_xrays_are_its_loss_and_log_loss(tmp_path: Path) -> None:
    lines = [
        {"step": step, name: 1 / step}
        for step in (1, 2, 3)
        for name in ("train/loss", "val/frame_auc", "val/frame_log_loss")
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    write_curves([tmp_path], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    for panel in np.array_split(pixels, 3, axis=1):
        assert (np.ptp(panel, axis=2) > 50).any()  # a line in colour
