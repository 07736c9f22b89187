"""Networks for identity that timm has not: IR-18, a small one for digits, dlib's descriptor.

Each takes normalised pictures and gives features; ``features`` says how many.
"""

import hashlib
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from faceblend.errors import BadArgument, MissingModel
from faceblend.ingest.detect import find_model

Features = Float[torch.Tensor, "batch features"]

DESCRIPTOR_VARIABLE = "FACEBLEND_DESCRIPTOR_MODEL"
"""Environment variable that names dlib's descriptor model."""

_DESCRIPTOR = "dlib_face_recognition_resnet_model_v1.dat"
_CHIP = 150  # px; what the descriptor was trained on
_KEPT = 4096  # descriptors that are remembered; 2.5 MB


class IR18(nn.Module):
    """The improved residual network of 18 layers (Deng et al., CVPR 2019, section 3.1).

    A 3x3 convolution and a pooling instead of ResNet's stem; in each block a batch norm goes
    first and a PReLU stands between the convolutions. 64, 128, 256 and 512 channels, and their
    last map flattened: 512 * 8 * 8 features of 128 px.

    Args:
        channels: of the pictures: 1 grey, 3 RGB.
        side: of the pictures, px.
        squeeze: squeeze-and-excitation in each block (Hu et al., CVPR 2018).
        dropout: of the last map.

    Raises:
        BadArgument: the side is no multiple of 16.
    """

    def __init__(
        self, channels: int = 1, side: int = 128, squeeze: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if side < 16 or side % 16:
            raise BadArgument("side", f"is {side} px", "give a multiple of 16 for ir18")
        self.side, self.features = side, 512 * (side // 16) ** 2
        blocks, width = list[nn.Module](), 64
        for wide, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [
                _Block(width, wide, stride, squeeze), _Block(wide, wide, 1, squeeze)
            ]  # fmt: skip
            width = wide
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.PReLU(),
            nn.MaxPool2d(2),
            *blocks,
            nn.BatchNorm2d(512),
            nn.Dropout(dropout),
            nn.Flatten(),
        )
        for one in self.modules():
            if isinstance(one, nn.Conv2d):
                nn.init.xavier_normal_(one.weight)

    def forward(self, pictures: Float[torch.Tensor, "batch channels height width"]) -> Features:
        """(B, features) of (B, C, side, side).

        Raises:
            BadArgument: the pictures have another side.
        """
        if tuple(pictures.shape[-2:]) != (self.side, self.side):
            height, width = pictures.shape[-2:]
            raise BadArgument(
                "images", f"are {width}x{height} px, and ir18 was made for {self.side}",
                f"give sources the size {self.side}, or the task another side",
            )  # fmt: skip
        features: torch.Tensor = self.layers(pictures)
        return features


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, before, 3, padding=1, bias=False),
            nn.BatchNorm2d(before),
            nn.PReLU(),
            nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            *([_Squeeze(width)] if squeeze else []),
        )
        self.past: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            self.past = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )
        self.last = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        after: torch.Tensor = self.last(self.main(x) + self.past(x))
        return after


class _Squeeze(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // 16, 1),
            nn.PReLU(),
            nn.Conv2d(width // 16, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate: torch.Tensor = self.gate(x)
        return x * gate


class DigitNet(nn.Module):
    """Three pairs of convolutions on grey digits, pooled: 128 * 3 * 3 features of 28 px.

    Small, as in the toy experiments of the margin papers; the embedding behind it has two
    numbers, so that it can be drawn as it is.
    """

    features = 128 * 3 * 3

    def __init__(self) -> None:
        super().__init__()
        layers, before = list[nn.Module](), 1
        for wide in (16, 32, 64):
            for one in (before, wide):
                layers += [
                    nn.Conv2d(one, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide),
                    nn.PReLU(),
                ]  # fmt: skip
            layers.append(nn.MaxPool2d(2))
            before = wide
        layers += [nn.Conv2d(before, 128, 1), nn.PReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Float[torch.Tensor, "batch 1 height width"]) -> Features:
        """(B, 1152) of (B, 1, H, W), 8 px and more."""
        features: torch.Tensor = self.layers(pictures)
        return features


class DlibDescriptor(nn.Module):
    """dlib's 128 numbers of a face, by the model that is installed; nothing in it can be trained.

    It was made for faces of 150 px that dlib aligned; pictures of other sizes are resized. What a
    picture gave is remembered, for the network takes 60 ms a face and the answer never changes.

    Raises:
        MissingModel: dlib or the model is not there.
    """

    features = 128

    def __init__(self) -> None:
        super().__init__()
        _descriptor(find_descriptor_model())  # here, and not in the middle of a run
        self._known: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def forward(self, images: UInt8[torch.Tensor, "batch 3 height width"]) -> Features:
        """(B, 128) float32 of uint8 RGB, as they are."""
        pictures = images.permute(0, 2, 3, 1).cpu().numpy()
        rows = np.stack([self._one(np.ascontiguousarray(one)) for one in pictures])
        return torch.from_numpy(rows).to(images.device)

    def _one(self, picture: np.ndarray) -> np.ndarray:
        import cv2

        if picture.shape[:2] != (_CHIP, _CHIP):
            how = cv2.INTER_AREA if min(picture.shape[:2]) > _CHIP else cv2.INTER_LINEAR
            picture = np.asarray(cv2.resize(picture, (_CHIP, _CHIP), interpolation=how))
        key = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
        if key not in self._known:
            model = _descriptor(find_descriptor_model())
            self._known[key] = np.array(model.compute_face_descriptor(picture), np.float32)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]


def find_descriptor_model() -> Path:
    """dlib's face descriptor: what the environment names, else the file that is installed.

    Raises:
        MissingModel: there is none, or not where it was said to be.
    """
    return find_model(_DESCRIPTOR, "dlib's face descriptor", DESCRIPTOR_VARIABLE)


def dlib_chip(image: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """The face as dlib's descriptor wants it: turned upright and scaled by its landmarks.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) px of the image.
        size: side of what is returned, px.

    Returns:
        (size, size, 3) uint8 RGB; a quarter of the face's size is left around it.

    Raises:
        MissingModel: dlib is not there.
    """
    dlib = _dlib()
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks]
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    box = dlib.rectangle(*(round(float(edge)) for edge in (*low, *high)))
    whole = dlib.full_object_detection(box, dlib.points(points))
    return np.asarray(dlib.get_face_chip(np.ascontiguousarray(image), whole, size, 0.25))


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise MissingModel(
            "dlib", f"cannot be imported ({error})", "pip install dlib-bin, or compile dlib"
        ) from error
    return dlib


@lru_cache(maxsize=1)
def _descriptor(path: Path) -> Any:
    try:
        return _dlib().face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise MissingModel(
            path, f"is no face descriptor of dlib's ({error})", f"give the path of {_DESCRIPTOR}"
        ) from error
