"""What to throw at the reader of videos: containers and codecs, damaged and lying."""

import io
import struct
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from hypothesis import strategies as st

from faceblend.face import Image
from faceblend.ingest.detect import Detection
from faceblend.ingest.extract import extract
from faceblend.ingest.video import evenly, probe, read_frames, read_header
from tests.fuzz.target import Target

_SIDE = 32
_FRAMES = 5


def _clip(container: str, codec: str, pixels: str = "yuv420p", *, gop: int = 3) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width = stream.height = _SIDE
        stream.pix_fmt, stream.gop_size = pixels, gop
        stream.options = {"x265-params": "log-level=none"}
        stream.codec_context.time_base = Fraction(1, 10)
        drawn = np.random.default_rng(0)
        for number in range(_FRAMES):
            picture = drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


@cache
def _clips() -> tuple[bytes, ...]:
    return (
        _clip("mp4", "libx264"),
        _clip("mov", "mpeg4"),
        _clip("mov", "rawvideo", "rgb24"),
        _clip("matroska", "libx264"),
        _clip("matroska", "ffv1"),
        _clip("matroska", "libx265"),
        _clip("webm", "libvpx"),
        _clip("webm", "libvpx-vp9"),
        _clip("avi", "mjpeg", "yuvj420p"),
        _clip("avi", "mpeg4"),
        _clip("gif", "gif", "rgb8"),
        _clip("mpegts", "mpeg2video"),
        _clip("h264", "libx264"),
    )


def _patched(whole: bytes, atom: bytes, offset: int, value: int, size: int = 4) -> bytes:
    place = whole.find(atom)
    assert place >= 0, atom
    place += len(atom) + offset
    return whole[:place] + value.to_bytes(size, "big") + whole[place + size :]


def _lying() -> list[bytes]:
    mp4, raw = _clips()[0], _clips()[2]
    found = []
    for value in (0, 1, 2**31 - 1, 2**32 - 1):
        for atom, offset in (
            (b"mvhd", 12), (b"mvhd", 16), (b"mdhd", 12), (b"mdhd", 16), (b"tkhd", 20),
            (b"stts", 4), (b"stts", 8), (b"stts", 12), (b"stsz", 4), (b"stsz", 8), (b"stsc", 4),
            (b"stsc", 12), (b"stco", 4), (b"stco", 8), (b"stss", 4), (b"elst", 4), (b"elst", 12),
        ):  # fmt: skip
            found += [_patched(mp4, atom, offset, value)]
            if atom in (b"stsz", b"stsc", b"stts"):
                found += [_patched(raw, atom, offset, value)]
    # frames of one size, as many as a header may claim, in one piece
    for count in (10**6, 10**8, 2**31 - 1):
        many = _patched(_patched(raw, b"stsz", 4, 1), b"stsz", 8, count)
        found.append(_patched(_patched(many, b"stsc", 12, count), b"stts", 8, count))
    for width, height in ((0, 0), (1, 1), (16384, 16384), (65535, 65535)):
        found.append(_patched(_patched(mp4, b"avc1", 24, width, 2), b"avc1", 26, height, 2))
        found.append(_patched(_patched(raw, b"raw ", 24, width, 2), b"raw ", 26, height, 2))
    for cosine, sine in ((0, 2**16), (0, 2**32 - 2**16), (2**31, 5), (46341, 46341), (0, 0)):
        turned = mp4
        for offset, value in ((40, cosine), (44, sine), (52, (-sine) % 2**32), (56, cosine)):
            turned = _patched(turned, b"tkhd", offset, value)
        found.append(turned)
    # the two halves of different streams
    found += [_clips()[12] + _larger(), _clips()[4][:-200] + _clips()[4][200:]]
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n"
    found += [
        playlist,
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b"YUV4MPEG2 W32 H32 F0:0\n",
    ]
    found += [
        b"YUV4MPEG2 W99999 H99999 F1:1\nFRAME\n",
        b"DKIF\0\0\x20\0VP80" + struct.pack("<HH", 9, 9),
    ]
    return found


@cache
def _larger() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 2048, 2048, "yuv420p"
        for _ in range(2):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((2048, 2048, 3), np.uint8))))
        out.mux(stream.encode(None))
    return file.getvalue()


def _read(data: bytes, folder: Path) -> None:
    path = folder / "some.mp4"
    path.write_bytes(data)
    read_header(path)
    there = probe(path)
    assert there.frames > 0
    for frame in read_frames(path, evenly(there.frames, 4), max_pixels=2**20):
        assert frame.grey.size * 3 == frame.rgb.size <= 3 * 2**20


class _Middle:
    """Finds one face in whatever is shown."""

    name = "middle"

    def detect(self, image: Image) -> list[Detection]:
        """A face of the picture's size."""
        height, width = image.shape[:2]
        around = np.linspace(0, 6, 68)
        points = np.column_stack([np.cos(around), np.sin(around)]) * 0.4 + 0.5
        marks = (points * (width, height)).astype(np.float32)
        return [Detection(box=(0.0, 0.0, float(width), float(height)), score=1.0, landmarks=marks)]


def _extract(data: bytes, folder: Path) -> None:
    path = folder / "clips" / "some.mp4"
    path.parent.mkdir()
    path.write_bytes(data)
    extract(
        path.parent, folder / "bank", detector=_Middle(), min_face=1, crop_size=32, workers=1,
        frames_per_video=2, max_pixels=2**20,
    )  # fmt: skip


def _seeds() -> list[bytes]:
    return list(_clips()[:-1])  # of a bare stream no frame has a time


_ANY = st.deferred(lambda: st.sampled_from([*_lying(), _clips()[-1]]))

TARGETS = (
    Target(name="video", seeds=_seeds, read=_read, strategy=_ANY),
    Target(name="video-extract", seeds=_seeds, read=_extract, strategy=_ANY, share=0.2),
)
