"""Ten folds: a pair has no say in the threshold that judges it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument
from xray_train.checkpoint import save
from xray_train.commands import BAD_INPUT, DONE, main
from xray_train.sources import Pairs
from xray_train.tasks.frame import Frame
from xray_train.tasks.identity import Identity
from xray_train.verification import best_threshold, by_folds, score_pairs

from .tiny import made_checkpoint


def pairs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return labels, rng.normal(labels * 1.0, 1.0)


@pytest.mark.parametrize(("count", "folds"), [(6000, 10), (203, 10), (37, 4)])
def test_folds_are_scikit_learns(count: int, folds: int) -> None:
    """The same arithmetic written with KFold, and a threshold found by trying all."""
    selection = pytest.importorskip("sklearn.model_selection")
    labels, scores = pairs(count)
    made = by_folds(labels, scores, folds)
    split = selection.KFold(folds, shuffle=False).split(labels)
    for fold, (others, mine) in enumerate(split):
        assert made.sizes[fold] == len(mine)
        tried = np.append(np.unique(scores[others]), np.inf)
        if count > 300:
            tried = tried[::37]
        best = max(((scores[others] >= one) == (labels[others] == 1)).mean() for one in tried)
        chosen = ((scores[others] >= made.thresholds[fold]) == (labels[others] == 1)).mean()
        assert chosen >= best - 1e-12
        right = ((scores[mine] >= made.thresholds[fold]) == (labels[mine] == 1)).mean()
        assert made.accuracies[fold] == pytest.approx(right)
    assert made.accuracy == pytest.approx(np.mean(made.accuracies))
    assert made.accuracy_std == pytest.approx(np.std(made.accuracies))
    metrics = pytest.importorskip("sklearn.metrics")
    assert made.auc == pytest.approx(metrics.roc_auc_score(labels, scores))


def test_the_threshold_of_a_fold_does_not_see_the_fold() -> None:
    """On scores that say nothing, a threshold tuned on the pairs themselves always flatters."""
    rng = np.random.default_rng(0)
    honest, tuned = list[float](), list[float]()
    for _ in range(60):
        labels, scores = np.arange(40) % 2, rng.normal(size=40)
        honest.append(by_folds(labels, scores).accuracy)
        threshold = best_threshold(labels, scores)
        tuned.append(float(((scores >= threshold) == (labels == 1)).mean()))
    assert np.mean(honest) < 0.52
    assert np.mean(tuned) > 0.58
    # changing a fold's own scores leaves its threshold where it was
    labels, scores = pairs(200)
    other = scores.copy()
    other[:20] += 5
    assert by_folds(labels, scores).thresholds[0] == by_folds(labels, other).thresholds[0]


def test_thresholds_lie_between_scores() -> None:
    assert best_threshold(np.array([0, 1]), np.array([0.2, 0.6])) == pytest.approx(0.4)
    # all one person: nothing is under the threshold; all two: nothing is over it
    everyone = best_threshold(np.array([1, 1, 0]), np.array([0.1, 0.2, 0.3]))
    assert everyone <= 0.1
    nobody = best_threshold(np.array([0, 0, 1]), np.array([0.3, 0.2, 0.1]))
    assert nobody > 0.3


@pytest.mark.parametrize("folds", [1, 21])
def test_folds_that_cannot_be_are_refused(folds: int) -> None:
    labels, scores = pairs(20)
    with pytest.raises(BadArgument, match="give 2 to as many"):
        by_folds(labels, scores, folds)


def test_a_list_whose_kinds_come_one_after_the_other_is_refused() -> None:
    labels, scores = np.repeat([0, 1], 10), np.arange(20.0)
    with pytest.raises(BadArgument, match="outside fold 1 all are of one kind"):
        by_folds(labels, scores, 2)


# -- the command -------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Eight people of a colour each, three pictures of each, and forty pairs of them."""
    rng = np.random.default_rng(0)
    for person in range(8):
        colour = rng.integers(30, 220, 3)
        for number in range(3):
            noise = rng.integers(-4, 5, (40, 40, 3))
            path = tmp_path / "faces" / f"p{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), (colour + noise).clip(0, 255).astype(np.uint8))
    lines = []
    for one in range(40):
        a, b = one % 8, (one + 1 + one // 8 % 7) % 8
        second = f"p{a}/{1 + one // 16 % 2}.png" if one % 3 else f"p{b}/1.png"
        lines.append(f"p{a}/0.png {second} {int(one % 3 > 0)}")
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_command_writes_what_the_folds_say(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    args = {"backbone": "resnet10t", "embedding": 16, "batch_norm": False}
    task = Identity(**args)  # type: ignore[arg-type]
    told = {"class_path": "xray_train.tasks.identity.Identity", "init_args": args}
    save(made_checkpoint(task, task=told), listed / "last.pt")
    out = listed / "verified.json"
    words = [
        "verify", "--ckpt", listed / "last.pt", "--pairs", listed / "pairs.txt", "--folder",
        listed / "faces", "--out", out, "--size", "32", "--device", "cpu", "--batch", "7",
    ]  # fmt: skip
    assert main([str(word) for word in words]) == DONE
    made = json.loads(out.read_text())
    source = Pairs(str(listed / "faces"), str(listed / "pairs.txt"), 32)
    labels, scores = score_pairs(task, source, device=torch.device("cpu"))
    assert labels.tolist() == source.labels.tolist()
    want = by_folds(labels, scores)
    assert (made["accuracy"], made["auc"]) == pytest.approx((want.accuracy, want.auc))
    assert (made["mirror"], made["sizes"]) == ("concat", [4] * 10)
    assert f"accuracy {want.accuracy:.4f}" in capsys.readouterr().out
    # the scores of what evaluate() asks, where no mirror image is taken
    plain = score_pairs(task, source, device=torch.device("cpu"), mirror="none")[1]
    asked = torch.stack([source.item(number)["image"] for number in range(40)])
    np.testing.assert_allclose(plain, task.predict(asked).scores.double().numpy(), atol=1e-5)
    # a pair that lost its second face
    (listed / "pairs.txt").write_text("p1/0.png p1/1.png 1\np1/0.png 1\n")
    assert main([str(word) for word in words]) == BAD_INPUT
    assert "line 2" in capsys.readouterr().err


def test_a_task_without_embedding_is_refused(listed: Path) -> None:
    source = Pairs(str(listed / "faces"), str(listed / "pairs.txt"), 32)
    with pytest.raises(BadArgument, match="Frame, which has no embedding"):
        score_pairs(Frame("resnet10t"), source, device=torch.device("cpu"))


def test_pairs_of_one_kind_are_refused() -> None:
    with pytest.raises(BadArgument, match="pairs: are all of one kind"):
        by_folds(np.ones(20, np.int64), np.linspace(0, 1, 20))
