"""WS-DAN: boxes, masks, pooling and centres by hand; the task whole, resumed, on real faces."""

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

import timm

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint
from xray_train.export import export
from xray_train.tasks import Changes, Task
from xray_train.tasks.frame import Frame
from xray_train.tasks.values import VALUES
from xray_train.tasks.wsdan import (
    Wsdan,
    attention_boxes,
    bilinear_pooling,
    centre_loss,
    cropped,
    drop_masks,
    follow,
    pick_two,
)

IMAGES = torch.randint(
    0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
XRAYS, LABELS = torch.zeros(4, 1, 64, 64, dtype=torch.uint8), torch.tensor([0, 1, 1, 1])


def made(**changes: object) -> Wsdan:
    torch.manual_seed(3)
    return Wsdan(**{"backbone": "test_resnet", "maps": 4, **changes})  # type: ignore[arg-type]


# -- where to crop and what to hide ------------------------------------------------------


def test_a_box_holds_what_reaches_the_share_and_is_padded() -> None:
    maps = torch.zeros(2, 10, 20)
    maps[0, 3, 5], maps[0, 4, 7], maps[0, 9, 19] = 1.0, 0.5, 0.49
    maps[1, 0, 19] = 2.0
    none, some = (
        attention_boxes(maps, torch.tensor([0.5, 0.5]), pad).tolist() for pad in (0.0, 0.1)
    )
    # columns 5 to 7 and rows 3 to 4; the third is under the share
    assert none == [[5, 3, 8, 5], [19, 0, 20, 1]]
    # two columns and one row more on each side, as far as there are some
    assert some == [[3, 2, 10, 6], [17, 0, 20, 2]]
    assert attention_boxes(maps[:1], torch.tensor([0.4]), 0.0).tolist() == [[5, 3, 20, 10]]


def test_a_map_of_zeros_crops_nothing_off_and_hides_nothing() -> None:
    maps = torch.zeros(1, 6, 8)
    assert attention_boxes(maps, torch.tensor([0.5]), 0.1).tolist() == [[0, 0, 8, 6]]
    assert bool((drop_masks(maps, torch.tensor([0.5])) == 1).all())


def test_what_reaches_the_share_is_hidden() -> None:
    maps = torch.tensor([[[0.0, 1.0, 2.0], [3.0, 4.0, 1.9]], [[8.0, 0.0, 0.0], [0.0, 6.0, 5.9]]])
    got = drop_masks(maps, torch.tensor([0.5, 0.75]))
    assert got[:, 0].tolist() == [[[1, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 0, 1]]]


def test_a_crop_is_its_box_at_the_pictures_size() -> None:
    ramp = torch.arange(16.0).expand(1, 2, 8, 16).clone()
    whole = torch.tensor([[0, 0, 16, 8]])
    torch.testing.assert_close(cropped(ramp, whole), ramp)
    got = cropped(ramp, torch.tensor([[4, 2, 12, 6]]))
    # half the width at the full size: x = 4 + (j + 0.5) / 2 - 0.5
    torch.testing.assert_close(got[0, 1, 3], 4 + (torch.arange(16.0) + 0.5) / 2 - 0.5)
    down = torch.arange(8.0)[:, None].expand(1, 1, 8, 16)
    column = cropped(down.contiguous(), torch.tensor([[4, 2, 12, 6]]))[0, 0, :, 9]
    torch.testing.assert_close(column, 2 + (torch.arange(8.0) + 0.5) / 2 - 0.5)


def test_crop_and_drop_never_take_the_same_map() -> None:
    """A defect of seed 001: both were drawn without looking at the other."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.tensor([[5.0, 1.0, 0.0, 0.0]]).expand(4000, 4)
    noise = torch.empty(4000, 4).exponential_(generator=generator)
    chosen = pick_two(weights, noise)
    assert bool((chosen[:, 0] != chosen[:, 1]).all())
    assert chosen.max() == 1  # what attends to nothing is not taken where something else does
    share = float((chosen[:, 0] == 0).float().mean())
    assert share == pytest.approx(5 / 6, abs=0.02)
    lone = pick_two(torch.tensor([[0.0, 7.0, 0.0]]).expand(100, 3), noise[:100, :3])
    assert bool((lone[:, 0] == 1).all())
    assert bool((lone[:, 1] != 1).all())


# -- pooling, losses, centres ------------------------------------------------------------


def test_pooling_is_means_roots_and_norm() -> None:
    features = torch.tensor([[[[4.0, -8.0]], [[2.0, 0.0]]]], dtype=torch.float64)  # 2 channels
    maps = torch.tensor([[[[1.0, 1.0]], [[2.0, 0.0]]]], dtype=torch.float64)
    # means of products: -2 and 1 under the first map, 4 and 2 under the second
    roots = torch.tensor([[-math.sqrt(2), 1.0, 2.0, math.sqrt(2)]], dtype=torch.float64)
    torch.testing.assert_close(bilinear_pooling(features, maps), roots / 3)


def test_pooling_of_nothing_has_a_gradient_that_is_a_number() -> None:
    maps = torch.zeros(1, 2, 3, 3, requires_grad=True)
    bilinear_pooling(torch.rand(1, 5, 3, 3), maps).sum().backward()
    assert maps.grad is not None
    assert bool(torch.isfinite(maps.grad).all())


def test_the_centre_loss_is_the_squared_distance_from_the_centre_of_norm_one() -> None:
    pooled = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    centres = torch.tensor([[0.0, 0.0], [0.0, 0.5], [3.0, 4.0]], dtype=torch.float64)
    # 1 from nothing; .36 + .04 from (0, 1); .36 + .04 from (.6, .8)
    assert float(centre_loss(pooled, centres)) == pytest.approx((1 + 0.4 + 0.4) / 3)


def test_a_class_that_a_batch_shows_twice_moves_its_centre_by_both() -> None:
    """A defect of seed 001: of one class's pictures the last overwrote the others."""
    centres = torch.tensor([[0.2, 0.0], [1.0, 1.0]])
    pooled = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    follow(centres, pooled, torch.tensor([0, 0, 0]), 0.5)
    # the mean is (1/3, 1/3); the class that is not there stays
    torch.testing.assert_close(centres, torch.tensor([[0.2 + 0.5 * (1 / 3 - 0.2), 1 / 6], [1, 1]]))


def test_the_rate_of_the_centres_doubles_each_epoch_up_to_one() -> None:
    task = made(centre_rate=0.25)
    assert isinstance(task, Changes)
    for epoch, rate in ((0, 0.25), (1, 0.5), (2, 1.0), (3, 1.0), (5000, 1.0)):
        task.at(0, epoch)
        task.centres.zero_()
        task.train()
        task.loss(IMAGES, XRAYS, LABELS)
        # of features of norm one: the mean over one picture alone
        assert float(task.centres[0].norm()) == pytest.approx(rate, rel=1e-5)


_JOINED = """
    import os, sys, torch
    from torch import distributed
    from xray_train.tasks.wsdan import follow
    rank = int(os.environ["RANK"])
    distributed.init_process_group("gloo")
    pooled = torch.arange(12.0).view(6, 2)
    labels = torch.tensor([0, 1, 0, 0, 0, 0])  # the second process sees one class alone
    centres = torch.ones(2, 2)
    follow(centres, pooled[3 * rank : 3 * rank + 3], labels[3 * rank : 3 * rank + 3], 0.5)
    torch.save(centres, sys.argv[1] + str(rank))
    distributed.destroy_process_group()
"""


def joined(*words: str, port: int) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, *words],
            env={
                **os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            },
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [run.wait(120) for run in runs] == [0, 0]


@pytest.mark.slow
def test_the_centres_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    port = 20_000 + (os.getpid() + 7001) % 20_000
    joined("-c", textwrap.dedent(_JOINED), str(tmp_path / "rank"), port=port)
    want = torch.ones(2, 2)
    follow(want, torch.arange(12.0).view(6, 2), torch.tensor([0, 1, 0, 0, 0, 0]), 0.5)
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"rank{rank}", weights_only=True), want)


# -- the task ----------------------------------------------------------------------------


def test_it_is_a_task_that_says_where_it_looks() -> None:
    task = made().eval()
    assert isinstance(task, Task)
    said = task.predict(IMAGES)
    assert said.logits is not None
    assert said.attention is not None
    assert torch.allclose(said.scores, said.logits.sigmoid())
    assert said.attention.shape == (4, 2, 2)
    assert said.attention.min() >= 0
    torch.testing.assert_close(said.attention.amax(dim=(1, 2)), torch.ones(4))
    again = task.predict(IMAGES)
    assert torch.equal(said.logits, again.logits)


def test_a_prediction_is_the_mean_of_the_picture_and_its_crop() -> None:
    task = made().eval()
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in VALUES["dfdc"])
    whole = (IMAGES.float() / 255 - mean) / std
    raw, _, maps = task(whole)
    wide = torch.nn.functional.interpolate(maps.mean(1, True), size=(64, 64), mode="bilinear")
    want = []
    for one, seen, logits in zip(whole, wide[:, 0], raw, strict=True):
        rows, columns = torch.nonzero(seen >= 0.1 * seen.max(), as_tuple=True)
        top, left = (max(int(at.min()) - 3, 0) for at in (rows, columns))
        bottom, right = (min(int(at.max()) + 4, 64) for at in (rows, columns))
        crop = cropped(one[None], torch.tensor([[left, top, right, bottom]]))
        both = (logits + task(crop)[0][0]) / 2
        want.append(both[1] - both[0])
    got = task.predict(IMAGES).logits
    assert got is not None
    torch.testing.assert_close(got, torch.stack(want), rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    task = made(dropout=0.0).eval()
    parts = {name: float(one.detach()) for name, one in task.loss(IMAGES, XRAYS, LABELS).items()}
    want = parts["raw"] + parts["crop"] / 3 + parts["drop"] / 2 + parts["centre"]
    assert parts["loss"] == pytest.approx(want, rel=1e-6)
    assert parts["centre"] == pytest.approx(1.0, rel=1e-5)  # centres are zeros, features of norm 1
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in VALUES["dfdc"])
    logits = task((IMAGES.float() / 255 - mean) / std)[0].detach().double()
    chances = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    assert parts["raw"] == pytest.approx(
        float(-chances[torch.arange(4), LABELS].log().mean()), rel=1e-5
    )
    assert {"raw_accuracy", "crop_accuracy", "drop_accuracy"} <= set(parts)
    assert not task.centres.any()  # they follow in training alone


def test_crops_and_drops_are_those_of_the_chosen_maps() -> None:
    task = made()
    maps = torch.zeros(1, 4, 2, 2)
    maps[0, 1, 0, 0], maps[0, 2, 1, 1] = 1.0, 1.0  # two that attend, to opposite corners
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    for _ in range(20):
        crop, drop = task._views(ramp, maps)
        upper = bool(crop.mean() < ramp.mean())
        hidden = (drop[0, 0] == 0) & (ramp[0, 0] > 0)
        assert bool(hidden[60, 60]) is upper
        assert bool(hidden[3, 3]) is not upper


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_it_is_exported_at_parity(tmp_path: Path, form: str) -> None:
    """The crop of a prediction is part of the file; batches of one and three are compared."""
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    told = export(made().eval(), tmp_path / "network", form, side=64)  # type: ignore[arg-type]
    assert told.scores_apart < 1e-4


def test_dropout_touches_the_whole_picture_alone() -> None:
    task = made(dropout=0.9)
    task.train()
    whole = IMAGES.float() / 255
    torch.manual_seed(0)
    assert not torch.equal(task(whole, drops=True)[0], task(whole, drops=True)[0])
    assert torch.equal(task(whole)[0], task(whole)[0])
    given: list[torch.Tensor] = []
    task.dropout.register_forward_hook(lambda _, taken, __: given.append(taken[0]))
    task.loss(IMAGES, XRAYS, LABELS)
    assert len(given) == 1
    torch.testing.assert_close(given[0], task(task.normal(IMAGES))[1])


def test_a_fixed_backbone_trains_attention_and_head_alone() -> None:
    task = made()
    task.fix_backbone(True)
    task.train()
    assert not task.backbone.bn1.training
    trained = {name.split(".")[0] for name, one in task.named_parameters() if one.requires_grad}
    assert trained == {"attention", "head"}
    task.fix_backbone(False)
    assert all(one.requires_grad for one in task.parameters())


def test_it_starts_from_a_frame_tasks_checkpoint(tmp_path: Path) -> None:
    """As seed 001 did: its WS-DAN with Xception began with its own Xception."""
    frame = Frame("test_resnet")
    torch.save({"model": frame.state_dict()}, tmp_path / "frame.pt")
    task = made(pretrained=str(tmp_path / "frame.pt"))
    for name, tensor in task.backbone.state_dict().items():
        assert torch.equal(tensor, frame.backbone.state_dict()[name]), name
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(BadCheckpoint, match=r"other\.pth"):
        made(pretrained=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maps": 1}, "one to crop, one to drop"),
        ({"centre_rate": 1.5}, "give 0 to 1"),
        ({"dropout": 1.0}, "up to but not 1"),
        ({"backbone": "resnet17"}, "'resnet17'"),
    ],
)
def test_what_makes_no_network_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        made(**changes)


def test_a_network_without_a_map_of_features_is_refused() -> None:
    with pytest.raises(BadArgument, match="give a convolutional network"):
        made(backbone="test_vit").predict(torch.zeros(1, 3, 160, 160, dtype=torch.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "channels"), [("legacy_xception", 2048), ("efficientnet_b3", 1536)]
)
def test_the_published_backbones_fit(backbone: str, channels: int) -> None:
    task = made(backbone=backbone, maps=8).eval()
    assert task.centres.shape == (2, 8 * channels)
    assert task.predict(IMAGES[:1]).scores.shape == (1,)
