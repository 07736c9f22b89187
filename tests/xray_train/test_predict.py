"""Faces in files are cut out as banks have them, scored and drawn; what fails has a row."""

import csv
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch import nn

from faceblend.bank import FaceBank, FaceRow
from faceblend.errors import BadArgument
from faceblend.face import Image
from faceblend.ingest.detect import Detection
from faceblend.ingest.extract import extract
from tests.conftest import make_bank
from xray_train.predict import Predicted, aggregate, predict
from xray_train.sources import Frames, window
from xray_train.tasks import Images, Prediction


class Brightness(nn.Module):
    """Scores a picture by its mean, and marks its left half."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def predict(self, images: Images) -> Prediction:
        self.seen.append(images)
        xrays = torch.zeros(len(images), *images.shape[2:])
        xrays[:, :, : images.shape[3] // 2] = 0.8
        return Prediction(scores=images.float().mean(dim=(1, 2, 3)) / 255, xrays=xrays)


class Squares:
    """Finds bright squares, the largest first."""

    name = "squares"

    def detect(self, image: Image) -> list[Detection]:
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            (image[..., 1] > 130).astype(np.uint8)
        )
        found = []
        for x, y, w, h, area in stats[1:count].tolist():
            if area > 400:
                grid = np.stack(np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, 4)), -1)
                points = (grid.reshape(68, 2) * [w, h] + [x, y]).astype(np.float32)
                box = (x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5)
                found.append(Detection(box=box, score=float(area), landmarks=points))
        return sorted(found, key=lambda one: -one.score)


def picture(*squares: tuple[int, int, int]) -> Image:
    made = np.full((240, 320, 3), 40, np.uint8)
    for x, y, side in squares:
        made[y : y + side, x : x + side] = 200
    return made


def save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def film(path: Path, frames: int, draw: Callable[[int], Image]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    save(root / "a" / "two.png", picture((40, 60, 80), (200, 80, 60)))
    save(root / "nobody.png", picture())
    film(root / "clip.mp4", 9, lambda n: picture((40 + n, 60, 80)) if n < 6 else picture())
    (root / "broken.mp4").write_bytes(b"no video")
    return root


def run(source: Path, out: Path, task: nn.Module | None = None, **options: object) -> Predicted:
    return predict(
        task if task is not None else Brightness(),
        source,
        out,
        detector=Squares(),
        device=torch.device("cpu"),
        **{"frames": 3, **options},  # type: ignore[arg-type]
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_face_of_a_folder_has_a_row_and_so_has_who_shows_none(
    files: Path, tmp_path: Path
) -> None:
    report = run(files, tmp_path / "out")
    faces = table(tmp_path / "out" / "faces.csv")
    assert list(faces[0]) == ["path", "frame", "face", "box", "score"]
    assert [(one["path"], one["frame"], one["face"]) for one in faces] == [
        ("a/two.png", "0", "0"),
        ("a/two.png", "0", "1"),
        ("clip.mp4", "0", "0"),
        ("clip.mp4", "4", "0"),
        ("clip.mp4", "8", "-1"),
        ("nobody.png", "0", "-1"),
    ]
    assert faces[0]["box"] == "39.5 59.5 119.5 139.5"
    assert faces[-1]["score"] == ""
    videos = {one["path"]: one for one in table(tmp_path / "out" / "videos.csv")}
    assert videos["nobody.png"]["forged"] == "no face"
    assert (videos["clip.mp4"]["frames"], videos["clip.mp4"]["faces"]) == ("3", "2")
    mean = np.mean(
        [float(one["score"]) for one in faces if one["path"] == "clip.mp4" and one["score"]]
    )
    assert float(videos["clip.mp4"]["score"]) == pytest.approx(mean, abs=1e-6)
    assert [one["path"] for one in table(tmp_path / "out" / "refused.csv")] == ["broken.mp4"]
    assert (report.faces, report.videos, report.faceless) == (4, 3, 1)
    assert len(report.refused) == 1


def test_a_face_is_cut_out_as_a_bank_has_it(files: Path, tmp_path: Path) -> None:
    task = Brightness()
    run(files / "a", tmp_path / "out", task)
    bank = extract(files / "a", tmp_path / "bank", detector=Squares(), faces="all").bank
    for row, seen in enumerate(task.seen):
        wanted = window(bank[row].image)
        np.testing.assert_array_equal(seen[0].permute(1, 2, 0).numpy(), wanted)


def test_the_crops_of_a_bank_may_have_any_names(tmp_path: Path) -> None:
    made = make_bank(tmp_path / "bank", videos=1, frames=2)
    rows = []
    for row, values in enumerate(made.table.to_pylist()):
        name = f"crops/{'grace' if row else 'eileen_of_nasa'}.png"
        (tmp_path / "bank" / values["crop"]).rename(tmp_path / "bank" / name)
        points = made.landmarks[row].ravel().tolist()
        rows.append(FaceRow(**{**values, "crop": name, "landmarks": points}))
    FaceBank.create(tmp_path / "bank", rows, crop_size=made.crop_size, made_by={"detector": "x"})
    run(tmp_path / "bank", tmp_path / "out")
    faces = table(tmp_path / "out" / "faces.csv")
    assert [(one["frame"], one["face"]) for one in faces] == [("0", "0"), ("1", "0")]


def test_a_bank_gives_the_scores_of_its_pictures(files: Path, tmp_path: Path) -> None:
    run(files / "a", tmp_path / "out")
    extract(files / "a", tmp_path / "bank", detector=Squares(), faces="all")
    run(tmp_path / "bank", tmp_path / "of_bank")
    assert FaceBank.open(tmp_path / "bank").table.num_rows == 2
    direct, banked = (
        [one["score"] for one in table(tmp_path / name / "faces.csv")]
        for name in ("out", "of_bank")
    )
    assert direct == banked


class Plain(Brightness):
    """The same, without X-rays."""

    def predict(self, images: Images) -> Prediction:
        return Prediction(scores=super().predict(images).scores)


@pytest.mark.parametrize("face", ["scale", "tight"])
def test_a_network_sees_the_cut_that_it_was_trained_on(
    files: Path, tmp_path: Path, face: str
) -> None:
    extract(files / "a", tmp_path / "bank", detector=Squares(), faces="all")
    frames = Frames(str(tmp_path / "bank"), face=face, size=48)  # type: ignore[arg-type]
    for source in (files / "a", tmp_path / "bank"):
        task = Plain()
        run(source, tmp_path / "out", task, face=face, size=48)
        assert len(task.seen) == len(frames) == 2
        for number, seen in enumerate(task.seen):
            assert torch.equal(seen[0], frames.item(number)["image"])
    assert (frames.item(0)["image"] > 150).float().mean() > 0.6  # little but the square


def test_xrays_are_drawn_of_the_window_alone(files: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="give window"):
        run(files / "a", tmp_path / "out", face="scale")
    with pytest.raises(BadArgument, match="size"):
        run(files / "a", tmp_path / "out", face="scale", size=0)


def test_overlays_show_the_xray_where_the_crop_was(files: Path, tmp_path: Path) -> None:
    run(files, tmp_path / "out")
    overlays = tmp_path / "out" / "overlays"
    assert {path.relative_to(overlays).as_posix() for path in overlays.rglob("*.*")} == {
        "a/two.png.png", "clip.mp4.mp4", "nobody.png.png",
    }  # fmt: skip
    drawn = cv2.imread(str(overlays / "a" / "two.png.png"))[..., ::-1].astype(int)
    plain = picture((40, 60, 80), (200, 80, 60)).astype(int)
    red = (drawn - plain)[..., 0] - (drawn - plain)[..., 2]
    left, right = red[80:120, 45:70].mean(), red[80:120, 90:115].mean()
    assert left > 60 > 20 > abs(right)
    with av.open(str(overlays / "clip.mp4.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    run(files, tmp_path / "none", overlays=False)
    assert not (tmp_path / "none" / "overlays").exists()


def test_views_differ_and_are_averaged(files: Path, tmp_path: Path) -> None:
    task = Brightness()
    run(files / "a" / "two.png", tmp_path / "out", task, views=4)
    stack = task.seen[0]
    assert len(stack) == 4
    assert len({one.numpy().tobytes() for one in stack}) == 4
    assert torch.equal(stack[1], stack[0].flip(-1))
    score = float(table(tmp_path / "out" / "faces.csv")[0]["score"])
    assert score == pytest.approx(float(stack.float().mean()) / 255, abs=1e-5)
    with pytest.raises(BadArgument, match="give 1 to 4"):
        run(files, tmp_path / "out", views=5)


def test_frames_become_a_video_by_the_chosen_rule() -> None:
    scores = np.array([0.1, 0.2, 0.9])
    assert aggregate(scores, "mean", 0.5) == pytest.approx(0.4)
    assert aggregate(scores, "max", 0.5) == 0.9
    assert aggregate(scores, "p95", 0.5) == pytest.approx(0.83)
    assert aggregate(scores, "vote", 0.5) == pytest.approx(1 / 3)
