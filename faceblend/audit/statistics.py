"""Numbers that a picture's making leaves behind: what a detector may learn instead of the face.

Each group looks at one trace: the spectrum, the block grid of JPEG, the residual noise, traces of
resampling, sharpness, colour. All are taken inside a region that is given, so that the same
zone can be looked at in every picture; what lies outside it counts for nothing.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from faceblend.face import Image

Plane = Float32[np.ndarray, "height width"]
Region = Bool[np.ndarray, "height width"]
Numbers = Float64[np.ndarray, " numbers"]

TILE = 24
"""px; the spectrum is that of squares so wide that lie in the region whole."""

_APART = ((0, 1), (1, 0), (0, 2), (2, 0), (1, 1))  # rows, columns between neighbours
_STEP = 12  # px between tiles
_BLOCK = 8  # px, of JPEG
_TINY = 1e-3  # levels squared; below the noise of rounding, 1/12
_SHRINK = (0.9, 0.8, 0.65, 0.5, 0.35)  # of the side
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# residual filters: first and second differences, a corner's, and the 3 x 3 square of
# Fridrich and Kodovsky, Rich Models for Steganalysis of Digital Images, 2012
_FILTERS = {
    "across": np.array([[1, -2, 1]], np.float32) / 2,
    "down": np.array([[1], [-2], [1]], np.float32) / 2,
    "corner": np.array([[1, -1], [-1, 1]], np.float32) / 2,
    "square": np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32) / 4,
}


def room(region: Region) -> int:
    """How many tiles of the spectrum the region holds; a picture with few tells little."""
    return len(_tiles(region))


def statistics_of(image: Image, region: Region) -> dict[str, Numbers]:
    """Every group's numbers.

    Args:
        image: (H, W, 3) uint8 RGB.
        region: (H, W), where to look; it must hold a tile (:func:`room`).

    Returns:
        By group, as many numbers for every picture, all finite.
    """
    grey = np.asarray(cv2.transform(image.astype(np.float32), _LUMA[None]))
    return {name: group(image, grey, region) for name, group in GROUPS.items()}


def spectrum(image: Image, grey: Plane, region: Region) -> Numbers:  # noqa: ARG001
    """Log power of 24 x 24 tiles by frequency: all directions, across, and down.

    The mean of the power, where strong edges count most, and the mean of its logarithm, where
    smooth tiles count as much.
    """
    corners = _tiles(region)
    tiles = np.stack([grey[y : y + TILE, x : x + TILE] for y, x in corners])
    tiles = (tiles - tiles.mean((1, 2), keepdims=True)) * _hann()
    power = np.abs(np.fft.rfft2(tiles)) ** 2 / TILE**2
    radial, counts = _radial_bins()
    found = []
    for values in (power.mean(0), np.exp(np.log(power + _TINY).mean(0))):
        rings = np.bincount(radial, values.ravel(), len(counts)) / counts
        half = TILE // 2
        along = values[(0, 1, 2, -1, -2), 1 : half + 1].mean(0)
        down = (values[1 : half + 1, :3] + values[-1 : -half - 1 : -1, :3]).mean(1) / 2
        found += [np.log(part + _TINY) for part in (rings[1:], along, down)]
    return np.concatenate(found).astype(np.float64)


def blocks(image: Image, grey: Plane, region: Region) -> Numbers:
    """Traces of JPEG's 8 x 8 grid, wherever it starts, and of what was quantised in it.

    Of each axis, steps between neighbours at the eight places of the grid, the largest first; of
    the blocks at the place with the most vanishing coefficients, their share, and how far the
    coefficients gather at multiples of 1 to 12 levels, once more where they do so twice.
    """
    found = []
    for plane in (grey, _chroma(image)):
        for turned, inside in ((plane, region), (plane.T, region.T)):
            found.append(_steps_by_place(turned, inside))
    return np.concatenate([*found, _quantised(grey, region)])


def noise(image: Image, grey: Plane, region: Region) -> Numbers:
    """Moments of high-pass residuals, how neighbours correlate, and what stands side by side.

    Co-occurrences are of residuals rounded and cut to -2 to 2, sign and order not told apart.
    """
    found = []
    apart = {one: np.logical_and(*_moved(region, *one)) for one in _APART}
    for kernel in _FILTERS.values():
        residual = cv2.filter2D(grey, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        values = residual[region]
        squares = values * values
        power = float(np.mean(squares)) + _TINY
        found += [
            np.log(power),
            np.log(np.abs(values).mean() + _TINY),
            np.log(np.mean(squares * squares) / power**2 + _TINY),
            np.mean(np.abs(values) < 0.5),
        ]
        for (down, right), both in apart.items():
            one, other = _moved(residual, down, right)
            together = cv2.multiply(cv2.multiply(one, other), both.astype(np.float32))
            found.append(cv2.sumElems(together)[0] / (int(both.sum()) + 1e-9) / power)
        level = np.clip(np.rint(residual), -2, 2).astype(np.int8)
        for down, right in ((0, 1), (1, 0)):
            one, other = _moved(level, down, right)
            cells = np.where(apart[down, right], 5 * one + other + np.int8(12), np.int8(25))
            pairs = np.bincount(cells.ravel(), minlength=26)[:25].reshape(5, 5)
            pairs = pairs + pairs.T + pairs[::-1, ::-1] + pairs.T[::-1, ::-1]
            shares = pairs[_kept_pairs()] / pairs.sum()
            found += np.log(shares + 1e-4).tolist()
    colours = [
        cv2.filter2D(
            np.ascontiguousarray(image[..., c]).astype(np.float32), -1, _FILTERS["square"]
        )
        for c in range(3)
    ]
    found += _correlations(np.stack([one[region] for one in colours], axis=1).astype(np.float64))
    return np.array(found, np.float64)


def resampling(image: Image, grey: Plane, region: Region) -> Numbers:  # noqa: ARG001
    """Periods in the second derivative, what neighbours predict, and what shrinking costs.

    Interpolated pictures have a second derivative whose size repeats with the period of the
    enlargement (Gallagher, *Detection of Linear and Cubic Interpolation in JPEG Compressed
    Images*, 2005), and pixels that are weighted sums of their neighbours (Popescu and Farid,
    *Exposing Digital Forgeries by Detecting Traces of Resampling*, 2005). A picture that was
    small once loses little by being shrunk again.
    """
    found = []
    for turned, inside in ((grey, region), (grey.T, region.T)):
        found += _periods(turned, inside)
    found += _predicted(grey, region)
    base = float(np.mean(_laplacian(grey)[region] ** 2)) + _TINY
    side = grey.shape[0]
    for share in _SHRINK:
        size = max(round(share * side), 2)
        small = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
        back = cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
        lost = float(np.mean((grey - back)[region] ** 2)) + _TINY
        found += [np.log(lost), np.log(lost / base)]
    return np.array(found, np.float64)


def sharpness(image: Image, grey: Plane, region: Region) -> Numbers:  # noqa: ARG001
    """Energies of the Laplacian and the gradient at four blurs, and how they fall."""
    found = []
    for sigma in (0.0, 0.6, 1.2, 2.4):
        plane = grey if not sigma else cv2.GaussianBlur(grey, (0, 0), sigma)
        across = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)[region]
        down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)[region]
        second = _laplacian(plane)[region]
        slope = np.hypot(across, down)
        found += [np.mean(across**2), np.mean(down**2), np.mean(second**2), slope.mean()]
        found += [*np.quantile(slope, (0.5, 0.9, 0.99)), np.quantile(np.abs(second), 0.9)]
    logs = np.log(np.array(found, np.float64) + _TINY)
    falls = logs.reshape(4, -1)
    return np.concatenate([logs, (falls[:-1] - falls[1:]).ravel()])


def colour(image: Image, grey: Plane, region: Region) -> Numbers:  # noqa: ARG001
    """Means, spreads and correlations of the channels, saturation, and the detail of chroma."""
    values = image[region].astype(np.float64)
    spread = values.std(0)
    red, green, blue = values.T
    strongest = np.maximum(np.maximum(red, green), blue)
    weakest = np.minimum(np.minimum(red, green), blue)
    eighth = (8 * (strongest - weakest) / np.maximum(strongest, 1)).astype(np.int64)
    bins = np.bincount(np.minimum(eighth, 7), minlength=8) / len(values)
    ends = [np.mean(values == 0), np.mean(values == 255)]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    fine = [np.mean(_laplacian(planes[..., c])[region] ** 2) for c in range(3)]
    logs = np.log(np.array(fine) + _TINY)
    rest = [*_correlations(values), *ends, *logs, *(logs[1:] - logs[0])]
    return np.concatenate([values.mean(0), spread, bins, rest])


GROUPS: dict[str, Callable[[Image, Plane, Region], Numbers]] = {
    "spectrum": spectrum,
    "blocks": blocks,
    "noise": noise,
    "resampling": resampling,
    "sharpness": sharpness,
    "colour": colour,
}
"""What :func:`statistics_of` measures."""


def _laplacian(plane: Plane) -> Plane:
    return np.asarray(cv2.Laplacian(plane, cv2.CV_32F, ksize=1))


def _chroma(image: Image) -> Plane:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 2].astype(np.float32))


def _correlations(channels: np.ndarray) -> list[float]:
    """Red with green, green with blue, red with blue, of (pixels, 3); zero where one is flat."""
    away = channels - channels.mean(0)
    together = away.T @ away / len(away)
    spread = np.sqrt(np.diag(together) + _TINY)
    shares = together / np.outer(spread, spread)
    return [float(shares[one]) for one in ((0, 1), (1, 2), (0, 2))]


def _tiles(region: Region) -> list[tuple[int, int]]:
    # a tile fits where the region, eroded by it, is still there
    filled = cv2.integral(region.view(np.uint8))
    lower, upper = filled[TILE:], filled[:-TILE]
    count = lower[:, TILE:] - upper[:, TILE:] - lower[:, :-TILE] + upper[:, :-TILE]
    whole = count[::_STEP, ::_STEP] == TILE * TILE
    return [(int(y) * _STEP, int(x) * _STEP) for y, x in np.argwhere(whole)]


@cache
def _hann() -> Plane:
    window = np.hanning(TILE + 2)[1:-1].astype(np.float32)
    return np.outer(window, window)


@cache
def _radial_bins() -> tuple[np.ndarray, np.ndarray]:
    y = np.fft.fftfreq(TILE) * TILE
    x = np.arange(TILE // 2 + 1)
    ring = np.minimum(np.rint(np.hypot(y[:, None], x[None])), TILE // 2 + 4).astype(np.int64)
    return ring.ravel(), np.bincount(ring.ravel())


@cache
def _kept_pairs() -> tuple[np.ndarray, np.ndarray]:
    # of cells that sign and order make the same, one
    cells = {}
    for one in range(5):
        for other in range(5):
            same = {(one, other), (other, one), (4 - one, 4 - other), (4 - other, 4 - one)}
            cells[min(same)] = True
    kept = np.array(sorted(cells))
    return kept[:, 0], kept[:, 1]


def _moved(plane: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that have a neighbour so far away, and those neighbours."""
    rows, columns = plane.shape
    return plane[: rows - down, : columns - right], plane[down:, right:]


def _steps_by_place(plane: Plane, region: Region) -> np.ndarray:
    # third differences are large across the edge of a block and small inside it
    step = np.abs(plane[:, 3:] - 3 * plane[:, 2:-1] + 3 * plane[:, 1:-2] - plane[:, :-3])
    inside = region[:, 3:] & region[:, :-3]
    sums = np.where(inside, step, 0).sum(0, dtype=np.float64)
    counts = inside.sum(0)
    place = np.arange(len(sums)) % _BLOCK
    means = np.bincount(place, sums, _BLOCK) / np.maximum(np.bincount(place, counts, _BLOCK), 1)
    ratio = np.log((means + _TINY) / (means.mean() + _TINY))
    return np.asarray(np.sort(ratio)[::-1])


@cache
def _waves() -> list[tuple[np.ndarray, np.ndarray]]:
    place = np.arange(_BLOCK)
    basis = [
        np.cos((2 * place + 1) * k * np.pi / 16) * np.sqrt((1 if k == 0 else 2) / 8)
        for k in range(_BLOCK)
    ]
    chosen = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (3, 3))
    return [(basis[a].astype(np.float32), basis[b].astype(np.float32)) for a, b in chosen]


def _quantised(grey: Plane, region: Region) -> np.ndarray:
    # every place of the grid at once: the coefficient of the block that starts at each pixel
    start = cv2.erode(
        region.view(np.uint8),
        np.ones((_BLOCK, _BLOCK), np.uint8),
        anchor=(0, 0),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).view(np.bool_)
    height, width = (side // _BLOCK * _BLOCK for side in grey.shape)
    start = start[:height, :width]
    cells = (height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    counts = np.maximum(start.reshape(cells).sum((0, 2)), 1)
    maps = [
        cv2.sepFilter2D(grey, -1, across, down, anchor=(0, 0))[:height, :width]
        for down, across in _waves()
    ]
    vanishing = sum(
        ((np.abs(one) < 0.5) & start).reshape(cells).sum((0, 2)) / counts for one in maps
    ) / len(maps)
    best = np.unravel_index(int(np.argmax(vanishing)), vanishing.shape)
    found = [vanishing.max(), vanishing.max() - np.median(vanishing), vanishing.mean()]
    levels = np.arange(1, 13)
    for one in maps[:5]:
        at = one[best[0] :: _BLOCK, best[1] :: _BLOCK]
        kept = at[start[best[0] :: _BLOCK, best[1] :: _BLOCK]]
        kept = kept[np.abs(kept) > 0.5]
        if len(kept):
            gathered = np.abs(np.exp(2j * np.pi * kept[:, None] / levels).mean(0))
        else:
            gathered = np.zeros(len(levels))
        order = np.sort(gathered[1:])[::-1]
        found += [*order[:3], gathered[0]]
    return np.array(found, np.float64)


def _periods(plane: Plane, region: Region) -> list[float]:
    second = np.abs(plane[:, 2:] - 2 * plane[:, 1:-1] + plane[:, :-2])
    inside = region[:, 2:] & region[:, :-2]
    # each pixel beside its row's neighbours, so that edges of the picture are no period
    level = np.log1p(second)
    weight = inside.astype(np.float32)
    mean = cv2.blur(level * weight, (9, 1)) / np.maximum(cv2.blur(weight, (9, 1)), 0.1)
    excess = ((level - mean) * weight).sum(0, dtype=np.float64)
    size = np.sqrt(np.sum(weight * (level - mean) ** 2)) + 1e-9
    power = np.abs(np.fft.rfft(excess)) / size
    power = power[len(power) // 5 :]  # what is slower is the picture's own
    bands = np.array_split(power, 6)
    top = int(np.argmax(power))
    ranked = np.sort(power)[::-1]
    return [
        float(power.max()),
        float(ranked[:4].mean() / (np.median(power) + 1e-9)),
        top / len(power),
        float(np.mean(second[inside] < 0.75)),
        *(float(band.max()) for band in bands),
    ]


def _predicted(grey: Plane, region: Region) -> list[float]:
    rows, columns = grey.shape
    padded = cv2.copyMakeBorder(grey, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)

    def moved(down: int, right: int) -> np.ndarray:
        shifted = padded[2 + down : 2 + down + rows, 2 + right : 2 + right + columns]
        return np.asarray(shifted[region])

    centre = moved(0, 0)
    sides = [
        moved(0, 1) + moved(0, -1),
        moved(1, 0) + moved(-1, 0),
        moved(1, 1) + moved(-1, -1) + moved(1, -1) + moved(-1, 1),
        moved(0, 2) + moved(0, -2),
        moved(2, 0) + moved(-2, 0),
    ]
    matrix = np.stack(sides, axis=1).astype(np.float64)
    matrix -= matrix.mean(0)
    target = centre.astype(np.float64) - centre.mean()
    gram = matrix.T @ matrix + np.eye(len(sides)) * len(target) * 0.1
    weights = np.linalg.solve(gram, matrix.T @ target)
    error = target - matrix @ weights
    power = float(np.mean(error**2)) + _TINY
    kept = np.mean(np.abs(error) < 0.5)
    return [
        *weights.tolist(),
        np.log(power),
        float(kept),
        np.log(np.mean(error**4) / power**2 + _TINY),
    ]
