"""Faces are cut by their boxes, alternate one to one, and validate as they are."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceblend import FaceBank
from faceblend.bank import FaceRow
from faceblend.errors import BadArgument, BadBank, BadImage
from tests.conftest import drawn_face, make_bank
from xray_train.augment.frames import FrameChange, change_frame, draw_frame_change
from xray_train.data import Batches, InOrder, Mix, Mixed, evaluation_batches, training_batches
from xray_train.sources import Frames
from xray_train.sources.frames import cut_face


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Six videos of drawn faces, two of them forged; v0 and v1 to validate on."""
    splits = {f"v{number}": "val" if number < 2 else "train" for number in range(6)}
    labels = {"v1": 1, "v5": 1}
    return make_bank(tmp_path_factory.mktemp("half"), videos=6, splits=splits, labels=labels)


def one_face(root: Path, **changes: object) -> FaceBank:
    """A bank of one crop whose red is its column and whose green is its row."""
    image = np.zeros((317, 317, 3), np.uint8)
    image[..., 0] = np.minimum(np.arange(317), 255)
    image[..., 1] = np.minimum(np.arange(317), 255)[:, np.newaxis]
    (root / "crops").mkdir(parents=True)
    cv2.imwrite(str(root / "crops" / "a.png"), image[..., ::-1])
    values: dict[str, object] = {
        "video": "v", "frame": 0, "source": "v.mp4", "crop": "crops/a.png",
        "landmarks": drawn_face(0)[1].ravel().tolist(), "split": "test",
        "box": [59.5, 99.5, 139.5, 259.5], "crop_to_frame": [1.0, 0, 0, 0, 1.0, 0],
    }  # fmt: skip
    rows = [FaceRow(**{**values, **changes})]  # type: ignore[arg-type]
    return FaceBank.create(root, rows, crop_size=317, made_by={"detector": "hand"})


def seen(bank: FaceBank, **options: object) -> np.ndarray:
    item = Frames(str(bank.root), **options).item(0)  # type: ignore[arg-type]
    return item["image"].permute(1, 2, 0).numpy()


def test_scale_is_the_square_of_the_longer_side(tmp_path: Path) -> None:
    # the box is columns 60 to 139 and rows 100 to 259: the square is columns 20 to 179
    image = seen(one_face(tmp_path / "bank"), face="scale", size=160)
    assert image.shape == (160, 160, 3)
    np.testing.assert_array_equal(image[0, :, 0], np.arange(20, 180))
    np.testing.assert_array_equal(image[:156, 0, 1], np.arange(100, 256))


def test_tight_is_the_box_itself_in_the_middle_of_black(tmp_path: Path) -> None:
    image = seen(one_face(tmp_path / "bank"), face="tight", size=160)
    np.testing.assert_array_equal(image[0, 40:120, 0], np.arange(60, 140))
    assert (image[:, :40] == 0).all()
    assert (image[:, 120:] == 0).all()
    small = seen(FaceBank.open(tmp_path / "bank"), face="tight", size=80)
    assert (small[:, :20] == 0).all()
    assert small[40, 20:60, 0].min() >= 60


def test_a_square_at_the_border_moves_inside_and_one_too_large_shrinks() -> None:
    crop = np.zeros((100, 100, 3), np.uint8)
    crop[..., 0] = np.arange(100)
    moved = cut_face(crop, (-0.5, -0.5, 9.5, 59.5), "scale", 60)
    np.testing.assert_array_equal(moved[0, :, 0], np.arange(60))
    whole = cut_face(crop, (-0.5, -0.5, 99.5, 99.5), "scale", 100)
    np.testing.assert_array_equal(whole, crop)


def test_the_box_is_taken_back_into_its_crop(tmp_path: Path) -> None:
    plain = seen(one_face(tmp_path / "plain"), size=160)
    # the crop was taken at half the size, ten to the right and twenty down
    box = [2 * 59.5 + 10, 2 * 99.5 + 20, 2 * 139.5 + 10, 2 * 259.5 + 20]
    matrix = [2.0, 0, 10, 0, 2.0, 20]
    moved = one_face(tmp_path / "moved", box=box, crop_to_frame=matrix)
    np.testing.assert_array_equal(seen(moved, size=160), plain)
    # a quarter turn: the frame's x is the crop's y
    turned = one_face(
        tmp_path / "turned", box=[99.5, 59.5, 259.5, 139.5], crop_to_frame=[0, 1.0, 0, 1.0, 0, 0]
    )
    np.testing.assert_array_equal(seen(turned, size=160), plain)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"box": None}, "does not know the box of 1 of 1 faces"),
        ({"crop_to_frame": None}, "does not know the box"),
        ({"box": [900.0, 0.0, 990.0, 90.0]}, "outside of the crop"),
        ({"crop_to_frame": [1.0, 0, 0, 1.0, 0, 0]}, "to a line"),
    ],
)
def test_a_face_without_a_box_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    bank = one_face(tmp_path / "bank", **changes)
    with pytest.raises(BadBank, match=said):
        Frames(str(bank.root))


def test_wrong_numbers_and_empty_choices_are_refused(half: FaceBank) -> None:
    bank = str(half.root)
    for options, error in (
        ({"size": 0}, BadArgument), ({"limit": -1}, BadArgument), ({"parts": 0}, BadArgument),
        ({"split": "test"}, BadBank),
    ):  # fmt: skip
        with pytest.raises(error, match=r"."):
            Frames(bank, **options)  # type: ignore[arg-type]


def test_reals_and_forgeries_alternate_and_the_shorter_begins_again(half: FaceBank) -> None:
    bank = str(half.root)
    real, fake = (Frames(bank, "train", label) for label in ("real", "fake"))  # type: ignore[arg-type]
    assert (len(real), len(fake)) == (9, 3)
    assert (real.classes(), fake.classes()) == ({0}, {1})
    mix = Mix(sources=[real, fake], seed=1)
    places = [place for batch in Batches(mix, 6, start=0, stop=6) for place in batch]
    labels = [int(mix.sources[one.source].item(one.item)["label"]) for one in places]
    assert labels == [0, 1] * 18
    forged = [one.item for one in places if one.source == 1]
    assert Counter(forged) == {0: 6, 1: 6, 2: 6}
    assert all(sorted(forged[at : at + 3]) == [0, 1, 2] for at in range(0, 18, 3))


def test_validation_looks_at_the_same_sample_each_time(half: FaceBank) -> None:
    bank = str(half.root)
    one, same, other = (Frames(bank, limit=8, seed=seed).table() for seed in (3, 3, 4))
    assert one.equals(same)
    assert not one.equals(other)
    assert one.num_rows == 8
    # as training does, it weighs both classes alike while there are enough
    assert Counter(one["label"].to_pylist()) == {0: 4, 1: 4}
    many = Frames(bank, limit=16, seed=3)
    assert Counter(many.labels.tolist()) == {0: 10, 1: 6}
    assert len(Frames(bank, limit=99)) == 18


def test_a_table_row_stands_for_each_item(half: FaceBank) -> None:
    frames = Frames(str(half.root), "val")
    told = frames.table()
    for number in range(len(frames)):
        item, video = frames.named(number)
        assert told["video"][number].as_py() == video
        assert told["label"][number].as_py() == int(item["label"])
    assert set(told["split"].to_pylist()) == {"val"}


def test_validation_is_never_augmented(half: FaceBank) -> None:
    """Of icpr2020dfdc: validation went through training's augmentation."""
    frames = Frames(str(half.root), size=48, augment=True)
    plain = Frames(str(half.root), size=48)
    for batch, _ in evaluation_batches(frames, 6, 0):
        for image in batch["image"]:
            assert any(torch.equal(image, plain.item(n)["image"]) for n in range(len(plain)))
    first = InOrder(frames)[0][0]["image"]
    assert torch.equal(first, plain.item(0)["image"])
    mix = Mix(sources=[frames], seed=0)
    changed = [not torch.equal(Mixed(mix)[mix.at(n)]["image"], first) for n in range(4)]
    assert any(changed)


def test_an_unreadable_face_is_an_error_and_never_black(tmp_path: Path) -> None:
    """Of icpr2020dfdc: an unreadable image became a black one with a label."""
    bank = make_bank(tmp_path / "bank", videos=2, frames=1, labels={"v1": 1})
    frames = Frames(str(bank.root))
    (bank.root / "crops" / "v1" / "000000_0.png").write_bytes(b"no picture")
    with pytest.raises(BadImage, match="000000_0"):
        frames.item(1)
    (bank.root / "crops" / "v1" / "000000_0.png").unlink()
    with pytest.raises(BadImage, match="cannot be read"):
        frames.item(1)
    assert frames.item(0)["image"].any()


# -- augmentation ------------------------------------------------------------------------


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (48, 48, 3), dtype=np.uint8)


def test_nothing_drawn_changes_nothing(image: np.ndarray) -> None:
    np.testing.assert_array_equal(change_frame(image, FrameChange()), image)


@pytest.mark.parametrize(
    "change",
    [
        {"coarse": 0.5}, {"flip": True}, {"colour": "light", "gain": 1.2, "offset": 9.0},
        {"colour": "hsv", "hue": 9.0, "saturation": 9.0, "value": 9.0},
        {"noise": "iso", "intensity": 0.4, "tint": 0.04}, {"noise": "gaussian", "sigma": 5.0},
        {"fine": 0.7}, {"quality": 50},
    ],
    ids=str,
)  # fmt: skip
def test_each_change_changes_the_picture_and_repeats(
    image: np.ndarray, change: dict[str, object]
) -> None:
    before = image.copy()
    drawn = FrameChange(**change, noise_key=7)  # type: ignore[arg-type]
    once = change_frame(image, drawn)
    assert not np.array_equal(once, image)
    np.testing.assert_array_equal(once, change_frame(image, drawn))
    np.testing.assert_array_equal(image, before)
    if "noise" in change:
        assert not np.array_equal(once, change_frame(image, replace(drawn, noise_key=8)))
    if "flip" in change:
        np.testing.assert_array_equal(once, image[:, ::-1])


def test_draws_keep_to_their_ranges_and_come_half_of_the_time() -> None:
    draws = [draw_frame_change(np.random.default_rng(seed)) for seed in range(600)]
    assert draws[3] == draw_frame_change(np.random.default_rng(3))
    shares = {
        "coarse": np.mean([one.coarse == 0.5 for one in draws]),
        "flip": np.mean([one.flip for one in draws]),
        "colour": np.mean([one.colour != "none" for one in draws]),
        "noise": np.mean([one.noise != "none" for one in draws]),
        "fine": np.mean([one.fine < 1 for one in draws]),
        "quality": np.mean([one.quality > 0 for one in draws]),
    }
    assert all(0.43 < share < 0.57 for share in shares.values()), shares
    assert {one.colour for one in draws} == {"none", "light", "hsv"}
    assert {one.noise for one in draws} == {"none", "iso", "gaussian"}
    assert {one.coarse for one in draws} == {0.5, 1.0}
    fine = [one.fine for one in draws if one.fine < 1]
    assert 0.7 <= min(fine) < 0.71 < 0.89 < max(fine) <= 0.9
    qualities = {one.quality for one in draws} - {0}
    assert (min(qualities), max(qualities)) == (50, 99)
    assert min(one.sigma for one in draws) >= 0.01 * 255
    assert max(one.sigma for one in draws) <= 0.03 * 255
    assert max(abs(one.hue) for one in draws) <= 10
    assert max(abs(one.saturation) for one in draws) <= 30
    assert max(abs(one.value) for one in draws) <= 20


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_face_is_named_from_a_worker_as_well(tmp_path: Path, workers: int) -> None:
    make_bank(tmp_path / "bank", labels={"v0": 1})
    lost = tmp_path / "bank" / "crops" / "v1" / "000001_0.png"
    lost.write_bytes(b"no picture")
    frames = Frames(str(tmp_path / "bank"), size=32)
    with pytest.raises(BadImage, match=r"000001_0\.png") as caught:
        list(evaluation_batches(frames, 4, workers))
    assert "\n" not in str(caught.value)
    mix = Mix(sources=[frames], seed=0)
    with pytest.raises(BadImage, match=r"000001_0\.png"):
        list(training_batches(Batches(mix, 4, start=0, stop=3), mix, workers))
