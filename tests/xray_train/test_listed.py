"""Pictures of a list come in its order, with its labels; what is wrong with it is said once."""

import csv
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from faceblend.errors import BadArgument, BadImage
from xray_train.data import Batches, Mix, Mixed
from xray_train.sources import Listed
from xray_train.sources.listed import Change, apply_change, draw_change, squared

STILL = Change(
    mirrored=False, upside_down=False, turn=0.0, gain=1.0, offset=0.0, hue=0.0, saturation=0.0
)


def grey(level: int, width: int = 40, height: int = 30) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Pictures whose level is ten times their row in a list that is in no order of names."""
    rows = [("b.png", 1), ("sub/c.png", 0), ("a.png", 1), ("d.png", 0)]
    for number, (name, _) in enumerate(rows):
        save(tmp_path / "set" / name, grey(10 * number + 5))
    text = "img_name,target\n" + "".join(f"{name},{target}\n" for name, target in rows)
    (tmp_path / "labels.txt").write_text(text)
    return tmp_path


def source(root: Path, **options: object) -> Listed:
    values: dict[str, object] = {"folder": str(root / "set"), "labels": str(root / "labels.txt")}
    return Listed(**{**values, "size": 16, **options})  # type: ignore[arg-type]


def test_pictures_and_labels_keep_the_order_of_the_list(listed: Path) -> None:
    """Contests fix what 1 is: a deepfake, as everywhere here."""
    given = source(listed)
    assert [int(given.item(number)["label"]) for number in range(4)] == [1, 0, 1, 0]
    assert [int(given.item(number)["image"][0, 0, 0]) for number in range(4)] == [5, 15, 25, 35]
    assert given.named(1)[1] == "sub/c.png"
    assert given.item(0)["image"].shape == (3, 16, 16)
    assert not given.item(0)["xray"].any()
    assert given.classes() == {0, 1}


def test_only_the_first_rows_are_taken_and_looked_for(listed: Path) -> None:
    (listed / "set" / "d.png").unlink()
    assert len(source(listed, first=3)) == 3
    assert source(listed, first=1).classes() == {1}


def test_columns_may_stand_in_another_order_and_beside_others(listed: Path) -> None:
    (listed / "labels.txt").write_text("target,size,img_name\r\n0,9,b.png\r\n1,9,a.png\r\n")
    given = source(listed)
    assert [given.named(number)[1] for number in (0, 1)] == ["b.png", "a.png"]
    assert int(given.item(1)["label"]) == 1


@pytest.mark.parametrize("shape", [(300, 200), (17, 90), (64, 64), (20, 20)])
def test_the_size_is_brought_as_torchvision_does(shape: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    want = np.asarray(transforms.Resize((64, 64))(PIL.Image.fromarray(image)))
    assert np.array_equal(squared(image, 64), want)


def test_pictures_are_upright_as_people_see_them(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(grey(0))
    picture.paste((255, 255, 255), (0, 0, 40, 15))  # the upper half
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    (tmp_path / "set").mkdir()
    picture.save(tmp_path / "set" / "a.jpg", exif=exif)
    (tmp_path / "labels.txt").write_text("img_name,target\na.jpg,0\n")
    image = source(tmp_path).item(0)["image"]
    assert int(image[:, 2].max()) < 30
    assert int(image[:, -2].min()) > 220


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,target\na.png,1\n", "has no column img_name, its first line is 'name,target'"),
        ("img_name\na.png\n", "has no column target"),
        ("img_name,target\na.png,1\nb.png,2\n", "line 3: has the target '2'"),
        ("img_name,target\na.png,\n", "line 2: has the target ''"),
        ("img_name,target\na.png,1.0\n", r"line 2: has the target '1\.0'"),
        ("img_name,target\na.png,1\nb.png,0\na.png,1\n", "line 4: names a.png again, as line 2"),
        ("img_name,target\na.png,1\n,0\n", "line 3: names no picture"),
        ("img_name,target\na.png,1,2\n", "line 2: has 3 values for 2 columns"),
        ("img_name,target\n", "lists no picture"),
        ("", "has no column img_name"),
        ("img_name,target\na.png,1\nx.png,1\ny.png,0\n", r"lacks 2 of the 3 .*\(x.png, y.png\)"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(listed: Path, text: str, words: str) -> None:
    (listed / "labels.txt").write_text(text)
    with pytest.raises(BadArgument, match=words):
        source(listed)


def test_a_list_that_is_no_text_or_not_there_is_refused(listed: Path) -> None:
    (listed / "labels.txt").write_bytes(b"img_name,target\n\xff\xfe,1\n")
    with pytest.raises(BadArgument, match="is no CSV in UTF-8"):
        source(listed)
    (listed / "labels.txt").unlink()
    with pytest.raises(BadArgument, match=r"labels\.txt: cannot be read"):
        source(listed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size: is 0"),
        ({"first": -1}, "first: is -1"),
        ({"colours": 2.0, "augment": True}, "colours: is 2.0"),
        ({"turn": 10.0}, "augment: is false, so turn and colours do nothing"),
    ],
)
def test_numbers_out_of_range_are_refused(
    listed: Path, options: dict[str, float], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        source(listed, **options)


def test_a_picture_that_cannot_be_read_is_never_replaced(listed: Path) -> None:
    (listed / "set" / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match=r"a\.png"):
        source(listed).item(2)


# -- what training changes -----------------------------------------------------------


def test_each_change_does_what_it_says() -> None:
    image = np.random.default_rng(1).integers(60, 200, (9, 9, 3), dtype=np.uint8)

    def changed(**values: object) -> np.ndarray:
        return apply_change(image, Change(**{**STILL.__dict__, **values}))  # type: ignore[arg-type]

    assert np.array_equal(changed(), image)
    assert np.array_equal(changed(mirrored=True), image[:, ::-1])
    assert np.array_equal(changed(upside_down=True), image[::-1])
    # a quarter turn to the left, about the middle of the picture
    assert np.array_equal(changed(turn=90.0), np.rot90(image))
    assert np.array_equal(changed(offset=7.0), image + 7)
    flat = np.full((9, 9, 3), 128, np.uint8)
    assert np.array_equal(apply_change(flat, Change(**{**STILL.__dict__, "gain": 1.4})), flat)
    pale = cv2.cvtColor(changed(saturation=-30.0), cv2.COLOR_RGB2HSV)[..., 1].mean()
    assert pale < cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1].mean() - 20
    assert not np.array_equal(changed(hue=9.0), image)


def test_mirrorings_come_half_the_time_and_the_rest_within_its_range() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_change(rng, 15.0, 0.5) for _ in range(2000)]
    # four standard deviations of a fair coin
    for name in ("mirrored", "upside_down"):
        assert abs(np.mean([getattr(one, name) for one in drawn]) - 0.5) < 0.045
    for name, high in (("turn", 15), ("offset", 25), ("hue", 4.5), ("saturation", 30)):
        values = np.abs([getattr(one, name) for one in drawn])
        assert 0.9 * high < values.max() <= high
    gains = [one.gain for one in drawn]
    assert 0.8 <= min(gains) < 0.82
    assert 1.18 < max(gains) <= 1.2


def test_colours_more_leave_the_mirroring_where_it_was() -> None:
    one, other = (draw_change(np.random.default_rng(3), 0.0, colours) for colours in (0.0, 1.0))
    assert (one.mirrored, one.upside_down) == (other.mirrored, other.upside_down)
    assert one == Change(
        **{**STILL.__dict__, **{"mirrored": one.mirrored, "upside_down": one.upside_down}}
    )


def test_training_changes_pictures_and_validation_never(listed: Path) -> None:
    ramp = np.zeros((16, 16, 3), np.uint8)
    ramp[..., 0] = np.arange(16) * 10
    ramp[..., 1] = np.arange(16)[:, np.newaxis] * 10
    save(listed / "set" / "b.png", ramp)
    mix = Mix(sources=[source(listed, first=1, augment=True)], seed=0)
    given = Mixed(mix)
    places = [one for step in Batches(mix, 8, start=0, stop=4) for one in step]
    seen = {given[place]["image"].numpy().tobytes() for place in places}
    assert len(seen) == 4  # as it is, mirrored, upside down, both
    assert torch.equal(given[places[5]]["image"], given[places[5]]["image"])
    plain = Mixed(Mix(sources=[source(listed, first=1)], seed=0))
    assert len({plain[place]["image"].numpy().tobytes() for place in places}) == 1


def test_the_list_is_read_as_a_csv_writer_quotes_it(listed: Path) -> None:
    save(listed / "set" / 'x, "y".png', grey(90))
    with (listed / "labels.txt").open("w", newline="") as file:
        csv.writer(file).writerows([("img_name", "target"), ('x, "y".png', 1)])
    assert int(source(listed).item(0)["image"][0, 0, 0]) == 90
