"""WS-DAN: attention maps that say what to crop and what to hide, learned from labels alone.

Hu et al., *See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for
Fine-Grained Visual Classification*, arXiv 1901.09891; as the second place of the DFDC challenge
trained it on faces.

Shape suffixes: B batch, M maps, C channels, D = M * C, K classes, H and W the picture's size, h
and w the last stage's.
"""

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import distributed, nn
from torch.nn import functional

from faceblend.errors import BadArgument
from xray_train.tasks import Images, Labels, Prediction, Xrays
from xray_train.tasks.frame import make_backbone
from xray_train.tasks.values import Normal, Values

ClassLogits = Float[torch.Tensor, "batch 2"]
Pooled = Float[torch.Tensor, "batch pooled"]
Maps = Float[torch.Tensor, "batch maps rows columns"]
Boxes = Integer[torch.Tensor, "batch 4"]

CROP_SHARE, CROP_PAD = (0.4, 0.6), 0.1
"""Training: a crop holds all pixels over this share of its map's highest; margin, of the side."""

DROP_SHARE = (0.4, 0.7)
"""Training: pixels over this share of their map's highest are hidden."""

TEST_SHARE, TEST_PAD = 0.1, 0.05
"""Prediction: the same of the crop by the mean map."""

CROP_WEIGHT, DROP_WEIGHT = 1 / 3, 1 / 2
"""Weights of the cross-entropies of crop and drop; that of the whole picture has 1."""

_SCALE = 100.0  # of the pooled features, whose norm is 1, before the last layer
_TINY = 1e-12


class Wsdan(nn.Module):
    """A backbone, maps of attention, features pooled under each map, and two classes.

    A step sees three pictures of each: the whole, a crop around what one map attends to, and
    one in which what another map attends to is hidden. Crop, drop and dropout draw from torch's
    generator, which the loop's checkpoints hold.

    Args:
        backbone: a convolutional network of timm's, such as ``legacy_xception``,
            ``efficientnet_b3`` or ``resnet50``; its last features are attended to.
        pretrained: ``none``; ``hub``, weights fetched by timm from its hub; or the path of a
            checkpoint of that network, one of :class:`~xray_train.tasks.frame.Frame` among them.
        maps: of attention, 2 or more.
        values: how pixels are normalised.
        centre_rate: beta, of the centres, in the first epoch; it doubles each epoch, up to 1,
            where a class's centre is its last batch's mean.
        dropout: of the whole picture's pooled features, while training.

    Raises:
        BadArgument: timm knows no such network, it has no spatial features, or a number is out
            of range.
        BadCheckpoint: the weights do not fit it.
    """

    centres: torch.Tensor

    def __init__(
        self,
        backbone: str = "legacy_xception",
        pretrained: str = "none",
        maps: int = 8,
        values: Values = "dfdc",
        centre_rate: float = 0.05,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if maps < 2:
            raise BadArgument("maps", f"is {maps}", "give 2 or more: one to crop, one to drop")
        if not 0 <= centre_rate <= 1:
            raise BadArgument("centre_rate", f"is {centre_rate}", "give 0 to 1")
        if not 0 <= dropout < 1:
            raise BadArgument("dropout", f"is {dropout}", "give 0, or up to but not 1")
        network: Any = make_backbone(backbone, pretrained, classes=0)
        self.backbone: Any = network
        channels = int(network.num_features)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, maps, kernel_size=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(maps * channels, 2, bias=False)
        self.register_buffer("centres", torch.zeros(2, maps * channels))
        self.normal = Normal(values)
        self._centre_rate = self._beta = centre_rate
        self._name, self._channels, self._fixed = backbone, channels, False

    def forward(
        self, images: Float[torch.Tensor, "batch 3 height width"], drops: bool = False
    ) -> tuple[ClassLogits, Pooled, Maps]:
        """Logits of real and forged, pooled features and attention maps, float32.

        Args:
            images: normalised pictures.
            drops: whether dropout comes before the last layer.
        """
        features_BChw = self.backbone.forward_features(images)
        if features_BChw.dim() != 4 or features_BChw.shape[1] != self._channels:
            raise BadArgument(
                "backbone",
                f"is {self._name!r}, whose features have the shape {tuple(features_BChw.shape)}",
                "give a convolutional network, such as legacy_xception",
            )
        maps_BMhw = self.attention(features_BChw)
        # in float32, whatever the rest runs in: a mean, a root and a norm
        with torch.autocast(images.device.type, enabled=False):
            pooled_BD = bilinear_pooling(features_BChw.float(), maps_BMhw.float())
            given = self.dropout(pooled_BD) if drops else pooled_BD
            return self.head(given * _SCALE), pooled_BD, maps_BMhw.float()

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss = CE(raw) + CE(crop) / 3 + CE(drop) / 2 + centre``, its parts, and accuracies.

        In training mode the centres follow.
        """
        del xrays
        whole = self.normal(images)
        raw, pooled, maps = self(whole, drops=True)
        in_box, outside = self._views(whole, maps.detach())
        crop, _, _ = self(in_box)
        drop, _, _ = self(outside)
        with torch.autocast(images.device.type, enabled=False):
            parts = {
                "raw": functional.cross_entropy(raw, labels),
                "crop": functional.cross_entropy(crop, labels),
                "drop": functional.cross_entropy(drop, labels),
                "centre": centre_loss(pooled, self.centres[labels]),
            }
            loss = parts["raw"] + CROP_WEIGHT * parts["crop"] + DROP_WEIGHT * parts["drop"]
            loss = loss + parts["centre"]
        if self.training:
            follow(self.centres, pooled.detach(), labels, self._beta)
        right = {
            f"{name}_accuracy": (logits.detach().argmax(dim=1) == labels).float().mean()
            for name, logits in (("raw", raw), ("crop", crop), ("drop", drop))
        }
        return {"loss": loss, **parts, **right}

    @torch.no_grad()
    def predict(self, images: Images) -> Prediction:
        """Mean of the logits of the picture and of its crop by the mean map; that map, 0 to 1."""
        whole = self.normal(images)
        raw, _, maps = self(whole)
        mean = maps.mean(dim=1)
        share = torch.full_like(mean[:, 0, 0], TEST_SHARE)
        boxes = attention_boxes(_sized(mean, whole), share, TEST_PAD)
        crop, _, _ = self(cropped(whole, boxes))
        logits = (raw + crop)[:, 1] / 2 - (raw + crop)[:, 0] / 2
        highest = mean.amax(dim=(1, 2), keepdim=True).clamp(min=_TINY)
        return Prediction(scores=logits.sigmoid(), logits=logits, attention=mean / highest)

    def at(self, step: int, epoch: int) -> None:
        """The centres' rate doubles each epoch, up to 1."""
        del step
        self._beta = min(1.0, self._centre_rate * 2.0 ** min(epoch, 64))

    def fix_backbone(self, fixed: bool) -> None:
        """Keep the backbone's parameters and batch-norm statistics, or let them go."""
        self._fixed = fixed
        self.backbone.requires_grad_(not fixed)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Wsdan":
        """As every module; a fixed backbone stays in evaluation mode."""
        super().train(mode)
        if self._fixed:
            self.backbone.eval()
        return self

    @torch.no_grad()
    def _views(self, whole: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The crop of one map and the drop of another, of each picture."""
        count, device = len(whole), whole.device
        noise = torch.empty(maps.shape[:2], device=device).exponential_()
        shares = torch.rand(2, count, device=device)
        chosen = pick_two(maps.sum(dim=(2, 3)).sqrt(), noise)
        rows = torch.arange(count, device=device)
        for_crop, for_drop = (_sized(maps[rows, chosen[:, one]], whole) for one in (0, 1))
        low, high = CROP_SHARE
        boxes = attention_boxes(for_crop, low + (high - low) * shares[0], CROP_PAD)
        low, high = DROP_SHARE
        kept = drop_masks(for_drop, low + (high - low) * shares[1])
        return cropped(whole, boxes), whole * kept


# -- the arithmetic: nothing is drawn here -----------------------------------------------


def bilinear_pooling(
    features: Float[torch.Tensor, "batch channels rows columns"], maps: Maps
) -> Pooled:
    """Features under each map: means of their products, signed roots, norm 1.

    The paper's bilinear attention pooling, with the mean as its pooling.

    Args:
        features: (B, C, h, w).
        maps: (B, M, h, w), 0 or more.

    Returns:
        (B, M * C), map by map; zeros where no map attends to anything.
    """
    area = features.shape[2] * features.shape[3]
    products = torch.einsum("bmhw,bchw->bmc", maps, features) / area
    rooted = products.sign() * (products.abs() + _TINY).sqrt()
    return functional.normalize(rooted.flatten(1), dim=1)


def pick_two(
    weights: Float[torch.Tensor, "batch maps"], noise: Float[torch.Tensor, "batch maps"]
) -> Integer[torch.Tensor, "batch 2"]:
    """Two different maps of each picture, drawn one after the other in proportion to weights.

    A race: of exponential times divided by weights the two shortest win. Drawing by this needs
    as many numbers whatever the weights are.

    Args:
        weights: 0 or more; a map of weight 0 is drawn where no other is left.
        noise: exponential, over 0.
    """
    return ((weights + _TINY) / noise.clamp(min=_TINY)).topk(2, dim=1).indices


def attention_boxes(
    maps: Float[torch.Tensor, "batch height width"],
    share: Float[torch.Tensor, " batch"],
    pad: float,
) -> Boxes:
    """The smallest box of each map's pixels of at least ``share`` times its highest, padded.

    Args:
        maps: (B, H, W), 0 or more, of the picture's size; one of zeros gives the whole picture.
        share: (B,) 0 to 1.
        pad: margin on each side, share of the picture's height and width.

    Returns:
        (B, 4) int64 px: left, top, right and bottom; the last two are the first beyond.
    """
    inside = maps >= (share * maps.amax(dim=(1, 2)))[:, None, None]
    left, right = _reach(inside.any(dim=1), pad)
    top, bottom = _reach(inside.any(dim=2), pad)
    return torch.stack([left, top, right, bottom], dim=1)


def cropped(
    images: Float[torch.Tensor, "batch channels height width"], boxes: Boxes
) -> Float[torch.Tensor, "batch channels height width"]:
    """The part of each picture in its box, brought bilinearly to the picture's size.

    With pixel centres at integers, ``x = left + (j + 0.5) * (right - left) / W - 0.5``; what is
    half a pixel beyond a box comes from the picture, beyond the picture from its border.

    Args:
        images: (B, C, H, W).
        boxes: (B, 4) px: left, top, right, bottom.
    """
    height, width = images.shape[2:]
    given = boxes.to(images.dtype)
    across = (torch.arange(width, device=images.device, dtype=images.dtype) + 0.5) / width
    down = (torch.arange(height, device=images.device, dtype=images.dtype) + 0.5) / height
    x = given[:, :1] + across * (given[:, 2:3] - given[:, :1])  # from the picture's edge
    y = given[:, 1:2] + down * (given[:, 3:] - given[:, 1:2])
    shape = (images.shape[0], height, width)  # len would be a constant of an exported file
    across_BHW = (2 * x / width - 1)[:, None].expand(shape)
    down_BHW = (2 * y / height - 1)[..., None].expand(shape)
    grid = torch.stack([across_BHW, down_BHW], dim=3)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def drop_masks(
    maps: Float[torch.Tensor, "batch height width"], share: Float[torch.Tensor, " batch"]
) -> Float[torch.Tensor, "batch 1 height width"]:
    """0 where a map reaches ``share`` times its highest, 1 elsewhere; 1 under a map of zeros.

    A normalised picture times this shows the mean colour where it is hidden.
    """
    highest = maps.amax(dim=(1, 2))[:, None, None]
    kept = (maps < share[:, None, None] * highest) | (highest <= 0)
    return kept[:, None].to(maps.dtype)


def centre_loss(pooled: Pooled, centres: Pooled) -> Float[torch.Tensor, ""]:
    """Squared distance of features from their class's centre, brought to norm 1: sum over
    features, mean over pictures: the paper's attention regularization.

    Args:
        pooled: (B, D), of norm 1.
        centres: (B, D), of each picture's class; one that is still zero stays zero.
    """
    return (pooled - functional.normalize(centres, dim=1)).square().sum() / len(pooled)


@torch.no_grad()
def follow(
    centres: Float[torch.Tensor, "classes pooled"], pooled: Pooled, labels: Labels, rate: float
) -> None:
    """Move each class's centre by ``rate`` times the mean of (feature - centre) over its pictures.

    In place. Over all processes where there are several, so that centres stay the same in each,
    and are what one process with the whole batch would have. A class without a picture stays.

    Args:
        centres: (K, D).
        pooled: (B, D).
        labels: (B,) 0 to K - 1.
        rate: beta, 0 to 1.
    """
    # not by index: of several pictures of one class each would overwrite the one before
    members = functional.one_hot(labels.long(), len(centres)).to(centres.dtype)
    sums, counts = members.T @ pooled, members.sum(dim=0)[:, None]
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(sums)
        distributed.all_reduce(counts)
    centres += rate * torch.where(counts > 0, sums / counts.clamp(min=1) - centres, 0.0)


def _reach(
    along: torch.Tensor, pad: float
) -> tuple[Integer[torch.Tensor, " batch"], Integer[torch.Tensor, " batch"]]:
    length = int(along.shape[1])
    margin = round(pad * length)
    first = along.int().argmax(dim=1)
    beyond = length - along.flip(1).int().argmax(dim=1)
    return (first - margin).clamp(min=0), (beyond + margin).clamp(max=length)


def _sized(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    sized = functional.interpolate(
        maps[:, None], size=like.shape[-2:], mode="bilinear", align_corners=False
    )
    return sized[:, 0]
