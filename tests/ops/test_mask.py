"""Regions against polygons of another library, edges against scipy."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.draw import polygon2mask
from skimage.morphology import convex_hull_image

from faceblend.face import Face
from faceblend.ops import NAMED, mask
from tests.conftest import face_template

LANDMARKED = sorted(
    name for name, one in NAMED["mask"].items() if not (one.segmented or one.options)
)
"""Masks that are made of landmarks alone."""


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def polygon(points: np.ndarray, size: int) -> np.ndarray:
    corners = points[ConvexHull(points).vertices]
    return np.asarray(polygon2mask((size, size), corners[:, ::-1]))


def disc(size: int = 101, radius: int = 35) -> np.ndarray:
    y, x = np.indices((size, size)) - size // 2
    return np.asarray(x * x + y * y <= radius * radius)


def test_the_hull_is_the_convex_hull_of_the_points(faces: list[Face]) -> None:
    for face in faces:
        assert overlap(mask.hull(face.landmarks, 317), polygon(face.landmarks, 317)) > 0.98


def test_full_and_components_are_unions_of_hulls_inside_the_hull(faces: list[Face]) -> None:
    for face in faces:
        for region, parts in ((mask.full, mask._FULL), (mask.components, mask._COMPONENTS)):
            union = np.any([polygon(face.landmarks[list(p)], 317) for p in parts], axis=0)
            made = region(face.landmarks, 317)
            assert overlap(made, union) > 0.96
            assert not (made & ~mask.dilate(mask.hull(face.landmarks, 317), 3)).any()


def test_extended_adds_forehead_and_nothing_below_the_nose(faces: list[Face]) -> None:
    for face in faces:
        extended, hull = mask.extended(face.landmarks, 317), mask.hull(face.landmarks, 317)
        added = np.argwhere(extended & ~hull)
        assert len(added) > 200
        # the sides of a hull that is raised widen down to where they meet the jaw
        assert added[:, 0].max() <= face.landmarks[31:36, 1].max()
        brow_height = face.landmarks[36:48, 1].mean() - face.landmarks[17:27, 1].mean()
        rise = np.argwhere(hull)[:, 0].min() - np.argwhere(extended)[:, 0].min()
        assert 0.2 * brow_height < rise < 1.2 * brow_height


@pytest.mark.parametrize("name", LANDMARKED)
def test_a_face_outside_the_picture_gives_an_empty_mask(name: str, faces: list[Face]) -> None:
    away = faces[0].landmarks + np.float32(5000)
    assert not NAMED["mask"][name](away, 317).any()


@pytest.mark.parametrize("width", [1, 3, 9, 21])
def test_erosion_and_dilation_agree_with_scipy(width: int) -> None:
    square = np.ones((width, width))
    np.testing.assert_array_equal(
        mask.erode(disc(), width), ndimage.binary_erosion(disc(), square, border_value=1)
    )
    np.testing.assert_array_equal(
        mask.dilate(disc(), width), ndimage.binary_dilation(disc(), square)
    )


def test_an_even_width_would_shift_the_mask_and_is_refused() -> None:
    with pytest.raises(ValueError, match="odd number"):
        mask.erode(disc(), 4)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.6])
def test_the_feather_is_the_distance_to_the_masks_own_edge(share: float) -> None:
    shape = disc()
    width = max(share * 71, 1)
    signed = ndimage.distance_transform_edt(shape) - ndimage.distance_transform_edt(~shape)
    expected = np.clip((signed - 0.5 * np.sign(signed)) / width, 0, 1)
    slopes = signed < 30  # around the disc's centre the averaging rounds the cone's tip
    # apart from the chamfer's 2% and the averaging of the pixel stairs
    np.testing.assert_allclose(
        mask.feather(shape, share)[slopes], expected[slopes], atol=0.04 + 0.6 / width
    )


def test_a_straight_edge_gives_an_exactly_linear_ramp() -> None:
    shape = np.zeros((120, 120), bool)
    shape[20:100, 20:100] = True
    ramp = mask.feather(shape, 0.25)[60, 20:40]
    np.testing.assert_allclose(ramp, (np.arange(20) + 0.5) / 20, atol=1e-5)


def test_a_slanted_edge_shows_no_pixel_stairs() -> None:
    y, x = np.indices((200, 200))
    shape = (y > 0.13 * x + 40) & (y < 0.13 * x + 130) & (x > 30) & (x < 170)
    alpha = mask.feather(shape, 0.25)
    # walking along the edge at a fixed distance from it, alpha hardly changes
    along = np.arange(80, 120)
    inside = np.array([alpha[:, column] for column in along])
    depth = np.array([np.interp(0.4, line[:110], np.arange(110)) for line in inside])
    wobble = depth - np.polyval(np.polyfit(along, depth, 1), along)
    assert np.abs(wobble).max() < 0.25  # px


def test_the_feather_follows_an_inward_bay_unless_told_to_take_the_hull() -> None:
    bay = disc()
    bay[51:, 45:57] = False
    assert mask.feather(bay, 0.2)[70, 44] < 0.2
    as_published = mask.feather(bay, 0.2, of_hull=True)
    assert as_published[70, 44] > 0.9
    assert not as_published[~bay].any()


@pytest.mark.parametrize("sigma", [1.0, 3.5])
def test_blur_agrees_with_scipy(sigma: float) -> None:
    expected = ndimage.gaussian_filter(disc().astype(np.float64), sigma, truncate=3)
    np.testing.assert_allclose(mask.blur(disc(), sigma), expected, atol=5e-3)


def test_softening_nothing_gives_nothing() -> None:
    empty = np.zeros((30, 30), bool)
    assert not mask.feather(empty, 0.2).any()
    assert not mask.blur(empty, 3.0).any()


def test_the_border_of_the_picture_is_no_edge() -> None:
    half = np.zeros((60, 60), bool)
    half[:, 30:] = True
    assert (mask.feather(half, 0.2)[:, -1] == 1).all()


def test_a_bounding_box_holds_every_pixel_and_the_margin_inside_the_picture() -> None:
    assert mask.bounding_box(disc(), margin=2) == (slice(13, 88), slice(13, 88))
    assert mask.bounding_box(disc(), margin=99) == (slice(0, 101), slice(0, 101))
    assert mask.bounding_box(np.zeros((5, 5), bool)) == (slice(0, 0), slice(0, 0))


@pytest.mark.parametrize("name", LANDMARKED)
def test_the_feather_of_a_hull_is_the_distance_to_the_filled_hull(
    name: str, faces: list[Face]
) -> None:
    region = NAMED["mask"][name](faces[0].landmarks, 317)
    alpha = mask.feather(region, 0.2, of_hull=True)
    of_filled = mask.feather(convex_hull_image(region), 0.2)
    rows, columns = mask.bounding_box(region)
    width = 0.2 * max(rows.stop - rows.start, columns.stop - columns.start)
    # a pixel and a half
    np.testing.assert_allclose(alpha, of_filled * region, atol=1.5 / width + 0.01)
    assert abs((alpha - of_filled)[region].mean()) < 0.005


@pytest.mark.parametrize("of_hull", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.12, 0.25])
@pytest.mark.parametrize("name", LANDMARKED)
def test_a_ramp_of_any_width_is_that_of_exact_distances(
    name: str, share: float, of_hull: bool, faces: list[Face]
) -> None:
    region = NAMED["mask"][name](faces[2].landmarks, 317)
    region = mask.erode(region, 7)
    rows, columns = mask.bounding_box(region)
    width = share * max(rows.stop - rows.start, columns.stop - columns.start)
    filled = convex_hull_image(region) if of_hull else region
    distance = ndimage.distance_transform_edt(filled) - ndimage.distance_transform_edt(~filled)
    distance += 0.5 - filled
    distance = ndimage.uniform_filter(distance, max(int(width / 4) | 1, 3), mode="nearest")
    exact = np.clip(distance / width, 0, 1) * (region if of_hull else 1)
    apart = mask.feather(region, share, of_hull=of_hull) - exact
    assert np.abs(apart).max() < 2 / width + 0.02  # two pixels at a corner
    assert np.abs(apart[region]).mean() < 0.015
    assert abs(apart[region].mean()) < 0.008  # neither wider nor narrower


# -- two stages ----------------------------------------------------------------------


def opencv_kernel(width: int, sigma: float) -> np.ndarray:
    """A Gaussian of so many pixels that sums to one; sigma 0 stands for OpenCV's rule."""
    sigma = sigma or 0.3 * ((width - 1) / 2 - 1) + 0.8
    weights = np.exp(-((np.arange(width) - (width - 1) / 2) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def by_the_formula(mask: np.ndarray, first: int, second: int, sigma: float) -> np.ndarray:
    """Blur, zero what is below full, blur again, divide by the maximum; in float64, by scipy."""

    def blurred(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            plane = ndimage.correlate1d(plane, kernel, axis=axis, mode="mirror")
        return plane

    once = blurred(mask, opencv_kernel(first, 0))
    once[once < 1 - 1e-9] = 0
    twice = blurred(once, opencv_kernel(second, sigma))
    return np.asarray(twice / twice.max())


@pytest.mark.parametrize(
    ("first", "second", "sigma"), [(5, 5, 5), (25, 25, 45), (9, 21, 5), (21, 9, 30), (1, 1, 7)]
)
def test_two_stages_are_a_blur_cut_below_full_and_blurred_again(
    first: int, second: int, sigma: int
) -> None:
    region = mask.full(face_template(), 317)
    region[250:, :] |= region[249]  # down to the border, where both blurs mirror
    kept = mask.two_stage(region, height=317, width=317, first=first, second=second, sigma=sigma)
    expected = by_the_formula(region.astype(np.float64), first, second, sigma)
    assert 0 < (expected > 0).mean() < 1
    np.testing.assert_allclose(kept, expected, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(192, 256), (256, 192), (230, 201)])
def test_two_stages_at_a_size_of_their_own_stay_where_they_were(height: int, width: int) -> None:
    region = mask.hull(face_template(), 317)
    made = mask.two_stage(region, height=height, width=width, first=11, second=15, sigma=20)
    # the published order, each resize written out with scipy
    small = resized(region.astype(np.float64), height, width)
    expected = resized(by_the_formula(small, 11, 15, 20), 317, 317)
    np.testing.assert_allclose(made, expected, atol=1e-4)
    assert made.max() == pytest.approx(1, abs=1e-6)


def resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, pixel centres matched, borders repeated."""
    rows, columns = (
        (np.arange(new) + 0.5) * old / new - 0.5
        for new, old in zip((height, width), plane.shape, strict=True)
    )
    where = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(ndimage.map_coordinates(plane, where, order=1, mode="nearest"))


def test_two_stages_of_what_is_narrower_than_the_first_kernel_leave_nothing() -> None:
    thin = np.zeros((317, 317), bool)
    thin[100:110] = True
    assert not mask.two_stage(thin, height=200, width=200, first=15, second=5, sigma=9).any()
