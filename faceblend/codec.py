"""The bytes of a crop's file.

Pixels are those of OpenCV's decoder, always. An RGB PNG with one filter for all rows, as
:func:`encode` and OpenCV write it, is read in a third to a half of the time: libdeflate
inflates it, and NumPy undoes the filter.
"""

import io
import struct
from math import isqrt

import cv2
import deflate
import numpy as np
from jaxtyping import UInt8
from PIL.TiffImagePlugin import TiffImageFile

from faceblend.face import Image, Mask

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")  # length and kind
_RGB = (8, 2, 0, 0, 0)  # bits a value, colour type, compression, filters, no interlacing
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers that tell a size
_SCAN = 0xDA
_SUB, _UP = 1, 2  # of PNG's filters, the two that NumPy undoes in whole columns or rows


MAX_SIDE = 16_384
"""px; of the largest crop or sample that is taken, 805 MB of pixels."""

# one filter for all rows: as small as the best of five a row, read in a third of the time;
# more compression makes it 6% smaller in twice the time
LOSSLESS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
"""How OpenCV writes PNGs here."""

_HOW = {
    "png": LOSSLESS,
    "jpg": [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ],
}


def encode(image: Image, kind: str) -> bytes:
    """Code a crop.

    Args:
        image: (H, W, 3) uint8 RGB.
        kind: ``png``, lossless; or ``jpg``, quality 95 in 4:4:4.

    Returns:
        The file's bytes.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(f".{kind}", bgr, _HOW[kind])
    if not done:
        raise RuntimeError(f"OpenCV could not code a picture of shape {image.shape} as {kind}")
    return bytes(data.tobytes())


def size(data: bytes) -> tuple[int, int] | None:
    """What the header of a JPEG, PNG, WebP, BMP or TIFF file says, at no cost.

    Args:
        data: a file's bytes.

    Returns:
        Width and height, px; None where it is no such file, or its header is damaged.
    """
    try:
        if data.startswith(_PNG):
            return _pair(">II", data, 16)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data.startswith(b"BM"):
            old = data[14:18] == b"\x0c\0\0\0"
            width, height = _pair("<HH", data, 18) if old else _pair("<ii", data, 18)
            return abs(width), abs(height)
        if data.startswith((b"II*\0", b"MM\0*")):
            width, height = TiffImageFile(io.BytesIO(data)).size
            return width, height
    except Exception:  # damaged headers raise nearly anything
        return None
    return None


def _pair(layout: str, data: bytes, place: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, data, place)
    return first, second


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while True:
        place = data.index(b"\xff", place)
        while data[place] == 0xFF:
            place += 1
        kind = data[place]
        if kind in _FRAMES:
            height, width = _pair(">HH", data, place + 4)
            return width, height
        if kind == _SCAN:
            return None
        # these have no length
        alone = kind in (0, 1) or 0xD0 <= kind <= 0xD9
        place += 1 if alone else 1 + int.from_bytes(data[place + 1 : place + 3], "big")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _pair("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def decode(data: bytes, side: int) -> Image | None:
    """Decode a picture.

    Args:
        data: a file's bytes.
        side: of a crop, px: what a picture should have; one of another size is decoded too.

    Returns:
        (H, W, 3) uint8 RGB; None where it is no picture.
    """
    picture = _plain_png(data, side)
    return decode_as(data, cv2.IMREAD_COLOR_RGB) if picture is None else picture


def decode_mask(data: bytes) -> Mask | None:
    """Decode a mask, 8 or 16 bits, grey or coloured; opacity does not count.

    Args:
        data: a file's bytes.

    Returns:
        (H, W) bool, true where any channel is not zero; None where it is no picture.
    """
    # as coloured, since grey would round a dark colour down to zero
    how = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    picture = decode_as(data, how)
    return None if picture is None else np.asarray(picture.any(axis=2))


def decode_as(data: bytes, how: int) -> np.ndarray | None:
    """Decode a picture in one of OpenCV's modes.

    Args:
        data: a file's bytes.
        how: ``cv2.IMREAD_...``

    Returns:
        What OpenCV makes of it; None where it is no JPEG, PNG, WebP, BMP or TIFF, damaged, or
        claims more pixels than ``MAX_SIDE`` squared.
    """
    width, height = size(data) or (0, 0)
    # OpenCV makes room for what a head claims before it looks at the rest
    if not 0 < width * height <= MAX_SIDE**2 or not _holds_its_chunks(data):
        return None
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:  # instead of None, where it refuses a size or a kind of pixels
        return None
    return None if picture is None else np.asarray(picture)


def cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its picture does.

    OpenCV paints the missing part grey and says nothing.
    """
    if data[:2] == b"\xff\xd8":
        # an embedded thumbnail ends before the picture's own scan begins
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(_PNG) and b"IEND" not in data[-64:]


def _holds_its_chunks(data: bytes) -> bool:
    # OpenCV makes room for as many bytes as a PNG's chunk claims, 4 GB at most, too
    if not data.startswith(_PNG):
        return True
    place = len(_PNG)
    while place + 8 <= len(data):
        length, kind = _CHUNK.unpack_from(data, place)
        place += 12 + length
        if kind == b"IEND":
            break
    return place <= len(data)


def _plain_png(data: bytes, side: int) -> Image | None:
    """The picture of such a PNG; None of anything else, which is OpenCV's to read or refuse."""
    packed = _packed(data, side)
    if packed is None:
        return None
    try:
        plain = deflate.zlib_decompress(packed, side * (3 * side + 1))  # compares its checksum
    except deflate.DeflateError:
        return None
    if len(plain) < side * (3 * side + 1):
        return None
    rows = np.frombuffer(plain, np.uint8).reshape(side, 3 * side + 1)
    if (rows[:, 0] == _UP).all():
        _sum_rows(rows)
        return np.ascontiguousarray(rows[:, 1:]).reshape(side, side, 3)
    if (rows[:, 0] == _SUB).all():
        return np.cumsum(rows[:, 1:].reshape(side, side, 3), axis=1, dtype=np.uint8)
    return None


def _packed(data: bytes, side: int) -> bytes | None:
    """The compressed pixels of a plain RGB picture; None where anything else is in the file."""
    start = _PNG + _CHUNK.pack(13, b"IHDR") + struct.pack(">II5B", side, side, *_RGB)
    if not data.startswith(start):
        return None
    parts: list[bytes] = []
    place = len(start) + 4  # its checksum
    while place + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, place)
        if kind == b"IEND":
            return b"".join(parts)
        if kind != b"IDAT":  # such as an orientation, which OpenCV would follow
            return None
        parts.append(data[place + 8 : place + 8 + length])
        place += 12 + length
    return None


def _sum_rows(rows: UInt8[np.ndarray, "height row_bytes"]) -> None:
    # each row is stored less the one above: added up in place, many rows at a time
    height = len(rows)
    each = isqrt(height)
    whole = height // each * each
    blocks = rows[:whole].reshape(-1, each, rows.shape[1])
    for row in range(1, each):
        blocks[:, row] += blocks[:, row - 1]
    for block in range(1, len(blocks)):
        blocks[block] += blocks[block - 1, -1]
    for row in range(whole, height):
        rows[row] += rows[row - 1]
