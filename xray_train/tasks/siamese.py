"""Siamese training: features that lie near each other within a class, and a classifier on them.

Bonettini et al., *Video Face Manipulation Detection Through Ensemble of CNNs*, ICPR 2020 (the
networks named ST): first :class:`Triplet` trains the features, then :class:`FrozenHead` a
classifier, the features being kept.

Shape suffixes: B batch, F features, H and W the pictures' size.
"""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import nn
from torch.nn import functional

from faceblend.errors import BadArgument
from xray_train.backbones.attention import AutoAttention
from xray_train.checkpoint import fit_into, read_tensors
from xray_train.tasks import Images, Labels, Prediction, Xrays
from xray_train.tasks.frame import make_backbone
from xray_train.tasks.values import Normal, Values

Triples = UInt8[torch.Tensor, "batch 3 3 height width"]
"""Anchor, positive and negative, each RGB, 0 to 255."""

Distances = Float[torch.Tensor, " batch"]
Embedded = Float[torch.Tensor, "batch features"]
Attention = Float[torch.Tensor, "batch rows columns"]


class Features(nn.Module):
    """Pooled features of a backbone: 1792 of EfficientNet-B4, 2048 of Xception.

    Args:
        backbone: a classifier of timm's, or ``efficientnet_auto_att_b4``.
        pretrained: ``none``, ``hub``, or the path of a checkpoint of that network.
        values: how pixels are normalised.

    Raises:
        BadArgument: timm knows no such network.
        BadCheckpoint: the weights do not fit it.
    """

    def __init__(self, backbone: str, pretrained: str, values: Values) -> None:
        super().__init__()
        self.backbone = make_backbone(backbone, pretrained, classes=0)
        self.normal = Normal(values)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.backbone.num_features)  # type: ignore[arg-type]

    def forward(self, images: Images) -> Embedded:
        """Features of each picture, float32."""
        return self.attend(images)[0]

    def attend(self, images: Images) -> tuple[Embedded, Attention | None]:
        """The same, and the attention of a backbone that has one."""
        normal = self.normal(images)
        if isinstance(self.backbone, AutoAttention):
            features, attention = self.backbone.attend(normal)
            return features.float(), attention
        return self.backbone(normal).float(), None


class Triplet(nn.Module):
    """Features by triplets: an anchor lies nearer to its own class than to the other.

    ``loss = mean(max(0, |a - p| - |a - n| + margin))`` with Euclidean distances, as torch's
    TripletMarginLoss. Items are (3, 3, H, W): :class:`~xray_train.sources.Triplets`.

    Args:
        backbone, pretrained, values: of the :class:`Features`.
        margin: by how much the other class has to be farther away.

    Raises:
        BadArgument: timm knows no such network, or ``margin`` is no distance.
        BadCheckpoint: the weights do not fit it.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_b4",
        pretrained: str = "none",
        values: Values = "imagenet",
        margin: float = 1.0,
    ) -> None:
        super().__init__()
        if not margin > 0:
            raise BadArgument("margin", f"is {margin}", "give more than 0")
        self.features = Features(backbone, pretrained, values)
        self.margin = margin

    def forward(self, images: Triples) -> tuple[Distances, Distances]:
        """Distances from anchor to positive and to negative, float32."""
        given = 1 if images.dim() == 4 else int(images.shape[1])
        if given != 3:
            raise BadArgument(
                "task",
                f"compares three faces, and was given {given}",
                "give a source of Triplets, or train a classifier on it: FrozenHead",
            )
        # all at once: batch norm sees both classes together
        embedded_NF = self.features(images.flatten(0, 1))
        embedded_B3F = embedded_NF.unflatten(0, images.shape[:2])
        anchor_BF, positive_BF, negative_BF = embedded_B3F.unbind(1)
        return (
            functional.pairwise_distance(anchor_BF, positive_BF),
            functional.pairwise_distance(anchor_BF, negative_BF),
        )

    def loss(self, images: Triples, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss``, and ``accuracy``: the share of triplets whose positive is nearer."""
        del xrays, labels
        near_B, far_B = self(images)
        loss = (near_B - far_B + self.margin).clamp(min=0).mean()
        return {"loss": loss, "accuracy": (near_B < far_B).float().mean()}

    @torch.no_grad()
    def predict(self, images: Triples) -> Prediction:
        """How sure it is that the positive is nearer: logits are the difference of distances."""
        near_B, far_B = self(images)
        logits = far_B - near_B
        return Prediction(scores=logits.sigmoid(), logits=logits)

    @torch.no_grad()
    def embed(self, images: Images) -> Embedded:
        """Features of single pictures, without gradients."""
        embedded: torch.Tensor = self.features(images)
        return embedded

    def fix_backbone(self, fixed: bool) -> None:
        """All of it is trained.

        Raises:
            BadArgument: nothing would be left to train.
        """
        if fixed:
            raise BadArgument("fixed", "keeps all that this network has", "give 0")


class FrozenHead(nn.Module):
    """Batch norm and a linear layer on features that are kept as they are.

    Args:
        backbone, values: of the features, as they were trained.
        pretrained: path of the checkpoint of a :class:`Triplet` run, which the features are read
            from; or ``hub``, ImageNet's by timm. ``none`` is for a checkpoint of this task, which
            holds the features itself; it is not trained on.

    Raises:
        BadArgument: timm knows no such network.
        BadCheckpoint: the file holds no such features.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_b4",
        pretrained: str = "none",
        values: Values = "imagenet",
    ) -> None:
        super().__init__()
        ours = pretrained not in ("none", "hub")
        self.features = Features(backbone, "none" if ours else pretrained, values)
        if ours:
            _load_features(self.features, Path(pretrained))
        self.features.requires_grad_(False).eval()
        self.norm = nn.BatchNorm1d(self.features.count)
        self.head = nn.Linear(self.features.count, 1)
        self._trained = pretrained != "none"

    def forward(self, images: Images) -> Float[torch.Tensor, " batch"]:
        """Log odds of forged, float32."""
        return self._attend(images)[0]

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss``: binary cross-entropy from logits; ``accuracy`` beside it.

        Raises:
            BadArgument: the features are random.
        """
        del xrays
        if not self._trained:
            raise BadArgument(
                "pretrained",
                "is 'none', and a classifier on random features learns little",
                "give the checkpoint of a run of xray_train.tasks.siamese.Triplet",
            )
        logits = self(images)
        with torch.autocast(images.device.type, enabled=False):
            loss = functional.binary_cross_entropy_with_logits(logits, labels.float())
        right = ((logits.detach() >= 0) == (labels == 1)).float().mean()
        return {"loss": loss, "accuracy": right}

    @torch.no_grad()
    def predict(self, images: Images) -> Prediction:
        """Probability of forged, its logit, and the attention of a backbone that has one."""
        logits, attention = self._attend(images)
        return Prediction(scores=logits.sigmoid(), logits=logits, attention=attention)

    def fix_backbone(self, fixed: bool) -> None:
        """The features are kept, whatever is asked for."""

    def train(self, mode: bool = True) -> "FrozenHead":
        """As every module; the features stay in evaluation mode."""
        super().train(mode)
        self.features.eval()
        return self

    def _attend(self, images: Images) -> tuple[Float[torch.Tensor, " batch"], Attention | None]:
        with torch.no_grad():
            features_BF, attention = self.features.attend(images)
        return self.head(self.norm(features_BF))[:, 0].float(), attention


def _load_features(features: Features, path: Path) -> None:
    prefix = "features."
    given = {
        name.removeprefix(prefix): tensor
        for name, tensor in read_tensors(path).items()
        if name.startswith(prefix)
    }
    fit_into(features, given, path)
