"""What is exported says what the network says."""

from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument
from xray_train import export as exporting
from xray_train.export import NoParity, export
from xray_train.tasks.face_xray import FaceXray
from xray_train.tasks.frame import Frame
from xray_train.tasks.identity import Identity
from xray_train.tasks.siamese import FrozenHead, Triplet
from xray_train.tasks.wsdan import Wsdan


@pytest.fixture(scope="module")
def task() -> FaceXray:
    torch.manual_seed(0)
    return FaceXray(backbone="hrnet_w18_small").eval()


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
@pytest.mark.parametrize("shrink", [1, 2])
def test_an_export_agrees_with_the_network(
    form: str, shrink: int, task: FaceXray, tmp_path: Path
) -> None:
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    shrinking = task if shrink == 1 else FaceXray("hrnet_w18_small", shrink=shrink).eval()
    made = export(shrinking, tmp_path / "a", form, side=128)  # type: ignore[arg-type]
    assert made.path.exists()
    assert max(made.scores_apart, made.xrays_apart) < 1e-4


def test_an_export_that_disagrees_is_not_kept(
    task: FaceXray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_apart", lambda *_: (0.5, 0.0))
    with pytest.raises(NoParity, match=r"differs from the network by 5.0e-01"):
        export(task, tmp_path / "a", "torchscript", side=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
@pytest.mark.parametrize(
    "task",
    [
        Frame("resnet18"), FrozenHead("resnet18"), Wsdan("resnet18", maps=3),
    ],
    ids=["frame", "frozen", "wsdan"],
)  # fmt: skip
def test_every_network_of_single_pictures_is_exported(
    form: str, task: nn.Module, tmp_path: Path
) -> None:
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    made = export(task.eval(), tmp_path / "a", form, side=96)  # type: ignore[arg-type]
    assert made.scores_apart < 1e-4
    assert made.xrays_apart is None


@pytest.mark.parametrize("task", [Triplet("resnet18"), Identity("resnet18")])
def test_a_network_of_several_pictures_is_not_exported(task: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="scores several pictures together"):
        export(task.eval(), tmp_path / "a", "torchscript", side=64)
    assert list(tmp_path.iterdir()) == []


def test_a_side_that_the_network_cannot_take_is_named(task: FaceXray, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="side: is 72 px, which the network cannot take"):
        export(task, tmp_path / "a", "torchscript", side=72)
