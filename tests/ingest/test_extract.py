"""A folder of photographs becomes the same bank, however it was made."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.JpegImagePlugin
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, MissingModel, NoFace
from faceblend.face import Image, Landmarks
from faceblend.ingest.crop import crop_face
from faceblend.ingest.detect import Detection
from faceblend.ingest.extract import extract
from faceblend.ingest.group import named, safe_path
from faceblend.ingest.landmarks import landmarks

# a face of 90 px in a picture of 240: what the drawn detector finds
TEMPLATE = (
    np.column_stack([np.cos(np.arange(68) * 2.4), np.sin(np.arange(68) * 2.4)])
    * np.sqrt(np.linspace(0.05, 1, 68))[:, None]
    * 45
).astype(np.float32)

DETECTOR = """
from dataclasses import dataclass
import time
import numpy as np
from faceblend.ingest.detect import Detection

@dataclass(frozen=True)
class Brightest:
    slow: float = 0.0

    @property
    def name(self):
        return "brightest"

    def detect(self, image):
        time.sleep(self.slow)
        y, x = np.unravel_index(image.sum(axis=2).argmax(), image.shape[:2])
        turn = np.arange(68) * 2.4
        ring = np.sqrt(np.linspace(0.05, 1, 68))
        points = np.column_stack([np.cos(turn) * ring, np.sin(turn) * ring]) * 45 + [x, y]
        box = (x - 50.0, y - 50.0, x + 50.0, y + 50.0)
        return [Detection(box=box, score=1.0, landmarks=points.astype(np.float32))]
"""


@dataclass
class Drawn:
    """Finds a face around every pixel of 255 in the red channel; the last one is the largest."""

    seen: list[bytes] = field(default_factory=list)
    fail_on: bytes | None = None
    name: str = "drawn"

    def detect(self, image: Image) -> list[Detection]:
        digest = hashlib.sha256(image.tobytes()).digest()
        self.seen.append(digest)
        if digest == self.fail_on:
            raise RuntimeError("the detector choked\non this")
        spots = np.argwhere(image[..., 0] == 255)
        return [face_at(x, y, 1 + 0.1 * size) for size, (y, x) in enumerate(spots)][::-1]


def face_at(x: int, y: int, scale: float) -> Detection:
    points: Landmarks = TEMPLATE * np.float32(scale) + np.array([x, y], np.float32)
    half = 50.0 * scale
    return Detection(box=(x - half, y - half, x + half, y + half), score=0.5, landmarks=points)


def picture(seed: int, spots: int = 1) -> Image:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 200, (240, 240, 3), dtype=np.uint8)
    for spot in range(spots):
        image[90 + 10 * spot + seed % 20, 110 + seed % 30] = 255
    return image


def save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three people of two, two and one pictures."""
    root = tmp_path / "photographs"
    for number, name in enumerate(("ann/a", "ann/b", "ben/a", "ben/b", "eve/a")):
        save(root / f"{name}.png", picture(number))
    return root


def contents(root: Path) -> dict[str, str]:
    """Every file's digest, but for the copy that is made when a bank is opened."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "cache"
    }


def errors(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "errors.jsonl").read_text().splitlines()]


# -- what is in the bank -------------------------------------------------------------


def test_each_row_says_where_its_crop_came_from(photographs: Path, tmp_path: Path) -> None:
    report = extract(photographs, tmp_path / "bank", detector=Drawn())
    assert (report.faces, report.videos, report.pictures) == (5, 3, 5)
    rows = report.bank.table.to_pylist()
    assert [row["source"] for row in rows] == [
        f"{name}.png" for name in ("ann/a", "ann/b", "ben/a", "ben/b", "eve/a")
    ]
    assert [(row["video"], row["frame"]) for row in rows] == [
        ("ann", 0), ("ann", 1), ("ben", 0), ("ben", 1), ("eve", 0)
    ]  # fmt: skip
    for number, row in enumerate(rows):
        (found,) = Drawn().detect(picture(number))
        crop, points, matrix = crop_face(picture(number), found.landmarks)
        face = report.bank[number]
        np.testing.assert_array_equal(face.image, crop)
        np.testing.assert_array_equal(face.landmarks, points)
        np.testing.assert_allclose(np.reshape(row["crop_to_frame"], (2, 3)), matrix)
        back = matrix @ np.column_stack([face.landmarks, np.ones(68)]).T
        np.testing.assert_allclose(back.T, found.landmarks, atol=1e-3)
        assert row["crc32"] == zlib.crc32((report.bank.root / row["crop"]).read_bytes())
        assert row["box"] == list(found.box)
        assert row["score"] == 0.5


@pytest.mark.parametrize(
    ("group", "videos"),
    [
        ("folder", ["ann", "ann", "ben", "ben", "eve"]),
        ("file", ["ann/a.png", "ann/b.png", "ben/a.png", "ben/b.png", "eve/a.png"]),
        (r"/(\w)\.png$", ["a", "a", "a", "b", "b"]),
    ],
)
def test_a_video_is_what_group_says(
    group: str, videos: list[str], photographs: Path, tmp_path: Path
) -> None:
    bank = extract(photographs, tmp_path / "bank", detector=Drawn(), group=group).bank
    assert bank.table["video"].to_pylist() == videos


def test_subjects_are_named_where_their_rule_matches(photographs: Path, tmp_path: Path) -> None:
    rule = "^(ann|ben)/"
    bank = extract(photographs, tmp_path / "bank", detector=Drawn(), subject=rule).bank
    assert bank.table["subject"].to_pylist() == ["ann", "ann", "ben", "ben", None]


def test_all_faces_or_the_largest(photographs: Path, tmp_path: Path) -> None:
    save(photographs / "eve" / "b.png", picture(7, spots=3))
    largest = extract(photographs, tmp_path / "one", detector=Drawn()).bank
    every = extract(photographs, tmp_path / "all", detector=Drawn(), faces="all").bank
    assert (len(largest), len(every)) == (6, 8)
    sides = [row["box"][2] - row["box"][0] for row in every.table.to_pylist()[-3:]]
    assert sides == sorted(sides, reverse=True)
    assert largest.table["box"][5].as_py()[2] - largest.table["box"][5].as_py()[0] == sides[0]


def test_jpeg_crops_keep_full_colour(photographs: Path, tmp_path: Path) -> None:
    save(photographs / "ann" / "a.png", np.full((240, 240, 3), (180, 20, 20), np.uint8))
    red = picture(0)
    red[red[..., 0] != 255] = (200, 20, 20)
    save(photographs / "ann" / "a.png", red)
    bank = extract(photographs, tmp_path / "bank", detector=Drawn(), crop_format="jpg").bank
    assert bank.crop(0).endswith(".jpg")
    assert np.abs(bank[0].image[:60, :60].astype(int) - (200, 20, 20)).max() <= 3


def test_jpeg_crops_store_colour_as_finely_as_light(photographs: Path, tmp_path: Path) -> None:
    bank = extract(photographs, tmp_path / "bank", detector=Drawn(), crop_format="jpg").bank
    with PIL.Image.open(bank.root / bank.crop(0)) as crop:
        assert PIL.JpegImagePlugin.get_sampling(crop) == 0  # 4:4:4


# -- what is refused -----------------------------------------------------------------


def test_every_refusal_is_recorded_with_its_kind_and_reason(
    photographs: Path, tmp_path: Path
) -> None:
    save(photographs / "eve" / "blank.png", np.zeros((50, 50, 3), np.uint8))
    save(photographs / "odd.png", picture(8))
    (photographs / "ann" / "broken.png").write_bytes(b"")
    choking = hashlib.sha256(picture(3).tobytes()).digest()
    save(photographs / "ben" / "many.png", picture(9, spots=4))
    report = extract(
        photographs,
        tmp_path / "bank",
        detector=Drawn(fail_on=choking),
        faces="all",
        group="^(.+)/",
        min_face=95,
    )
    told = {
        entry["source"]: (entry["kind"], entry["reason"]) for entry in errors(report.bank.root)
    }
    assert {source: kind for source, (kind, _) in told.items()} == {
        "ann/a.png": "small-face",
        "ann/b.png": "small-face",
        "ann/broken.png": "unreadable",
        "ben/a.png": "small-face",
        "ben/b.png": "failed",
        "ben/many.png": "small-face",
        "eve/a.png": "small-face",
        "eve/blank.png": "no-face",
        "odd.png": "ungrouped",
    }
    assert list(told) == sorted(told)
    assert told["ben/b.png"][1] == "RuntimeError: the detector choked"
    assert told["ben/many.png"][1].startswith("2 of its 4 faces are under 95 px")
    assert "0 bytes" in told["ann/broken.png"][1]
    assert report.errors["small-face"] == 5
    assert "refused: 9 (failed 1, no-face 1, small-face 5" in str(report)


def test_what_failed_is_tried_again_and_the_rest_is_kept(
    photographs: Path, tmp_path: Path
) -> None:
    choking = hashlib.sha256(picture(2).tobytes()).digest()
    first = extract(photographs, tmp_path / "bank", detector=Drawn(fail_on=choking))
    assert (first.faces, first.errors) == (4, {"failed": 1})
    again = Drawn()
    second = extract(photographs, tmp_path / "bank", detector=again)
    assert (second.faces, second.errors, second.kept) == (5, {}, 2)
    assert len(again.seen) == 2  # ben's pictures


def test_no_face_at_all_is_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    save(tmp_path / "photographs" / "a.png", np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(BadBank, match=r"errors\.jsonl"):
        extract(tmp_path / "photographs", tmp_path / "bank", detector=Drawn())
    assert errors(tmp_path / "bank")[0]["kind"] == "no-face"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"group": "("}, "group"),
        ({"subject": "["}, "subject"),
        ({"min_face": 0}, "min_face"),
        ({"crop_size": 8}, "crop_size"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"workers": 0}, "workers"),
    ],
)
def test_values_that_cannot_be_used_are_refused_before_anything_is_written(
    options: dict[str, Any], word: str, photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadArgument, match=word):
        extract(photographs, tmp_path / "bank", detector=Drawn(), **options)
    assert not list((tmp_path / "bank").glob("crops/*"))


def test_other_settings_other_photographs_and_other_files_are_refused(
    photographs: Path, tmp_path: Path
) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    before = contents(tmp_path / "bank")
    with pytest.raises(BadArgument, match="min_face is 40 there and 50 here"):
        extract(photographs, tmp_path / "bank", detector=Drawn(), min_face=50)
    with pytest.raises(BadArgument, match="detector is 'drawn' there and 'other' here"):
        extract(photographs, tmp_path / "bank", detector=Drawn(name="other"))
    save(tmp_path / "others" / "zoe" / "a.png", picture(1))
    with pytest.raises(BadArgument, match="holds the faces of other photographs"):
        extract(tmp_path / "others", tmp_path / "bank", detector=Drawn())
    assert contents(tmp_path / "bank") == before
    with pytest.raises(BadArgument, match="holds other files"):
        extract(photographs, tmp_path / "others", detector=Drawn())


def test_photographs_over_the_limit_of_pixels_are_refused(
    photographs: Path, tmp_path: Path
) -> None:
    save(photographs / "eve" / "b.png", np.zeros((240, 241, 3), np.uint8))
    report = extract(photographs, tmp_path / "bank", detector=Drawn(), max_pixels=240 * 240)
    assert (report.faces, report.errors) == (5, {"unreadable": 1})
    assert "241x240" in errors(report.bank.root)[0]["reason"]


def test_landmarks_that_are_no_place_in_the_photograph_fail_in_words(
    photographs: Path, tmp_path: Path
) -> None:
    class Astray(Drawn):
        def detect(self, image: Image) -> list[Detection]:
            (face,) = super().detect(image)
            factor = {0: np.nan, 1: 0.0, 2: 20.0}.get(len(self.seen) - 1, 1.0)
            astray: Landmarks = face.landmarks * np.float32(factor)
            return [Detection(box=face.box, score=face.score, landmarks=astray)]

    report = extract(photographs, tmp_path / "bank", detector=Astray(), min_face=1)
    told = {
        entry["source"]: (entry["kind"], entry["reason"]) for entry in errors(report.bank.root)
    }
    assert (report.faces, len(told)) == (2, 3)
    assert told["ann/a.png"][0] == told["ben/a.png"][0] == "failed"
    assert "landmarks that are no numbers" in told["ann/a.png"][1]
    assert told["ann/b.png"][0] == "small-face"  # all in one point
    assert "and the photograph is 240x240" in told["ben/a.png"][1]
    again = extract(photographs, tmp_path / "bank", detector=Drawn(), min_face=1)
    assert (again.faces, again.kept, again.errors) == (5, 1, {})  # eve was kept


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": "file"}, "group is 'folder' there and 'file' here"),
        ({"subject": "folder"}, "subject is None there and 'folder' here"),
        ({"faces": "all"}, "faces is 'largest' there and 'all' here"),
        ({"crop_size": 256}, "crop_size is 317 there and 256 here"),
        ({"crop_format": "jpg"}, "crop_format is 'png' there and 'jpg' here"),
        ({"max_pixels": 10**6}, "max_pixels is 128000000 there and 1000000 here"),
    ],
)
def test_no_other_setting_continues_a_bank(
    options: dict[str, Any], words: str, photographs: Path, tmp_path: Path
) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    before = contents(tmp_path / "bank")
    detector = Drawn()
    with pytest.raises(BadArgument, match=f"{words}; give the same to continue it, or another"):
        extract(photographs, tmp_path / "bank", detector=detector, **options)
    assert contents(tmp_path / "bank") == before
    assert detector.seen == []


def test_a_file_and_damaged_settings_cannot_become_a_bank(
    photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match="file: cannot be made"):
        extract(photographs, tmp_path / "file", detector=Drawn())
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "settings.json").write_text('{"group": ')
    with pytest.raises(BadArgument, match="cannot be used as a bank"):
        extract(photographs, tmp_path / "damaged", detector=Drawn())
    with pytest.raises(BadArgument, match="holds other files"):
        extract(photographs, photographs, detector=Drawn())


def test_a_bank_among_its_photographs_is_not_read_as_photographs(photographs: Path) -> None:
    for _ in range(2):
        report = extract(photographs, photographs / "ann" / "bank", detector=Drawn())
    assert (report.pictures, report.kept) == (5, 3)


def test_a_missing_model_stops_the_job_and_accuses_no_photograph(
    photographs: Path, tmp_path: Path
) -> None:
    class Modelless(Drawn):
        def detect(self, _: Image) -> list[Detection]:
            raise MissingModel("the model", "is not there", "install it")

    with pytest.raises(MissingModel, match="the model: is not there; install it"):
        extract(photographs, tmp_path / "bank", detector=Modelless())
    assert list(contents(tmp_path / "bank")) == ["settings.json"]
    assert extract(photographs, tmp_path / "bank", detector=Drawn()).kept == 0


def test_a_folder_whose_name_is_no_text_gives_a_video_that_has_one(
    photographs: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    (photographs / "ann").rename(odd)
    bank = extract(odd, tmp_path / "bank", detector=Drawn(), subject="folder").bank
    assert bank.table["video"].to_pylist() == [r"caf\xe9"] * 2
    assert bank.table["subject"].to_pylist() == [r"caf\xe9"] * 2


# -- however it was made -------------------------------------------------------------


@pytest.fixture
def brightest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A detector that worker processes can import."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "brightest.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=os.pathsep)
    import brightest

    yield brightest.Brightest
    sys.modules.pop("brightest")


def test_workers_and_executors_leave_no_trace(
    photographs: Path, tmp_path: Path, brightest: Any
) -> None:
    one = extract(photographs, tmp_path / "one", detector=brightest()).bank.root
    two = extract(photographs, tmp_path / "two", detector=brightest(), workers=2).bank.root
    with ThreadPoolExecutor(3) as pool:
        any_ = extract(photographs, tmp_path / "any", detector=brightest(), executor=pool).bank
    assert contents(one) == contents(two) == contents(any_.root)


def test_a_killed_run_ends_like_one_that_was_not(
    photographs: Path, tmp_path: Path, brightest: Any
) -> None:
    for number in range(12):
        save(photographs / f"more{number}" / "a.png", picture(20 + number))
    undisturbed = extract(photographs, tmp_path / "undisturbed", detector=brightest()).bank.root
    code = (
        "import sys\nfrom brightest import Brightest\n"
        "from faceblend.ingest.extract import extract\n"
        "extract(sys.argv[1], sys.argv[2], detector=Brightest(slow=0.05))\n"
    )
    bank = tmp_path / "bank"
    for finished in (1, 4, 9):
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(photographs), str(bank)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while len(list(bank.rglob("checkpoints/*.json"))) < finished:
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    done = len(list(bank.rglob("checkpoints/*.json")))
    report = extract(photographs, bank, detector=brightest())
    assert report.kept == done < 15
    assert contents(report.bank.root) == contents(undisturbed)


@pytest.mark.parametrize("damage", ["deleted", "cut off", "not json", "of another bank"])
def test_a_damaged_checkpoint_is_done_again(
    damage: str, photographs: Path, tmp_path: Path
) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    before = contents(tmp_path / "bank")
    path = tmp_path / "bank" / "checkpoints" / "ben.json"
    text = path.read_text()
    changed = {
        "cut off": text[: len(text) // 2],
        "not json": "never mind",
        "of another bank": text.replace('"settings": "', '"settings": "x'),
    }
    path.unlink() if damage == "deleted" else path.write_text(changed[damage])
    again = Drawn()
    assert extract(photographs, tmp_path / "bank", detector=again).kept == 2
    assert len(again.seen) == 2
    assert contents(tmp_path / "bank") == before


def test_a_lost_crop_is_made_again(photographs: Path, tmp_path: Path) -> None:
    bank = extract(photographs, tmp_path / "bank", detector=Drawn()).bank
    before = contents(bank.root)
    (bank.root / bank.crop(4)).unlink()
    extract(photographs, bank.root, detector=Drawn())
    assert contents(bank.root) == before


def test_changed_and_removed_photographs_leave_nothing_behind(
    photographs: Path, tmp_path: Path
) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    save(photographs / "ann" / "a.png", picture(50))
    (photographs / "eve" / "a.png").unlink()
    (photographs / "eve").rmdir()
    report = extract(photographs, tmp_path / "bank", detector=Drawn())
    assert (report.faces, report.kept) == (4, 1)
    fresh = extract(photographs, tmp_path / "fresh", detector=Drawn()).bank
    assert contents(report.bank.root) == contents(fresh.root)


@pytest.mark.model
def test_the_real_detector_gives_the_same_bank_in_one_and_in_two_processes(
    tmp_path: Path,
) -> None:
    from skimage.data import astronaut

    for name, left in (("a/1", 0), ("a/2", 4), ("b/1", 8)):
        save(tmp_path / "photographs" / f"{name}.png", np.asarray(astronaut())[:300, 60 + left :])
    one = extract(tmp_path / "photographs", tmp_path / "one", faces="all")
    two = extract(tmp_path / "photographs", tmp_path / "two", faces="all", workers=2)
    assert (one.faces, one.errors) == (3, {})
    assert contents(one.bank.root) == contents(two.bank.root)


class Interrupted(Drawn):
    """Ctrl-C at the fourth photograph: the second of the second video."""

    def detect(self, image: Image) -> list[Detection]:
        if len(self.seen) == 3:
            raise KeyboardInterrupt
        return super().detect(image)


def test_an_interrupted_run_leaves_no_bank_and_continues_with_its_finished_videos(
    photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(photographs, tmp_path / "bank", detector=Interrupted())
    with pytest.raises(BadBank, match="is not a finished face bank"):
        FaceBank.open(tmp_path / "bank")
    again = Drawn()
    report = extract(photographs, tmp_path / "bank", detector=again)
    assert (report.kept, len(again.seen)) == (1, 3)
    fresh = extract(photographs, tmp_path / "fresh", detector=Drawn()).bank
    assert contents(report.bank.root) == contents(fresh.root)


def test_a_finished_bank_is_none_while_it_changes(photographs: Path, tmp_path: Path) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    for name in ("ann/a", "ben/a"):
        save(photographs / f"{name}.png", picture(60))
    with pytest.raises(KeyboardInterrupt):
        extract(photographs, tmp_path / "bank", detector=Interrupted())
    with pytest.raises(BadBank, match="is not a finished face bank"):
        FaceBank.open(tmp_path / "bank")


def test_a_bank_whose_faces_are_all_gone_is_none(photographs: Path, tmp_path: Path) -> None:
    save(photographs / "blank" / "a.png", np.zeros((50, 50, 3), np.uint8))
    extract(photographs, tmp_path / "bank", detector=Drawn())
    for path in photographs.glob("[abe]*/[ab].png"):
        if path.parent.name != "blank":
            path.unlink()
    with pytest.raises(BadBank, match="no face to put into it"):
        extract(photographs, tmp_path / "bank", detector=Drawn())
    with pytest.raises(BadBank, match="is not a finished face bank"):
        FaceBank.open(tmp_path / "bank")


def test_two_workers_that_were_killed_end_like_a_run_that_was_not(
    photographs: Path, tmp_path: Path, brightest: Any
) -> None:
    for number in range(12):
        save(photographs / f"more{number}" / "a.png", picture(20 + number))
    bank = tmp_path / "bank"
    code = (
        "import sys\nfrom brightest import Brightest\n"
        "from faceblend.ingest.extract import extract\n"
        "if __name__ == '__main__':\n"
        "    extract(sys.argv[1], sys.argv[2], detector=Brightest(slow=0.1), workers=2)\n"
    )
    script = tmp_path / "modules" / "script.py"
    script.write_text(code)
    run = subprocess.Popen(
        [sys.executable, str(script), str(photographs), str(bank)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(bank.rglob("checkpoints/*.json"))) < 3:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    report = extract(photographs, bank, detector=brightest())
    assert 3 <= report.kept < 15
    undisturbed = extract(photographs, tmp_path / "undisturbed", detector=brightest()).bank.root
    assert contents(bank) == contents(undisturbed)


def test_what_killed_writers_left_is_swept_away(photographs: Path, tmp_path: Path) -> None:
    bank = extract(photographs, tmp_path / "bank", detector=Drawn()).bank.root
    before = contents(bank)
    (bank / "checkpoints" / "ann.json").unlink()
    left = [".bank.json.1-ab.tmp", "checkpoints/.ann.json.1-ab.tmp", "checkpoints/zoe.json"]
    left += [
        "crops/ann/.000000_0.png.1-ab.tmp",
        "crops/zoe/000000_0.png",
        "crops/ann/000009_0.png",
    ]
    for name in left:
        (bank / name).parent.mkdir(exist_ok=True)
        (bank / name).write_bytes(b"half")
    extract(photographs, bank, detector=Drawn())
    assert contents(bank) == before
    assert not (bank / "crops" / "zoe").exists()


@pytest.mark.parametrize("damage", [b"", b"half", None], ids=["emptied", "cut off", "one bit"])
def test_a_damaged_crop_is_made_again(
    damage: bytes | None, photographs: Path, tmp_path: Path
) -> None:
    bank = extract(photographs, tmp_path / "bank", detector=Drawn()).bank
    before = contents(bank.root)
    crop = bank.root / bank.crop(2)
    data = bytearray(crop.read_bytes())
    data[len(data) // 2] ^= 1
    crop.write_bytes(data if damage is None else damage)
    again = Drawn()
    assert extract(photographs, bank.root, detector=again).kept == 2
    assert len(again.seen) == 2  # ben's pictures
    assert contents(bank.root) == before


def test_a_photograph_with_a_new_time_is_looked_at_again(
    photographs: Path, tmp_path: Path
) -> None:
    extract(photographs, tmp_path / "bank", detector=Drawn())
    os.utime(photographs / "eve" / "a.png", ns=(1, 1))
    again = Drawn()
    assert extract(photographs, tmp_path / "bank", detector=again).kept == 2
    assert len(again.seen) == 1


def test_a_photograph_that_the_disk_refused_is_tried_again(
    photographs: Path, tmp_path: Path
) -> None:
    away = tmp_path / "b.png"

    class Mover(Drawn):
        def detect(self, image: Image) -> list[Detection]:
            if not away.exists():
                (photographs / "ann" / "b.png").rename(away)
            return super().detect(image)

    first = extract(photographs, tmp_path / "bank", detector=Mover())
    assert (first.faces, first.errors) == (4, {"failed": 1})
    assert errors(first.bank.root)[0]["reason"] == (
        "cannot be read (No such file or directory); check the file"
    )
    away.rename(photographs / "ann" / "b.png")  # as it was, to the nanosecond
    second = extract(photographs, tmp_path / "bank", detector=Drawn())
    assert (second.faces, second.errors, second.kept) == (5, {}, 2)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_what_may_not_be_read_is_told_and_read_once_it_may(
    photographs: Path, tmp_path: Path
) -> None:
    locked = photographs / "ann" / "a.png", photographs / "ben"
    for path in locked:
        path.chmod(0)
    first = extract(photographs, tmp_path / "bank", detector=Drawn())
    for path in locked:
        path.chmod(0o700)
    assert first.faces == 2
    told = {entry["source"]: entry["reason"] for entry in errors(first.bank.root)}
    assert told == {
        "ann/a.png": "cannot be read (Permission denied); check the file",
        "ben": "cannot be listed (Permission denied)",
    }
    assert extract(photographs, tmp_path / "bank", detector=Drawn()).faces == 5


# -- names ---------------------------------------------------------------------------


def test_rules_name_photographs() -> None:
    assert named("folder", "a/b/1.jpg", "root") == "a/b"
    assert named("folder", "1.jpg", "root") == "root"
    assert named("file", "a/1.jpg", "root") == "a/1.jpg"
    assert named(r"(\d+)_\d+", "x/12_3.jpg", "root") == "12"
    assert named("nothing", "a/1.jpg", "root") is None


def test_no_two_videos_share_a_folder_and_none_leaves_the_bank() -> None:
    odd = ["a", "A/../b", "..", "../x", "/x", "a b", "a_b", "é", "e\u0301", ".hid", "000001_0.png"]
    odd += ["x.json", "a/x.json", "", "a//b", "a/", "x" * 300, "x" * 301, "a\nb", "nul\0"]
    paths = [safe_path(name) for name in odd]
    assert len(set(paths)) == len(odd)
    for path in paths:
        assert not path.startswith("/")
        assert not {"..", ".", ""} & set(path.split("/"))
        assert not set(path) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"
        )


# -- the classic landmark file -------------------------------------------------------


def test_landmarks_are_the_detectors_rounded_and_read_back(
    photographs: Path, tmp_path: Path
) -> None:
    report = landmarks(photographs, tmp_path / "l.json", detector=Drawn())
    written = json.loads((tmp_path / "l.json").read_text())
    assert list(written) == [f"{n}.png" for n in ("ann/a", "ann/b", "ben/a", "ben/b", "eve/a")]
    (found,) = Drawn().detect(picture(0))
    np.testing.assert_allclose(written["ann/a.png"], found.landmarks, atol=6e-4)
    assert report.faces == 5
    bank = FaceBank.from_landmarks_json(tmp_path / "l.json", photographs, video="folder")
    assert bank.table["video"].to_pylist() == ["ann", "ann", "ben", "ben", "eve"]
    np.testing.assert_array_equal(bank[4].image, picture(4))


def test_a_killed_landmark_run_continues_from_its_journal(
    photographs: Path, tmp_path: Path
) -> None:
    class Interrupted(Drawn):
        def detect(self, image: Image) -> list[Detection]:
            if len(self.seen) == 3:
                raise KeyboardInterrupt
            return super().detect(image)

    path = tmp_path / "l.json"
    with pytest.raises(KeyboardInterrupt):
        landmarks(photographs, path, detector=Interrupted())
    assert not path.exists()
    journal = tmp_path / "l.json.partial"
    journal.write_bytes(journal.read_bytes()[:-40])  # torn by the kill
    again = Drawn()
    report = landmarks(photographs, path, detector=again)
    assert (report.kept, len(again.seen)) == (2, 3)
    assert not journal.exists()
    landmarks(photographs, tmp_path / "fresh.json", detector=Drawn())
    assert path.read_bytes() == (tmp_path / "fresh.json").read_bytes()


def test_a_journal_of_other_settings_is_begun_anew(photographs: Path, tmp_path: Path) -> None:
    class Interrupted(Drawn):
        def detect(self, image: Image) -> list[Detection]:
            if self.seen:
                raise KeyboardInterrupt
            return super().detect(image)

    with pytest.raises(KeyboardInterrupt):
        landmarks(photographs, tmp_path / "l.json", detector=Interrupted())
    report = landmarks(photographs, tmp_path / "l.json", detector=Drawn(), min_face=41)
    assert report.kept == 0


def test_landmarks_refuse_in_words(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="is a folder"):
        landmarks(photographs, tmp_path, detector=Drawn())
    save(tmp_path / "blank" / "a.png", np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(NoFace, match="no picture in it shows a usable face"):
        landmarks(tmp_path / "blank", tmp_path / "l.json", detector=Drawn())
    told = (tmp_path / "l.json.errors.jsonl").read_text()
    assert json.loads(told)["kind"] == "no-face"
