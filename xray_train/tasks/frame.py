"""One picture, one score: any classifier of timm's, trained on real and forged.

What most detectors of the field are: Xception (Rössler et al., FaceForensics++, ICCV 2019),
EfficientNet (Bonettini et al., ICPR 2020), ResNet.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from faceblend.errors import BadArgument
from xray_train.backbones.attention import AUTO_ATTENTION, AutoAttention
from xray_train.checkpoint import BadCheckpoint, read_tensors
from xray_train.mixing import Mix, Pictures, cutmix, draw_mix, mixup
from xray_train.tasks import Images, Labels, Prediction, Xrays
from xray_train.tasks.values import Normal, Values

Logits = Float[torch.Tensor, " batch"]


class Frame(nn.Module):
    """A backbone and one logit: the log odds of forged.

    Args:
        backbone: a classifier of timm's, such as ``resnet18``, ``legacy_xception`` or
            ``efficientnet_b4``; or ``efficientnet_auto_att_b4``, which tells where it looked.
        pretrained: ``none``; ``hub``, weights fetched by timm from its hub; or the path of a
            checkpoint of that network (``.pth`` or ``.safetensors``), read without running any
            code in it. A classifier of another number of classes in it is left out.
        values: how pixels are normalised.
        dropout: before the last layer.
        mix: while training, ``none``; ``mixup`` or ``cutmix`` of two pictures and their labels.
        mix_alpha: both parameters of the Beta distribution that their shares are drawn from.

    Raises:
        BadArgument: timm knows no such network, or ``mix_alpha`` is not over 0.
        BadCheckpoint: the weights do not fit it.
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        pretrained: str = "none",
        values: Values = "imagenet",
        dropout: float = 0.0,
        mix: Mix = "none",
        mix_alpha: float = 1.0,
    ) -> None:
        super().__init__()
        if mix_alpha <= 0:
            raise BadArgument("mix_alpha", f"is {mix_alpha}", "give more than 0")
        self.backbone: Any = make_backbone(backbone, pretrained, classes=1, dropout=dropout)
        self.normal = Normal(values)
        self.mix, self.mix_alpha = mix, mix_alpha
        self._fixed = False

    def forward(self, images: Images) -> Logits:
        """Log odds of forged, float32."""
        return self._logits(self.normal(images))

    def _logits(self, normal: Pictures) -> Logits:
        logits: torch.Tensor = self.backbone(normal)
        return logits[:, 0].float()

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss``: binary cross-entropy from logits; ``accuracy`` beside it.

        Of mixed pictures the accuracy counts the class that has the larger share.
        """
        del xrays
        normal, wanted = self.normal(images), labels.float()
        if self.training and self.mix != "none":
            # mixed once normalised: the same picture, for both are linear
            mixed = mixup if self.mix == "mixup" else cutmix
            normal, wanted = mixed(normal, wanted, draw_mix(len(images), self.mix_alpha))
        logits = self._logits(normal)
        with torch.autocast(images.device.type, enabled=False):
            loss = functional.binary_cross_entropy_with_logits(logits, wanted)
        right = ((logits.detach() >= 0) == (wanted >= 0.5)).float().mean()
        return {"loss": loss, "accuracy": right}

    @torch.no_grad()
    def predict(self, images: Images) -> Prediction:
        """Probability of forged, its logit, and the attention of a backbone that has one."""
        if isinstance(self.backbone, AutoAttention):
            outputs, attention = self.backbone.attend(self.normal(images))
            logits = outputs[:, 0].float()
            return Prediction(scores=logits.sigmoid(), logits=logits, attention=attention)
        logits = self(images)
        return Prediction(scores=logits.sigmoid(), logits=logits)

    def fix_backbone(self, fixed: bool) -> None:
        """Keep all but the last layer, batch-norm statistics included, or let it go."""
        self._fixed = fixed
        self.backbone.requires_grad_(not fixed)
        self.backbone.get_classifier().requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Frame":
        """As every module; a fixed backbone stays in evaluation mode."""
        super().train(mode)
        if self._fixed:
            self.backbone.eval()
        return self


def make_backbone(name: str, pretrained: str, *, classes: int, dropout: float = 0.0) -> nn.Module:
    """A network of timm's with a last layer of ``classes`` outputs; 0 for its pooled features.

    One of ``AUTO_ATTENTION`` is a network of timm's, loaded as such, with a layer more.

    Raises:
        BadArgument: timm knows no such network.
        BadCheckpoint: the weights do not fit it.
    """
    timms = AUTO_ATTENTION.get(name, name)
    if not timm.is_model(timms):
        raise BadArgument("backbone", f"is {name!r}", "give a name of timm.list_models()")
    network: nn.Module = timm.create_model(
        timms, pretrained=pretrained == "hub", num_classes=classes, drop_rate=dropout
    )
    if pretrained not in ("none", "hub"):
        load_backbone(network, Path(pretrained))
    return AutoAttention(network) if name in AUTO_ATTENTION else network


def load_backbone(network: Any, path: Path) -> None:
    """Load a classification checkpoint, but for a last layer of other classes.

    Raises:
        BadCheckpoint: it cannot be read, or lacks or misfits a tensor of the network.
    """
    given = {
        name.removeprefix("module.").removeprefix("backbone."): one  # of DDP, of a task of ours
        for name, one in read_tensors(path).items()
    }
    wanted = network.state_dict()
    last = {id(one) for one in network.get_classifier().state_dict(keep_vars=True).values()}
    kept = network.state_dict(keep_vars=True)
    for name, tensor in wanted.items():
        fits = name in given and given[name].shape == tensor.shape
        if fits or id(kept[name]) in last:
            continue
        wrong = "has another shape of" if name in given else "lacks"
        raise BadCheckpoint(path, f"{wrong} {name}", "give a checkpoint of the same network")
    fitting = {
        name: given[name] if name in given and given[name].shape == own.shape else own
        for name, own in wanted.items()
    }
    network.load_state_dict(fitting)
