"""Face X-ray: predict the blending boundary, and from it whether there is one.

Li et al., *Face X-ray for More General Face Forgery Detection*, CVPR 2020. HRNet keeps four
branches (strides 4 to 32); brought to a quarter of the picture's size and concatenated they give
the X-ray by a 1x1 convolution, and the mean of the predicted X-ray gives the class.

Shape suffixes: B batch, C channels, H and W the picture's size, h and w a quarter of it.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint, read_tensors
from xray_train.tasks import Images, Labels, Prediction, Xrays
from xray_train.tasks.values import check_single

BACKBONES = (
    "hrnet_w18_small", "hrnet_w18_small_v2", "hrnet_w18", "hrnet_w30", "hrnet_w32",
    "hrnet_w40", "hrnet_w44", "hrnet_w48", "hrnet_w64",
)  # fmt: skip
"""timm's HRNets."""

SIDE = 256
"""px; the side of the pictures that the published schedule is for. Others work as well."""

_HEADS = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "head.")
"""Parts of a classification checkpoint that this network has not."""

Logits = Float[torch.Tensor, "batch 1 height width"]
ClassLogits = Float[torch.Tensor, "batch 2"]


class FaceXray(nn.Module):
    """HRNet, an X-ray head, and a class head on the X-ray's mean.

    Args:
        backbone: one of ``BACKBONES``.
        pretrained: ``none``; ``hub``, ImageNet weights fetched by timm from its hub; or the path
            of a checkpoint of that HRNet by timm or by the HRNet repository (``.pth`` or
            ``.safetensors``), read without running any code in it.
        xray_weight: lambda, the weight of the X-ray's cross-entropy; the class's is 1.
        balance_pixels: let pixels on the boundary weigh as much together as all others do.
        shrink: means of so many by so many pixels are looked at, and the X-ray comes back at the
            picture's own size. 2 takes a quarter of the time; 1, as published, every pixel.

    Raises:
        BadArgument: there is no such backbone, or ``shrink`` is no size.
        BadCheckpoint: the weights do not fit it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        backbone: str = "hrnet_w48",
        pretrained: str = "none",
        xray_weight: float = 100.0,
        balance_pixels: bool = False,
        shrink: int = 1,
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise BadArgument(
                "backbone", f"is {backbone!r}", f"give one of {', '.join(BACKBONES)}"
            )
        if shrink < 1:
            raise BadArgument("shrink", f"is {shrink}", "give 1 or more")
        self.backbone: nn.Module = timm.create_model(
            backbone,
            pretrained=pretrained == "hub",
            features_only=True,
            feature_location="",  # the branches themselves, not the classification's modules
            out_indices=(1, 2, 3, 4),
        )
        if pretrained not in ("none", "hub"):
            _load_backbone(self.backbone, Path(pretrained))
        info: Any = self.backbone.feature_info
        self.xray_head = nn.Conv2d(sum(info.channels()), 1, kernel_size=1)
        self.class_head = nn.Linear(1, 2)
        _start_heads(self.xray_head, self.class_head)
        self.xray_weight, self.balance_pixels, self.shrink = xray_weight, balance_pixels, shrink
        # ImageNet's, which the backbones were trained with
        self.register_buffer("mean", _channels(self.backbone, "mean"), persistent=False)
        self.register_buffer("std", _channels(self.backbone, "std"), persistent=False)
        self._fixed = False

    def forward(self, images: Images) -> tuple[Logits, ClassLogits]:
        """Logits of the X-ray at the pictures' size, and of real and forged, float32."""
        check_single(images)
        x_BCHW = (images.to(self.mean.dtype) / 255 - self.mean) / self.std
        if self.shrink > 1:
            x_BCHW = functional.avg_pool2d(x_BCHW, self.shrink)
        branches = self.backbone(x_BCHW)
        size_hw = branches[0].shape[-2:]
        features_BChw = torch.cat(
            [branches[0], *(_resized(one, size_hw) for one in branches[1:])], 1
        )
        xray_B1hw = self.xray_head(features_BChw)
        xray_B1HW = _resized(xray_B1hw.float(), images.shape[-2:])
        # in float32, whatever the rest runs in: a mean over 65,536 pixels
        with torch.autocast(images.device.type, enabled=False):
            mean_B1 = xray_B1HW.sigmoid().mean(dim=(2, 3))
            classes_B2 = self.class_head(mean_B1)
        return xray_B1HW, classes_B2

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss = xray_weight * BCE(X-ray) + CE(class)``, and the two parts."""
        xray_B1HW, classes_B2 = self(images)
        return xray_loss(
            xray_B1HW,
            classes_B2,
            xrays,
            labels,
            xray_weight=self.xray_weight,
            balance_pixels=self.balance_pixels,
        )

    @torch.no_grad()
    def predict(self, images: Images) -> Prediction:
        """Probability of forged by the class head, and the X-ray."""
        xray_B1HW, classes_B2 = self(images)
        return Prediction(scores=classes_B2.softmax(dim=1)[:, 1], xrays=xray_B1HW.sigmoid()[:, 0])

    def fix_backbone(self, fixed: bool) -> None:
        """Keep the backbone's parameters and batch-norm statistics, or let them go."""
        self._fixed = fixed
        self.backbone.requires_grad_(not fixed)
        self.train(self.training)

    def train(self, mode: bool = True) -> "FaceXray":
        """As every module; a fixed backbone stays in evaluation mode."""
        super().train(mode)
        if self._fixed:
            self.backbone.eval()
        return self


def xray_loss(
    xray_logits: Logits,
    class_logits: ClassLogits,
    xrays: Xrays,
    labels: Labels,
    *,
    xray_weight: float = 100.0,
    balance_pixels: bool = False,
) -> dict[str, torch.Tensor]:
    """The objective of Face X-ray from logits, in float32.

    ``loss = xray_weight * BCE(X-ray) + CE(class)``. The target is soft: 0 to 1, as blended.

    Args:
        xray_logits: (B, 1, H, W).
        class_logits: (B, 2), of real and forged.
        xrays: (B, 1, H, W) uint8, ``round(255 * B)``.
        labels: (B,) 1 forged, 0 real.
        xray_weight: lambda.
        balance_pixels: let pixels on the boundary (target over 0) weigh as much together as
            all others do; of a batch without a boundary the mean counts.

    Returns:
        ``loss``, ``xray`` (the BCE, unweighted) and ``class`` (the CE).
    """
    with torch.autocast(xray_logits.device.type, enabled=False):
        target = xrays.float() / 255
        each = functional.binary_cross_entropy_with_logits(
            xray_logits.float(), target, reduction="none"
        )
        boundary = target > 0
        if balance_pixels and bool(boundary.any()) and not bool(boundary.all()):
            xray = (each[boundary].mean() + each[~boundary].mean()) / 2
        else:
            xray = each.mean()
        classes = functional.cross_entropy(class_logits.float(), labels)
        return {"loss": xray_weight * xray + classes, "xray": xray, "class": classes}


def _resized(x: torch.Tensor, size: Any) -> torch.Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _channels(backbone: Any, name: str) -> torch.Tensor:
    return torch.tensor(backbone.pretrained_cfg[name]).view(1, 3, 1, 1)


def _start_heads(xray_head: nn.Conv2d, class_head: nn.Linear) -> None:
    # most pixels are no boundary: begin there, or the first steps only learn that
    nn.init.normal_(xray_head.weight, std=0.01)
    nn.init.constant_(xray_head.bias, -2.0)  # type: ignore[arg-type]
    # a larger mean is a forgery, from the first step
    with torch.no_grad():
        class_head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        class_head.bias.zero_()


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    given = read_tensors(path)
    given = {
        name.removeprefix("module.").removeprefix("backbone."): tensor
        for name, tensor in given.items()
    }
    given = {name: tensor for name, tensor in given.items() if not name.startswith(_HEADS)}
    wanted = backbone.state_dict()
    lost = sorted(set(wanted) - set(given))
    odd = sorted(
        name for name in set(wanted) & set(given) if wanted[name].shape != given[name].shape
    )
    for names, wrong in ((lost, "lacks"), (odd, "has another shape of")):
        if names:
            raise BadCheckpoint(
                path,
                f"{wrong} {len(names)} of the backbone's {len(wanted)} tensors ({names[0]})",
                "give a checkpoint of the same HRNet",
            )
    backbone.load_state_dict({name: given[name] for name in wanted})
