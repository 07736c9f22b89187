"""A checkpoint's network is rebuilt as it was, and nothing else is."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from tests.xray_train.tiny import XRAY, made_checkpoint
from xray_train.checkpoint import BadCheckpoint, save
from xray_train.rebuild import rebuild
from xray_train.tasks.face_xray import FaceXray


@pytest.fixture(scope="module")
def task() -> FaceXray:
    torch.manual_seed(0)
    return FaceXray(backbone="hrnet_w18_small")


def test_a_network_is_rebuilt_from_it_without_the_hub(task: FaceXray, tmp_path: Path) -> None:
    save(made_checkpoint(task), tmp_path / "a.pt")
    trained = rebuild(tmp_path / "a.pt", torch.device("cpu"))
    assert trained.threshold == 0.25
    assert not trained.task.training
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    torch.testing.assert_close(
        trained.task.predict(images).scores,  # type: ignore[operator]
        task.eval().predict(images).scores,
    )


def test_averages_are_what_is_predicted_with(task: FaceXray, tmp_path: Path) -> None:
    average = {name: torch.zeros_like(one) for name, one in task.state_dict().items()}
    save(made_checkpoint(task, ema=average), tmp_path / "a.pt")
    trained = rebuild(tmp_path / "a.pt", torch.device("cpu"))
    assert not trained.task.state_dict()["xray_head.weight"].any()


def test_a_checkpoint_of_another_model_is_refused(task: FaceXray, tmp_path: Path) -> None:
    other = {"class_path": XRAY["class_path"], "init_args": {"backbone": "hrnet_w18"}}
    save(made_checkpoint(task, task=other), tmp_path / "a.pt")
    with pytest.raises(BadCheckpoint, match=r"is of another model: it (lacks|has)"):
        rebuild(tmp_path / "a.pt", torch.device("cpu"))


def test_a_checkpoint_names_no_class_of_its_own(task: FaceXray, tmp_path: Path) -> None:
    save(
        made_checkpoint(task, task={"class_path": "os.system", "init_args": {}}), tmp_path / "a.pt"
    )
    with pytest.raises(BadCheckpoint, match=r"'os.system', which is none of ours"):
        rebuild(tmp_path / "a.pt", torch.device("cpu"))
    wrong = {"class_path": XRAY["class_path"], "init_args": {"layers": 3}}
    save(made_checkpoint(task, task=wrong), tmp_path / "a.pt")
    with pytest.raises(BadCheckpoint, match="describes its task wrongly"):
        rebuild(tmp_path / "a.pt", torch.device("cpu"))
