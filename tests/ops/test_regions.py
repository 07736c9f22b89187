"""Parts of the face against polygons of scikit-image around hulls of scipy."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.draw import polygon2mask

from faceblend.face import Face
from faceblend.ops import NAMED, mask, regions
from tests.conftest import face_template

ALL = range(1, 256)
SIZE = 317
TIMES = 4
LARGE = TIMES * SIZE  # px
# iBUG's points: what each part is made of, written out again
EYES = [[*range(17, 22), *range(36, 42)], [*range(22, 27), *range(42, 48)]]
NOSE, MOUTH = [*range(27, 36)], [*range(48, 60)]
CHEEKS = [
    [*range(7), 48, 31, 39, 40, 41, 36],
    [*range(10, 17), 54, 35, 42, 47, 46, 45],
]
CHIN = [*range(4, 13), 48, *range(54, 60)]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def spread(points: np.ndarray) -> float:
    """Root mean square distance of the points from their middle."""
    return float(np.sqrt(points[:68].astype(float).var(axis=0).sum()))


def rounded(points: np.ndarray, reach: float) -> np.ndarray:
    """The convex hull of some points and all nearer to it than ``reach``."""
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    reach += 0.5  # px; OpenCV fills the pixels that an outline goes through, too
    circle = reach * np.column_stack([np.cos(angles), np.sin(angles)])
    around = (points[:, None].astype(float) + circle).reshape(-1, 2)
    corners = around[ConvexHull(around).vertices]
    return np.asarray(polygon2mask((LARGE, LARGE), corners[:, ::-1]))


def parts_of(points: np.ndarray) -> list[np.ndarray]:
    brows = points[17:27]
    under = points[[36, 37, 37, 38, 39, 42, 43, 44, 44, 45]]
    above = points[68:] if len(points) > 68 else 1.5 * brows - 0.5 * under
    told = [*EYES, NOSE, MOUTH, *CHEEKS, CHIN]
    return [*(points[part] for part in told), np.concatenate([brows, above])]


def with_forehead(points: np.ndarray) -> np.ndarray:
    turn = np.linspace(np.pi, 0, 13)
    arch = np.column_stack([158 + 98 * np.cos(turn), 120 - 70 * np.sin(turn)])
    return np.concatenate([points, arch]).astype(np.float32)


def drawn_and_turned(faces: list[Face]) -> Iterator[np.ndarray]:
    yield from (face.landmarks for face in faces[:4])
    yield with_forehead(face_template())
    for turn, scale in ((35.0, 0.6), (-80.0, 0.9)):
        matrix = cv2.getRotationMatrix2D((158, 158), turn, scale)
        yield (face_template() @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def test_every_part_is_a_widened_hull_of_its_points(faces: list[Face]) -> None:
    for points in drawn_and_turned(faces):
        large = points * np.float32(TIMES)
        reach = 0.05 * spread(large)
        for number, part in enumerate(parts_of(large)):
            made = regions.regions(large, LARGE, parts=1 << number)
            assert overlap(made, rounded(part, reach)) > 0.99, regions.PARTS[number]


@pytest.mark.parametrize(
    ("name", "chosen", "share"),
    [("eyes", EYES[0] + EYES[1], 0.1), ("mouth", MOUTH, 0.15), ("nose", NOSE, 0.15)],
)
def test_a_feature_is_one_widened_hull(
    name: str, chosen: list[int], share: float, faces: list[Face]
) -> None:
    for points in drawn_and_turned(faces):
        large = points * np.float32(TIMES)
        expected = rounded(large[chosen], share * spread(large))
        assert overlap(NAMED["mask"][name](large, LARGE), expected) > 0.99


def test_a_set_is_the_union_of_its_parts_and_never_empty(faces: list[Face]) -> None:
    for points in drawn_and_turned(faces):
        single = [regions.regions(points, SIZE, parts=1 << bit) for bit in range(8)]
        assert all(one.sum() > 100 for one in single)
        for parts in ALL:
            union = np.any([one for bit, one in enumerate(single) if parts >> bit & 1], axis=0)
            np.testing.assert_array_equal(regions.regions(points, SIZE, parts=parts), union)


def test_all_parts_together_leave_no_seam_between_them(faces: list[Face]) -> None:
    for face in faces:
        whole = regions.regions(face.landmarks, SIZE, parts=255)
        assert cv2.connectedComponents(whole.view(np.uint8))[0] == 2  # it, and what is around
        assert overlap(whole, mask.extended(face.landmarks, SIZE)) > 0.85


@pytest.mark.parametrize("times", [0.5, 2.0])
@pytest.mark.parametrize("name", ["regions", "eyes", "mouth", "nose"])
def test_a_face_twice_as_large_has_the_same_parts_twice_as_large(
    name: str, times: float, faces: list[Face]
) -> None:
    size = round(SIZE * times)
    # one part: a gap between two may close
    single = [{"parts": 1 << bit} for bit in range(8)]
    for options in single if name == "regions" else [{}]:
        points = faces[1].landmarks
        small = NAMED["mask"][name](points, SIZE, **options)
        grown = NAMED["mask"][name](points * np.float32(times), size, **options)
        expected = cv2.resize(
            small.view(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST_EXACT
        )
        width = 2 * round(1 + times) + 1
        assert not (grown & ~mask.dilate(expected.astype(bool), width)).any()
        assert not (mask.erode(expected.astype(bool), width) & ~grown).any()


@pytest.mark.parametrize("parts", [0, -1, 256])
def test_sets_that_are_none_are_refused(parts: int) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        regions.regions(face_template(), SIZE, parts=parts)


def test_left_and_right_are_the_viewers() -> None:
    def across(parts: int) -> Any:
        return np.nonzero(regions.regions(face_template(), SIZE, parts=parts))[1].mean()

    assert across(1) < 158 < across(2)
    assert across(16) < 158 < across(32)
