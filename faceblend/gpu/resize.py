"""Pictures and weights brought from one size to another on the device, as OpenCV resizes them.

Planes are (N, C, S, S) float32 on a canvas; each sample's own picture is a square in the upper
left, and what lies beyond it means nothing.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.nn import functional

from faceblend.ops import geometry


def linear(planes: torch.Tensor, old: torch.Tensor, new: torch.Tensor, side: int) -> torch.Tensor:
    """Resize bilinearly, with no low-pass: ``cv2.resize`` with ``INTER_LINEAR``.

    Positions are float32, so they are up to 2e-5 px off: 0.005 levels.

    Args:
        planes: (N, C, S, S) float32.
        old: (N,) or (N, 2) int64, sides that the pictures have: one, or down and across.
        new: as ``old``, sides that they get.
        side: of the canvas that they get, px.

    Returns:
        (N, C, side, side) float32.
    """
    canvas = planes.shape[-1]
    at = torch.arange(side, device=planes.device, dtype=torch.float64) + 0.5
    seen = []
    for axis in (1, 0):  # x before y
        olds, news = (one if one.ndim == 1 else one[:, axis] for one in (old, new))
        read = (at * (olds / news)[:, None] - 0.5).clamp(min=0)
        read = torch.minimum(read, (olds - 1)[:, None].double())
        seen.append((read * (2 / (canvas - 1)) - 1).float())
    grid = torch.stack(
        [seen[0][:, None, :].expand(-1, side, -1), seen[1][:, :, None].expand(-1, -1, side)], 3
    )
    return functional.grid_sample(planes, grid, "bilinear", "border", align_corners=True)


def nearest(planes: torch.Tensor, old: int, news: np.ndarray, side: int) -> torch.Tensor:
    """Pick pixels by their centres: ``cv2.resize`` with ``INTER_NEAREST_EXACT``.

    Args:
        planes: (N, C, S, S) float32.
        old: side that the pictures have, px.
        news: (N,) sides that they get.
        side: of the canvas that they get, px.
    """
    index = np.zeros((len(news), side), np.int64)
    for row, new in zip(index, news.tolist(), strict=True):
        row[:new] = _picked(old, new)
    count, channels = planes.shape[:2]
    chosen = torch.from_numpy(index).to(planes.device)
    rows = chosen[:, None, :, None].expand(count, channels, side, planes.shape[-1])
    columns = chosen[:, None, None, :].expand(count, channels, side, side)
    return planes.gather(2, rows).gather(3, columns)


@lru_cache(maxsize=1024)
def _picked(old: int, new: int) -> np.ndarray:
    row = np.arange(old, dtype=np.float32)[np.newaxis]
    made: np.ndarray = cv2.resize(row, (new, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0]
    return made


def filtered(planes: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Filter every picture both ways by weights of its own, mirrored beyond the canvas.

    Args:
        planes: (N, C, S, S) float32 that fill the canvas.
        taps: (N, 2 R + 1) float32, R less than S.
    """
    count, channels, height, width = planes.shape
    reach = taps.shape[1] // 2
    weights = taps[:, None].expand(-1, channels, -1).reshape(count * channels, 1, -1, 1)
    flat = planes.reshape(1, count * channels, height, width)
    padded = functional.pad(flat, (reach, reach, reach, reach), "reflect")
    down = functional.conv2d(padded, weights, groups=count * channels)
    across = functional.conv2d(down, weights.transpose(2, 3), groups=count * channels)
    return across.view(count, channels, height, width)


def low_pass_taps(old: int, news: np.ndarray) -> np.ndarray:
    """Weights of :func:`faceblend.ops.geometry.low_pass` before each resize: (N, 2 R + 1) float32.

    Args:
        old: side of the pictures, px.
        news: (N,) sides that they get; a larger one is given a weight of 1.
    """
    taps = [geometry.taps((old / new - 1) / 2) for new in news.tolist()]
    most = max(len(one) for one in taps)
    made = np.zeros((len(taps), most), np.float32)
    for row, one in zip(made, taps, strict=True):
        start = (most - len(one)) // 2
        row[start : start + len(one)] = one
    return made
