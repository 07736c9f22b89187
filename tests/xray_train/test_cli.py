"""The commands do their jobs on small banks, and say what went wrong in one line."""

import json
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from tests.conftest import make_bank
from xray_train.checkpoint import load
from xray_train.commands import BAD_INPUT, DONE, build_parser, main

CONFIGS = Path(__file__).parents[2] / "xray_train" / "configs"


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("banks")
    make_bank(root / "train")
    make_bank(root / "val", videos=3)
    return root


@pytest.fixture(scope="module")
def trained(banks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, which takes a few seconds."""
    out = tmp_path_factory.mktemp("run")
    config = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    config["train"][0]["init_args"]["bank"] = str(banks / "train")
    config["val"]["init_args"] |= {"bank": str(banks / "val"), "length": 6}
    config["fit"] |= {
        "out": str(out / "run"), "steps": 4, "batch": 4, "warmup": 0, "decay": 2, "workers": 0,
        "validate_every": 2, "save_every": 2, "log_every": 2, "device": "cpu",
    }  # fmt: skip
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    assert run("fit", "--config", out / "config.yaml") == DONE
    return out


def test_fit_trains_validates_and_writes_its_figures(trained: Path) -> None:
    saved = load(trained / "run" / "last.pt")
    assert saved.step == 4
    assert saved.task["init_args"]["backbone"] == "hrnet_w18_small"
    told = json.loads((trained / "run" / "val.json").read_text())
    assert told["summary"]["frames"] == 6
    assert told["threshold_chosen_here"]
    assert (trained / "run" / "curves.png").exists()


def test_fit_again_continues_and_an_option_goes_before_the_file(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("fit", "--config", trained / "config.yaml")
    assert run(*words) == DONE
    assert "4 steps, done" in capsys.readouterr().out
    assert run(*words, "--fit.rate", 0.5) == BAD_INPUT
    rate = yaml.safe_load((trained / "config.yaml").read_text())["fit"]["rate"]
    assert f"was trained with rate {rate}, and 0.5 is asked for" in capsys.readouterr().err


def test_test_takes_the_threshold_of_validation(
    trained: Path, banks: Path, tmp_path: Path
) -> None:
    generate(FaceBank.open(banks / "val"), load_recipe("bi"), tmp_path / "set", count=6, seed=4)
    on = ("--on.class_path", "xray_train.sources.Shards", "--on.init_args.path", tmp_path / "set")
    ckpt = ("--ckpt", trained / "run" / "last.pt", "--device", "cpu")
    assert run("test", *ckpt, *on, "--out", tmp_path / "test.json") == DONE
    told = json.loads((tmp_path / "test.json").read_text())
    assert (tmp_path / "test.png").exists()
    assert not told["threshold_chosen_here"]
    assert told["threshold"] == load(trained / "run" / "last.pt").progress["threshold"]
    assert run("validate", *ckpt, *on, "--out", tmp_path / "val.json") == DONE
    assert json.loads((tmp_path / "val.json").read_text())["threshold_chosen_here"]


def test_faces_of_a_bank_are_tested_on_as_they_are(trained: Path, tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", labels={"v0": 1}, splits={"v0": "test", "v1": "test"})
    on = (
        "--on.class_path", "xray_train.sources.Faces",
        "--on.init_args.bank", tmp_path / "bank", "--on.init_args.split", "test",
    )  # fmt: skip
    words = ("test", "--ckpt", trained / "run" / "last.pt", "--device", "cpu", *on)
    assert run(*words, "--out", tmp_path / "test.json") == DONE
    told = json.loads((tmp_path / "test.json").read_text())
    assert (told["summary"]["frames"], told["summary"]["fakes"]) == (6, 3)
    assert told["xray_ap"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("test", "--ckpt", "a.pt"), "on"),
        (("export", "--ckpt", "nowhere.pt", "--to", "onnx", "--out", "x"), "is not there"),
        (
            ("export", "--ckpt", "x.pt", "--to", "onnx", "--out", "x", "--side", "0"),
            "--side: is 0; give 1 or more",
        ),
        (("predict", "--ckpt", "nowhere.pt", "--input", ".", "--out", "x"), "is not there"),
        (("export", "--ckpt", "nowhere.pt", "--to", "caffe", "--out", "x"), "caffe"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*words) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("xray-train: ")
    assert error.count("\n") == 1


def test_an_empty_set_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    on = (
        "--on.class_path",
        "xray_train.sources.Shards",
        "--on.init_args.path",
        tmp_path / "empty",
    )
    words = ("test", "--ckpt", trained / "run" / "last.pt", *on, "--out", tmp_path / "t.json")
    assert run(*words) == BAD_INPUT
    online = (
        "--on.class_path",
        "xray_train.sources.Online",
        "--on.init_args.bank",
        tmp_path / "empty",
    )
    words = ("test", "--ckpt", trained / "run" / "last.pt", *online, "--out", tmp_path / "t.json")
    assert run(*words) == BAD_INPUT


RUNS = [path for path in sorted(CONFIGS.rglob("*.yaml")) if "\ntask:" in path.read_text()]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_config_is_one_that_fit_reads(path: Path) -> None:
    chosen = build_parser().parse_args(["fit", "--config", str(path)])
    assert chosen.fit.fit.steps > 0
    head = path.read_text().split("task:")[0]
    assert all(line.startswith("#") for line in head.strip().splitlines())


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:FutureWarning")
def test_an_export_takes_pictures_of_the_size_that_is_asked_for(
    trained: Path, tmp_path: Path
) -> None:
    words = ("export", "--ckpt", trained / "run" / "last.pt", "--to", "torchscript")
    assert run(*words, "--out", tmp_path / "a.pt", "--side", 128) == DONE
    served = torch.jit.load(str(tmp_path / "a.pt"))  # type: ignore[no-untyped-call]
    _, xrays = served(torch.zeros(2, 3, 128, 128, dtype=torch.uint8))
    assert xrays.shape == (2, 128, 128)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("test", "--batch", 0), "--batch: is 0; give 1 or more"),
        (("validate", "--workers", -1), "--workers: is -1; give 0 or more"),
        (("test", "--precision", "int8"), "--precision: is 'int8'"),
    ],
)
def test_numbers_that_nothing_can_be_evaluated_with_are_said(
    words: tuple[object, ...], said: str, trained: Path, banks: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    on = ("--on.class_path", "xray_train.sources.Faces", "--on.init_args.bank", banks / "val")
    ckpt = ("--ckpt", trained / "run" / "last.pt", "--out", tmp_path / "a.json")
    assert run(*words, *ckpt, *on) == BAD_INPUT
    assert said in capsys.readouterr().err
