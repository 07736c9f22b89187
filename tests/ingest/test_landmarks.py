"""The classic landmark file holds what the detector saw, however often it was cut off."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, MissingModel, NoFace
from faceblend.face import Image, Landmarks
from faceblend.ingest.detect import Detection, DlibHog
from faceblend.ingest.landmarks import landmarks
from faceblend.ingest.photograph import read_photograph

DEADLINE = 60  # s; it takes two
THIRDS: Landmarks = (np.arange(136).reshape(68, 2) / 3).astype(np.float32)  # spans 44.67 px


@dataclass
class Spots:
    """Finds a face at every white pixel: a large one at the lowest, small ones elsewhere."""

    name: str = "spots"
    trouble: Callable[[int], None] = lambda _: None
    """called with the number of the picture before it is looked at"""
    seen: int = 0

    def detect(self, image: Image) -> list[Detection]:
        self.seen += 1
        self.trouble(self.seen - 1)
        spots = np.argwhere(image.min(axis=2) == 255)[::-1]
        return [
            Detection(
                box=(x - 1.0, y - 1.0, x + 60.0, y + 60.0),
                score=1.0,
                landmarks=THIRDS / np.float32(1 + 9 * rank) + np.array([x, y], np.float32),
            )
            for rank, (y, x) in enumerate(spots.tolist())
        ]


def interrupt(on: int) -> Callable[[int], None]:
    def trouble(number: int) -> None:
        if number == on:
            raise KeyboardInterrupt

    return trouble


def save(path: Path, *spots: tuple[int, int]) -> None:
    """A dark square of 64 px with white pixels at ``(x, y)``."""
    image = np.zeros((64, 64, 3), np.uint8)
    for x, y in spots:
        image[y, x] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """``000_0000.png`` to ``000_0003.png`` and one in a folder, a face in each."""
    for number in range(4):
        save(tmp_path / "pictures" / f"000_{number:04d}.png", (number, 10))
    save(tmp_path / "pictures" / "été" / "001_0007.png", (9, 9))
    return tmp_path / "pictures"


KEYS = [*(f"000_{number:04d}.png" for number in range(4)), "été/001_0007.png"]


def errors(path: Path) -> list[dict[str, str]]:
    text = path.with_name(f"{path.name}.errors.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def undisturbed(pictures: Path, folder: Path) -> bytes:
    return landmarks(pictures, folder / "undisturbed.json", detector=Spots()).path.read_bytes()


# -- the file ----------------------------------------------------------------------------


def test_the_file_maps_paths_below_the_folder_to_68_points(pictures: Path, tmp_path: Path) -> None:
    report = landmarks(pictures, tmp_path / "l.json", detector=Spots())
    text = report.path.read_text(encoding="utf-8")
    assert list(json.loads(text)) == KEYS
    assert '"été/001_0007.png"' in text
    assert text.endswith("}\n")
    points = np.array(json.loads(text)["000_0003.png"])
    assert points.shape == (68, 2)
    assert np.abs(points - (THIRDS + np.array([3, 10]))).max() <= 5.1e-4
    assert (report.faces, report.pictures, report.kept) == (5, 5, 0)


def test_points_are_rounded_to_a_thousandth(pictures: Path, tmp_path: Path) -> None:
    landmarks(pictures, tmp_path / "l.json", detector=Spots())
    first = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))["000_0000.png"]
    assert first[:3] == [[0, 10.333], [0.667, 11], [1.333, 11.667]]


def test_a_bank_reads_what_was_written(pictures: Path, tmp_path: Path) -> None:
    landmarks(pictures, tmp_path / "l.json", detector=Spots())
    bank = FaceBank.from_landmarks_json(tmp_path / "l.json", pictures)
    assert [bank.crop(row) for row in range(5)] == KEYS
    assert bank.table["video"].to_pylist() == ["000"] * 4 + ["été/001"]
    assert bank.table["frame"].to_pylist() == [0, 1, 2, 3, 7]
    assert np.abs(bank[4].landmarks - (THIRDS + 9)).max() <= 5.1e-4


def test_of_several_faces_the_largest_counts_and_small_ones_beside_it_are_no_refusal(
    pictures: Path, tmp_path: Path
) -> None:
    save(pictures / "000_0000.png", (5, 3), (7, 30))
    report = landmarks(pictures, tmp_path / "l.json", detector=Spots())
    first = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))["000_0000.png"]
    assert first[0] == [7, 30.333]
    assert report.errors == {}


def test_points_are_of_the_picture_as_it_stands_upright(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "a.png", (10, 20))
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # stored upside down
    with PIL.Image.open(tmp_path / "pictures" / "a.png") as upright:
        upright.rotate(180).save(tmp_path / "pictures" / "a.png", exif=exif)
    landmarks(tmp_path / "pictures", tmp_path / "l.json", detector=Spots())
    assert json.loads((tmp_path / "l.json").read_text())["a.png"][0] == [10, 20.333]


@pytest.mark.model
def test_without_a_detector_dlib_looks(tmp_path: Path) -> None:
    from skimage.data import astronaut

    (tmp_path / "pictures").mkdir()
    PIL.Image.fromarray(astronaut()).save(tmp_path / "pictures" / "collins.png")
    landmarks(tmp_path / "pictures", tmp_path / "l.json")
    (face,) = DlibHog().detect(read_photograph(tmp_path / "pictures" / "collins.png"))
    written = json.loads((tmp_path / "l.json").read_text())["collins.png"]
    assert np.array_equal(np.array(written, np.float32), face.landmarks)


def test_threads_write_the_same_bytes(pictures: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        path = landmarks(pictures, tmp_path / "l.json", detector=Spots(), executor=threads).path
    assert path.read_bytes() == undisturbed(pictures, tmp_path)


# -- what is refused ---------------------------------------------------------------------


def test_every_refusal_is_a_line_with_its_kind_and_reason(pictures: Path, tmp_path: Path) -> None:
    save(pictures / "blank.png")
    (pictures / "empty.png").touch()
    (pictures / "gone.png").symlink_to(tmp_path / "nothing")
    (pictures / "notes.txt").write_text("no picture")

    def choke(number: int) -> None:
        if number == 1:
            raise RuntimeError("out of breath\nand more")

    report = landmarks(pictures, tmp_path / "l.json", detector=Spots(trouble=choke))
    told = {entry["source"]: (entry["kind"], entry["reason"]) for entry in errors(report.path)}
    assert list(told) == sorted(told)
    assert told["000_0001.png"] == ("failed", "RuntimeError: out of breath")
    assert told["blank.png"][0] == "no-face"
    assert told["empty.png"] == ("unreadable", "is empty (0 bytes); replace the file")
    assert told["gone.png"] == ("unreadable", "cannot be read (No such file or directory)")
    assert report.errors == {"failed": 1, "no-face": 1, "unreadable": 2}
    assert report.ignored == {".txt": 1}
    assert f"refused: 4 (failed 1, no-face 1, unreadable 2), see {report.path}.err" in str(report)
    assert "000_0001.png" not in json.loads(report.path.read_text(encoding="utf-8"))


def test_a_face_under_the_least_size_is_refused_with_both_sizes(
    pictures: Path, tmp_path: Path
) -> None:
    assert landmarks(pictures, tmp_path / "a.json", detector=Spots(), min_face=44).faces == 5
    with pytest.raises(NoFace, match=r"b\.json\.errors\.jsonl tells why"):
        landmarks(pictures, tmp_path / "b.json", detector=Spots(), min_face=45)
    assert {entry["reason"] for entry in errors(tmp_path / "b.json")} == {
        "its face of 44 px is under 45 px; lower --min-face to take such"
    }


def test_a_picture_over_the_limit_of_pixels_is_refused(pictures: Path, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (65, 64)).save(pictures / "large.png")
    landmarks(pictures, tmp_path / "l.json", detector=Spots(), max_pixels=64 * 64)
    (entry,) = errors(tmp_path / "l.json")
    assert (entry["source"], entry["kind"]) == ("large.png", "unreadable")
    assert "65x64" in entry["reason"]


def test_without_any_face_there_is_no_file_but_its_errors(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "blank.png")
    with pytest.raises(NoFace, match="no picture in it shows a usable face"):
        landmarks(tmp_path / "pictures", tmp_path / "l.json", detector=Spots())
    assert not (tmp_path / "l.json").exists()
    assert [entry["kind"] for entry in errors(tmp_path / "l.json")] == ["no-face"]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"min_face": 0}, "min_face"), ({"max_pixels": -1}, "max_pixels"), ({"workers": 0}, "work")],
)
def test_values_that_cannot_be_used_are_refused(
    options: dict[str, Any], wrong: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadArgument, match=f"^{wrong}.* give 1 or more"):
        landmarks(pictures, tmp_path / "l.json", detector=Spots(), **options)
    assert not (tmp_path / "l.json").exists()


def test_a_folder_cannot_be_the_file_and_no_folder_holds_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="is a folder; give the name of a JSON file"):
        landmarks(tmp_path, tmp_path, detector=Spots())
    with pytest.raises(BadArgument, match="is not there; give a folder of photographs"):
        landmarks(tmp_path / "nowhere", tmp_path / "l.json", detector=Spots())


def test_a_missing_model_stops_the_job_and_accuses_no_picture(
    pictures: Path, tmp_path: Path
) -> None:
    def missing(_: int) -> None:
        raise MissingModel("the model", "is not there", "install it")

    with pytest.raises(MissingModel, match="the model: is not there; install it"):
        landmarks(pictures, tmp_path / "l.json", detector=Spots(trouble=missing))
    assert not (tmp_path / "l.json.errors.jsonl").exists()
    assert landmarks(pictures, tmp_path / "l.json", detector=Spots()).faces == 5


# -- a run that continues ----------------------------------------------------------------


@pytest.fixture
def journal(pictures: Path, tmp_path: Path) -> Path:
    """What a run of ``l.json`` left that was cut off at the fourth of five pictures."""
    with pytest.raises(KeyboardInterrupt):
        landmarks(pictures, tmp_path / "l.json", detector=Spots(trouble=interrupt(3)))
    assert not (tmp_path / "l.json").exists()
    return tmp_path / "l.json.partial"


def continued(pictures: Path, journal: Path) -> int:
    """How many pictures the same call looks at, when it ends as if it was never cut off."""
    detector = Spots()
    report = landmarks(pictures, journal.with_suffix(""), detector=detector)
    assert report.kept + detector.seen == report.pictures
    assert not journal.exists()
    assert report.path.read_bytes() == undisturbed(pictures, journal.parent)
    return detector.seen


def test_what_is_done_is_not_done_again(pictures: Path, journal: Path) -> None:
    assert continued(pictures, journal) == 2


@pytest.mark.parametrize("torn", [1, 30, 900])
def test_a_torn_last_line_costs_one_picture(torn: int, pictures: Path, journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-torn])
    assert continued(pictures, journal) == 3


def test_a_run_cut_off_twice_with_a_torn_line_between_continues(
    pictures: Path, journal: Path
) -> None:
    journal.write_bytes(journal.read_bytes()[:-30])
    with pytest.raises(KeyboardInterrupt):
        landmarks(pictures, journal.with_suffix(""), detector=Spots(trouble=interrupt(2)))
    assert continued(pictures, journal) == 1


@pytest.mark.parametrize("rubbish", [b"\xff\xfe", b"{}", b"[1]", b"null", b'{"refusal": null}'])
def test_a_damaged_line_costs_its_picture(rubbish: bytes, pictures: Path, journal: Path) -> None:
    lines = journal.read_bytes().split(b"\n")
    lines[2] = rubbish
    journal.write_bytes(b"\n".join(lines))
    assert continued(pictures, journal) == 3


def test_a_journal_that_is_none_is_begun_anew(pictures: Path, journal: Path) -> None:
    journal.write_bytes(b"\x00" * 5000)
    assert continued(pictures, journal) == 5


def test_a_changed_picture_is_looked_at_again(pictures: Path, journal: Path) -> None:
    save(pictures / "000_0001.png", (13, 1))
    assert continued(pictures, journal) == 3


def test_a_picture_that_was_removed_is_not_in_the_file(pictures: Path, journal: Path) -> None:
    (pictures / "000_0001.png").unlink()
    assert continued(pictures, journal) == 2


@pytest.mark.parametrize(
    ("detector", "options"),
    [(Spots(name="others"), {}), (Spots(), {"min_face": 44}), (Spots(), {"max_pixels": 10**6})],
    ids=["detector", "min_face", "max_pixels"],
)
def test_other_settings_keep_nothing(
    detector: Spots, options: dict[str, Any], pictures: Path, journal: Path
) -> None:
    assert landmarks(pictures, journal.with_suffix(""), detector=detector, **options).kept == 0


def test_what_failed_is_tried_again_and_refusals_are_kept(pictures: Path, tmp_path: Path) -> None:
    save(pictures / "000_0000.png")  # no face

    def trouble(number: int) -> None:
        if number == 1:
            raise RuntimeError("once")
        interrupt(3)(number)

    with pytest.raises(KeyboardInterrupt):
        landmarks(pictures, tmp_path / "l.json", detector=Spots(trouble=trouble))
    again = Spots()
    report = landmarks(pictures, tmp_path / "l.json", detector=again)
    assert (report.kept, again.seen) == (2, 3)  # of the five: one refused, one with a face
    assert (report.faces, report.errors) == (4, {"no-face": 1})


def test_an_earlier_file_stays_until_the_new_one_is_whole(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    landmarks(pictures, path, detector=Spots())
    before = path.read_bytes()
    save(pictures / "000_0002.png", (1, 1))
    with pytest.raises(KeyboardInterrupt):
        landmarks(pictures, path, detector=Spots(trouble=interrupt(4)))
    assert path.read_bytes() == before
    landmarks(pictures, path, detector=Spots())
    assert path.read_bytes() == undisturbed(pictures, tmp_path) != before


KILLED = """
import sys, time
import numpy as np
from faceblend.ingest.detect import Detection
from faceblend.ingest.landmarks import landmarks

class Slow:
    name = "spots"
    def detect(self, image):
        time.sleep(0.05)
        y, x = np.argwhere(image.min(axis=2) == 255)[-1].tolist()
        points = (np.arange(136).reshape(68, 2) / 3).astype(np.float32)
        points += np.array([x, y], np.float32)
        return [Detection(box=(x - 1.0, y - 1.0, x + 60.0, y + 60.0), score=1.0, landmarks=points)]

landmarks(sys.argv[1], sys.argv[2], detector=Slow())
"""


def test_a_killed_process_leaves_a_journal_that_continues(pictures: Path, tmp_path: Path) -> None:
    for number in range(20):
        save(pictures / f"002_{number:04d}.png", (number, 5))
    words = [sys.executable, "-c", KILLED, str(pictures), str(tmp_path / "l.json")]
    run = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    journal = tmp_path / "l.json.partial"
    end = time.monotonic() + DEADLINE
    while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert 0 < continued(pictures, journal) <= 21
