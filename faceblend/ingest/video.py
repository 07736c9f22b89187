"""Frames out of videos: exact by number, decoded no further than needed.

A video is first read without decoding (its packets tell every frame's time and where decoding
may begin), so frame numbers are exact, variable frame rates included, and stretches without a
wanted frame are jumped over where that pays.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from faceblend.errors import BadVideo
from faceblend.face import Image
from faceblend.ingest.photograph import most_pixels, raise_to

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
"""Names that are taken for videos, in upper or lower case."""

MAX_PIXELS = 36_000_000
"""Largest frame that is decoded unless told otherwise: 8K."""

MAX_FRAMES = 10_000_000
"""Longest video that is read: 92 hours of 30 frames a second."""

_LISTS = ("concat", "dash", "hls", "image2", "imf")  # FFmpeg's formats that name other files

_JUMP = 12  # frames; what a seek costs, so shorter stretches are decoded (measured: 6 to 20)

_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a container says of its video, without decoding it."""

    width: int
    """px, as it is shown"""
    height: int
    """px, as it is shown"""
    frames: int
    """frames that the file really holds, whatever its header says"""
    claimed: int
    """frames that its header says it holds; 0 where it says nothing"""
    rate: float
    """frames a second on average; 0 where that is unknown"""


class Frame:
    """One decoded frame, turned upright when its pixels are asked for."""

    def __init__(self, number: int, picture: av.VideoFrame) -> None:
        self.number = number
        """Position in the video, from 0, in the order of display."""
        self._picture = picture

    @cached_property
    def rgb(self) -> Image:
        """(H, W, 3) uint8 RGB."""
        # nothing is scaled, so POINT gives the same pixels; it takes the fast path (2.8 ms of
        # a 1080p frame instead of 16)
        rgb = self._picture.reformat(format="rgb24", interpolation="POINT").to_ndarray()
        return _turned(rgb, self._picture.rotation)

    @cached_property
    def grey(self) -> UInt8[np.ndarray, "height width"]:
        """(H, W) uint8: the luma as it is stored, which costs no conversion."""
        if not self._picture.format.name.startswith(("yuv420p", "yuvj420p")) or (
            self._picture.format.components[0].bits != 8
        ):
            grey = self._picture.to_ndarray(format="gray")
        else:
            plane = self._picture.planes[0]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            grey = rows[: self._picture.height, : self._picture.width]
        return np.ascontiguousarray(_turned(grey, self._picture.rotation))


def evenly(frames: int, count: int) -> list[int]:
    """Frame numbers spread evenly over a video, its first and last frame among them.

    Args:
        frames: how many the video has.
        count: how many are wanted; all where there are no more.

    Example:
        >>> evenly(1000, 4), evenly(3, 32), evenly(5, 1)
        ([0, 333, 666, 999], [0, 1, 2], [2])
    """
    if count == 1 and frames > 0:
        return [frames // 2]
    spread = np.linspace(0, frames - 1, min(count, frames)).astype(int)
    return [int(number) for number in spread]


def probe(path: Path, *, max_pixels: int | None = None) -> Probe:
    """Look at a video without decoding more than a frame.

    Args:
        path: the video.
        max_pixels: limit on width times height of a frame; see
            :func:`~faceblend.ingest.photograph.most_pixels`.

    Raises:
        BadVideo: it is empty, no video, damaged before its first frame, has no pictures, or
            larger ones than the limit, or more than ``MAX_FRAMES``.
    """
    with _Opened(path, max_pixels) as video:
        return video.probed(len(video.index().times))


def read_header(path: Path, *, max_pixels: int | None = None) -> Probe:
    """What a video's header says; its packets are counted only where that says no count.

    Quick enough for a hundred thousand videos, and no promise: a file that was cut off still
    claims all its frames (:func:`probe` looks).

    Raises:
        BadVideo: as :func:`probe`.
    """
    with _Opened(path, max_pixels) as video:
        claimed = video.stream.frames
        return video.probed(claimed if claimed > 0 else len(video.index().times))


def read_frames(
    path: Path, wanted: Sequence[int], *, max_pixels: int | None = None, threads: int = 1
) -> Iterator[Frame]:
    """Decode some frames of a video, in ascending order.

    Args:
        path: the video.
        wanted: frame numbers, ascending.
        max_pixels: limit on width times height of a frame; as of :func:`probe`.
        threads: of the decoder; the frames do not depend on it.

    Raises:
        BadVideo: as :func:`probe`; a wanted frame is not there; or decoding failed, which the
            error tells with the frame it came to. Frames before that have been yielded.
    """
    with _Opened(path, max_pixels, threads) as video:
        index = video.index()
        if wanted and wanted[-1] >= len(index.times):
            raise BadVideo(
                path,
                f"has {len(index.times)} frames, and frame {wanted[-1]} was asked for",
                "ask for fewer, or replace the file",
            )
        yield from video.decode(index, wanted)


@dataclass(frozen=True, kw_only=True)
class _Index:
    """Every frame's time, ascending, and at which of them decoding may begin."""

    times: list[int]
    """in the stream's time base"""
    starts: list[int]
    """frame numbers of the key frames, ascending"""


class _Opened:
    """A video file, open; everything that goes wrong inside is a :class:`BadVideo`."""

    def __init__(self, path: Path, max_pixels: int | None = None, threads: int = 1) -> None:
        self._path, most = path, most_pixels(max_pixels, MAX_PIXELS)
        try:
            if path.stat().st_size == 0:
                raise BadVideo(path, "is empty (0 bytes)", "replace the file")
            # a container names other files; none of them is opened. Its titles may be in any
            # encoding, and none of them is read
            self._container = av.open(
                str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        except (OSError, av.FFmpegError) as error:
            raise self._bad(error) from error
        if self._container.format.name in _LISTS:
            self._container.close()
            raise BadVideo(path, "is a list of other files, and no video", "give those files")
        if not self._container.streams.video:
            self._container.close()
            raise BadVideo(path, "holds no pictures, only sound or text", "leave it out")
        self.stream = self._container.streams.video[0]
        if not hasattr(self.stream, "width"):
            self._container.close()
            raise BadVideo(path, "has pictures of a kind that FFmpeg cannot decode", "convert it")
        self.stream.thread_type = "AUTO" if threads > 1 else "NONE"
        self.stream.thread_count = threads
        size = self.stream.width * self.stream.height
        if size > most:
            self._container.close()
            raise BadVideo(
                path,
                f"has frames of {self.stream.width}x{self.stream.height}, over the limit of "
                f"{most:,} pixels",
                raise_to(size),
            )
        # frames may grow on the way; twice, since codecs pad them
        self.stream.codec_context.options = {"max_pixels": str(min(2 * most + 65_536, 2**31 - 1))}

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def probed(self, frames: int) -> Probe:
        """What the container says, with a count of frames that the caller knows."""
        turned = self.rotation() in (90, 270)
        size = (self.stream.height, self.stream.width)
        height, width = size[::-1] if turned else size
        rate = self.stream.average_rate
        return Probe(
            width=width,
            height=height,
            frames=frames,
            claimed=self.stream.frames,
            rate=float(rate) if rate else 0.0,
        )

    def index(self) -> _Index:
        """Read every packet without decoding it."""
        packets: list[tuple[int, bool]] = []
        try:
            for packet in self._container.demux(self.stream):
                if packet.size and packet.pts is not None and not packet.is_corrupt:
                    packets.append((packet.pts, packet.is_keyframe))
                if len(packets) > MAX_FRAMES:
                    raise BadVideo(
                        self._path, f"holds over {MAX_FRAMES:,} frames", "cut it into parts"
                    )
        except av.FFmpegError:
            pass  # cut off: what came before counts, and the header's claim tells the rest
        if not packets:
            raise BadVideo(self._path, "holds no frame", "replace the file")
        packets.sort()
        return _Index(
            times=[time for time, _ in packets],
            starts=[number for number, (_, is_key) in enumerate(packets) if is_key],
        )

    def rotation(self) -> int:
        """Degrees by which frames are turned, of the first that can be decoded."""
        try:
            self._container.seek(0)
            return next(self._container.decode(self.stream)).rotation % 360
        except (av.FFmpegError, StopIteration) as error:
            raise self._bad(error) from error

    def decode(self, index: _Index, wanted: Sequence[int]) -> Iterator[Frame]:
        number_of = {time: number for number, time in enumerate(index.times)}
        starts = index.starts or [0]
        # one iterator from seek to seek: a packet may give several frames
        pictures: Iterator[av.VideoFrame] = iter(())
        at, last = -1, -1
        for target in wanted:
            start = starts[max(bisect_right(starts, target) - 1, 0)]
            if at < 0 or start > at + _JUMP:
                self._seek(index.times[start], first=start == 0)
                pictures = self._container.decode(self.stream)
            try:
                for picture in pictures:
                    at = -1 if picture.pts is None else number_of.get(picture.pts, -1)
                    last = max(last, at)
                    if at >= target:
                        break
            except av.FFmpegError as error:
                raise BadVideo(
                    self._path,
                    f"cannot be decoded behind frame {last} ({_words(error)})",
                    "replace the file",
                ) from error
            if at != target:
                raise BadVideo(self._path, f"frame {target} cannot be decoded", "replace the file")
            yield Frame(at, picture)

    def _seek(self, time: int, *, first: bool) -> None:
        # to the very beginning where that is meant: the first frame may come before time 0
        begin = min(time, self.stream.start_time or 0, 0) if first else time
        self._container.seek(begin, stream=self.stream, backward=True)

    def _bad(self, error: Exception) -> BadVideo:
        return BadVideo(
            self._path, f"is no video that can be read ({_words(error)})", "replace the file"
        )


def _turned(picture: np.ndarray, rotation: int) -> np.ndarray:
    turn = _TURNS.get(rotation % 360)
    return picture if turn is None else np.asarray(cv2.rotate(picture, turn))


def _words(error: Exception) -> str:
    words: str = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.split())
