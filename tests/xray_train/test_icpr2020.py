"""Every configuration of icpr2020dfdc's networks trains, goes on exactly, and is tested."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from xray_train.backbones.attention import AUTO_ATTENTION
from xray_train.checkpoint import load
from xray_train.commands import DONE, build_parser, main

CONFIGS = Path(__file__).parents[2] / "xray_train" / "configs" / "icpr2020"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
SMALL = "test_efficientnet"
STEPS, CUT = 160, 112


def test_there_is_a_configuration_for_each_network() -> None:
    assert NAMES == [
        "efficientnetautoattb4", "efficientnetautoattb4st", "efficientnetb4", "efficientnetb4st",
        "triplet_efficientnetb4", "xception", "xceptionst",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_is_read_by_the_command_and_asks_for_what_was_published(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    told = build_parser().parse_args(["fit", "--config", str(path)]).fit
    fit = told.fit
    assert (fit.rate, fit.schedule, fit.factor) == (1e-5, "plateau", 0.1)
    assert (fit.period, fit.cooldown, fit.floor) == (10, 20, 1e-5)
    assert (fit.best, fit.fixed, fit.decay, fit.workers) == ("loss", 0, 0, 6)
    triplet, head = name.startswith("triplet"), name.endswith("st")
    assert fit.batch == (12 if triplet else 32)
    assert fit.validate_every == (50 if head else 500)
    assert fit.steps == (60_000 if triplet else 5_000 if head else 30_000)
    train = [one.init_args for one in told.train]
    assert all((one.face, one.size, one.augment) == ("scale", 224, True) for one in train)
    assert not told.val.init_args.augment
    assert told.val.init_args.split == "val"
    if not triplet:
        assert [(one.label, one.parts) for one in train] == [("real", 1), ("fake", 1)]
        assert told.val.init_args.limit == 6000
    lines = path.read_text().split("task:")[0].strip().splitlines()
    assert all(line.startswith("#") for line in lines)
    assert f"icpr2020/{name}.yaml" in lines[-1]
    assert "ours: not run" in " ".join(line.removeprefix("# ") for line in lines)


def backbone(name: str) -> str:
    """A small one of the same kind, or of another where the kind has none."""
    return "small_auto_att" if "autoatt" in name else "test_resnet" if "xc" in name else SMALL


def small(name: str, bank: FaceBank, out: Path, features: Path | None) -> dict[str, Any]:
    """A configuration with a small network and small pictures, for a hundred steps."""
    config: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    config["task"]["init_args"] |= {
        "backbone": backbone(name),
        "pretrained": "none" if features is None else str(features),
    }
    for source in (*config["train"], config["val"]):
        source["init_args"] |= {"bank": str(bank.root), "size": 64}
    config["val"]["init_args"] |= {"length": 12} if "triplet" in name else {"limit": 16}
    config["fit"] |= {
        "out": str(out), "steps": STEPS, "batch": 12, "rate": 0.002, "workers": 0, "log_every": 1,
        "validate_every": 16, "save_every": STEPS, "keep_every": CUT, "device": "cpu", "period": 2,
        "cooldown": 0, "floor": 0.0, "factor": 0.5,
    }  # fmt: skip
    return config


def train(config: dict[str, Any]) -> Path:
    out = Path(config["fit"]["out"])
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(path)]) == DONE
    return out


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["train/loss"] for line in lines if "train/loss" in line]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_learns_and_goes_on_where_it_was(
    name: str, people: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LR and scheduler of icpr2020dfdc began again at resume; here every tensor is the same."""
    monkeypatch.setitem(AUTO_ATTENTION, "small_auto_att", SMALL)
    features = None
    if name.endswith("st"):
        base = small("triplet_efficientnetb4", people, tmp_path / "features", None)
        base["task"]["init_args"]["backbone"] = backbone(name)
        base["fit"] |= {"steps": 8}
        features = train(base) / "last.pt"
    whole = train(small(name, people, tmp_path / "whole", features))
    told = losses(whole)
    assert len(told) == STEPS
    assert np.mean(told[-30:]) < 0.97 * np.mean(told[:30]), (told[:30], told[-30:])

    cut = tmp_path / "cut"
    cut.mkdir()
    shutil.copy(whole / f"step-{CUT:07d}.pt", cut / "last.pt")
    train(small(name, people, cut, features))
    one, other = load(whole / "last.pt"), load(cut / "last.pt")
    assert one.step == other.step == STEPS
    assert all(torch.equal(one.model[key], other.model[key]) for key in one.model)
    assert one.progress["losses"] == other.progress["losses"]
    for key, state in one.optimizer["state"].items():
        for kind, value in state.items():
            again = other.optimizer["state"][key][kind]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(again))
    assert losses(cut) == told[CUT:]


@pytest.mark.slow
def test_a_checkpoint_of_any_name_is_tested(people: FaceBank, tmp_path: Path) -> None:
    """Of icpr2020dfdc: network, face and size were parsed out of the checkpoint's path."""
    config = small("efficientnetb4", people, tmp_path / "run", None)
    config["fit"] |= {"steps": 8, "keep_every": 0}
    out = train(config)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(out / "last.pt", tmp_path / "elsewhere" / "net-Xception_face-tight_size-1.pth")
    words = (
        "test", "--ckpt", tmp_path / "elsewhere" / "net-Xception_face-tight_size-1.pth",
        "--on.class_path", "xray_train.sources.Frames", "--on.init_args.bank", people.root,
        "--on.init_args.split", "test", "--on.init_args.size", 64, "--device", "cpu",
        "--out", tmp_path / "test.json", "--scores", tmp_path / "scores",
    )  # fmt: skip
    assert main([str(word) for word in words]) == DONE
    told = json.loads((tmp_path / "test.json").read_text())
    assert not told["threshold_chosen_here"]
    assert told["threshold"] == load(out / "last.pt").progress["threshold"]
    frames = pq.read_table(tmp_path / "scores" / "frames.parquet")
    assert frames.num_rows == told["summary"]["frames"] > 0
    assert float(np.mean(frames["loss"].to_numpy())) == pytest.approx(
        told["summary"]["frame_log_loss"], rel=1e-5
    )
