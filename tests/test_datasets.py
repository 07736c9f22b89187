"""From a download to a set: small trees of the published datasets go the whole way.

The videos are two public-domain photographs, mirrored, brightened and moved about, so that
dlib finds real faces in them; the trees have the names, files and gaps of the real ones.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image as Pillow
from skimage.data import astronaut

from faceblend.bank import FaceBank
from faceblend.cli import DONE, FAILURES, main
from faceblend.convert import export_bank
from faceblend.face import Image
from faceblend.store import BlendSet
from faceblend.videos import VideoTable, read_videos

pytestmark = pytest.mark.model

SIZE, FRAMES = 240, 12


@cache
def person(number: int) -> Image:
    """One of eight people: two photographs, both ways round, as they are and darker."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = np.asarray(Pillow.open(file).convert("RGB"))[20:360, 60:400]
    picture = (astronaut()[0:240, 100:340], hopper)[number % 2]
    picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if number % 4 >= 2:
        picture = picture[:, ::-1]
    shade = 1.0 - 0.12 * (number // 4)
    return np.ascontiguousarray((picture * shade).astype(np.uint8))


def film(path: Path, who: int, *, forged: int = 0) -> None:
    """The person moves to the right; a forgery is a little blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = SIZE
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"}
        for number in range(FRAMES):
            picture = np.roll(person(who), number, axis=1)
            if forged:
                picture = np.ascontiguousarray(picture)
                picture[..., 2] = np.clip(picture[..., 2] + 20.0 + forged, 0, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def run(*words: object) -> int:
    return main([str(word) for word in words])


def go(
    tmp_path: Path,
    root: Path,
    dataset: str,
    rule: Sequence[object],
    *,
    splits: dict[str, tuple[int, int]],
) -> tuple[VideoTable, FaceBank]:
    """Index, split, extract, generate and verify by the commands."""
    videos, split, bank, made = (
        tmp_path / name for name in ("videos.parquet", "split.parquet", "bank", "set")
    )
    assert run("index", dataset, root, "--out", videos, "--workers", 1) == DONE
    assert run("split", videos, "--out", split, "--rule", *rule) == DONE
    table = read_videos(split)
    pairs = Counter(zip(table.column("split"), table.column("label"), strict=True))
    assert {name: (pairs[name, 0], pairs[name, 1]) for name in splits} == splits
    words = ("extract", split, "--out", bank, "--frames-per-video", 4, "--workers", 1)
    assert run(*words) == DONE
    faces = FaceBank.open(bank)
    assert run("generate", bank, "--out", made, "--count", 12, "--workers", 1) == DONE
    assert run("verify", made, "--bank", bank) == DONE
    with BlendSet(made) as samples:
        assert len(samples) == 12
        records = [json.loads(samples[index].record) for index in range(12)]
    used = {record[face] for record in records for face in ("background", "foreground")} - {None}
    labels = zip(faces.table["crop"].to_pylist(), faces.table["label"].to_pylist(), strict=True)
    assert used
    assert used <= {crop for crop, label in labels if label == 0}  # forgeries are never blended
    return table, faces


def counted(capsys: pytest.CaptureFixture[str]) -> str:
    out = capsys.readouterr().out
    return (
        next(line for line in out.splitlines() if line.startswith("Real videos"))
        + ", "
        + next(line for line in out.splitlines() if line.startswith("Fake videos"))
    )


# -- DFDC ----------------------------------------------------------------------------

DFDC_COLUMNS = {"label", "original", "path", "folder", "height", "width", "frames"}
FACES_COLUMNS = [
    "video", "label", "videosubject", "original",
    *(f"kp{point}{axis}" for point in range(1, 7) for axis in "xy"),
    "conf", "left", "top", "right", "bottom", "folder", "nfaces",
]  # fmt: skip


def dfdc(root: Path) -> Path:
    for number, part in enumerate((0, 34, 35, 39, 40, 49)):
        folder = root / f"dfdc_train_part_{part}"
        real, forged = f"real{part}.mp4", f"fake{part}.mp4"
        film(folder / real, number)
        film(folder / forged, number, forged=1)
        told = {"label": "FAKE", "split": "train", "original": real}
        meta = {real: {"label": "REAL", "split": "train"}, forged: told, f"gone{part}.mp4": told}
        (folder / "metadata.json").write_text(json.dumps(meta))
    (root / "dfdc_train_part_34" / "fake34.mp4").write_bytes(b"half a download")
    return root


def test_dfdc_goes_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, bank = go(
        tmp_path,
        dfdc(tmp_path / "dfdc"),
        "dfdc",
        ["dfdc-35-5-10"],
        splits={"train": (2, 2), "val": (2, 2), "test": (2, 2)},
    )
    assert counted(capsys) == "Real videos: 6, Fake videos: 6"
    assert set(table.table.column_names) >= DFDC_COLUMNS
    rows = {row["name"]: row for row in table.rows()}
    assert rows["fake0"]["original"] == "dfdc_train_part_0/real0.mp4"
    assert [rows["real0"][name] for name in ("height", "width", "frames")] == [SIZE, SIZE, FRAMES]
    assert [rows["fake34"][name] for name in ("height", "width", "frames")] == [0, 0, 0]
    problems = (tmp_path / "videos.parquet.problems.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["kind"] for line in problems) == {
        "missing": 6,
        "unreadable": 1,
    }
    assert len(bank) == 11 * 4
    assert run(
        "extract", tmp_path / "split.parquet", "--out", tmp_path / "bank",
        "--frames-per-video", 4, "--workers", 1, "--strict",
    ) == FAILURES  # fmt: skip
    export_bank(bank, tmp_path / "faces.parquet", "faces-df", videos=table.table)
    import pyarrow.parquet as pq

    faces = pq.read_table(tmp_path / "faces.parquet")
    assert [name for name in faces.column_names if name != "path"] == FACES_COLUMNS
    assert len(FACES_COLUMNS) == 23


# -- FF++ ----------------------------------------------------------------------------


def ffpp(root: Path) -> Path:
    """Four ids in two pairs, five originals and five forgeries at c23, of three sources."""
    youtube = root / "original_sequences" / "youtube" / "c23" / "videos"
    forged = root / "manipulated_sequences"
    for number in range(4):
        film(youtube / f"{number:03d}.mp4", number)
    film(root / "original_sequences/actors/c23/videos/01__kitchen.mp4", 4)
    film(forged / "DeepFakeDetection/c23/videos/01_02__kitchen__YVGY8LOK.mp4", 4, forged=1)
    film(forged / "Deepfakes/c23/videos/000_001.mp4", 0, forged=2)
    film(forged / "Deepfakes/c23/videos/001_000.mp4", 1, forged=2)
    film(forged / "FaceShifter/c23/videos/002_003.mp4", 2, forged=3)
    film(forged / "FaceShifter/c23/videos/003_002.mp4", 3, forged=3)
    film(forged / "Deepfakes/masks/videos/000_001.mp4", 0)
    (root / "splits").mkdir()
    pairs = {"train": [["000", "001"]], "val": [], "test": [["003", "002"]]}
    for name, some in pairs.items():
        (root / "splits" / f"{name}.json").write_text(json.dumps(some))
    return root


def test_ffpp_goes_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, bank = go(
        tmp_path,
        ffpp(tmp_path / "ffpp"),
        "ffpp",
        ["ff-official"],
        splits={"train": (2, 2), "val": (0, 0), "test": (2, 2)},
    )
    assert counted(capsys) == "Real videos: 5, Fake videos: 5"
    assert set(table.table.column_names) >= {"class", "source", "quality", "name", "original"}
    assert {row["quality"] for row in table.rows()} == {"c23"}
    by_name = {row["name"]: row for row in table.rows()}
    youtube = "original_sequences/youtube/c23/videos"
    assert by_name["003_002"]["original"] == f"{youtube}/003.mp4"
    assert by_name["003_002"]["source"] == "FaceShifter"
    actors = by_name["01_02__kitchen__YVGY8LOK"]
    assert actors["original"] == "original_sequences/actors/c23/videos/01__kitchen.mp4"
    assert set(bank.table["split"].to_pylist()) == {"train", "test"}
    assert set(bank.table["subject"].to_pylist()) == {f"youtube/00{number}" for number in range(4)}


def test_part_of_ffpp_goes_by_the_seed_41_rule_with_five_frames(tmp_path: Path) -> None:
    table, bank = go(
        tmp_path,
        ffpp(tmp_path / "ffpp"),
        "ffpp",
        ["ff-c23-720-140-140-5fpv"],
        splits={"train": (4, 4), "val": (0, 0), "test": (0, 0)},
    )
    frames = Counter(bank.table["video"].to_pylist())
    assert len(frames) == 8
    assert set(frames.values()) == {5}
    wanted = {row["path"]: row["wanted"] for row in table.rows()}
    for row in bank.table.to_pylist():
        assert row["frame"] in wanted[row["video"]]


# -- Celeb-DF ------------------------------------------------------------------------


def test_celebdf_goes_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "celebdf"
    for number in range(3):
        film(root / "Celeb-real" / f"id{number}_0000.mp4", number)
    film(root / "YouTube-real" / "00170.mp4", 5)
    film(root / "Celeb-synthesis" / "id0_id1_0000.mp4", 0, forged=1)
    film(root / "Celeb-synthesis" / "id1_id0_0000.mp4", 1, forged=1)
    (root / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n1 Celeb-real/id0_0000.mp4\n"
    )
    table, bank = go(
        tmp_path,
        root,
        "celebdf",
        ["celebdf"],
        splits={"train": (2, 1), "val": (0, 0), "test": (2, 1)},
    )
    assert counted(capsys) == "Real videos: 4, Fake videos: 2"
    rows = {row["name"]: row for row in table.rows()}
    assert rows["id0_id1_0000"]["original"] == "Celeb-real/id0_0000.mp4"
    assert [rows["id0_id1_0000"][name] for name in ("class", "test")] == ["Celeb-synthesis", True]
    assert {"id0", "id1", "id2", "YouTube-real/00170"} == set(bank.table["subject"].to_pylist())


# -- DeepfakeBench -------------------------------------------------------------------


def deepfakebench(root: Path) -> Path:
    """Aligned frames of FF++ as DeepfakeBench preprocesses them, with its JSON of splits."""
    real, forged = "original_sequences/youtube", "manipulated_sequences/Deepfakes"
    videos = [(real, f"{number:03d}", number, "FF-real") for number in range(4)]
    videos += [(forged, "000_001", 0, "FF-DF"), (forged, "003_002", 3, "FF-DF")]
    tree: dict[str, Any] = {label: {"train": {}, "test": {}} for label in ("FF-real", "FF-DF")}
    for place, name, who, label in videos:
        folder = root / place / "c23" / "frames" / name
        folder.mkdir(parents=True)
        frames = []
        for frame in range(4):
            picture = np.roll(person(who), frame, axis=1)
            cv2.imwrite(str(folder / f"{frame:03d}.png"), picture[..., ::-1])
            frames.append(f"FaceForensics++\\{place}\\c23\\frames\\{name}\\{frame:03d}.png")
        split = "train" if who < 2 else "test"
        tree[label][split].setdefault("c23", {})[name] = {"label": label, "frames": frames}
    (root / "FaceForensics++.json").write_text(json.dumps({"FaceForensics++": tree}))
    pairs = {"train": [["000", "001"]], "val": [], "test": [["003", "002"]]}
    for name, some in pairs.items():
        (root / "splits").mkdir(exist_ok=True)
        (root / "splits" / f"{name}.json").write_text(json.dumps(some))
    return root


def test_deepfakebench_goes_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = deepfakebench(tmp_path / "FaceForensics++")
    table, bank = go(
        tmp_path,
        root,
        "deepfakebench",
        ["ff-official"],
        splits={"train": (2, 1), "val": (0, 0), "test": (2, 1)},
    )
    assert counted(capsys) == "Real videos: 4, Fake videos: 2"
    assert table.column("frames") == [4] * 6
    assert set(table.column("compression")) == {"c23"}
    assert {row["method"] for row in table.rows()} == {"youtube", "Deepfakes"}
    assert len(bank) == 24
    # its own JSON says the same, with no rule at all
    own = read_videos(tmp_path / "videos.parquet")
    assert own.column("split") == table.column("split")
