"""The blend equation and its X-ray hold for any pictures and any alpha."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from faceblend.ops.blend import alpha as blend
from faceblend.ops.xray import xray

shape = (5, 7)
pictures = hnp.arrays(np.uint8, (*shape, 3))
weights = st.floats(0, 1, width=32)
alphas = hnp.arrays(np.float32, shape, elements=weights)


@given(pictures, pictures, alphas)
def test_every_pixel_is_alpha_f_plus_one_minus_alpha_b_to_rounding(
    foreground: np.ndarray, background: np.ndarray, alpha: np.ndarray
) -> None:
    weight = alpha[..., None].astype(np.float64)
    exact = weight * foreground + (1 - weight) * background
    assert np.abs(blend(foreground, background, alpha) - exact).max() <= 0.504


@given(pictures, pictures)
def test_where_one_face_alone_is_seen_its_bytes_are_untouched(
    foreground: np.ndarray, background: np.ndarray
) -> None:
    nothing, everything = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    np.testing.assert_array_equal(blend(foreground, background, nothing), background)
    np.testing.assert_array_equal(blend(foreground, background, everything), foreground)


def test_rounding_has_no_bias() -> None:
    rng = np.random.default_rng(0)
    foreground, background = rng.integers(0, 256, (2, 200, 200, 3), dtype=np.uint8)
    alpha = rng.random((200, 200), np.float32)
    weight = alpha[..., None].astype(np.float64)
    exact = weight * foreground + (1 - weight) * background
    # truncation would read -0.5 here
    assert abs((blend(foreground, background, alpha) - exact).mean()) < 0.01


@given(alphas)
def test_the_xray_is_four_alpha_one_minus_alpha(alpha: np.ndarray) -> None:
    exact = 4 * alpha.astype(np.float64) * (1 - alpha.astype(np.float64))
    np.testing.assert_allclose(xray(alpha), exact, atol=1e-6)
    assert (xray(alpha) >= 0).all()
    assert (xray(alpha) <= 1).all()


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_a_weight_outside_zero_and_one_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="weight lies in"):
        xray(np.array([[0.5, wrong]], np.float32))
