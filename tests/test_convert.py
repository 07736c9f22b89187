"""A bank in other programs' layouts says the same as the bank."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend.bank import FaceBank, FaceRow
from faceblend.convert import DEEPFAKEBENCH_SIZE, Layout, export_bank
from faceblend.errors import BadArgument, BadBank
from faceblend.generate import generate
from faceblend.ingest.deepfakebench import open_deepfakebench
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet
from tests.conftest import CROP, make_bank


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Videos v0 to v3, v3 forged, v0 and v1 in train, v2 in test, v3 in none."""
    splits = {"v0": "train", "v1": "train", "v2": "test"}
    root = tmp_path_factory.mktemp("mixed")
    return make_bank(root, frames=2, splits=splits, labels={"v3": 1})


def renamed(bank: FaceBank, root: Path, name: Callable[[str], str], **changes: object) -> FaceBank:
    """The bank with other names for its videos."""
    shutil.copytree(bank.root / "crops", root / "crops")
    cells = bank.table.to_pylist()
    points = np.asarray(bank.landmarks).reshape(len(bank), -1).tolist()
    rows = [
        FaceRow(**{**cell, "video": name(cell["video"]), "landmarks": found, **changes})
        for cell, found in zip(cells, points, strict=True)
    ]
    return FaceBank.create(root, rows, crop_size=bank.crop_size, made_by={})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def by_face(bank: FaceBank) -> dict[tuple[str, int], int]:
    cells = bank.table.select(["video", "frame"]).to_pylist()
    return {(cell["video"], cell["frame"]): row for row, cell in enumerate(cells)}


def test_a_bank_comes_back_from_a_deepfakebench_tree(mixed: FaceBank, tmp_path: Path) -> None:
    report = export_bank(mixed, tmp_path / "tree", "deepfakebench", size=CROP)
    assert (report.faces, report.kept, report.refused) == (8, 0, ())
    back = open_deepfakebench(tmp_path / "tree")
    rows = by_face(back)
    assert rows.keys() == by_face(mixed).keys()
    for key, row in by_face(mixed).items():
        one, other = mixed[row], back[rows[key]]
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.landmarks, other.landmarks)
        assert (one.label, one.split or "train") == (other.label, other.split)


def test_an_exported_tree_of_256_px_is_blended(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", frames=2, labels={"v3": 1})
    export_bank(bank, tmp_path / "tree", "deepfakebench", workers=2)
    back = open_deepfakebench(tmp_path / "tree")
    assert back.crop_size == DEEPFAKEBENCH_SIZE
    recipe = load_recipe("bi", {"crop.top": 0, "crop.left": 0})
    made = generate(back, recipe, tmp_path / "set", count=6)
    assert (made.stored, made.failed) == (6, ())
    lent = {json.loads(record)["background"] for record in BlendSet(tmp_path / "set").records()}
    assert not any("v3" in crop for crop in lent)  # forged


def test_the_tree_is_laid_out_as_deepfakebench_reads_it(mixed: FaceBank, tmp_path: Path) -> None:
    export_bank(mixed, tmp_path, "deepfakebench", dataset="Mine")
    content = json.loads((tmp_path / "Mine.json").read_text())
    assert content.keys() == {"Mine"}
    assert content["Mine"].keys() == {"Mine_Real", "Mine_Fake"}
    for splits in content["Mine"].values():
        assert splits.keys() == {"train", "val", "test"}
    assert content["Mine"]["Mine_Real"]["test"].keys() == {"v2"}
    (forged,) = content["Mine"]["Mine_Fake"]["train"].values()
    assert forged == {
        "label": "Mine_Fake",
        "frames": ["Mine/frames/v3/000.png", "Mine/frames/v3/001.png"],
    }
    for path in forged["frames"]:
        picture = tmp_path / path.removeprefix("Mine/")
        # its loader: every "frames" of the path replaced
        points = tmp_path / path.removeprefix("Mine/").replace("frames", "landmarks")
        assert cv2.imread(str(picture)).shape == (DEEPFAKEBENCH_SIZE, DEEPFAKEBENCH_SIZE, 3)
        loaded = np.load(points.with_suffix(".npy"), allow_pickle=False)
        assert (loaded.shape, loaded.dtype) == ((68, 2), np.float32)


def test_landmarks_shrink_with_their_picture(mixed: FaceBank, tmp_path: Path) -> None:
    bank = renamed(mixed, tmp_path / "bank", str)
    dots = np.zeros((CROP, CROP, 3), np.uint8)
    x, y = np.rint(bank.landmarks[0][30]).astype(int)
    dots[y - 4 : y + 5, x - 4 : x + 5] = 255
    export_bank(_with_picture(bank, tmp_path / "dotted", dots), tmp_path / "tree", "deepfakebench")
    picture = cv2.imread(str(tmp_path / "tree" / "frames" / "v0" / "000.png"), 0).astype(float)
    nose = np.load(tmp_path / "tree" / "landmarks" / "v0" / "000.npy")[30]
    grid = np.arange(256)
    centre = np.array([(picture.sum(axis=axis) * grid).sum() for axis in (0, 1)]) / picture.sum()
    exact = (np.array([x, y]) + 0.5) * 256 / CROP - 0.5
    assert np.abs(centre - exact).max() < 0.1
    assert np.abs(nose - (bank.landmarks[0][30] + 0.5) * 256 / CROP + 0.5).max() < 1e-3


def _with_picture(bank: FaceBank, root: Path, picture: np.ndarray) -> FaceBank:
    other = renamed(bank, root, str, crc32=None)
    cv2.imwrite(str(root / other.crop(0)), picture)
    return other


def test_frame_dumps_are_numbered_pngs_under_the_stem(mixed: FaceBank, tmp_path: Path) -> None:
    bank = renamed(mixed, tmp_path / "bank", lambda video: f"part_0/{video}.MP4")
    export_bank(bank, tmp_path / "out", "folder")
    names = {f"part_0/v{video}/{frame:03d}.png" for video in range(4) for frame in range(2)}
    assert contents(tmp_path / "out").keys() == names
    shown = cv2.imread(str(tmp_path / "out" / "part_0" / "v1" / "001.png"))[..., ::-1]
    assert np.array_equal(shown, mixed.image(by_face(mixed)["v1", 1]))


def test_faces_of_one_frame_stay_in_one_video(mixed: FaceBank, tmp_path: Path) -> None:
    bank = renamed(mixed, tmp_path / "bank", str, frame=1234)
    export_bank(bank, tmp_path / "tree", "deepfakebench", size=CROP)
    assert sorted(path.name for path in (tmp_path / "tree" / "frames" / "v0").iterdir()) == [
        "1234.png",
        "1234_1.png",
    ]
    back = open_deepfakebench(tmp_path / "tree")
    assert back.table["frame"].to_pylist() == [1234] * 8
    assert len(set(back.videos)) == 4


@pytest.mark.parametrize("to", ["deepfakebench", "folder"])
def test_a_second_run_keeps_what_is_there_and_writes_the_rest(
    mixed: FaceBank, tmp_path: Path, to: Layout
) -> None:
    export_bank(mixed, tmp_path, to)
    whole = contents(tmp_path)
    lost = next(path for path in tmp_path.rglob("*.png") if path.parent.name == "v2")
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    lost.unlink()
    report = export_bank(mixed, tmp_path, to, workers=2)
    assert (report.faces, report.kept) == (8, 7)
    assert contents(tmp_path) == whole
    changed = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {lost}


def test_an_export_never_overwrites_something_else(mixed: FaceBank, tmp_path: Path) -> None:
    export_bank(mixed, tmp_path, "folder")
    with pytest.raises(BadArgument, match="holds something else"):
        export_bank(mixed, tmp_path, "folder", size=64)


def test_damaged_crops_are_left_out_and_told(mixed: FaceBank, tmp_path: Path) -> None:
    bank = renamed(mixed, tmp_path / "bank", str)
    crop = bank.root / bank.crop(3)
    crop.write_bytes(crop.read_bytes()[:-30])
    report = export_bank(bank, tmp_path / "tree", "deepfakebench")
    assert (report.faces, len(report.refused)) == (7, 1)
    assert report.refused[0] == (bank.crop(3), "its bytes have changed since the bank was made")
    assert len(open_deepfakebench(tmp_path / "tree")) == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (lambda video: f"{video[0]}.{'mp4' if video == 'v0' else 'avi'}", "shares the folder"),
        (lambda video: f"frames_{video}", "'frames' in its name"),
        (lambda video: f"../{video}", "cannot name a folder"),
        (lambda video: f"/{video}", "cannot name a folder"),
    ],
)
def test_videos_that_cannot_be_folders_are_refused(
    mixed: FaceBank, tmp_path: Path, name: Callable[[str], str], words: str
) -> None:
    bank = renamed(mixed, tmp_path / "bank", name)
    with pytest.raises(BadBank, match=words):
        export_bank(bank, tmp_path / "out", "deepfakebench")
    assert not (tmp_path / "out").exists()


def test_videos_that_were_folders_named_frames_fit_into_the_tree(
    mixed: FaceBank, tmp_path: Path
) -> None:
    bank = renamed(mixed, tmp_path / "bank", lambda video: f"part/frames/{video}")
    export_bank(bank, tmp_path / "tree", "deepfakebench")
    assert (tmp_path / "tree" / "part" / "frames" / "v0" / "000.png").exists()


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("json", {"size": 256}, "size: has no use with json; it is for deepfakebench and folder"),
        ("folder", {"dataset": "x"}, "dataset: has no use"),
        ("folder", {"videos": pa.table({"path": ["a"]})}, "videos: has no use"),
        ("folder", {"size": 0}, "size: is 0"),
        ("deepfakebench", {"dataset": "a/b"}, "dataset: is 'a/b'"),
    ],
)
def test_options_that_have_no_use_are_refused(
    mixed: FaceBank, tmp_path: Path, to: Layout, options: dict, words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        export_bank(mixed, tmp_path / "out", to, **options)


def test_the_classic_landmark_file_opens_the_same_faces(mixed: FaceBank, tmp_path: Path) -> None:
    out = tmp_path / "landmarks.json"
    assert export_bank(mixed, out, "json").faces == 8
    back = FaceBank.from_landmarks_json(out, mixed.root, video="folder")
    assert [back.crop(row) for row in range(8)] == [mixed.crop(row) for row in range(8)]
    assert np.abs(back.landmarks - mixed.landmarks).max() < 1e-3


def test_a_tables_file_is_read_back_with_what_it_was_made_of(
    mixed: FaceBank, tmp_path: Path
) -> None:
    out = tmp_path / "faces.parquet"
    assert export_bank(mixed, out, "faces-df").faces == 8
    table = pq.read_table(out)
    said = json.loads(table.schema.metadata[b"faceblend"])
    assert said == {"format": 1, "root": str(mixed.root), "bank": mixed.fingerprint}
    assert table["path"].to_pylist() == mixed.table["crop"].to_pylist()
