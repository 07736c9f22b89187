"""WS-DAN in the loop: it learns, goes on bit for bit, and trains in two processes."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.bank import FaceBank
from tests.conftest import make_bank
from tests.xray_train.test_loop import same
from tests.xray_train.test_wsdan import joined
from xray_train.checkpoint import load
from xray_train.commands import build_parser
from xray_train.loop import Run, fit
from xray_train.rebuild import TASKS, rebuild
from xray_train.settings import Fit
from xray_train.sources import Videos
from xray_train.tasks.wsdan import Wsdan

CONFIGS = Path(__file__).parents[2] / "xray_train" / "configs" / "wsdan"
TOLD = {
    "class_path": "xray_train.tasks.wsdan.Wsdan",
    "init_args": {"backbone": "test_resnet", "maps": 4},
}


def train(
    bank: Path, out: Path, source: dict[str, object], dropout: float = 0.5, **options: object
) -> Run:
    settings = Fit(
        **{
            "out": str(out), "optimizer": "sgd", "rate": 0.01, "schedule": "step",
            "factor": 0.95, "fixed": 0, "device": "cpu", "best": "loss", "log_every": 1,
            **options,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    task = Wsdan("test_resnet", maps=4, dropout=dropout)
    source = {"per_video": 2, "stride": 2, "augment": True, **source}
    frames = Videos(str(bank), **source)  # type: ignore[arg-type]
    return fit(task, TOLD, [frames], None, settings)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real and three forged videos of drawn faces."""
    root = tmp_path_factory.mktemp("drawn") / "bank"
    labels = {"v2": 1, "v3": 1, "v4": 1}
    return make_bank(root, videos=5, frames=4, labels=labels, suffix=".jpg").root


def test_a_run_that_was_cut_ends_like_one_that_was_not(drawn: Path, tmp_path: Path) -> None:
    """Defects of seed 001: the optimizer was not saved, and the rate was stale at a resume.

    Centres, their rate, crops, drops, dropout and the forgeries of the pass go on as well.
    """
    options = {"source": {"side": 48}, "epochs": 4, "batch": 4, "save_every": 1}
    train(drawn, tmp_path / "whole", **options)  # type: ignore[arg-type]
    # a pass is two steps: cut in the middle of the third
    train(drawn, tmp_path / "cut", **options, keep_every=5)  # type: ignore[arg-type]
    (tmp_path / "cut" / "step-0000005.pt").replace(tmp_path / "cut" / "last.pt")
    before = load(tmp_path / "cut" / "last.pt").model["centres"]
    train(drawn, tmp_path / "cut", **options)  # type: ignore[arg-type]
    same(tmp_path / "whole", tmp_path / "cut")
    after = load(tmp_path / "cut" / "last.pt").model["centres"]
    assert before.any()
    assert not torch.equal(before, after)
    rates = [0.01 * 0.95 ** (step // 2) for step in range(8)]
    for name, taken in (("whole", rates), ("cut", [*rates, *rates[5:]])):
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["rate"] for line in lines] == pytest.approx(taken)


def test_other_crops_are_another_run(drawn: Path, tmp_path: Path) -> None:
    """So that the test above can fail: nothing but the generator differs here."""
    options = {"source": {"side": 48}, "epochs": 1, "batch": 4, "save_every": 1}
    train(drawn, tmp_path / "one", **options, keep_every=1)  # type: ignore[arg-type]
    first = tmp_path / "one" / "step-0000001.pt"
    content = torch.load(first, weights_only=True)
    content["random"]["cpu"] = torch.Generator().manual_seed(99).get_state()
    (tmp_path / "other").mkdir()
    torch.save(content, tmp_path / "other" / "last.pt")
    train(drawn, tmp_path / "other", **options)  # type: ignore[arg-type]
    one, other = (load(tmp_path / name / "last.pt").model for name in ("one", "other"))
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.slow
def test_its_loss_falls_on_real_people(people: FaceBank, tmp_path: Path) -> None:
    """On the few who are validated on otherwise: that it can learn them, no more."""
    source = {"split": "val", "side": 64, "augment": False}
    options = {"steps": 200, "batch": 8, "rate": 1e-4, "period": 100, "save_every": 1000}
    train(people.root, tmp_path, source, dropout=0.0, **options)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for name, share in (("loss", 0.75), ("raw", 0.5), ("crop", 0.8), ("drop", 0.8)):
        values = [line[f"train/{name}"] for line in lines]
        first, last = np.mean(values[:40]), np.mean(values[-40:])
        assert last < share * first, (name, first, last)
    assert np.mean([line["train/raw_accuracy"] for line in lines[-40:]]) > 0.8


@pytest.mark.slow
def test_two_processes_train_it(drawn: Path, tmp_path: Path) -> None:
    """By the command, as torchrun starts it; each takes half of the batch."""
    config = {
        "task": TOLD,
        "train": [
            {
                "class_path": "xray_train.sources.Videos",
                "init_args": {"bank": str(drawn), "per_video": 2, "stride": 2, "side": 48},
            }
        ],
        "fit": {
            "out": str(tmp_path / "run"), "epochs": 2, "batch": 4, "optimizer": "sgd",
            "rate": 0.01, "schedule": "step", "factor": 0.95, "fixed": 0, "device": "cpu",
            "log_every": 1,
        },
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    port = 20_000 + (os.getpid() + 9001) % 20_000
    words = ("-m", "xray_train", "fit", "--config", str(tmp_path / "config.yaml"))
    joined(*words, port=port)
    saved = load(tmp_path / "run" / "last.pt")
    assert saved.step == 4
    # of both processes' features: the mean of vectors of norm one
    assert (saved.model["centres"].norm(dim=1) > 0).all()
    trained = rebuild(tmp_path / "run" / "last.pt", torch.device("cpu"))
    scores = trained.task.predict(torch.zeros(2, 3, 48, 48, dtype=torch.uint8)).scores  # type: ignore[operator]
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_one_that_fit_reads(path: Path) -> None:
    chosen = build_parser().parse_args(["fit", "--config", str(path)])
    assert chosen.fit.task.class_path in TASKS
    assert chosen.fit.fit.epochs > 0
    assert chosen.fit.train[0].class_path in (
        "xray_train.sources.Videos",
        "xray_train.sources.VideoShares",
    )
    head = path.read_text().split("task:")[0]
    assert all(line.startswith("#") for line in head.strip().splitlines())
