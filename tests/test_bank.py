"""A bank gives back what was put into it, or says which file is at fault."""

import copy
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend import bank as bank_module
from faceblend.bank import FORMAT, SCHEMA, FaceBank, FaceRow
from faceblend.doctor import doctor
from faceblend.errors import BadBank, BadImage, Unwritable
from faceblend.recipe import load_recipe
from faceblend.sample import sample
from tests.conftest import CROP, drawn_face, make_bank

POINTS = [[float(k), float(k * k % 97)] for k in range(68)]


@pytest.fixture
def own(bank: FaceBank, tmp_path: Path) -> FaceBank:
    """A copy of the shared bank, to be damaged."""
    bare = shutil.ignore_patterns("cache")
    return FaceBank.open(shutil.copytree(bank.root, tmp_path / "own", ignore=bare))


def row_of(name: str, **changes: Any) -> FaceRow:
    plain = FaceRow(
        video="a",
        frame=0,
        source="a.mp4",
        crop=name,
        landmarks=np.asarray(POINTS, np.float32).ravel().tolist(),
    )
    return replace(plain, **changes)


def encoded(picture: np.ndarray, suffix: str = ".png") -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(suffix, bgr)[1].tobytes())


# -- there and back ------------------------------------------------------------------


def test_an_opened_bank_gives_every_face_as_it_was_put_in(tmp_path: Path) -> None:
    bank = make_bank(
        tmp_path,
        videos=2,
        frames=2,
        subjects={"v0": "ann"},
        splits={"v0": "train", "v1": "val"},
        labels={"v1": 1},
    )
    assert len(bank) == 4
    assert bank.crop_size == CROP
    for row, (video, frame) in enumerate([("v0", 0), ("v0", 1), ("v1", 0), ("v1", 1)]):
        face = FaceBank.open(tmp_path)[row]
        image, points = drawn_face(1000 * int(video[1]) + frame)
        np.testing.assert_array_equal(face.image, image)
        np.testing.assert_array_equal(face.landmarks, points)
        assert (face.row, face.video, face.frame) == (row, video, frame)
        assert face.crop == bank.crop(row) == f"crops/{video}/{frame:06d}_0.png"
        assert face.subject == ("ann" if video == "v0" else None)
        assert face.split == ("train" if video == "v0" else "val")
        assert face.label == int(video == "v1")


def test_equal_numbers_mean_equal_names_and_unknown_is_minus_one(tmp_path: Path) -> None:
    bank = make_bank(
        tmp_path, videos=3, frames=2, subjects={"v0": "ann", "v2": "ann"}, labels={"v1": 1}
    )
    assert bank.videos[0] == bank.videos[1] != bank.videos[2]
    assert bank.subjects[0] == bank.subjects[4] >= 0
    assert bank.subjects[2] == -1
    assert bank.splits.tolist() == [-1] * 6
    assert bank.reals.tolist() == [0, 1, 4, 5]


def test_rows_count_from_both_ends_and_stop_there(bank: FaceBank) -> None:
    assert bank[-1].crop == bank[len(bank) - 1].crop
    assert bank[-1].row == len(bank) - 1
    for beyond in (len(bank), -len(bank) - 1):
        with pytest.raises(IndexError):
            bank[beyond]


def test_colours_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    (tmp_path / "red.png").write_bytes(encoded(red))
    bank = FaceBank.create(tmp_path, [row_of("red.png")], crop_size=32, made_by={})
    assert bank[0].image[5, 5].tolist() == [255, 0, 0]


def test_a_face_belongs_to_its_reader(own: FaceBank) -> None:
    face = own[0]
    face.landmarks[:] = 0
    face.image[:] = 0
    assert own[0].landmarks.any()
    assert own[0].image.any()


def test_the_meta_file_counts_what_is_there(tmp_path: Path) -> None:
    make_bank(tmp_path, videos=3, frames=2, subjects={"v0": "ann", "v1": "bob", "v2": "ann"})
    meta = json.loads((tmp_path / "bank.json").read_text())
    assert (meta["faces"], meta["videos"], meta["subjects"]) == (6, 3, 2)
    assert (meta["format"], meta["crop_size"]) == (FORMAT, CROP)
    assert meta["made_by"] == {"detector": "drawn"}
    assert pq.read_schema(tmp_path / "faces.parquet").names == SCHEMA.names


# -- landmarks -----------------------------------------------------------------------


def memory_of(array: Any) -> list[type]:
    kinds = []
    while array is not None:
        kinds.append(type(array))
        array = getattr(array, "base", None)
    return kinds


def test_landmarks_are_mapped_from_disk_and_read_only(bank: FaceBank) -> None:
    assert np.memmap in memory_of(FaceBank.open(bank.root).landmarks)
    assert bank.landmarks.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        bank.landmarks[0] = 0


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "noise", "of another bank"])
def test_the_mapped_copy_is_made_again_when_it_is_not_what_it_should_be(
    damage: str, own: FaceBank
) -> None:
    (cache,) = (own.root / "cache").iterdir()
    before, data = np.array(own.landmarks), cache.read_bytes()
    if damage == "gone":
        shutil.rmtree(cache.parent)
    elif damage == "of another bank":
        with cache.open("wb") as file:
            np.save(file, np.zeros((3, 68, 2), np.float32))
    else:
        cache.write_bytes(
            {"empty": b"", "cut": data[: len(data) // 2], "noise": b"x" * 99}[damage]
        )
    np.testing.assert_array_equal(FaceBank.open(own.root).landmarks, before)
    assert cache.read_bytes() == data


def test_landmarks_are_copied_in_blocks(own: FaceBank, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache,) = (own.root / "cache").iterdir()
    before, data = np.array(own.landmarks), cache.read_bytes()
    cache.unlink()
    monkeypatch.setattr(bank_module, "_BATCH", 5)
    np.testing.assert_array_equal(FaceBank.open(own.root).landmarks, before)
    assert cache.read_bytes() == data


def test_a_mapped_copy_cannot_smuggle_in_a_pickle(own: FaceBank) -> None:
    (cache,) = (own.root / "cache").iterdir()
    before = np.array(own.landmarks)
    with cache.open("wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    np.testing.assert_array_equal(FaceBank.open(own.root).landmarks, before)


@pytest.mark.skipif(os.name == "nt", reason="folders are not made read-only by mode")
def test_a_bank_that_cannot_be_written_to_is_served_from_memory(
    own: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(own.root / "cache")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    again = FaceBank.open(own.root)
    assert np.memmap not in memory_of(again.landmarks)
    np.testing.assert_array_equal(again.landmarks, own.landmarks)


# -- travelling ----------------------------------------------------------------------


def test_a_bank_pickles_as_its_path(bank: FaceBank) -> None:
    data = pickle.dumps(bank)
    assert len(data) < 500
    again = pickle.loads(data)  # noqa: S301 - made one line above
    assert again.fingerprint == bank.fingerprint
    np.testing.assert_array_equal(again[5].image, bank[5].image)
    assert np.memmap in memory_of(again.landmarks)


def test_a_copied_bank_reads_the_same(bank: FaceBank) -> None:
    assert copy.deepcopy(bank).fingerprint == bank.fingerprint


# -- fingerprint ---------------------------------------------------------------------


def fingerprint_of(folder: Path, rows: list[FaceRow], crop_size: int = 32) -> str:
    return FaceBank.create(folder, rows, crop_size=crop_size, made_by={}).fingerprint


ROWS = [row_of("a.png", crc32=1), row_of("b.png", frame=1, crc32=2), row_of("c.png", video="b")]


def test_the_same_faces_give_the_same_fingerprint_wherever_and_in_whatever_order(
    tmp_path: Path,
) -> None:
    one = fingerprint_of(tmp_path / "one", ROWS)
    other = fingerprint_of(tmp_path / "other", ROWS[::-1])
    assert one == other == FaceBank.open(tmp_path / "one").fingerprint


MOVED = [*ROWS[0].landmarks[:-1], ROWS[0].landmarks[-1] + 0.5]


@pytest.mark.parametrize(
    "change",
    [
        {"video": "z"},
        {"frame": 9},
        {"subject": "ann"},
        {"split": "train"},
        {"label": 1},
        {"crop": "z.png"},
        {"crc32": 7},
        {"landmarks": MOVED},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("row", range(3))
def test_the_fingerprint_changes_with_anything_that_decides_a_sample(
    row: int, change: dict[str, Any], tmp_path: Path
) -> None:
    changed = [*ROWS[:row], replace(ROWS[row], **change), *ROWS[row + 1 :]]
    assert fingerprint_of(tmp_path / "a", ROWS) != fingerprint_of(tmp_path / "b", changed)


def test_the_fingerprint_changes_with_a_face_more_a_face_less_and_the_size(
    tmp_path: Path,
) -> None:
    fingerprints = {
        fingerprint_of(tmp_path / "a", ROWS),
        fingerprint_of(tmp_path / "b", ROWS[:2]),
        fingerprint_of(tmp_path / "c", [*ROWS, row_of("d.png", video="d")]),
        fingerprint_of(tmp_path / "d", ROWS, crop_size=64),
    }
    assert len(fingerprints) == 4


def test_moving_a_name_across_columns_changes_the_fingerprint(tmp_path: Path) -> None:
    one = [row_of("a.png", subject="train", split=None)]
    other = [row_of("a.png", subject=None, split="train")]
    assert fingerprint_of(tmp_path / "a", one) != fingerprint_of(tmp_path / "b", other)


# -- create --------------------------------------------------------------------------


def test_a_bank_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match="no face to put into it"):
        FaceBank.create(tmp_path, [], crop_size=32, made_by={})
    assert not (tmp_path / "bank.json").exists()


def test_two_faces_of_one_crop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match="share one crop"):
        FaceBank.create(
            tmp_path, [row_of("a.png"), row_of("a.png", frame=1)], crop_size=32, made_by={}
        )


@pytest.mark.parametrize(
    "landmarks",
    [
        pytest.param([], id="none"),
        pytest.param([1.0] * 135, id="one short"),
        pytest.param([1.0] * 137, id="one too many"),
        pytest.param([float("nan")] * 136, id="not numbers"),
    ],
)
def test_landmarks_that_are_not_68_points_are_refused_and_leave_no_bank(
    landmarks: list[float], tmp_path: Path
) -> None:
    with pytest.raises(BadBank, match="landmarks"):
        FaceBank.create(
            tmp_path,
            [row_of("a.png"), row_of("b.png", landmarks=landmarks)],
            crop_size=32,
            made_by={},
        )
    assert not (tmp_path / "bank.json").exists()


def test_a_bank_is_no_bank_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bank(tmp_path, videos=2, frames=1)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(Unwritable, match="No space"):
        FaceBank.create(tmp_path, ROWS, crop_size=32, made_by={})
    with pytest.raises(BadBank, match="not a finished face bank"):
        FaceBank.open(tmp_path)


# -- damaged crops -------------------------------------------------------------------


def test_changed_bytes_of_a_crop_are_found_by_their_checksum(own: FaceBank) -> None:
    path = own.root / own.crop(4)
    path.write_bytes(encoded(drawn_face(99)[0]))
    with pytest.raises(BadImage, match="bytes have changed") as caught:
        own[4]
    assert str(path) in str(caught.value)
    own[3]  # the others still read


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_crop_is_never_handed_out_half_decoded(
    suffix: str, share: float, tmp_path: Path
) -> None:
    """With and without a checksum: OpenCV 4 paints what is missing grey and says nothing."""
    bank = make_bank(tmp_path, videos=1, frames=1, suffix=suffix)
    path = bank.root / bank.crop(0)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    unchecked = FaceBank.create(tmp_path, [row_of(bank.crop(0))], crop_size=CROP, made_by={})
    with pytest.raises(BadImage, match="bytes have changed"):
        bank[0]
    with pytest.raises(BadImage, match="ends before" if share else "not a picture") as caught:
        unchecked[0]
    assert str(path) in str(caught.value)


def test_a_missing_crop_is_told_by_its_path(own: FaceBank) -> None:
    path = own.root / own.crop(2)
    path.unlink()
    with pytest.raises(BadImage, match="cannot be read") as caught:
        own[2]
    assert str(path) in str(caught.value)


def test_a_crop_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    data = encoded(np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(data)
    row = row_of("a.png", crc32=zlib.crc32(data))
    bank = FaceBank.create(tmp_path, [row], crop_size=32, made_by={})
    with pytest.raises(BadImage, match="30x20 where this bank's crops are 32x32"):
        bank[0]


@pytest.mark.parametrize("crop", ["../secret.png", "/secret.png", "a/../../secret.png", "..\\a"])
def test_a_crop_outside_the_bank_is_never_read(crop: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(np.zeros((32, 32, 3), np.uint8)))
    named = str(tmp_path / "secret.png") if crop.startswith("/") else crop
    with pytest.raises((BadBank, BadImage), match="leaves"):
        FaceBank.create(tmp_path / "bank", [row_of(named)], crop_size=32, made_by={})[0]


def test_landmarks_far_from_the_crop_are_refused_when_the_face_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((32, 32, 3), np.uint8)))
    far = [*ROWS[0].landmarks[:-1], 1e6]
    bank = FaceBank.create(tmp_path, [row_of("a.png", landmarks=far)], crop_size=32, made_by={})
    with pytest.raises(BadImage, match="landmarks reach 1000000 px"):
        bank[0]


# -- damaged banks -------------------------------------------------------------------


def test_a_folder_without_a_bank_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match="faceblend extract"):
        FaceBank.open(tmp_path)
    with pytest.raises(BadBank, match="not a finished face bank"):
        FaceBank.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "has format None"),
        (b"{}", "has format None"),
        (b'{"format": 2}', "has format 2, and this version reads format 1"),
        (b'{"format": "1"}', "has format '1'"),
        (b'{"format": 1}', "no valid 'crop_size'"),
        (b'{"format": 1, "crop_size": "wide"}', "no valid 'crop_size'"),
        (b'{"format": 1, "crop_size": 317}', "no valid 'fingerprint'"),
        (b'{"format": 1, "crop_size": 317, "fingerprint": "f"}', "fingerprint|faces"),
    ],
)
def test_a_damaged_meta_file_is_refused_by_its_name(
    content: bytes, words: str, own: FaceBank
) -> None:
    (own.root / "bank.json").write_bytes(content)
    with pytest.raises(BadBank, match=words) as caught:
        FaceBank.open(own.root)
    assert "bank.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"crop_size": 0},
        {"crop_size": -3},
        {"fingerprint": "/../../../outside"},
        {"fingerprint": ""},
        {"faces": -1},
    ],
    ids=str,
)
def test_a_meta_file_with_values_that_cannot_be_is_refused(
    change: dict[str, Any], own: FaceBank
) -> None:
    """The fingerprint names the mapped copy's file: it must not lead out of the bank."""
    path = own.root / "bank.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadBank):
        FaceBank.open(own.root)
    assert [child.name for child in own.root.parent.iterdir()] == ["own"]


def test_a_missing_table_is_told(own: FaceBank) -> None:
    (own.root / "faces.parquet").unlink()
    with pytest.raises(BadBank, match=r"faces\.parquet: is missing"):
        FaceBank.open(own.root)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_table_is_refused(share: float, own: FaceBank) -> None:
    path = own.root / "faces.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadBank, match=r"faces\.parquet: cannot be read"):
        FaceBank.open(own.root)


def test_a_table_with_a_face_less_is_refused(own: FaceBank) -> None:
    path = own.root / "faces.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(BadBank, match=r"holds 11 faces where bank\.json counts 12"):
        FaceBank.open(own.root)


@pytest.mark.parametrize("column", ["video", "frame", "label", "crop", "crc32", "landmarks"])
def test_a_table_without_a_column_is_refused(column: str, own: FaceBank) -> None:
    """Read as empty cells, a lost column would switch off what it is there to check."""
    path = own.root / "faces.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    shutil.rmtree(own.root / "cache")
    with pytest.raises(BadBank, match=column):
        FaceBank.open(own.root)


@pytest.mark.parametrize("column", ["video", "frame", "label", "crop", "landmarks"])
def test_a_table_with_an_empty_cell_is_refused(column: str, own: FaceBank) -> None:
    path = own.root / "faces.parquet"
    table = pq.read_table(path)
    cells = table[column].to_pylist()
    cells[3] = None
    position = table.schema.get_field_index(column)
    field = table.schema.field(position)
    pq.write_table(table.set_column(position, field, pa.array(cells, field.type)), path)
    shutil.rmtree(own.root / "cache")
    with pytest.raises(BadBank, match=column):
        FaceBank.open(own.root)


def test_a_column_of_another_type_is_refused(own: FaceBank) -> None:
    path = own.root / "faces.parquet"
    table = pq.read_table(path)
    position = table.schema.get_field_index("frame")
    words = pa.array([f"f{row}" for row in range(len(table))])
    pq.write_table(table.set_column(position, "frame", words), path)
    with pytest.raises(BadBank, match=r"faces\.parquet"):
        FaceBank.open(own.root)


def test_a_table_whose_bytes_have_changed_is_refused(own: FaceBank) -> None:
    """A flipped bit must not become another landmark or another video under the old name."""
    path = own.root / "faces.parquet"
    data = path.read_bytes()
    before, told, same = FaceBank.open(own.root), 0, 0
    places = range(4, len(data) * 3 // 4, len(data) // 40)
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 0x5A
        path.write_bytes(bytes(damaged))
        shutil.rmtree(own.root / "cache", ignore_errors=True)
        try:
            after = FaceBank.open(own.root)
        except BadBank:
            told += 1
        else:
            equal = after.table.equals(before.table)
            same += equal and np.array_equal(after.landmarks, before.landmarks)
    assert told > 0
    assert told + same == len(places)


# -- the classic landmark file -------------------------------------------------------

Classic = Callable[..., FaceBank]


@pytest.fixture
def classic(tmp_path: Path) -> Classic:
    """Open pictures and their landmark JSON, written as told."""

    def opened(
        entries: dict[str, Any],
        *,
        pictures: list[str] | None = None,
        text: str | None = None,
        side: int = 32,
        **options: Any,
    ) -> FaceBank:
        for position, name in enumerate(entries if pictures is None else pictures):
            path = tmp_path / "crops" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(np.full((side, side, 3), position, np.uint8)))
        file = tmp_path / "landmarks.json"
        file.write_text(json.dumps(entries) if text is None else text)
        return FaceBank.from_landmarks_json(file, tmp_path / "crops", **options)

    return opened


def test_the_classic_keys_give_video_and_frame(classic: Classic) -> None:
    names = ["000_0000.png", "000_0012.png", "001_0003.png", "b/000_0000.png", "plain.png"]
    bank = classic(dict.fromkeys(names, POINTS))
    found = {face.crop: (face.video, face.frame) for face in bank}
    assert found == {
        "000_0000.png": ("000", 0),
        "000_0012.png": ("000", 12),
        "001_0003.png": ("001", 3),
        "b/000_0000.png": ("b/000", 0),
        "plain.png": ("plain", 0),
    }
    assert bank.crop_size == 32
    assert bank.reals.tolist() == list(range(5))
    np.testing.assert_array_equal(bank[0].landmarks, np.float32(POINTS))


def test_folders_may_be_the_videos(classic: Classic) -> None:
    names = ["a/000_0000.png", "a/001_0000.png", "b/000_0000.png"]
    bank = classic(dict.fromkeys(names, POINTS), video="folder")
    assert [face.video for face in bank] == ["a", "a", "b"]
    assert bank.videos[0] == bank.videos[1] != bank.videos[2]


def test_a_classic_bank_makes_samples_and_travels(tmp_path: Path) -> None:
    entries = {}
    for position, name in enumerate(["000_0000.png", "001_0000.png"]):
        image, points = drawn_face(position)
        (tmp_path / name).write_bytes(encoded(image))
        entries[name] = points.tolist()
    (tmp_path / "landmarks.json").write_text(json.dumps(entries))
    bank = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", str(tmp_path))
    again = pickle.loads(pickle.dumps(bank))  # noqa: S301 - made in the same line
    assert again.fingerprint == bank.fingerprint
    recipe = load_recipe("bi")
    assert sample(again, recipe, 0, 1).digest() == sample(bank, recipe, 0, 1).digest()


def test_landmarks_written_and_read_again_are_the_same_bank(
    bank: FaceBank, tmp_path: Path
) -> None:
    bank.to_landmarks_json(tmp_path / "landmarks.json")
    again = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", bank.root, video="folder")
    assert [face.crop for face in again] == [face.crop for face in bank]
    np.testing.assert_allclose(again.landmarks, bank.landmarks, atol=6e-4)
    assert (again.videos == bank.videos).all()
    np.testing.assert_array_equal(again[4].image, bank[4].image)
    written = (tmp_path / "landmarks.json").read_bytes()
    again.to_landmarks_json(tmp_path / "twice.json")
    assert (tmp_path / "twice.json").read_bytes() == written


def test_the_classic_fingerprint_follows_the_landmarks(classic: Classic) -> None:
    moved = [[x + 1, y] for x, y in POINTS]
    one = classic({"000_0.png": POINTS, "001_0.png": POINTS}).fingerprint
    assert one == classic({"001_0.png": POINTS, "000_0.png": POINTS}).fingerprint
    assert one != classic({"000_0.png": POINTS, "001_0.png": moved}).fingerprint


WRONG_POINTS = {
    "67 points": POINTS[:-1],
    "69 points": [*POINTS, [1, 2]],
    "81 points": [*POINTS, *POINTS[:13]],
    "three numbers a point": [[1, 2, 3]] * 68,
    "a flat list": [1.0] * 136,
    "ragged": [*POINTS[:-1], [1]],
    "words": [["x", "y"]] * 68,
    "nothing": None,
    "an object": {"x": 1},
    "not a number": [*POINTS[:-1], [float("nan"), 0]],
    "infinite": [*POINTS[:-1], [float("inf"), 0]],
}


@pytest.mark.parametrize("wrong", sorted(WRONG_POINTS))
def test_an_entry_that_is_not_68_points_is_refused_by_its_key(
    wrong: str, classic: Classic
) -> None:
    with pytest.raises(BadBank, match=r"'001_0\.png'.*68 points") as caught:
        classic({"000_0.png": POINTS, "001_0.png": WRONG_POINTS[wrong]})
    assert "landmarks.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1", "\x00"])
def test_a_landmark_file_that_is_not_json_is_refused(text: str, classic: Classic) -> None:
    with pytest.raises(BadBank, match=r"landmarks\.json: is not JSON"):
        classic({}, text=text)


@pytest.mark.parametrize("text", ["{}", "[]", "3", "null", '"a.png"'])
def test_a_landmark_file_without_entries_is_refused(text: str, classic: Classic) -> None:
    with pytest.raises(BadBank, match="holds no landmarks"):
        classic({}, text=text)


def test_a_landmark_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match=r"nowhere\.json: cannot be read"):
        FaceBank.from_landmarks_json(tmp_path / "nowhere.json", tmp_path)


def test_a_key_that_stands_twice_is_refused(classic: Classic) -> None:
    """JSON readers keep the last and drop the first without a word."""
    points = json.dumps(POINTS)
    other = json.dumps([[0, 0]] * 68)
    with pytest.raises(BadBank, match=r"000_0\.png"):
        classic({"000_0.png": POINTS}, text=f'{{"000_0.png": {points}, "000_0.png": {other}}}')


def test_one_picture_under_two_spellings_is_refused(classic: Classic) -> None:
    with pytest.raises(BadBank, match=r"000_0\.png"):
        classic({"000_0.png": POINTS, "./000_0.png": POINTS})


@pytest.mark.parametrize(
    "key", ["../000_0.png", "/etc/000_0.png", "a/../../000_0.png", "..\\000_0.png", ""]
)
def test_a_key_that_leaves_the_folder_of_pictures_is_refused(key: str, classic: Classic) -> None:
    with pytest.raises(BadBank, match="leaves the folder"):
        classic({"001_0.png": POINTS, key: POINTS}, pictures=["001_0.png"])


def test_the_first_missing_picture_is_told_when_the_bank_is_opened(classic: Classic) -> None:
    with pytest.raises(BadBank, match=r"000_0\.png: cannot be read"):
        classic({"000_0.png": POINTS}, pictures=[])


def test_another_missing_picture_is_told_when_it_is_read(classic: Classic) -> None:
    bank = classic({"000_0.png": POINTS, "001_0.png": POINTS}, pictures=["000_0.png"])
    bank[0]
    with pytest.raises(BadImage, match=r"001_0\.png: cannot be read"):
        bank[1]


def test_pictures_that_are_no_squares_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a_0.png").write_bytes(encoded(np.zeros((20, 30, 3), np.uint8)))
    (tmp_path / "landmarks.json").write_text(json.dumps({"a_0.png": POINTS}))
    with pytest.raises(BadBank, match="is not a square picture"):
        FaceBank.from_landmarks_json(tmp_path / "landmarks.json", tmp_path)


def test_pictures_of_two_sizes_are_told_when_the_second_is_read(
    classic: Classic, tmp_path: Path
) -> None:
    bank = classic({"000_0.png": POINTS, "001_0.png": POINTS})
    other = encoded(np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "crops" / "001_0.png").write_bytes(other)
    with pytest.raises(BadImage, match="40x40 where this bank's crops are 32x32"):
        bank[1]


def test_decoded_crops_are_the_same_pixels_and_the_same_samples(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    recipe = load_recipe("bi", {"fake_share": 1.0})
    before = [bank.image(row) for row in range(len(bank))], sample(bank, recipe, 0, 0).digest()
    assert bank.decoded is None
    path = bank.decode()
    again = FaceBank.open(tmp_path)
    for one in (bank, again):
        assert one.decoded is not None
        for row, image in enumerate(before[0]):
            np.testing.assert_array_equal(one.image(row), image)
        assert sample(one, recipe, 0, 0).digest() == before[1]
    whole = load_recipe("bi", {
        "fake_share": 0.0, "crop.top": 0, "crop.left": 0, "crop.size": 317,
        "working.probability": 0, "resample.probability": 0, "jpeg.probability": 0,
        "flip.horizontal": 0,
    })  # fmt: skip
    sample(again, whole, 0, 0).image[:] = 0  # its own, not the file's
    np.testing.assert_array_equal(again.image(0), before[0][0])
    del again, bank
    path.write_bytes(path.read_bytes()[:5000])
    assert FaceBank.open(tmp_path).decoded is None


def test_the_file_of_a_crop_is_read_past_the_kept_pixels(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    bank.decode()
    (tmp_path / bank.crop(3)).write_bytes(b"no picture")
    assert bank.image(3).shape == (CROP, CROP, 3)
    with pytest.raises(BadImage, match="its bytes have changed"):
        bank.read_crop(3)
    assert any(one.item == bank.crop(3) for one in doctor(tmp_path, workers=1).findings)


def test_a_bank_without_a_folder_of_its_own_keeps_no_pixels(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    bank.to_landmarks_json(tmp_path / "landmarks.json")
    classic = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", tmp_path)
    with pytest.raises(BadBank, match="keeps no copies"):
        classic.decode()
    assert classic.decoded is None


def test_decoding_reads_every_crop_and_names_a_bad_one(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    (tmp_path / bank.crop(3)).write_bytes(b"no picture")
    with pytest.raises(BadImage, match="its bytes have changed"):
        bank.decode()
    assert not list((tmp_path / "cache").glob("crops*"))
