"""Splines and Gaussians as matrices: rows of weights, had of OpenCV where it has them.

A linear operation along both sides of a picture is ``rows @ picture @ columns.T``. Weights that
two sizes and a way decide come back, so they are made once, by OpenCV from unit vectors, and stay
on the device; a Gaussian of a drawn width is made there.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional

from faceblend.ops import bending, geometry

Key = tuple[str, int, int]
"""A way of :data:`WAYS`, and the two numbers that it takes: mostly the old and the new side."""


def _cubic(old: int, new: int) -> np.ndarray:
    # one unit vector a column, and columns stay what they are
    unit = np.eye(old, dtype=np.float32)
    return np.asarray(cv2.resize(unit, (old, new), interpolation=cv2.INTER_CUBIC))


def _low_passed(old: int, new: int) -> np.ndarray:
    taps = geometry.taps((old / new - 1) / 2)
    one = np.ones(1, np.float32)
    return np.asarray(
        cv2.sepFilter2D(
            np.eye(old, dtype=np.float32), -1, one, taps, borderType=cv2.BORDER_REFLECT_101
        )
    )


WAYS: dict[str, Callable[[int, int], np.ndarray]] = {
    "cubic": _cubic,
    "low-pass": _low_passed,
    "spline": lambda points, size: bending.spline(points, size),
    "plate": lambda nodes, size: bending.spline(nodes, size, bending.BEYOND),
}
"""Name, and what makes its matrix of two numbers, (outputs, inputs): OpenCV's cubic resize, the
splines of warps, and :func:`~faceblend.ops.geometry.low_pass` before a resize."""


class Matrices:
    """Matrices of one device, each made once.

    Args:
        device: where they stay.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._made: dict[Key, torch.Tensor] = {}

    def stack(self, keys: Sequence[Key], outputs: int, inputs: int) -> torch.Tensor:
        """One matrix a sample, zero where its own is smaller.

        Args:
            keys: one a sample.
            outputs, inputs: rows and columns of every matrix.

        Returns:
            (N, outputs, inputs) float32 on the device.
        """
        # most batches draw a size more than once
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        table = torch.zeros((len(places), outputs, inputs), device=self.device)
        for key, place in places.items():
            one = self._one(key)
            table[place, : one.shape[0], : one.shape[1]] = one
        if len(places) == 1:
            return table.expand(len(keys), -1, -1)
        chosen = torch.tensor([places[key] for key in keys]).to(self.device)
        return table[chosen]

    def _one(self, key: Key) -> torch.Tensor:
        if key not in self._made:
            way, first, second = key
            made = np.ascontiguousarray(WAYS[way](first, second), np.float32)
            self._made[key] = torch.from_numpy(made.copy()).to(self.device)
        return self._made[key]


def both_ways(rows: torch.Tensor, planes: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """``rows @ plane @ columns.T`` of every sample.

    Args:
        rows: (N, outputs down, H).
        planes: (N, H, W) or (N, C, H, W) float32.
        columns: (N, outputs across, W).
    """
    if planes.ndim == 4:
        rows, columns = rows.unsqueeze(1), columns.unsqueeze(1)
    return rows @ planes @ columns.transpose(-1, -2)


def banded(taps: torch.Tensor, sizes: torch.Tensor, side: int, border: str) -> torch.Tensor:
    """Filters of odd length as matrices, one a sample, for pictures that have borders.

    Args:
        taps: (N, 2 R + 1) float32, centred; the shorter ones with zeros around them.
        sizes: (N,) int64, how many rows of the matrix the picture has.
        side: rows and columns of each matrix.
        border: ``mirror`` (the picture goes on reflected about its last pixel's centre) or
            ``replicate`` (its last pixel goes on).

    Returns:
        (N, side, side) float32; zero beyond ``sizes``.
    """
    reach = taps.shape[1] // 2
    at = torch.arange(side, device=taps.device)
    away = at[None, :] - at[:, None]  # from the output to the input
    last = sizes[:, None, None] - 1
    # a tap further off than the filter reaches reads one of the two zeros
    padded = functional.pad(taps, (1, 1))

    def held(steps: torch.Tensor) -> torch.Tensor:
        place = (steps + reach + 1).clamp(0, 2 * reach + 2)
        flat = place.expand(len(taps), side, side).reshape(len(taps), -1)
        return padded.gather(1, flat).view(len(taps), side, side)

    made = held(away[None])
    column = at.expand(side, side)[None]
    if border == "mirror":
        before = held((-at[None, :] - at[:, None])[None])
        behind = held(2 * last - at[None, None, :] - at[None, :, None])
        made = made + torch.where(column > 0, before, 0.0)
        made = made + torch.where(column < last, behind, 0.0)
    else:
        # all taps up to one, and all from one on
        sums = padded.cumsum(1)
        low = (reach - at).clamp(min=0).expand(len(taps), -1)
        beyond_first = sums.gather(1, low)  # taps reading before the first pixel
        tail = padded.flip(1).cumsum(1)
        high = (reach - (last[:, 0] - at[None])).clamp(min=0, max=2 * reach + 2)
        beyond_last = tail.gather(1, high)
        made = made + torch.where(column == 0, beyond_first[:, :, None], 0.0)
        made = made + torch.where(column == last, beyond_last[:, :, None], 0.0)
    within = (column <= last) & (at[None, :, None] <= last)
    return torch.where(within, made, 0.0)


def gaussian_taps(sigmas: torch.Tensor, reaches: torch.Tensor, widest: int) -> torch.Tensor:
    """Gaussians as OpenCV samples them: (N, 2 * widest + 1) float32 that sum to 1.

    Args:
        sigmas: (N,) px.
        reaches: (N,) int64, how many taps each has on either side.
        widest: the most of ``reaches``.
    """
    at = torch.arange(-widest, widest + 1, device=sigmas.device)
    weights = torch.exp(-(at.double() ** 2) / (2 * sigmas.double()[:, None] ** 2))
    weights = torch.where(at.abs() <= reaches[:, None], weights, 0.0)
    return (weights / weights.sum(1, keepdim=True)).float()
