"""Pictures of one canvas, each filtered within a box of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import conv2d


@dataclass(frozen=True, kw_only=True, eq=False)
class Span:
    """From the first to the last row, or column, that counts of each sample."""

    start: torch.Tensor
    """(N, 1) int64"""
    count: torch.Tensor
    """(N, 1) int64, 1 or more"""
    side: int
    """of the canvas, px"""

    @property
    def inside(self) -> torch.Tensor:
        """(N, side) int64: those that count, and the last one on and on."""
        place = torch.arange(self.side, device=self.start.device)
        return self.start + torch.minimum(place, self.count - 1)

    @property
    def back(self) -> torch.Tensor:
        """(N, side) int64: where each of the canvas stands among those that count."""
        place = torch.arange(self.side, device=self.start.device) - self.start
        return torch.minimum(place.clamp(min=0), self.count - 1)


def box_of(alpha: torch.Tensor) -> tuple[Span, Span]:
    """Rows and columns that hold all that is above 0."""
    spans = []
    for axis in (2, 1):
        seen = (alpha > 0).any(axis).int()
        start = seen.argmax(1, keepdim=True)
        last = seen.shape[1] - 1 - seen.flip(1).argmax(1, keepdim=True)
        spans.append(Span(start=start, count=last + 1 - start, side=seen.shape[1]))
    return spans[0], spans[1]


def whole(images: torch.Tensor) -> tuple[Span, Span]:
    """Rows and columns of pictures, (N, C, H, W), all of which count; one span for all samples."""
    zero = torch.zeros((1, 1), dtype=torch.int64, device=images.device)
    rows, columns = (Span(start=zero, count=zero + one, side=one) for one in images.shape[2:])
    return rows, columns


def within(span: Span, margin: int) -> torch.Tensor:
    """(N, side) bool: what counts, without ``margin`` px at its ends."""
    place = torch.arange(span.side, device=span.start.device) - span.start
    return (place >= margin) & (place < span.count - margin)


def read(images: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """Rows (axis 2) or columns (3) of each picture, ``places`` being (N or 1, count)."""
    channels, height, width = images.shape[1:]
    if len(places) == 1:
        return images.index_select(axis, places[0])
    if axis == 2:
        return images.gather(2, places[:, None, :, None].expand(-1, channels, -1, width))
    return images.gather(3, places[:, None, None].expand(-1, channels, height, -1))


def mirrored(place: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Which of ``count`` pixels stands at a place, mirrored beyond the first and the last."""
    period = (2 * (count - 1)).clamp(min=1)
    place = torch.remainder(place, period)
    return torch.minimum(place, period - place)


def blurred(
    images: torch.Tensor, sigmas: np.ndarray, reaches: np.ndarray, box: tuple[Span, Span]
) -> torch.Tensor:
    """By a Gaussian of so many pixels to each side; a sigma of 0 changes nothing."""
    reach = int(reaches.max())
    taps = np.arange(-reach, reach + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.exp(-0.5 * (taps / sigmas[:, None]) ** 2)
    weights = np.where(taps == 0, 1, weights) * (abs(taps) <= reaches[:, None])
    weights /= weights.sum(1, keepdims=True)
    kernels = torch.from_numpy(weights.astype(np.float32)).to(images.device)
    return filtered(filtered(images, kernels[:, None], box), kernels[:, :, None], box)


def filtered(images: torch.Tensor, kernels: torch.Tensor, box: tuple[Span, Span]) -> torch.Tensor:
    """Every picture by its own kernel of odd sides, mirrored beyond its box.

    Args:
        images: (N, 3, H, W) float32.
        kernels: (N, h, w) float32.
        box: of each sample, or one of all; what is made outside means nothing.
    """
    count, channels, height, width = images.shape
    for axis, span in zip((2, 3), box, strict=True):
        reach = kernels.shape[axis - 1] // 2
        if reach:
            place = torch.arange(-reach, span.side + reach, device=images.device) - span.start
            images = read(images, axis, span.start + mirrored(place, span.count))
    # a convolution by channel, which TF32 leaves alone
    each = kernels.repeat_interleave(channels, 0)[:, None]
    made = conv2d(images.reshape(1, count * channels, *images.shape[2:]), each, groups=len(each))
    return made.view(count, channels, height, width)
