"""Banks may hold 81 points: the 13 of the forehead reach the masks, and nothing else changes."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend.audit.zone import Zones
from faceblend.bank import FOREHEAD, SCHEMA, FaceBank, FaceRow
from faceblend.clips.blended import ClipDraw, clip, frame_faces, replay_clip
from faceblend.draw import Draw
from faceblend.errors import BadBank, BadImage
from faceblend.face import Forehead
from faceblend.ops import geometry, steady
from faceblend.ops.geometry import Layers
from faceblend.recipe import Recipe, build, load_recipe
from faceblend.sample import Sample, alpha_of, replay, sample
from tests.conftest import CROP, drawn_face, face_template

_turn = np.linspace(0, np.pi, 13)
ABOVE = np.column_stack([158 - 90 * np.cos(_turn), 110 - 70 * np.sin(_turn)]).astype(np.float32)
"""An arch from temple to temple, its top at (158, 40): 76 px above the brows."""

HULL = Recipe.from_dict(
    {
        "fake_share": 1.0,
        "mask": {"hull": 1},
        "deform": {"probability": 0.0},
        "morph": {"erode": [1, 1], "dilate": [1, 1]},
        "soften": {"feather": [0.05, 0.05]},
        "crop": {"top": 30},
        "flip": {"horizontal": 0.0},
    }
)


def rows_of(root: Path, foreheads: list[Forehead | None]) -> list[FaceRow]:
    rows = []
    for number, forehead in enumerate(foreheads):
        image, points = drawn_face(number)
        crop = f"crops/v{number // 4}/{number:06d}_0.png"
        (root / crop).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / crop), image[..., ::-1])
        rows.append(
            FaceRow(
                video=f"v{number // 4}",
                frame=number % 4,
                source=f"v{number // 4}.mp4",
                crop=crop,
                landmarks=points.ravel().tolist(),
                forehead=None if forehead is None else forehead.ravel().tolist(),
            )
        )
    return rows


def bank_of(root: Path, foreheads: list[Forehead | None]) -> FaceBank:
    rows = rows_of(root, foreheads)
    return FaceBank.create(root, rows, crop_size=CROP, made_by={"detector": "drawn"})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    return bank_of(tmp_path_factory.mktemp("plain"), [None] * 8)


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    return bank_of(tmp_path_factory.mktemp("tall"), [ABOVE + number for number in range(8)])


def test_foreheads_go_there_and_back(tmp_path: Path) -> None:
    given = [None, ABOVE, None, None, ABOVE + 3, None]
    made = bank_of(tmp_path, given)
    (made.root / "cache" / f"forehead-{made.fingerprint[:16]}.npy").unlink()
    placed = FaceBank.in_place(tmp_path, rows_of(tmp_path, given), crop_size=CROP)
    opened = FaceBank.open(tmp_path)
    for bank in (made, opened, placed, *(copy.deepcopy(one) for one in (made, placed))):
        assert bank.fingerprint == made.fingerprint
        for row, forehead in enumerate(given):
            if forehead is None:
                assert bank[row].forehead is None
            else:
                np.testing.assert_array_equal(bank[row].forehead, forehead)
    stored = pq.read_table(tmp_path / "faces.parquet")[FOREHEAD.name]
    assert stored.type == pa.list_(pa.float32(), 26)
    assert [cell is None for cell in stored.to_pylist()] == [one is None for one in given]
    assert isinstance(opened.forehead, np.ndarray)
    assert isinstance(opened.forehead.base, np.memmap)


def test_faces_are_ordered_with_their_foreheads(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, [ABOVE, None, ABOVE + 2, ABOVE + 3, None])
    bank = FaceBank.create(tmp_path, rows[::-1], crop_size=CROP, made_by={})
    np.testing.assert_array_equal(bank[2].forehead, ABOVE + 2)
    assert bank[1].forehead is None


def test_a_bank_without_is_as_it_was(plain: FaceBank) -> None:
    assert plain.forehead is None
    assert plain[0].forehead is None
    assert pq.read_schema(plain.root / "faces.parquet").names == SCHEMA.names
    assert not list((plain.root / "cache").glob("forehead*"))


def test_the_fingerprint_tells_foreheads_apart(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, [ABOVE, ABOVE])
    without = [replace(row, forehead=None) for row in rows]
    moved = [rows[0], replace(rows[1], forehead=[*rows[1].forehead[:-1], 0.0])]
    prints = {
        FaceBank.in_place(tmp_path, some, crop_size=CROP).fingerprint
        for some in (rows, without, moved, [rows[0], without[1]])
    }
    assert len(prints) == 4


@pytest.mark.parametrize("wrong", [[1.0] * 24, [], [1.0] * 25 + [float("nan")]])
def test_a_forehead_of_another_length_is_refused_in_words(tmp_path: Path, wrong: list) -> None:
    rows = [replace(row, forehead=wrong) for row in rows_of(tmp_path, [None])]
    with pytest.raises(BadBank, match="its forehead is not 26 finite numbers; give 13 times x, y"):
        FaceBank.in_place(tmp_path, rows, crop_size=CROP)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (pa.array([[1.0] * 24] * 2, pa.list_(pa.float32(), 24)), "is not 26 numbers"),
        (pa.array([[1.0] * 26, [1.0] * 25], pa.list_(pa.float64())), "is not 26 numbers"),
        (pa.array(["a", "b"]), "is not 26 numbers"),
        (pa.array([[1.0] * 25 + [float("nan")]] * 2, pa.list_(pa.float64())), "no numbers"),
    ],
)
def test_a_column_of_another_kind_is_refused_in_words(
    tmp_path: Path, cell: pa.Array, words: str
) -> None:
    bank_of(tmp_path, [None, None])
    path = tmp_path / "faces.parquet"
    pq.write_table(pq.read_table(path).append_column("forehead", cell), path)
    with pytest.raises(BadBank, match=words):
        FaceBank.open(tmp_path)


def test_a_column_that_another_program_wrote_is_read(tmp_path: Path) -> None:
    bank_of(tmp_path, [None, None])
    path = tmp_path / "faces.parquet"
    cell = pa.array([None, ABOVE.ravel().astype(float).tolist()], pa.list_(pa.float64()))
    pq.write_table(pq.read_table(path).append_column("forehead", cell), path)
    bank = FaceBank.open(tmp_path)
    assert bank[0].forehead is None
    np.testing.assert_array_equal(bank[1].forehead, ABOVE)


def test_a_forehead_far_from_any_crop_is_refused(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [ABOVE + 20 * CROP])
    with pytest.raises(BadImage, match="landmarks reach"):
        bank[0]


# -- in the picture ------------------------------------------------------------------


def test_crop_resize_and_flip_take_the_forehead_along() -> None:
    image = np.zeros((CROP, CROP, 3), np.uint8)
    points = face_template()
    # the first 13 landmarks stand in for a forehead: what moves one moves the other
    layers = Layers(image=image, alpha=None, landmarks=points, forehead=points[:13].copy())
    moved = [
        geometry.crop(layers, top=10, left=20, height=200, width=210),
        geometry.resize(layers, 128),
        geometry.flip(layers, horizontal=False, vertical=False),
        geometry.flip(layers, horizontal=True, vertical=True),
    ]
    for one in moved:
        np.testing.assert_array_equal(one.forehead, one.landmarks[:13])
    mirrored = geometry.flip(layers, horizontal=True, vertical=False)
    np.testing.assert_array_equal(mirrored.forehead, mirrored.landmarks[geometry.MIRRORED][:13])


def made(bank: FaceBank, index: int) -> tuple[Sample, Draw]:
    one = sample(bank, HULL, 5, index)
    return one, build(Draw, json.loads(one.record)["draw"], "record", complete=True)


def test_hull_masks_reach_the_forehead(tall: FaceBank, plain: FaceBank) -> None:
    for index in range(4):
        (high, drawn), (low, same) = made(tall, index), made(plain, index)
        assert drawn == same
        shift = np.array([drawn.crop.left, drawn.crop.top])
        forehead = tall[drawn.background].forehead
        assert forehead is not None
        # inside the arch, a little below its top
        column, row = np.rint(forehead[6] - shift + [0, 25]).astype(int)
        assert high.alpha is not None
        assert low.alpha is not None
        assert high.alpha[row, column] == 1
        assert low.alpha[row, column] == 0
        assert high.landmarks.shape == (68, 2)
        np.testing.assert_array_equal(high.landmarks, low.landmarks)
        top = np.flatnonzero(high.alpha.any(axis=1))[0]
        assert abs(top - (forehead[6, 1] - drawn.crop.top)) <= 2


def test_only_masks_that_know_the_forehead_change(tall: FaceBank, plain: FaceBank) -> None:
    for kind, changes in [("hull", True), ("full", False), ("extended", False)]:
        recipe = Recipe.from_dict({**HULL.to_dict(), "mask": {kind: 1}})
        images = [sample(bank, recipe, 5, 0).image for bank in (tall, plain)]
        assert np.array_equal(*images) != changes


def test_a_sample_with_a_forehead_replays(tall: FaceBank) -> None:
    recipe = load_recipe("bi")
    for index in range(4):
        one = sample(tall, recipe, 5, index)
        assert replay(one.record, tall).digest() == one.digest()


def test_the_alpha_made_again_knows_the_forehead(tall: FaceBank) -> None:
    one, drawn = made(tall, 1)
    face = tall[drawn.background]
    both = np.concatenate([face.landmarks, face.forehead])
    np.testing.assert_array_equal(alpha_of(both, CROP, drawn), one.alpha)
    zones = Zones(recipe=HULL, bank=tall, crop_size=CROP)
    np.testing.assert_array_equal(zones.blend(one)[1], one.alpha)


def test_clips_carry_the_forehead_as_they_do_the_landmarks(tall: FaceBank) -> None:
    one = clip(tall, HULL, 5, 0, frames=3)
    again = replay_clip(one.record, tall)
    np.testing.assert_array_equal(one.images, again.images)
    assert one.landmarks.shape == (3, 68, 2)
    drawn = build(ClipDraw, json.loads(one.record)["draw"], "record", complete=True)
    for face, _ in frame_faces(tall, drawn, 1):
        # it is 1 px further to the right and further down in each frame of the bank
        assert face.forehead is not None
        np.testing.assert_allclose(face.forehead - ABOVE, face.row, atol=0.01)


def test_more_points_than_68_are_carried_and_move_nothing() -> None:
    rng = np.random.default_rng(3)
    crops = rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    points = rng.uniform(5, 60, (5, 68, 2)).astype(np.float32)
    frames = np.tile(np.eye(2, 3), (5, 1, 1))
    frames[:, :, 2] = rng.normal(0, 2, (5, 2))
    times = np.arange(5.0)
    images, inside = steady.steadied(crops, points, frames, times)
    both = np.concatenate([points, points[:, 20:33]], axis=1)
    same, carried = steady.steadied(crops, both, frames, times)
    np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(inside, carried[:, :68])
    np.testing.assert_allclose(inside[:, 20:33], carried[:, 68:], atol=1e-4)
