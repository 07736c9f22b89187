"""JPEG and back on the device, bit for bit what libjpeg-turbo's slow integer transforms give.

After Wallace, *The JPEG still picture compression standard*, CACM 1991, in the integer arithmetic
of libjpeg (``jccolor``, ``jcsample``, ``jfdctint``, ``jcdctmgr``, ``jidctint``, ``jdsample``,
``jdcolor``). Entropy coding loses nothing and is left out. Every number on the way is an integer
that its float type holds exactly, so no order of additions and no fused multiplication changes
one; the transforms are multiplied in float64, which TF32 leaves alone.
"""

from functools import cache

import numpy as np
import torch
from torch.nn.functional import pad

HALVED = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}
"""Rows and columns of pixels that share one value of chroma."""

_BLOCK = 8  # px
_BITS = 13  # of the transform's constants behind the point

# ITU T.81, tables K.1 and K.2: luma and chroma at quality 50
_TABLES = (
    (
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        (17, 18, 24, 47, 99, 99, 99, 99),
        (18, 21, 26, 66, 99, 99, 99, 99),
        (24, 26, 56, 99, 99, 99, 99, 99),
        (47, 66, 99, 99, 99, 99, 99, 99),
        (99, 99, 99, 99, 99, 99, 99, 99),
        (99, 99, 99, 99, 99, 99, 99, 99),
        (99, 99, 99, 99, 99, 99, 99, 99),
        (99, 99, 99, 99, 99, 99, 99, 99),
    ),
)


def jpeg(images: torch.Tensor, qualities: torch.Tensor, sampling: str = "4:2:0") -> torch.Tensor:
    """Encode as JPEG and decode again, as :func:`faceblend.ops.degrade.jpeg` does.

    No level differs from what OpenCV's libjpeg-turbo decodes: 0 in the mean, 0 at worst, over
    pictures and noise at qualities of 1 to 100 (``tests/gpu/test_jpeg.py``).

    Args:
        images: (N, 3, H, W) float32 RGB, whole levels of 0 to 255.
        qualities: (N,) of a whole-number type, libjpeg's 1 to 100, on the pictures' device.
        sampling: of chroma, for all of them: one of :data:`HALVED`.

    Returns:
        (N, 3, H, W) float32 RGB, whole levels.

    Raises:
        KeyError: there is no such sampling.
    """
    high, wide = HALVED[sampling]
    height, width = images.shape[-2:]
    luma, chroma = _to_ycc(images)
    # an odd picture's last row goes on before chroma is halved, a block's last one after it
    chroma = _continued(chroma, high, wide * _BLOCK)
    chroma = _continued(_halved(chroma, high, wide), _BLOCK, _BLOCK)
    tables = _tables(qualities)
    luma = _coded(_continued(luma, _BLOCK, _BLOCK), tables[:, :1])[..., :height, :width]
    chroma = _coded(chroma, tables[:, 1:])[..., : -(-height // high), : -(-width // wide)]
    return _to_rgb(luma, _doubled(chroma, high, wide)[..., :height, :width])


def window(
    images: torch.Tensor, qualities: torch.Tensor, rows: slice, columns: slice
) -> torch.Tensor:
    """The window that ``jpeg(images, qualities)[..., rows, columns]`` is, coding no more.

    See :func:`jpeg` and :func:`faceblend.ops.degrade.jpeg_window`.

    Args:
        images: (N, 3, H, W) float32 RGB, whole levels of 0 to 255.
        qualities: (N,) as for :func:`jpeg`.
        rows, columns: inside the pictures, the same for all of them.

    Returns:
        (N, 3, rows, columns) float32 RGB, whole levels.
    """
    top, left = (max(one.start - 2, 0) // 16 * 16 for one in (rows, columns))
    bottom, right = (-(-(one.stop + 2) // 16) * 16 for one in (rows, columns))
    coded = jpeg(images[..., top:bottom, left:right], qualities)
    return coded[
        ..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]


def _tables(qualities: torch.Tensor) -> torch.Tensor:
    """(N, 2, 8, 8) float64: what coefficients of luma and chroma are divided by."""
    quality = qualities.long().clamp(1, 100)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    known = torch.tensor(_TABLES, device=qualities.device)
    scaled = (known * percent[:, None, None, None] + 50) // 100
    return scaled.clamp(1, 255).double()


@cache
def _transform(device: torch.device) -> torch.Tensor:
    """(8, 8) float64: libjpeg's DCT times 2**13, whole numbers; its transpose is the inverse."""

    def fixed(number: float) -> int:
        return int(number * 2**_BITS + 0.5)

    pixel = np.eye(_BLOCK)
    # sums and differences of a pixel and its mirror image, rows of what each takes of the eight
    s0, s1, s2, s3 = (pixel[one] + pixel[7 - one] for one in range(4))
    d0, d1, d2, d3 = (pixel[one] - pixel[7 - one] for one in range(4))
    even = (s0 - s3 + s1 - s2) * fixed(0.541196100)
    odd = (d0 + d1 + d2 + d3) * fixed(1.175875602)
    a, b = (d3 + d0) * -fixed(0.899976223), (d2 + d1) * -fixed(2.562915447)
    c = (d3 + d1) * -fixed(1.961570560) + odd
    d = (d2 + d0) * -fixed(0.390180644) + odd
    rows = np.stack(
        [
            (s0 + s1 + s2 + s3) * 2**_BITS,
            d0 * fixed(1.501321110) + a + d,
            even + (s0 - s3) * fixed(0.765366865),
            d1 * fixed(3.072711026) + b + c,
            (s0 - s1 - s2 + s3) * 2**_BITS,
            d2 * fixed(2.053119869) + b + d,
            even - (s1 - s2) * fixed(1.847759065),
            d3 * fixed(0.298631336) + a + c,
        ]
    )
    return torch.from_numpy(rows).to(device)


def _coded(planes: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Blocks transformed, divided, rounded and brought back; sides are multiples of 8 px.

    Args:
        planes: (N, C, H, W) float32, whole levels of -128 to 127.
        tables: (N, C or 1, 8, 8) float64.

    Returns:
        (N, C, H, W) float32, as ``planes``.
    """
    count, channels, height, width = planes.shape
    matrix = _transform(planes.device)
    strips = (count, channels, height // _BLOCK, _BLOCK, width)
    blocks = (count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    steps = tables[:, :, None, :, None, :]
    coarse, fine = matrix / 2 ** (_BITS + 2), matrix / 2 ** (_BITS - 2)
    across = _whole(planes.double().reshape(blocks) @ fine.T)
    found = _whole(coarse @ across.reshape(strips)).reshape(blocks)
    # halves go away from zero: a little more of each, too little to carry any other over
    kept = found.mul_((1 + 2.0**-40) / (8 * steps)).round_().mul_(steps)
    down = _whole(fine.T @ kept.reshape(strips))
    back = _whole(down.reshape(blocks) @ (matrix / 2 ** (_BITS + 5)))
    return back.float().clamp_(-128, 127).reshape(planes.shape)


def _whole(numbers: torch.Tensor) -> torch.Tensor:
    """To the nearest whole number, halves up; in place."""
    return numbers.add_(0.5).floor_()


def _continued(planes: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The last row and column repeated up to multiples of ``rows`` and ``columns``."""
    below, right = -planes.shape[-2] % rows, -planes.shape[-1] % columns
    return pad(planes, (0, right, 0, below), mode="replicate") if below or right else planes


def _to_ycc(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma (N, 1, H, W) and both chromas (N, 2, H, W), less 128."""
    red, green, blue = images.unbind(1)
    half, less = (torch.tensor(one / 2**16) for one in (2**15, 2**15 - 1))
    # fewer than 24 bits: float32 holds every sum
    luma = torch.add(half - 128, red, alpha=19595 / 2**16)
    luma.add_(green, alpha=38470 / 2**16).add_(blue, alpha=7471 / 2**16)
    to_blue = torch.add(less, blue, alpha=0.5)
    to_blue.add_(red, alpha=-11058 / 2**16).add_(green, alpha=-21710 / 2**16)
    to_red = torch.add(less, red, alpha=0.5)
    to_red.add_(green, alpha=-27439 / 2**16).add_(blue, alpha=-5329 / 2**16)
    return luma.floor_()[:, None], torch.stack([to_blue, to_red], 1).floor_()


def _to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    luma, (blue, red) = luma[:, 0] + 128.5, chroma.unbind(1)
    to_green = (blue * (-22554 / 2**16)).add_(red, alpha=-46802 / 2**16).add_(luma)
    # what float32 does not hold is above 256, and clipped
    to_red = torch.add(luma, red, alpha=91881 / 2**16)
    to_blue = luma.add_(blue, alpha=116130 / 2**16)
    return torch.stack([to_red, to_green, to_blue], 1).floor_().clamp_(0, 255)


def _halved(chroma: torch.Tensor, high: int, wide: int) -> torch.Tensor:
    """Means of ``high`` x ``wide`` px, rounded up and down in turn along a row."""
    if high * wide == 1:
        return chroma
    sums = chroma[..., ::wide] + chroma[..., 1::wide]
    if high == 2:
        sums = sums[..., ::2, :] + sums[..., 1::2, :]
    turn = torch.arange(sums.shape[-1], device=chroma.device) % 2
    return sums.add_(turn + (high - 1)).mul_(1 / (high * wide)).floor_()


def _doubled(chroma: torch.Tensor, high: int, wide: int) -> torch.Tensor:
    """Three quarters of the nearest value and one of the next, along each doubled side."""
    if high * wide == 1:
        return chroma
    if chroma.shape[-1] <= 2:  # too narrow for libjpeg to interpolate
        return chroma.repeat_interleave(high, -2).repeat_interleave(wide, -1)
    part = 1 / 4**high
    chroma = _beside(chroma * part, -2) if high == 2 else chroma * part
    chroma = _beside(chroma, -1)
    # what rounds a half goes up and down in turn
    place = torch.arange(chroma.shape[-1], device=chroma.device) % 2
    return chroma.add_((8 - place if high == 2 else 1 + place) * part).floor_()


def _beside(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Three times each value and once the one before, or after: twice as many along ``dim``."""
    count = values.shape[dim]
    around = pad(values, (1, 1, 0, 0) if dim == -1 else (0, 0, 1, 1), mode="replicate")
    pairs = [torch.add(around.narrow(dim, start, count), values, alpha=3) for start in (0, 2)]
    return torch.stack(pairs, -1 if dim == -1 else -2).flatten(dim - 1, dim)
