"""A DeepfakeBench tree serves as a bank where it lies; what is odd in it is told."""

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadBank
from faceblend.generate import generate
from faceblend.ingest.deepfakebench import Tree, open_deepfakebench, read_deepfakebench
from faceblend.recipe import load_recipe
from faceblend.store import verify

SIZE = 96
YOUTUBE = "original_sequences/youtube/c23"
DEEPFAKES = "manipulated_sequences/Deepfakes/c23"


def landmarks(seed: int, count: int = 81) -> np.ndarray:
    return np.random.default_rng(seed).integers(8, SIZE - 8, (count, 2))


def write_frame(root: Path, place: str, video: str, frame: int, *, size: int = SIZE) -> Path:
    """One crop with 81 whole-numbered landmarks, as ``preprocess.py`` leaves it."""
    seed = sum(map(ord, place + video)) + frame
    picture = root / place / "frames" / video / f"{frame:03d}.png"
    points = root / place / "landmarks" / video / f"{frame:03d}.npy"
    for path in (picture, points):
        path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    cv2.imwrite(str(picture), pixels)
    np.save(points, landmarks(seed))
    return picture


def write_tree(root: Path) -> Path:
    for video in ("000", "003"):
        for frame in (0, 12, 199):
            write_frame(root, YOUTUBE, video, frame)
    for frame in (0, 12):
        write_frame(root, DEEPFAKES, "000_003", frame)
    return root


def points_of(picture: Path) -> Path:
    video = picture.parent
    return video.parents[1] / "landmarks" / video.name / f"{picture.stem}.npy"


def write_index(
    path: Path,
    videos: Sequence[tuple[str, str, str, str]],
    *,
    compression: str | None = "c23",
    prefix: str = "/elsewhere/datasets/rgb/FaceForensics++",
    frames: Sequence[int] = (0, 12, 199),
) -> Path:
    """Videos as (label, split, place, name)."""
    content: dict = {}
    for label, split, place, name in videos:
        node = content.setdefault(label, {"train": {}, "val": {}, "test": {}})[split]
        if compression is not None:
            node = node.setdefault(compression, {})
        listed = [f"{prefix}/{place}/frames/{name}/{frame:03d}.png" for frame in frames]
        node[name] = {"label": label, "frames": listed}
    path.write_text(json.dumps({"FF-DF": content}))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "FaceForensics++")


def kinds(tree: Tree) -> list[tuple[str, str]]:
    return [(one.source, one.kind) for one in tree.refused]


def test_frames_and_landmarks_are_read_as_they_lie(root: Path) -> None:
    before = sorted(root.rglob("*"))
    bank = open_deepfakebench(root)
    assert (len(bank), bank.crop_size) == (8, SIZE)
    row = bank.table["crop"].to_pylist().index(f"{YOUTUBE}/frames/000/012.png")
    face = bank[row]
    assert (face.video, face.frame) == ("original_sequences/youtube/000", 12)
    picture = root / YOUTUBE / "frames" / "000" / "012.png"
    assert np.array_equal(face.image, cv2.imread(str(picture))[..., ::-1])
    assert np.array_equal(face.landmarks, np.load(points_of(picture))[:68])
    assert np.array_equal(face.forehead, np.load(points_of(picture))[68:])
    assert sorted(root.rglob("*")) == before


def test_68_points_of_any_number_type_serve_as_well(root: Path) -> None:
    picture = root / YOUTUBE / "frames" / "000" / "000.png"
    np.save(points_of(picture), landmarks(1, 68).astype(np.float64) + 0.25)
    bank = open_deepfakebench(root)
    row = bank.table["crop"].to_pylist().index(f"{YOUTUBE}/frames/000/000.png")
    assert np.array_equal(bank[row].landmarks, landmarks(1, 68) + np.float32(0.25))
    assert [bank[one].forehead is None for one in range(len(bank))].count(True) == 1
    assert bank[row].forehead is None


def test_the_datasets_folders_tell_what_is_forged(root: Path) -> None:
    bank = open_deepfakebench(root)
    labels = dict(
        zip(bank.table["video"].to_pylist(), bank.table["label"].to_pylist(), strict=True)
    )
    assert labels == {
        "original_sequences/youtube/000": 0,
        "original_sequences/youtube/003": 0,
        "manipulated_sequences/Deepfakes/000_003": 1,
    }


def test_a_video_whose_folders_tell_nothing_is_never_taken_for_real(tmp_path: Path) -> None:
    # DFDC mixes both in one folder
    write_frame(tmp_path, "train/dfdc_train_part_0", "abc", 0)
    with pytest.raises(BadBank, match="nothing tells whether it is real or forged"):
        open_deepfakebench(tmp_path)
    assert open_deepfakebench(tmp_path, label=1)[0].label == 1


def test_two_compressions_of_a_film_are_one_video(root: Path) -> None:
    write_frame(root, "original_sequences/youtube/c40", "000", 0)
    bank = open_deepfakebench(root)
    of_film = [video for video in bank.table["video"].to_pylist() if video.endswith("/000")]
    assert of_film == ["original_sequences/youtube/000"] * 4


def test_the_json_gives_labels_and_splits_whatever_machine_wrote_it(root: Path) -> None:
    listed = [
        ("FF-real", "train", YOUTUBE, "000"),
        ("FF-real", "test", YOUTUBE, "003"),
        ("FF-DF", "val", DEEPFAKES, "000_003"),
    ]
    index = write_index(root.parent / "FF-DF.json", listed, frames=(0, 12))
    bank = read_deepfakebench(root, index).bank
    found = {
        (video.rsplit("/")[-1], label, split)
        for video, label, split in zip(
            *(bank.table[name].to_pylist() for name in ("video", "label", "split")), strict=True
        )
    }
    assert found == {("000", 0, "train"), ("003", 0, "test"), ("000_003", 1, "val")}
    assert set(bank.table["frame"].to_pylist()) == {0, 12}


def test_windows_paths_relative_paths_and_deep_roots_name_the_same_videos(root: Path) -> None:
    listed = [("FF-real", "train", YOUTUBE, "000")]
    index = root.parent / "FF-DF.json"
    deep = root / "original_sequences"
    for prefix, place in (("./FaceForensics++", root), ("D:/x", root), ("/a/b", deep)):
        write_index(index, listed, prefix=prefix, frames=(0,))
        index.write_text(index.read_text().replace("/", "\\\\"))
        assert len(read_deepfakebench(place, index).bank) == 1
    write_index(index, listed, prefix="FaceForensics++", frames=(0,))
    assert len(read_deepfakebench(root.parent, index).bank) == 1


def test_the_jsons_compression_is_the_one_that_is_read(root: Path) -> None:
    write_frame(root, "original_sequences/youtube/c40", "000", 0)
    index = write_index(
        root.parent / "x.json", [("FF-real", "train", YOUTUBE, "000")], frames=(0,)
    )
    bank = read_deepfakebench(root, index).bank
    assert bank.table["crop"].to_pylist() == [f"{YOUTUBE}/frames/000/000.png"]


def test_a_video_in_several_splits_counts_to_the_strictest(root: Path) -> None:
    listed = [("FF-real", split, YOUTUBE, "000") for split in ("test", "train", "val")]
    bank = open_deepfakebench(root, write_index(root.parent / "x.json", listed))
    assert set(bank.table["split"].to_pylist()) == {"test"}


def test_a_split_that_is_itself_a_video_is_read(root: Path) -> None:
    # what rearrange.py writes as DFDC's val
    path = f"{YOUTUBE}/frames/003/000.png"
    content = {"DFDC": {"DFDC_Real": {"val": {"label": "DFDC_Real", "frames": [path]}}}}
    index = root.parent / "DFDC.json"
    index.write_text(json.dumps(content))
    bank = open_deepfakebench(root, index)
    assert (bank[0].split, bank[0].label, len(bank)) == ("val", 0, 1)


def test_a_json_in_the_root_is_found_among_others(root: Path) -> None:
    (root / "train.json").write_text('[["000", "003"]]')  # FF++'s own split file
    (root / "metadata.json").write_text('{"abc.mp4": {"label": "FAKE", "split": "train"}}')
    write_index(root / "FF-DF.json", [("FF-real", "test", YOUTUBE, "000")])
    assert set(open_deepfakebench(root).table["split"].to_pylist()) == {"test"}
    shutil.copy(root / "FF-DF.json", root / "again.json")
    with pytest.raises(BadBank, match=r"several dataset JSONs \(FF-DF.json, again.json\)"):
        open_deepfakebench(root)


def test_what_the_json_lists_and_the_tree_lacks_is_told(root: Path) -> None:
    listed = [("FF-real", "train", YOUTUBE, "000"), ("FF-real", "train", YOUTUBE, "999")]
    index = write_index(root.parent / "x.json", listed, prefix="FF", frames=(0, 77))
    tree = read_deepfakebench(root, index)
    assert len(tree.bank) == 1
    assert kinds(tree) == [
        (f"FF/{YOUTUBE}/frames/999", "missing"),
        (f"{YOUTUBE}/frames/000/077.png", "missing"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "lists no dataset"),
        ('{"a": 3}', "is int, no mapping"),
        ('{"a": {"FF-real": {"dev": {}}}}', "'dev' is no split"),
        ('{"a": {"FF-real": {"train": {"v": {"label": "FF-real", "frames": [3]}}}}}', "no list"),
        (
            '{"a": {"x": {"train": {"v": {"label": "x", "frames": ["f/v/0.png"]}}}}}',
            "neither real",
        ),
        ('{"a": {"x": {"train": {"v": 3}}}}', "no list of frames"),
    ],
)
def test_a_json_of_another_form_is_refused_in_words(root: Path, content: str, words: str) -> None:
    index = root.parent / "x.json"
    index.write_text(content)
    with pytest.raises(BadBank, match=words):
        open_deepfakebench(root, index)


def test_a_json_of_another_tree_is_refused(root: Path) -> None:
    index = write_index(root.parent / "x.json", [("FF-real", "train", "elsewhere", "000")])
    with pytest.raises(BadBank, match=r"none of the 1 videos that it lists, .*elsewhere"):
        open_deepfakebench(root, index)


def test_a_video_that_a_json_calls_both_is_refused(root: Path) -> None:
    listed = [("FF-real", "train", YOUTUBE, "000"), ("FF-DF", "train", YOUTUBE, "000")]
    with pytest.raises(BadBank, match="both as real and as forged"):
        open_deepfakebench(root, write_index(root.parent / "x.json", listed))


def test_a_path_that_two_videos_end_in_is_refused(root: Path) -> None:
    write_frame(root, "original_sequences/youtube/c40", "000", 0)
    content = {"a": {"FF-real": {"test": {"label": "FF-real", "frames": ["frames/000/000.png"]}}}}
    index = root.parent / "x.json"
    index.write_text(json.dumps(content))
    with pytest.raises(BadBank, match=r"may be .*c23.*c40"):
        open_deepfakebench(root, index)


def test_missing_and_odd_landmarks_are_left_out_and_told(root: Path) -> None:
    frames = root / YOUTUBE / "frames" / "000"
    points_of(frames / "000.png").unlink()
    np.save(points_of(frames / "012.png"), landmarks(0, 5))
    np.save(points_of(frames / "199.png"), np.zeros((81, 2)))
    tree = read_deepfakebench(root)
    place = f"{YOUTUBE}/frames/000"
    assert kinds(tree) == [
        (f"{place}/000.png", "no-landmarks"),
        (f"{place}/012.png", "bad-landmarks"),
        (f"{place}/199.png", "bad-landmarks"),
    ]
    assert "5x2, and not 68x2 or 81x2" in tree.refused[1].reason
    assert len(tree.bank) == 5
    with pytest.warns(UserWarning, match="left out 2 bad-landmarks, 1 no-landmarks"):
        open_deepfakebench(root)


class Trap:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("trapped"),)


def test_landmark_files_of_every_kind_of_damage_are_told_and_none_is_unpickled(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = points_of(root / YOUTUBE / "frames" / "000" / "000.png").read_bytes()
    trapped = np.array([Trap()], dtype=object)
    np.save(tmp_path / "trap.npy", trapped, allow_pickle=True)
    np.savez(tmp_path / "zip.npz", landmarks(0))
    np.save(tmp_path / "text.npy", np.full((81, 2), "x"))
    np.save(tmp_path / "nan.npy", np.full((81, 2), np.nan))
    np.save(tmp_path / "huge.npy", np.zeros((9999, 2)))
    vast = whole.replace(b"(81, 2)", b"(9" + b"9" * 3 + b",)")
    damaged = [b"", b"no array", whole[:60], whole[:-40], pickle.dumps(Trap()), vast]
    damaged += [(tmp_path / name).read_bytes() for name in ("trap.npy", "zip.npz", "text.npy")]
    damaged += [(tmp_path / name).read_bytes() for name in ("nan.npy", "huge.npy")]
    for number, data in enumerate(damaged, start=300):
        points_of(write_frame(root, YOUTUBE, "000", number)).write_bytes(data)
    tree = read_deepfakebench(root)
    assert [one.kind for one in tree.refused] == ["bad-landmarks"] * len(damaged)
    assert all(len(one.reason) > 20 for one in tree.refused)
    assert len(tree.bank) == 8
    assert not (tmp_path / "trapped").exists()


def test_pictures_that_do_not_fit_are_left_out_and_told(root: Path) -> None:
    frames = root / YOUTUBE / "frames" / "000"
    write_frame(root, YOUTUBE, "000", 500, size=64)
    write_frame(root, YOUTUBE, "000", 501).write_bytes(b"text")
    write_frame(root, YOUTUBE, "000", 502).rename(frames / "cover.png")
    tree = read_deepfakebench(root)
    assert kinds(tree) == [
        (f"{YOUTUBE}/frames/000/500.png", "bad-picture"),
        (f"{YOUTUBE}/frames/000/501.png", "bad-picture"),
        (f"{YOUTUBE}/frames/000/cover.png", "bad-name"),
    ]
    assert tree.refused[0].reason == "is 64x64 where most frames are 96x96"


def test_folders_without_frames_and_frames_without_faces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBank, match="is not a folder"):
        open_deepfakebench(tmp_path / "nowhere")
    with pytest.raises(BadBank, match="holds no frames/<video>/ folder"):
        open_deepfakebench(tmp_path)
    picture = write_frame(tmp_path, "real", "000", 0)
    points_of(picture).unlink()
    with pytest.raises(BadBank, match=r"no frame of it .* \(has no 000.npy in landmarks/\)"):
        open_deepfakebench(tmp_path)


def test_linked_folders_are_followed_and_circles_end(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "FF").symlink_to(root)
    (root / "original_sequences" / "back").symlink_to(root)
    assert len(open_deepfakebench(linked)) == 8


def test_a_tree_travels_to_workers_with_everything_that_it_knows(root: Path) -> None:
    index = write_index(root.parent / "x.json", [("FF-real", "test", YOUTUBE, "000")])
    bank = open_deepfakebench(root, index)
    shutil.rmtree(root / YOUTUBE / "landmarks")
    again = pickle.loads(pickle.dumps(bank))  # noqa: S301 - our own bytes of a moment ago
    assert again.fingerprint == bank.fingerprint
    assert again[0].split == "test"
    assert np.array_equal(again[0].image, bank[0].image)


def test_a_tree_is_blended_by_several_workers(bank: FaceBank, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for row in range(len(bank)):
        face = bank[row]
        picture = tree / "real" / "frames" / face.video / f"{face.frame:03d}.png"
        for path in (picture, points_of(picture)):
            path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), face.image[..., ::-1])
        np.save(points_of(picture), face.landmarks)
    opened = open_deepfakebench(tree)
    report = generate(
        opened, load_recipe("bi"), tmp_path / "set", count=8, shard_size=4, workers=2
    )
    assert (report.stored, report.failed) == (8, ())
    assert not verify(tmp_path / "set", bank=opened, replays=8).problems
