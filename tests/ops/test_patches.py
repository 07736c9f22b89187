"""Cells and triangles against scikit-image's polygons and scipy's Delaunay."""

from itertools import combinations

import cv2
import numpy as np
import pytest
from scipy import stats
from scipy.spatial import ConvexHull, Delaunay
from skimage.draw import polygon2mask, polygon_perimeter

from faceblend.draw import noise
from faceblend.face import Face
from faceblend.ops import mask, patches

SIZE = 317


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def cells_of(made: np.ndarray, points: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Share of each cell's part of the hull that is in the mask."""
    whole = mask.hull(points, SIZE)
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    y, x = np.indices(made.shape)
    shares = np.full((rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            # the inside of the cell: which side of its border a pixel is on is not told here
            inside = (np.abs((y - top) / (bottom - top) * rows - row - 0.5) < 0.48) & (
                np.abs((x - left) / (right - left) * columns - column - 0.5) < 0.48
            )
            if (whole & inside).any():
                shares[row, column] = made[whole & inside].mean()
    return shares


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 2), (5, 7)])
def test_a_grid_takes_whole_cells_of_the_hulls_box(
    rows: int, columns: int, faces: list[Face]
) -> None:
    for seed, face in enumerate(faces):
        points = face.landmarks
        made = patches.grid(points, SIZE, rows=rows, columns=columns, rng=noise(seed))
        assert made.any()
        assert not (made & ~mask.hull(points, SIZE)).any()
        shares = cells_of(made, points, rows, columns)
        told = shares[~np.isnan(shares)]
        assert set(told.tolist()) <= {0.0, 1.0}
        assert told.any()


def test_every_cell_is_taken_half_the_time(faces: list[Face]) -> None:
    points, taken = faces[0].landmarks, np.zeros((3, 3))
    for seed in range(300):
        made = patches.grid(points, SIZE, rows=3, columns=3, rng=noise(seed))
        taken += cells_of(made, points, 3, 3) == 1
    for count in taken.ravel().astype(int):
        # one cell of 512 draws is taken for none: its share stays within the test's reach
        assert stats.binomtest(int(count), 300, 0.5).pvalue > 1e-3


def test_a_grid_is_never_empty_and_instead_of_none_takes_any(faces: list[Face]) -> None:
    points = faces[0].landmarks
    sides = []
    for seed in range(120):
        made = patches.grid(points, SIZE, rows=1, columns=2, rng=noise(seed))
        left, right = cells_of(made, points, 1, 2)[0]
        sides.append((int(left), int(right)))
    counts = [sides.count(one) for one in ((1, 0), (0, 1), (1, 1))]
    assert sum(counts) == 120
    # neither, an eighth each way: 3/8, 3/8, 1/4
    assert stats.chisquare(counts, [45, 45, 30]).pvalue > 1e-3


def test_a_face_half_outside_the_picture_gets_a_cell_that_is_inside(faces: list[Face]) -> None:
    points = faces[0].landmarks - np.float32([190, 0])
    for seed in range(60):
        assert patches.grid(points, SIZE, rows=2, columns=4, rng=noise(seed)).any()


def test_the_triangles_are_scipys_delaunay(faces: list[Face]) -> None:
    for face in faces:
        for points in (face.landmarks, face.landmarks * np.float32(0.01)):
            expected = {tuple(sorted(one)) for one in Delaunay(points.astype(float)).simplices}
            made = [tuple(one) for one in patches._delaunay(points)]
            assert set(made) == expected
            assert made == sorted(made)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6, 1.0])
def test_a_mesh_has_the_share_of_the_hull_and_hangs_together(
    share: float, faces: list[Face]
) -> None:
    for seed, face in enumerate(faces):
        points = face.landmarks.astype(float)
        area = ConvexHull(points).volume  # in the plane, scipy's name for it
        corners = points[Delaunay(points).simplices]
        largest = max(abs(np.linalg.det(two[1:] - two[0])) / 2 for two in corners)
        triangles = patches._delaunay(face.landmarks)
        areas = patches._areas(face.landmarks[triangles])
        numbers = noise(seed).uniform(size=len(triangles))
        taken = patches._grown(triangles, areas, numbers, share)
        assert taken[0] == numbers.argmin()
        assert len(set(taken)) == len(taken)
        assert share * area - 1e-3 <= areas[taken].sum() < share * area + largest
        for place, one in enumerate(taken[1:], 1):
            edges = set(combinations(triangles[one].tolist(), 2))
            known = {edge for two in taken[:place] for edge in combinations(triangles[two], 2)}
            assert edges & known  # it shares an edge with one that was there

        made = patches.mesh(face.landmarks, SIZE, share=share, rng=noise(seed))
        assert made.any()
        assert cv2.connectedComponents(made.view(np.uint8))[0] == 2
        union = np.zeros((SIZE, SIZE), bool)
        for one in taken:
            rows, columns = points[triangles[one]].T[::-1]
            union |= polygon2mask((SIZE, SIZE), np.column_stack([rows, columns]))
            # some triangles are so thin that they hold no pixel's centre
            union[polygon_perimeter(np.rint(rows), np.rint(columns), (SIZE, SIZE))] = True
        assert not (mask.erode(union, 5) & ~made).any()
        assert not (made & ~mask.dilate(union, 3)).any()


def test_the_next_triangle_is_the_neighbour_of_the_lowest_number() -> None:
    strip = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]])
    numbers = np.array([0.1, 0.9, 0.05, 0.2, 0.3])
    assert patches._grown(strip, np.ones(5), numbers, 1.0) == [2, 3, 4, 1, 0]
    assert patches._grown(strip, np.ones(5), numbers, 0.5) == [2, 3, 4]


def test_a_whole_mesh_is_the_hull(faces: list[Face]) -> None:
    for face in faces:
        made = patches.mesh(face.landmarks, SIZE, share=1.0, rng=noise(1))
        assert overlap(made, mask.hull(face.landmarks, SIZE)) > 0.99


def test_landmarks_that_span_no_triangle_give_their_hull() -> None:
    for points in (np.full((68, 2), 50), np.repeat(np.arange(68)[:, None], 2, axis=1)):
        made = patches.mesh(points.astype(np.float32), SIZE, share=0.3, rng=noise(1))
        np.testing.assert_array_equal(made, mask.hull(points.astype(np.float32), SIZE))
        assert patches.grid(points.astype(np.float32), SIZE, rows=3, columns=3, rng=noise(1)).any()


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_patches_of_a_face_twice_as_large_are_twice_as_large(
    times: float, faces: list[Face]
) -> None:
    size = round(SIZE * times)
    points = faces[3].landmarks
    for seed in range(6):
        small = [
            patches.grid(points, SIZE, rows=3, columns=2, rng=noise(seed)),
            patches.mesh(points, SIZE, share=0.4, rng=noise(seed)),
        ]
        points_then = points * np.float32(times)
        grown = [
            patches.grid(points_then, size, rows=3, columns=2, rng=noise(seed)),
            patches.mesh(points_then, size, share=0.4, rng=noise(seed)),
        ]
        for one, other in zip(small, grown, strict=True):
            whole = cv2.resize(
                one.view(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST_EXACT
            )
            assert overlap(whole.astype(bool), other) > 0.88
