"""What the folders of the published datasets say of their videos."""

import json
from pathlib import Path
from typing import Any

import pytest

from faceblend.errors import BadArgument, BadBank
from faceblend.ingest.layouts import Found, read_layout


def lay(root: Path, *paths: str) -> Path:
    """Files that nobody opens: a layout is read by its names."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def by_path(found: Found) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in found.rows}


def kinds(found: Found) -> list[tuple[str, str]]:
    return [(one.kind, one.source) for one in found.problems]


# -- DFDC ----------------------------------------------------------------------------


def part(root: Path, name: str, videos: dict[str, Any], *, without: tuple[str, ...] = ()) -> None:
    lay(root, *(f"{name}/{video}" for video in videos if video not in without))
    (root / name / "metadata.json").write_text(json.dumps(videos))


REAL = {"label": "REAL", "split": "train"}


def fake(original: str) -> dict[str, str]:
    return {"label": "FAKE", "split": "train", "original": original}


def test_dfdc_takes_label_and_original_from_the_metadata_and_the_part_from_the_folder(
    tmp_path: Path,
) -> None:
    part(tmp_path, "dfdc_train_part_7", {"b.mp4": fake("a.mp4"), "a.mp4": REAL})
    part(tmp_path, "more/dfdc_train_part_49", {"c.mp4": REAL})
    found = read_layout("dfdc", tmp_path)
    assert by_path(found) == {
        "dfdc_train_part_7/a.mp4": {
            "path": "dfdc_train_part_7/a.mp4", "label": 0, "original": None, "folder": 7,
        },
        "dfdc_train_part_7/b.mp4": {
            "path": "dfdc_train_part_7/b.mp4", "label": 1, "folder": 7,
            "original": "dfdc_train_part_7/a.mp4",
        },
        "more/dfdc_train_part_49/c.mp4": {
            "path": "more/dfdc_train_part_49/c.mp4", "label": 0, "original": None, "folder": 49,
        },
    }  # fmt: skip
    assert found.problems == []


def test_one_part_alone_is_a_dataset(tmp_path: Path) -> None:
    part(tmp_path, "dfdc_train_part_12", {"a.mp4": REAL})
    (row,) = read_layout("dfdc", tmp_path / "dfdc_train_part_12").rows
    assert (row["path"], row["folder"]) == ("a.mp4", 12)


def test_dfdc_tells_what_is_missing_twice_unlisted_or_unlabelled(tmp_path: Path) -> None:
    part(tmp_path, "part_0", {"a.mp4": REAL, "gone.mp4": fake("a.mp4")}, without=("gone.mp4",))
    part(tmp_path, "part_1", {"a.mp4": REAL, "odd.mp4": {"label": "MAYBE"}, "b.mp4": REAL})
    lay(tmp_path, "part_1/stray.mp4")
    (tmp_path / "part_2").mkdir()
    (tmp_path / "part_2" / "metadata.json").write_text("{")
    found = read_layout("dfdc", tmp_path)
    assert sorted(by_path(found)) == ["part_0/a.mp4", "part_1/b.mp4"]
    assert sorted(kinds(found)) == [
        ("duplicate", "part_1/a.mp4"),
        ("misplaced", "part_1/odd.mp4"),
        ("misplaced", "part_1/stray.mp4"),
        ("missing", "part_0/gone.mp4"),
        ("unreadable", "part_2/metadata.json"),
    ]


def test_a_name_in_the_metadata_stays_in_its_folder(tmp_path: Path) -> None:
    part(tmp_path, "part_0", {"a.mp4": REAL})
    meta = {"a.mp4": REAL, "../../outside.mp4": REAL}
    (tmp_path / "part_0" / "metadata.json").write_text(json.dumps(meta))
    found = read_layout("dfdc", tmp_path)
    assert kinds(found) == [("missing", "part_0/outside.mp4")]


# -- FF++ ----------------------------------------------------------------------------

YOUTUBE = "original_sequences/youtube"
FORGED = "manipulated_sequences"


def test_ffpp_tells_class_source_quality_target_and_donor(tmp_path: Path) -> None:
    lay(
        tmp_path,
        f"{YOUTUBE}/c23/videos/003.mp4",
        f"{YOUTUBE}/c40/videos/003.mp4",
        f"{FORGED}/FaceShifter/c40/videos/003_010.mp4",
    )
    rows = by_path(read_layout("ffpp", tmp_path))
    assert rows[f"{FORGED}/FaceShifter/c40/videos/003_010.mp4"] == {
        "path": f"{FORGED}/FaceShifter/c40/videos/003_010.mp4",
        "class": "manipulated_sequences",
        "source": "FaceShifter",
        "quality": "c40",
        "label": 1,
        # of its own quality, not the first video of that name
        "original": f"{YOUTUBE}/c40/videos/003.mp4",
        "subject": "youtube/003",
        "donor": "youtube/010",
    }
    real = rows[f"{YOUTUBE}/c23/videos/003.mp4"]
    assert (real["label"], real["subject"], real.get("original")) == (0, "youtube/003", None)


def test_deepfakedetection_is_told_by_actors_and_scene(tmp_path: Path) -> None:
    original = "original_sequences/actors/raw/videos/01__exit_phone_room.mp4"
    forged = f"{FORGED}/DeepFakeDetection/raw/videos/01_02__exit_phone_room__YVGY8LOK.mp4"
    rows = by_path(read_layout("ffpp", lay(tmp_path, original, forged)))
    assert rows[forged]["original"] == original
    assert (rows[forged]["subject"], rows[forged]["donor"]) == ("actors/01", "actors/02")
    assert rows[original]["subject"] == "actors/01"


def test_masks_are_no_videos_of_ffpp_and_a_lost_original_is_told_once(tmp_path: Path) -> None:
    lay(
        tmp_path,
        f"{FORGED}/Deepfakes/c23/videos/000_001.mp4",
        f"{FORGED}/Face2Face/c23/videos/000_001.mp4",
        f"{FORGED}/Deepfakes/masks/videos/000_001.mp4",
        "downloads/000.mp4",
        f"{FORGED}/Deepfakes/c23/videos/holiday.mp4",
    )
    found = read_layout("ffpp", tmp_path)
    assert len(found.rows) == 2
    assert sorted(kinds(found)) == [
        ("misplaced", "downloads/000.mp4"),
        ("misplaced", f"{FORGED}/Deepfakes/c23/videos/holiday.mp4"),
        ("missing", f"{YOUTUBE}/c23/videos/000.mp4"),
    ]
    (told,) = [one.reason for one in found.problems if one.kind == "missing"]
    assert told.startswith("2 forgeries of it")


def test_a_tree_of_links_is_followed_and_a_loop_ends(tmp_path: Path) -> None:
    elsewhere = lay(tmp_path / "disk", "c23/videos/000.mp4")
    home = tmp_path / "ffpp" / "original_sequences"
    home.mkdir(parents=True)
    (home / "youtube").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(elsewhere)
    (row,) = read_layout("ffpp", tmp_path / "ffpp").rows
    assert row["path"] == f"{YOUTUBE}/c23/videos/000.mp4"


# -- Celeb-DF ------------------------------------------------------------------------


def test_celebdf_tells_people_originals_and_the_test_list(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "Celeb-real/id0_0000.mp4",
        "YouTube-real/00170.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
    )
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id9_id1_0000.mp4\n"
    )
    found = read_layout("celebdf", tmp_path)
    rows = by_path(found)
    assert rows["Celeb-synthesis/id0_id1_0000.mp4"] == {
        "path": "Celeb-synthesis/id0_id1_0000.mp4",
        "class": "Celeb-synthesis",
        "label": 1,
        "original": "Celeb-real/id0_0000.mp4",
        "subject": "id0",
        "donor": "id1",
        "test": False,
    }
    assert rows["YouTube-real/00170.mp4"]["test"] is True
    assert rows["Celeb-real/id0_0000.mp4"]["subject"] == "id0"
    assert kinds(found) == [("missing", "Celeb-synthesis/id9_id1_0000.mp4")]


def test_without_its_list_nobody_says_what_tests_celebdf(tmp_path: Path) -> None:
    found = read_layout("celebdf", lay(tmp_path, "Celeb-real/id0_0000.mp4"))
    assert [row["test"] for row in found.rows] == [None]
    assert kinds(found) == [("missing", "List_of_testing_videos.txt")]


def test_a_line_that_names_no_video_is_told(tmp_path: Path) -> None:
    lay(tmp_path, "Celeb-real/id0_0000.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text("yes Celeb-real/id0_0000.mp4\n\n")
    found = read_layout("celebdf", tmp_path)
    assert kinds(found) == [("unreadable", "List_of_testing_videos.txt")]


# -- DeepfakeBench -------------------------------------------------------------------


def test_deepfakebench_takes_folders_of_frames_with_the_labels_of_their_places(
    tmp_path: Path,
) -> None:
    lay(
        tmp_path,
        f"{YOUTUBE}/c23/frames/003/000.png",
        f"{FORGED}/Deepfakes/c23/frames/003_010/000.png",
    )
    rows = by_path(read_layout("deepfakebench", tmp_path))
    assert rows[f"{FORGED}/Deepfakes/c23/frames/003_010"] == {
        "path": f"{FORGED}/Deepfakes/c23/frames/003_010",
        "method": "Deepfakes",
        "compression": "c23",
        "label": 1,
        "original": f"{YOUTUBE}/c23/frames/003",
        "subject": "youtube/003",
        "donor": "youtube/010",
    }
    assert rows[f"{YOUTUBE}/c23/frames/003"]["label"] == 0


def test_deepfakebenchs_json_tells_labels_and_splits(tmp_path: Path) -> None:
    lay(tmp_path, "set/frames/a/000.png", "set/frames/b/000.png", "set/frames/other/000.png")
    tree = {
        "set": {
            "set_Real": {"test": {"a": {"label": "set_Real", "frames": ["set/frames/a/000.png"]}}},
            "set_Fake": {
                "train": {
                    "b": {"label": "set_Fake", "frames": ["set/frames/b/000.png"]},
                    "c": {"label": "set_Fake", "frames": ["set/frames/c/000.png"]},
                }
            },
        }
    }
    (tmp_path / "set.json").write_text(json.dumps(tree))
    found = read_layout("deepfakebench", tmp_path)
    told = {path: (row["label"], row["split"]) for path, row in by_path(found).items()}
    assert told == {"set/frames/a": (0, "test"), "set/frames/b": (1, "train")}
    assert kinds(found) == [("missing", "set/frames/c")]


def test_frames_that_nothing_calls_real_or_forged_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match="real or forged"):
        read_layout("deepfakebench", lay(tmp_path, "films/frames/a/000.png"))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="is not a folder"):
        read_layout("dfdc", tmp_path / "missing")


# -- any folder ----------------------------------------------------------------------


def test_videos_of_a_folder_are_real_unless_their_path_says_so(tmp_path: Path) -> None:
    lay(tmp_path, "ann/1.mp4", "fake/2.MOV", "notes.txt", ".hidden/3.mp4")
    assert [row["label"] for row in read_layout("folder", tmp_path).rows] == [0, 0]
    rows = by_path(read_layout("folder", tmp_path, fakes="^fake/"))
    assert {path: row["label"] for path, row in rows.items()} == {"ann/1.mp4": 0, "fake/2.MOV": 1}


@pytest.mark.parametrize(
    ("layout", "fakes", "words"),
    [
        ("kodf", None, "give one of dfdc, ffpp"),
        ("ffpp", "fake", "no use with ffpp"),
        ("folder", "(", "no regular expression"),
        ("dfdc", None, "holds no video where dfdc has them"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, layout: str, fakes: str | None, words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        read_layout(layout, lay(tmp_path, "notes.txt"), fakes)
