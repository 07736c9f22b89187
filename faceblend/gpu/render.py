"""A batch from its plan: every picture at once, in the steps of :func:`faceblend.sample.render`.

Pictures are (N, 3, S, S) float32 RGB of whole levels, 0 to 255: what the CPU rounds to bytes from
one step to the next is rounded here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from faceblend.gpu import colors, jpeg, masks, matrices, pixels, resize
from faceblend.gpu.matrices import Matrices, both_ways
from faceblend.gpu.plan import Fakes, GpuPlan, Group
from faceblend.ops import geometry
from faceblend.sample import SEEN

Read = Callable[[np.ndarray], torch.Tensor]
"""Rows of a bank to their crops on the device, (N, 3, C, C) uint8 RGB."""

Watch = Callable[[str], None]
"""Told the name of each step that has been queued on the device."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """The samples of a plan that the device rendered."""

    images: torch.Tensor
    """(R, 3, S, S) uint8 RGB"""
    alphas: torch.Tensor
    """(R, S, S) float32 in [0, 1], weight of the foreground"""
    faint: torch.Tensor
    """(R,) bool: fakes whose mask is empty, tiny or without an edge in the sample"""


def render(plan: GpuPlan, crops: Read, crop_size: int, held: Matrices, watch: Watch) -> Rendered:
    """Everything from two faces to the finished pictures.

    Args:
        plan: what was drawn; one sample at least is rendered on the device.
        crops: of the bank.
        crop_size: side of the bank's crops, px.
        held: matrices of the device.
        watch: called after each step.

    Training may have set half or TF32 precision for its network; here neither is taken.
    """
    with torch.no_grad(), torch.autocast(held.device.type, enabled=False), _whole_precision():
        return _render(plan, crops, crop_size, held, watch)


@contextmanager
def _whole_precision() -> Iterator[None]:
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def _render(plan: GpuPlan, crops: Read, crop_size: int, held: Matrices, watch: Watch) -> Rendered:
    device = held.device
    images = crops(plan.backgrounds).float()
    images = _done(plan.prepare, images)
    watch("prepare")
    side = max(crop_size, int(plan.sizes.max()))
    images = _canvas(images, side)
    other = np.flatnonzero(plan.sizes != crop_size)
    sizes = _moved(plan.sizes, device)
    images = _resized(images, held, other, crop_size, plan.sizes[other])
    alphas = torch.zeros((len(images), 1, side, side), device=device)
    watch("working size")
    if plan.fakes is not None:
        fakes = plan.fakes
        places = _moved(fakes.places, device)
        made = alpha(fakes, sizes[places], held, side)
        watch("mask")
        alphas[places, 0] = made
        foreground = _done(fakes.prepare, crops(fakes.foregrounds).float())
        foreground = _softened(fakes, foreground)
        for box in _boxes(made):
            _blend(fakes, foreground, images, made, box, watch)
    images = _resized(images, held, other, plan.sizes[other], crop_size)
    images = images[:, :, :crop_size, :crop_size]
    if plan.fakes is not None:
        faked = other[np.isin(other, plan.fakes.places)]
        alphas = _resized(alphas, held, faked, plan.sizes[faked], crop_size)
    alphas = alphas[:, 0, :crop_size, :crop_size]
    watch("crop's size")
    images = _done(plan.degrade, images)
    images = _resampled(plan, images, held, crop_size)
    watch("degrade")
    images, alphas = _cut(plan, images, alphas)
    watch("jpeg")
    for flipped, dim in ((plan.mirrored, -1), (plan.upturned, -2)):
        if len(flipped):
            at = _moved(flipped, device)
            images[at], alphas[at] = images[at].flip(dim), alphas[at].flip(dim)
    faint = torch.zeros(len(images), dtype=torch.bool, device=device)
    if plan.fakes is not None:
        places = _moved(plan.fakes.places, device)
        faint[places] = _faint(plan.fakes, alphas[places])
    watch("flip")
    return Rendered(images=images.to(torch.uint8), alphas=alphas, faint=faint)


def alpha(fakes: Fakes, sizes: torch.Tensor, held: Matrices, side: int) -> torch.Tensor:
    """The alpha of every fake at its working size.

    Args:
        fakes: what was drawn for them.
        sizes: (F,) int64, the working sizes.
        held: matrices of the device.
        side: of the canvas, px.

    Returns:
        (F, side, side) float32 in [0, 1]; all zero where the mask is empty.
    """
    device = held.device

    def on(values: np.ndarray) -> torch.Tensor:
        return _moved(values, device)

    mask = masks.fill(on(fakes.corners), fakes.parts, sizes, side)
    if len(fakes.grids):
        at = on(fakes.grids)
        field = masks.piecewise(on(fakes.points), on(fakes.cells), sizes[at], side)
        mask[at] = masks.read(mask[at], field)
    if len(fakes.fields):
        at = on(fakes.fields)
        along = held.stack(fakes.splines, side, fakes.moves.shape[2])
        field = both_ways(along, on(fakes.moves), along)
        pixel = torch.arange(side, device=device, dtype=torch.float32)
        field = field + torch.stack(torch.meshgrid(pixel, pixel, indexing="xy"))
        mask[at] = masks.read(mask[at], field)
    if len(fakes.turned):
        at = on(fakes.turned)
        mask[at] = masks.read(mask[at], masks.turned(mask[at], on(fakes.turns)))
    mask &= masks.within(sizes, side)
    # most masks take one of the two
    eroded, dilated = (np.flatnonzero(widths > 1) for widths in (fakes.erode, fakes.dilate))
    if len(eroded):
        at = on(eroded)
        mask[at] = masks.erode(mask[at], on(fakes.erode[eroded]), sizes[at])
    if len(dilated):
        at = on(dilated)
        grown = masks.dilate(mask[at], on(fakes.dilate[dilated]))
        mask[at] = grown & masks.within(sizes[at], side)
    made = torch.zeros(mask.shape, device=device)
    if len(fakes.feathered):
        at = on(fakes.feathered)
        made[at] = masks.feather(mask[at], on(fakes.shares), on(fakes.of_hull) > 0, sizes[at])
    if len(fakes.blurred):
        at = on(fakes.blurred)
        made[at] = _blurred(mask[at], fakes.sigmas, sizes[at])
    if len(fakes.staged):
        at = on(fakes.staged)
        made[at] = _two_stage(mask[at], fakes.stages, sizes[at])
    return made * on(fakes.opacity)[:, None, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Box:
    # squares of one size that hold the masks of some fakes
    places: np.ndarray
    start: torch.Tensor
    """(n, 2) int64, first row and column of each"""
    side: int


def _boxes(alphas: torch.Tensor) -> list[_Box]:
    """Squares that hold the masks, in a few sizes: what lies beyond them is not looked at."""
    low, high = masks.box(alphas > 0)
    side = alphas.shape[1]
    sides = (high + 1 - low).amax(1).cpu().numpy()
    boxes = []
    for places in masks.sized(sides):
        # whole steps, or a compiler would see a new size in every batch
        wide = min(-(-int(sides[places].max()) // _STEP) * _STEP, side)
        start = low[_moved(places, alphas.device)].clamp(max=side - wide)
        boxes.append(_Box(places=places, start=start, side=wide))
    return boxes


def _blend(
    fakes: Fakes,
    foregrounds: torch.Tensor,
    images: torch.Tensor,
    alphas: torch.Tensor,
    box: _Box,
    watch: Watch,
) -> None:
    """Some of the fakes blended into ``images``, in place, each within its box."""
    device = images.device
    maps = torch.from_numpy(fakes.maps[box.places]).to(device)
    above = place(_some(foregrounds, box.places), maps, box.start, box.side)
    watch("placement")
    at = torch.arange(box.side, device=device)
    rows, columns = (box.start[:, axis, None] + at for axis in (0, 1))
    samples = _moved(fakes.places[box.places], device)[:, None, None, None]
    channels = torch.arange(3, device=device)[:, None, None]
    window = (samples, channels, rows[:, None, :, None], columns[:, None, None, :])
    below = images[window]
    own = _moved(box.places, device)[:, None, None]
    weights = alphas[own, rows[:, :, None], columns[:, None, :]]
    inside = weights > 0
    for group in fakes.color:
        some, options = _among(group, box.places)
        if options:
            first, second, third = (_some(one, some) for one in (above, below, inside))
            matched = colors.match(group.name, first, second, third, options)
            above = _with(above, some, matched)
    watch("colour")
    blended = below
    for group in fakes.blend:
        some, options = _among(group, box.places)
        if options:
            first, second, third = (_some(one, some) for one in (above, below, weights))
            mixed = pixels.blend(group.name, first, second, third, options)
            blended = _with(blended, some, mixed)
    images[window] = blended
    watch("blend")


def _among(group: Group, places: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
    # which of ``places``, which ascend, take an operation, and their options
    taken = np.flatnonzero(np.isin(places, group.places))
    numbers = np.searchsorted(group.places, places[taken])
    return taken, [group.options[number] for number in numbers.tolist()]


def _softened(fakes: Fakes, foregrounds: torch.Tensor) -> torch.Tensor:
    # low-passed by as much as each will shrink
    if not len(fakes.softened):
        return foregrounds
    taps = _moved(fakes.taps, foregrounds.device)
    soft = _rounded(resize.filtered(_some(foregrounds, fakes.softened), taps))
    return _with(foregrounds, fakes.softened, soft)


def place(
    foregrounds: torch.Tensor, maps: torch.Tensor, start: torch.Tensor, side: int
) -> torch.Tensor:
    """Foregrounds resampled once, each into a square of its background.

    ``ops.warp.place`` after its low-pass: bilinear, mirrored beyond the border.

    Args:
        foregrounds: (N, 3, C, C) float32 RGB, whole levels.
        maps: (N, 2, 3) float64, from pixels of the background to those of the foreground.
        start: (N, 2) int64, first row and column of each square.
        side: of the squares, px.

    Returns:
        (N, 3, side, side) float32 RGB, whole levels.
    """
    # the last pixels' centres are -1 and 1 to grid_sample; float64 while the numbers are few
    maps = maps * (2 / (foregrounds.shape[-1] - 1))
    pixel = torch.arange(side, device=maps.device)
    y, x = ((start[:, axis, None] + pixel).double()[:, None] for axis in (0, 1))
    across = (maps[:, :, 0, None] * x + (maps[:, :, 2, None] - 1)).float()
    down = (maps[:, :, 1, None] * y).float()
    seen = across.transpose(1, 2)[:, None] + down.transpose(1, 2)[:, :, None]
    moved = functional.grid_sample(foregrounds, seen, "bilinear", "reflection", align_corners=True)
    return _rounded(moved)


def _done(steps: Sequence[Sequence[Group]], images: torch.Tensor) -> torch.Tensor:
    for groups in steps:
        for group in groups:
            made = pixels.degrade(group.name, _some(images, group.places), group.options)
            images = _with(images, group.places, made)
    return images


def _some(planes: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    """Those at ``places``, which ascend: no copy where that is all of them."""
    return planes if len(places) == len(planes) else planes[_moved(places, planes.device)]


def _with(planes: torch.Tensor, places: np.ndarray, made: torch.Tensor) -> torch.Tensor:
    """The planes, those at ``places`` replaced; ``planes`` is spent."""
    if len(places) == len(planes):
        return made
    planes[_moved(places, planes.device)] = made
    return planes


def _canvas(images: torch.Tensor, side: int) -> torch.Tensor:
    more = side - images.shape[-1]
    return functional.pad(images, (0, more, 0, more)) if more else images


def _resized(
    planes: torch.Tensor, held: Matrices, places: np.ndarray, old: Any, new: Any
) -> torch.Tensor:
    """Some planes resized on their canvas as ``ops.geometry.resize_plane`` does.

    Pictures, which have three channels, are rounded after each of the two steps.
    """
    if not len(places):
        return planes
    kept = _rounded if planes.shape[1] == 3 else _weights
    olds, news = (_one_each(one, len(places)) for one in (old, new))
    shrunk = np.flatnonzero(news < olds)
    if len(shrunk):
        at = places[shrunk]
        soft = kept(_low_passed(_some(planes, at), held, olds[shrunk], news[shrunk]))
        planes = _with(planes, at, soft)
    told = (_moved(olds, held.device), _moved(news, held.device))
    made = kept(resize.linear(_some(planes, places), *told, planes.shape[-1]))
    return _with(planes, places, made)


def _one_each(value: Any, count: int) -> np.ndarray:
    return np.array(np.broadcast_to(value, (count,)), np.int64)


def _low_passed(
    planes: torch.Tensor, held: Matrices, olds: np.ndarray, news: np.ndarray
) -> torch.Tensor:
    side = planes.shape[-1]
    widest = geometry.reach(float((olds / news).max()))
    if (olds == side).all() and widest <= _WIDEST:
        taps = resize.low_pass_taps(side, news)
        return resize.filtered(planes, _moved(taps, held.device))
    # pictures that do not fill the canvas end, and are mirrored, within it
    keys = [("low-pass", old, new) for old, new in zip(olds.tolist(), news.tolist(), strict=True)]
    matrix = held.stack(keys, side, side)
    return both_ways(matrix, planes, matrix)


def _resampled(
    plan: GpuPlan, images: torch.Tensor, held: Matrices, crop_size: int
) -> torch.Tensor:
    for way, sized in (("nearest", plan.nearest), ("bilinear", plan.bilinear)):
        other = sized.values != crop_size
        places, small = sized.places[other], sized.values[other]
        if not len(places):
            continue
        # the small picture, wider than the crop or not, stands on a canvas that holds it
        side = max(crop_size, int(small.max()))
        some = _canvas(_some(images, places), side)
        if way == "nearest":
            some = resize.nearest(some, crop_size, small, side)
        else:
            some = _resized(some, held, np.arange(len(places)), crop_size, small)
        old = _moved(small, held.device)
        made = resize.linear(some, old, torch.full_like(old, crop_size), crop_size)
        images = _with(images, places, _rounded(made))
    return images


def _cut(
    plan: GpuPlan, images: torch.Tensor, alphas: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    device, size = images.device, plan.size
    cut = torch.empty((*images.shape[:2], size, size), device=device)
    weights = torch.empty((len(images), size, size), device=device)
    for window in plan.windows:
        at = _moved(window.places, device)
        rows, columns = (slice(start, start + size) for start in (window.top, window.left))
        cut[at] = _some(images[:, :, rows, columns], window.places)
        weights[at] = _some(alphas[:, rows, columns], window.places)
        coded = np.isin(plan.jpeg.places, window.places)
        if coded.any():
            at = _moved(plan.jpeg.places[coded], device)
            qualities = _moved(plan.jpeg.values[coded], device)
            cut[at] = jpeg.window(images[at], qualities, rows, columns)
    return cut, weights


def _faint(fakes: Fakes, alphas: torch.Tensor) -> torch.Tensor:
    # as sample._reject_faint, which looks at every eighth row first
    low, high = SEEN
    half = (0.5 * torch.from_numpy(fakes.opacity.astype(np.float64))).float()
    half = half.to(alphas.device)[:, None, None]
    least = torch.from_numpy(fakes.min_area).to(alphas.device)
    passed = torch.zeros(len(alphas), dtype=torch.bool, device=alphas.device)
    for rows in (alphas[:, ::8], alphas):
        area = (rows > half).double().mean((1, 2))
        seen = (rows > low).sum((1, 2)) > (rows > high).sum((1, 2))
        passed |= (area >= least) & seen
    return ~passed


def _blurred(mask: torch.Tensor, sigmas: np.ndarray, sizes: torch.Tensor) -> torch.Tensor:
    reaches = np.ceil(3 * sigmas).astype(np.int64)
    device = mask.device
    told = (_moved(sigmas, device), _moved(reaches, device))
    taps = matrices.gaussian_taps(*told, int(reaches.max()))
    band = matrices.banded(taps, sizes, mask.shape[1], "replicate")
    soft = both_ways(band, mask.float(), band)
    # sums of matrices leave crumbs where the CPU has zeros
    return torch.where(soft > _CRUMB, soft, 0.0).clamp(max=1)


_STEP = 16  # px
_WIDEST = 64  # px; what reaches further to each side is a matrix
_CRUMB = 1e-7
_NEARLY_FULL = 1 - 1e-6  # as in ops.mask.two_stage


def _two_stage(mask: torch.Tensor, stages: np.ndarray, sizes: torch.Tensor) -> torch.Tensor:
    side, device = mask.shape[1], mask.device
    most = int(stages[:, :2].max())
    told = _moved(stages, device)
    news = told[:, :2]
    olds = sizes[:, None].expand(-1, 2)
    small = resize.linear(mask.float().unsqueeze(1), olds, news, most).squeeze(1)
    first, second, sigma = told[:, 2:].unbind(1)
    region = masks.within_box(news, most)
    # beyond the picture counts as inside
    inside = region & ~masks.dilate(region & ~(small > _NEARLY_FULL), first)
    taps = matrices.gaussian_taps(sigma, second // 2, int((stages[:, 3] // 2).max()))
    bands = [matrices.banded(taps, one, most, "mirror") for one in news.unbind(1)]
    soft = both_ways(bands[0], inside.float(), bands[1])
    full = soft.amax((1, 2), keepdim=True)
    soft = soft / torch.where(full > 0, full, 1.0)
    grown = resize.linear(soft.unsqueeze(1), news, olds, side).squeeze(1)
    grown = grown * masks.within(sizes, side)
    return torch.where(grown > _CRUMB, grown, 0.0).clamp(max=1)


def _rounded(images: torch.Tensor) -> torch.Tensor:
    # averages of levels are within their range
    return images.round_()


def _weights(planes: torch.Tensor) -> torch.Tensor:
    return planes.clamp_(0, 1)


def _moved(values: np.ndarray, device: torch.device) -> torch.Tensor:
    made = torch.from_numpy(values)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made
