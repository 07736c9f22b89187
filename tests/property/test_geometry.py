"""Picture, alpha and landmarks never part, and masks and edges stay in their bounds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from faceblend.ops import NAMED, geometry, mask, warp
from faceblend.ops.geometry import Layers
from tests.conftest import some_options

ALWAYS_THE_SAME = settings(derandomize=True, deadline=None, max_examples=60)
LANDMARKED = sorted(
    name for name, one in NAMED["mask"].items() if not (one.segmented or one.options)
)
"""Masks that are made of landmarks alone."""

widths = st.integers(0, 8).map(lambda half: 2 * half + 1)


@st.composite
def layers(draw: st.DrawFn) -> Layers:
    size = draw(st.tuples(st.integers(2, 14), st.integers(2, 14)))
    points = st.floats(-30, 30, width=32)
    weights = st.floats(0, 1, width=32)
    alpha = draw(st.none() | hnp.arrays(np.float32, size, elements=weights))
    return Layers(
        image=draw(hnp.arrays(np.uint8, (*size, 3))),
        alpha=alpha,
        landmarks=draw(hnp.arrays(np.float32, (68, 2), elements=points)),
    )


def assert_equal(one: Layers, other: Layers, *, atol: float = 0.0) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)
    np.testing.assert_allclose(one.landmarks, other.landmarks, rtol=0, atol=atol)


# -- flip ----------------------------------------------------------------------------


@ALWAYS_THE_SAME
@given(layers(), st.booleans(), st.booleans())
def test_flipping_twice_changes_nothing(made: Layers, horizontal: bool, vertical: bool) -> None:
    once = geometry.flip(made, horizontal=horizontal, vertical=vertical)
    twice = geometry.flip(once, horizontal=horizontal, vertical=vertical)
    assert_equal(twice, made, atol=1e-5)


@ALWAYS_THE_SAME
@given(layers())
def test_both_flips_at_once_are_the_one_after_the_other(made: Layers) -> None:
    both = geometry.flip(made, horizontal=True, vertical=True)
    one = geometry.flip(made, horizontal=True, vertical=False)
    assert_equal(geometry.flip(one, horizontal=False, vertical=True), both)


@ALWAYS_THE_SAME
@given(layers(), st.booleans(), st.booleans())
def test_a_flip_reads_every_pixel_from_its_mirror_and_keeps_the_original(
    made: Layers, horizontal: bool, vertical: bool
) -> None:
    before = made.image.copy(), made.landmarks.copy()
    turn = np.s_[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    flipped = geometry.flip(made, horizontal=horizontal, vertical=vertical)
    np.testing.assert_array_equal(flipped.image, made.image[turn])
    if made.alpha is not None:
        np.testing.assert_array_equal(flipped.alpha, made.alpha[turn])
    np.testing.assert_array_equal(made.image, before[0])
    np.testing.assert_array_equal(made.landmarks, before[1])


# -- crop ----------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn) -> tuple[Layers, int, int, int, int]:
    made = draw(layers())
    rows, columns = made.image.shape[:2]
    top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    return made, top, left, draw(st.integers(1, rows - top)), draw(st.integers(1, columns - left))


@ALWAYS_THE_SAME
@given(windows())
def test_a_crop_is_a_slice_and_moves_landmarks_by_its_corner(
    window: tuple[Layers, int, int, int, int],
) -> None:
    made, top, left, height, width = window
    cut = geometry.crop(made, top=top, left=left, height=height, width=width)
    at = np.s_[top : top + height, left : left + width]
    np.testing.assert_array_equal(cut.image, made.image[at])
    if made.alpha is None:
        assert cut.alpha is None
    else:
        np.testing.assert_array_equal(cut.alpha, made.alpha[at])
    np.testing.assert_allclose(cut.landmarks + np.float32([left, top]), made.landmarks, atol=1e-5)


@ALWAYS_THE_SAME
@given(windows())
def test_cropping_and_flipping_commute_with_the_window_mirrored(
    window: tuple[Layers, int, int, int, int],
) -> None:
    made, top, left, height, width = window
    cut = geometry.crop(made, top=top, left=left, height=height, width=width)
    first_cut = geometry.flip(cut, horizontal=True, vertical=False)
    first_flipped = geometry.crop(
        geometry.flip(made, horizontal=True, vertical=False),
        top=top,
        left=made.image.shape[1] - left - width,
        height=height,
        width=width,
    )
    assert_equal(first_cut, first_flipped, atol=1e-5)


@ALWAYS_THE_SAME
@given(windows(), st.integers(1, 5), st.sampled_from(["top", "left", "height", "width"]))
def test_a_window_that_leaves_the_picture_is_never_cut_short(
    window: tuple[Layers, int, int, int, int], beyond: int, side: str
) -> None:
    made, top, left, height, width = window
    rows, columns = made.image.shape[:2]
    wrong = {"top": top, "left": left, "height": height, "width": width}
    wrong[side] = {"top": -beyond, "left": -beyond, "height": rows + beyond}.get(
        side, columns + beyond
    )
    with pytest.raises(ValueError, match="leaves a picture"):
        geometry.crop(made, **wrong)


# -- resize --------------------------------------------------------------------------


@ALWAYS_THE_SAME
@given(
    st.integers(2, 400),
    st.integers(2, 400),
    hnp.arrays(np.float32, (68, 2), elements=st.floats(-50, 450, width=32)),
)
def test_resized_points_come_back_and_the_borders_stay_the_borders(
    old: int, new: int, points: np.ndarray
) -> None:
    moved = geometry.resize_points(points, old, new)
    back = geometry.resize_points(moved, new, old)
    np.testing.assert_allclose(back, points, atol=1e-3 * max(1, old / new))
    corners = np.tile(np.float32([[-0.5, old - 0.5]]), (68, 1))
    np.testing.assert_allclose(
        geometry.resize_points(corners, old, new)[0], [-0.5, new - 0.5], atol=1e-3
    )


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(8, 400), st.integers(8, 400))
def test_resizing_keeps_whole_weights_whole(old: int, new: int) -> None:
    """An alpha above one by a rounding error has a negative X-ray, and the sample is lost."""
    ones = geometry.resize_plane(np.ones((old, old), np.float32), new)
    assert ones.shape == (new, new)
    assert ones.max() <= 1
    assert ones.min() >= 1 - 1e-6
    assert not geometry.resize_plane(np.zeros((old, old), np.float32), new).any()


@ALWAYS_THE_SAME
@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 2**32 - 1))
def test_resizing_stays_within_the_range_and_leaves_its_input(
    old: int, new: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (old, old, 3), dtype=np.uint8)
    before = picture.copy()
    made = geometry.resize_plane(picture, new)
    assert (made.shape, made.dtype) == ((new, new, 3), np.uint8)
    assert picture.min() <= made.min()
    assert made.max() <= picture.max()
    np.testing.assert_array_equal(picture, before)


# -- masks ---------------------------------------------------------------------------


@st.composite
def regions(draw: st.DrawFn) -> np.ndarray:
    """A few rectangles: holes, islands and parts at the border included."""
    height, width = draw(st.tuples(st.integers(3, 40), st.integers(3, 40)))
    region = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        size = draw(st.tuples(st.integers(1, 25), st.integers(1, 25)))
        region[top : top + size[0], left : left + size[1]] = draw(st.booleans())
    return region


@ALWAYS_THE_SAME
@given(regions(), widths)
def test_eroding_shrinks_and_dilating_grows(region: np.ndarray, width: int) -> None:
    eroded, dilated = mask.erode(region, width), mask.dilate(region, width)
    assert eroded.dtype == dilated.dtype == np.bool_
    assert not (eroded & ~region).any()
    assert not (region & ~dilated).any()
    np.testing.assert_array_equal(~mask.dilate(~region, width), eroded)
    if width == 1:
        np.testing.assert_array_equal(eroded, dilated)


@ALWAYS_THE_SAME
@given(regions(), st.floats(0.01, 1.0), st.booleans())
def test_a_feather_is_a_weight_and_zero_away_from_the_mask(
    region: np.ndarray, share: float, of_hull: bool
) -> None:
    before = region.copy()
    alpha = mask.feather(region, share, of_hull=of_hull)
    assert (alpha.shape, alpha.dtype) == (region.shape, np.float32)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    if of_hull:
        assert not alpha[~region].any()
    else:
        # smoothing the stairs reaches over the edge by half of a quarter of the ramp
        rows, columns = mask.bounding_box(region)
        ramp = max(share * max(rows.stop - rows.start, columns.stop - columns.start), 1)
        reach = max(int(ramp / 4) | 1, 3) // 2
        assert not alpha[~mask.dilate(region, 2 * reach + 1)].any()
    np.testing.assert_array_equal(region, before)


@ALWAYS_THE_SAME
@given(regions(), st.floats(0.3, 6.0))
def test_a_blur_is_a_weight_and_zero_three_sigma_away(region: np.ndarray, sigma: float) -> None:
    alpha = mask.blur(region, sigma)
    assert (alpha.shape, alpha.dtype) == (region.shape, np.float32)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    reach = int(np.ceil(3 * sigma))
    assert not alpha[~mask.dilate(region, 2 * reach + 1)].any()


@ALWAYS_THE_SAME
@given(regions(), st.integers(0, 6))
def test_a_bounding_box_is_the_smallest_that_holds_the_mask(
    region: np.ndarray, margin: int
) -> None:
    box = mask.bounding_box(region, margin)
    outside = np.ones(region.shape, bool)
    outside[box] = False
    assert not region[outside].any()
    if region.any():
        rows, columns = mask.bounding_box(region)
        assert region[rows.start].any()
        assert region[rows.stop - 1].any()
        assert region[:, columns.start].any()
        assert region[:, columns.stop - 1].any()
        assert rows.start - box[0].start == min(margin, rows.start)
        assert box[1].stop - columns.stop == min(margin, region.shape[1] - columns.stop)


@pytest.mark.parametrize("name", LANDMARKED)
@ALWAYS_THE_SAME
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(16, 128))
def test_any_points_give_a_mask_of_the_size_asked_for(name: str, seed: int, size: int) -> None:
    points = np.random.default_rng(seed).uniform(-size, 2 * size, (68, 2)).astype(np.float32)
    before = points.copy()
    made = NAMED["mask"][name](points, size, **some_options("mask", name, seed))
    assert (made.shape, made.dtype) == ((size, size), np.bool_)
    np.testing.assert_array_equal(points, before)


# -- alignment -----------------------------------------------------------------------

angles = st.floats(-3.0, 3.0)
scales = st.floats(0.2, 5.0)
shifts = st.floats(-200, 200)


@pytest.mark.parametrize("fit", [warp.similarity, warp.affine])
@ALWAYS_THE_SAME
@given(angle=angles, scale=scales, x=shifts, y=shifts, seed=st.integers(0, 2**32 - 1))
def test_a_turn_a_scale_and_a_shift_are_found_again(
    fit: Any, angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    source = np.random.default_rng(seed).uniform(0, 317, (68, 2)).astype(np.float32)
    true = np.array(
        [
            [scale * np.cos(angle), -scale * np.sin(angle), x],
            [scale * np.sin(angle), scale * np.cos(angle), y],
        ]
    )
    target = (source @ true[:, :2].T + true[:, 2]).astype(np.float32)
    np.testing.assert_allclose(fit(source, target), true, atol=1e-2)


@ALWAYS_THE_SAME
@given(st.integers(2, 6), st.integers(2, 6), st.integers(4, 40), st.integers(0, 2**32 - 1))
def test_a_field_passes_through_its_control_points(
    rows: int, columns: int, size: int, seed: int
) -> None:
    assume(size > max(rows, columns))
    offsets = np.random.default_rng(seed).normal(0, 0.1, (rows, columns, 2)).astype(np.float32)
    field = warp.piecewise(offsets, size)
    assert (field.shape, field.dtype) == ((2, size, size), np.float32)
    last = size - 1
    for (y, row), (x, column) in zip(
        [(0, 0), (0, 0), (last, -1), (last, -1)], [(0, 0), (last, -1)] * 2, strict=True
    ):
        expected = np.array([x, y]) + offsets[row, column] * size
        np.testing.assert_allclose(field[:, y, x], expected, atol=1e-3)
