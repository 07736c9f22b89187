"""Values change by what was asked for, and nothing else does."""

import colorsys

import numpy as np
import pytest

from xray_train import photometric as change


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(60, 190, (24, 32, 3), dtype=np.uint8)


def test_brightness_and_contrast_are_a_straight_line(image: np.ndarray) -> None:
    got = change.brightness_contrast(image, 1.5, -20.0)
    assert np.array_equal(got, np.rint(np.clip(image * 1.5 - 20, 0, 255)).astype(np.uint8))


def test_hue_turns_as_in_colorsys() -> None:
    red = np.full((2, 2, 3), (200, 40, 40), np.uint8)
    hue, saturation, value = colorsys.rgb_to_hsv(*(red[0, 0] / 255))
    want = np.array(colorsys.hsv_to_rgb(hue + 30 / 180, saturation, value)) * 255
    assert np.abs(change.shift_hsv(red, 30, 0, 0)[0, 0] - want).max() <= 2
    back = change.shift_hsv(change.shift_hsv(red, -10, 0, 0), 10, 0, 0)
    assert np.abs(back.astype(int) - red).max() <= 3  # once around zero


def test_saturation_and_value_are_added(image: np.ndarray) -> None:
    assert change.shift_hsv(image, 0, 0, 25).max(-1).mean() == pytest.approx(
        image.max(-1).mean() + 25, abs=0.5
    )
    grey = change.shift_hsv(image, 0, -255, 0)
    assert np.ptp(grey, axis=-1).max() <= 1


def test_gaussian_noise_has_the_sigma_that_was_asked_for() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    got = change.gaussian_noise(flat, 6.0, np.random.default_rng(1)).astype(float)
    assert got.std() == pytest.approx(6.0, rel=0.02)
    assert got.mean() == pytest.approx(128, abs=0.1)
    assert np.corrcoef(got[..., 0].ravel(), got[..., 1].ravel())[0, 1] < 0.02


def test_camera_noise_is_luminance_and_hue(image: np.ndarray) -> None:
    strong = change.iso_noise(image, 0.5, 0.05, np.random.default_rng(1)).astype(float)
    weak = change.iso_noise(image, 0.1, 0.01, np.random.default_rng(1)).astype(float)
    assert np.abs(strong - image).mean() > 2 * np.abs(weak - image).mean() > 0
    flat = np.full((100, 100, 3), (120, 120, 120), np.uint8)
    lit = change.iso_noise(flat, 0.5, 0.05, np.random.default_rng(1))
    assert np.ptp(lit, axis=-1).max() <= 1  # grey has no hue to turn


def test_noise_is_the_generators(image: np.ndarray) -> None:
    for noise in (change.gaussian_noise, lambda *a: change.iso_noise(a[0], 0.3, 0.02, a[2])):
        one, same, other = (noise(image, 5.0, np.random.default_rng(s)) for s in (1, 1, 2))
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


def test_filters_at_no_amount_change_nothing(image: np.ndarray) -> None:
    for filtered in (change.sharpen, change.emboss, change.sepia):
        assert np.array_equal(filtered(image, 0.0), image)
        assert not np.array_equal(filtered(image, 0.5), image)


def test_sharpening_adds_the_laplacian(image: np.ndarray) -> None:
    values = image.astype(float)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    want = np.clip(values[1:-1, 1:-1] + 0.5 * (4 * values[1:-1, 1:-1] - around), 0, 255)
    assert np.abs(change.sharpen(image, 0.5)[1:-1, 1:-1] - want).max() <= 1


def test_blur_smooths_by_its_sigma() -> None:
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    got = change.blur(np.asarray(np.repeat(np.repeat(dot, 1, 0), 1, 1)), 2.0).astype(float)[..., 0]
    rows = np.arange(41) - 20
    spread = np.sqrt((got.sum(1) * rows**2).sum() / got.sum())
    assert spread == pytest.approx(2.0, abs=0.4)


def test_downscaling_keeps_the_size_and_loses_detail(image: np.ndarray) -> None:
    for smooth in (True, False):
        got = change.downscale(image, 0.5, smooth=smooth)
        assert got.shape == image.shape
        assert (
            np.abs(np.diff(got.astype(int), axis=1)).mean()
            < np.abs(np.diff(image.astype(int), axis=1)).mean()
        )
    assert np.array_equal(change.downscale(image, 1.0), image)
