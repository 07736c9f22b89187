"""The FFDI baseline from files and lists to the contest's table: what it did, and its defects."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
import yaml

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from xray_train.checkpoint import load
from xray_train.commands import BAD_INPUT, DONE, FAILURES, main
from xray_train.sources import Listed, window

CONFIG = Path(__file__).parents[2] / "xray_train" / "configs" / "ffdi" / "resnet18.yaml"
SIDE = 64


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def phase1(people: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People, real and forged, laid out as the contest's first phase is."""
    root = tmp_path_factory.mktemp("ffdi")
    table = people.table.to_pylist()
    for folder, splits in (("trainset", ("train",)), ("valset", ("val", "test"))):
        (root / folder).mkdir()
        lines = ["img_name,target"]
        # reals and forgeries in turn, so that the first rows hold both
        rows = [row for row, face in enumerate(table) if face["split"] in splits]
        rows.sort(key=lambda row: (row * 7919 % 1009, row))
        for number, row in enumerate(rows):
            name = f"{number:04d}.jpg"
            image = cv2.resize(window(people[row].image), (96, 80), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(root / folder / name), image[..., ::-1])
            lines.append(f"{name},{table[row]['label']}")
        (root / f"{folder}_label.txt").write_text("\n".join(lines) + "\n")
    return root


Fitted = Callable[..., Path]


@pytest.fixture(scope="module")
def fitted(phase1: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Runs the packaged configuration, made small; gives the run's folder."""

    def fit(
        out: Path | None = None,
        task: dict[str, object] | None = None,
        first: int = 0,
        **fit: object,
    ) -> Path:
        out = out or tmp_path_factory.mktemp("run")
        config = yaml.safe_load(CONFIG.read_text())
        small = {"backbone": "resnet10t", "pretrained": "none"}
        config["task"]["init_args"] |= {**small, **(task or {})}
        for source, name in ((config["train"][0], "trainset"), (config["val"], "valset")):
            source["init_args"] |= {
                "folder": str(phase1 / name), "labels": str(phase1 / f"{name}_label.txt"),
                "size": SIDE, "first": first,
            }  # fmt: skip
        config["fit"] |= {
            "out": str(out), "workers": 0, "device": "cpu", "rate": 0.002, "log_every": 1,
            "validate_every": 0, "save_every": 1, **fit,
        }  # fmt: skip
        (out / "config.yaml").write_text(yaml.safe_dump(config))
        assert run("fit", "--config", out / "config.yaml") == DONE
        return out

    return fit


@pytest.fixture(scope="module")
def trained(fitted: Fitted) -> Path:
    return fitted(epochs=12)


def logged(out: Path, name: str) -> list[float]:
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


@pytest.mark.slow
def test_the_loss_falls_on_people_and_forgeries(trained: Path) -> None:
    losses, accuracy = logged(trained, "train/loss"), logged(trained, "train/accuracy")
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert sum(accuracy[-8:]) > sum(accuracy[:8])
    best = load(trained / "last.pt").progress["best"]
    told = json.loads((trained / "val.json").read_text())
    assert best[0][0] == told["summary"]["frame_accuracy_at_half"]


def test_the_first_epochs_run_at_the_rate_that_was_asked_for(fitted: Fitted) -> None:
    """The notes step their schedule before the optimizer, so an epoch is lost to it."""
    out = fitted(epochs=3, period=2, rate=0.004)
    rates = logged(out, "rate")
    epoch = len(rates) // 3
    assert rates == [0.004] * 2 * epoch + [pytest.approx(0.0034)] * epoch


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_a_run_that_was_cut_ends_as_one_that_was_not(fitted: Fitted, mix: str) -> None:
    """Mixed pictures, too: their draws are torch's, and torch's state is in the checkpoint."""
    task: dict[str, object] = {"mix": mix, "dropout": 0.2}
    whole = fitted(task=task, epochs=2, first=60, batch=20)
    cut = fitted(task=task, epochs=2, first=60, batch=20, keep_every=3)
    (cut / "step-0000003.pt").replace(cut / "last.pt")
    for path in cut.glob("best-*.pt"):
        path.unlink()
    fitted(out=cut, task=task, epochs=2, first=60, batch=20)
    one, other = load(whole / "last.pt"), load(cut / "last.pt")
    assert one.step == other.step > 3
    for name, tensor in one.model.items():
        assert torch.equal(tensor, other.model[name]), name
    assert torch.equal(one.random["cpu"], other.random["cpu"])


@pytest.mark.slow
def test_the_contests_table_is_in_the_lists_order(
    trained: Path, phase1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [line.split(",")[0] for line in (phase1 / "valset_label.txt").read_text().split()][1:]
    names.reverse()
    (tmp_path / "list.csv").write_text("img_name\n" + "".join(f"{name}\n" for name in names))
    words = (
        "score", "--ckpt", trained / "last.pt", "--labels", tmp_path / "list.csv", "--device",
        "cpu", "--size", SIDE, "--out", tmp_path / "prediction.txt",
    )  # fmt: skip
    assert run(*words, "--input", phase1 / "valset", "--views", 4, "--strict") == DONE
    text = (tmp_path / "prediction.txt").read_bytes()
    assert b"\r" not in text
    head, *lines = text.decode().splitlines()
    assert head == "img_name,y_pred"
    assert [line.split(",")[0] for line in lines] == names
    scores = [float(line.split(",")[1]) for line in lines]
    # four probabilities that were summed would reach four
    assert 0 <= min(scores) < max(scores) <= 1
    assert len(set(scores)) > len(scores) // 2
    # one picture less: its row is there, and --strict tells
    (tmp_path / "list.csv").write_text(f"img_name\n{names[0]}\nnowhere.jpg\n")
    capsys.readouterr()
    assert run(*words, "--input", phase1 / "valset", "--strict") == FAILURES
    assert "refused: 1" in capsys.readouterr().out
    assert (tmp_path / "prediction.txt").read_text().splitlines()[2] == "nowhere.jpg,0.5"
    assert run(*words, "--input", phase1 / "valset") == DONE


@pytest.mark.slow
def test_scores_are_those_of_the_class_that_the_list_calls_1(
    trained: Path, phase1: Path, tmp_path: Path
) -> None:
    """On what it was trained with, forged pictures score higher: 1 is a deepfake throughout."""
    labels = phase1 / "trainset_label.txt"
    words = ("--labels", labels, "--input", phase1 / "trainset", "--size", SIDE, "--device", "cpu")
    out = tmp_path / "out.csv"
    assert run("score", "--ckpt", trained / "last.pt", *words, "--out", out) == DONE
    scores = [float(line.split(",")[1]) for line in out.read_text().split()[1:]]
    targets = [int(line.split(",")[1]) for line in labels.read_text().split()[1:]]
    forged = [score for score, target in zip(scores, targets, strict=True) if target == 1]
    real = [score for score, target in zip(scores, targets, strict=True) if target == 0]
    assert sum(forged) / len(forged) > sum(real) / len(real)
    given = Listed(str(phase1 / "trainset"), str(labels), size=SIDE)
    assert [int(given.item(number)["label"]) for number in range(9)] == targets[:9]


def test_a_picture_that_vanished_stops_a_run_before_it_begins(
    phase1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("img_name,target\n0000.jpg,1\ngone.jpg,0\n")
    source = ("--on.class_path", "xray_train.sources.Listed", "--on.init_args.folder",
              phase1 / "valset", "--on.init_args.labels", tmp_path / "labels.txt")  # fmt: skip
    words = ("test", "--ckpt", tmp_path / "no.pt", *source, "--out", tmp_path / "t.json")
    assert run(*words) == BAD_INPUT
    assert "lacks 1 of the 2 pictures" in capsys.readouterr().err
