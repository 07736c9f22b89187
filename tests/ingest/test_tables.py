"""A table of videos becomes a bank that knows labels, splits and people."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from faceblend.audit.leaks import leaks
from faceblend.errors import BadArgument
from faceblend.face import Image
from faceblend.ingest.detect import Detection
from faceblend.ingest.extract import ExtractReport, extract
from faceblend.ingest.index import index
from faceblend.ingest.video import evenly
from faceblend.splits import split
from faceblend.videos import VideoTable, read_videos, write_videos

SIZE = 200


@dataclass(frozen=True)
class Squares:
    """Finds bright squares in whole pictures, the largest first."""

    name: str = "squares"

    def detect(self, image: Image) -> list[Detection]:
        bright = (image[..., 1] > 130).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        found = []
        for x, y, w, h, area in stats[1:count].tolist():
            if area > 400:
                grid = np.stack(np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, 4)), -1)
                points = (grid.reshape(68, 2) * [w, h] + [x, y]).astype(np.float32)
                box = (x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5)
                found.append(Detection(box=box, score=float(area), landmarks=points))
        return sorted(found, key=lambda one: -one.score)


def film(path: Path, *, frames: int = 12, squares: Callable[[int], list[tuple[int, int]]]) -> Path:
    """Squares of 50 px on dark ground: where each is in a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = SIZE
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10"}
        for number in range(frames):
            picture = np.full((SIZE, SIZE, 3), 30, np.uint8)
            for order, (x, y) in enumerate(squares(number)):
                picture[y : y + 50 - 2 * order, x : x + 50 - 2 * order] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def still(seed: int) -> Callable[[int], list[tuple[int, int]]]:
    return lambda _: [(20 + seed, 30 + 2 * seed)]


@pytest.fixture
def ffpp(tmp_path: Path) -> VideoTable:
    """Two originals and the two forgeries of them."""
    root = tmp_path / "ffpp"
    for number, name in enumerate(("000", "001")):
        film(root / f"original_sequences/youtube/c23/videos/{name}.mp4", squares=still(number))
    for number, name in enumerate(("000_001", "001_000")):
        film(
            root / f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4",
            squares=still(5 + number),
        )
    return index("ffpp", root).videos


def run(source: VideoTable | Path, out: Path, **options: object) -> ExtractReport:
    defaults = {"detector": Squares(), "frames_per_video": 4, "crop_size": 64, "min_face": 20}
    return extract(source, out, **{**defaults, **options})  # type: ignore[arg-type]


def test_rows_carry_label_split_and_subject(ffpp: VideoTable, tmp_path: Path) -> None:
    made = split(ffpp, "hash").videos
    name = made.column("split")[0]
    report = run(made, tmp_path / "bank")
    rows = report.bank.table.to_pylist()
    told = {
        row["video"]: (row["label"], row["split"], row["subject"], row["source"]) for row in rows
    }
    real = "original_sequences/youtube/c23/videos/000.mp4"
    forged = "manipulated_sequences/Deepfakes/c23/videos/001_000.mp4"
    assert told[real] == (0, name, "youtube/000", real)
    assert told[forged] == (1, name, "youtube/001", forged)
    assert report.faces == 16
    assert len(report.bank.reals) == 8


def test_labels_and_splits_can_be_chosen(ffpp: VideoTable, tmp_path: Path) -> None:
    marked = ffpp.marked("by hand", ["train", "test", "train", None])
    assert run(marked, tmp_path / "real", labels="real").videos == 1  # 001 is in no split
    assert run(marked, tmp_path / "fake", labels="fake").videos == 2
    report = run(marked, tmp_path / "test", split="test")
    assert {row["split"] for row in report.bank.table.to_pylist()} == {"test"}
    assert report.videos == 1
    with pytest.raises(BadArgument, match="leave none for labels 'all' and split 'val'"):
        run(marked, tmp_path / "val", split="val")


def test_a_new_split_needs_no_new_extraction(ffpp: VideoTable, tmp_path: Path) -> None:
    first = run(ffpp, tmp_path / "bank")
    assert set(first.bank.table["split"].to_pylist()) == {None}
    again = run(ffpp.marked("by hand", ["train"] * 4), tmp_path / "bank")
    assert again.kept == 4
    assert set(again.bank.table["split"].to_pylist()) == {"train"}
    assert again.bank.fingerprint != first.bank.fingerprint


def test_a_file_of_the_table_does_as_well(ffpp: VideoTable, tmp_path: Path) -> None:
    write_videos(ffpp, tmp_path / "videos.parquet")
    from_file = run(tmp_path / "videos.parquet", tmp_path / "one")
    assert from_file.bank.fingerprint == run(ffpp, tmp_path / "two").bank.fingerprint


def test_moved_videos_are_found_under_a_new_root(ffpp: VideoTable, tmp_path: Path) -> None:
    write_videos(ffpp, tmp_path / "videos.parquet")
    ffpp.root.rename(tmp_path / "moved")
    with pytest.raises(BadArgument, match="say with --root where they are now"):
        run(tmp_path / "videos.parquet", tmp_path / "bank")
    moved = read_videos(tmp_path / "videos.parquet", tmp_path / "moved")
    assert run(moved, tmp_path / "bank").faces == 16


def test_a_video_that_is_gone_is_recorded(ffpp: VideoTable, tmp_path: Path) -> None:
    (ffpp.root / "original_sequences/youtube/c23/videos/000.mp4").unlink()
    report = run(ffpp, tmp_path / "bank")
    assert (report.faces, report.errors) == (12, {"unreadable": 1})
    assert "index the dataset again" in (tmp_path / "bank" / "errors.jsonl").read_text()


def test_a_split_that_names_frames_gives_those(ffpp: VideoTable, tmp_path: Path) -> None:
    made = split(ffpp, "ff-c23-720-140-140-5fpv").videos
    report = run(made, tmp_path / "bank")
    frames: dict[str, list[int]] = {}
    for row in report.bank.table.to_pylist():
        frames.setdefault(row["video"], []).append(row["frame"])
    assert frames == {row["path"]: row["wanted"] for row in made.rows()}
    # the frames are part of what was done: another split's are extracted again
    assert run(ffpp, tmp_path / "bank").kept == 0


def test_folders_of_frames_are_extracted_as_videos(tmp_path: Path) -> None:
    root = tmp_path / "bench"
    for name in ("000", "001"):
        folder = root / "original_sequences" / "youtube" / "c23" / "frames" / name
        folder.mkdir(parents=True)
        for number in range(9):
            picture = np.full((SIZE, SIZE, 3), 30, np.uint8)
            picture[40:90, 60:110] = 200 + number
            cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    videos = index("deepfakebench", root).videos
    report = run(videos, tmp_path / "bank")
    rows = report.bank.table.to_pylist()
    assert (report.pictures, report.clips, report.videos) == (8, 0, 2)
    wanted = [f"{number:03d}.png" for number in evenly(9, 4)]
    assert [Path(row["source"]).name for row in rows[:4]] == wanted
    assert {row["subject"] for row in rows} == {"youtube/000", "youtube/001"}
    assert leaks(split(videos, "hash").videos).leaks == ()


def test_who_is_who_cannot_be_said_twice(ffpp: VideoTable, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="stand in the table; drop them"):
        run(ffpp, tmp_path / "bank", subject=r"(\d+)")
    with pytest.raises(BadArgument, match="only a table of videos tells them"):
        run(ffpp.root, tmp_path / "bank", labels="real")


# -- whose faces ---------------------------------------------------------------------


def two_people(number: int) -> list[tuple[int, int]]:
    """A large one who walks right, a small one who stands and is away in the middle."""
    there = [(10 + number, 20), (120, 120)]
    return there if not 5 <= number < 8 else there[:1]


def test_subjects_are_followed_through_a_video(tmp_path: Path) -> None:
    film(tmp_path / "clips" / "a.mp4", frames=16, squares=two_people)
    report = run(tmp_path / "clips", tmp_path / "bank", faces="subjects", frames_per_video=0)
    rows = report.bank.table.to_pylist()
    by_subject: dict[str, list[int]] = {}
    for row in rows:
        by_subject.setdefault(row["subject"], []).append(row["frame"])
        assert row["crop"].endswith(f"_{row['subject'][-1]}.png")
    assert by_subject == {
        "a.mp4#0": list(range(16)),
        "a.mp4#1": [frame for frame in range(16) if not 5 <= frame < 8],
    }


def test_a_passer_by_is_dropped_and_one_person_keeps_the_subject(
    ffpp: VideoTable, tmp_path: Path
) -> None:
    path = ffpp.root / "original_sequences/youtube/c23/videos/000.mp4"
    film(path, frames=16, squares=lambda n: [(10, 20), (120, 120)] if n < 2 else [(10, 20)])
    report = run(ffpp, tmp_path / "bank", labels="real", faces="subjects", frames_per_video=0)
    rows = [row for row in report.bank.table.to_pylist() if row["source"].endswith("000.mp4")]
    assert [row["frame"] for row in rows] == list(range(16))
    assert {row["subject"] for row in rows} == {"youtube/000"}
    crops = {path.name for path in (tmp_path / "bank" / "crops").rglob("000/*.png")}
    crops |= {path.name for path in (tmp_path / "bank" / "crops").rglob("000.mp4/*.png")}
    assert crops == {f"{number:06d}_0.png" for number in range(16)}


# -- what an earlier run left --------------------------------------------------------


def test_a_lazy_check_keeps_a_changed_crop_and_a_deep_one_does_it_again(
    ffpp: VideoTable, tmp_path: Path
) -> None:
    report = run(ffpp, tmp_path / "bank")
    crop = tmp_path / "bank" / report.bank.crop(0)
    data = crop.read_bytes()
    crop.write_bytes(data[:-9] + bytes(9))
    assert run(ffpp, tmp_path / "bank", check="lazy").kept == 4
    assert crop.read_bytes() != data
    assert run(ffpp, tmp_path / "bank", check="deep").kept == 3
    assert crop.read_bytes() == data
    crop.unlink()
    assert run(ffpp, tmp_path / "bank", check="lazy").kept == 3
    assert crop.read_bytes() == data


def test_a_damaged_checkpoint_is_found_and_its_video_done_again(
    ffpp: VideoTable, tmp_path: Path
) -> None:
    before = run(ffpp, tmp_path / "bank")
    checkpoints = sorted((tmp_path / "bank" / "checkpoints").rglob("*.json"))
    assert len(checkpoints) == 4
    checkpoints[0].write_bytes(checkpoints[0].read_bytes()[:100])
    checkpoints[1].write_text("{}")
    again = run(ffpp, tmp_path / "bank")
    assert again.kept == 2
    assert again.bank.fingerprint == before.bank.fingerprint


def test_a_wider_crop_shows_more_around_the_face(ffpp: VideoTable, tmp_path: Path) -> None:
    spans = []
    for scale in (1.3, 2.6):
        report = run(ffpp, tmp_path / f"{scale}", crop_scale=scale)
        spans.append(np.ptp(report.bank.landmarks[0][:, 0]))
    assert spans[0] == pytest.approx(2 * spans[1], rel=0.05)
    with pytest.raises(BadArgument, match="give 1 to 4"):
        run(ffpp, tmp_path / "bank", crop_scale=0.9)
