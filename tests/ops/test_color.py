"""Colours come out with the background's statistics, measured independently."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from faceblend.face import Image, Mask
from faceblend.ops import NAMED, color
from tests.default_options import call


def picture(seed: int, centre: tuple[int, int, int], spread: float) -> Image:
    rng = np.random.default_rng(seed)
    levels = rng.normal(centre, spread, (60, 50, 3))
    return np.clip(levels, 0, 255).round().astype(np.uint8)


FOREGROUND = picture(0, (130, 110, 120), 10)
BACKGROUND = picture(1, (150, 120, 100), 18)
MASK: Mask = np.zeros((60, 50), bool)
MASK[10:50, 10:40] = True


def test_none_leaves_the_foreground_alone() -> None:
    np.testing.assert_array_equal(color.none(FOREGROUND, BACKGROUND, MASK), FOREGROUND)


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
def test_a_single_pixel_keeps_its_shape(name: str) -> None:
    pixel = np.full((1, 1, 3), 90, np.uint8)
    matched = call("color", name, pixel, pixel, np.ones((1, 1), np.bool_))
    np.testing.assert_allclose(matched, pixel, atol=1)


def test_mean_brings_each_channel_to_the_backgrounds_mean_and_keeps_its_contrast() -> None:
    moved = color.mean(FOREGROUND, BACKGROUND, MASK)
    np.testing.assert_allclose(moved[MASK].mean(0), BACKGROUND[MASK].mean(0), atol=0.5)
    np.testing.assert_allclose(moved[MASK].std(0), FOREGROUND[MASK].std(0), atol=0.1)


def test_mean_std_matches_both() -> None:
    moved = color.mean_std(FOREGROUND, BACKGROUND, MASK)
    np.testing.assert_allclose(moved[MASK].mean(0), BACKGROUND[MASK].mean(0), atol=0.5)
    np.testing.assert_allclose(moved[MASK].std(0), BACKGROUND[MASK].std(0), atol=0.3)


def test_lab_matches_both_in_lab_as_scikit_image_measures_it() -> None:
    moved = rgb2lab(color.lab(FOREGROUND, BACKGROUND, MASK))[MASK]
    wanted = rgb2lab(BACKGROUND)[MASK]
    np.testing.assert_allclose(moved.mean(0), wanted.mean(0), atol=0.3)
    np.testing.assert_allclose(moved.std(0), wanted.std(0), atol=0.3)


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
def test_matching_a_picture_to_itself_changes_it_by_a_level_at_most(name: str) -> None:
    moved = call("color", name, FOREGROUND, FOREGROUND, MASK).astype(int)
    assert np.abs(moved - FOREGROUND).max() <= 1
    assert abs((moved - FOREGROUND).mean()) < 0.02  # no bias: rounded, never truncated


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
def test_only_what_the_mask_covers_counts(name: str) -> None:
    other = BACKGROUND.copy()
    other[~MASK] = 255
    np.testing.assert_array_equal(
        call("color", name, FOREGROUND, other, MASK),
        call("color", name, FOREGROUND, BACKGROUND, MASK),
    )


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
def test_a_flat_foreground_is_shifted_and_not_torn_apart(name: str) -> None:
    flat = np.full_like(FOREGROUND, 128)
    moved = call("color", name, flat, BACKGROUND, MASK)
    assert np.ptp(moved, axis=(0, 1)).max() == 0
    if name != "none":
        np.testing.assert_allclose(moved[0, 0], BACKGROUND[MASK].mean(0), atol=4)


@pytest.mark.parametrize("name", sorted(NAMED["color"]))
def test_the_inputs_are_not_written_to(name: str) -> None:
    foreground, background = FOREGROUND.copy(), BACKGROUND.copy()
    call("color", name, foreground, background, MASK)
    np.testing.assert_array_equal(foreground, FOREGROUND)
    np.testing.assert_array_equal(background, BACKGROUND)
