"""A backbone that learns where to look, which timm has not."""

from typing import Any

import torch
from jaxtyping import Float
from timm.models import EfficientNet
from torch import nn

from faceblend.errors import BadArgument

AUTO_ATTENTION = {"efficientnet_auto_att_b4": "efficientnet_b4"}
"""Names of :class:`AutoAttention` and the EfficientNets that they are made of."""

_STAGES = 3  # of timm's: the first ten of EfficientNet-B4's blocks, 0 to 9

Pictures = Float[torch.Tensor, "batch 3 height width"]
Outputs = Float[torch.Tensor, "batch outputs"]
Attention = Float[torch.Tensor, "batch rows columns"]


class AutoAttention(nn.Module):
    """An EfficientNet that weighs its own features by where they are.

    Bonettini et al., *Video Face Manipulation Detection Through Ensemble of CNNs*, ICPR 2020
    (EfficientNetAutoAttB4): after block 9 of EfficientNet-B4 (56 channels, a stride of 8) a 1x1
    convolution and a sigmoid give one map; every channel is multiplied with it, and the rest of
    the network goes on from there.

    Args:
        network: an EfficientNet of timm's, of three stages or more.

    Raises:
        BadArgument: it is another kind of network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        if not isinstance(network, EfficientNet) or len(network.blocks) < _STAGES:
            kind = type(network).__name__
            raise BadArgument("backbone", f"is a {kind}", "give an EfficientNet of timm's")
        self.network: Any = network
        info = [one for one in self.network.feature_info if one["stage"] == _STAGES]
        self.attention = nn.Conv2d(info[0]["num_chs"], 1, kernel_size=1)

    @property
    def num_features(self) -> int:
        """Channels of the pooled features."""
        return int(self.network.num_features)

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm's networks have it."""
        layer: nn.Module = self.network.get_classifier()
        return layer

    def forward(self, pictures: Pictures) -> Outputs:
        """As the network itself: logits, or pooled features where it has no last layer."""
        return self.attend(pictures)[0]

    def attend(self, pictures: Pictures) -> tuple[Outputs, Attention]:
        """The same, and the map: 0 to 1, an eighth of the pictures' size."""
        features = self.network.bn1(self.network.conv_stem(pictures))
        features = self.network.blocks[:_STAGES](features)
        weights = self.attention(features).sigmoid()
        features = self.network.blocks[_STAGES:](features * weights)
        features = self.network.bn2(self.network.conv_head(features))
        outputs: torch.Tensor = self.network.forward_head(features)
        return outputs, weights[:, 0].float()
