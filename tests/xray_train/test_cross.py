"""Every checkpoint on every set, and robustness, through the commands; whatever the task."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from tests.conftest import drawn_face
from tests.xray_train.tiny import made_checkpoint
from xray_train.checkpoint import load, save
from xray_train.commands import BAD_INPUT, DONE, build_parser, main
from xray_train.cross import COLUMNS, Cell, markdown
from xray_train.evaluate import Items, Result
from xray_train.metrics import Summary
from xray_train.tasks.face_xray import FaceXray

SIDE = 64


def run(*words: object) -> int:
    return main([str(word) for word in words])


def listed(root: Path, seed: int) -> dict[str, object]:
    """A source of drawn faces, the forged ones blurred in the middle."""
    root.mkdir(parents=True)
    lines = ["img_name,target"]
    for number in range(12):
        image = cv2.resize(drawn_face(seed + number)[0], (SIDE, SIDE))
        if number % 2:
            image[16:48, 16:48] = cv2.GaussianBlur(image[16:48, 16:48], (0, 0), 3)
        cv2.imwrite(str(root / f"{number}.png"), image[..., ::-1])
        lines.append(f"{number}.png,{number % 2}")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    init = {"folder": str(root), "labels": str(root / "list.csv"), "size": SIDE}
    return {"class_path": "xray_train.sources.Listed", "init_args": init}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets; a classifier that was trained a little on the first; a Face X-ray that was not."""
    root = tmp_path_factory.mktemp("cross")
    sources = {name: listed(root / name, seed) for name, seed in (("one", 0), ("other", 500))}
    (root / "sources.yaml").write_text(yaml.safe_dump(sources))
    config = {
        "task": {
            "class_path": "xray_train.tasks.frame.Frame", "init_args": {"backbone": "resnet10t"},
        },
        "train": [sources["one"]],
        "val": sources["one"],
        "fit": {
            "out": str(root / "run"), "steps": 6, "batch": 6, "rate": 0.003, "decay": 0,
            "fixed": 0, "device": "cpu", "log_every": 2, "validate_every": 0, "save_every": 6,
        },
    }  # fmt: skip
    (root / "fit.yaml").write_text(yaml.safe_dump(config))
    assert run("fit", "--config", root / "fit.yaml") == DONE
    save(made_checkpoint(FaceXray("hrnet_w18_small")), root / "xray.pt")
    return root


def test_every_checkpoint_is_tested_on_every_set(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = yaml.safe_load((trained / "sources.yaml").read_text())
    checkpoints = {"frame": trained / "run" / "last.pt", "x-ray | 0": trained / "xray.pt"}
    config = {
        "trained": {name: str(path) for name, path in checkpoints.items()},
        "tested": {"one": sources["one"], "the other": sources["other"]},
        "out": str(tmp_path / "out"), "batch": 5, "device": "cpu",
    }  # fmt: skip
    (tmp_path / "cross.yaml").write_text(yaml.safe_dump(config))
    assert run("cross", "--config", tmp_path / "cross.yaml") == DONE
    shown = capsys.readouterr().out
    assert "trained \\ tested" in shown
    told = json.loads((tmp_path / "out" / "cross.json").read_text())["cells"]
    assert [(one["trained"], one["tested"]) for one in told] == [
        ("frame", "one"), ("frame", "the other"), ("x-ray | 0", "one"), ("x-ray | 0", "the other"),
    ]  # fmt: skip
    for one in told:
        # chosen on validation, kept in the checkpoint, and never on what is tested
        assert one["threshold"] == load(checkpoints[one["trained"]]).progress["threshold"]
        assert not one["threshold_chosen_here"]
        low, high = one["summary"]["frame_auc_interval"]
        assert low <= one["summary"]["frame_auc"] <= high
        assert one["summary"]["video_auc"] is not None
        assert one["summary"]["frames"] == 12
    text = (tmp_path / "out" / "cross.csv").read_bytes().decode()
    assert "\r" not in text
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["frame_auc"]) for row in rows] == [
        pytest.approx(one["summary"]["frame_auc"], abs=1e-6) for one in told
    ]
    page = (tmp_path / "out" / "cross.md").read_text().splitlines()
    assert page[0] == "| trained \\ tested | one | the other |"
    assert page[2].startswith(f"| frame | {told[0]['summary']['frame_auc']:.3f} (")
    assert page[3].startswith("| x-ray \\| 0 | ")
    image = cv2.imread(str(tmp_path / "out" / "cross.png"))
    assert image is not None
    assert image.std() > 5


def test_the_example_of_the_page_is_one_that_cross_reads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "cross.yaml").write_text(block)
    chosen = build_parser().parse_args(["cross", "--config", str(tmp_path / "cross.yaml")]).cross
    assert list(chosen.trained) == ["FF++", "blends"]
    assert chosen.tested["FFDI"].class_path == "xray_train.sources.Listed"


def test_a_cell_is_what_test_says_of_it(trained: Path, tmp_path: Path) -> None:
    source = yaml.safe_load((trained / "sources.yaml").read_text())["other"]
    (tmp_path / "cross.yaml").write_text(
        yaml.safe_dump({
            "trained": {"a": str(trained / "run" / "last.pt")}, "tested": {"b": source},
            "out": str(tmp_path / "out"), "device": "cpu",
        })
    )  # fmt: skip
    assert run("cross", "--config", tmp_path / "cross.yaml") == DONE
    words = [f"--on.init_args.{name}={value}" for name, value in source["init_args"].items()]
    ckpt = ("--ckpt", trained / "run" / "last.pt", "--device", "cpu")
    on = ("--on.class_path", source["class_path"], *words)
    assert run("test", *ckpt, *on, "--out", tmp_path / "test.json") == DONE
    (cell,) = json.loads((tmp_path / "out" / "cross.json").read_text())["cells"]
    want = json.loads((tmp_path / "test.json").read_text())
    assert cell["summary"] == want["summary"]


def test_the_damaged_are_found_before_hours_are_spent(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = yaml.safe_load((trained / "sources.yaml").read_text())
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    config = {
        "trained": {"good": str(trained / "run" / "last.pt"), "bad": str(tmp_path / "bad.pt")},
        "tested": {"one": sources["one"]}, "out": str(tmp_path / "out"), "device": "cpu",
    }  # fmt: skip
    (tmp_path / "cross.yaml").write_text(yaml.safe_dump(config))
    assert run("cross", "--config", tmp_path / "cross.yaml") == BAD_INPUT
    told = capsys.readouterr().err
    assert "bad.pt" in told
    assert "evaluate:" not in told
    (tmp_path / "cross.yaml").write_text(yaml.safe_dump({**config, "trained": {}}))
    assert run("cross", "--config", tmp_path / "cross.yaml") == BAD_INPUT
    assert "trained: names nothing" in capsys.readouterr().err


def test_a_set_of_one_class_has_no_auc_and_keeps_its_place() -> None:
    summary = Summary(
        frame_auc=None, frame_auc_interval=None, frame_ap=None, frame_eer=None,
        frame_accuracy=1.0, frame_accuracy_at_half=1.0, frame_log_loss=0.1, video_auc=None,
        frames=3, videos=1, reals=3, fakes=0,
    )  # fmt: skip
    scores = np.array([0.1, 0.1, 0.1])
    items = Items(videos=("v",) * 3, labels=np.zeros(3, int), scores=scores, logits=scores)
    result = Result(
        summary=summary, threshold=0.5, threshold_chosen_here=False, xray_ap=None, xray_iou=None,
        items=items,
    )  # fmt: skip
    page = markdown([Cell(trained="a", tested="reals", result=result)]).splitlines()
    assert page[2] == "| a | none |"
    assert "reals: 3 real and 0 forged frames" in page[4]


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", ["run/last.pt", "xray.pt"])
def test_robustness_of_any_task(
    trained: Path, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = yaml.safe_load((trained / "sources.yaml").read_text())["one"]
    (tmp_path / "grid.yaml").write_text("jpeg: [100, 20]\nh264: [40]\nnoise: [0, 8]\n")
    words = [f"--on.init_args.{name}={value}" for name, value in source["init_args"].items()]
    run_words = (
        "robustness", "--ckpt", trained / checkpoint, "--on.class_path", source["class_path"],
        *words, "--device", "cpu", "--grid", tmp_path / "grid.yaml",
    )  # fmt: skip
    assert run(*run_words, "--out", tmp_path / "out") == DONE
    shown = capsys.readouterr().out
    assert "frame AUC (95% interval)" in shown
    assert "jpeg 20" in shown
    told = json.loads((tmp_path / "out" / "robustness.json").read_text())["points"]
    assert [(one["degradation"], one["value"]) for one in told] == [
        ("none", None), ("jpeg", 100), ("jpeg", 20), ("h264", 40), ("noise", 0), ("noise", 8),
    ]  # fmt: skip
    plain, still = told[0], told[4]
    assert plain["summary"] == still["summary"]
    for name in ("csv", "png"):
        assert (tmp_path / "out" / f"robustness.{name}").stat().st_size > 100
    # twice the same, to the letter
    assert run(*run_words, "--out", tmp_path / "again") == DONE
    for name in ("csv", "json"):
        first, second = (tmp_path / out / f"robustness.{name}" for out in ("out", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_a_network_alone_is_near_its_plain_scores_at_quality_100(trained: Path) -> None:
    from xray_train.rebuild import rebuild
    from xray_train.robustness import Degraded
    from xray_train.sources import Listed

    root = trained / "one"
    given = Listed(str(root), str(root / "list.csv"), size=SIDE)
    task = rebuild(trained / "run" / "last.pt", torch.device("cpu")).task

    def scores(source: object) -> torch.Tensor:
        stack = torch.stack([source.item(number)["image"] for number in range(12)])  # type: ignore[attr-defined]
        return task.predict(stack).scores  # type: ignore[operator, no-any-return]

    plain = scores(given)
    near = (scores(Degraded(given, "jpeg", 100)) - plain).abs().mean()
    far = (scores(Degraded(given, "noise", 60.0)) - plain).abs().mean()
    assert near < far / 3
