"""Picture, alpha and landmarks move together, on pixel centres."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceblend.face import Face
from faceblend.ops import geometry
from faceblend.ops.geometry import MIRRORED, Layers


def impulse(x: int, y: int, *, height: int = 9, width: int = 13) -> Layers:
    """A black picture with one white pixel, where every landmark and all of alpha stand too."""
    image = np.zeros((height, width, 3), np.uint8)
    alpha = np.zeros((height, width), np.float32)
    image[y, x], alpha[y, x] = 255, 1
    points = np.tile(np.array([[x, y]], np.float32), (68, 1))
    return Layers(image=image, alpha=alpha, landmarks=points)


def where(layers: Layers) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float]]:
    assert layers.alpha is not None
    y, x = np.unravel_index(layers.image[..., 1].argmax(), layers.image.shape[:2])
    y_alpha, x_alpha = np.unravel_index(layers.alpha.argmax(), layers.alpha.shape)
    point = layers.landmarks[0]
    return (int(x), int(y)), (int(x_alpha), int(y_alpha)), (float(point[0]), float(point[1]))


positions = st.tuples(st.integers(0, 12), st.integers(0, 8))


@given(positions, st.booleans(), st.booleans())
def test_flip_moves_image_alpha_and_landmarks_to_the_same_pixel(
    position: tuple[int, int], horizontal: bool, vertical: bool
) -> None:
    x, y = position
    image, alpha, point = where(
        geometry.flip(impulse(x, y), horizontal=horizontal, vertical=vertical)
    )
    expected = (12 - x if horizontal else x, 8 - y if vertical else y)
    assert image == alpha == point == expected


@given(positions, st.integers(0, 3), st.integers(0, 3))
def test_crop_moves_image_alpha_and_landmarks_to_the_same_pixel(
    position: tuple[int, int], top: int, left: int
) -> None:
    x, y = max(position[0], left), max(position[1], top)
    window = geometry.crop(impulse(x, y), top=top, left=left, height=9 - top, width=13 - left)
    image, alpha, point = where(window)
    assert image == alpha == point == (x - left, y - top)


def test_a_window_that_leaves_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves a picture of 9 rows"):
        geometry.crop(impulse(0, 0), top=0, left=0, height=10, width=5)


@pytest.mark.parametrize("size", [30, 90, 45])
def test_resize_keeps_the_centre_of_mass_on_the_landmark(size: int) -> None:
    image = np.zeros((45, 45, 3), np.uint8)
    alpha = np.zeros((45, 45), np.float32)
    image[20:23, 30:33], alpha[20:23, 30:33] = 200, 1
    points = np.tile(np.array([[31, 21]], np.float32), (68, 1))
    moved = geometry.resize(Layers(image=image, alpha=alpha, landmarks=points), size)
    assert moved.alpha is not None
    for plane in (moved.image[..., 0].astype(np.float64), moved.alpha.astype(np.float64)):
        y, x = np.indices(plane.shape)
        centre = (x * plane).sum() / plane.sum(), (y * plane).sum() / plane.sum()
        np.testing.assert_allclose(centre, moved.landmarks[0], atol=0.1)


def test_shrinking_low_passes_so_that_stripes_turn_grey_instead_of_aliasing() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = geometry.resize_plane(stripes, 32)
    assert np.ptp(shrunk[4:-4, 4:-4]) < 30
    aliased = cv2.resize(stripes, (32, 32), interpolation=cv2.INTER_NEAREST)
    assert np.ptp(aliased) == 255


def test_mirrored_landmarks_swap_left_and_right() -> None:
    assert sorted(MIRRORED) == list(range(68))
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(68))
    for left, right in ((0, 16), (17, 26), (31, 35), (36, 45), (39, 42), (41, 46), (48, 54)):
        assert MIRRORED[left] == right
    for middle in (8, 27, 30, 33, 51, 57, 62, 66):
        assert MIRRORED[middle] == middle


def test_a_mirrored_face_keeps_each_landmark_on_its_side(faces: list[Face]) -> None:
    face = faces[0]
    flipped = geometry.flip(
        Layers(image=face.image, alpha=None, landmarks=face.landmarks),
        horizontal=True,
        vertical=False,
    )
    eye_left, eye_right = flipped.landmarks[36:42].mean(axis=0), flipped.landmarks[42:48].mean(0)
    assert eye_left[0] < eye_right[0]
    # the outline still runs from the viewer's left ear to the right one
    assert (np.diff(flipped.landmarks[:17:4, 0]) > 0).all()
    assert flipped.alpha is None


@pytest.mark.parametrize("factor", [1.05, 1.5, 2.4, 4.9, 12, 60, 128])
def test_a_low_pass_is_a_gaussian_that_neither_darkens_nor_brightens(
    factor: float, faces: list[Face]
) -> None:
    sigma = (factor - 1) / 2
    image = faces[0].image
    exact = np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma))
    filtered = geometry.low_pass(image, factor).astype(np.float32)
    assert np.abs(filtered - exact).max() <= 2.5
    assert abs((filtered - exact).mean()) < 0.02
    flat = np.full((40, 40, 3), 201, np.uint8)
    np.testing.assert_array_equal(geometry.low_pass(flat, factor), flat)
