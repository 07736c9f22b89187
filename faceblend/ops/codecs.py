"""What WebP and video codecs leave of a picture; JPEG is in :mod:`faceblend.ops.degrade`."""

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.face import Image

_SMALLEST = 16  # px; x265 codes no smaller picture

# ITU-R BT.601: of red, green and blue in a grey
_GREY = np.array([0.299, 0.587, 0.114])
_FROM_GREY = np.array([[0, 0, 1], [1, 0, 0]]) - _GREY  # blue and red, less the grey
# grey on 16 to 235; blue and red less grey, at most 1 - their share, on 16 to 240
_TO_YUV = np.vstack([_GREY * 219, (_FROM_GREY.T / (1 - _GREY[[2, 0]])).T * 112]) / 255
_ZERO = np.array([16.0, 128.0, 128.0])
_TO_RGB = np.linalg.inv(_TO_YUV)


def webp(image: Image, *, quality: int) -> Image:
    """Encode as lossy WebP and decode again.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: libwebp's, 1 to 100.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # beyond 100 OpenCV would code without loss
    how = [cv2.IMWRITE_WEBP_QUALITY, quality]
    done, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), how)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape} as WebP")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def h264(image: Image, *, crf: int) -> Image:
    """Encode as the one frame of an H.264 video by x264 and decode again.

    A key frame of preset ``medium``: no motion. What FF++ calls c23 and c40 are CRFs of whole
    videos; as x264 looks ahead for frames that would inherit from this one and finds none, it
    loses as much as the worst frames of a whole video do. Colours are BT.601 in limited range,
    and chroma of half the size is centred on the pixels that it colours, so that none moves.

    Args:
        image: (H, W, 3) uint8 RGB.
        crf: x264's constant rate factor, 0 to 51; more is worse.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return _one_frame(image, "libx264", "h264", {"crf": str(crf), "preset": "medium"})


def h265(image: Image, *, crf: int) -> Image:
    """Encode as the one frame of an H.265 video by x265 and decode again; see :func:`h264`.

    It loses about as much as the mean frame of a whole video.

    Args:
        image: (H, W, 3) uint8 RGB.
        crf: x265's constant rate factor, 0 to 51; more is worse. 28 is about x264's 23.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # one thread, whose bytes are the same on every machine; x265 prints by itself
    own = "log-level=none:pools=none:frame-threads=1"
    options = {"crf": str(crf), "preset": "medium", "x265-params": own}
    return _one_frame(image, "libx265", "hevc", options)


def _one_frame(image: Image, encoder: str, decoder: str, options: dict[str, str]) -> Image:
    import av  # FFmpeg: .1 s and 17 MB that only these steps need

    height, width = image.shape[:2]
    # 4:2:0 wants even sides
    below, beside = (max(side + side % 2, _SMALLEST) - side for side in (height, width))
    grown = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    coding: Any = av.CodecContext.create(encoder, "w")
    coding.width, coding.height, coding.pix_fmt = width + beside, height + below, "yuv420p"
    coding.time_base = Fraction(1, 25)
    coding.thread_count = 1  # of more, each codes a slice of its own: other pixels
    coding.options = options
    frame = av.VideoFrame.from_ndarray(_to_yuv(np.asarray(grown)), format="yuv420p")
    packets = [*coding.encode(frame), *coding.encode(None)]
    reading: Any = av.CodecContext.create(decoder, "r")
    reading.thread_count = 1
    (seen,) = [one for packet in (*packets, None) for one in reading.decode(packet)]
    return np.ascontiguousarray(_to_rgb(seen.to_ndarray(format="yuv420p"))[:height, :width])


def _to_yuv(image: Image) -> UInt8[np.ndarray, "packed width"]:
    """Y, and below it U and V of half the size, as FFmpeg lays them out."""
    # not OpenCV's COLOR_RGB2YUV_I420: it takes the chroma of every other pixel, and so moves it
    planes = cv2.transform(image.astype(np.float32), np.column_stack([_TO_YUV, _ZERO]))
    half = cv2.resize(planes, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    # every value is inside 16 to 240: nothing to clip
    parts = [cv2.convertScaleAbs(part) for part in (planes[..., 0], half[..., 1], half[..., 2])]
    return np.concatenate([part.ravel() for part in parts]).reshape(-1, image.shape[1])


def _to_rgb(packed: UInt8[np.ndarray, "packed width"]) -> Image:
    height, width = packed.shape[0] * 2 // 3, packed.shape[1]
    halves = packed[height:].reshape(2, height // 2, width // 2).astype(np.float32)
    chroma = [cv2.resize(half, (width, height)) for half in halves]  # bilinear, centres matched
    planes = cv2.merge([packed[:height].astype(np.float32), *chroma])
    rgb = cv2.transform(planes, np.column_stack([_TO_RGB, -_TO_RGB @ _ZERO]))
    return np.asarray(cv2.convertScaleAbs(cv2.max(rgb, 0.0, rgb)))
