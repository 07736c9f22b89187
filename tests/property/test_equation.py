"""Blend, X-ray, colours and degradations hold what they promise for any arrays."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from faceblend.ops import NAMED, degrade
from faceblend.ops.blend import alpha as blend
from faceblend.ops.xray import xray
from tests.default_options import call

ALWAYS_THE_SAME = settings(derandomize=True, deadline=None, max_examples=60)

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
weights = st.floats(0, 1, width=32)


def pictures(size: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.uint8, (*size, 3))


def alphas(size: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, size, elements=weights)


two_and_alpha = sizes.flatmap(lambda s: st.tuples(pictures(s), pictures(s), alphas(s)))
any_alpha = sizes.flatmap(alphas)


@ALWAYS_THE_SAME
@given(two_and_alpha)
def test_a_blend_is_its_equation_rounded_to_nearest(
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    foreground, background, alpha = layers
    weight = alpha[..., None].astype(np.float64)
    exact = weight * foreground + (1 - weight) * background
    assert np.abs(blend(foreground, background, alpha) - exact).max() <= 0.504


@ALWAYS_THE_SAME
@given(two_and_alpha)
def test_a_blend_lies_between_its_two_pictures(
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    foreground, background, alpha = layers
    made = blend(foreground, background, alpha)
    assert (made >= np.minimum(foreground, background)).all()
    assert (made <= np.maximum(foreground, background)).all()


@ALWAYS_THE_SAME
@given(two_and_alpha)
def test_a_face_blended_with_itself_is_itself(
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    picture, _, alpha = layers
    np.testing.assert_array_equal(blend(picture, picture, alpha), picture)


@ALWAYS_THE_SAME
@given(two_and_alpha)
def test_swapping_the_faces_and_their_weights_changes_no_level_but_a_tie(
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    foreground, background, alpha = layers
    one = blend(foreground, background, alpha).astype(int)
    other = blend(background, foreground, np.float32(1) - alpha)
    assert np.abs(one - other).max() <= 1


@ALWAYS_THE_SAME
@given(two_and_alpha)
def test_blending_writes_into_none_of_its_inputs(
    layers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    before = [layer.copy() for layer in layers]
    made = blend(*layers)
    made[:] = 0
    for layer, copy in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer, copy)


@ALWAYS_THE_SAME
@given(any_alpha)
def test_an_xray_lies_in_zero_to_one_and_is_its_equation(alpha: np.ndarray) -> None:
    made = xray(alpha)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    exact = 4 * alpha.astype(np.float64) * (1 - alpha.astype(np.float64))
    np.testing.assert_allclose(made, exact, atol=3e-7)


@ALWAYS_THE_SAME
@given(any_alpha)
def test_an_xray_does_not_tell_the_foreground_from_the_background(alpha: np.ndarray) -> None:
    np.testing.assert_allclose(xray(alpha), xray(np.float32(1) - alpha), atol=5e-7)


@ALWAYS_THE_SAME
@given(any_alpha)
def test_an_xray_is_one_at_a_half_alone_and_zero_at_the_ends_alone(alpha: np.ndarray) -> None:
    alpha.flat[0] = 0.5
    made = xray(alpha)
    assert made.flat[0] == made.max() == 1
    assert (np.abs(alpha[made == 1] - 0.5) < 1e-3).all()
    assert (made[(alpha == 0) | (alpha == 1)] == 0).all()
    inside = (alpha > 1e-30) & (alpha < 1)
    assert (made[inside] > 0).all()


@ALWAYS_THE_SAME
@given(any_alpha, st.integers(0, 143), st.sampled_from([-1.0, -1e-6, 1.0 + 1e-6, 2.0, np.nan]))
def test_one_weight_that_is_none_is_refused_wherever_it_stands(
    alpha: np.ndarray, place: int, wrong: float
) -> None:
    alpha.flat[place % alpha.size] = wrong
    with pytest.raises(ValueError, match="weight lies in"):
        xray(alpha)


# -- colours -------------------------------------------------------------------------


@st.composite
def picture_and_region(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = draw(st.tuples(st.integers(2, 12), st.integers(2, 12)))
    region = draw(hnp.arrays(np.bool_, size))
    region.flat[draw(st.integers(0, region.size - 1))] = True
    return draw(pictures(size)), draw(pictures(size)), region


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
@ALWAYS_THE_SAME
@given(layers=picture_and_region())
def test_giving_a_picture_its_own_colours_changes_it_by_a_level_at_most(
    name: str, layers: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    picture, _, region = layers
    moved = call("color", name, picture, picture, region).astype(int)
    assert np.abs(moved - picture).max() <= 1


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
@ALWAYS_THE_SAME
@given(layers=picture_and_region())
def test_any_colours_give_a_picture_of_the_same_shape_and_touch_no_input(
    name: str, layers: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    foreground, background, region = layers
    before = [layer.copy() for layer in layers]
    moved = call("color", name, foreground, background, region)
    assert (moved.shape, moved.dtype) == (foreground.shape, np.uint8)
    for layer, copy in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer, copy)


@pytest.mark.parametrize("name", ["mean", "mean-std"])
@ALWAYS_THE_SAME
@given(seed=st.integers(0, 2**32 - 1))
def test_colours_come_out_with_the_backgrounds_mean_where_nothing_is_clipped(
    name: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    foreground, background = rng.integers(100, 156, (2, 20, 20, 3), dtype=np.uint8)
    region = rng.random((20, 20)) < 0.7
    moved = call("color", name, foreground, background, region)
    apart = moved[region].mean(axis=0) - background[region].mean(axis=0)
    assert np.abs(apart).max() < 0.51


# -- degradations --------------------------------------------------------------------

squares = st.integers(8, 40).flatmap(lambda side: hnp.arrays(np.uint8, (side, side, 3)))


@ALWAYS_THE_SAME
@given(squares, st.integers(1, 100))
def test_jpeg_keeps_shape_and_type_and_its_input(picture: np.ndarray, quality: int) -> None:
    before = picture.copy()
    made = degrade.jpeg(picture, quality)
    assert (made.shape, made.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(degrade.jpeg(picture, quality), made)


@ALWAYS_THE_SAME
@given(squares, st.integers(1, 80), st.sampled_from(["nearest", "bilinear"]))
def test_resampling_keeps_shape_type_and_range(picture: np.ndarray, size: int, down: Any) -> None:
    before = picture.copy()
    made = degrade.resample(picture, size, down)
    assert (made.shape, made.dtype) == (picture.shape, np.uint8)
    for channel in range(3):
        assert made[..., channel].min() >= picture[..., channel].min()
        assert made[..., channel].max() <= picture[..., channel].max()
    np.testing.assert_array_equal(picture, before)


@ALWAYS_THE_SAME
@given(
    st.tuples(*[st.integers(0, 255)] * 3),
    st.integers(8, 40),
    st.integers(1, 60),
    st.sampled_from(["nearest", "bilinear"]),
)
def test_a_flat_picture_stays_as_it_is_at_any_size(
    colour: tuple[int, int, int], side: int, size: int, down: Any
) -> None:
    flat = np.full((side, side, 3), colour, np.uint8)
    np.testing.assert_array_equal(degrade.resample(flat, size, down), flat)
