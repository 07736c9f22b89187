"""What a picture goes through on its way to a detector, at given strengths: to test on.

Pictures are (H, W, 3) uint8 RGB, and are never changed in place. Noise alone takes a generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import PIL.Image
from numpy.random import Generator

from faceblend.face import Image
from faceblend.ops.degrade import jpeg
from xray_train.photometric import blur, gaussian_noise


def h264(image: Image, crf: int) -> Image:
    """Encode as the one frame of an H.264 video by x264 and decode again.

    A key frame, 4:2:0, preset medium: what FF++ calls c23 and c40 are the CRFs 23 and 40, of whole
    videos, whose other frames are worse than these.

    Args:
        image: (H, W, 3) uint8 RGB.
        crf: x264's constant rate factor, 0 to 51; more is worse.
    """
    height, width = image.shape[:2]
    # 4:2:0 wants even sides
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"crf": str(crf), "preset": "medium"}
    encoder.thread_count = 1  # as many bytes on every machine
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
    packets = [*encoder.encode(frame.reformat(format="yuv420p")), *encoder.encode(None)]
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    (seen,) = [one for packet in (*packets, None) for one in decoder.decode(packet)]
    # not FFmpeg's own way back to RGB, which darkens: measured, by 1.3 levels on average
    decoded = cv2.cvtColor(seen.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2RGB_I420)
    return np.ascontiguousarray(decoded[:height, :width])


def resized(image: Image, factor: float) -> Image:
    """Shrink to ``factor`` of the size and bring back, with Pillow's bilinear filter both ways.

    The filter is as wide as the shrinking, so detail is lost and none is made up.
    """
    height, width = image.shape[:2]
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    way = PIL.Image.Resampling.BILINEAR
    small = PIL.Image.fromarray(image).resize(size, way)
    return np.array(small.resize((width, height), way))


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One way of getting worse."""

    apply: Callable[[Image, float, Generator], Image]
    """of a picture, a strength and a generator"""
    unit: str
    """what the strength is"""
    low: float
    high: float
    """strengths that there are, both included"""
    whole: bool = False
    """whether strengths are whole numbers"""
    falling: bool = False
    """whether less is worse"""


DEGRADATIONS: dict[str, Degradation] = {
    "jpeg": Degradation(
        apply=lambda image, value, _: jpeg(image, int(value)),
        unit="JPEG quality", low=1, high=100, whole=True, falling=True,
    ),
    "h264": Degradation(
        apply=lambda image, value, _: h264(image, int(value)),
        unit="H.264 CRF", low=0, high=51, whole=True,
    ),
    "blur": Degradation(
        apply=lambda image, value, _: blur(image, value),
        unit="Gaussian blur, sigma in px", low=0.1, high=50,
    ),
    "noise": Degradation(
        apply=gaussian_noise, unit="Gaussian noise, sigma in levels", low=0, high=255
    ),
    "resize": Degradation(
        apply=lambda image, value, _: resized(image, value),
        unit="shrunk to, of the size", low=0.01, high=1, falling=True,
    ),
}  # fmt: skip
"""By their names in a grid."""
