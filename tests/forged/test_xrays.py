"""Forgeries of every kind end in X-rays or in a recorded reason, and a run continues."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from faceblend.errors import BadArgument, BadImage, BadVideo
from faceblend.face import Face, Image
from faceblend.forged import How, xray_of, xray_of_ffpp
from faceblend.ops.forged import alpha_from_difference
from faceblend.ops.mask import feather, hull
from faceblend.ops.xray import xray

SIDE = 256
FRAMES = 6


def window(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[60:316, 30:286])


def scene(faces: list[Face], frame: int) -> tuple[Image, Image, Image, np.ndarray]:
    """Original, fake, mask and true X-ray of a frame; brightness tells the frames apart."""
    light = 10 * frame
    original = window(faces[0].image // 2 + light)
    donor = window(faces[4].image // 2 + light)
    region = window(hull(faces[0].landmarks, 317))
    alpha = feather(region, 0.1)
    mixed = donor * alpha[..., None] + original * (1 - alpha[..., None])
    mask = np.repeat(region[..., None] * np.uint8(255), 3, axis=2)
    return original, np.rint(mixed).astype(np.uint8), mask, xray(alpha)


def write_video(path: Path, pictures: Sequence[Image]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = *pictures[0].shape[1::-1], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])
    return path


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def grey(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found.ndim == 2
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


@pytest.fixture
def scenes(faces: list[Face]) -> list[tuple[Image, Image, Image, np.ndarray]]:
    return [scene(faces, frame) for frame in range(FRAMES)]


@pytest.fixture
def videos(scenes: list, tmp_path: Path) -> dict[str, Path]:
    kinds = ("original", "fake", "mask")
    return {
        kind: write_video(tmp_path / f"{kind}.mp4", [one[number] for one in scenes])
        for number, kind in enumerate(kinds)
    }


@pytest.mark.parametrize("beside", ["original", "mask"])
def test_a_video_and_what_tells_of_it_give_numbered_frames_and_xrays(
    videos: dict[str, Path], scenes: list, tmp_path: Path, beside: str
) -> None:
    out = tmp_path / "out"
    report = xray_of(videos["fake"], out, how=How(frames=3), **{beside: videos[beside]})
    assert (report.xrays, report.empty, report.errors) == (3, 0, ())
    names = ["00000000.png", "00000002.png", "00000005.png"]
    assert sorted(path.name for path in (out / "fake").iterdir()) == names
    assert sorted(path.name for path in (out / "mask").iterdir()) == names
    for name, record in zip(names, records(out), strict=True):
        _, fake, _, true = scenes[record["frame"]]
        assert (record["image"], record["xray"]) == (f"fake/{name}", f"mask/{name}")
        assert record["from"] == ("mask" if beside == "mask" else "difference")
        shown = cv2.imread(str(out / "fake" / name))[..., ::-1]
        assert np.abs(shown.astype(int) - fake).mean() < 3
        assert overlap(grey(out / "mask" / name) / 255, true) > 0.6
    assert (out / "contact-sheet.png").exists()


def test_pictures_are_paired_too(scenes: list, tmp_path: Path) -> None:
    original, fake, _, _ = scenes[0]
    paths = [
        write_picture(tmp_path / f"{name}.png", picture)
        for name, picture in (("fake", fake), ("original", original))
    ]
    xray_of(paths[0], tmp_path / "out", original=paths[1])
    expected = np.rint(xray(alpha_from_difference(fake, original)) * np.float32(255))
    assert np.array_equal(grey(tmp_path / "out" / "mask" / "00000000.png"), expected)


def test_frames_are_paired_by_number_up_to_the_shorter_videos_end(
    videos: dict[str, Path], scenes: list, tmp_path: Path
) -> None:
    short = write_video(tmp_path / "short.mp4", [one[0] for one in scenes[:4]])
    xray_of(videos["fake"], tmp_path / "out", original=short)
    found = records(tmp_path / "out")
    assert [record["frame"] for record in found] == [0, 1, 2, 3]
    # frames differ by 10 levels, so a wrong pair would differ everywhere
    assert max(record["area"] for record in found) < 0.6


def test_a_frame_in_which_nothing_differs_is_recorded_with_the_reason(
    scenes: list, tmp_path: Path
) -> None:
    originals = [one[0] for one in scenes]
    fakes = [one[0] if number == 2 else one[1] for number, one in enumerate(scenes)]
    fake = write_video(tmp_path / "fake.mp4", fakes)
    original = write_video(tmp_path / "original.mp4", originals)
    report = xray_of(fake, tmp_path / "out", original=original, how=How(level=10))
    assert (report.xrays, report.empty) == (FRAMES - 1, 1)
    empty = records(tmp_path / "out")[2]
    assert empty["reason"] == "nothing differs above level 10"
    assert (empty["image"], empty["xray"]) == (None, None)
    assert not (tmp_path / "out" / "fake" / "00000002.png").exists()


def test_an_empty_mask_is_recorded_with_the_reason(scenes: list, tmp_path: Path) -> None:
    fake = write_picture(tmp_path / "fake.png", scenes[0][1])
    mask = write_picture(tmp_path / "mask.png", np.zeros((SIDE, SIDE, 3), np.uint8))
    report = xray_of(fake, tmp_path / "out", mask=mask)
    assert (report.xrays, report.empty) == (0, 1)
    assert records(tmp_path / "out")[0]["reason"] == "the mask is empty above level 64"


def test_a_second_run_does_only_what_is_new(videos: dict[str, Path], tmp_path: Path) -> None:
    def run(how: How) -> int:
        return xray_of(videos["fake"], tmp_path / "out", original=videos["original"], how=how).kept

    assert [run(How(frames=2)), run(How(frames=2)), run(How(frames=3))] == [0, 1, 0]
    (tmp_path / "out" / "mask" / "00000002.png").unlink()
    assert [run(How(frames=3)), run(How(frames=3))] == [0, 1]
    lines = (tmp_path / "out" / "records.jsonl").read_text()
    (tmp_path / "out" / "records.jsonl").write_text(lines[:-20])
    assert run(How(frames=3)) == 0
    assert (tmp_path / "out" / "records.jsonl").read_text() == lines


def test_two_sizes_are_refused_in_words(
    videos: dict[str, Path], scenes: list, tmp_path: Path
) -> None:
    small = [cv2.resize(one[0], (128, 96)) for one in scenes]
    other = write_video(tmp_path / "small.mp4", small)
    with pytest.raises(BadVideo, match=r"small.mp4: is 128x96, and fake.mp4 is 256x256"):
        xray_of(videos["fake"], tmp_path / "out", original=other)
    assert not (tmp_path / "out" / "records.jsonl").exists()
    one = write_picture(tmp_path / "one.png", scenes[0][1])
    two = write_picture(tmp_path / "two.png", small[0])
    with pytest.raises(BadImage, match="is 128x96"):
        xray_of(one, tmp_path / "out", mask=two)


def test_what_cannot_be_paired_is_refused_in_words(
    videos: dict[str, Path], scenes: list, tmp_path: Path
) -> None:
    fake, original, mask = (videos[kind] for kind in ("fake", "original", "mask"))
    picture = write_picture(tmp_path / "one.png", scenes[0][1])
    text = tmp_path / "text.txt"
    text.write_text("no video")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    out = tmp_path / "out"
    with pytest.raises(BadArgument, match="has neither mask nor original"):
        xray_of(fake, out)
    with pytest.raises(BadArgument, match="has both a mask and an original"):
        xray_of(fake, out, original=original, mask=mask)
    with pytest.raises(BadArgument, match=r"cannot be paired with fake.mp4"):
        xray_of(fake, out, original=picture)
    with pytest.raises(BadArgument, match=r"text.txt: is neither a video nor a picture"):
        xray_of(text, out, original=original)
    with pytest.raises(BadVideo, match="is no video that can be read"):
        xray_of(fake, out, original=broken)
    with pytest.raises(BadVideo, match="cannot be read"):
        xray_of(fake, out, original=tmp_path / "absent.mp4")
    with pytest.raises(BadImage, match="cannot be read"):
        xray_of(picture, out, mask=tmp_path / "absent.png")
    assert not out.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: How(frames=0), "frames: is 0"),
        (lambda: How(share=1.5), "share: is 1.5"),
        (lambda: How(level=255), "level: is 255"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], How], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        make()


@pytest.fixture
def ffpp(scenes: list, tmp_path: Path) -> Path:
    """One forgery with a mask, one with its original, one of DFD, two that cannot be done."""
    root = tmp_path / "FF"
    originals, fakes, masks = ([one[kind] for one in scenes[:2]] for kind in range(3))
    forged = root / "manipulated_sequences"
    write_video(forged / "Deepfakes" / "c23" / "videos" / "000_003.mp4", fakes)
    write_video(forged / "Deepfakes" / "masks" / "videos" / "000_003.mp4", masks)
    write_video(forged / "FaceShifter" / "c23" / "videos" / "000_003.mp4", fakes)
    write_video(root / "original_sequences" / "youtube" / "c23" / "videos" / "000.mp4", originals)
    scene_name = "walking_down_street"
    write_video(forged / "DeepFakeDetection/c40/videos" / f"01_02__{scene_name}__H.mp4", fakes)
    write_video(root / "original_sequences/actors/c40/videos" / f"01__{scene_name}.mp4", originals)
    write_video(forged / "FaceSwap" / "c23" / "videos" / "999_000.mp4", fakes)
    broken = forged / "FaceSwap" / "c23" / "videos" / "000_001.mp4"
    broken.write_bytes(b"no video")
    return root


def test_an_ffpp_tree_is_done_whole_and_what_fails_is_recorded(ffpp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = xray_of_ffpp(ffpp, out, workers=2)
    assert (report.xrays, report.empty, report.kept) == (6, 0, 0)
    place = "manipulated_sequences/FaceSwap/c23/videos"
    assert [name for name, _ in report.errors] == [f"{place}/000_001.mp4", f"{place}/999_000.mp4"]
    told = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [(one["source"], one["reason"]) for one in told] == list(report.errors)
    assert "has neither mask nor original" in told[1]["reason"]
    made = {
        "Deepfakes/c23/000_003": "mask",
        "FaceShifter/c23/000_003": "difference",
        "DeepFakeDetection/c40/01_02__walking_down_street__H": "difference",
    }
    for name, kind in made.items():
        assert [record["from"] for record in records(out / name)] == [kind] * 2
        assert (out / name / "mask" / "00000001.png").exists()
    assert (out / "contact-sheet.png").exists()
    assert xray_of_ffpp(ffpp, out).kept == 3


def test_originals_can_be_preferred_to_masks(ffpp: Path, tmp_path: Path) -> None:
    xray_of_ffpp(ffpp, tmp_path / "out", originals=True)
    found = records(tmp_path / "out" / "Deepfakes" / "c23" / "000_003")
    assert {record["from"] for record in found} == {"difference"}


def test_a_folder_without_forgeries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"holds no manipulated_sequences/\*/\*/videos"):
        xray_of_ffpp(tmp_path, tmp_path / "out")
