"""One file a system: its network, its objective and its pictures.

The loop sees no more of a system than :class:`Task`.

face_xray   HRNet that predicts the X-ray, and the class from it (Li et al., CVPR 2020)
frame       any classifier of timm's: one picture, one score
siamese     features by triplets of faces, and a classifier on them as they are
wsdan       attention maps that crop and hide while training (Hu et al., 2019)
identity    whose face it is: an embedding trained with a margin; scores pairs of pictures
values      what all of them are given: normalised pixels
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Integer, UInt8

Images = UInt8[torch.Tensor, "batch 3 height width"]
"""RGB, 0 to 255; every network normalises by itself."""

Xrays = UInt8[torch.Tensor, "batch 1 height width"]
"""``round(255 * B)``."""

Labels = Integer[torch.Tensor, " batch"]
"""1 forged, 0 real."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a network says of a batch."""

    scores: Float[torch.Tensor, " batch"]
    """probability that a picture is forged"""
    xrays: Float[torch.Tensor, "batch height width"] | None = None
    """predicted X-ray, 0 to 1; None where the system has none"""
    logits: Float[torch.Tensor, " batch"] | None = None
    """log odds of forged; None where the scores come from elsewhere"""
    attention: Float[torch.Tensor, "batch rows columns"] | None = None
    """where the network looked, 0 to 1, coarser than the picture; None where nothing says so"""


@runtime_checkable
class Task(Protocol):
    """A ``torch.nn.Module`` that the loop can train."""

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        """``loss``, to be minimised, and its parts by name: float32 scalars."""
        ...

    def predict(self, images: Images) -> Prediction:
        """Scores, without gradients."""
        ...

    def fix_backbone(self, fixed: bool) -> None:
        """Keep the backbone's parameters and batch-norm statistics, or let them go."""
        ...


@runtime_checkable
class TellsApart(Protocol):
    """A task whose labels are numbers of people, and not real and forged."""

    def classify(self, images: Images) -> Integer[torch.Tensor, " batch"]:
        """The number of each picture's person."""
        ...


@runtime_checkable
class Changes(Protocol):
    """A task that is another one later in the run."""

    def at(self, step: int, epoch: int) -> None:
        """Called before every step: ``step`` steps and ``epoch`` whole passes are done."""
        ...
