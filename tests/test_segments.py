"""A user's own segmentations, in ``segments/`` of a bank, serve as masks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.audit.zone import Zones
from faceblend.bank import FaceBank
from faceblend.cli import DONE, main
from faceblend.clips import clip, replay_clip
from faceblend.clips.blended import ClipDraw, frame_faces
from faceblend.doctor.bankfolder import stray_findings
from faceblend.draw import Draw
from faceblend.errors import BadArgument, BadImage
from faceblend.face import Mask
from faceblend.ops import NAMED, geometry, mask, named, op, warp
from faceblend.ops.geometry import Layers
from faceblend.recipe import Recipe, build, load_recipe
from faceblend.sample import lent, render, replay, sample, unblended
from faceblend.store import BlendSet, verify
from tests.conftest import CROP

PLAIN = Recipe.from_dict(
    {
        "fake_share": 1.0,
        "mask": {"segmentation": 1},
        "working": {"probability": 0.0},
        "deform": {"probability": 0.0},
        "morph": {"erode": [1, 1], "dilate": [1, 1]},
        "soften": {"feather": [0.02, 0.02]},
        "flip": {"horizontal": 0.0},
    }
)


def disc(row: int) -> Mask:
    """Another circle for every face: no landmark has a part in it."""
    y, x = np.indices((CROP, CROP))
    return np.asarray((x - 150 - 3 * row) ** 2 + (y - 170) ** 2 <= (60 + 2 * row) ** 2)


def segment_path(bank: FaceBank, row: int) -> Path:
    return bank.root / "segments" / bank.crop(row).removeprefix("crops/")


@pytest.fixture(scope="module")
def segmented(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    root = tmp_path_factory.mktemp("segmented") / "bank"
    copied = FaceBank.open(
        shutil.copytree(bank.root, root, ignore=shutil.ignore_patterns("cache"))
    )
    for row in range(len(copied)):
        path = segment_path(copied, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), disc(row).astype(np.uint8))  # 1, not 255
    return copied


@pytest.fixture
def damaged(segmented: FaceBank, tmp_path: Path) -> FaceBank:
    return FaceBank.open(shutil.copytree(segmented.root, tmp_path / "damaged"))


def draw_of(record: str) -> Draw:
    return build(Draw, json.loads(record)["draw"], "record", complete=True)


def test_the_alpha_is_the_backgrounds_segment(segmented: FaceBank) -> None:
    for index in range(4):
        one = sample(segmented, PLAIN, 1, index)
        window = draw_of(one.record).crop
        expected = disc(draw_of(one.record).background)
        expected = expected[window.top :, window.left :][: window.size, : window.size]
        assert one.alpha is not None
        assert not one.alpha[~expected].any()
        # at most the four tips of a disc are smoothed away
        assert np.count_nonzero(expected & (one.alpha == 0)) <= 4


def test_a_yaml_override_makes_a_set_that_verifies(segmented: FaceBank, tmp_path: Path) -> None:
    words = ["generate", str(segmented.root), "--out", str(tmp_path / "set"), "--count", "10"]
    assert main([*words, "--workers", "1", "--recipe.mask", "{segmentation: 1}"]) == DONE
    assert not verify(tmp_path / "set", bank=segmented, replays=10).problems
    with BlendSet(tmp_path / "set") as made:
        kinds = {
            json.loads(one.record)["draw"]["fake"]["mask"]["kind"] for one in made if one.label
        }
        assert kinds == {"segmentation"}
        assert {one.label for one in made} == {0, 1}


def test_a_recipes_file_may_ask_for_segments(segmented: FaceBank, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("fake_share: 1.0\nmask: {segmentation: 1}\n")
    one = sample(segmented, load_recipe(tmp_path / "mine.yaml"), 2, 0)
    assert replay(one.record, segmented).digest() == one.digest()


def test_samples_replay_and_their_twins_are_made(segmented: FaceBank) -> None:
    recipe = replace(load_recipe("bi"), mask={"segmentation": 1.0}, fake_share=1.0)
    for index in range(6):
        one = sample(segmented, recipe, 3, index)
        assert replay(one.record, segmented).digest() == one.digest()
        assert unblended(one, segmented).label == 0
        assert lent(one, segmented).shape == one.image.shape
        zones = Zones(recipe=recipe, bank=segmented, crop_size=CROP)
        np.testing.assert_array_equal(zones.blend(one)[1], one.alpha)


def test_a_segment_moves_with_the_blend(segmented: FaceBank) -> None:
    still = sample(segmented, PLAIN, 1, 0)
    recipe = replace(PLAIN, move=replace(PLAIN.move, right=(-0.1, -0.1), probability=1.0))
    moved = sample(segmented, recipe, 1, 0)
    assert draw_of(still.record).background == draw_of(moved.record).background
    assert still.alpha is not None
    assert moved.alpha is not None
    centres = [np.argwhere(one > 0.5).mean(axis=0) for one in (still.alpha, moved.alpha)]
    np.testing.assert_allclose(centres[1] - centres[0], [0, -0.1 * CROP], atol=0.3)


def test_other_masks_read_no_segment(damaged: FaceBank, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(damaged.root / "segments")
    monkeypatch.setattr(FaceBank, "segment", None)
    sample(damaged, load_recipe("bi"), 0, 0)


# -- files ---------------------------------------------------------------------------


def test_any_picture_serves_whose_face_is_not_zero(damaged: FaceBank) -> None:
    path, face = segment_path(damaged, 2), disc(2)
    zeros = np.zeros((CROP, CROP), np.uint8)
    blue = np.dstack([face.astype(np.uint8), zeros, zeros])
    for picture in (
        face.astype(np.uint8) * 255,
        face.astype(np.uint16),
        blue,
        np.dstack([blue, np.full((CROP, CROP), 255, np.uint8)]),
    ):
        cv2.imwrite(str(path), picture)
        made = damaged.segment(2)
        assert made.dtype == np.bool_
        np.testing.assert_array_equal(made, face)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "cannot be read .*; put the face's segment there"),
        (b"", "not a picture"),
        (b"no picture", "not a picture"),
        (cv2.imencode(".png", disc(0).astype(np.uint8))[1].tobytes()[:-300], "not a picture"),
        (
            cv2.imencode(".png", np.ones((64, 80), np.uint8))[1].tobytes(),
            "is 80x64 where .*317x317",
        ),
    ],
)
def test_a_segment_that_is_none_is_one_clear_error(
    damaged: FaceBank, data: bytes | None, words: str
) -> None:
    background = draw_of(sample(damaged, PLAIN, 1, 0).record).background
    path = segment_path(damaged, background)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadImage, match=words) as caught:
        sample(damaged, PLAIN, 1, 0)
    assert caught.value.where == str(path)


def test_a_bank_without_any_segment_is_refused_before_anything_is_made(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", str(bank.root), "--out", str(tmp_path / "set"), "--count", "3"]
    for recipe in ("{segmentation: 1}", "{segmentation: 0.1, hull: 1}"):
        assert main([*words, "--recipe.mask", recipe]) == 2
        assert "has no folder segments/" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert main([*words, "--recipe.mask", "{segmentation: 0, hull: 1}"]) == DONE


def test_a_crop_outside_of_crops_has_its_segment_under_its_whole_path(
    bank: FaceBank, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "segments" / "pictures").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "pictures" / "0_0.jpg"), bank[0].image[..., ::-1])
    cv2.imwrite(str(tmp_path / "segments" / "pictures" / "0_0.png"), disc(5).astype(np.uint8))
    points = {"pictures/0_0.jpg": bank[0].landmarks.tolist()}
    (tmp_path / "points.json").write_text(json.dumps(points))
    classic = FaceBank.from_landmarks_json(tmp_path / "points.json", tmp_path)
    np.testing.assert_array_equal(classic.segment(0), disc(5))


def test_the_doctor_takes_no_segment_for_a_stray_picture(segmented: FaceBank) -> None:
    stray = segmented.root / "crops" / "stray.png"
    shutil.copy(segment_path(segmented, 0), stray)
    try:
        assert [one.item for one in stray_findings(segmented)] == ["crops/stray.png"]
    finally:
        stray.unlink()


# -- pixels --------------------------------------------------------------------------


def test_resizing_keeps_what_is_covered_more_than_half() -> None:
    fine = np.random.default_rng(0).random((96, 96)) < 0.5
    covered = fine.reshape(24, 4, 24, 4).mean(axis=(1, 3))
    np.testing.assert_array_equal(geometry.resize_mask(fine, 24), covered > 0.5)
    assert (covered == 0.5).any()
    coarse = fine[:8, :8]
    np.testing.assert_array_equal(
        geometry.resize_mask(coarse, 24), np.repeat(np.repeat(coarse, 3, axis=0), 3, axis=1)
    )


def test_crop_and_flip_take_the_segment_along() -> None:
    segment = np.random.default_rng(1).random((40, 40)) < 0.5
    image = np.repeat(segment[..., None], 3, axis=2).view(np.uint8)
    points = np.zeros((68, 2), np.float32)
    layers = Layers(image=image, alpha=None, landmarks=points, segment=segment)
    both = (False, True)
    for one in (
        geometry.crop(layers, top=3, left=5, height=20, width=22),
        *(geometry.flip(layers, horizontal=h, vertical=v) for h in both for v in both),
    ):
        np.testing.assert_array_equal(one.segment, one.image[..., 0] > 0)


def test_a_mask_is_carried_as_its_points_are() -> None:
    matrix = warp.about(158, 1.2, 20, (10, -5))
    there = np.argwhere(warp.carried_mask(disc(0), matrix)).mean(axis=0)[::-1]
    centre = np.argwhere(disc(0)).mean(axis=0)[::-1].astype(np.float32)
    np.testing.assert_allclose(there, warp.carried(centre[None], matrix)[0], atol=0.2)
    grown = warp.carried_mask(disc(0), matrix).sum() / disc(0).sum()
    assert grown == pytest.approx(1.44, abs=0.02)


def test_a_face_without_a_segment_is_told_so(segmented: FaceBank) -> None:
    drawn = draw_of(sample(segmented, PLAIN, 1, 0).record)
    assert drawn.fake is not None
    with pytest.raises(BadArgument, match="has no segment"):
        render(segmented[drawn.background], segmented[drawn.fake.foreground], drawn)
    with pytest.raises(ValueError, match="segment is"):
        mask.segmentation(segmented[0].landmarks, 64, segment=disc(0))


def test_a_users_mask_with_that_keyword_is_given_the_segment(
    segmented: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMED, "mask", dict(NAMED["mask"]))

    @named("mask", "half-face")
    def half(landmarks: np.ndarray, size: int, *, segment: Mask) -> Mask:
        del landmarks
        return segment & (np.arange(size) < 150)

    assert NAMED["mask"]["half-face"].segmented
    assert not op(mask.hull).segmented
    one = sample(segmented, replace(PLAIN, mask={"half-face": 1.0}), 1, 0)
    drawn = draw_of(one.record)
    assert one.alpha is not None
    rows, columns = np.nonzero(one.alpha)
    expected = half(np.zeros((68, 2)), CROP, segment=disc(drawn.background))
    assert columns.max() + drawn.crop.left == 149
    assert rows.min() + drawn.crop.top == np.nonzero(expected)[0].min()


# -- clips ---------------------------------------------------------------------------


def test_clips_cut_segments_as_they_cut_crops(segmented: FaceBank) -> None:
    one = clip(segmented, PLAIN, 5, 0, frames=3)
    np.testing.assert_array_equal(replay_clip(one.record, segmented).images, one.images)
    drawn = build(ClipDraw, json.loads(one.record)["draw"], "record", complete=True)
    for (face, _), row in zip(frame_faces(segmented, drawn, 1), drawn.background, strict=True):
        assert face.segment is not None
        both = (face.segment & disc(row)).sum() / (face.segment | disc(row)).sum()
        assert both > 0.9
