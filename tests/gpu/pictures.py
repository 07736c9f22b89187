# ruff: noqa: E402 - without torch nothing below can be imported
"""Small pictures that device and CPU are compared on."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend.face import Image, Mask
from tests.conftest import drawn_face


def picture(rows: int, columns: int, seed: int = 0) -> Image:
    """Smooth colours that reach both ends of the range."""
    coarse = np.random.default_rng(seed).integers(0, 256, (rows // 6 + 2, columns // 6 + 2, 3))
    grown = cv2.resize(coarse.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(grown), 0, 255).astype(np.uint8)


def face(rows: int, columns: int, seed: int = 0) -> Image:
    """A part of a drawn face, with grain."""
    return np.ascontiguousarray(drawn_face(seed)[0][120 : 120 + rows, 90 : 90 + columns])


def grain(rows: int, columns: int, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def black_and_white(rows: int, columns: int) -> Image:
    return np.where(grain(rows, columns) < 128, 0, 255).astype(np.uint8)


def ellipse(rows: int, columns: int, seed: int = 0) -> Mask:
    """Away from the border, another for each seed."""
    mask = np.zeros((rows, columns), np.uint8)
    middle, axes = (columns // 2 + seed, rows // 2 - seed), (columns // 3, rows // 4 + seed)
    cv2.ellipse(mask, middle, axes, 15 * seed, 0, 360, 1, -1)
    return mask.view(np.bool_)


def planes(*images: Image) -> torch.Tensor:
    """(N, 3, H, W) float32."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def pictures(levels: torch.Tensor) -> np.ndarray:
    """(N, H, W, 3) uint8; levels must be whole ones."""
    assert torch.equal(levels, levels.round().clamp(0, 255))
    return levels.permute(0, 2, 3, 1).numpy().astype(np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Mean and largest difference, levels."""
    difference = np.abs(one.astype(int) - other)
    return float(difference.mean()), int(difference.max())
