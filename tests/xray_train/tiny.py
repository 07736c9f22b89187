"""A task and a source so small that a run takes a second: what the loop does is what counts."""

import sys
from pathlib import Path

import torch
from torch import nn

from xray_train.checkpoint import Checkpoint
from xray_train.loop import Run, fit
from xray_train.settings import Fit
from xray_train.sources import Item, Source
from xray_train.tasks import Images, Labels, Prediction, Xrays

TOLD = {"class_path": "tiny.Tiny", "init_args": {}}
XRAY = {
    "class_path": "xray_train.tasks.face_xray.FaceXray",
    "init_args": {"backbone": "hrnet_w18_small", "pretrained": "hub"},
}


def made_checkpoint(module: nn.Module, **changes: object) -> Checkpoint:
    """A checkpoint of a module, with the values that a test changes."""
    values: dict[str, object] = {
        "step": 7, "task": XRAY, "model": module.state_dict(), "ema": None, "optimizer": {},
        "scaler": {}, "random": {"cpu": torch.get_rng_state()},
        "progress": {"threshold": 0.25}, "settings": {"steps": 9},
    }  # fmt: skip
    return Checkpoint(**{**values, **changes})  # type: ignore[arg-type]


class Tiny(nn.Module):
    """A convolution with batch norm as its backbone, dropout, and a head."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(4, 1, 1)
        self._fixed = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.backbone(images.float() / 255)))

    def loss(self, images: Images, xrays: Xrays, labels: Labels) -> dict[str, torch.Tensor]:
        logits = self(images).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, xrays.float() / 255)
        return {"loss": loss + 0 * labels.float().mean(), "xray": loss}

    @torch.no_grad()
    def predict(self, images: Images) -> Prediction:
        xrays = self(images).sigmoid()[:, 0]
        return Prediction(scores=xrays.mean(dim=(1, 2)), xrays=xrays)

    def fix_backbone(self, fixed: bool) -> None:
        self._fixed = fixed
        self.backbone.requires_grad_(not fixed)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Tiny":
        super().train(mode)
        if self._fixed:
            self.backbone.eval()
        return self


class Stripes(Source):
    """Noise; a forgery has a bright stripe, which its X-ray marks."""

    def __init__(self, length: int = 40, parts: int = 1, only_reals: bool = False) -> None:
        self.parts, self._length, self._only_reals = parts, length, only_reals

    def __len__(self) -> int:
        return self._length

    def item(self, number: int) -> Item:
        generator = torch.Generator().manual_seed(number)
        image = torch.randint(0, 100, (3, 8, 8), dtype=torch.uint8, generator=generator)
        xray = torch.zeros(1, 8, 8, dtype=torch.uint8)
        label = 0 if self._only_reals else number % 2
        if label:
            image[:, number % 8] = 250
            xray[:, number % 8] = 255
        return {"image": image, "xray": xray, "label": torch.tensor(label)}

    def named(self, number: int) -> tuple[Item, str]:
        return self.item(number), f"video {number // 4}"

    def shuffled(self) -> bool:
        return True

    def classes(self) -> set[int]:
        return {0} if self._only_reals else {0, 1}


def tiny_fit(out: Path, *, dropout: float = 0.5, val: bool = True, **options: object) -> Run:
    """A run of twelve steps."""
    defaults: dict[str, object] = {
        "out": str(out), "steps": 12, "batch": 8, "rate": 0.01, "decay": 4, "fixed": 3,
        "device": "cpu", "validate_every": 4, "save_every": 1, "log_every": 2, "seed": 5,
    }  # fmt: skip
    settings = Fit(**{**defaults, **options})  # type: ignore[arg-type]
    torch.manual_seed(settings.seed)
    return fit(Tiny(dropout), TOLD, [Stripes()], Stripes(16) if val else None, settings)


if __name__ == "__main__":
    options = dict(word.split("=") for word in sys.argv[2:])
    tiny_fit(Path(sys.argv[1]), **{name: eval(value) for name, value in options.items()})
