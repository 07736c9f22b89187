"""EfficientNets with attention: what is multiplied, what is loaded, what is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

import timm
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from faceblend.errors import BadArgument
from tests.conftest import make_bank
from xray_train.backbones.attention import AUTO_ATTENTION, AutoAttention
from xray_train.evaluate import evaluate
from xray_train.journal import Journal
from xray_train.look import attention_overlay
from xray_train.settings import Fit
from xray_train.sources import Frames
from xray_train.tasks.frame import Frame

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's smallest EfficientNet with attention, under a name of its own."""
    monkeypatch.setitem(AUTO_ATTENTION, "small_auto_att", "test_efficientnet")


def test_the_attention_of_b4_is_after_its_block_nine_of_56_channels() -> None:
    task = Frame("efficientnet_auto_att_b4").eval()
    network = task.backbone.network
    assert sum(len(stage) for stage in network.blocks[:3]) == 10
    assert task.backbone.attention.weight.shape == (1, 56, 1, 1)
    said = task.predict(IMAGES)
    assert said.attention is not None
    assert said.attention.shape == (2, 8, 8)
    assert 0 < float(said.attention.min()) <= float(said.attention.max()) < 1
    assert said.logits is not None
    assert torch.allclose(said.logits, task(IMAGES))
    assert task.backbone.num_features == 1792


def test_the_map_multiplies_the_features() -> None:
    torch.manual_seed(0)
    task = Frame("small_auto_att").eval()
    backbone, given = task.backbone, {}

    def keep(name: str, place: int) -> None:
        backbone.network.blocks[place].register_forward_hook(
            lambda _, inputs, output: given.update({name: (inputs[0], output)})
        )

    keep("before", 2)
    keep("after", 3)
    attention = task.predict(IMAGES).attention
    assert attention is not None
    before, after = given["before"][1], given["after"][0]
    torch.testing.assert_close(after, before * attention[:, None])
    by_hand = torch.einsum("c,bchw->bhw", backbone.attention.weight[0, :, 0, 0], before)
    torch.testing.assert_close(attention, (by_hand + backbone.attention.bias).sigmoid())


def test_full_attention_is_the_plain_network() -> None:
    torch.manual_seed(0)
    task = Frame("small_auto_att").eval()
    with torch.no_grad():
        task.backbone.attention.weight.zero_()
        task.backbone.attention.bias.fill_(50.0)
    plain = task.backbone.network(task.normal(IMAGES))[:, 0]
    torch.testing.assert_close(task(IMAGES), plain)
    with torch.no_grad():
        task.backbone.attention.bias.fill_(-1.0)
    assert not torch.allclose(task(IMAGES), plain)


def test_it_learns_where_to_look() -> None:
    task = Frame("small_auto_att")
    task.loss(IMAGES, torch.zeros(2, 1, 64, 64, dtype=torch.uint8), torch.tensor([0, 1]))[
        "loss"
    ].backward()
    assert task.backbone.attention.weight.grad.abs().sum() > 0


def test_weights_of_the_plain_network_are_taken(tmp_path: Path) -> None:
    plain = timm.create_model("test_efficientnet", num_classes=10)
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    task = Frame("small_auto_att", pretrained=str(tmp_path / "plain.pth"))
    assert torch.equal(task.backbone.network.conv_stem.weight, plain.conv_stem.weight)


def test_another_kind_of_network_is_refused() -> None:
    with pytest.raises(BadArgument, match="is a ResNet; give an EfficientNet"):
        AutoAttention(timm.create_model("resnet10t"))


def test_the_overlay_reddens_where_it_looked_and_nothing_else() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    np.testing.assert_array_equal(attention_overlay(image, np.zeros((2, 2))), image)
    full = attention_overlay(image, np.ones((2, 2)))
    assert (full == [162, 76, 76]).all()  # .6 of 100 and .4 of (255, 40, 40)
    left = attention_overlay(image, np.array([[1.0, 0.0]]))
    assert (left[:, 0] == [162, 76, 76]).all()
    assert (left[:, -1] == 100).all()
    assert (np.diff(left[0, :, 0].astype(int)) <= 0).all()
    with pytest.raises(ValueError, match="leaves 0 to 1"):
        attention_overlay(image, np.full((2, 2), 1.5))


def test_tensorboard_shows_it_over_a_real_and_a_forged_face(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", labels={"v2": 1})
    source, cpu = Frames(str(bank.root), size=64), torch.device("cpu")
    for backbone, shown in (("small_auto_att", {"real", "forged"}), ("resnet10t", set())):
        task = Frame(backbone)
        result = evaluate(task, source, device=cpu, settings=Fit(out="", batch=6))
        with Journal(tmp_path / backbone, rank=0) as journal:
            journal.result(1, result, task, source, cpu)
            journal.result(2, result, task, source, cpu)
        events = EventAccumulator(str(tmp_path / backbone))
        events.Reload()
        tags = [tag for tag in events.Tags()["images"] if tag.startswith("val/attention_")]
        assert "val/precision_recall" in events.Tags()["tensors"]
        assert {tag.removeprefix("val/attention_") for tag in tags} == shown
        for tag in tags:
            one, other = events.Images(tag)
            assert (one.width, one.height) == (128, 64)
            assert one.encoded_image_string == other.encoded_image_string  # the same face
