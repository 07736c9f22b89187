"""What claims to be huge is refused by its header, in words, before memory is taken for it."""

import json
import struct
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from faceblend import codec, plainyaml
from faceblend.bank import FaceBank
from faceblend.cli import main
from faceblend.errors import BadArgument, BadBank, BadImage, BadRecipe, BadShard, BadVideo
from faceblend.ingest import video
from faceblend.ingest.photograph import MAX_PIXELS, OVERRIDE, most_pixels, read_photograph
from faceblend.ingest.video import probe, read_frames, read_header
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet, Manifest
from faceblend.store.folder import FolderShard
from tests.conftest import make_bank
from tests.ingest.test_photograph import forged
from tests.ingest.test_video import write

KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test in which OpenCV is asked to decode."""

    def decode(*_: object) -> None:
        pytest.fail("it was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("shape", [(40, 30, 3), (1, 257), (33, 1, 3)])
def test_a_header_says_what_is_decoded(suffix: str, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    for options in ([], [cv2.IMWRITE_WEBP_QUALITY, 101], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        data = cv2.imencode(suffix, picture, options)[1].tobytes()
        assert codec.size(data) == shape[1::-1]


def test_a_header_behind_a_thumbnail_is_found() -> None:
    """An application's part of a JPEG is stepped over with all that is in it."""
    data = cv2.imencode(".jpg", np.zeros((40, 30, 3), np.uint8))[1].tobytes()
    inner = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    part = b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner
    assert codec.size(data[:2] + part + b"\xff\xff" + data[3:]) == (30, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_is_cut_off_says_nothing(kind: str) -> None:
    data = forged(kind, 1000)
    assert codec.size(data) == (1000, 1000)
    for length in (0, 1, 3, 9, 13, 17):
        assert codec.size(data[:length]) is None


@pytest.mark.parametrize("side", [60_000, 318, 16_000])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("undecoded")
def test_a_crop_that_claims_another_size_is_not_decoded(
    kind: str, side: int, tmp_path: Path
) -> None:
    if kind == "WEBP":
        side = min(side, 16_000)  # a WebP has 14 bits for it
    bank = uncounted(tmp_path)
    (tmp_path / bank.crop(0)).write_bytes(forged(kind, side))
    with pytest.raises(BadImage, match=f"is {side}x{side} where this bank's crops are 317x317"):
        bank.image(0)
    segment = tmp_path / "segments" / "v0" / "000000_0.png"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(forged(kind, side))
    with pytest.raises(BadImage, match=f"is {side}x{side} where its crop is 317x317"):
        bank.segment(0)


def uncounted(root: Path) -> FaceBank:
    """A bank of one face that keeps no CRC, so that its crop is looked at."""
    made = make_bank(root, videos=1, frames=1)
    points = root / "points.json"
    made.to_landmarks_json(points)
    return FaceBank.from_landmarks_json(points, root)


def test_a_bank_of_crops_over_the_limit_is_not_opened(tmp_path: Path) -> None:
    make_bank(tmp_path, videos=1, frames=1)
    told = json.loads((tmp_path / "bank.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps({**told, "crop_size": 60_000}))
    with pytest.raises(BadBank, match="crops of 60,000 px, over the limit of 16,384"):
        FaceBank.open(tmp_path)


def test_a_table_of_more_faces_than_the_bank_counts_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bank(tmp_path, videos=2, frames=1)
    told = json.loads((tmp_path / "bank.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps({**told, "faces": 1}))
    monkeypatch.setattr(pq, "read_table", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(BadBank, match=r"faces\.parquet: holds 2 faces where bank\.json counts 1"):
        FaceBank.open(tmp_path)


@pytest.mark.usefixtures("undecoded")
def test_the_first_picture_of_a_landmark_file_is_not_decoded_if_it_claims_too_much(
    tmp_path: Path,
) -> None:
    (tmp_path / "0.png").write_bytes(forged("PNG", 60_000))
    (tmp_path / "points.json").write_text(json.dumps({"0.png": [[1, 1]] * 68}))
    with pytest.raises(BadBank, match=r"0\.png: is not a square picture"):
        FaceBank.from_landmarks_json(tmp_path / "points.json", tmp_path)


@pytest.fixture(scope="module")
def made(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A set of one sample, in either layout."""

    def generate(layout: str) -> Path:
        out = tmp_path_factory.mktemp("set") / layout
        words = ["--count", "1", "--format", layout, "--workers", "1"]
        assert main(["generate", str(bank.root), "--out", str(out), *words]) == 0
        return out

    return generate


def test_a_sample_that_claims_another_size_is_not_decoded(
    made: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    folder = made("folder")
    request.getfixturevalue("undecoded")
    for path in folder.rglob("*.png"):
        path.write_bytes(forged("PNG", 30_000))
    manifest = Manifest.load(folder)
    shard = FolderShard(folder, manifest.shards[0], manifest.plan)
    with pytest.raises(BadShard, match="is 30000x30000"):
        shard.row(0)


def test_a_set_that_claims_samples_over_the_limit_is_not_opened(
    made: Callable[[str], Path],
) -> None:
    folder = made("hdf5")
    told = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**told, "image_size": 60_000}))
    with pytest.raises(BadShard, match=r"no valid 'image_size' \(60000\)"):
        BlendSet(folder)


@pytest.mark.parametrize("how", ["compressed", "never written"])
def test_a_small_shard_does_not_unfold_into_a_large_array(
    how: str, made: Callable[[str], Path]
) -> None:
    folder = made("hdf5")
    shard = next(folder.glob("*.h5"))
    with h5py.File(shard, "a") as file:
        old = file["image"]
        shape, dtype = old.shape, old.dtype
        del file["image"]
        if how == "compressed":
            file.create_dataset("image", data=np.zeros(shape, dtype), compression="gzip")
        else:
            file.create_dataset("image", shape, dtype, chunks=True)
    told = json.loads((folder / "manifest.json").read_text())
    told["shards"][0]["bytes"] = shard.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(BadShard, match="compressed, or never written"), BlendSet(folder) as set_:
        set_[0]


# -- photographs and videos --------------------------------------------------------------


def test_the_override_reaches_what_has_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes())
    monkeypatch.setenv(OVERRIDE, "599")
    with pytest.raises(BadImage, match=rf"a\.png: is 30x20.*--max-pixels 600.*{OVERRIDE}"):
        read_photograph(path)
    assert read_photograph(path, 600).shape == (20, 30, 3)  # an argument goes before it
    monkeypatch.setenv(OVERRIDE, "600")
    assert read_photograph(path).shape == (20, 30, 3)
    monkeypatch.delenv(OVERRIDE)
    assert most_pixels(None, MAX_PIXELS) == MAX_PIXELS


@pytest.mark.parametrize("told", ["", "0", "-1", "1e9", "many", "\u0663"])
def test_an_override_that_is_no_number_is_refused(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OVERRIDE, told)
    with pytest.raises(BadArgument, match=OVERRIDE):
        most_pixels(None, 1)


@pytest.mark.parametrize("look", [probe, read_header, lambda path: list(read_frames(path, [0]))])
def test_a_video_of_larger_frames_is_refused_before_one_is_decoded(
    look: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", 3)
    monkeypatch.setattr(video, "MAX_PIXELS", 96 * 64 - 1)
    monkeypatch.setattr(video._Opened, "rotation", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(BadVideo, match=rf"a\.mp4: has frames of 96x64.*{OVERRIDE}"):
        look(path)


def test_frames_that_grow_on_the_way_are_refused(tmp_path: Path) -> None:
    """A header tells of the first ones alone; the decoder has the limit, too."""
    raw = growing(tmp_path / "both.mkv")
    assert len(list(read_frames(raw, [0]))) == 1
    last = probe(raw).frames - 1
    assert last >= 4
    assert [one.number for one in read_frames(raw, [last], max_pixels=960 * 640)] == [last]
    with pytest.raises(BadVideo, match="cannot be decoded"):
        list(read_frames(raw, [last], max_pixels=96 * 64))


def growing(path: Path) -> Path:
    """Two sizes of frames in one stream, each with headers of its own (MPEG-4 Part 2)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        at = 0
        for size in ((96, 64), (960, 640)):
            coder = av.CodecContext.create("mpeg4", "w")
            coder.width, coder.height, coder.pix_fmt = *size, "yuv420p"
            coder.time_base, coder.gop_size = Fraction(1, 25), 1
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(np.zeros((*size[::-1], 3), np.uint8), "rgb24")
                for packet in coder.encode(frame):
                    packet.stream, packet.pts, packet.dts = stream, at, at
                    container.mux(packet)
                    at += 40
    return path


def test_a_video_of_more_frames_than_any_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MAX_FRAMES", 2)
    with pytest.raises(BadVideo, match=r"a\.mp4: holds over 2 frames; cut it into parts"):
        probe(write(tmp_path / "a.mp4", 3))


# -- YAML --------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 9)}]\n" for one in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "stand for over 100,000 values"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 1500, "nested too deeply"),
        ("# " + "x" * plainyaml.MOST_TEXT, "characters"),
        ("a: !!python/object/apply:os.system [exit]", "could not determine a constructor"),
    ],
    ids=["laughs", "itself", "deep", "long", "object"],
)
def test_hostile_yaml_is_refused_at_once(text: str, words: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=words):
        plainyaml.parse(text)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(BadRecipe, match=rf"r\.yaml: is not YAML \(.*{words}"):
        load_recipe(tmp_path / "r.yaml")
    assert time.monotonic() - begun < 30


def test_an_override_of_a_recipe_that_is_hostile_is_one_line(
    capsys: pytest.CaptureFixture[str], bank: FaceBank
) -> None:
    words = ["generate", str(bank.root), "--out", "never", "--recipe.crop", "[" * 1500]
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_checksum_of_the_forged_header_is_right() -> None:
    """Or a decoder would refuse it for that."""
    data = forged("PNG", 60_000)
    assert struct.unpack(">I", data[29:33])[0] == zlib.crc32(data[12:29])
