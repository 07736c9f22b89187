"""A crop as a file's bytes: the pixels of OpenCV's decoder, whatever the file."""

import struct
import zlib
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceblend import codec
from faceblend.face import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDES = st.integers(1, 70)
SEEDS = st.integers(0, 2**32 - 1)


def picture(side: int, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return np.asarray(cv2.blur(noise, (3, 3)))


def by_opencv(data: bytes) -> Image | None:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if found is None else np.asarray(found)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(SIGNATURE)
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        found.append((kind, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    data = SIGNATURE
    for kind, content in parts:
        checksum = zlib.crc32(kind + content)
        data += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return data


def filtered(image: Image, filters: list[int]) -> bytes:
    """A PNG, each row by the filter that is told: 0 none, 1 left, 2 above, 3 both, 4 Paeth."""
    side = len(image)
    rows = np.zeros((side + 1, 3 * side + 3), np.int32)  # a row above and a pixel before, black
    rows[1:, 3:] = image.reshape(side, -1)
    coded = b""
    for number, (above, row) in enumerate(pairwise(rows)):
        a, b, c = row[:-3], above[3:], above[:-3]
        guess = a + b - c
        apart = np.abs(np.stack([guess - a, guess - b, guess - c]))
        paeth = np.choose(apart.argmin(axis=0), [a, b, c])
        less = [0, a, b, (a + b) // 2, paeth][filters[number]]
        coded += bytes([filters[number]]) + ((row[3:] - less) & 255).astype(np.uint8).tobytes()
    size = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compress(coded)
    half = len(packed) // 2
    parts = [(b"IHDR", size), (b"IDAT", packed[:half]), (b"IDAT", packed[half:]), (b"IEND", b"")]
    return joined(parts)


@given(SIDES, SEEDS)
def test_png_keeps_every_value(side: int, seed: int) -> None:
    image = picture(side, seed)
    data = codec.encode(image, "png")
    np.testing.assert_array_equal(codec.decode(data, side), image)
    np.testing.assert_array_equal(by_opencv(data), image)


@given(SIDES, st.data())
def test_any_filters_give_opencvs_pixels(side: int, data: st.DataObject) -> None:
    one = st.integers(0, 4)
    rows = st.lists(one, min_size=side, max_size=side) | one.map(lambda kind: [kind] * side)
    coded = filtered(picture(side), data.draw(rows))
    np.testing.assert_array_equal(codec.decode(coded, side), picture(side))
    np.testing.assert_array_equal(by_opencv(coded), picture(side))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("opencvs_own", [True, False])
def test_a_picture_of_another_size_is_decoded_too(kind: str, opencvs_own: bool) -> None:
    image = picture(40)[:30]
    data = codec.encode(image, kind)
    if opencvs_own:
        data = cv2.imencode(f".{kind}", image)[1].tobytes()
    np.testing.assert_array_equal(codec.decode(data, 40), by_opencv(data))


def test_our_png_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    data = [codec.encode(picture(40), "png"), cv2.imencode(".png", picture(40))[1].tobytes()]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded by OpenCV"))
    np.testing.assert_array_equal(codec.decode(data[0], 40), picture(40))
    np.testing.assert_array_equal(codec.decode(data[1], 40), picture(40)[..., ::-1])


def test_jpeg_is_quality_95_in_full_colour() -> None:
    image = np.asarray(cv2.GaussianBlur(picture(64), (9, 9), 2))
    data = codec.encode(image, "jpg")
    frame = data.index(b"\xff\xc0")
    assert [data[frame + 11 + 3 * one] for one in range(3)] == [0x11] * 3  # no chroma is halved
    found = codec.decode(data, 64)
    assert found is not None
    assert np.abs(found.astype(int) - image).mean() < 1


@pytest.mark.parametrize("kind", ["gray", "16 bits", "alpha", "palette"])
def test_other_pngs_are_opencvs_to_read(kind: str) -> None:
    image = picture(40)
    if kind == "palette":
        colours = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
        size = struct.pack(">II5B", 40, 40, 8, 3, 0, 0, 0)
        rows = np.zeros((40, 41), np.uint8)
        rows[:, 1:] = image[..., 0]
        packed = zlib.compress(rows.tobytes())
        parts = [(b"IHDR", size), (b"PLTE", colours.tobytes()), (b"IDAT", packed), (b"IEND", b"")]
        data = joined(parts)
        np.testing.assert_array_equal(codec.decode(data, 40), colours[image[..., 0]])
    else:
        other = {
            "gray": image[..., 0],
            "16 bits": image.astype(np.uint16) * 257,
            "alpha": cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        }[kind]
        data = cv2.imencode(".png", other)[1].tobytes()
        np.testing.assert_array_equal(codec.decode(data, 40), by_opencv(data))


def test_an_orientation_is_followed_as_opencv_does() -> None:
    head, *rest = chunks(codec.encode(picture(40), "png"))
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turn it right
    data = joined([head, (b"eXIf", exif), *rest])
    np.testing.assert_array_equal(codec.decode(data, 40), by_opencv(data))


@given(st.data())
def test_a_damaged_png_never_gives_other_pixels(data: st.DataObject) -> None:
    image = picture(24)
    whole = bytearray(codec.encode(image, "png"))
    place = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["cut", "flip"]))
    damaged = bytes(whole[:place])
    if how == "flip":
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
        damaged = bytes(whole)
    found = codec.decode(damaged, 24)
    theirs = by_opencv(damaged) if damaged else None
    if theirs is None:
        assert found is None or np.array_equal(found, image)
    else:
        assert found is not None
        assert np.array_equal(found, image) or np.array_equal(found, theirs)


def test_what_ends_early_is_told() -> None:
    for kind in ("png", "jpg"):
        data = codec.encode(picture(40), kind)
        assert not codec.cut_short(data)
        assert codec.cut_short(data[: len(data) * 2 // 3])
    assert not codec.cut_short(b"")


def test_no_picture_is_none() -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"face", b"\xff\xd8\xff"):
        assert codec.decode(data, 40) is None
