"""Displacement fields against splines of scipy."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from skimage.transform import SimilarityTransform, warp

from faceblend.draw import noise
from faceblend.face import Face
from faceblend.ops import bending, mask

SIZES = [128, 256, 317]


@pytest.fixture
def field(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The moves by which masks were read."""
    seen: list[np.ndarray] = []
    read = bending._read

    def kept(region: np.ndarray, moves: np.ndarray) -> np.ndarray:
        seen.append(moves)
        return np.asarray(read(region, moves))

    monkeypatch.setattr(bending, "_read", kept)
    return seen


def drawn(points: int, sigma: float, size: int, seed: int = 5) -> np.ndarray:
    """The moves of the control points: x, then y, row by row; px."""
    return np.asarray(noise(seed).standard_normal((2, points, points)) * sigma * size / 256)


def test_the_elastic_grid_is_scipys_cubic_spline(field: list[np.ndarray]) -> None:
    size = 120
    for points in (2, 4, 6, 9):
        bending.elastic_grid(np.ones((size, size), bool), points=points, sigma=4.0, rng=noise(5))
        where = np.linspace(0, points - 1, size)
        at = np.meshgrid(where, where, indexing="ij")
        for made, moves in zip(field[-1], drawn(points, 4.0, size), strict=True):
            expected = ndimage.map_coordinates(moves, at, order=3, mode="mirror")
            np.testing.assert_allclose(made, expected, atol=1e-4)


def test_control_points_move_as_drawn(field: list[np.ndarray]) -> None:
    size = 101  # a pixel on every point of a grid of 6
    bending.elastic_grid(np.ones((size, size), bool), points=6, sigma=4.0, rng=noise(5))
    np.testing.assert_allclose(field[0][:, ::20, ::20], drawn(6, 4.0, size), atol=1e-5)


@pytest.mark.parametrize("bent", [bending.elastic_grid, bending.thin_plate])
def test_moves_grow_with_the_picture(bent: Any, field: list[np.ndarray]) -> None:
    told = []
    for size in SIZES:
        region = np.ones((size, size), bool)
        for seed in range(40):
            bent(region, points=6, sigma=4.0, rng=noise(seed))
        moves = np.array([one / size for one in field if one.shape[1] == size])
        told.append([moves.std(), np.abs(moves).max(), np.diff(moves, axis=3).std() * size])
    np.testing.assert_allclose(told, [told[1]] * 3, rtol=0.02)
    # between the points a spline of independent moves is a little smaller than at them
    assert 0.75 * 4 / 256 < told[1][0] < 4 / 256


@pytest.mark.parametrize("bent", [bending.elastic_grid, bending.thin_plate])
@pytest.mark.parametrize("size", SIZES)
def test_no_move_leaves_the_mask(size: int, bent: Any) -> None:
    region = noise(1).uniform(size=(size, size)) < 0.5
    np.testing.assert_array_equal(bent(region, points=6, sigma=0.0, rng=noise(5)), region)


def test_the_bent_mask_is_read_at_the_moved_places(
    faces: list[Face], field: list[np.ndarray]
) -> None:
    region = mask.hull(faces[0].landmarks, 317)
    bent = bending.elastic_grid(region, points=6, sigma=6.0, rng=noise(2))
    at = field[0][::-1] + np.indices(region.shape)
    expected = ndimage.map_coordinates(region.astype(float), at, order=1, mode="constant")
    sure = np.abs(expected - 0.5) > 0.05  # OpenCV reads at thirty-seconds of a pixel
    assert sure.mean() > 0.999
    np.testing.assert_array_equal(bent[sure], (expected > 0.5)[sure])
    assert (bent ^ region).sum() > 500


@pytest.mark.parametrize("points", [2, 3, 5, 9])
def test_the_thin_plate_is_scipys(points: int, field: list[np.ndarray]) -> None:
    size, sigma = 150, 4.0
    bending.thin_plate(np.ones((size, size), bool), points=points, sigma=sigma, rng=noise(5))
    y, x = np.meshgrid(*[np.linspace(0, size - 1, points)] * 2, indexing="ij")
    moves = drawn(points, sigma, size)
    plate = RBFInterpolator(
        np.column_stack([x.ravel(), y.ravel()]),
        moves.reshape(2, -1).T,
        kernel="thin_plate_spline",
    )
    down, across = np.indices((size, size)).reshape(2, -1)
    expected = plate(np.column_stack([across, down])).T.reshape(2, size, size)
    np.testing.assert_allclose(field[0], expected, atol=0.02 * sigma * size / 256)


def test_a_thin_plate_moves_its_control_points_as_drawn(field: list[np.ndarray]) -> None:
    size = 101
    bending.thin_plate(np.ones((size, size), bool), points=5, sigma=4.0, rng=noise(5))
    np.testing.assert_allclose(field[0][:, ::25, ::25], drawn(5, 4.0, size), atol=1e-5)


def test_a_thin_plate_whose_points_move_alike_stays_flat() -> None:
    """Control points that an affine map moves carry all else by that map, to the corners."""

    def flat(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray(0.3 * x - 0.1 * y + 0.5)

    size, points, nodes = 91, 4, bending._nodes(4)
    fine = bending._plate(points) @ flat(*np.indices((points, points))).ravel()
    along = bending.spline(nodes, size, bending.BEYOND)
    made = along @ fine.reshape(nodes, nodes) @ along.T
    expected = flat(*np.indices((size, size))) * 3 / 90 + 0.5 * (1 - 3 / 90)
    np.testing.assert_allclose(made, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("turn", "scale", "right", "down"),
    [(5.0, 1.0, 0.0, 0.0), (0.0, 1.1, 0.0, 0.0), (0.0, 1.0, 0.02, -0.05), (-8.0, 0.9, 0.03, 0.01)],
)
def test_a_similarity_is_scikit_images_about_the_masks_box(
    turn: float, scale: float, right: float, down: float, faces: list[Face]
) -> None:
    region = mask.hull(faces[0].landmarks, 317)
    made = bending.similarity(region, turn=turn, scale=scale, right=right, down=down)
    rows, columns = (np.nonzero(region.any(axis=axis))[0] for axis in (1, 0))
    centre = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
    # y points down, so scikit-image turns clockwise, too
    there = SimilarityTransform(translation=-centre)
    back = SimilarityTransform(translation=centre + 317 * np.array([right, down]))
    whole = there + SimilarityTransform(scale=scale, rotation=np.deg2rad(turn)) + back
    expected = warp(region.astype(float), whole.inverse, order=1)
    sure = np.abs(expected - 0.5) > 0.1  # OpenCV reads at thirty-seconds of a pixel
    assert sure.mean() > 0.998
    np.testing.assert_array_equal(made[sure], (expected > 0.5)[sure])
    assert (made ^ region).sum() > 500


def test_a_similarity_of_nothing_is_nothing_and_none_changes_nothing(faces: list[Face]) -> None:
    still = {"turn": 0.0, "scale": 1.0, "right": 0.0, "down": 0.0}
    region = mask.hull(faces[0].landmarks, 317)
    np.testing.assert_array_equal(bending.similarity(region, **still), region)
    assert not bending.similarity(np.zeros((50, 50), bool), **{**still, "turn": 9.0}).any()


def test_beyond_the_picture_the_mask_is_empty() -> None:
    moves = np.zeros((2, 50, 50), np.float32)
    moves[0] = 10
    made = bending._read(np.ones((50, 50), bool), moves)
    np.testing.assert_array_equal(made, np.arange(50)[None] < np.full((50, 1), 40))


def test_a_cached_matrix_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        bending.spline(6, 64)[0, 0] = 1
