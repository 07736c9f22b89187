"""Any classifier of timm's: its logit, its loss, its weights from files."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

import timm

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint
from xray_train.tasks import Task
from xray_train.tasks.frame import Frame
from xray_train.tasks.values import VALUES, Normal

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
XRAYS, LABELS = torch.zeros(2, 1, 64, 64, dtype=torch.uint8), torch.tensor([0, 1])


def test_it_is_a_task_whose_score_is_its_logit() -> None:
    task = Frame("resnet18").eval()
    assert isinstance(task, Task)
    said = task.predict(IMAGES)
    assert said.xrays is None
    assert said.logits is not None
    assert torch.allclose(said.scores, said.logits.sigmoid())


def test_the_loss_is_the_cross_entropy_of_the_scores() -> None:
    task = Frame("resnet18").eval()
    scores = task.predict(IMAGES).scores.double()
    want = -(torch.log(1 - scores[0]) + torch.log(scores[1])) / 2
    parts = task.loss(IMAGES, XRAYS, LABELS)
    assert float(parts["loss"].detach()) == pytest.approx(float(want), rel=1e-5)


@pytest.mark.parametrize("values", list(VALUES))
def test_pixels_are_normalised_as_the_name_says(values: str) -> None:
    task = Frame("resnet18", values=values).eval()  # type: ignore[arg-type]
    mean, std = VALUES[values]  # type: ignore[index]
    x = (IMAGES.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(task.backbone(x)[:, 0], task(IMAGES), atol=1e-5)


def test_a_fixed_backbone_trains_its_last_layer_alone() -> None:
    task = Frame("resnet18")
    task.fix_backbone(True)
    task.train()
    assert not task.backbone.bn1.training
    trained = {name for name, one in task.named_parameters() if one.requires_grad}
    assert trained == {"backbone.fc.weight", "backbone.fc.bias"}
    task.fix_backbone(False)
    assert all(one.requires_grad for one in task.parameters())
    assert task.backbone.bn1.training


def test_weights_of_other_classes_are_taken_but_for_the_last_layer(tmp_path: Path) -> None:
    source = timm.create_model("resnet18", num_classes=7)
    torch.save(source.state_dict(), tmp_path / "seven.pth")
    task = Frame("resnet18", pretrained=str(tmp_path / "seven.pth"))
    assert torch.equal(task.backbone.conv1.weight, source.conv1.weight)
    assert task.backbone.fc.weight.shape == (1, 512)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(BadCheckpoint, match=r"other\.pth.*give a checkpoint of the same network"):
        Frame("resnet18", pretrained=str(tmp_path / "other.pth"))


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(BadArgument, match="'resnet17'"):
        Frame("resnet17")


def test_several_pictures_a_sample_are_refused() -> None:
    with pytest.raises(BadArgument, match="gives 3 pictures a sample, and this task looks at one"):
        Normal("imagenet")(IMAGES[:, None].expand(-1, 3, -1, -1, -1))
