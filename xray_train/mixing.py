"""Training on two pictures at once: mixup and CutMix, by given amounts.

Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018; Yun et al., *CutMix:
Regularization Strategy to Train Strong Classifiers with Localizable Features*, ICCV 2019. What is
drawn is drawn by :func:`draw_mix`, from torch's default generator, whose state a run's checkpoint
holds; the rest is arithmetic.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Integer

Mix = Literal["none", "mixup", "cutmix"]
"""Whether pictures of a batch are mixed, and how."""

Pictures = Float[torch.Tensor, "batch 3 height width"]
Soft = Float[torch.Tensor, " batch"]
"""Labels from 0, real, to 1, forged."""
Order = Integer[torch.Tensor, " batch"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MixDraw:
    """One draw, of a whole batch."""

    share: float
    """lambda: of the picture itself; the rest is its partner's"""
    order: Order
    """each picture's partner, by its place in the batch: a permutation"""
    centre: tuple[float, float]
    """of CutMix's box, down and to the right, share of the sides"""


def draw_mix(batch: int, alpha: float) -> MixDraw:
    """Draw the share from Beta(alpha, alpha), the partners, and the box's centre.

    On the CPU whatever the pictures are on, so that a GPU mixes alike.
    """
    share = torch.distributions.Beta(alpha, alpha).sample()
    order = torch.randperm(batch)
    down, right = torch.rand(2).tolist()
    return MixDraw(share=float(share), order=order, centre=(down, right))


def mixup(images: Pictures, labels: Soft, draw: MixDraw) -> tuple[Pictures, Soft]:
    """``share * picture + (1 - share) * partner``, and the labels alike (Zhang et al., eq. 1)."""
    order = draw.order.to(images.device)
    mixed = draw.share * images + (1 - draw.share) * images[order]
    return mixed, draw.share * labels + (1 - draw.share) * labels[order]


def cutmix(images: Pictures, labels: Soft, draw: MixDraw) -> tuple[Pictures, Soft]:
    """Paste one box of each picture's partner into it, and mix the labels by its area.

    The label's weight is the share of pixels that are really the partner's: less than was drawn
    where the border cuts the box.
    """
    order = draw.order.to(images.device)
    height, width = images.shape[2:]
    top, left, bottom, right = cut_box(height, width, draw.share, draw.centre)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, kept * labels + (1 - kept) * labels[order]


def cut_box(
    height: int, width: int, share: float, centre: tuple[float, float]
) -> tuple[int, int, int, int]:
    """CutMix's box, cut off at the border: ``(top, left, bottom, right)``, the last two beyond it.

    Its sides are ``sqrt(1 - share)`` of the picture's (Yun et al., eq. 2), so that uncut it covers
    ``1 - share``.

    Args:
        height, width: of the picture, px.
        share: lambda, 0 to 1.
        centre: down and to the right, share of the sides, 0 to 1.

    Example:
        >>> cut_box(8, 8, 0.75, (0.5, 0.5)), cut_box(8, 8, 0.75, (0.0, 1.0))
        ((2, 2, 6, 6), (0, 6, 2, 8))
    """
    edges = []
    for side, at in ((height, centre[0]), (width, centre[1])):
        length = round(side * (1 - share) ** 0.5)
        start = round(side * at - length / 2)
        edges.append((max(start, 0), min(start + length, side)))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right
