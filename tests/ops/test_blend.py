"""The blend equations and the X-ray hold for any pictures and any alpha."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from faceblend.ops import NAMED
from faceblend.ops.blend import alpha as blend
from faceblend.ops.blend import frequency, poisson, pyramid
from faceblend.ops.membrane import membrane
from faceblend.ops.xray import xray
from tests.default_options import call

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


# -- the other ways to blend ---------------------------------------------------------


def scene(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two pictures of waves and grain, and an ellipse with a soft edge and a notch."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pictures = []
    for _ in range(2):
        down, right, turn = rng.uniform(2, 9, (3, 3))
        waves = np.sin(rows[..., None] * down + columns[..., None] * right + turn)
        levels = rng.uniform(90, 160, 3) + 40 * waves + rng.normal(0, 8, waves.shape)
        pictures.append(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    alpha = np.clip((0.95 - np.hypot(rows, columns)) * 4, 0, 1)
    alpha[: height // 2, width // 2 : width // 2 + 3] = 0
    return pictures[0], pictures[1], alpha.astype(np.float32)


def mixed(picture: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None].astype(np.float64)
    return np.clip(weight * picture + (1 - weight) * background, 0, 255)


def guided(foreground: np.ndarray, background: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Equation 7 of Perez et al., the guidance being the foreground's gradient, by LU."""
    number = np.cumsum(inside).reshape(inside.shape) - 1
    rows, columns = np.nonzero(inside)
    system = sparse.lil_matrix((len(rows), len(rows)))
    wanted = np.zeros((len(rows), 3))
    for here, (y, x) in enumerate(zip(rows, columns, strict=True)):
        system[here, here] = 4
        for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            wanted[here] += foreground[y, x].astype(float) - foreground[other]
            if inside[other]:
                system[here, number[other]] = -1
            else:
                wanted[here] += background[other]
    solved = background.astype(float)
    solved[inside] = spsolve(system.tocsc(), wanted)
    return solved


def test_poisson_solves_the_published_equation() -> None:
    foreground, background, alpha = scene(45, 38)
    exact = mixed(guided(foreground, background, alpha > 0), background, alpha)
    made = poisson(foreground, background, alpha)
    assert np.abs(made - exact).max() < 0.55
    assert np.abs(made.astype(int) - blend(foreground, background, alpha)).max() > 5


def test_poisson_leaves_the_outermost_pixels_as_what_the_foreground_meets() -> None:
    foreground, background, _ = scene(20, 26, seed=1)
    alpha = np.ones((20, 26), np.float32)
    inside = np.zeros((20, 26), bool)
    inside[1:-1, 1:-1] = True
    made = poisson(foreground, background, alpha)
    assert np.abs(made - np.clip(guided(foreground, background, inside), 0, 255)).max() < 0.55
    np.testing.assert_array_equal(made[~inside], background[~inside])


def test_poisson_takes_no_constant_of_the_foreground() -> None:
    foreground, background, alpha = scene(45, 38)
    foreground = foreground // 2 + 40
    made, lighter = (poisson(one, background, alpha) for one in (foreground, foreground + 60))
    assert np.abs(made.astype(int) - lighter).max() <= 1


@pytest.mark.parametrize("size", [(3, 3), (17, 64), (90, 75)])
def test_a_membrane_solves_laplaces_equation_before_rounding(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    inside = rng.random(size) < 0.8  # a maze
    inside[[0, -1]] = inside[:, [0, -1]] = False
    values = rng.uniform(-255, 255, (*size, 3)).astype(np.float32)
    exact = guided(np.zeros((*size, 3)), values.astype(float), inside)
    np.testing.assert_allclose(membrane(values, inside), exact, atol=0.1)


def test_a_membrane_needs_values_all_around() -> None:
    with pytest.raises(ValueError, match="reaches the border"):
        membrane(np.zeros((4, 4, 3), np.float32), np.eye(4, dtype=bool))


@pytest.mark.parametrize("levels", [1, 3, 8])
def test_pyramid_blends_bands_by_the_published_formula(levels: int) -> None:
    foreground, background, alpha = scene(61, 48)

    def pyramid_of(layer: np.ndarray) -> list[np.ndarray]:
        made = [layer.astype(np.float64)]
        while len(made) <= levels and min(made[-1].shape[:2]) >= 4:
            blurred = made[-1]
            for axis in (0, 1):
                kernel = np.array([1, 4, 6, 4, 1]) / 16
                blurred = ndimage.convolve1d(blurred, kernel, axis=axis, mode="mirror")
            made.append(blurred[::2, ::2])
        return made

    def grown(small: np.ndarray, like: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.pyrUp(small, dstsize=like.shape[1::-1]))

    def bands(gaussian: list[np.ndarray]) -> list[np.ndarray]:
        pairs = pairwise(gaussian)
        return [fine - grown(small, fine) for fine, small in pairs] + gaussian[-1:]

    ours, theirs = bands(pyramid_of(foreground)), bands(pyramid_of(background))
    weights = pyramid_of(np.dstack([alpha] * 3))
    total: np.ndarray | None = None
    for one, other, weight in reversed(list(zip(ours, theirs, weights, strict=True))):
        band = weight * one + (1 - weight) * other
        total = band if total is None else band + grown(total, band)
    assert total is not None
    exact = mixed(total, background, np.minimum(4 * alpha, 1))
    assert np.abs(pyramid(foreground, background, alpha, levels=levels) - exact).max() < 0.51


@pytest.mark.parametrize(("sigma", "width"), [(0.0, 4.0), (1.0, 16.0), (0.7, 0.5), (3.0, 40.0)])
def test_frequency_blends_the_band_that_scipys_gaussians_leave(sigma: float, width: float) -> None:
    foreground, background, alpha = scene(61, 48)

    def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
        radius = int(np.ceil(3 * sigma))
        return np.asarray(
            ndimage.gaussian_filter(
                picture.astype(float), (sigma, sigma, 0), mode="mirror", radius=(radius, radius, 0)
            )
        )

    apart = foreground.astype(float) - background
    band = blurred(apart, sigma) - blurred(apart, sigma + width)
    exact = mixed(background + band, background, alpha)
    made = frequency(foreground, background, alpha, sigma=sigma, width=width)
    assert np.abs(made - exact).max() < 0.52


@pytest.mark.parametrize("name", sorted(NAMED["blend"]))
@pytest.mark.parametrize("seed", range(3))
def test_where_alpha_is_zero_the_background_keeps_its_bytes(name: str, seed: int) -> None:
    foreground, background, alpha = scene(61, 48, seed)
    foreground = np.where(foreground < 128, 0, 255).astype(np.uint8)  # the farthest to spread
    made = call("blend", name, foreground, background, alpha, seed=seed)
    outside = alpha == 0
    np.testing.assert_array_equal(made[outside], background[outside])
    assert (made[alpha == 1] != background[alpha == 1]).mean() > 0.5


@pytest.mark.parametrize("name", sorted(NAMED["blend"]))
def test_equal_pictures_give_that_picture_and_inputs_are_not_written_to(name: str) -> None:
    picture, other, alpha = scene(61, 48)
    for weight in (alpha, np.ones_like(alpha)):
        made = call("blend", name, picture, picture.copy(), weight)
        np.testing.assert_array_equal(made, picture)
    layers = (picture, other, alpha)
    before = [layer.copy() for layer in layers]
    call("blend", name, *layers)
    for layer, copy in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer, copy)


@pytest.mark.parametrize("name", sorted(NAMED["blend"]))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (3, 3), (5, 2)])
def test_a_tiny_box_is_blended(name: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    foreground, background = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    for seed, alpha in enumerate((np.zeros(size), np.ones(size), rng.random(size))):
        made = call("blend", name, foreground, background, alpha.astype(np.float32), seed=seed)
        assert (made.shape, made.dtype) == (background.shape, np.uint8)
        np.testing.assert_array_equal(made[alpha == 0], background[alpha == 0])
