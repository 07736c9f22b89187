"""Whose face it is: an embedding whose angles tell people apart.

Trained as a classifier of the training people, with a margin: ArcFace (Deng et al., CVPR 2019),
CosFace (Wang et al., CVPR 2018), SphereFace (Liu et al., CVPR 2017), or without one. Afterwards
the classes are left behind: of two faces of anybody, the cosine says whether they are one person.
"""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Integer, UInt8
from torch import nn
from torch.nn import functional

from faceblend.errors import BadArgument
from xray_train.backbones.identity import IR18, DigitNet, DlibDescriptor
from xray_train.checkpoint import fit_into, read_tensors
from xray_train.margins import arcface, cosface, focal_cross_entropy, softness_at, sphereface
from xray_train.tasks import Images, Labels, Prediction, Xrays
from xray_train.tasks.frame import make_backbone
from xray_train.tasks.values import check_single

Margin = Literal["arcface", "cosface", "sphereface", "none"]
Mirror = Literal["none", "concat", "sum"]
"""Features of the picture alone; with those of its mirror image behind them; or both added."""

Embeddings = Float[torch.Tensor, "batch embedding"]
Pairs = UInt8[torch.Tensor, "batch *two height width"]

SCALES: dict[Margin, tuple[float, float]] = {
    "arcface": (30.0, 0.5),
    "cosface": (30.0, 0.35),
    "sphereface": (1.0, 4.0),
    "none": (1.0, 0.0),
}
"""Scale and margin of each where none are given."""

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Identity(nn.Module):
    """A backbone, an embedding, and one direction a person of the training set.

    ``loss`` takes labels that are numbers of persons. ``predict`` takes *pairs* of pictures,
    (B, 2, 3, H, W), and scores ``(cosine + 1) / 2``, higher for the same person: label 1.

    Args:
        backbone: a network of timm's, such as ``resnet50``; ``ir18`` or ``ir18_se``; ``digits``, a
            small one for grey digits; or ``dlib``, dlib's descriptor as a frozen start.
        pretrained: ``none``; ``hub``, weights fetched by timm from its hub; or the path of a
            checkpoint of that backbone, read without running any code in it.
        classes: persons of the training set.
        embedding: its length; 0 takes the backbone's features as they are.
        margin: ``arcface``, ``cosface``, ``sphereface``, or ``none``: plain cross-entropy of inner
            products.
        s: scale of the cosines; not used by ``sphereface``, which scales by the embedding's
            length, and ``none``. By default ``SCALES``' of the margin.
        m: the margin: radians for ``arcface``, of the cosine for ``cosface``, the whole number
            that multiplies the angle for ``sphereface``. By default ``SCALES``'.
        easy: of ``arcface``: no margin beyond a right angle.
        focal: gamma of the focal loss, each face by its own; 0 for cross-entropy.
        batch_norm: normalise the embedding over the batch, behind its linear layer.
        grey: of ``ir18``: give it grey pictures; ``digits`` always sees grey.
        side: of ``ir18``'s pictures, px.
        mirror: what :meth:`embed` takes besides the picture.

    Raises:
        BadArgument: an argument cannot be used, or timm knows no such network.
        BadCheckpoint: the weights do not fit.
        MissingModel: dlib or its descriptor is not there.
    """

    softness: torch.Tensor

    def __init__(
        self,
        backbone: str = "resnet18",
        pretrained: str = "none",
        classes: int = 2,
        embedding: int = 128,
        margin: Margin = "arcface",
        s: float | None = None,
        m: float | None = None,
        easy: bool = False,
        focal: float = 0.0,
        batch_norm: bool = True,
        grey: bool = False,
        side: int = 128,
        mirror: Mirror = "none",
    ) -> None:
        super().__init__()
        usual_s, usual_m = SCALES[margin]
        self.s, self.m = usual_s if s is None else float(s), usual_m if m is None else float(m)
        self.margin, self.easy, self.focal, self.mirror = margin, easy, float(focal), mirror
        self._check(classes, embedding)
        if grey and not backbone.startswith("ir18"):
            raise BadArgument("grey", f"is for ir18, and the backbone is {backbone!r}", "leave it")
        self.grey = grey or backbone == "digits"
        self.raw = backbone == "dlib"  # takes bytes
        network: Any = _backbone(backbone, pretrained, grey, side)
        timms = hasattr(network, "num_features")
        width: int = network.num_features if timms else network.features
        self.backbone: nn.Module = network
        self.head: nn.Module = nn.Identity()
        if embedding:
            norm = [nn.BatchNorm1d(embedding)] if batch_norm else []
            self.head = nn.Sequential(nn.Linear(width, embedding), *norm)
        # in the module: they are trained, kept and resumed with the rest
        self.persons = nn.Parameter(_directions(classes, embedding or width))
        # a function of the step, set before each; a tensor, so that nothing is compiled anew
        self.register_buffer("softness", torch.tensor(softness_at(0)), persistent=False)
        self._fixed = False

    def forward(self, images: Images) -> Embeddings:
        """Embeddings as they come, float32, of any length."""
        check_single(images)
        if self.raw:
            features = self.backbone(images)
        else:
            kind = self.persons.dtype
            pictures = images.to(kind)
            if self.grey:
                weights = torch.tensor(_GREY, dtype=kind, device=images.device).view(1, 3, 1, 1)
                pictures = (pictures * weights).sum(dim=1, keepdim=True)
            features = self.backbone(pictures / 127.5 - 1)
        embeddings: torch.Tensor = self.head(features)
        return embeddings.float()

    def logits(self, embeddings: Embeddings, persons: Labels) -> Float[torch.Tensor, "batch all"]:
        """What the cross-entropy sees, in float32: the own class with its margin, scaled.

        Args:
            embeddings: (B, E), of any length.
            persons: (B,) own classes.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings, directions = embeddings.float(), self.persons.float()
            if self.margin == "none":
                return torch.mm(embeddings, directions.T)
            cosines = functional.normalize(embeddings) @ functional.normalize(directions).T
            if self.margin == "arcface":
                return self.s * arcface(cosines, persons, self.m, easy=self.easy)
            if self.margin == "cosface":
                return self.s * cosface(cosines, persons, self.m)
            length: torch.Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
            return length * sphereface(cosines, persons, int(self.m), self.softness)

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss``: (focal) cross-entropy with the margin; ``accuracy`` of the batch, without it.

        Raises:
            BadArgument: a label is no number of a class.
        """
        del xrays
        persons = self.persons.shape[0]
        if bool(((labels < 0) | (labels >= persons)).any()):
            raise BadArgument(
                "classes",
                f"is {persons}, and a person has the number {int(labels.max())}",
                "give as many as the source has persons: len(source.classes())",
            )
        embeddings = self(images)
        with torch.autocast(images.device.type, enabled=False):
            loss = focal_cross_entropy(self.logits(embeddings, labels), labels, self.focal)
        right = (self._nearest(embeddings.detach()) == labels).float().mean()
        return {"loss": loss, "accuracy": right}

    @torch.no_grad()
    def classify(self, images: Images) -> Integer[torch.Tensor, " batch"]:
        """Number of the training person that each picture is nearest to."""
        return self._nearest(self(images))

    @torch.no_grad()
    def embed(self, images: Images, mirror: Mirror | None = None) -> Embeddings:
        """(B, E) float32 of length 1; (B, 2E) where the mirror image's are put behind.

        Args:
            images: (B, 3, H, W) uint8 RGB.
            mirror: another choice than the task's own.
        """
        how = self.mirror if mirror is None else mirror
        features = self(images)
        if how != "none":
            other = self(images.flip(-1))
            features = torch.cat([features, other], 1) if how == "concat" else features + other
        return functional.normalize(features)

    @torch.no_grad()
    def predict(self, images: Pairs) -> Prediction:
        """``(cosine + 1) / 2`` of pairs (B, 2, 3, H, W) uint8 RGB: 1 for the same direction.

        Raises:
            BadArgument: single pictures are given, of which there is nothing to say.
        """
        if images.dim() != 5 or images.shape[1:3] != (2, 3):
            raise BadArgument(
                "images",
                f"are {tuple(images.shape)}, and an identity is said of pairs (B, 2, 3, H, W)",
                "give a source of pairs, or use: xray-train verify, xray-train subjects",
            )
        first, second = (self.embed(one) for one in images.unbind(dim=1))
        cosines = (first * second).sum(dim=1).clamp(-1, 1)
        return Prediction(scores=(cosines + 1) / 2)

    def at(self, step: int, epoch: int) -> None:
        """SphereFace's lambda of this step."""
        del epoch
        self.softness.fill_(softness_at(step))

    def fix_backbone(self, fixed: bool) -> None:
        """Keep the backbone's parameters and batch-norm statistics, or let them go."""
        self._fixed = fixed
        self.backbone.requires_grad_(not fixed)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Identity":
        """As every module; a fixed backbone stays in evaluation mode."""
        super().train(mode)
        if self._fixed:
            self.backbone.eval()
        return self

    def _nearest(self, embeddings: torch.Tensor) -> torch.Tensor:
        directions = self.persons.detach().float()
        if self.margin != "none":
            directions = functional.normalize(directions)
        return (embeddings @ directions.T).argmax(dim=1)

    def _check(self, classes: int, embedding: int) -> None:
        if classes < 2:
            raise BadArgument("classes", f"is {classes}", "give 2 or more: as many as persons")
        if embedding < 0:
            raise BadArgument("embedding", f"is {embedding}", "give a length, or 0 for none")
        if self.s <= 0:
            raise BadArgument("s", f"is {self.s:g}", "give more than 0")
        if self.focal < 0:
            raise BadArgument("focal", f"is {self.focal:g}", "give 0 or more")
        if self.margin == "sphereface" and (self.m < 1 or self.m != int(self.m)):
            raise BadArgument("m", f"is {self.m:g}", "give sphereface a whole number from 1")
        if self.margin != "sphereface" and not 0 <= self.m < 3.14:
            raise BadArgument("m", f"is {self.m:g}", f"give {self.margin} 0 or more, under pi")


def _directions(classes: int, length: int) -> torch.Tensor:
    """Where the classes' directions begin: at random; on a circle evenly.

    On a circle they cannot go past one another: two that began side by side would stay so.
    """
    if length == 2:
        angles = torch.arange(classes) * (2 * math.pi / classes)
        return torch.stack([angles.cos(), angles.sin()], dim=1)
    return nn.init.xavier_uniform_(torch.empty(classes, length))


def _backbone(name: str, pretrained: str, grey: bool, side: int) -> nn.Module:
    own: nn.Module
    if name in ("ir18", "ir18_se"):
        own = IR18(1 if grey else 3, side, squeeze=name == "ir18_se")
    elif name == "digits":
        own = DigitNet()
    elif name == "dlib":
        own = DlibDescriptor()
    else:
        return make_backbone(name, pretrained, classes=0)
    if pretrained != "none" and (pretrained == "hub" or name == "dlib"):
        raise BadArgument("pretrained", f"is {pretrained!r} for {name}", "give none")
    if pretrained != "none":
        fit_into(own, read_tensors(Path(pretrained)), Path(pretrained))
    return own
