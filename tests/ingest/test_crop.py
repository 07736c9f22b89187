"""A crop is where its landmarks say, pixel for pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceblend.face import Image, Landmarks
from faceblend.ingest.crop import TEMPLATE, align_face, crop_face


def points_in(left: float, top: float, right: float, bottom: float) -> Landmarks:
    """68 points whose bounding box is the given one."""
    rng = np.random.default_rng(3)
    unit = rng.uniform(0, 1, (68, 2))
    unit[:2] = [[0, 0], [1, 1]]
    return (unit * [right - left, bottom - top] + [left, top]).astype(np.float32)


def ramp(height: int, width: int) -> Image:
    """Every pixel tells its column and row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns % 256, rows % 256, (rows // 256) * 16 + columns // 256], 2).astype(
        np.uint8
    )


def test_a_crop_of_the_same_size_is_an_exact_copy_of_the_square() -> None:
    image = ramp(700, 900)
    crop, points, to_frame = crop_face(image, points_in(300, 200, 496, 375), 317)
    step, left, top = to_frame[0, 0], to_frame[0, 2], to_frame[1, 2]
    assert (step, left % 1, top % 1) == (1, 0, 0)
    assert np.array_equal(crop, image[int(top) : int(top) + 317, int(left) : int(left) + 317])
    assert np.array_equal(points, points_in(300, 200, 496, 375) - [left, top])


def test_landmarks_fall_where_the_classic_crops_have_them() -> None:
    points = crop_face(ramp(900, 900), points_in(310, 320, 506, 495))[1]
    assert points.min(axis=0) == pytest.approx([60, 115], abs=1)
    assert points.max(axis=0) == pytest.approx([256, 290], abs=1)


@pytest.mark.parametrize("aspect", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("face", [70, 196, 640])
def test_the_window_that_training_sees_frames_the_whole_face(face: float, aspect: float) -> None:
    wide, tall = (face, face / aspect) if aspect > 1 else (face * aspect, face)
    landmarks = points_in(800 - wide / 2, 800 - tall / 2, 800 + wide / 2, 800 + tall / 2)
    points = crop_face(ramp(1700, 1700), landmarks)[1]
    assert points.min(axis=0)[0] > 50
    assert points.min(axis=0)[1] > 90
    assert points.max(axis=0)[0] < 266
    assert points.max(axis=0)[1] < 304


@given(
    left=st.floats(0, 300), top=st.floats(0, 300), width=st.floats(10, 300),
    tall=st.floats(10, 300), size=st.integers(32, 400),
)  # fmt: skip
def test_crop_to_frame_takes_landmarks_back_to_the_photograph(
    left: float, top: float, width: float, tall: float, size: int
) -> None:
    landmarks = points_in(left, top, left + width, top + tall)
    crop, points, to_frame = crop_face(np.zeros((600, 600, 3), np.uint8), landmarks, size)
    assert crop.shape == (size, size, 3)
    assert (to_frame.shape, to_frame.dtype) == ((2, 3), np.float64)
    back = np.column_stack([points, np.ones(68)]) @ to_frame.T
    assert np.abs(back - landmarks).max() < 1e-3


@pytest.mark.parametrize("longer", [60, 98, 196, 392, 600])
def test_a_mark_in_the_photograph_is_found_where_the_transform_says(longer: int) -> None:
    image = np.zeros((1200, 1200, 3), np.uint8)
    cv2.rectangle(image, (590, 610), (609, 629), (255, 255, 255), -1)  # centre (599.5, 619.5)
    landmarks = points_in(600 - longer / 2, 600 - longer / 3, 600 + longer / 2, 600 + longer / 3)
    crop, _, to_frame = crop_face(image, landmarks)
    weight = crop[:, :, 0].astype(np.float64)
    rows, columns = np.mgrid[: crop.shape[0], : crop.shape[1]]
    seen = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum(), 1]
    assert to_frame @ seen == pytest.approx([599.5, 619.5], abs=0.1)


def test_where_the_square_leaves_the_photograph_that_is_mirrored() -> None:
    image = ramp(250, 250)
    crop, _, to_frame = crop_face(image, points_in(5, 100, 201, 275), 317)
    left, top = int(to_frame[0, 2]), int(to_frame[1, 2])
    assert left < 0 > top
    assert np.array_equal(crop[-top:][: 250], np.pad(
        image, ((0, 0), (-left, 317 + left - 250), (0, 0)), mode="reflect"
    )[: 317 + top])  # fmt: skip


def test_a_square_much_larger_than_the_photograph_is_filled_all_over() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = crop_face(image, points_in(-80, -60, 100, 80), 317)[0]
    assert crop.shape == (317, 317, 3)
    assert (crop == 200).all()


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    checks = np.indices((1500, 1500)).sum(axis=0) % 2 * 255
    image = np.repeat(checks.astype(np.uint8)[:, :, None], 3, axis=2)
    side = 2 * 317
    crop = crop_face(image, points_in(500, 500, 500 + side * 196 / 317, 850), 317)[0]
    assert np.abs(crop.astype(int) - 128).max() <= 1


def test_the_photograph_is_not_changed() -> None:
    image = ramp(400, 400)
    before = image.copy()
    crop = crop_face(image, points_in(100, 100, 296, 275), 317)[0]
    crop[:] = 0
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("landmarks", "wrong"),
    [
        (points_in(50, 50, 50, 50), "span 0.0 px"),
        (points_in(50, 50, np.nan, 60), "span nan px"),
        (points_in(500, 50, 600, 150), r"around \(550, 100\), and the photograph is 200x100"),
    ],
)
def test_landmarks_that_show_no_place_are_refused(landmarks: Landmarks, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        crop_face(np.zeros((100, 200, 3), np.uint8), landmarks)


# -- five points onto a template -----------------------------------------------------------


def turned(degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smooth picture of a face's layout, turned and scaled; its landmarks and the map."""
    y, x = np.indices((400, 400))
    picture = np.dstack([x * 255 // 399, y * 255 // 399, (x + y) * 255 // 798]).astype(np.uint8)
    middle = np.array([200.0, 200.0])
    turn = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.zeros((68, 2))
    for rows, place in zip(
        (slice(36, 42), slice(42, 48), 30, 48, 54), TEMPLATE - 160, strict=True
    ):
        points[rows] = place
    return picture, (points @ matrix.T + middle).astype(np.float32), matrix


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (30, 0.7), (-75, 1.4), (10, 2.0)])
def test_five_points_come_onto_the_template(degrees: float, scale: float) -> None:
    picture, points, matrix = turned(degrees, scale)
    crop, inside, crop_to_frame = align_face(picture, points, 320)
    assert crop.shape == (320, 320, 3)
    five = [inside[36:42].mean(axis=0), inside[42:48].mean(axis=0), *inside[[30, 48, 54]]]
    np.testing.assert_allclose(five, TEMPLATE, atol=0.01)
    np.testing.assert_allclose(crop_to_frame[:, :2], matrix, atol=1e-4)
    back = crop_to_frame @ np.column_stack([inside, np.ones(68)]).T
    np.testing.assert_allclose(back.T, points, atol=1e-3)
    # the picture's colours are its coordinates
    x, y = crop_to_frame @ [160, 170, 1]
    np.testing.assert_allclose(crop[170, 160, :2], [x * 255 / 399, y * 255 / 399], atol=2.5)


def test_the_template_grows_with_the_crop() -> None:
    picture, points, _ = turned(0, 1.0)
    _, inside, _ = align_face(picture, points, 160)
    np.testing.assert_allclose(inside[30], TEMPLATE[2] / 2, atol=0.01)


def test_landmarks_that_fix_no_alignment_are_refused() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    for points in (
        np.full((68, 2), 50, np.float32),
        np.full((68, 2), np.nan, np.float32),
        turned(0, 1.0)[1] + np.float32(5000),
        turned(0, 1.0)[1] * np.float32(1e6),
    ):
        with pytest.raises(ValueError, match=r"coincide|finite|outside|would be"):
            align_face(picture, points)
