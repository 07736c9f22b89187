"""Whatever lies in a folder of photographs gives a recorded, worded result and stops nothing."""

import io
import json
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceblend.bank import FaceBank
from faceblend.errors import BadImage
from faceblend.face import Image
from faceblend.ingest.extract import ExtractReport, extract
from faceblend.ingest.photograph import read_photograph


def collins() -> Image:
    from skimage.data import astronaut

    return np.asarray(astronaut())


def jpeg(image: Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def png(picture: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def sixteen_bit(image: Image) -> bytes:
    deep = image[..., ::-1].astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", deep)[1].tobytes())


def cmyk(image: Image) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).convert("CMYK").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def four_channels(image: Image) -> bytes:
    opaque = np.full(image.shape[:2], 255, np.uint8)
    return png(PIL.Image.fromarray(np.dstack([image, opaque])))


def turned(image: Image) -> bytes:
    """Stored lying on its side, with the EXIF tag that sets it upright."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return jpeg(np.rot90(image).copy(), exif=exif)


def bomb() -> bytes:
    """A PNG of 20,000 x 20,000 pixels in a few hundred kilobytes: 1.2 GB when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(60_001)) for _ in range(200)) + packed.flush()
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SOUND: dict[str, Callable[[Image], bytes]] = {
    "plain.png": lambda image: png(PIL.Image.fromarray(image)),
    "sixteen_bit.png": sixteen_bit,
    "cmyk.jpg": cmyk,
    "four_channels.png": four_channels,
    "turned.jpg": turned,
    "jpeg_named.png": jpeg,
}
BROKEN: dict[str, tuple[bytes, str, str]] = {
    "truncated.jpg": (jpeg(collins())[:30_000], "unreadable", "cut off"),
    "empty.jpg": (b"", "unreadable", "is empty (0 bytes)"),
    "text.png": (b"Dear diary,\n", "unreadable", "is not a JPEG, PNG"),
    "dot.png": (png(PIL.Image.new("RGB", (1, 1))), "no-face", "shows no face"),
    "bomb.png": (bomb(), "unreadable", "20000x20000, and 400,000,000 pixels are over"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExtractReport, dict[str, dict]]:
    """One extraction of everything, and its errors by file."""
    root = tmp_path_factory.mktemp("malformed")
    photographs = root / "photographs"
    photographs.mkdir()
    for name, write in SOUND.items():
        (photographs / name).write_bytes(write(collins()))
    for name, (data, _, _) in BROKEN.items():
        (photographs / name).write_bytes(data)
    (photographs / "folder.png").mkdir()
    (photographs / "nowhere.png").symlink_to(root / "nothing")
    os.mkfifo(photographs / "pipe.png")
    (photographs / os.fsdecode(b"caf\xe9.png")).write_bytes(SOUND["plain.png"](collins()))
    (photographs / "notes.txt").write_text("not a picture, and not named like one")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = extract(photographs, root / "bank", group="file", workers=1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 700, "MB: the model takes about 250, the bomb decoded would take 1,200"
    lines = (root / "bank" / "errors.jsonl").read_text().splitlines()
    return report, {entry["source"]: entry for entry in map(json.loads, lines)}


@pytest.mark.model
def test_the_job_goes_through_and_counts_everything(
    done: tuple[ExtractReport, dict[str, dict]],
) -> None:
    report, errors = done
    assert report.faces == len(SOUND)
    assert report.errors == {"no-face": 1, "unreadable": len(BROKEN) - 1 + 2}
    assert set(errors) == {*BROKEN, "nowhere.png", r"caf\xe9.png"}
    assert report.ignored == {".png": 1, ".txt": 1}


@pytest.mark.model
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_cannot_be_used_is_recorded_in_words(
    name: str, done: tuple[ExtractReport, dict[str, dict]]
) -> None:
    _, kind, words = BROKEN[name]
    entry = done[1][name]
    assert entry["kind"] == kind
    assert words in entry["reason"]


@pytest.mark.model
@pytest.mark.parametrize("name", sorted(SOUND))
def test_what_can_be_used_gives_the_face_of_the_plain_picture(
    name: str, done: tuple[ExtractReport, dict[str, dict]]
) -> None:
    bank = done[0].bank
    face, plain = (bank[row_of(bank, source)] for source in (name, "plain.png"))
    # two px of 317: JPEG moves the landmarks a little
    assert np.abs(face.landmarks - plain.landmarks).mean() < 2
    apart = face.image[60:280, 60:280].astype(int) - plain.image[60:280, 60:280]
    assert np.abs(apart.mean(axis=(0, 1))).max() < 3  # no channel is swapped, clipped or shifted
    assert np.abs(apart).mean() < 12


def row_of(bank: FaceBank, source: str) -> int:
    return int(bank.table["source"].to_pylist().index(source))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_stands_upright(orientation: int, tmp_path: Path) -> None:
    upright = collins()[:120, :200]
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(np.ascontiguousarray(stored), exif=exif, subsampling=0))
    read = read_photograph(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 4


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK", "I;16"])
def test_every_mode_comes_out_as_rgb(mode: str, tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    if mode == "I;16":
        picture = PIL.Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = PIL.Image.fromarray(np.dstack([grey] * 3)).convert(mode)
    path = tmp_path / f"picture.{'tif' if mode == 'CMYK' else 'png'}"
    picture.save(path)
    read = read_photograph(path)
    assert (read.dtype, read.shape) == (np.uint8, (64, 64, 3))
    tolerance = 256 if mode in ("1", "P") else 3  # dithered
    assert np.abs(read.astype(int) - grey[..., None]).max() < tolerance
    assert abs(read.mean() - grey.mean()) < 4


def test_what_is_transparent_lies_over_white(tmp_path: Path) -> None:
    PIL.Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_photograph(tmp_path / "clear.png") == 255).all()


def test_a_limit_on_pixels_is_told_with_the_way_round_it(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "large.png")
    with pytest.raises(BadImage, match=r"30x20, and 600 pixels .* give --max-pixels 600"):
        read_photograph(tmp_path / "large.png", max_pixels=599)
    assert read_photograph(tmp_path / "large.png", max_pixels=600).shape == (20, 30, 3)


SMALL = PIL.Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    SMALL.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_gives_anything_but_a_picture_or_words(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    whole = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
    path = tmp_path / "damaged"
    path.write_bytes(bytes(whole[:cut]) + data.draw(st.binary(max_size=8)))
    try:
        read = read_photograph(path, max_pixels=100_000)
    except BadImage:
        return  # the one error that is allowed
    assert read.dtype == np.uint8
    assert read.ndim == 3
