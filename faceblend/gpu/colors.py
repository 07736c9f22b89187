"""The colour operations of :data:`faceblend.ops.NAMED`, for many samples at once.

Every number that decides a colour is summed over what is inside alone, in float64, so what lies
around a sample's own box on the canvas counts for nothing. The differences that each function
states are to the operation on the CPU, in levels, as ``tests/gpu/test_colors.py`` holds them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import grid_sample

from faceblend.gpu import transport
from faceblend.gpu.transport import interpolated

_FLAT = 1e-3  # levels, as on the CPU; a channel that varies less has no contrast to stretch
_STILL = 1e-6  # levels squared; a direction that varies less has none either

# OpenCV's L*a*b* is read off a table of 33 colours a side, to a 16th of a step, in 2**-14
_SIDE = 33
_PARTS = 16
_ONE = 2**14

# linear RGB of XYZ, as OpenCV has it
_TO_RGB = (
    (3.240479, -1.53715, -0.498535),
    (-0.969256, 1.875991, 0.041556),
    (0.055648, -0.204043, 1.057311),
)


def match(
    name: str,
    foreground: torch.Tensor,
    background: torch.Tensor,
    inside: torch.Tensor,
    options: Sequence[Mapping[str, Any]],
) -> torch.Tensor:
    """Bring every foreground's colours towards its background's.

    Args:
        name: one of :data:`NAMES`, for all samples.
        foreground: (N, 3, H, W) float32 RGB, whole levels of 0 to 255.
        background: (N, 3, H, W) float32 RGB, whole levels.
        inside: (N, H, W) bool, where colours are compared; of no sample empty.
        options: of each sample, as :class:`faceblend.draw.Operation` has them.

    Returns:
        (N, 3, H, W) float32 RGB, whole levels of 0 to 255; what stands outside the upright box
        around a sample's ``inside`` means nothing.

    Raises:
        KeyError: there is no such operation on the device.
    """
    if name in _DRAWN:
        return _DRAWN[name](foreground, background, inside, options)
    return _MATCHES[name](foreground, background, inside)


def _none(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """:func:`faceblend.ops.color.none`; no level differs."""
    del background, inside
    return foreground


def _mean(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """:func:`faceblend.ops.color.mean`; no level differs."""
    pixels = _pixels(inside)[:, None]
    # halves go to the even level, as Python rounds
    shift = torch.round((_totals(background, inside) - _totals(foreground, inside)) / pixels)
    return (foreground + _spread(shift)).clamp_(0, 255)


def _mean_std(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """:func:`faceblend.ops.color.mean_std`; no level differs."""
    gain, offset = _matched(_moments(foreground, inside), _moments(background, inside))
    return _stretched(foreground, gain, offset).round_().clamp_(0, 255)


def _lab(foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """:func:`faceblend.ops.color.lab`; up to one level apart, .001 in the mean.

    OpenCV bends light to levels by a spline, which is off by up to .02 of a level.
    """
    source = _to_lab(foreground)
    gain, offset = _matched(_moments(source, inside), _moments(_to_lab(background), inside))
    return _from_lab(_stretched(source, gain, offset)).mul_(255).round_()


def _mkl(foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """:func:`faceblend.ops.transport.mkl`; up to one level apart, .0005 in the mean."""
    own_mean, own = _gaussian(foreground, inside)
    other_mean, other = _gaussian(background, inside)
    variances, axes = torch.linalg.eigh(own)
    moves = variances > _STILL
    # flat directions have zeros in place of their rows and columns: what the CPU leaves out
    spread = torch.where(moves, variances, 0).sqrt()
    narrow = torch.where(moves, 1 / torch.where(moves, spread, 1), 0)
    kept = axes * moves[:, None]
    half = _root(kept.mT @ other @ kept) * spread[:, None]
    _, singular, turned = torch.linalg.svd(half)
    middle = (turned.mT * singular[:, None]) @ turned
    stretched = middle * narrow[:, :, None] * narrow[:, None] - torch.diag_embed(moves.double())
    gain = torch.eye(3, dtype=own.dtype, device=own.device) + axes @ stretched @ axes.mT
    offset = other_mean - (gain @ own_mean[..., None])[..., 0]
    gain, offset = gain.float(), offset.float()
    # not a matrix product, which TF32 could round
    red, green, blue = (_spread(gain[..., one]) * foreground[:, [one]] for one in range(3))
    return (red + green + blue + _spread(offset)).round_().clamp_(0, 255)


def _histogram(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """:func:`faceblend.ops.transport.histogram`; no level differs."""
    own, own_middles, own_seen = _steps(foreground, inside)
    other, other_middles, other_seen = _steps(background, inside)
    shift = interpolated(own_middles, other_middles, other, other_seen) - own
    levels = torch.arange(256.0, dtype=own.dtype, device=own.device).expand_as(own)
    moved = levels + interpolated(levels, own, shift, own_seen)
    table = moved.round_().clamp_(0, 255).float()
    return table.gather(2, foreground.flatten(2).long()).view_as(foreground)


_MATCHES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "none": _none,
    "mean": _mean,
    "mean-std": _mean_std,
    "lab": _lab,
    "mkl": _mkl,
    "histogram": _histogram,
}

_DRAWN = {"idt": transport.idt, "sot": transport.sot}  # by numbers that are drawn for them

NAMES = frozenset(_MATCHES) | frozenset(_DRAWN)
"""Colour operations that the device does; the others of ``ops.NAMED["color"]`` it does not."""


def _pixels(inside: torch.Tensor) -> torch.Tensor:
    """(N,) float64, one at least."""
    return inside.sum((1, 2)).clamp(min=1).double()


def _totals(images: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """(N, 3) float64: sums of what is inside."""
    return torch.where(inside[:, None], images, 0).sum((2, 3), dtype=torch.float64)


def _spread(values: torch.Tensor) -> torch.Tensor:
    """(N, 3) as (N, 3, 1, 1) float32."""
    return values.float()[:, :, None, None]


def _moments(images: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and standard deviations of what is inside, (N, 3) float64 each."""
    pixels = _pixels(inside)[:, None]
    kept = torch.where(inside[:, None], images, 0)
    mean = kept.sum((2, 3), dtype=torch.float64) / pixels
    # squares of float32 would give a flat channel contrast
    square = kept.double().square_().sum((2, 3)) / pixels
    return mean, (square - mean * mean).clamp(min=0).sqrt()


def _matched(
    own: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    flat = own[1] < _FLAT
    gain = torch.where(flat, 1.0, other[1] / torch.where(flat, 1.0, own[1]))
    return gain, other[0] - gain * own[0]


def _stretched(images: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    return (images * _spread(gain)).add_(_spread(offset))


def _made_table() -> np.ndarray:
    steps = np.linspace(0, 1, _SIDE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    colours = np.stack([red, green, blue], -1).reshape(_SIDE, -1, 3)
    found = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB), np.float64)
    shares = (found + np.array([0, 128, 128])) / np.array([100, 256, 256])
    table = np.rint(shares * _ONE).astype(np.float32)
    return np.ascontiguousarray(table.reshape(_SIDE, _SIDE, _SIDE, 3).transpose(3, 0, 1, 2))


# made as this is imported: a compiler could not look into OpenCV
_TABLE = _made_table()


@cache
def _lab_table(device: torch.device) -> torch.Tensor:
    """(3, 33, 33, 33) float32 whole numbers: L*, a*, b* of OpenCV's own table, by b, g and r."""
    return torch.from_numpy(_TABLE).to(device)


def _to_lab(images: torch.Tensor) -> torch.Tensor:
    """OpenCV's ``COLOR_RGB2LAB`` of levels, as float32 L*, a* and b*."""
    count, _, height, width = images.shape
    table = _lab_table(images.device)
    # where a level is between two of the table's, in whole parts of a step; -1 to 1 in the end
    step = _ONE // (_SIDE - 1) // _PARTS
    parts = (images * (float(np.float32(1 / 255)) * _ONE)).round_().div_(step).floor_()
    at = parts.div_(_PARTS * (_SIDE - 1) / 2).sub_(1).movedim(1, 3).reshape(1, 1, 1, -1, 3)
    read = grid_sample(table[None], at, mode="bilinear", align_corners=True).add_(0.5).floor_()
    lightness, green_red, blue_yellow = read.view(3, count, height, width).unbind(0)
    yellow = (blue_yellow / (_ONE / 256)).sub_(128)
    return torch.stack([lightness * (100 / _ONE), (green_red / (_ONE / 256)).sub_(128), yellow], 1)


def _from_lab(lab: torch.Tensor) -> torch.Tensor:
    """OpenCV's ``COLOR_LAB2RGB``, float32 in [0, 1]; its spline errs by up to .02 of a level."""
    lightness, green_red, blue_yellow = lab.unbind(1)
    dark = lightness <= 0.008856 * 903.3
    linear = lightness / 903.3
    above = (lightness + 16).div_(116)
    y = torch.where(dark, linear, above**3)
    middle = torch.where(dark, linear.mul_(7.787).add_(16 / 116), above)
    x = _cubed((green_red / 500).add_(middle)).mul_(0.950456)
    z = _cubed(middle - blue_yellow / 200).mul_(1.088754)
    light = torch.stack([(x * a).add_(y, alpha=b).add_(z, alpha=c) for a, b, c in _TO_RGB], 1)
    light.clamp_(0, 1)
    bent = light.clamp(min=0.0031308).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(light <= 0.0031308, light * 12.92, bent)


def _cubed(share: torch.Tensor) -> torch.Tensor:
    return torch.where(share <= 7.787 * 0.008856 + 16 / 116, (share - 16 / 116) / 7.787, share**3)


def _gaussian(images: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means (N, 3) and covariances (N, 3, 3) of what is inside, float64."""
    pixels = _pixels(inside)[:, None]
    mean = _totals(images, inside) / pixels
    # products of whole levels: their sums are exact
    rows = [_totals(images * images[:, [one]], inside) / pixels for one in range(3)]
    return mean, torch.stack(rows, 1) - mean[:, :, None] * mean[:, None]


def _root(matrices: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    root: torch.Tensor = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
    return root


def _steps(
    images: torch.Tensor, inside: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Levels that occur, first in their rows, how many pixels lie below the middle of each.

    Returns:
        Levels and middles, (N, 3, 256) float64, and how many of them count, (N, 3, 1).
    """
    # what is outside is counted as a level of its own, and left out
    levels = torch.where(inside[:, None], images, 256).flatten(2).long()
    counts = torch.zeros(*levels.shape[:2], 257, dtype=torch.int32, device=images.device)
    one = torch.ones((), dtype=torch.int32, device=images.device)
    counts = counts.scatter_add_(2, levels, one.expand_as(levels))[..., :256].double()
    middles = counts.cumsum(2) - counts / 2
    order = torch.argsort((counts == 0).int(), dim=2, stable=True)
    return order.double(), middles.gather(2, order), (counts > 0).sum(2, keepdim=True)
