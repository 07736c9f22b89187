"""Each kind of fault is found once where it is, and none in a sound bank or folder."""

import dataclasses
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceblend.bank import FaceBank, FaceRow
from faceblend.doctor import DISTANCE, Diagnosis, Finding, doctor
from faceblend.doctor.faceshape import implausible, misplaced
from faceblend.doctor.lookalike import hashes_of, look_of, lookalikes, near, same
from faceblend.errors import BadArgument, MissingModel
from faceblend.face import Image, Landmarks
from faceblend.ingest.detect import Detection, DlibHog
from faceblend.ingest.extract import extract
from faceblend.ingest.photograph import read_photograph
from tests.conftest import CROP, drawn_face, face_template, make_bank

FACES = Path(__file__).parents[3] / "shared" / "faces"
real_faces = pytest.mark.skipif(not FACES.exists(), reason="../shared/faces is not here")

Rows = list[FaceRow]


def rows_of(bank: FaceBank) -> Rows:
    return [
        FaceRow(**cells, landmarks=np.asarray(bank.landmarks[row]).ravel().tolist())
        for row, cells in enumerate(bank.table.to_pylist())
    ]


def remade(bank: FaceBank, change: Callable[[Rows], Rows]) -> FaceBank:
    """The same folder with other rows."""
    rows = rows_of(FaceBank.open(bank.root))
    return FaceBank.create(bank.root, change(rows), crop_size=CROP, made_by={})


def changed(number: int, **values: object) -> Callable[[Rows], Rows]:
    def change(rows: Rows) -> Rows:
        rows[number] = dataclasses.replace(rows[number], **values)  # type: ignore[arg-type]
        return rows

    return change


def save(path: Path, image: Image, *, quality: int = 95) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    data = cv2.imencode(path.suffix, bgr, options)[1].tobytes()
    path.write_bytes(data)
    return data


def replaced(bank: FaceBank, number: int, image: Image) -> FaceBank:
    """The same bank with another crop at a row."""
    data = save(bank.root / bank.crop(number), image)
    return remade(bank, changed(number, crc32=zlib.crc32(data)))


def only(found: Diagnosis) -> Finding:
    assert len(found.findings) == 1, found.findings
    return found.findings[0]


@pytest.fixture
def sound(tmp_path: Path) -> FaceBank:
    return make_bank(tmp_path / "bank")


# -- a bank ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_sound_bank_gives_no_finding(tmp_path: Path, suffix: str) -> None:
    made = make_bank(
        tmp_path / "bank",
        videos=8,
        frames=8,
        suffix=suffix,
        subjects={"v0": "ann", "v1": "ann", "v2": "bob"},
        splits={f"v{number}": "train" if number < 4 else "test" for number in range(8)},
        labels={"v3": 1},
    )
    found = doctor(made.root)
    assert (found.findings, found.items, found.what) == ((), 64, "bank")
    assert not found.failed
    assert found.unseen == ()
    assert str(found) == f"nothing found in 64 crops of the bank {made.root}"


def test_a_missing_crop_is_found(sound: FaceBank) -> None:
    (sound.root / sound.crop(4)).unlink()
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(4), "missing")
    assert "put it back" in found.remedy


def test_changed_bytes_are_corrupt(sound: FaceBank) -> None:
    path = sound.root / sound.crop(4)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(4), "corrupt")
    assert "have changed" in found.detail


def test_a_crop_that_cannot_be_decoded_is_corrupt(sound: FaceBank) -> None:
    (sound.root / sound.crop(4)).write_bytes(b"no picture")
    remade(sound, changed(4, crc32=None))
    assert only(doctor(sound.root)).detail == "is not a picture that can be decoded"


def test_a_crop_of_another_size_is_corrupt(sound: FaceBank) -> None:
    replaced(sound, 4, np.ascontiguousarray(sound.image(4)[:300, :300]))
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(4), "corrupt")
    assert "300x300" in found.detail


def test_pictures_that_no_row_names_are_strays(sound: FaceBank) -> None:
    save(sound.root / "crops" / "v0" / "other.PNG.jpg", sound.image(0))
    (sound.root / "crops" / ".half.png.1-ab.tmp").write_bytes(b"")
    (sound.root / "notes.txt").write_text("mine")
    (sound.root / "cache" / "picture.png").write_bytes(b"")
    found = doctor(sound.root)
    assert [one.item for one in found.findings] == [
        "crops/.half.png.1-ab.tmp",
        "crops/v0/other.PNG.jpg",
    ]
    assert found.counts == {"stray": 2}
    assert "did not finish" in found.findings[0].detail


@pytest.mark.parametrize(("asked", "short"), [(0, False), (6, False), (7, True), (32, True)])
def test_a_video_that_gave_under_half_of_the_frames_is_short(
    sound: FaceBank, asked: int, short: bool
) -> None:
    rows = [row for row in rows_of(sound) if row.video == "v0"]
    rows += [
        dataclasses.replace(row, source=f"{row.video}/{row.frame}.jpg")
        for row in rows_of(sound)
        if row.video != "v0"
    ]
    FaceBank.create(sound.root, rows, crop_size=CROP, made_by={"frames_per_video": asked})
    found = doctor(sound.root)
    assert [(one.item, one.kind) for one in found.findings] == [("v0.mp4", "short")] * short


def test_what_extract_refused_is_passed_on(sound: FaceBank) -> None:
    kinds = ["no-face", "unreadable", "cut-off", "small-face", "ungrouped", "failed"]
    lines = [
        json.dumps({"source": f"{kind}.jpg", "kind": kind, "reason": f"is {kind}; do this"})
        for kind in kinds
    ]
    (sound.root / "errors.jsonl").write_text("\n".join([*lines, "{half", "[]"]))
    found = {one.item: one for one in doctor(sound.root).findings}
    assert {item: one.kind for item, one in found.items() if item != "errors.jsonl"} == {
        "no-face.jpg": "no-face",
        "unreadable.jpg": "corrupt",
        "cut-off.jpg": "short",
        "small-face.jpg": "low-resolution",
        "ungrouped.jpg": "missing",
        "failed.jpg": "failed",
    }
    assert found["no-face.jpg"].detail == "refused by extract as no-face: is no-face"
    assert found["no-face.jpg"].remedy == "do this"
    assert found["errors.jsonl"].kind == "corrupt"
    assert doctor(sound.root).counts["corrupt"] == 3


def test_a_copy_in_another_video_is_a_duplicate(sound: FaceBank) -> None:
    copy = cv2.resize(sound.image(0), (160, 160), interpolation=cv2.INTER_AREA)
    copy = np.clip(cv2.resize(copy, (CROP, CROP)).astype(int) + 20, 0, 255).astype(np.uint8)
    replaced(sound, 7, copy)
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(0), "duplicate")
    assert found.detail == f"shows the same as {sound.crop(7)} (2 videos)"


def test_a_duplicate_across_splits_says_so(tmp_path: Path) -> None:
    splits = {"v0": "train", "v1": "train", "v2": "test", "v3": "test"}
    made = make_bank(tmp_path / "bank", splits=splits)
    replaced(made, 7, made.image(0))
    assert only(doctor(made.root)).detail.endswith("(2 videos, across test and train)")


def test_duplicates_come_as_clusters(sound: FaceBank) -> None:
    for number in (4, 7, 10):
        replaced(sound, number, sound.image(0))
    found = only(doctor(sound.root))
    others = ", ".join(sound.crop(number) for number in (4, 7, 10))
    assert found.detail == f"shows the same as {others} (4 videos)"


def test_frames_of_one_video_may_look_alike(sound: FaceBank) -> None:
    nearly = np.clip(sound.image(0).astype(int) + 3, 0, 255).astype(np.uint8)
    replaced(sound, 1, nearly)
    assert doctor(sound.root).findings == ()


def test_videos_of_one_person_may_look_alike(tmp_path: Path) -> None:
    for name, subjects in (("same", {"v0": "ann", "v1": "ann"}), ("other", {"v0": "ann"})):
        made = make_bank(tmp_path / name, subjects=subjects)
        image = cv2.GaussianBlur(made.image(0), (3, 3), 0)  # another quality of the film
        found = doctor(replaced(made, 3, np.asarray(image)).root)
        assert [one.kind for one in found.findings] == ([] if name == "same" else ["duplicate"])


def test_equal_pixels_in_one_video_are_a_duplicate(sound: FaceBank) -> None:
    replaced(sound, 1, sound.image(0))
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(0), "duplicate")
    assert found.detail == f"has the pixels of {sound.crop(1)} of the same video"


def test_equal_pixels_in_one_frame_are_inconsistent(sound: FaceBank) -> None:
    replaced(sound, 1, sound.image(0))
    remade(sound, changed(1, frame=0))
    kinds = [(one.item, one.kind) for one in doctor(sound.root).findings]
    assert kinds == [("v0", "multi-face"), (sound.crop(0), "inconsistent")]


def test_flat_crops_are_no_duplicates_of_each_other(sound: FaceBank) -> None:
    vignette = np.outer(*2 * [np.sin(np.linspace(0, np.pi, CROP))])[..., None]
    for number, level in ((0, 10), (4, 200), (7, 90)):
        # the same faint shade in each, as a lens gives to black frames
        replaced(sound, number, np.repeat(level + 6 * vignette, 3, axis=2).astype(np.uint8))
    assert doctor(sound.root).findings == ()
    replaced(sound, 7, FaceBank.open(sound.root).image(4))
    assert only(doctor(sound.root)).item == sound.crop(4)


def test_a_forgery_may_look_like_its_original(tmp_path: Path) -> None:
    made = make_bank(tmp_path / "bank", labels={"v1": 1, "v2": 1})
    nearly = np.clip(made.image(0).astype(int) + 3, 0, 255).astype(np.uint8)
    replaced(made, 4, nearly)
    replaced(made, 7, nearly)
    assert doctor(made.root).findings == ()


def test_equal_pixels_with_both_labels_are_inconsistent(tmp_path: Path) -> None:
    made = make_bank(tmp_path / "bank", labels={"v1": 1})
    replaced(made, 4, made.image(0))
    found = only(doctor(made.root))
    assert (found.item, found.kind) == (made.crop(0), "inconsistent")
    assert "both real and forged" in found.detail


def test_a_face_that_was_small_in_its_source_is_of_low_resolution(sound: FaceBank) -> None:
    remade(sound, changed(4, crop_to_frame=[0.2, 0, 0, 0, 0.2, 0], box=[12, 20, 52, 60]))
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(4), "low-resolution")
    assert "px in the source, under 64" in found.detail
    assert doctor(sound.root, min_size=30).findings == ()


def test_faces_of_unknown_size_are_counted(sound: FaceBank) -> None:
    remade(sound, changed(4, crop_to_frame=None))
    found = doctor(sound.root)
    assert found.findings == ()
    assert "small faces among 1:" in only_one(found.unseen)


def only_one(texts: tuple[str, ...]) -> str:
    assert len(texts) == 1
    return texts[0]


def test_several_faces_of_one_frame_are_a_note_and_no_failure(sound: FaceBank) -> None:
    remade(sound, changed(1, frame=0))
    found = doctor(sound.root)
    assert (only(found).item, only(found).kind) == ("v0", "multi-face")
    assert only(found).detail == "several faces in 1 of 2 frames, up to 2"
    assert not found.failed


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda points: points[::-1], "degrees from upright|do not lie|mirrored"),
        (lambda points: np.column_stack([316 - points[:, 0], points[:, 1]]), "mirrored"),
        (lambda points: 316 - points, "from upright"),
        (lambda points: points + 200, "out of the crop"),
        (lambda points: points * 0 + 158, "collapsed"),
        (lambda points: points + np.array([0, 70]), "from where the bank's other faces"),
        (lambda points: 0.5 * points + 80, "times as large|degrees"),
        (lambda points: points + 120 * (np.arange(68) == 30)[:, None], "landmark 30 is"),
    ],
)
def test_landmarks_of_no_face_are_implausible(
    sound: FaceBank, spoil: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    spoilt = spoil(np.asarray(sound.landmarks[4])).astype(np.float32).ravel().tolist()
    remade(sound, changed(4, landmarks=spoilt, crop_to_frame=None, box=None))
    found = doctor(sound.root)
    assert (only(found).item, only(found).kind) == (sound.crop(4), "landmark-implausible")
    assert any(part in only(found).detail for part in words.split("|"))


@pytest.mark.parametrize(
    ("number", "values", "item", "words"),
    [
        (1, {"split": "test"}, "v0", "split test and train"),
        (1, {"label": 1}, "v0", "label 0 and 1"),
        (4, {"box": [900.0, 900.0, 1000.0, 1000.0]}, "crops/v1/000001_0.png", "do not meet"),
    ],
)
def test_columns_at_odds_are_inconsistent(
    tmp_path: Path, number: int, values: dict[str, object], item: str, words: str
) -> None:
    made = make_bank(tmp_path / "bank", splits={f"v{number}": "train" for number in range(4)})
    remade(made, changed(number, **values))
    found = only(doctor(made.root))
    assert (found.item, found.kind) == (item, "inconsistent")
    assert words in found.detail


def test_one_subject_in_two_splits_is_inconsistent(tmp_path: Path) -> None:
    made = make_bank(
        tmp_path / "bank",
        videos=2,
        subjects={"v0": "ann", "v1": "ann"},
        splits={"v0": "train", "v1": "test"},
    )
    found = only(doctor(made.root))
    assert (found.item, found.kind) == ("ann", "inconsistent")
    assert found.detail == "is one subject, and is in test and train"


def test_a_copy_of_the_landmarks_that_is_not_theirs_is_inconsistent(sound: FaceBank) -> None:
    path = next((sound.root / "cache").glob("*.npy"))
    points = np.load(path)
    points[3] += 1
    np.save(path, points)
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == ("cache", "inconsistent")
    shutil.rmtree(sound.root / "cache")
    assert doctor(sound.root).findings == ()


def test_a_damaged_table_is_told_and_stops_nothing(sound: FaceBank) -> None:
    (sound.root / "faces.parquet").write_bytes(b"PAR1 and nothing")
    (sound.root / "errors.jsonl").write_text(
        json.dumps({"source": "a.jpg", "kind": "no-face", "reason": "none; crop"})
    )
    found = doctor(sound.root)
    assert [(one.item, one.kind) for one in found.findings] == [
        ("faces.parquet", "corrupt"),
        ("a.jpg", "no-face"),
    ]
    assert found.items == 0


class Squares:
    """Finds a face wherever the picture's top left corner is bright."""

    name = "squares"

    def detect(self, image: Image) -> list[Detection]:
        count = int(image[0, 0, 0]) // 100
        points = face_template()
        return [Detection(box=(60, 100, 260, 300), score=1.0, landmarks=points)] * count


def test_an_unfinished_bank_is_looked_at_as_far_as_it_went(tmp_path: Path) -> None:
    for number in range(3):
        image = drawn_face(number)[0]
        image[0, 0] = 100
        save(tmp_path / "in" / str(number) / "a.png", image)
    root = extract(tmp_path / "in", tmp_path / "bank", detector=Squares()).bank.root
    assert doctor(root).findings == ()
    (root / "bank.json").unlink()
    found = doctor(root)
    assert (only(found).item, only(found).kind) == ("bank.json", "missing")
    assert "not finished" in only(found).detail
    assert (found.what, found.items) == ("unfinished bank", 3)
    (root / "crops" / "1" / "000000_0.png").unlink()
    (root / "faces.parquet").unlink()
    assert doctor(root).counts == {"missing": 2}
    next((root / "checkpoints").rglob("1.json")).write_text("{")
    assert doctor(root).counts == {"missing": 1, "corrupt": 1}


def test_a_bank_that_lost_all_its_crops_is_told_crop_by_crop(sound: FaceBank) -> None:
    shutil.rmtree(sound.root / "crops")
    found = doctor(sound.root)
    assert found.counts == {"missing": 12}
    assert [one.item for one in found.findings] == [sound.crop(row) for row in range(12)]


def test_crops_that_could_not_be_looked_at_are_told(
    sound: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chokes(image: Image) -> int:
        raise MemoryError(f"no room for {image.shape}")

    monkeypatch.setattr("faceblend.doctor.crops.digest_of", chokes)
    found = only(doctor(sound.root))
    assert (found.item, found.kind) == (sound.crop(0), "failed")
    assert "the 11 behind it could not be looked at (no room" in found.detail


def test_findings_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    made = make_bank(tmp_path / "bank", videos=30, frames=6)
    for number in (8, 60, 150):
        replaced(made, number, made.image(0))
    (made.root / made.crop(170)).write_bytes(b"")
    (made.root / made.crop(20)).unlink()
    one, two = doctor(made.root), doctor(made.root, workers=2)
    assert one == two
    assert one.counts == {"missing": 1, "corrupt": 1, "duplicate": 1}


# -- a folder ----------------------------------------------------------------------------


def film(path: Path, pictures: list[Image], *, crf: int = 18) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # the table of frames goes first, as in films that are served
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "ultrafast"}
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def scene(seed: int, frames: int = 32, size: int = 160) -> list[Image]:
    """A face that wanders through the picture."""
    image = cv2.resize(drawn_face(seed)[0], (size, size), interpolation=cv2.INTER_AREA)
    return [np.roll(image, 3 * number, axis=1) for number in range(frames)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    for number in range(4):
        save(root / f"{number}.jpg", drawn_face(number)[0])
    film(root / "a.mp4", scene(10))
    film(root / "b.mp4", scene(11))
    return root


def test_a_sound_folder_gives_no_finding(folder: Path) -> None:
    found = doctor(folder)
    assert (found.findings, found.items, found.what) == ((), 6, "folder")
    assert "no detector" in only_one(found.unseen)
    assert "nothing found in 6 photographs and videos" in str(found)


def test_files_that_cannot_be_read_are_corrupt(folder: Path) -> None:
    (folder / "4.jpg").write_bytes((folder / "3.jpg").read_bytes()[:900])
    (folder / "5.png").write_bytes(b"")
    (folder / "c.mp4").write_bytes(b"no film")
    found = doctor(folder)
    assert [one.item for one in found.findings] == ["4.jpg", "5.png", "c.mp4"]
    assert found.counts == {"corrupt": 3}


def test_a_video_of_few_frames_is_short(folder: Path) -> None:
    film(folder / "c.mp4", scene(12, frames=31))
    found = only(doctor(folder))
    assert (found.item, found.kind) == ("c.mp4", "short")
    assert found.detail == "has 31 frames, under 32"


def test_a_video_that_was_cut_off_is_short(folder: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(60)]
    film(folder / "c.mp4", noise)
    data = (folder / "c.mp4").read_bytes()
    (folder / "c.mp4").write_bytes(data[: len(data) * 7 // 10])
    found = doctor(folder)
    assert {(one.item, one.kind) for one in found.findings} >= {("c.mp4", "short")}
    short = next(one for one in found.findings if one.kind == "short")
    assert "its header says 60 frames" in short.detail
    assert set(found.counts) <= {"short", "corrupt"}


def test_small_pictures_are_of_low_resolution(folder: Path) -> None:
    save(folder / "4.png", cv2.resize(drawn_face(9)[0], (90, 63)))
    film(folder / "c.mp4", scene(12, size=62))
    found = doctor(folder)
    assert [one.item for one in found.findings] == ["4.png", "c.mp4"]
    assert found.counts == {"low-resolution": 2}
    assert doctor(folder, min_size=60).findings == ()


def test_copies_of_a_photograph_are_duplicates(folder: Path) -> None:
    image = read_photograph(folder / "0.jpg")
    small = cv2.resize(image, (158, 158), interpolation=cv2.INTER_AREA)
    save(folder / "copies" / "q60.jpg", image, quality=60)
    save(folder / "copies" / "half.png", small)
    found = only(doctor(folder))
    assert (found.item, found.kind) == ("0.jpg", "duplicate")
    assert found.detail == "shows the same as copies/half.png, copies/q60.jpg"


def test_copies_of_a_video_are_duplicates(folder: Path) -> None:
    shutil.copy(folder / "a.mp4", folder / "same.mp4")
    film(folder / "worse.mp4", scene(10), crf=34)
    film(folder / "backwards.mp4", scene(11)[::-1])
    film(folder / "half.mp4", scene(10)[:16] + scene(12)[16:])
    found = only(doctor(folder))
    assert (found.item, found.kind) == ("a.mp4", "duplicate")
    assert found.detail == "shows the same as same.mp4, worse.mp4"


def test_flat_videos_are_duplicates_only_byte_for_byte(tmp_path: Path) -> None:
    for name, level in (("a", 10), ("b", 200)):
        film(tmp_path / f"{name}.mp4", [np.full((96, 96, 3), level, np.uint8)] * 32)
    assert doctor(tmp_path).findings == ()
    shutil.copy(tmp_path / "a.mp4", tmp_path / "c.mp4")
    assert only(doctor(tmp_path)).detail == "shows the same as c.mp4"


class Bright:
    """Finds one face for every 60 levels of the mean."""

    name = "bright"

    def detect(self, image: Image) -> list[Detection]:
        points = face_template()
        count = int(image.mean()) // 60
        return [Detection(box=(0, 0, 9, 9), score=1.0, landmarks=points)] * count


def test_faces_are_counted_only_with_a_detector(tmp_path: Path) -> None:
    for name, level in (("none.png", 30), ("one.png", 90), ("two.png", 150)):
        save(tmp_path / name, np.full((80, 80, 3), level, np.uint8))
    film(tmp_path / "none.mp4", [np.full((96, 96, 3), 20, np.uint8)] * 32)
    assert doctor(tmp_path).findings == ()
    found = doctor(tmp_path, detector=Bright())
    assert [(one.item, one.kind) for one in found.findings] == [
        ("none.mp4", "no-face"),
        ("none.png", "no-face"),
        ("two.png", "multi-face"),
    ]
    assert found.unseen == ()


class Broken:
    """Never works."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def detect(self, image: Image) -> list[Detection]:  # noqa: ARG002 - the protocol's
        raise self._error


def test_a_detector_that_fails_is_told_and_a_missing_one_raised(folder: Path) -> None:
    found = doctor(folder, detector=Broken(RuntimeError("no luck")))
    assert found.counts == {"failed": 6}
    assert "no luck" in found.findings[0].detail
    with pytest.raises(MissingModel, match="dlib"):
        doctor(folder, detector=Broken(MissingModel("dlib", "is not there", "install it")))


@pytest.mark.parametrize("name", ["absent", "empty", "text"])
def test_a_folder_of_nothing_usable_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("words")
    with pytest.raises(BadArgument, match=r"is not there|holds no photograph"):
        doctor(tmp_path / name)


@pytest.mark.parametrize(
    "values", [{"min_size": 0}, {"distance": -1}, {"distance": 17}, {"workers": 0}]
)
def test_values_out_of_range_are_refused(folder: Path, values: dict[str, int]) -> None:
    with pytest.raises(BadArgument, match="give"):
        doctor(folder, **values)


def test_nothing_is_changed(sound: FaceBank, folder: Path) -> None:
    def state(root: Path) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    for root in (sound.root, folder):
        before = state(root)
        doctor(root)
        assert state(root) == before


# -- how it is told ----------------------------------------------------------------------


def test_the_summary_shows_the_first_few_of_each_kind_and_the_dict_shows_all(
    sound: FaceBank,
) -> None:
    for number in range(5):
        (sound.root / sound.crop(number)).unlink()
    found = doctor(sound.root)
    lines = str(found).splitlines()
    assert lines[0] == f"5 findings in 12 crops of the bank {sound.root}"
    assert lines[3].split()[:3] == ["missing", "5", f"{sound.crop(0)}:"]
    assert "and 2 more" in lines[6]
    assert lines[7].strip().startswith("-> put it back")
    whole = json.loads(json.dumps(found.to_dict()))
    assert [one["item"] for one in whole["findings"]] == [sound.crop(row) for row in range(5)]
    assert (whole["format"], whole["counts"], whole["failed"]) == (1, {"missing": 5}, True)


# -- hashes ------------------------------------------------------------------------------

words = st.integers(0, 2**64 - 1)


@st.composite
def crowds(draw: st.DrawFn) -> list[int]:
    """Hashes, some of them a few bits from others."""
    crowd = draw(st.lists(words, max_size=12))
    for origin in list(crowd):
        for flips in draw(st.lists(st.lists(st.integers(0, 63), max_size=12), max_size=3)):
            other = origin
            for bit in flips:
                other ^= 1 << bit
            crowd.append(other)
    return draw(st.permutations(crowd))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(crowds(), st.integers(0, 16))
def test_the_banded_search_finds_what_brute_force_finds(crowd: list[int], distance: int) -> None:
    expected = [
        [one, other]
        for one in range(len(crowd))
        for other in range(one + 1, len(crowd))
        if (crowd[one] ^ crowd[other]).bit_count() <= distance
    ]
    assert near(np.array(crowd, np.uint64), distance).tolist() == expected


def test_the_banded_search_compares_few_of_many() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 200_000, dtype=np.uint64)
    hashes[150_000] = hashes[3] ^ np.uint64(0b1011)
    # 2e10 pairs, which would take minutes
    assert near(hashes, 3).tolist() == [[3, 150_000]]


def test_a_look_survives_size_and_is_empty_without_contrast() -> None:
    image = drawn_face(0)[0]
    look, half = look_of(image), look_of(cv2.resize(image, None, fx=0.5, fy=0.5))
    assert np.corrcoef(look, half)[0, 1] > 0.99
    assert not look_of(np.full((50, 70, 3), 128, np.uint8)).any()
    assert not look_of(np.full((1, 1, 3), 255, np.uint8)).any()


def test_near_hashes_of_other_pictures_are_not_the_same() -> None:
    rng = np.random.default_rng(0)
    look = rng.normal(0, 1, 64).astype(np.float32)
    # the same signs, other sizes: equal hashes of different pictures
    other = np.where(look > np.median(look), 1, -1) * np.abs(rng.normal(0, 9, 64))
    looks = np.stack([look, other.astype(np.float32)])
    assert len(near(hashes_of(looks), DISTANCE)) == 1
    assert len(same(looks)) == 0


def test_still_videos_cost_no_more_than_pictures() -> None:
    rng = np.random.default_rng(0)
    stills = np.repeat(rng.normal(0, 9, (2, 64)), 20_000, axis=0).astype(np.float32)
    stills += rng.normal(0, 1e-6, stills.shape).astype(np.float32)
    stills[20_000] = stills[0]
    groups = np.repeat([0, 1], 20_000)
    found = lookalikes(stills, np.arange(40_000), groups)
    assert len(found) == 1
    assert found[0][-1] == 20_000


# -- real faces --------------------------------------------------------------------------


def variants(image: Image) -> dict[str, Image]:
    height, width = image.shape[:2]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    half = (width // 2, height // 2)
    return {
        "quality 60": cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
        "half": cv2.resize(image, half, interpolation=cv2.INTER_AREA),
        "brighter": np.clip(image.astype(int) + 30, 0, 255).astype(np.uint8),
        "darker": np.clip(image.astype(int) - 30, 0, 255).astype(np.uint8),
    }


def portraits() -> list[tuple[str, Image]]:
    paths = sorted(path for path in (FACES / "people").rglob("*.*") if path.is_file())
    return [(path.parent.name, read_photograph(path)) for path in paths]


@real_faces
def test_other_people_are_no_duplicates_and_copies_are() -> None:
    people = portraits()
    looks = np.stack([look_of(image) for _, image in people])
    pairs = same(looks)
    assert all(people[one][0] == people[other][0] for one, other in pairs.tolist())
    missed = 0
    for number, (_, image) in enumerate(people):
        for copy in variants(image).values():
            missed += len(same(np.stack([looks[number], look_of(copy)]))) == 0
    assert missed == 0


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    root = tmp_path_factory.mktemp("people")
    return extract(FACES / "people", root / "bank", detector=DlibHog()).bank


@pytest.fixture(scope="module")
def crowds_of(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    out = tmp_path_factory.mktemp("groups") / "bank"
    return extract(
        FACES / "groups", out, group="file", faces="all", min_face=20, align="five-point"
    ).bank


@pytest.mark.model
@real_faces
def test_real_portraits_give_no_false_finding(people: FaceBank) -> None:
    found = doctor(people.root)
    # one picture shows no face to dlib, and one is there twice under two names
    assert found.counts == {"no-face": 1, "duplicate": 1}
    assert found.items == 125


@pytest.mark.model
@real_faces
def test_real_crowds_give_small_faces_and_no_implausible_ones(crowds_of: FaceBank) -> None:
    found = doctor(crowds_of.root)
    assert set(found.counts) == {"no-face", "low-resolution", "multi-face"}
    assert found.counts["low-resolution"] == pytest.approx(105, abs=15)


@pytest.mark.model
@real_faces
@pytest.mark.parametrize("spoil", ["shuffled", "mirrored", "upside down", "x and y", "one point"])
def test_spoilt_landmarks_of_real_faces_are_implausible(
    people: FaceBank, crowds_of: FaceBank, spoil: str
) -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([people.landmarks, crowds_of.landmarks])
    assert [implausible(face, CROP) for face in points] == [None] * len(points)

    def spoilt(face: Landmarks) -> np.ndarray:
        if spoil == "shuffled":
            return face[rng.permutation(68)]
        if spoil == "mirrored":
            return np.column_stack([CROP - 1 - face[:, 0], face[:, 1]])
        if spoil == "upside down":
            return CROP - 1 - face
        if spoil == "x and y":
            return face[:, ::-1]
        turn = rng.uniform(0, 2 * np.pi)
        face[rng.integers(68)] += 110 * np.array([np.cos(turn), np.sin(turn)], np.float32)
        return face

    found = [
        implausible(np.ascontiguousarray(spoilt(face.copy()), np.float32), CROP) for face in points
    ]
    assert found.count(None) == 0


@pytest.mark.model
@real_faces
def test_shifted_landmarks_of_real_faces_are_misplaced(people: FaceBank) -> None:
    points = np.array(people.landmarks)
    for row in range(len(points)):
        shifted = points.copy()
        shifted[row] += np.float32(0.1 * CROP)
        assert [one for one, _ in misplaced(shifted, CROP)] == [row]
