"""Any picture file comes out as people see it, or as words that say why not."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.BmpImagePlugin
import PIL.Image
import PIL.ImageFile
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from faceblend.errors import BadArgument, BadImage
from faceblend.face import Image
from faceblend.ingest.photograph import list_photographs, read_photograph

PIXELS: Image = np.random.default_rng(5).integers(0, 256, (24, 16, 3), dtype=np.uint8)
PICTURE = PIL.Image.fromarray(PIXELS)
ORIENTATION = 0x0112

not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)


def encoded(kind: str, picture: PIL.Image.Image = PICTURE, **options: object) -> bytes:
    if kind == "WEBP":
        options.setdefault("lossless", True)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes, max_pixels: int = 10**6) -> Image:
    """As a program reads it whose warnings are not errors."""
    path = tmp_path / "picture"
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image = read_photograph(path, max_pixels)
    # Pillow's words on damaged metadata; no overflow and no limit of its own
    assert {warning.category for warning in said} <= {UserWarning}
    return image


# -- the files of a folder ---------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"123")


def test_photographs_are_found_at_any_depth_in_one_order_and_the_rest_is_counted(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "b.JPG", "a/z.png", "a/b/c.tiff", "A.webp", "notes.txt", "a/Thumbs", "x.TXT")
    listing = list_photographs(tmp_path)
    assert [one.source for one in listing.photographs] == [
        "A.webp", "a/b/c.tiff", "a/z.png", "b.JPG"
    ]  # fmt: skip
    assert listing.ignored == {"": 1, ".txt": 2}
    assert listing.unreachable == ()


def test_size_and_time_tell_that_a_photograph_has_changed(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.utime(tmp_path / "a.png", ns=(5, 7_000_000_001))
    (photograph,) = list_photographs(tmp_path).photographs
    assert (photograph.size, photograph.mtime_ns) == (3, 7_000_000_001)


def test_hidden_files_and_the_folder_that_is_written_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "._a.png", ".png", "bank/crops/a/000000_0.png", "bank2/a.png")
    listing = list_photographs(tmp_path, leave_out=tmp_path / "x" / ".." / "bank")
    assert [one.source for one in listing.photographs] == ["a.png", "bank2/a.png"]


def test_what_is_named_like_a_photograph_and_is_no_file_blocks_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "folder.png/b.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "round.png").symlink_to("round.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "folder.png")
    listing = list_photographs(tmp_path)
    assert [one.source for one in listing.photographs] == ["a.png", "folder.png/b.png", "link.png"]
    assert listing.ignored == {".png": 1}
    told = dict(listing.unreachable)
    assert told["nowhere.png"] == "cannot be read (No such file or directory)"
    assert told["round.png"].startswith("cannot be read (Too many levels of symbolic links")


@pytest.mark.parametrize("folder", ["", "é"])
def test_names_that_are_no_text_are_told_in_text(folder: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.png", os.path.join(folder, os.fsdecode(b"caf\xe9.png")))  # noqa: PTH118
    (told,) = list_photographs(tmp_path).unreachable
    assert told == ((Path(folder) / r"caf\xe9.png").as_posix(), "its name is not UTF-8; rename it")
    assert told[0].encode()


@not_root
def test_a_folder_that_may_not_be_listed_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "locked/b.png")
    (tmp_path / "locked").chmod(0)
    try:
        listing = list_photographs(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert [one.source for one in listing.photographs] == ["a.png"]
    assert listing.unreachable == (("locked", "cannot be listed (Permission denied)"),)


def test_a_folder_without_photographs_is_refused_with_what_they_end_in(tmp_path: Path) -> None:
    touch(tmp_path, "other/a.txt", "other/b.gif")
    with pytest.raises(BadArgument, match=r"no photograph among its 2 files; .* in \.jpg, \.jpeg"):
        list_photographs(tmp_path / "other")
    with pytest.raises(BadArgument, match="is a file; give a folder of photographs"):
        list_photographs(tmp_path / "other" / "a.txt")
    with pytest.raises(BadArgument, match="is not there; give a folder of photographs"):
        list_photographs(tmp_path / "nowhere")


# -- colours -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_a_lossless_file_gives_the_same_pixels_in_rgb_whatever_its_name(
    kind: str, tmp_path: Path
) -> None:
    assert np.array_equal(read(tmp_path, encoded(kind)), PIXELS)


@pytest.mark.parametrize("order", ["little", "big"])
def test_sixteen_bits_of_grey_are_scaled_and_rounded(order: str, tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    deep[-1, -1] = 65535
    expected = np.rint(deep / 257)
    png = read(tmp_path, encoded("PNG", PIL.Image.fromarray(deep)))
    mode = "I;16" if order == "little" else "I;16B"
    stored = deep.astype("<u2" if order == "little" else ">u2")
    tiff = read(
        tmp_path, encoded("TIFF", PIL.Image.frombytes(mode, deep.shape[::-1], stored.tobytes()))
    )
    for image in (png, tiff):
        assert np.array_equal(image, np.dstack([expected] * 3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_colour_are_right_to_one_level(suffix: str, tmp_path: Path) -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    data = bytes(cv2.imencode(suffix, deep[..., ::-1].copy())[1].tobytes())
    apart = read(tmp_path, data).astype(int) - np.rint(deep / 257)
    assert np.abs(apart).max() <= 1
    assert abs(apart.mean()) < 0.05


def test_half_of_a_colour_over_white_is_half_way(tmp_path: Path) -> None:
    clear = PIL.Image.new("RGBA", (4, 4), (200, 0, 100, 128))
    for kind in ("PNG", "WEBP", "TIFF"):
        pixel = read(tmp_path, encoded(kind, clear, exact=True))[0, 0].astype(int)
        assert np.abs(pixel - np.array([227, 127, 177])).max() <= 1
    grey = PIL.Image.new("LA", (4, 4), (100, 128))
    assert np.abs(read(tmp_path, encoded("PNG", grey))[0, 0].astype(int) - 177).max() <= 1


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("L", 7), ("P", 3), ("RGB", (7, 8, 9))])
def test_a_colour_that_is_declared_transparent_is_white(
    mode: str, colour: int | tuple[int, ...], tmp_path: Path
) -> None:
    picture = PIL.Image.new(mode, (6, 4), 0)
    if mode == "P":
        picture.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 250, 0, 0])
    picture.paste(colour, (0, 0, 3, 4))
    image = read(tmp_path, encoded("PNG", picture, transparency=colour))
    assert (image[:, :3] == 255).all()
    assert (image[:, 3:] == 0).all()


def test_black_and_white_and_palettes_are_exact(tmp_path: Path) -> None:
    bits = PIL.Image.fromarray(PIXELS[..., 0] > 127)
    expected = np.dstack([(PIXELS[..., 0] > 127) * np.uint8(255)] * 3)
    assert bits.mode == "1"
    for kind in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(read(tmp_path, encoded(kind, bits)), expected)
    few = PICTURE.quantize(16)
    assert np.array_equal(read(tmp_path, encoded("PNG", few)), np.asarray(few.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_comes_out_as_light(kind: str, tmp_path: Path) -> None:
    flat = PIL.Image.new("RGB", (16, 16), (220, 40, 90))
    options = {"quality": 100} if kind == "JPEG" else {}
    image = read(tmp_path, encoded(kind, flat.convert("CMYK"), **options))
    assert np.abs(image.astype(int) - np.array([220, 40, 90])).max() <= 3


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_samples_of_no_known_range_are_refused_and_not_clipped(
    dtype: type, tmp_path: Path
) -> None:
    data = encoded("TIFF", PIL.Image.fromarray(PIXELS[..., 0].astype(dtype)))
    with pytest.raises(BadImage, match="holds 32-bit samples of no known range; save it with 8"):
        read(tmp_path, data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_counts(kind: str, tmp_path: Path) -> None:
    data = encoded(kind, save_all=True, append_images=[PICTURE.rotate(180)])
    assert len(data) > len(encoded(kind))
    assert np.array_equal(read(tmp_path, data), PIXELS)


# -- which way is up ---------------------------------------------------------------------

STORED: dict[
    int, Callable[[np.ndarray], np.ndarray]
] = {  # how the picture lies in the file when its EXIF data hold this number
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_the_orientation_is_applied_once_and_exactly(
    orientation: int, kind: str, tmp_path: Path
) -> None:
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation](PIXELS))
    data = encoded(kind, PIL.Image.fromarray(stored), exif=exif)
    assert np.array_equal(read(tmp_path, data), PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation: int, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    assert np.array_equal(read(tmp_path, encoded("PNG", exif=exif)), PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0not a header",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\xff\xff\xff\xff\xf0",
    ],
    ids=["no-header", "beyond-the-end", "too-many-entries", "too-long-a-value"],
)
def test_damaged_exif_data_change_nothing(exif: bytes, kind: str, tmp_path: Path) -> None:
    plain, damaged = encoded(kind), encoded(kind, exif=exif)
    assert damaged != plain
    assert np.array_equal(read(tmp_path, damaged), read(tmp_path, plain))


# -- what is refused ---------------------------------------------------------------------


def forged(kind: str, side: int) -> bytes:
    """A small file whose header claims a square of ``side`` px."""
    data = bytearray(encoded(kind))
    if kind == "PNG":
        header = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
        data[12:33] = header + struct.pack(">I", zlib.crc32(header))
    elif kind == "JPEG":
        start = data.find(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "WEBP":
        start = data.find(b"VP8L") + 9
        data[start : start + 4] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    else:
        table = struct.unpack("<I", data[4:8])[0]
        for entry in range(table + 2, table + 2 + 12 * data[table], 12):
            if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = 13_000 if kind == "WEBP" else 20_000  # a WebP has 14 bits for it

    def load(_: object) -> None:
        pytest.exit("it was decoded")

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", load)
    with pytest.raises(BadImage) as caught:
        read(tmp_path, forged(kind, side), max_pixels=128_000_000)
    assert f"is {side}x{side}, and {side * side:,} pixels are over" in str(caught.value)
    assert f"give --max-pixels {side * side} if" in str(caught.value)


# no JPEG: libjpeg fills with grey what an end mark leaves out, and nobody tells
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_a_header_that_claims_more_than_the_file_holds_is_damage(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(BadImage, match=r"is damaged or cut off \(.+\); replace the file"):
        read(tmp_path, forged(kind, 500))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_off_anywhere_is_refused_and_never_half_a_picture(
    kind: str, tmp_path: Path
) -> None:
    whole = encoded(kind, PICTURE.crop((0, 0, 9, 7)))
    expected = read(tmp_path, whole)
    refused = 0
    for length in range(len(whole)):
        try:
            image = read(tmp_path, whole[:length])
        except BadImage:
            refused += 1
        else:
            assert np.array_equal(image, expected), f"{length} of {len(whole)} bytes"
    assert refused > 0.9 * len(whole)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "is empty \\(0 bytes\\)"),
        (b"Dear diary", "is not a JPEG, PNG, WebP, BMP or TIFF picture, whatever its name"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "is not a JPEG, PNG, WebP, BMP or TIFF"),
        (b"\xff\xd8\xff", "is damaged or cut off"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(data: bytes, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=f"^{tmp_path}/picture: {wrong}.*; "):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("first\nsecond"), "first"),
        (IndexError(), "IndexError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_a_decoder_raises_is_told_in_one_line(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise error

    monkeypatch.setattr(PIL.BmpImagePlugin.BmpImageFile, "load", load)
    with pytest.raises(BadImage) as caught:
        read(tmp_path, encoded("BMP"))
    assert caught.value.reason == f"is damaged or cut off ({words})"


def test_a_file_that_is_gone_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"cannot be read \(No such file or directory\); check"):
        read_photograph(tmp_path / "nowhere.png")
    with pytest.raises(BadImage, match=r"cannot be read \(Is a directory\)"):
        read_photograph(tmp_path)


@not_root
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "locked.png")
    (tmp_path / "locked.png").chmod(0)
    with pytest.raises(BadImage, match=r"cannot be read \(Permission denied\); check the file"):
        read_photograph(tmp_path / "locked.png")


# -- any bytes at all --------------------------------------------------------------------

MAGIC = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"]
EXIF = PIL.Image.Exif()
EXIF[ORIENTATION] = 6
EXIF[0x010F] = "a camera of some make"
SOUND = {
    "JPEG": encoded("JPEG", exif=EXIF),
    "progressive JPEG": encoded("JPEG", progressive=True, exif=EXIF),
    "PNG": encoded("PNG", exif=EXIF),
    "PNG with a palette": encoded("PNG", PICTURE.quantize(8), transparency=2),
    "deep PNG": encoded("PNG", PIL.Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)),
    "WebP": encoded("WEBP", exif=EXIF),
    "moving WebP": encoded("WEBP", save_all=True, append_images=[PICTURE.rotate(180)]),
    "BMP": encoded("BMP"),
    "TIFF": encoded("TIFF", exif=EXIF),
    "packed TIFF": encoded("TIFF", compression="tiff_lzw"),
    "TIFF of JPEG": encoded("TIFF", compression="jpeg"),
    "JPEG of ink": encoded("JPEG", PICTURE.convert("CMYK")),
}
FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def check_picture_or_words(tmp_path: Path, data: bytes) -> None:
    try:
        image = read(tmp_path, data, max_pixels=100_000)
    except BadImage as error:
        words = error  # the one error that is allowed
    else:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        assert 0 < image.size <= 300_000
        return
    assert words.where == str(tmp_path / "picture")
    assert all(words.args)
    assert "\n" not in str(words)


@FUZZ
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=200))
@example(magic=b"BM", rest=b"")
def test_random_bytes_behind_a_known_beginning_give_a_picture_or_words(
    magic: bytes, rest: bytes, tmp_path: Path
) -> None:
    check_picture_or_words(tmp_path, magic + rest)


@pytest.mark.parametrize("name", sorted(SOUND))
@FUZZ
@given(data=st.data())
def test_flipped_bits_and_lost_ends_give_a_picture_or_words(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    damaged = bytearray(SOUND[name])
    # most of what matters stands at either end
    places = st.one_of(
        st.integers(0, 200), st.integers(-200, -1), st.integers(0, len(damaged) - 1)
    )
    for place in data.draw(st.lists(places, max_size=6)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    check_picture_or_words(tmp_path, bytes(damaged[:end]))
