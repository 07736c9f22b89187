"""Videos become faces: followed from frame to frame, resumed, and refused in words."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from faceblend.errors import BadArgument, BadBank
from faceblend.face import Image, Landmarks
from faceblend.ingest.crop import crop_face
from faceblend.ingest.detect import Detection, DlibHog, overlap
from faceblend.ingest.extract import ExtractReport, extract
from faceblend.ingest.pyramid import Box
from faceblend.ingest.track import follow
from faceblend.ingest.video import evenly, probe, read_frames

CLIP = Path(__file__).parents[3] / "shared" / "faces" / "video" / "hamilton_clip.mp4"
SIZE = 320


def write(path: Path, pictures: list[Image], gop: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.options = "yuv420p", gop, {"crf": "10"}
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def moving(frames: int, *, empty: range = range(0)) -> list[Image]:
    """A bright square of 60 px that wanders over a dark ground; gone in ``empty``."""
    pictures = []
    for number in range(frames):
        picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
        if number not in empty:
            x, y = place(number)
            picture[y - 30 : y + 30, x - 30 : x + 30] = 220
        pictures.append(picture)
    return pictures


def place(number: int) -> tuple[int, int]:
    return 100 + 2 * number % 100, 120 + number % 60


def points_in(box: Box) -> Landmarks:
    """68 points that fill a box."""
    turn = np.arange(68) * 2.4
    ring = np.sqrt(np.linspace(0.05, 1, 68)) / 2
    unit = np.column_stack([np.cos(turn) * ring, np.sin(turn) * ring]) + 0.5
    left, top, right, bottom = box
    return (unit * [right - left, bottom - top] + [left, top]).astype(np.float32)


@dataclass
class Squares:
    """Finds bright squares, in regions too, and counts what it searches."""

    whole: int = 0
    parts: int = 0
    searched: list[tuple[int, ...]] = field(default_factory=list)
    name: str = "squares"

    def detect(self, image: Image) -> list[Detection]:
        found = self.boxes(image, 1.0)
        return [Detection(box=box, score=score, landmarks=points_in(box)) for score, box in found]

    def boxes(self, image: Image, scale: float) -> list[tuple[float, Box]]:
        self.whole += 1
        assert 0 < scale <= 2
        return self.squares(image)

    def near(self, image: Image, box: Box, min_score: float) -> list[tuple[float, Box]]:
        self.parts += 1
        assert min_score < 0
        return [
            (score, square) for score, square in self.squares(image) if overlap(square, box) > 0
        ]

    def squares(self, image: Image) -> list[tuple[float, Box]]:
        bright = (image[..., 1] > 130).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        return [
            (1.0, (x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5))
            for x, y, w, h, area in stats[1:count].tolist()
            if area > 400
        ]

    def landmarks(self, image: Image, box: Box) -> Landmarks:
        assert image.shape[0] == SIZE  # always on the whole frame
        return points_in(box)


# -- following -----------------------------------------------------------------------


def test_a_face_is_followed_with_a_full_search_every_ten_frames(tmp_path: Path) -> None:
    path, detector = write(tmp_path / "clip.mp4", moving(40)), Squares()
    seen = list(follow(read_frames(path, range(40)), detector, every=10))
    assert [one.frame.number for one in seen] == list(range(40))
    for one in seen:
        (face,) = one.faces
        middle = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
        np.testing.assert_allclose(middle, np.array(place(one.frame.number)) - 0.5, atol=1.5)
    assert detector.whole == 4
    assert detector.parts == 40  # once a frame: around what a full search finds, too


def test_a_face_that_is_lost_is_searched_everywhere_and_found_again(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", moving(30, empty=range(8, 14)))
    detector = Squares()
    seen = list(follow(read_frames(path, range(30)), detector, every=100))
    assert [len(one.faces) for one in seen] == [1] * 8 + [0] * 6 + [1] * 16
    # the first frame, where it went, every other frame without it, where it came back
    assert 4 <= detector.whole <= 6


def test_another_scene_is_searched_everywhere_at_once(tmp_path: Path) -> None:
    first = moving(6)
    second = [np.full_like(picture, 110) for picture in moving(6)]
    for picture in second:
        picture[40:100, 220:280] = 220  # somewhere else
        picture[200:260, 40:100] = 220
    path, detector = write(tmp_path / "clip.mp4", first + second), Squares()
    seen = list(follow(read_frames(path, range(12)), detector, every=100))
    assert [len(one.faces) for one in seen] == [1] * 6 + [2] * 6
    assert detector.whole == 2


def test_a_detector_without_regions_searches_every_frame(tmp_path: Path) -> None:
    class Plain:
        name = "plain"

        def __init__(self) -> None:
            self.calls = 0

        def detect(self, image: Image) -> list[Detection]:
            self.calls += 1
            return Squares().detect(image)

    path, detector = write(tmp_path / "clip.mp4", moving(12)), Plain()
    assert all(len(one.faces) == 1 for one in follow(read_frames(path, range(12)), detector))
    assert detector.calls == 12


@pytest.mark.model
@pytest.mark.skipif(not CLIP.exists(), reason="../shared/faces is not here")
def test_a_real_clip_gives_the_faces_of_searching_every_frame() -> None:
    """Against dlib on every third frame, once enlarged: faces found, and how far landmarks are."""
    import dlib

    hog, detector = dlib.get_frontal_face_detector(), DlibHog()
    frames = range(100, 190, 3)
    apart, faces = [], 0
    for one in follow(read_frames(CLIP, frames), detector):
        boxes, scores, _ = hog.run(one.frame.rgb, 1, 0.0)
        for box, score in zip(boxes, scores, strict=True):
            if score < 0.3:
                continue
            faces += 1
            edges = (box.left() - 0.5, box.top() - 0.5, box.right() + 0.5, box.bottom() + 0.5)
            same = [face for face in one.faces if overlap(face.box, edges) > 0.3]
            assert same, f"frame {one.frame.number}"
            naive = detector.landmarks(one.frame.rgb, edges)
            eyes = np.linalg.norm(naive[36:42].mean(axis=0) - naive[42:48].mean(axis=0))
            between = np.linalg.norm(same[0].landmarks - naive, axis=1).mean()
            apart.append(between / eyes)
    assert faces > 20
    assert np.median(apart) < 0.025


# -- extraction ----------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    write(root / "a" / "one.mp4", moving(40))
    write(root / "two.mp4", moving(5))
    cv2.imwrite(str(root / "a" / "still.png"), moving(1)[0])
    return root


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name != "cache"
    }


def errors(root: Path) -> Iterator[tuple[str, str, str]]:
    for line in (root / "errors.jsonl").read_text().splitlines():
        entry = json.loads(line)
        yield entry["source"], entry["kind"], entry["reason"]


def test_each_video_file_is_a_video_with_evenly_spaced_frames(clips: Path, tmp_path: Path) -> None:
    report = extract(clips, tmp_path / "bank", detector=Squares(), frames_per_video=8)
    assert str(report).startswith("14 faces from 1 pictures and 2 video files of 3 videos")
    rows = report.bank.table.to_pylist()
    frames = {video: [r["frame"] for r in rows if r["video"] == video] for video in
              ("a", "a/one.mp4", "two.mp4")}  # fmt: skip
    assert frames == {"a": [0], "a/one.mp4": evenly(40, 8), "two.mp4": [0, 1, 2, 3, 4]}
    row = rows[3]
    (frame,) = read_frames(clips / "a" / "one.mp4", [row["frame"]])
    face = report.bank[3]
    matrix = np.reshape(row["crop_to_frame"], (2, 3))
    back = (matrix @ np.column_stack([face.landmarks, np.ones(68)]).T).T.astype(np.float32)
    np.testing.assert_array_equal(crop_face(frame.rgb, back)[0], face.image)


def test_all_frames_are_taken_where_zero_is_asked_for(clips: Path, tmp_path: Path) -> None:
    report = extract(
        clips / "a" / "one.mp4", tmp_path / "bank", detector=Squares(), frames_per_video=0
    )
    assert report.faces == 40
    assert report.bank.table["video"][0].as_py() == "one.mp4"


def test_an_interrupted_run_of_videos_continues_and_ends_the_same(
    clips: Path, tmp_path: Path
) -> None:
    class Interrupted(Squares):
        def landmarks(self, image: Image, box: Box) -> Landmarks:
            if self.whole + self.parts > 12:
                raise KeyboardInterrupt
            return super().landmarks(image, box)

    whole = extract(clips, tmp_path / "whole", detector=Squares(), frames_per_video=8)
    with pytest.raises(KeyboardInterrupt):
        extract(clips, tmp_path / "bank", detector=Interrupted(), frames_per_video=8)
    report = extract(clips, tmp_path / "bank", detector=Squares(), frames_per_video=8)
    assert report.kept > 0
    assert contents(report.bank.root) == contents(whole.bank.root)


def test_videos_that_cannot_be_used_are_recorded_in_words(clips: Path, tmp_path: Path) -> None:
    whole = (clips / "a" / "one.mp4").read_bytes()
    (clips / "empty.mp4").write_bytes(b"")
    (clips / "text.avi").write_text("Dear diary\n" * 50)
    write(clips / "nobody.mp4", [np.full((64, 64, 3), 40, np.uint8)] * 4)
    cut = write(clips / "cut.mkv", moving(40))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (clips / "wrong.webm").write_bytes(whole)  # content counts, not the name
    report = extract(clips, tmp_path / "bank", detector=Squares(), frames_per_video=8)
    told = {source: (kind, reason) for source, kind, reason in errors(report.bank.root)}
    assert told["empty.mp4"] == ("unreadable", "is empty (0 bytes); replace the file")
    assert told["text.avi"][0] == "unreadable"
    assert told["nobody.mp4"] == ("no-face", "shows no face in 4 frames that the detector finds")
    videos = set(report.bank.table["video"].to_pylist())
    assert {"wrong.webm", "cut.mkv"} <= videos
    # a Matroska header makes no claim; what is there was taken
    assert probe(cut).frames < 40


def test_runs_over_slices_make_together_what_one_makes(clips: Path, tmp_path: Path) -> None:
    def run(out: str, **slice_: int) -> ExtractReport:
        return extract(clips, tmp_path / out, detector=Squares(), frames_per_video=4, **slice_)

    whole = run("whole")
    first = run("bank", num=1)
    assert (first.undone, first.faces, first.videos) == (2, 1, 3)
    assert "not done yet: 2 videos" in str(first)
    second = run("bank", offset=2)
    assert (second.undone, second.faces) == (1, 5)
    collated = run("bank", num=0)
    assert (collated.faces, collated.undone) == (5, 1)
    last = run("bank", offset=1, num=1)
    assert (last.undone, last.faces) == (0, whole.faces)
    assert contents(tmp_path / "bank") == contents(tmp_path / "whole")
    with pytest.raises(BadArgument, match="offset: is -1"):
        run("bank", offset=-1)


def test_banks_of_slices_leave_no_copies_behind(clips: Path, tmp_path: Path) -> None:
    for offset in (0, 1):
        extract(clips, tmp_path / "bank", detector=Squares(), offset=offset, num=1)
    extract(clips, tmp_path / "bank", detector=Squares())
    assert len(list((tmp_path / "bank" / "cache").iterdir())) == 1


def test_photographs_that_group_names_like_a_video_file_are_refused_in_words(
    clips: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(clips / "two.mp4_0.png"), moving(1)[0])
    report = extract(clips, tmp_path / "bank", detector=Squares(), group="^[^_]+")
    told = {source: (kind, reason) for source, kind, reason in errors(report.bank.root)}
    assert told["two.mp4_0.png"][0] == "ungrouped"
    assert "as a video file is" in told["two.mp4_0.png"][1]


def test_a_video_that_the_disk_refused_is_tried_again(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("faceblend.ingest.video.av.open", refused)
        first = extract(clips, tmp_path / "bank", detector=Squares())
    assert first.errors == {"failed": 2}
    again = extract(clips, tmp_path / "bank", detector=Squares())
    assert (again.errors, again.kept) == ({}, 1)


def test_faces_that_are_too_small_are_told_once_a_video(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBank):
        extract(clips, tmp_path / "bank", detector=Squares(), min_face=100)
    kinds = [kind for _, kind, _ in errors(tmp_path / "bank")]
    assert kinds == ["small-face"] * 3
