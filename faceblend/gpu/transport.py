"""Colours moved by the quantiles of drawn directions, for many samples at once.

Each works on the distinct colours of a picture, as :mod:`faceblend.ops.transport` does, along the
very directions that the CPU draws.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from faceblend import draw
from faceblend.gpu.boxed import blurred, box_of

Options = Sequence[Mapping[str, Any]]
"""Of each sample, as :class:`faceblend.draw.Operation` has them."""

_AT_ONCE = 2**23  # pixels: 0.2 GB a copy of their positions


def idt(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.transport.idt`; up to one level apart, .002 in the mean.

    Only sums are added in another order. See :func:`faceblend.gpu.colors.match`.
    """
    turns = [_turned(one["iterations"], draw.noise(one["rng"])) for one in options]
    axes = _padded(turns, foreground.device)

    def some(part: slice) -> torch.Tensor:
        colours, places, counts = _palette(foreground[part], inside[part])
        moved = _moved(colours, counts, background[part], inside[part], axes[part])
        return _painted(moved, places, foreground.shape[2:])

    return _in_parts(some, foreground)


def sot(
    foreground: torch.Tensor, background: torch.Tensor, inside: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.transport.sot`; up to one level apart, .0005 in the mean.

    Displacements are smoothed in the box around what is inside; beyond it nothing is meant.
    See :func:`faceblend.gpu.colors.match`.
    """
    ways = [_directions(one["steps"], one["batch"], draw.noise(one["rng"])) for one in options]
    axes = _padded(ways, foreground.device)
    share = np.array([1 / one["batch"] for one in options])
    sigmas = np.array([one["smooth"] for one in options], np.float64)
    reaches = (np.rint(8 * sigmas + 1).astype(int) | 1) // 2

    def some(part: slice) -> torch.Tensor:
        above, within = foreground[part], inside[part]
        colours, places, counts = _palette(above, within)
        parts = torch.from_numpy(share[part]).to(above.device)
        moved = _moved(colours, counts, background[part], within, axes[part], parts)
        shift = _pictured(moved - colours, places, above.shape[2:]).float()
        soft = blurred(shift, sigmas[part], reaches[part], box_of(within))
        return (above + soft).round_().clamp_(0, 255)

    return _in_parts(some, foreground)


def interpolated(
    wanted: torch.Tensor, known: torch.Tensor, values: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """``numpy.interp`` row by row, of the first ``seen`` of each row alone."""
    place = torch.arange(known.shape[-1], device=known.device)
    ends = torch.where(place < seen, known, torch.inf)
    right = torch.searchsorted(ends, wanted.contiguous(), right=True).clamp(min=1)
    right = torch.minimum(right, (seen - 1).clamp(min=1))
    left = right - 1
    start, stop = known.gather(-1, left), known.gather(-1, right)
    low, high = values.gather(-1, left), values.gather(-1, right)
    between = (high - low) / (stop - start) * (wanted - start) + low
    # beyond the ends, and where one value is all there is
    last = values.gather(-1, seen - 1)
    beyond = torch.where(wanted >= known.gather(-1, seen - 1), last, between)
    return torch.where(wanted <= known[..., :1], values[..., :1], beyond)


def _in_parts(some: Callable[[slice], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """So many samples at a time that their copies fit."""
    step = max(_AT_ONCE // (images.shape[2] * images.shape[3]), 1)
    return torch.cat([some(slice(at, at + step)) for at in range(0, len(images), step)])


def _turned(iterations: int, rng: np.random.Generator) -> np.ndarray:
    """(iterations, 3, 3): rotations, as the CPU draws them."""
    return np.stack([np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(iterations)])


def _directions(steps: int, batch: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, batch, 3): directions of length 1, as the CPU draws them."""
    axes = rng.standard_normal((steps, batch, 3))
    return np.asarray(axes / np.linalg.norm(axes, axis=2, keepdims=True))


def _padded(axes: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """(N, steps, axes, 3) float64; nothing moves along those of zeros that fill it up."""
    steps, many = (max(one.shape[side] for one in axes) for side in (0, 1))
    padded = np.zeros((len(axes), steps, many, 3))
    for row, one in zip(padded, axes, strict=True):
        row[: one.shape[0], : one.shape[1]] = one
    return torch.from_numpy(padded).to(device)


def _palette(
    images: torch.Tensor, inside: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distinct colours, which each pixel has, and how many pixels inside have it.

    Returns:
        (N, K, 3) float64, (N, H * W) int64 and (N, K) int64, K being the most that a picture
        has; of the others, no pixel has the last ones.
    """
    red, green, blue = images.flatten(2).long().unbind(1)
    codes, order = (red * 2**16 + green * 2**8 + blue).sort(1)
    row = torch.zeros_like(codes)
    row[:, 1:] = (codes.diff(dim=1) != 0).cumsum(1)
    places = torch.empty_like(row).scatter_(1, order, row)
    most = int(row[:, -1].max()) + 1
    empty = torch.zeros(len(codes), most, dtype=torch.int64, device=images.device)
    seen = empty.scatter(1, row, codes)
    counts = empty.scatter_add(1, places, inside.flatten(1).long())
    colours = torch.stack([seen >> 16, seen >> 8 & 255, seen & 255], 2)
    return colours.double(), places, counts


def _moved(
    colours: torch.Tensor,
    counts: torch.Tensor,
    background: torch.Tensor,
    inside: torch.Tensor,
    axes: torch.Tensor,
    share: torch.Tensor | None = None,
) -> torch.Tensor:
    """(N, K, 3) float64: colours after steps along axes, a ``share`` of what these ask for."""
    goal = background.flatten(2).mT.double()
    outside = ~inside.flatten(1)
    moved = colours
    for step in axes.unbind(1):
        asked = torch.zeros_like(moved)
        for axis in step.unbind(1):
            shift = _shift(moved, counts, goal, outside, axis)
            asked = asked + shift[..., None] * axis[:, None]
        moved = moved + (asked if share is None else asked * share[:, None, None])
    return moved


def _shift(
    colours: torch.Tensor,
    counts: torch.Tensor,
    goal: torch.Tensor,
    outside: torch.Tensor,
    axis: torch.Tensor,
) -> torch.Tensor:
    """(N, K) float64: how far each colour goes along an axis to match the goal's quantiles."""
    here = _along(colours, axis)
    known, order = torch.where(counts > 0, here, torch.inf).sort(dim=1, stable=True)
    weight = counts.gather(1, order)
    ends = weight.cumsum(1)
    wanted = _along(goal, axis).masked_fill(outside, torch.inf).sort(1).values
    sums = torch.zeros(len(wanted), wanted.shape[1] + 1, dtype=wanted.dtype, device=wanted.device)
    # what is outside comes last, where no colour looks
    torch.cumsum(wanted.masked_fill(wanted.isinf(), 0), 1, out=sums[:, 1:])
    means = (sums.gather(1, ends) - sums.gather(1, ends - weight)) / weight.clamp(min=1)
    seen = (counts > 0).sum(1, keepdim=True)
    return interpolated(here, known, means - known, seen)


def _along(points: torch.Tensor, axis: torch.Tensor) -> torch.Tensor:
    """(N, points) float64; not a matrix product, which adds in an order of its own."""
    red, green, blue = (points[..., one] * axis[:, None, one] for one in range(3))
    return red + green + blue


def _pictured(colours: torch.Tensor, places: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """(N, 3, H, W): every pixel's row of ``colours``."""
    read = colours.gather(1, places[..., None].expand(-1, -1, 3))
    return read.mT.reshape(len(read), 3, *shape)


def _painted(colours: torch.Tensor, places: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return _pictured(colours.round().clamp(0, 255).float(), places, shape).contiguous()
