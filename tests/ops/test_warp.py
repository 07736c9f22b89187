"""Alignment against scikit-image, bending against triangles solved one by one."""

import time

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import estimate_transform

from faceblend.face import Face
from faceblend.ops import warp
from faceblend.ops.geometry import low_pass


def test_similarity_agrees_with_scikit_image(faces: list[Face]) -> None:
    source, target = faces[0].landmarks, faces[4].landmarks * np.float32(1.3) + np.float32(7)
    expected = estimate_transform("similarity", source.astype(float), target.astype(float))
    np.testing.assert_allclose(warp.similarity(source, target), expected.params[:2], atol=1e-4)


def test_affine_leaves_the_least_squares(faces: list[Face]) -> None:
    source, target = faces[0].landmarks, faces[4].landmarks * np.float32(1.3) + np.float32(7)
    points = np.column_stack([source, np.ones(68)])
    fitted = warp.affine(source, target)
    # at the minimum the residuals are orthogonal to what the map can change
    np.testing.assert_allclose(points.T @ (points @ fitted.T - target), 0, atol=0.5)


def test_similarity_never_mirrors_a_face(faces: list[Face]) -> None:
    mirrored = faces[0].landmarks * np.array([-1, 1], np.float32)
    assert np.linalg.det(warp.similarity(faces[0].landmarks, mirrored)[:, :2]) >= 0


def test_points_that_fix_no_map_are_refused() -> None:
    same = np.ones((68, 2), np.float32)
    with pytest.raises(ValueError, match="coincide"):
        warp.similarity(same, same)
    line = np.repeat(np.arange(68, dtype=np.float32)[:, None], 2, axis=1)
    with pytest.raises(ValueError, match="one line"):
        warp.affine(line, line)


def test_then_does_the_first_map_first() -> None:
    double = np.array([[2, 0, 0], [0, 2, 0]], np.float64)
    shift = np.array([[1, 0, 5], [0, 1, 0]], np.float64)
    np.testing.assert_array_equal(warp.then(double, shift) @ [1, 1, 1], [7, 2])
    np.testing.assert_array_equal(warp.then(shift, double) @ [1, 1, 1], [12, 2])


@pytest.mark.parametrize(("turn", "scale"), [(0.0, 1.0), (30.0, 1.0), (-12.0, 0.9), (0.0, 1.2)])
def test_scaling_and_turning_about_a_point_is_opencvs_and_then_a_shift(
    turn: float, scale: float
) -> None:
    """OpenCV turns counter-clockwise; its shift is nothing."""
    expected = cv2.getRotationMatrix2D((158.0, 158.0), -turn, scale)
    expected[:, 2] += (5, -3)
    np.testing.assert_allclose(warp.about(158.0, scale, turn, (5, -3)), expected, atol=1e-9)


def test_turning_is_clockwise_and_points_are_carried_along() -> None:
    quarter = warp.about(10.0, 1.0, 90.0, (0, 0))
    right_of_it = np.array([[14, 10], [10, 10]], np.float32)
    carried = warp.carried(right_of_it, quarter)
    np.testing.assert_allclose(carried, [[10, 14], [10, 10]], atol=1e-5)  # y points down
    assert carried.dtype == np.float32


def simards(size: int, alpha: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """The published field at full resolution, by scipy."""
    return np.stack([
        ndimage.gaussian_filter(rng.uniform(-1, 1, (size, size)), sigma, mode="mirror") * alpha
        for _ in range(2)
    ])  # fmt: skip


@pytest.mark.parametrize(("alpha", "sigma"), [(50.0, 7.0), (900.0, 20.0), (20.0, 2.0)])
def test_elastic_moves_are_as_large_and_as_smooth_as_simards(alpha: float, sigma: float) -> None:
    """Spread and correlation at two distances, across and down, over some fields."""
    rng = np.random.default_rng(3)
    found = [warp._elastic(256, alpha, sigma, rng) for _ in range(20)]
    expected = [simards(256, alpha, sigma, rng) for _ in range(20)]

    def measured(fields: list[np.ndarray]) -> np.ndarray:
        inner = np.stack(fields)[..., 64:-64, 64:-64]
        spread = inner.std(axis=(0, 2, 3))
        lags = [round(sigma), round(2 * sigma)]
        along = [np.mean(inner[..., :-lag] * inner[..., lag:]) for lag in lags]
        down = [np.mean(inner[..., :-lag, :] * inner[..., lag:, :]) for lag in lags]
        return np.array([*spread, *(np.array([*along, *down]) / inner.var())])

    spread = alpha / np.sqrt(3) / (2 * np.sqrt(np.pi) * sigma)  # of averaged uniform noise
    ours, theirs = measured(found), measured(expected)
    np.testing.assert_allclose(ours[:2], spread, rtol=0.12)
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=0.15)
    # exp(-d^2 / 4 sigma^2) at one and two sigma
    np.testing.assert_allclose(ours[2:], theirs[2:], atol=0.12)
    np.testing.assert_allclose(ours[2:], np.exp([-0.25, -1, -0.25, -1]), atol=0.12)


def test_elastic_reads_the_mask_through_its_field() -> None:
    """Against scipy; the x of a pixel is read first, the y second."""
    region = np.zeros((317, 317), bool)
    region[79:-79, 63:-105] = True
    bent = warp.elastic(region, alpha=300.0, sigma=7.0, rng=np.random.default_rng(3))
    x, y = warp._elastic(317, 300.0, 7.0, np.random.default_rng(3))
    rows, columns = np.indices(region.shape)
    where = [rows + y, columns + x]
    expected = ndimage.map_coordinates(region.astype(float), where, order=1) > 0.5
    assert (bent != region).mean() > 0.01
    assert (bent != expected).mean() < 2e-3


def test_elastic_moves_as_many_shares_of_any_picture() -> None:
    edges = []
    for size in (128, 256, 512):
        rng = np.random.default_rng(0)
        half = np.zeros((size, size), bool)
        half[:, : size // 2] = True
        for _ in range(6):
            bent = warp.elastic(half, alpha=300.0, sigma=7.0, rng=rng)
            middle = bent[size // 8 : -size // 8].sum(axis=1) / size - 0.5
            edges.append((size, float(middle.std())))
    spread = [np.mean([value for size, value in edges if size == one]) for one in (128, 256, 512)]
    assert max(spread) < 1.5 * min(spread)


def test_scaling_keeps_the_picture_between_the_same_borders() -> None:
    matrix = warp.scaling(317, 200)
    np.testing.assert_allclose(matrix @ [-0.5, -0.5, 1], [-0.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(matrix @ [316.5, 316.5, 1], [199.5, 199.5], atol=1e-12)


def test_place_moves_content_by_the_matrix_into_the_box() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[10, 20] = 255
    shift = np.array([[1, 0, 3], [0, 1, -4]], np.float64)
    placed = warp.place(image, shift, (slice(2, 30), slice(5, 38)))
    assert placed.shape == (28, 33, 3)
    y, x = np.unravel_index(placed[..., 0].argmax(), placed.shape[:2])
    assert (x + 5, y + 2) == (23, 6)


def triangle_by_triangle(offsets: np.ndarray, size: int) -> np.ndarray:
    """The piecewise-affine map, one pixel and one barycentric system at a time."""
    rows, columns = offsets.shape[:2]
    y_of, x_of = np.linspace(0, size - 1, rows), np.linspace(0, size - 1, columns)
    field = np.empty((2, size, size))
    for y in range(size):
        for x in range(size):
            i = min(np.searchsorted(y_of, y, side="right") - 1, rows - 2)
            j = min(np.searchsorted(x_of, x, side="right") - 1, columns - 2)
            u = (x - x_of[j]) / (x_of[j + 1] - x_of[j])
            v = (y - y_of[i]) / (y_of[i + 1] - y_of[i])
            third = (i, j + 1) if u >= v else (i + 1, j)
            corners = [(i, j), (i + 1, j + 1), third]
            system = np.array([[x_of[b], y_of[a], 1] for a, b in corners]).T
            weights = np.linalg.solve(system, [x, y, 1])
            for axis in (0, 1):
                base = (x_of, y_of)[axis]
                values = [base[(b, a)[axis]] + offsets[a, b, axis] * size for a, b in corners]
                field[axis, y, x] = weights @ values
    return field


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 4), (4, 4), (3, 2)])
def test_piecewise_is_affine_in_every_triangle(rows: int, columns: int) -> None:
    offsets = np.random.default_rng(0).normal(0, 0.1, (rows, columns, 2)).astype(np.float32)
    np.testing.assert_allclose(
        warp.piecewise(offsets, 25), triangle_by_triangle(offsets, 25), atol=1e-4
    )


def test_bending_by_nothing_changes_nothing() -> None:
    shape = np.zeros((50, 50), bool)
    shape[10:30, 20:44] = True
    np.testing.assert_array_equal(warp.bend(shape, np.zeros((4, 4, 2), np.float32)), shape)


def test_a_positive_dx_reads_from_the_right_so_the_mask_moves_left() -> None:
    shape = np.zeros((50, 50), bool)
    shape[10:30, 20:30] = True
    offsets = np.zeros((2, 2, 2), np.float32)
    offsets[..., 0] = 5 / 50
    moved = warp.bend(shape, offsets)
    assert np.flatnonzero(moved.any(axis=0)).tolist() == list(range(15, 25))
    assert np.flatnonzero(moved.any(axis=1)).tolist() == list(range(10, 30))


def test_beyond_the_picture_a_bent_mask_is_empty() -> None:
    full = np.ones((50, 50), bool)
    offsets = np.zeros((2, 2, 2), np.float32)
    offsets[..., 1] = 0.5
    moved = warp.bend(full, offsets)
    assert moved[:20].all()
    assert not moved[30:].any()


@pytest.mark.parametrize("strength", [0.02, 0.15, 0.6])
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 4), (4, 4)])
def test_bending_half_the_picture_is_bending_all_of_it(
    rows: int, columns: int, strength: float
) -> None:
    rng = np.random.default_rng(rows * 10 + columns)
    for size in (40, 97):
        for _ in range(20):
            shape = np.zeros((size, size), bool)
            (top, bottom), (left, right) = np.sort(rng.integers(0, size + 1, (2, 2)), axis=1)
            shape[top:bottom, left:right] = True
            offsets = rng.normal(0, strength, (rows, columns, 2)).astype(np.float32)
            x, y = warp.piecewise(offsets, size)
            whole = cv2.remap(shape.view(np.uint8), x, y, cv2.INTER_LINEAR)
            assert (warp.bend(shape, offsets) != whole.astype(bool)).mean() < 1e-3


@pytest.mark.parametrize("scale", [0.4, 0.8, 1.0, 1.7])
@pytest.mark.parametrize("shift", [(0, 0), (-90, 40), (150, 130), (400, -300)])
def test_placing_a_part_is_cutting_it_from_the_whole(
    scale: float, shift: tuple[int, int], faces: list[Face]
) -> None:
    image = faces[0].image
    turn = np.deg2rad(9)
    matrix = np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), shift[0]],
            [scale * np.sin(turn), scale * np.cos(turn), shift[1]],
        ]
    )
    smooth = low_pass(image, 1 / scale) if scale < 1 else image
    whole = cv2.warpAffine(
        smooth, matrix, (200, 200), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    box = (slice(20, 150), slice(35, 180))
    apart = np.abs(warp.place(image, matrix, box).astype(int) - whole[box])
    # the two round positions to 1/32 px in different places
    assert apart.mean() < 0.3
    assert np.quantile(apart, 0.999) <= 8


def test_piecewise_keeps_to_its_own_thread() -> None:
    # as many multiplications as a recipe asks for; BLAS threads that were woken wait by spinning
    offsets = np.zeros((4, 4, 2), np.float32)
    process, thread = time.process_time(), time.thread_time()
    for _ in range(300):
        warp.piecewise(offsets, 317)
    assert time.process_time() - process < 1.2 * (time.thread_time() - thread)
