"""Mixed pictures and labels are what a hand computes, and the loop repeats their draws."""

from itertools import permutations

import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument
from xray_train.mixing import MixDraw, cut_box, cutmix, draw_mix, mixup
from xray_train.tasks.frame import Frame

IMAGES = torch.stack([torch.full((3, 4, 6), float(level)) for level in (10, 20, 40)])
LABELS = torch.tensor([1.0, 0.0, 1.0])


def draw(share: float, centre: tuple[float, float] = (0.5, 0.5)) -> MixDraw:
    return MixDraw(share=share, order=torch.tensor([1, 2, 0]), centre=centre)


def test_mixup_weighs_pictures_and_labels_alike() -> None:
    images, labels = mixup(IMAGES, LABELS, draw(0.75))
    assert images[:, 0, 0, 0].tolist() == [12.5, 25.0, 32.5]
    assert (images == images[:, :1, :1, :1]).all()
    assert labels.tolist() == [0.75, 0.25, 1.0]


def test_cutmix_pastes_the_partners_box_in_its_place() -> None:
    images, labels = cutmix(IMAGES, LABELS, draw(0.75))
    # half of 4 and half of 6 px, in the middle
    want = torch.full((4, 6), 10.0)
    want[1:3, 2:5] = 20.0
    # round(6/2 - 3/2): the even one of 1.5's neighbours
    assert torch.equal(images[0], want.expand(3, 4, 6))
    assert labels.tolist() == [0.75, 0.25, 1.0]
    assert torch.equal(IMAGES[0], torch.full((3, 4, 6), 10.0))


@pytest.mark.parametrize("centre", [(0.0, 0.0), (1.0, 0.3), (0.9, 0.1), (0.5, 1.0)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_cutmix_weighs_labels_by_the_pixels_that_are_there(
    centre: tuple[float, float], share: float
) -> None:
    """Of a box that the border cuts, what was drawn would be too much."""
    images, labels = cutmix(IMAGES, LABELS, draw(share, centre))
    pasted = float((images[0, 0] == 20).float().mean())
    assert labels[0].item() == pytest.approx(1 - pasted)
    assert labels[1].item() == pytest.approx(float((images[1, 0] == 40).float().mean()))


@pytest.mark.parametrize(
    ("share", "centre", "box"),
    [
        (1.0, (0.5, 0.5), (5, 10, 5, 10)),
        (0.0, (0.5, 0.5), (0, 0, 10, 20)),
        (0.75, (0.0, 0.0), (0, 0, 3, 5)),
        (0.75, (1.0, 1.0), (8, 15, 10, 20)),
        (0.84, (0.0, 0.0), (0, 0, 2, 4)),
        (0.36, (0.5, 0.0), (1, 0, 9, 8)),
    ],
)
def test_boxes_by_hand(
    share: float, centre: tuple[float, float], box: tuple[int, int, int, int]
) -> None:
    assert cut_box(10, 20, share, centre) == box


def test_shares_and_partners_are_spread_as_drawn() -> None:
    torch.manual_seed(0)
    drawn = [draw_mix(4, 1.0) for _ in range(2000)]
    shares = torch.tensor([one.share for one in drawn])
    # Beta(1, 1) is uniform: four standard errors of its mean and variance
    assert abs(float(shares.mean()) - 0.5) < 0.026
    assert abs(float(shares.var()) - 1 / 12) < 0.007
    assert {tuple(one.order.tolist()) for one in drawn[:500]} == set(permutations(range(4)))
    low = torch.tensor([draw_mix(2, 0.1).share for _ in range(500)])
    assert float(((low < 0.1) | (low > 0.9)).float().mean()) > 0.6


# -- in the task ---------------------------------------------------------------------


class Sum(nn.Module):
    """A backbone that adds up a picture."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_the_loss_is_that_of_the_mixed_pictures_and_labels(mix: str) -> None:
    task = Frame("resnet10t", mix=mix)  # type: ignore[arg-type]
    task.backbone = Sum()
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    xrays, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1, 0])
    torch.manual_seed(3)
    told = task.loss(images, xrays, labels)
    torch.manual_seed(3)
    drawn = draw_mix(4, 1.0)
    soft, mixed = labels.float(), task.normal(images)
    mixed, soft = (mixup if mix == "mixup" else cutmix)(mixed, soft, drawn)
    chance = mixed.mean(dim=(1, 2, 3)).sigmoid()
    want = -(soft * chance.log() + (1 - soft) * (1 - chance).log()).mean()
    assert float(told["loss"]) == pytest.approx(float(want), rel=1e-5)
    torch.manual_seed(4)
    assert float(task.loss(images, xrays, labels)["loss"]) != float(told["loss"])


def test_nothing_is_mixed_when_it_is_not_training() -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    task = Frame("resnet10t", mix="mixup").eval()
    assert torch.equal(task.predict(images).scores, task.predict(images).scores)
    xrays, labels = torch.zeros(4, 1, 32, 32, dtype=torch.uint8), torch.tensor([0, 1, 1, 0])
    first, second = (task.loss(images, xrays, labels)["loss"].detach() for _ in range(2))
    assert torch.equal(first, second)


def test_a_share_needs_a_distribution() -> None:
    with pytest.raises(BadArgument, match=r"mix_alpha: is 0\.0"):
        Frame("resnet10t", mix="mixup", mix_alpha=0.0)
