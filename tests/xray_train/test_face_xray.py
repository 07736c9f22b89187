"""The network, its objective and its weights are those of Face X-ray."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

timm = pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint
from xray_train.tasks import Task
from xray_train.tasks.face_xray import FaceXray, xray_loss


@pytest.fixture(scope="module")
def small() -> FaceXray:
    torch.manual_seed(0)
    return FaceXray(backbone="hrnet_w18_small")


def batch(count: int = 2, side: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    xrays = torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=generator)
    return images, xrays, torch.arange(count) % 2


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        ("hrnet_w18_small", 240),
        ("hrnet_w18_small_v2", 270),
        ("hrnet_w18", 270),
        ("hrnet_w32", 480),
        pytest.param("hrnet_w48", 720, marks=pytest.mark.slow),
        pytest.param("hrnet_w64", 960, marks=pytest.mark.slow),
    ],
)
def test_four_branches_are_concatenated_at_a_quarter_of_the_size(
    backbone: str, channels: int
) -> None:
    task = FaceXray(backbone=backbone).eval()
    assert task.xray_head.weight.shape == (1, channels, 1, 1)
    seen: list[torch.Size] = []
    task.xray_head.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    images, _, _ = batch(1, 256)
    with torch.no_grad():
        xray, classes = task(images)
    assert seen == [(1, channels, 64, 64)]
    assert xray.shape == (1, 1, 256, 256)
    assert classes.shape == (1, 2)
    assert xray.dtype == classes.dtype == torch.float32


def test_a_task_is_what_the_loop_asks_for(small: FaceXray) -> None:
    assert isinstance(small, Task)
    images, _, _ = batch()
    predicted = small.eval().predict(images)
    assert predicted.scores.shape == (2,)
    assert predicted.xrays is not None
    assert predicted.xrays.shape == (2, 64, 64)
    assert 0 <= float(predicted.xrays.min()) <= float(predicted.xrays.max()) <= 1


def test_a_network_that_shrinks_pictures_gives_xrays_of_their_size() -> None:
    torch.manual_seed(0)
    task = FaceXray("hrnet_w18_small", shrink=2).eval()
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    seen: list[torch.Size] = []
    task.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    predicted = task.predict(images)
    assert seen == [(2, 3, 64, 64)]
    assert predicted.xrays is not None
    assert predicted.xrays.shape == (2, 128, 128)
    with pytest.raises(BadArgument, match="shrink: is 0; give 1 or more"):
        FaceXray("hrnet_w18_small", shrink=0)


def test_the_class_comes_from_the_mean_of_the_predicted_xray(small: FaceXray) -> None:
    images, _, _ = batch()
    with torch.no_grad():
        xray, classes = small.eval()(images)
        wanted = small.class_head(xray.sigmoid().mean(dim=(2, 3)))
    torch.testing.assert_close(classes, wanted)
    # more boundary means more likely forged, from the first step
    few, many = small.class_head(torch.tensor([[0.01], [0.3]])).softmax(1)[:, 1]
    assert many > few


def test_pictures_are_normalised_by_the_backbones_own_figures(small: FaceXray) -> None:
    assert small.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert small.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    seen: list[torch.Tensor] = []
    handle = small.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images, _, _ = batch()
    small.eval().predict(images)
    handle.remove()
    wanted = (images[0, 0].double() / 255 - 0.485) / 0.229
    torch.testing.assert_close(seen[0][0, 0].double(), wanted, rtol=1e-5, atol=1e-5)


# -- the objective -------------------------------------------------------------------


def test_the_loss_is_100_times_the_xrays_and_the_classs_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    xray = torch.randn(2, 1, 8, 8, generator=generator)
    classes = torch.randn(2, 2, generator=generator)
    target = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0, 1])
    told = xray_loss(xray, classes, target, labels)
    # by hand, in float64
    p = 1 / (1 + np.exp(-xray.double().numpy()))
    t = target.double().numpy() / 255
    bce = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    softmax = np.exp(classes.double().numpy())
    softmax /= softmax.sum(axis=1, keepdims=True)
    ce = -np.log(softmax[[0, 1], [0, 1]]).mean()
    assert float(told["xray"]) == pytest.approx(bce, rel=1e-5)
    assert float(told["class"]) == pytest.approx(ce, rel=1e-5)
    assert float(told["loss"]) == pytest.approx(100 * bce + ce, rel=1e-5)
    assert float(xray_loss(xray, classes, target, labels, xray_weight=0.0)["loss"]) == (
        pytest.approx(ce, rel=1e-5)
    )


def test_logits_of_any_size_give_a_finite_loss_in_float32() -> None:
    xray = torch.tensor([[[[-200.0, 200.0]]]], dtype=torch.bfloat16)
    target = torch.tensor([[[[255, 0]]]], dtype=torch.uint8)
    told = xray_loss(xray, torch.tensor([[60.0, -60.0]]), target, torch.tensor([1]))
    assert all(one.dtype == torch.float32 and one.isfinite() for one in told.values())
    assert float(told["xray"]) == pytest.approx(200)


def test_balanced_pixels_weigh_the_boundary_as_much_as_the_rest() -> None:
    xray = torch.zeros(1, 1, 10, 10)
    xray[..., 0, 0] = 3.0  # the boundary's one pixel
    target = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    target[..., 0, 0] = 255
    classes, labels = torch.zeros(1, 2), torch.tensor([1])
    told = xray_loss(xray, classes, target, labels, balance_pixels=True)["xray"]
    one = functional.softplus(torch.tensor(-3.0))
    assert float(told) == pytest.approx((float(one) + np.log(2)) / 2, rel=1e-5)
    real = torch.zeros_like(target)
    plain = xray_loss(xray, classes, real, labels)["xray"]
    assert float(xray_loss(xray, classes, real, labels, balance_pixels=True)["xray"]) == (
        pytest.approx(float(plain))
    )


# -- what is fixed -------------------------------------------------------------------


def test_a_fixed_backbone_keeps_its_parameters_and_its_batch_norms() -> None:
    torch.manual_seed(0)
    task = FaceXray(backbone="hrnet_w18_small")
    task.fix_backbone(True)
    task.train()
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
    images, xrays, labels = batch()
    task.loss(images, xrays, labels)["loss"].backward()
    optimizer.step()
    after = task.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {
        "xray_head.weight", "xray_head.bias", "class_head.weight", "class_head.bias",
    }  # fmt: skip
    task.fix_backbone(False)
    optimizer.zero_grad()
    task.loss(images, xrays, labels)["loss"].backward()
    optimizer.step()
    moved = {name for name in before if not torch.equal(before[name], task.state_dict()[name])}
    assert "backbone.conv1.weight" in moved
    assert "backbone.bn1.running_mean" in moved


# -- weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier() -> timm.models.HighResolutionNet:
    torch.manual_seed(7)
    return timm.create_model("hrnet_w18_small", pretrained=False)


@pytest.mark.parametrize("form", ["timm", "repository", "safetensors"])
def test_a_checkpoint_on_disk_starts_the_backbone(
    form: str, classifier: torch.nn.Module, tmp_path: Path
) -> None:
    tensors = classifier.state_dict()
    if form == "timm":
        torch.save({"state_dict": tensors}, path := tmp_path / "w.pth")
    elif form == "repository":
        torch.save(
            {f"module.{name}": one for name, one in tensors.items()}, path := tmp_path / "w.pth"
        )
    else:
        from safetensors.torch import save_file

        save_file(tensors, path := tmp_path / "w.safetensors")
    task = FaceXray(backbone="hrnet_w18_small", pretrained=str(path))
    for name, tensor in task.backbone.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def test_weights_of_another_network_are_refused(
    classifier: torch.nn.Module, tmp_path: Path
) -> None:
    torch.save(classifier.state_dict(), tmp_path / "small.pth")
    with pytest.raises(BadCheckpoint, match=r"of the backbone.s .* give a checkpoint of the same"):
        FaceXray(backbone="hrnet_w18", pretrained=str(tmp_path / "small.pth"))
    with pytest.raises(BadCheckpoint, match="is not there"):
        FaceXray(backbone="hrnet_w18_small", pretrained=str(tmp_path / "nowhere.pth"))
    (tmp_path / "cut.safetensors").write_bytes(b"12")
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        FaceXray(backbone="hrnet_w18_small", pretrained=str(tmp_path / "cut.safetensors"))
    with pytest.raises(BadArgument, match="give one of hrnet_w18_small"):
        FaceXray(backbone="resnet50")
