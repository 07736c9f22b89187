"""Masks of a batch, on the device: filled, bent, shrunk and grown, softened into alpha.

What ``ops/mask.py`` does to one mask, for all samples at once. Masks are (N, S, S) bool on a
canvas that the largest sample fills; a smaller one has its ``size`` rows and columns in the upper
left, and nothing is set beyond.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.nn import functional

from faceblend.ops.mask import WIDE

_DIRECTIONS = 128  # in which the corners of a hull are looked for first
_FAR = 1 << 20  # px; further than any canvas is wide


def within(sizes: torch.Tensor, side: int) -> torch.Tensor:
    """Where each sample's picture is on the canvas: (N, side, side) bool."""
    at = torch.arange(side, device=sizes.device) < sizes[:, None]
    return at[:, :, None] & at[:, None, :]


def fill(corners: torch.Tensor, parts: np.ndarray, sizes: torch.Tensor, side: int) -> torch.Tensor:
    """The union of each sample's convex polygons, their edges included.

    As ``cv2.fillConvexPoly``, but for some pixels of the edge: each row is set from the outermost
    pixel on its left to that on its right.

    Args:
        corners: (Q, E, 2) float32 ``(x, y)`` of all samples' polygons, px; the last of a polygon
            comes again until there are E.
        parts: (N, P) int64 of numpy, which polygons are a sample's; -1 for none.
        sizes: (N,) int64.
        side: of the canvas, px.

    Returns:
        (N, side, side) bool.
    """
    left, right = _spans(corners, side)
    owners = np.empty(len(corners), np.int64)
    samples, slots = np.nonzero(parts >= 0)
    owners[parts[samples, slots]] = samples
    # one more at the first pixel of a row, one less behind its last: inside is what sums to some
    changes = torch.zeros((len(parts) * side, side + 1), dtype=torch.int32, device=corners.device)
    rows = torch.from_numpy(owners).to(corners.device)[:, None] * side
    rows = (rows + torch.arange(side, device=corners.device)).flatten()
    start, stop = left.clamp(min=0), (right + 1).clamp(max=side)
    some = (start < stop).int().flatten()
    for ends, change in ((start, some), (stop, -some)):
        index = rows * (side + 1) + ends.clamp(min=0, max=side).long().flatten()
        changes.view(-1).scatter_add_(0, index, change)
    inside = changes.cumsum(1, dtype=torch.int32)[:, :side] > 0
    return inside.view(len(parts), side, side) & within(sizes, side)


def _spans(corners: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last pixel of every row of every polygon, (Q, side) each.

    Those of OpenCV's lines along the edges, which start at a corner and step by whole pixels,
    and of its fill between edges, which go from the corners' rows to each other.
    """
    y = torch.arange(side, device=corners.device, dtype=torch.float32)
    end = corners.roll(-1, 1)
    steep = (end - corners).abs()
    steep = (steep[..., 0] <= steep[..., 1]).unsqueeze(-1)
    # a steep line starts from its upper end, a flat one from its left end
    axis = torch.where(steep, 1, 0)
    swapped = corners.gather(2, axis) > end.gather(2, axis)
    start, stop = torch.where(swapped, end, corners), torch.where(swapped, corners, end)
    x0, y0 = (one.unsqueeze(-1) for one in start.unbind(-1))
    across, down = (one.unsqueeze(-1) for one in (stop - start).unbind(-1))
    row = (y0 + 0.5).floor()
    step = y - row
    slope = across / torch.where(down == 0, 1.0, down)
    # steep: one pixel a row
    x = (x0 + step * slope + 0.5).floor()
    lows, highs = [], []

    def seen(first: torch.Tensor, last: torch.Tensor, where: torch.Tensor) -> None:
        lows.append(torch.where(where, first, float(_FAR)).amin(1))
        highs.append(torch.where(where, last, float(-_FAR)).amax(1))

    seen(x, x, steep & (step >= 0) & (step <= down.floor()))
    # flat: the columns whose pixel is in the row
    one, other = (y - 0.5 - y0) * slope, (y + 0.5 - y0) * slope
    first = torch.where(down > 0, one.ceil(), other.floor() + 1)
    last = torch.where(down > 0, other.ceil() - 1, one.floor())
    level, count = down == 0, across.floor()
    first = torch.where(level, 0.0, first).clamp(min=0)
    last = torch.minimum(torch.where(level, count, last), count)
    left = (x0 + 0.5).floor()
    met = ~steep & (first <= last) & torch.where(level, row == y, True)
    seen(left + first, left + last, met)
    # the corners' own pixels
    corner = (corners + 0.5).floor()
    seen(*(corner[..., :1],) * 2, corner[..., 1:] == y)
    # between rows of corners
    turned = corners[..., 1] > end[..., 1]
    top, bottom = (
        torch.where(turned.unsqueeze(-1), *pair) for pair in ((end, corners), (corners, end))
    )
    upper, lower = ((one[..., 1:] + 0.5).floor() for one in (top, bottom))
    rows = lower - upper
    along = (y - upper) * ((bottom - top)[..., :1] / rows.clamp(min=1))
    x = (top[..., :1] + along + 0.5).floor()
    seen(x, x, (rows > 0) & (y >= upper) & (y <= lower))
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def piecewise(
    points: torch.Tensor, cells: torch.Tensor, sizes: torch.Tensor, side: int
) -> torch.Tensor:
    """:func:`faceblend.ops.warp.piecewise` of every sample.

    Args:
        points: (N, 2, rows, columns) float32, the x and the y that each control point is read
            from; smaller grids in the upper left.
        cells: (N, 2) int64, how many the grid has down and across.
        sizes: (N,) int64.
        side: of the canvas, px.

    Returns:
        (N, 2, side, side) float32: the x and the y that each pixel is read from.
    """
    most = int(max(points.shape[2:])) - 1
    points = functional.pad(points, (0, most + 1 - points.shape[3], 0, most + 1 - points.shape[2]))
    (v, down), (u, across) = (_axis(cells[:, axis], sizes, side, most) for axis in range(2))
    corner = points[:, :, :-1, :-1]
    right, under = points[:, :, :-1, 1:] - corner, points[:, :, 1:, :-1] - corner
    twist = points[:, :, 1:, 1:] - points[:, :, :-1, 1:] - under
    plane = torch.cat(
        [torch.cat([corner, right], 3), torch.cat([under, torch.zeros_like(under)], 3)], 2
    )
    rows, columns = (
        torch.cat([held, held * way.unsqueeze(2)], 2).unsqueeze(1)
        for held, way in ((down, v), (across, u))
    )
    folded = down.unsqueeze(1) @ twist @ across.unsqueeze(1).transpose(2, 3)
    fold = torch.minimum(v[:, :, None], u[:, None, :]).unsqueeze(1)
    return rows @ plane @ columns.transpose(2, 3) + fold * folded


def _axis(
    cells: torch.Tensor, sizes: torch.Tensor, side: int, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    # per pixel: the way along its cell, (N, side), and which cell it is in, (N, side, most)
    at = torch.arange(side, device=cells.device, dtype=torch.float64)
    along = at * (cells / (sizes - 1).clamp(min=1))[:, None]
    cell = torch.minimum(along.floor().long(), cells[:, None] - 1)
    held = functional.one_hot(cell.clamp(min=0, max=most - 1), most).float()
    return (along - cell).float(), held


def read(mask: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Masks read through fields, interpolated and cut at one half; empty beyond the picture.

    Args:
        mask: (N, S, S) bool.
        field: (N, 2, S, S) float32, px.
    """
    side = mask.shape[1]
    seen = (field * (2 / (side - 1)) - 1).permute(0, 2, 3, 1)
    moved = functional.grid_sample(
        mask.float().unsqueeze(1), seen, "bilinear", "zeros", align_corners=True
    )
    return moved.squeeze(1) > 0.5


def turned(mask: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Where :func:`faceblend.ops.bending.similarity` reads each mask.

    Args:
        mask: (N, S, S) bool.
        turns: (N, 2, 3) float64, the maps about the centres of the masks' boxes.

    Returns:
        (N, 2, S, S) float32, px.
    """
    low, high = box(mask)
    centre = ((low + high).double() / 2).flip(1)  # x before y
    at = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float64)
    x, y = (at - (centre + turns[:, :, 2])[:, axis, None] for axis in (0, 1))
    back = torch.linalg.inv(turns[:, :, :2])
    across = back[:, :, 0, None] * x[:, None] + centre[:, :, None]
    down = back[:, :, 1, None] * y[:, None]
    field: torch.Tensor = across[:, :, None].float() + down[..., None].float()
    return field


def erode(mask: torch.Tensor, widths: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Shrink each mask by its square (odd width); beyond the picture counts as inside."""
    picture = within(sizes, mask.shape[1])
    return picture & ~dilate(picture & ~mask, widths)


def dilate(mask: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Grow each mask by its square (odd width)."""
    reach = widths // 2
    for dim in (1, 2):
        mask = _counted(mask, reach, dim) > 0
    return mask


def _counted(mask: torch.Tensor, reach: torch.Tensor, dim: int) -> torch.Tensor:
    # how many are set from ``reach`` before to ``reach`` behind each, along one side
    sums = functional.pad(
        mask.cumsum(dim, dtype=torch.int32), (0, 0, 1, 0) if dim == 1 else (1, 0)
    )
    side = mask.shape[dim]
    at = torch.arange(side, device=mask.device)
    low, high = (at - reach[:, None]).clamp(min=0), (at + reach[:, None] + 1).clamp(max=side)
    return _along(sums, high, dim) - _along(sums, low, dim)


def _along(planes: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    # rows (dim 1) or columns (dim 2) of each sample by its own index, (N, count)
    other = planes.shape[3 - dim]
    count = index.shape[1]
    if dim == 1:
        return planes.gather(1, index[:, :, None].expand(-1, count, other))
    return planes.gather(2, index[:, None, :].expand(-1, other, count))


def box(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last row and column of each mask, as (N, 2) int64 each; (S, -1) where empty."""
    side = mask.shape[1]
    at = torch.arange(side, device=mask.device)
    lows, highs = [], []
    for dim in (2, 1):
        held = mask.any(dim)
        lows.append(torch.where(held, at, side).amin(1))
        highs.append(torch.where(held, at, -1).amax(1))
    return torch.stack(lows, 1), torch.stack(highs, 1)


def feather(
    mask: torch.Tensor, shares: torch.Tensor, of_hull: torch.Tensor, sizes: torch.Tensor
) -> torch.Tensor:
    """:func:`faceblend.ops.mask.feather` of each mask, by the same chamfer distance.

    Args:
        mask: (N, S, S) bool.
        shares: (N,) float64, width of the ramp as a share of the longer side of the mask's box.
        of_hull: (N,) bool.
        sizes: (N,) int64.

    Returns:
        (N, S, S) float32 in [0, 1].
    """
    low, high = box(mask)
    width = (shares * (high + 1 - low).amax(1)).clamp(min=1.0)
    stairs = ((width / 4).long() | 1).clamp(min=3)
    start = (low - stairs[:, None] - 1).clamp(min=0)
    stop = torch.minimum(high + stairs[:, None] + 2, sizes[:, None])
    stop = torch.where(high < 0, start, stop)  # empty
    alpha = torch.zeros(mask.shape, device=mask.device)
    # what decides the sizes of the work is asked for once
    told = torch.stack([width, (stop - start).amax(1).double(), of_hull.double()])
    widths, extents, hulls = told.cpu().numpy()
    for step in (1, 2):
        for hull in (False, True):
            chosen = ((widths >= WIDE) == (step == 2)) & ((hulls > 0) == hull)
            for some in sized(np.where(chosen, extents, 0)):
                at = torch.from_numpy(some).to(mask.device)
                given = [one[at] for one in (mask, width, stairs, start, stop)]
                most, widest = int(extents[some].max()) // step, math.ceil(widths[some].max())
                alpha[at] = _ramps(*given, step=step, hull=hull, most=most, widest=widest)
    return alpha


def sized(sides: np.ndarray) -> list[np.ndarray]:
    """Those above 0 in a few groups of like sizes, each ascending."""
    held = np.flatnonzero(sides > 0)
    if not len(held):
        return []
    order = held[np.argsort(sides[held], kind="stable")]
    groups = min(_GROUPS, -(-len(order) // _TOGETHER))
    return [np.sort(one) for one in np.array_split(order, groups)]


_GROUPS, _TOGETHER = 4, 16  # of like sizes in a batch, and how many are worth one


def _ramps(
    mask: torch.Tensor,
    width: torch.Tensor,
    stairs: torch.Tensor,
    start: torch.Tensor,
    stop: torch.Tensor,
    *,
    step: int,
    hull: bool,
    most: int,
    widest: int,
) -> torch.Tensor:
    side = mask.shape[1]
    extent = stop - start
    small = extent // step  # of the box, in steps
    ratio = extent.double() / small
    inner = within_box(small, most)
    kernel = stairs // step | 1
    wide = max(widest // 4, 3) // step + 1  # of the kernels, at most
    reach, out = widest // step + wide + 2, wide + 2
    if hull:
        # of a hull that is wider by ``beyond``: one transform has the distances of both sides
        beyond = kernel // 2 + 1
        region = _hull(mask, start, ratio, most, beyond) & inner
        distance = _nearest(~region & inner, reach + out)
        # thick lines come out 0.2 px narrower; a pixel's centre lies half a pixel from the edge
        distance = distance - (beyond + (0.8 - 0.5 / step))[:, None, None]
    else:
        region = _boxed(mask, start, extent, ratio, most, step) & inner
        distance = _nearest(~region & inner, reach) - _nearest(region, out)
        distance = distance + (0.5 - region.float())
    distance = distance * inner
    for axis in (0, 1):
        distance = _averaged(distance, kernel, small[:, axis], axis + 1)
    distance = distance * (step / width).float()[:, None, None]
    pixels = torch.arange(side, device=mask.device)
    for axis in (0, 1):
        x = (pixels - start[:, axis, None] + 0.5) / ratio[:, axis, None] - 0.5
        zero = torch.zeros_like(start[:, axis])
        distance = _between(distance, x, small[:, axis], zero, axis + 1)
    boxed = _inside_box(start, stop, side)
    ramp = torch.where(boxed, distance.clamp(0, 1), 0.0)
    return torch.where(mask, ramp, 0.0) if hull else ramp


def _boxed(
    mask: torch.Tensor,
    start: torch.Tensor,
    extent: torch.Tensor,
    ratio: torch.Tensor,
    most: int,
    step: int,
) -> torch.Tensor:
    # the box of each mask, moved to the corner of the canvas, in steps
    side, at = mask.shape[1], torch.arange(most, device=mask.device)
    if step == 1:
        for axis in (0, 1):
            index = (start[:, axis, None] + at).clamp(max=side - 1)
            mask = _along(mask, index, axis + 1)
        return mask
    # OpenCV's fixed point, which leaves some halves out: weights of 1/2048, parts cut off
    kept = [mask]
    weights = []
    for axis in (0, 1):
        x = ((at + 0.5) * ratio[:, axis, None] - 0.5).clamp(min=0)
        x = torch.minimum(x, (extent[:, axis, None] - 1).double()).float()
        first = x.floor()
        index = first.long() + start[:, axis, None]
        last = start[:, axis, None] + extent[:, axis, None] - 1
        ends = (index.clamp(max=side - 1), torch.minimum(index + 1, last).clamp(max=side - 1))
        kept = [_along(one, end, axis + 1) for one in kept for end in ends]
        way = x - first
        both = torch.stack([1 - way, way]) * _PARTS
        weights.append(both.round().int())
    (above, below), (left, right) = weights
    rows = [
        (255 * (one * left[:, None] + other * right[:, None])) >> 4
        for one, other in (kept[:2], kept[2:])
    ]
    parts = [(one * way[:, :, None]) >> 16 for one, way in zip(rows, (above, below), strict=True)]
    inside: torch.Tensor = (parts[0] + parts[1] + 2) >> 2 >= 128
    return inside


_PARTS = 2048  # of a weight, in OpenCV's resize of bytes


def within_box(sides: torch.Tensor, side: int) -> torch.Tensor:
    """Where each sample has its rows and columns, (N, 2), on a canvas: (N, side, side) bool."""
    at = torch.arange(side, device=sides.device)
    rows, columns = (at < sides[:, axis, None] for axis in (0, 1))
    return rows[:, :, None] & columns[:, None, :]


def _inside_box(start: torch.Tensor, stop: torch.Tensor, side: int) -> torch.Tensor:
    at = torch.arange(side, device=start.device)
    rows, columns = ((at >= start[:, axis, None]) & (at < stop[:, axis, None]) for axis in (0, 1))
    return rows[:, :, None] & columns[:, None, :]


def _between(
    planes: torch.Tensor, x: torch.Tensor, sides: torch.Tensor, start: torch.Tensor, dim: int
) -> torch.Tensor:
    # interpolated along one side, at x (N, count) from ``start``; beyond ``sides`` it goes on
    x = torch.minimum(x.clamp(min=0), (sides - 1)[:, None])
    first = x.floor()
    way = (x - first).float()
    most = planes.shape[dim] - 1
    low = (first.long() + start[:, None]).clamp(max=most)
    high = torch.minimum(first.long() + 1, sides[:, None] - 1) + start[:, None]
    one, other = _along(planes, low, dim), _along(planes, high.clamp(max=most), dim)
    way = way.unsqueeze(3 - dim)
    return one + way * (other - one)


_LINES = ((1, 1, 1.4), (1, -1, 1.4), (1, 2, 2.1969), (1, -2, 2.1969), (2, 1, 2.1969),
          (2, -1, 2.1969))  # fmt: skip
"""Down, across and length of the moves of OpenCV's 5x5 chamfer distance, those along the sides
apart, which are 1 long."""


def _nearest(targets: torch.Tensor, reach: int) -> torch.Tensor:
    """Chamfer distance of every pixel to the nearest that is set, true up to ``reach``.

    Borgefors, *Distance transformations in digital images*, 1986, with OpenCV's lengths. The
    shortest way goes along each direction in one piece, so the distance is taken along one line
    after the other; along a slanting one by moves of 1, 2, 4, ... steps.
    """
    side = targets.shape[1]
    distance = torch.where(targets, 0.0, float(_FAR))
    for dim in (1, 2):
        at = torch.arange(side, device=targets.device, dtype=torch.float32)
        at = at[:, None] if dim == 1 else at
        ahead = (distance - at).cummin(dim).values + at
        behind = (distance + at).flip(dim).cummin(dim).values.flip(dim) - at
        distance = torch.minimum(ahead, behind)
    for down, across, length in _LINES:
        times = 1
        while times * length <= reach + length and times * max(down, abs(across)) < side:
            _shorter(distance, times * down, times * across, times * length)
            times *= 2
    return distance.clamp(max=float(reach + 1))


def _shorter(distance: torch.Tensor, down: int, across: int, length: float) -> None:
    # both ways along one move, in place
    upper, lower = distance[:, :-down], distance[:, down:]
    if across > 0:
        one, other = upper[:, :, :-across], lower[:, :, across:]
    else:
        one, other = upper[:, :, -across:], lower[:, :, :across]
    moved = other + length
    torch.minimum(other, one + length, out=other)
    torch.minimum(one, moved, out=one)


def _averaged(
    planes: torch.Tensor, kernel: torch.Tensor, sides: torch.Tensor, dim: int
) -> torch.Tensor:
    # over ``kernel`` pixels (odd) along one side; beyond ``sides`` the last pixel goes on
    count = planes.shape[dim]
    at = torch.arange(count, device=planes.device)
    reach = (kernel // 2)[:, None]
    last = (sides - 1)[:, None]
    pad = (0, 0, 1, 0) if dim == 1 else (1, 0)
    sums = functional.pad(planes.cumsum(dim), pad)
    low, high = (at - reach).clamp(min=0), torch.minimum(at + reach, last) + 1
    low = torch.minimum(low, high)
    inner = _along(sums, high, dim) - _along(sums, low, dim)
    before = (reach - at).clamp(min=0)
    behind = (at + reach - last).clamp(min=0)
    zero = torch.zeros_like(last)
    ends = [
        times.unsqueeze(3 - dim) * _along(planes, place, dim)
        for times, place in ((before, zero), (behind, last))
    ]
    return (inner + ends[0] + ends[1]) / kernel[:, None, None]


def _hull(
    mask: torch.Tensor,
    start: torch.Tensor,
    ratio: torch.Tensor,
    most: int,
    beyond: torch.Tensor,
) -> torch.Tensor:
    """Pixels of the convex hull of each mask, wider by ``beyond``, in steps from ``start``.

    As OpenCV draws a filled polygon, thick lines along its edges and a disc at every corner; the
    union is convex, so each row has a first and a last pixel.
    """
    corners = (_corners(mask) - start[:, None] + 0.5) / ratio[:, None] - 0.5
    corners = ((corners * 16).round() / 16).flip(2).float()  # x before y
    count, places = corners.shape[:2]
    left, right = _spans(corners, most)
    along = corners.roll(-1, 1) - corners
    length = along.norm(dim=2, keepdim=True)
    aside = along.flip(2) * along.new_tensor([1.0, -1.0])
    aside = aside * (beyond[:, None, None] / length.clamp(min=1e-6))
    ends = (corners, corners.roll(-1, 1))
    lines = torch.stack([ends[0] + aside, ends[0] - aside, ends[1] - aside, ends[1] + aside], 2)
    first, last = (one.view(count, places, most) for one in _spans(lines.flatten(0, 1), most))
    left, right = torch.minimum(left, first.amin(1)), torch.maximum(right, last.amax(1))
    x, y = (corners + 0.5).floor().unbind(2)
    rows = torch.arange(most, device=mask.device)
    away = (rows - y.unsqueeze(2)).abs().long()
    discs = _discs(int(beyond.amax())).to(mask.device)
    wide = discs[beyond[:, None, None], away.clamp(max=discs.shape[1] - 1)]
    there = wide >= 0
    first = torch.where(there, x.unsqueeze(2) - wide, float(_FAR)).amin(1)
    last = torch.where(there, x.unsqueeze(2) + wide, -float(_FAR)).amax(1)
    left, right = torch.minimum(left, first), torch.maximum(right, last)
    at = torch.arange(most, device=mask.device)
    return (at >= left.unsqueeze(2)) & (at <= right.unsqueeze(2))


def _corners(mask: torch.Tensor) -> torch.Tensor:
    """Row and column of the corners of each mask's hull, in turn, some of them twice.

    The outermost pixels in some directions, then, twice, what lies furthest beyond each edge
    between two of them.

    Returns:
        (N, V, 2) float64.
    """
    device, side = mask.device, mask.shape[1]
    at = torch.arange(side, device=device)
    held = mask.any(2)
    ends = torch.where(mask, at, side).amin(2), torch.where(mask, at, -1).amax(2)
    angles = torch.arange(_DIRECTIONS, device=device, dtype=torch.float64)
    angles = (angles + 0.5) * (2 * math.pi / _DIRECTIONS)
    ux, uy = angles.cos().float(), angles.sin().float()
    column = torch.where((ux > 0)[:, None], ends[1].unsqueeze(1), ends[0].unsqueeze(1))
    reached = column * ux[:, None] + at * uy[:, None]
    row = torch.where(held.unsqueeze(1), reached, -float(_FAR)).argmax(2)
    points = torch.stack([row, column.gather(2, row.unsqueeze(2)).squeeze(2)], 2)
    corners = _once(points)
    outline = torch.stack([at.expand_as(held).repeat(1, 2), torch.cat(ends, 1)], 2)
    # rows without a pixel lie where a corner does
    outline = torch.where(held.repeat(1, 2).unsqueeze(2), outline, corners[:, :1])
    for _ in range(2):
        corners = _refined(corners, outline)
    return _once(corners).double()


def _refined(corners: torch.Tensor, outline: torch.Tensor) -> torch.Tensor:
    # between any two corners the point that lies furthest beyond the edge, if one does
    along = (corners.roll(-1, 1) - corners).float()
    # across each edge; float32 holds these whole numbers, and their products, as they are
    aside = torch.stack([-along[..., 1], along[..., 0]], 2)
    beyond = aside @ outline.float().transpose(1, 2) - (aside * corners).sum(2, keepdim=True)
    most, place = beyond.max(2)
    found = outline.gather(1, place.unsqueeze(2).expand(-1, -1, 2))
    between = torch.where((most > 0).unsqueeze(2), found, corners)
    return torch.stack([corners, between], 2).flatten(1, 2)


def _once(points: torch.Tensor) -> torch.Tensor:
    # without those that come again, filled up with the first
    new = (points != points.roll(1, 1)).any(2)
    new[:, 0] = True
    place = new.cumsum(1) - 1
    most = int(place.amax()) + 1
    made = points[:, :1].repeat(1, most, 1)
    return made.scatter(1, place.unsqueeze(2).expand(-1, -1, 2), points)


@lru_cache(maxsize=64)
def _discs(largest: int) -> torch.Tensor:
    # half the width of every row of OpenCV's discs, by radius and distance from the middle
    widths = torch.full((largest + 1, largest + 2), -1.0)
    for radius in range(largest + 1):
        disc = np.zeros((2 * radius + 3, 2 * radius + 3), np.uint8)
        cv2.circle(disc, (radius + 1, radius + 1), radius, 1, cv2.FILLED)
        for away in range(radius + 1):
            widths[radius, away] = (int(disc[radius + 1 + away].sum()) - 1) / 2
    return widths
