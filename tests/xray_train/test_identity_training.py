"""Embeddings are trained by the loop: cut or whole, stopped in time, better than a chance."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from faceblend.errors import BadArgument, MissingModel
from xray_train.backbones.identity import find_descriptor_model
from xray_train.checkpoint import load, save
from xray_train.commands import DONE, build_parser, main
from xray_train.data import evaluation_batches
from xray_train.loop import Run, fit
from xray_train.metrics import roc_auc
from xray_train.ring import placed
from xray_train.settings import Fit
from xray_train.sources import BankPeople, Digits, PairsOf
from xray_train.tasks.identity import Identity

from .tiny import made_checkpoint

CONFIGS = sorted((Path(__file__).parents[2] / "xray_train/configs/arcface").glob("*.yaml"))
PATH = "xray_train.tasks.identity.Identity"


def digits_run(out: Path, *, margin: str = "arcface", val: bool = False, **options: object) -> Run:
    """Digits of 12 px: a step takes some hundredths of a second."""
    pytest.importorskip("sklearn")
    defaults: dict[str, object] = {
        "out": str(out), "steps": 12, "batch": 16, "rate": 1e-3, "decay": 0, "fixed": 0,
        "device": "cpu", "log_every": 2, "save_every": 3, "threads": 1,
    }  # fmt: skip
    settings = Fit(**{**defaults, **options})  # type: ignore[arg-type]
    args = {
        "backbone": "digits", "classes": 10, "embedding": 2, "margin": margin, "batch_norm": False,
    }  # fmt: skip
    torch.manual_seed(settings.seed)
    task = Identity(**args)  # type: ignore[arg-type]
    held = PairsOf(Digits(part="test", size=12), 40) if val else None
    told = {"class_path": PATH, "init_args": args}
    return fit(task, told, [Digits(size=12)], held, settings)


@pytest.mark.parametrize("margin", ["arcface", "sphereface"])
def test_a_run_that_is_cut_ends_like_a_whole_one(tmp_path: Path, margin: str) -> None:
    """The directions of the margin, their moments and lambda go on where they were."""
    digits_run(tmp_path / "whole", margin=margin)
    digits_run(tmp_path / "cut", margin=margin, keep_every=7)
    (tmp_path / "cut" / "step-0000007.pt").replace(tmp_path / "cut" / "last.pt")
    digits_run(tmp_path / "cut", margin=margin)
    one, other = (load(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert one.step == other.step == 12
    assert "persons" in one.model
    for name, tensor in one.model.items():
        assert torch.equal(tensor, other.model[name]), name
    start = Identity("digits", classes=10, embedding=2, batch_norm=False)
    assert not torch.equal(one.model["persons"], start.persons)


def test_a_run_without_a_better_validation_stops_early(tmp_path: Path) -> None:
    # fixed, or the statistics of its batch norms still move
    still = {"rate": 0.0, "fixed": 40, "steps": 40}
    run = digits_run(tmp_path, val=True, validate_every=2, patience=3, **still)
    assert (run.stopped, run.step) == ("patience", 8)


def test_the_last_checkpoint_is_there_whatever_the_steps(tmp_path: Path) -> None:
    """Also where saving is not due: the last step is no multiple of save_every."""
    digits_run(tmp_path, steps=5, save_every=100)
    assert load(tmp_path / "last.pt").step == 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_one_that_fit_reads(path: Path) -> None:
    chosen = build_parser().parse_args(["fit", "--config", str(path)])
    task = chosen.fit.task
    assert task.class_path == PATH
    assert chosen.fit.train[0].init_args.get("part", "train") != "held"
    head = path.read_text().split("task:")[0]
    assert all(line.startswith("#") for line in head.strip().splitlines())
    assert f"configs/arcface/{path.name}" in head
    if task.init_args.backbone != "dlib":
        few = {**task.init_args.as_dict(), "classes": 5}
        assert Identity(**few).margin == task.init_args.margin


@pytest.mark.slow
@pytest.mark.parametrize("margin", ["arcface", "none"])
def test_the_loss_falls_and_the_accuracy_is_of_all_digits(tmp_path: Path, margin: str) -> None:
    run = digits_run(tmp_path, margin=margin, steps=250, batch=32, log_every=10, val=True)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["train/loss"] for line in log if "train/loss" in line]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert run.result is not None
    assert (run.result.summary.frame_auc or 0) > 0.7
    source = Digits(part="test", size=12)
    ring = placed(tmp_path, source)
    assert ring.points.shape == (len(source), 2)
    # counted one by one: the last batch is smaller than the others
    task = Identity("digits", classes=10, embedding=2, margin=margin, batch_norm=False)  # type: ignore[arg-type]
    task.load_state_dict(load(tmp_path / "last.pt").model)
    task.eval()
    right = 0
    for items, _ in evaluation_batches(source, 1, 0):
        embedded = task(items["image"]).detach()
        directions = task.persons.detach()
        if margin != "none":
            directions = directions / directions.norm(dim=1, keepdim=True)
        right += int((embedded @ directions.T).argmax() == items["label"])
    assert ring.right == right
    assert ring.accuracy == right / 355
    assert ring.accuracy > 0.3


def test_rings_are_drawn_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / "ce", tmp_path / "arc"]
    for run, margin in zip(runs, ("none", "arcface"), strict=True):
        digits_run(run, margin=margin, steps=3)
    words = ["ring", "--runs", *runs, "--out", tmp_path / "ring.png", "--size", 12]
    assert main([str(word) for word in words]) == DONE
    assert (tmp_path / "ring.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "scikit-learn's digits, test: 355" in said
    assert said.count(" of 355 right") == 2
    wide = Identity("digits", classes=10, embedding=3, batch_norm=False)
    args = {"backbone": "digits", "classes": 10, "embedding": 3, "batch_norm": False}
    told = {"class_path": PATH, "init_args": args}
    save(made_checkpoint(wide, task=told), tmp_path / "last.pt")
    with pytest.raises(BadArgument, match="has no embedding of two numbers"):
        placed(tmp_path, Digits(part="test", size=12))


@pytest.mark.slow
@pytest.mark.model
def test_people_of_photographs_are_told_apart_on_pictures_left_out(
    people: FaceBank, tmp_path: Path
) -> None:
    """Half of each person's pictures train, all pairs of the others are judged.

    The frozen start alone is measured beside it: dlib's network knows faces well, so this shows
    that training does not spoil them, not that it is what tells these people apart.
    """
    try:
        find_descriptor_model()
    except MissingModel as error:
        pytest.skip(str(error))

    def part(name: str) -> BankPeople:
        return BankPeople(
            str(people.root), size=150, align="dlib", part=name, by="picture", every=2  # type: ignore[arg-type]
        )  # fmt: skip

    train, held = part("train"), part("held")
    assert not set(train._rows.tolist()) & set(held._rows.tolist())
    start = Identity("dlib", embedding=0)
    torch.manual_seed(0)
    task = Identity("dlib", classes=len(train.people), embedding=128)
    task.backbone = start.backbone  # it remembers
    before = auc_of_all_pairs(start, held)
    untrained = task.state_dict()["persons"].clone()
    settings = Fit(
        out=str(tmp_path), steps=100, batch=32, rate=1e-3, decay=0, fixed=0, device="cpu",
        log_every=20, save_every=100,
    )  # fmt: skip
    fit(task, {"class_path": PATH, "init_args": {}}, [train], None, settings)
    assert not torch.equal(task.persons.detach(), untrained)
    after = auc_of_all_pairs(task.eval(), held)
    print(f"AUC: frozen start {before:.4f}, trained {after:.4f}")
    assert before > 0.9
    assert after >= 0.9
    shutil.rmtree(tmp_path)


def auc_of_all_pairs(task: Identity, held: BankPeople) -> float:
    images = torch.stack([held.item(number)["image"] for number in range(len(held))])
    vectors = task.embed(images).numpy()
    above = np.triu_indices(len(held), 1)
    same = (held.labels[:, None] == held.labels)[above].astype(np.int64)
    return roc_auc(same, (vectors @ vectors.T)[above])
