"""What to throw at the readers of pictures: photographs, crops, segments, PNG samples."""

import io
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
from hypothesis import strategies as st

from faceblend import codec
from faceblend.bank import FaceBank, FaceRow
from faceblend.errors import BadImage
from faceblend.ingest.photograph import read_photograph
from tests.fuzz.target import Target

SIDE = 24
"""Of the crops here, px."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LIMIT = 4_000_000  # pixels: memory has to follow the limit, and not what a file claims


def _drawn() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with the right length and CRC."""
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _head(width: int, height: int, bits: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)


def bombs() -> list[bytes]:
    """Small PNGs of huge or no pictures, and of rows that do not fit."""
    some = zlib.compress(bytes(100))
    rows = b"".join(b"\2" + bytes(3 * SIDE) for _ in range(SIDE))
    sizes = [(60000, 60000), (30000, 30000), (0, 0), (1, 2**31 - 1), (2**32 - 1,) * 2]
    found = [png((b"IHDR", _head(*one)), (b"IDAT", some), (b"IEND", b"")) for one in sizes]
    inflating = zlib.compress(bytes(20_000_000), 9)
    for data in (inflating, zlib.compress(rows[:-1]), zlib.compress(b"\5" + rows[1:]), b""):
        found.append(png((b"IHDR", _head(SIDE, SIDE)), (b"IDAT", data), (b"IEND", b"")))
    for bits, colour in ((1, 0), (16, 6), (8, 3)):
        head = (b"IHDR", _head(25000, 25000, bits, colour))
        found.append(png(head, (b"IDAT", inflating), (b"IEND", b"")))
    lying = found[0][:33] + struct.pack(">I", 2**32 - 1) + b"IDAT" + some
    text = zlib.compress(bytes(50_000_000), 9)
    for kind in (b"zTXt", b"iCCP"):
        hidden = (kind, b"a\0\0" + text)
        found.append(
            png(
                (b"IHDR", _head(2, 2)), hidden, (b"IDAT", zlib.compress(bytes(14))), (b"IEND", b"")
            )
        )
    return [*found, lying, _PNG, b""]


def photographs() -> list[bytes]:
    """A small picture in every format and kind of pixels that is read."""
    picture = PIL.Image.fromarray(_drawn())
    turned = picture.getexif()
    turned[0x0112] = 6
    clear = picture.convert("RGBA")
    clear.putalpha(100)
    deep = PIL.Image.fromarray(_drawn()[..., 0].astype(np.uint16) * 257)
    kinds: list[tuple[PIL.Image.Image, str, dict[str, object]]] = [
        (picture, "JPEG", {"exif": turned, "icc_profile": b"no profile"}),
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture.convert("L"), "JPEG", {}),
        (picture, "PNG", {"exif": turned, "icc_profile": bytes(128)}),
        (picture.quantize(9), "PNG", {"transparency": 1}),
        (picture.convert("1"), "PNG", {}),
        (clear, "PNG", {}),
        (deep, "PNG", {}),
        (picture, "PNG", {"save_all": True, "append_images": [clear.convert("RGB")]}),
        (picture, "WEBP", {"exif": turned}),
        (clear, "WEBP", {"lossless": True}),
        (picture, "WEBP", {"save_all": True, "append_images": [clear.convert("RGB")]}),
        (picture, "BMP", {}),
        (picture.quantize(9), "BMP", {}),
        (deep, "TIFF", {}),
        *(
            (picture, "TIFF", {"compression": how})
            for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        (picture.convert("1"), "TIFF", {"compression": "group4"}),
        (picture.convert("CMYK"), "TIFF", {}),
    ]
    found = []
    for one, kind, options in kinds:
        file = io.BytesIO()
        one.save(file, kind, **options)  # type: ignore[arg-type]
        found.append(file.getvalue())
    return found


def _crops() -> list[bytes]:
    found = [codec.encode(_drawn(), kind) for kind in ("png", "jpg")]
    rows = _drawn().reshape(SIDE, 3 * SIDE)
    for kind in (1, 2, 3, 4):
        packed = zlib.compress(b"".join(bytes([kind]) + row.tobytes() for row in rows))
        parts = [(b"IDAT", packed[:50]), (b"IDAT", packed[50:])]
        found.append(png((b"IHDR", _head(SIDE, SIDE)), *parts, (b"IEND", b"")))
    return found


def _row(crop: str) -> FaceRow:
    points = np.random.default_rng(0).uniform(0, SIDE, 136).tolist()
    return FaceRow(
        video="v", frame=0, crop=crop, source="v", box=[0.0, 0.0, 9.0, 9.0], score=1.0,
        landmarks=points, crop_to_frame=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip


def _bank(folder: Path, crop: str) -> FaceBank:
    # without a CRC, which nothing that was changed would come past
    return FaceBank.in_place(folder, [_row(crop)], crop_size=SIDE)


def _decoded() -> list[bytes]:
    # OpenCV does not read all that Pillow does
    return [one for one in photographs() if codec.decode(one, SIDE) is not None]


def _read_photograph(data: bytes, folder: Path) -> None:
    path = folder / "some.jpg"
    path.write_bytes(data)
    assert read_photograph(path, max_pixels=_LIMIT).shape[2] == 3


def _read_crop(data: bytes, folder: Path, name: str) -> None:
    (folder / name).write_bytes(data)
    assert _bank(folder, name).read_crop(0).shape == (SIDE, SIDE, 3)


def _read_segment(data: bytes, folder: Path) -> None:
    (folder / "segments").mkdir()
    (folder / "segments" / "some.png").write_bytes(data)
    assert _bank(folder, "some.png").segment(0).shape == (SIDE, SIDE)


def _decode(data: bytes, folder: Path) -> None:
    if codec.decode(data, SIDE) is None:
        raise BadImage(folder, "is no picture", "nothing")
    codec.decode_mask(data)


def _segments() -> list[bytes]:
    return [*_crops(), codec.encode(_drawn() // 128, "png")]


_CHUNKS = st.tuples(
    st.sampled_from(
        [
            *(b"IDAT", b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"fcTL"),
            *(b"fdAT", b"sBIT", b"cHRM", b"IEND", b"IHDR", b"oFFs"),
        ]
    ),
    st.binary(max_size=60)
    | st.binary(max_size=300).map(zlib.compress)
    | st.binary(min_size=1, max_size=80).map(lambda part: zlib.compress(part * 60)),
)
_SIZES = st.sampled_from([0, 1, SIDE, SIDE, SIDE, 40000, 2**31 - 1]) | st.integers(0, 70)
_HEADS = st.builds(
    _head,
    _SIZES,
    _SIZES,
    st.sampled_from([0, 1, 2, 4, 8, 8, 8, 16]),
    st.sampled_from([0, 2, 2, 2, 3, 4, 6, 7]),
    st.integers(0, 2),
)
CHUNKED = st.builds(
    lambda head, chunks: png((b"IHDR", head), *chunks, (b"IEND", b"")),
    _HEADS,
    st.lists(_CHUNKS, max_size=5),
)
"""PNGs of any chunks, each whole by its CRC."""

HOSTILE = CHUNKED | st.deferred(lambda: st.sampled_from(bombs()))

TARGETS = (
    Target(name="photograph", seeds=photographs, read=_read_photograph, strategy=HOSTILE),
    Target(
        name="png-crop",
        seeds=_crops,
        read=partial(_read_crop, name="some.png"),
        strategy=HOSTILE,
    ),
    Target(
        name="jpeg-crop",
        seeds=lambda: _crops()[1:2] + photographs()[:4],
        read=partial(_read_crop, name="some.jpg"),
    ),
    Target(name="codec", seeds=_decoded, read=_decode, strategy=HOSTILE),
    Target(name="segment", seeds=_segments, read=_read_segment, strategy=HOSTILE),
)
