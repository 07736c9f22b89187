"""What is exported says what the network says."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from xray_train import export as exporting
from xray_train.export import NoParity, export
from xray_train.tasks.face_xray import FaceXray


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
