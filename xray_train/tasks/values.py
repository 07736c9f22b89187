"""What networks are given: bytes brought to about zero and one, one picture a sample."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import nn

from faceblend.errors import BadArgument

Values = Literal["imagenet", "half", "dfdc"]
"""How pixels are brought to about zero and one before the network; see ``VALUES``."""

VALUES: dict[Values, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dfdc": ((0.4479, 0.3744, 0.3473), (0.2537, 0.2502, 0.2424)),
}
"""Mean and standard deviation of red, green and blue, from 0 to 1."""


class Normal(nn.Module):
    """Pictures less their mean, by their deviation; nothing of it is in a checkpoint.

    Args:
        values: which mean and deviation.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, values: Values) -> None:
        super().__init__()
        mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in VALUES[values])
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: torch.Tensor) -> Float[torch.Tensor, "batch 3 height width"]:
        """Of (B, 3, H, W) uint8 RGB.

        Raises:
            BadArgument: a sample has several pictures.
        """
        check_single(images)
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std


def check_single(images: torch.Tensor) -> None:
    """See that a batch has one picture a sample: (B, 3, H, W).

    Raises:
        BadArgument: it has several, as pairs and triplets have.
    """
    if images.dim() != 4:
        raise BadArgument(
            "the source",
            f"gives {images.shape[1]} pictures a sample, and this task looks at one",
            "give a source of single faces, such as xray_train.sources.Frames",
        )
