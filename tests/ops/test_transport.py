"""Whole distributions of colours come out as the background's, by references of others."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from skimage.exposure import match_histograms

from faceblend.face import Image, Mask
from faceblend.ops import NAMED, transport
from tests.default_options import call

OURS = ["mkl", "histogram", "idt", "sot"]


def picture(seed: int, centre: tuple[int, int, int], spread: float) -> Image:
    """Correlated channels, as those of skin are."""
    rng = np.random.default_rng(seed)
    light = rng.normal(0, spread, (60, 50, 1))
    levels = np.array(centre) + light + rng.normal(0, spread / 2, (60, 50, 3))
    return np.clip(levels, 0, 255).round().astype(np.uint8)


FOREGROUND = picture(0, (130, 110, 120), 8)
BACKGROUND = picture(1, (150, 120, 100), 16)[:, ::-1, [2, 0, 1]]
MASK: Mask = np.zeros((60, 50), bool)
MASK[10:50, 10:40] = True


def sliced(one: np.ndarray, other: np.ndarray) -> float:
    """Sliced Wasserstein-2 distance of as many points, over 64 directions, levels."""
    axes = np.random.default_rng(7).normal(size=(3, 64))
    axes /= np.linalg.norm(axes, axis=0)
    apart = np.sort(one.astype(float) @ axes, axis=0) - np.sort(other.astype(float) @ axes, axis=0)
    return float(np.sqrt((apart**2).mean()))


def skewed() -> tuple[Image, Image]:
    """Colours that no mean and covariance tell: a mixture of two on the background's side."""
    left = picture(2, (90, 60, 60), 6)
    right = picture(3, (190, 170, 120), 12)
    seen = np.random.default_rng(4).random((60, 50, 1)) < 0.3
    return picture(5, (140, 120, 110), 10), np.where(seen, left, right)


# -- the linear map ------------------------------------------------------------------


def test_mkl_is_the_published_map_with_scipys_roots_of_matrices() -> None:
    own = np.cov(FOREGROUND[MASK].T.astype(float), bias=True)
    other = np.cov(BACKGROUND[MASK].T.astype(float), bias=True)
    root = sqrtm(own)
    back = np.linalg.inv(root)
    gain = (back @ sqrtm(root @ other @ root) @ back).real
    centred = FOREGROUND - FOREGROUND[MASK].mean(axis=0)
    exact = np.clip(centred @ gain.T + BACKGROUND[MASK].mean(axis=0), 0, 255)
    moved = transport.mkl(FOREGROUND, BACKGROUND, MASK)
    assert np.abs(moved - exact).max() < 0.501  # outside the mask, too


def test_mkl_gives_the_backgrounds_mean_and_covariance() -> None:
    moved = transport.mkl(FOREGROUND, BACKGROUND, MASK)
    np.testing.assert_allclose(moved[MASK].mean(0), BACKGROUND[MASK].mean(0), atol=0.2)
    wanted = np.cov(BACKGROUND[MASK].T.astype(float))
    # rounding adds a twelfth to a variance
    np.testing.assert_allclose(np.cov(moved[MASK].T.astype(float)), wanted, atol=2)


def test_mkl_shifts_a_direction_without_contrast_and_stretches_the_others() -> None:
    foreground = FOREGROUND.copy()
    foreground[..., 2] = 77
    moved = transport.mkl(foreground, BACKGROUND, MASK)
    np.testing.assert_allclose(moved[MASK].mean(0), BACKGROUND[MASK].mean(0), atol=0.2)
    wanted = np.cov(BACKGROUND[MASK][:, :2].T.astype(float))
    np.testing.assert_allclose(np.cov(moved[MASK][:, :2].T.astype(float)), wanted, atol=2)
    assert np.ptp(moved[..., 2]) == 0


# -- histograms ----------------------------------------------------------------------


def test_histogram_agrees_with_scikit_image_to_half_a_step() -> None:
    # scikit-image meets the ends of the steps, ours their middles: half of the widest step
    moved = transport.histogram(FOREGROUND, BACKGROUND, MASK)[MASK].astype(float)
    theirs = match_histograms(FOREGROUND[MASK], BACKGROUND[MASK], channel_axis=-1).astype(float)
    assert np.abs(moved - theirs).mean() < 1
    own, their = (np.abs(quantiles(one) - quantiles(BACKGROUND[MASK])) for one in (moved, theirs))
    assert own.mean() < 0.6
    assert own.mean() <= their.mean()


def quantiles(pixels: np.ndarray) -> np.ndarray:
    return np.quantile(pixels, np.linspace(0.02, 0.98, 49), axis=0)


def test_histogram_keeps_the_order_of_levels_and_equal_ones_equal() -> None:
    moved = transport.histogram(FOREGROUND, BACKGROUND, MASK)
    for channel in range(3):
        levels, goes = FOREGROUND[..., channel][MASK], moved[..., channel][MASK].astype(int)
        order = np.argsort(levels)
        assert (np.diff(goes[order]) >= 0).all()
        for level in np.unique(levels):
            assert np.ptp(goes[levels == level]) == 0


# -- iterated ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [
        ("idt", {"iterations": 10}, 0.05),
        ("sot", {"steps": 10, "batch": 4, "smooth": 0.0}, 0.2),
        ("sot", {"steps": 40, "batch": 4, "smooth": 0.0}, 0.05),
    ],
)
def test_iterations_bring_the_sliced_wasserstein_distance_near_zero(
    name: str, options: dict[str, float], share: float
) -> None:
    foreground, background = skewed()
    goal, rng = background[MASK], np.random.default_rng(0)
    moved = NAMED["color"][name](foreground, background, MASK, **options, rng=rng)
    after = sliced(moved[MASK], goal)
    assert after < share * sliced(foreground[MASK], goal)
    assert after < 0.5 * sliced(transport.mkl(foreground, background, MASK)[MASK], goal)


def test_smoothing_takes_the_grain_out_of_the_displacement() -> None:
    foreground, background = skewed()

    def moved(smooth: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        made = transport.sot(
            foreground, background, MASK, steps=10, batch=4, smooth=smooth, rng=rng
        )
        return (made - foreground.astype(float))[15:45, 15:35]

    def grain(shift: np.ndarray) -> float:
        return float(np.abs(np.diff(shift, axis=1)).mean())

    assert grain(moved(2.0)) < 0.2 * grain(moved(0.0))


@pytest.mark.parametrize("name", ["idt", "sot"])
def test_equal_generators_give_equal_pictures_and_others_do_not(name: str) -> None:
    foreground, background = skewed()
    one, same, other = (
        call("color", name, foreground, background, MASK, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


# -- all -----------------------------------------------------------------------------

ONE_PIXEL = np.zeros_like(MASK)
ONE_PIXEL[30, 20] = True
FLAT = np.full_like(FOREGROUND, (20, 128, 250))


def left(name: str, way: int) -> float:
    """How much of a shift by ``way`` levels may be missing, levels."""
    # ten steps of sot go (2/3)^10 short on average: one along a line does not reach a point
    return 1 + 0.06 * way if name == "sot" else 0


@pytest.mark.parametrize("name", OURS)
def test_a_mask_of_one_pixel_takes_that_pixel_to_the_backgrounds(name: str) -> None:
    for foreground in (FLAT, FOREGROUND):
        moved = call("color", name, foreground, BACKGROUND, ONE_PIXEL)
        assert moved.shape == foreground.shape
        way = np.abs(foreground[30, 20].astype(int) - BACKGROUND[30, 20]).max()
        assert np.abs(moved[30, 20].astype(int) - BACKGROUND[30, 20]).max() <= left(name, way)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_background_takes_all_colours_to_its_own(name: str, level: int) -> None:
    flat = np.full_like(FOREGROUND, level)
    moved = call("color", name, FLAT, flat, MASK)
    assert np.abs(moved.astype(int) - level).max() <= left(name, 255)
    moved = call("color", name, FOREGROUND, flat, MASK)[MASK]
    # the grain that sot keeps is clipped at black and white, which the mean shows
    assert np.abs(moved.mean(axis=0) - level).max() <= left(name, 255)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("same", [FOREGROUND, FLAT], ids=["grain", "flat"])
def test_a_picture_that_has_the_colours_already_stays_within_a_level(
    name: str, same: Image
) -> None:
    for mask in (MASK, ONE_PIXEL, np.ones_like(MASK)):
        moved = call("color", name, same, same, mask).astype(int)
        assert np.abs(moved - same).max() <= 1


@pytest.mark.parametrize("name", OURS)
def test_clipped_extremes_do_not_wrap_around(name: str) -> None:
    rng = np.random.default_rng(9)
    dark = (rng.random((60, 50, 3)) < 0.5).astype(np.uint8)
    light = np.where(rng.random((60, 50, 3)) < 0.5, 255, 254).astype(np.uint8)
    short = left(name, 255)
    assert call("color", name, dark, light, MASK).min() >= 254 - short
    assert call("color", name, light, dark, MASK).max() <= 1 + short
