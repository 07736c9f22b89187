"""Blending and degrading of many pictures at once, as the operations on the CPU do.

The differences that each function states are to :data:`faceblend.ops.NAMED` on the CPU, in levels,
as ``tests/gpu/test_pixels.py`` holds them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import pad

from faceblend import draw
from faceblend.gpu import jpeg
from faceblend.gpu.boxed import blurred, box_of, filtered, mirrored, read, whole, within
from faceblend.gpu.membrane import membrane
from faceblend.ops import degrade as ops

_KEPT = 256  # ways down and up that stay on the device, 0.4 MB each at 317 px
_AT_ONCE = 2**27  # values that medians are looked for in: 0.5 GB, and as many again

Options = Sequence[Mapping[str, Any]]
"""Of each sample, as :class:`faceblend.draw.Operation` has them."""


def blend(
    name: str,
    foreground: torch.Tensor,
    background: torch.Tensor,
    alpha: torch.Tensor,
    options: Options,
) -> torch.Tensor:
    """Put every foreground over its background.

    Args:
        name: one of :data:`BLENDS`, for all samples.
        foreground: (N, 3, H, W) float32 RGB, whole levels of 0 to 255.
        background: (N, 3, H, W) float32 RGB, whole levels.
        alpha: (N, H, W) float32 in [0, 1], weight of the foreground.
        options: of each sample.

    Returns:
        (N, 3, H, W) float32 RGB, whole levels of 0 to 255.

    Raises:
        KeyError: there is no such operation on the device.
    """
    return _BLENDS[name](foreground, background, alpha, options)


def degrade(name: str, images: torch.Tensor, options: Options) -> torch.Tensor:
    """Change every picture as cameras, codecs and platforms do.

    ``down-up`` multiplies float32 matrices: what it states holds where torch's float32 matrix
    products are not rounded to TF32, which is how torch starts.

    Args:
        name: one of :data:`DEGRADES`, for all samples.
        images: (N, 3, H, W) float32 RGB, whole levels of 0 to 255.
        options: of each sample.

    Returns:
        (N, 3, H, W) float32 RGB, whole levels of 0 to 255.

    Raises:
        KeyError: there is no such operation on the device.
    """
    return _DEGRADES[name](images, options)


def _alpha(
    foreground: torch.Tensor, background: torch.Tensor, alpha: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.blend.alpha`; no level differs."""
    del options
    return _added(background, foreground - background, alpha)


def _poisson(
    foreground: torch.Tensor, background: torch.Tensor, alpha: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.blend.poisson`; up to one level apart, .005 in the mean.

    Both solve to about .01 of a level, on other grids: the canvas's here, the box's there.
    """
    del options
    rows, columns = box_of(alpha)
    # the CPU knows nothing beyond the alpha's box, whose outermost pixels hold the membrane
    inside = (alpha > 0) & within(rows, 1)[:, :, None] & within(columns, 1)[:, None]
    apart = background - foreground
    return _added(background, membrane(apart, inside) - apart, alpha)


def _pyramid(
    foreground: torch.Tensor, background: torch.Tensor, alpha: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.blend.pyramid`; up to one level apart, .0005 in the mean."""
    levels = torch.tensor([one["levels"] for one in options], device=alpha.device)
    rows, columns = box_of(alpha)
    # the alpha's box, of which alone the CPU knows, is brought to the corner
    layers = torch.cat([foreground, background, alpha[:, None]], 1)
    layers = read(read(layers, 2, rows.inside), 3, columns.inside)
    most = max(one["levels"] for one in options)
    mixed = _banded(layers, (rows.count, columns.count), levels, most)
    mixed = read(read(mixed, 2, rows.back), 3, columns.back)
    return _added(background, mixed - background, (4 * alpha).clamp(max=1))


def _frequency(
    foreground: torch.Tensor, background: torch.Tensor, alpha: torch.Tensor, options: Options
) -> torch.Tensor:
    """:func:`faceblend.ops.blend.frequency`; up to one level apart, .0005 in the mean."""
    narrow = np.array([one["sigma"] for one in options], np.float64)
    wide = narrow + [one["width"] for one in options]
    apart, box = foreground - background, box_of(alpha)
    fine, coarse = (
        blurred(apart, sigmas, np.ceil(3 * sigmas).astype(int), box) for sigmas in (narrow, wide)
    )
    return _added(background, fine - coarse, alpha)


_BLENDS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Options], torch.Tensor]] = {
    "alpha": _alpha,
    "poisson": _poisson,
    "pyramid": _pyramid,
    "frequency": _frequency,
}

BLENDS = frozenset(_BLENDS)
"""Ways to blend that the device does; the others of ``ops.NAMED["blend"]`` it does not."""


def _added(below: torch.Tensor, apart: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``B + alpha * apart``, clipped and rounded."""
    return (apart * weight[:, None] + below).round_().clamp_(0, 255)


def _noise(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.noise`; no level differs: the CPU draws the same numbers."""
    spread = _each(options, "sigma", images).float()
    return _as_levels(_drawn(images, options) * spread + images)


def _shot_noise(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.shot_noise`; no level differs, as of :func:`_noise`."""
    spread = (images.double() * 255 / _each(options, "full", images)).sqrt().float()
    return _as_levels(_drawn(images, options) * spread + images)


def _rgb_shift(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.rgb_shift`; no level differs."""
    shifts = torch.cat([_each(options, name, images) for name in ("red", "green", "blue")], 1)
    return _as_levels(images.double() + shifts).float()


def _brightness_contrast(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.brightness_contrast`; no level differs."""
    gain, shift = (_each(options, name, images) for name in ("contrast", "brightness"))
    return _as_levels((1 + gain) * images.double() + 255 * shift).float()


def _gamma(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.gamma`; no level differs."""
    bent = (images.double() / 255) ** _each(options, "exponent", images)
    return _as_levels(255 * bent).float()


def _hsv_shift(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.hsv_shift`; up to one level apart, .0005 in the mean."""
    red, green, blue = (images * float(np.float32(1 / 255))).unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    width = most - torch.minimum(torch.minimum(red, green), blue)
    tiny = torch.finfo(torch.float32).eps
    step = 60 / (width + tiny)
    of_green, of_blue = (blue - red) * step + 120, (red - green) * step + 240
    hue = torch.where(most == green, of_green, of_blue)
    hue = torch.where(most == red, (green - blue) * step, hue)
    turn, saturation, value = (
        _each(options, name, images).float()[:, 0] for name in ("hue", "saturation", "value")
    )
    hue = torch.remainder(torch.where(hue < 0, hue + 360, hue) + 360 * turn, 360) / 60
    intense = (width / (most + tiny) + saturation).clamp_(0, 1)
    bright = (most + value).clamp_(0, 1)
    # how far a channel is from its third of the circle says how much of the colour it lacks
    beside = torch.stack([torch.remainder(hue + start, 6) for start in (5, 3, 1)], 1)
    lacking = torch.minimum(beside, 4 - beside).clamp_(0, 1)
    return _as_levels(bright[:, None] * (1 - intense[:, None] * lacking) * 255)


def _down_up(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.down_up`; up to one level apart, .005 in the mean."""
    ways = [(one["times"], one["down"], one["up"]) for one in options]
    known = {way: place for place, way in enumerate(dict.fromkeys(ways))}
    which = torch.tensor([known[way] for way in ways], device=images.device)
    height, width = images.shape[-2:]
    down, across = (
        torch.stack([_there_and_back(side, *way, images.device) for way in known])[which][:, None]
        for side in (height, width)
    )
    return _as_levels(down @ images @ across.mT)


def _sharpen(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.sharpen`; up to one level apart, .0005 in the mean."""
    amount = _each(options, "amount", images).float()
    return _as_levels(images * (1 + amount) - _soft(images, options) * amount)


def _blur(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.blur`; up to one level apart, .0005 in the mean."""
    return _as_levels(_soft(images, options))


def _motion_blur(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.motion_blur`; up to one level apart, .0005 in the mean."""
    lines = [ops.line(one["length"], one["angle"]) for one in options]
    side = max(len(line) for line in lines)
    kernels = np.zeros((len(lines), side, side), np.float32)
    for kernel, line in zip(kernels, lines, strict=True):
        margin = (side - len(line)) // 2
        kernel[margin : side - margin, margin : side - margin] = line
    return _as_levels(filtered(images, torch.from_numpy(kernels).to(images.device), whole(images)))


def _median(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.median`; no level differs."""
    widths = torch.tensor([one["width"] | 1 if one["width"] > 1 else 1 for one in options])
    made = images.clone()
    for width in {int(one) for one in widths if one > 1}:
        which = torch.nonzero(widths == width)[:, 0].to(images.device)
        made[which] = _medians(images[which], width)
    return made


def _jpeg(images: torch.Tensor, options: Options) -> torch.Tensor:
    """:func:`faceblend.ops.degrade.jpeg`; no level differs."""
    made = images.clone()
    qualities = torch.tensor([one["quality"] for one in options], device=images.device)
    samplings = [one["sampling"] for one in options]
    for sampling in set(samplings):
        places = [place for place, one in enumerate(samplings) if one == sampling]
        which = torch.tensor(places, device=images.device)
        made[which] = jpeg.jpeg(images[which], qualities[which], sampling)
    return made


_DEGRADES: dict[str, Callable[[torch.Tensor, Options], torch.Tensor]] = {
    "noise": _noise,
    "rgb-shift": _rgb_shift,
    "hsv-shift": _hsv_shift,
    "brightness-contrast": _brightness_contrast,
    "down-up": _down_up,
    "sharpen": _sharpen,
    "shot-noise": _shot_noise,
    "gamma": _gamma,
    "blur": _blur,
    "motion-blur": _motion_blur,
    "median": _median,
    "jpeg": _jpeg,
}

DEGRADES = frozenset(_DEGRADES)
"""Changes that the device does; the others of ``ops.NAMED["degrade"]``, codecs, it does not."""


def _each(options: Options, name: str, images: torch.Tensor) -> torch.Tensor:
    """An option of every sample, (N, 1, 1, 1) float64, on the pictures' device."""
    values = np.array([one[name] for one in options], np.float64)
    return torch.from_numpy(values).to(images.device)[:, None, None, None]


def _drawn(images: torch.Tensor, options: Options) -> torch.Tensor:
    """The very numbers that the CPU draws, (N, 3, H, W) float32."""
    shape = (*images.shape[2:], 3)
    numbers = [draw.noise(one["rng"]).standard_normal(shape, np.float32) for one in options]
    return torch.from_numpy(np.stack(numbers)).to(images.device).permute(0, 3, 1, 2)


def _as_levels(images: torch.Tensor) -> torch.Tensor:
    """Rounded to nearest and clipped; ``images`` is spent."""
    return images.round_().clamp_(0, 255)


@lru_cache(maxsize=_KEPT)
def _there_and_back(
    side: int, times: float, down: str, up: str, device: torch.device
) -> torch.Tensor:
    """(side, side) float32: what each value is made of after a way down and up."""
    small, known = max(round(side / times), 1), np.eye(side, dtype=np.float32)
    shrunk = known
    if small != side:
        shrunk = cv2.resize(known, (side, small), interpolation=ops.DOWN[down])
        shrunk = cv2.resize(shrunk, (side, side), interpolation=ops.UP[up])
    return torch.from_numpy(np.asarray(shrunk)).to(device)


def _soft(images: torch.Tensor, options: Options) -> torch.Tensor:
    """Blurred by each sample's ``sigma``, 4 of them to each side as OpenCV takes."""
    sigmas = np.array([one["sigma"] for one in options], np.float64)
    reaches = (np.rint(8 * sigmas + 1).astype(int) | 1) // 2
    return blurred(images, sigmas, reaches, whole(images))


def _banded(
    layers: torch.Tensor,
    counts: tuple[torch.Tensor, torch.Tensor],
    levels: torch.Tensor,
    most: int,
) -> torch.Tensor:
    """Bands of two pictures mixed, those of each sample in its first rows and columns.

    Args:
        layers: (N, 7, H, W) float32: the upper picture, the lower, the weight of the upper.
        counts: (N, 1) int64 each: how many rows and columns count.
        levels: (N,) int64: how often each sample is halved from here on.
        most: the largest of them.

    Returns:
        (N, 3, H, W) float32.
    """
    above, below, weight = layers[:, :3], layers[:, 3:6], layers[:, 6:]
    whole = below + weight * (above - below)
    sides = layers.shape[2:]
    if most <= 0 or min(sides) < 4:
        return whole
    ends = (levels <= 0) | (torch.minimum(*counts)[:, 0] < 4)
    smaller = _halved(layers, counts)
    halves = (counts[0] + 1) // 2, (counts[1] + 1) // 2
    fine, other = (layers[:, :6] - _doubled(smaller[:, :6], halves, sides)).chunk(2, 1)
    coarse = _banded(smaller, halves, levels - 1, most - 1)
    mixed = other + weight * (fine - other) + _doubled(coarse, halves, sides)
    return torch.where(ends[:, None, None, None], whole, mixed)


def _halved(images: torch.Tensor, counts: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """OpenCV's ``pyrDown``, which mirrors beyond the border."""
    for axis, count in zip((2, 3), counts, strict=True):
        half = (images.shape[axis] + 1) // 2
        place = torch.arange(-2, 2 * half + 1, device=images.device)
        grown = read(images, axis, mirrored(place, count))
        taps = [grown.narrow(axis, one, 2 * half - 1) for one in range(5)]
        taps = [tap.index_select(axis, place[2:-2:2]) for tap in taps]
        images = (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16
    return images


def _doubled(
    images: torch.Tensor, counts: tuple[torch.Tensor, torch.Tensor], sides: Sequence[int]
) -> torch.Tensor:
    """OpenCV's ``pyrUp``, which mirrors before the first value and repeats the last."""
    for axis, count, side in zip((2, 3), counts, sides, strict=True):
        half = images.shape[axis]
        place = torch.arange(-1, half + 1, device=images.device).abs()
        grown = read(images, axis, torch.minimum(place, count - 1))
        before, here, after = (grown.narrow(axis, one, half) for one in range(3))
        pairs = torch.stack([(before + 6 * here + after) / 8, (here + after) / 2], axis + 1)
        images = pairs.flatten(axis, axis + 1).narrow(axis, 0, side)
    return images


def _medians(images: torch.Tensor, width: int) -> torch.Tensor:
    """Of ``width`` x ``width`` px around every value; the last pixel goes on beyond the border."""
    count, channels, height, across = images.shape
    reach = width // 2
    grown = pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = max(_AT_ONCE // (width * width * count * channels * across), 1)
    made = []
    for top in range(0, height, rows):
        strip = grown[:, :, top : min(top + rows, height) + 2 * reach]
        windows = strip.unfold(2, width, 1).unfold(3, width, 1)
        made.append(windows.flatten(-2).median(-1).values)
    return torch.cat(made, 2)
