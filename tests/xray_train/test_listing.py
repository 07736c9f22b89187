"""Scores of a list are probabilities, in its order, to the letter; what fails is named."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from faceblend.errors import BadArgument
from xray_train.evaluate import Diverged
from xray_train.listing import Scored, mean_scores, refusals, score_list
from xray_train.predict import VIEWS, view
from xray_train.tasks import Images, Prediction

CPU = torch.device("cpu")
LEVELS = {"z.png": 51, "a.png": 0, "m/k.png": 255, "b.png": 102}


class Brightness(nn.Module):
    """Scores a picture by the mean of its left half."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def predict(self, images: Images) -> Prediction:
        self.seen.append(images)
        half = images[..., : images.shape[-1] // 2].float()
        return Prediction(scores=half.mean(dim=(1, 2, 3)) / 255)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    for name, level in LEVELS.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.full((20, 30, 3), level, np.uint8)).save(path)
    (tmp_path / "list.csv").write_text("img_name\n" + "".join(f"{name}\n" for name in LEVELS))
    return tmp_path


def scored(root: Path, task: nn.Module, **options: object) -> Scored:
    values: dict[str, object] = {"device": CPU, "size": 16, **options}
    return score_list(
        task,
        root / "set",
        root / "list.csv",
        root / "out.csv",
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_answer_is_in_the_order_of_the_list_to_the_letter(listed: Path, workers: int) -> None:
    made = scored(listed, Brightness(), batch=3, workers=workers)
    want = "img_name,y_pred\nz.png,0.200000003\na.png,0\nm/k.png,1\nb.png,0.400000006\n"
    assert (listed / "out.csv").read_bytes() == want.encode()
    assert refusals(listed / "out.csv").read_text() == "img_name,reason\n"
    assert (made.pictures, made.refused) == (4, ())


def test_a_list_with_targets_gives_the_same_answer(listed: Path) -> None:
    scored(listed, Brightness())
    without = (listed / "out.csv").read_bytes()
    (listed / "list.csv").write_text(
        "img_name,target\n" + "".join(f"{name},1\n" for name in LEVELS)
    )
    scored(listed, Brightness())
    assert (listed / "out.csv").read_bytes() == without


def test_scores_that_differ_in_the_last_bit_stay_different(listed: Path) -> None:
    class Near(nn.Module):
        def predict(self, images: Images) -> Prediction:
            one = images.new_tensor(0.9, dtype=torch.float32)
            return Prediction(scores=torch.stack([one, torch.nextafter(one, one + 1)] * 2))

    scored(listed, Near())
    lines = (listed / "out.csv").read_text().splitlines()
    first, second = (float(line.split(",")[1]) for line in lines[1:3])
    assert np.float32(first) == np.float32(0.9)
    assert np.float32(second) == np.nextafter(np.float32(0.9), np.float32(1))


# -- several views: the seed's were the same picture, and their probabilities were summed ----


def test_the_mean_of_views_is_a_probability() -> None:
    white = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    ones = mean_scores(Brightness(), white, CPU, 2)
    assert np.array_equal(ones, [1.0, 1.0])
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    for views in range(1, len(VIEWS) + 1):
        task = Brightness()
        mean = mean_scores(task, images, CPU, views)
        assert ((mean >= 0) & (mean <= 1)).all()
        each = [task.predict(view(images, number)).scores.double() for number in range(views)]
        assert np.allclose(mean, torch.stack(each).mean(0).numpy())


def test_every_view_is_another_picture() -> None:
    task = Brightness()
    images = torch.randint(40, 200, (3, 3, 8, 8), dtype=torch.uint8)
    mean_scores(task, images, CPU, len(VIEWS))
    assert len(task.seen) == len(VIEWS)
    for number, one in enumerate(task.seen):
        for other in task.seen[:number]:
            assert not torch.equal(one, other)
    assert torch.equal(task.seen[0], images)
    assert torch.equal(task.seen[1], images.flip(-1))


# -- what goes wrong -----------------------------------------------------------------


def test_what_cannot_be_read_has_its_row_and_its_reason(listed: Path) -> None:
    (listed / "set" / "a.png").write_bytes(b"")
    (listed / "set" / "b.png").unlink()
    made = scored(listed, Brightness(), batch=2)
    assert [name for name, _ in made.refused] == ["a.png", "b.png"]
    want = "img_name,y_pred\nz.png,0.200000003\na.png,0.5\nm/k.png,1\nb.png,0.5\n"
    assert (listed / "out.csv").read_text() == want
    assert refusals(listed / "out.csv").read_text().splitlines() == [
        "img_name,reason",
        "a.png,is empty (0 bytes)",
        "b.png,cannot be read (No such file or directory)",
    ]
    scored(listed, Brightness(), unread=0.25)
    assert "a.png,0.25\n" in (listed / "out.csv").read_text()


def test_a_folder_without_any_of_them_is_refused(listed: Path) -> None:
    for path in (listed / "set").rglob("*.png"):
        path.unlink()
    with pytest.raises(BadArgument, match=r"holds no picture of .* that can be read"):
        scored(listed, Brightness())
    assert not (listed / "out.csv").exists()


def test_scores_that_are_no_numbers_are_not_written(listed: Path) -> None:
    class Lost(nn.Module):
        def predict(self, images: Images) -> Prediction:
            return Prediction(scores=torch.full((len(images),), float("nan")))

    with pytest.raises(Diverged, match="no numbers"):
        scored(listed, Lost())
    assert not (listed / "out.csv").exists()


@pytest.mark.parametrize(
    "options", [{"views": 0}, {"views": 5}, {"unread": 1.5}, {"batch": 0}, {"size": 0}]
)
def test_numbers_out_of_range_are_refused(listed: Path, options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(BadArgument, match=f"{name}: is"):
        scored(listed, Brightness(), **options)
