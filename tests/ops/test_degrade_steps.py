"""Every step that a recipe can name changes values as its formula says, and no geometry."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter
from skimage.color import hsv2rgb, rgb2hsv
from skimage.exposure import adjust_gamma
from skimage.transform import downscale_local_mean

from faceblend.bank import FaceBank
from faceblend.face import Face, Image
from faceblend.ops import NAMED, Choice, Op, Seed, Span, degrade
from faceblend.recipe import Recipe, build, load_recipe
from faceblend.sample import replay, sample

STEPS = NAMED["degrade"]
NEUTRAL: dict[str, dict[str, Any]] = {
    "noise": {"sigma": 0.0},
    "rgb-shift": {"red": 0.0, "green": 0.0, "blue": 0.0},
    "hsv-shift": {"hue": 0.0, "saturation": 0.0, "value": 0.0},
    "brightness-contrast": {"brightness": 0.0, "contrast": 0.0},
    "down-up": {"times": 1.0, "down": "bicubic", "up": "lanczos"},
    "sharpen": {"amount": 0.0, "sigma": 1.0},
    "shot-noise": {"full": 1e9},
    "gamma": {"exponent": 1.0},
    "blur": {"sigma": 0.0},
    "motion-blur": {"length": 0.0, "angle": 30.0},
    "median": {"width": 1},
}
"""Options with which a step changes nothing."""


def ends(step: Op, *, utmost: bool = False) -> Iterator[dict[str, Any]]:
    """The least and the most of all that is drawn by default, or of all that a recipe may ask.

    With every combination of words.
    """
    words = {k: one.words for k, one in step.options.items() if isinstance(one, Choice)}
    for end, chosen in product((0, -1), product(*words.values())):
        options: dict[str, Any] = dict(zip(words, chosen, strict=True))
        for name, one in step.options.items():
            if isinstance(one, Span):
                limits = [one.least, one.most] if utmost else one.default()
                options[name] = limits[end]
            elif isinstance(one, Seed):
                options[name] = np.random.default_rng(3)
        yield options


def spread(seed: int, height: int, width: int) -> Image:
    """Colours of every kind beside each other."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return levels.astype(np.uint8)


def blob(height: int, width: int) -> Image:
    """A wide bump amid grey, a little off the middle."""
    y, x = np.indices((height, width))
    away = (y - 0.45 * height) ** 2 + (x - 0.55 * width) ** 2
    bump = 60 + 140 * np.exp(-away / (2 * (min(height, width) / 10) ** 2))
    return np.repeat(np.rint(bump)[..., None], 3, axis=2).astype(np.uint8)


def centroid(image: Image) -> np.ndarray:
    """``(row, column)`` of the bump's weight, above what surrounds it."""
    grey = image.astype(float).mean(axis=2)
    weight = np.clip(grey - grey.min() - (grey.max() - grey.min()) / 4, 0, None)
    rows, columns = np.indices(grey.shape)
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize(("height", "width"), [(257, 255), (8, 8), (1, 3)])
def test_a_step_keeps_shape_and_input_and_repeats_itself(
    name: str, height: int, width: int
) -> None:
    image = spread(0, height, width)
    before = image.copy()
    for first, again in zip(ends(STEPS[name]), ends(STEPS[name]), strict=True):
        made = STEPS[name](image, **first)
        assert made.shape == image.shape
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, STEPS[name](image, **again))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize(("height", "width"), [(9, 8), (2, 1)])
def test_a_step_can_do_the_utmost_that_a_recipe_may_ask(
    name: str, height: int, width: int
) -> None:
    image = spread(0, height, width)
    for options in ends(STEPS[name], utmost=True):
        made = STEPS[name](image, **options)
        assert made.shape == image.shape, options
        assert made.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_neutral_options_change_nothing(name: str, faces: list[Face]) -> None:
    options = dict(NEUTRAL[name])
    if "rng" in STEPS[name].options:
        options["rng"] = np.random.default_rng(0)
    for image in (spread(1, 257, 255), faces[0].image):
        np.testing.assert_array_equal(STEPS[name](image, **options), image)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_no_step_moves_the_picture(name: str) -> None:
    image = blob(255, 257)
    for options in ends(STEPS[name]):
        # of CRF 36 no more is left than squares of 32 px, whose steps weigh
        most = 0.3 if "crf" in options else 0.1
        if options.get("down") == "nearest":
            most = 0.6  # twice smaller: no pixel stands in the middle of two
        moved = np.abs(centroid(STEPS[name](image, **options)) - centroid(image))
        assert moved.max() < most, (options, moved)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_black_and_white_never_wrap_around(name: str) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    for options in ends(STEPS[name]):
        made = STEPS[name](image, **options)
        assert made[:, :24].max() < 100, options
        assert made[:, 40:].min() > 100, options


@pytest.mark.parametrize("field", ["degrade", "prepare.steps"])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_recipe_can_name_it_and_its_record_replays(
    name: str, field: str, bank: FaceBank
) -> None:
    step = {"ops": {name: 1}, "probability": 1.0}
    recipe = load_recipe("bi", {field: [step], "fake_share": 1.0})
    made = sample(bank, recipe, 0, 1)
    plain = sample(bank, load_recipe("bi", {"fake_share": 1.0}), 0, 1)
    assert not np.array_equal(made.image, plain.image)
    assert f'"name":"{name}"' in made.record
    again = replay(made.record, bank)
    np.testing.assert_array_equal(again.image, made.image)
    built = build(Recipe, recipe.to_dict(), "again")
    np.testing.assert_array_equal(sample(bank, built, 0, 1).image, made.image)


def test_rgb_shift_adds_to_each_channel_and_clips() -> None:
    image = spread(2, 40, 30)
    made = degrade.rgb_shift(image, red=12.6, green=-30.0, blue=200.0)
    wanted = np.clip(np.rint(image + np.array([12.6, -30, 200])), 0, 255)
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(("brightness", "contrast"), [(0.1, -0.1), (-0.07, 0.083), (1, -1)])
def test_brightness_contrast_is_its_formula(brightness: float, contrast: float) -> None:
    image = spread(3, 40, 30)
    made = degrade.brightness_contrast(image, brightness=brightness, contrast=contrast)
    wanted = (1 + contrast) * image.astype(float) + brightness * 255
    np.testing.assert_array_equal(made, np.clip(np.rint(wanted), 0, 255))


@pytest.mark.parametrize(
    ("hue", "saturation", "value"),
    [(0.3, 0, 0), (-0.3, 0.2, -0.1), (0, -1, 0), (1, 0.05, 0.3), (-0.02, -0.01, 0.3)],
)
def test_hsv_shift_is_that_of_scikit_image(hue: float, saturation: float, value: float) -> None:
    image = spread(4, 200, 200)
    hsv = rgb2hsv(image) + np.array([hue, saturation, value])
    hsv[..., 0] %= 1
    wanted = 255 * hsv2rgb(np.clip(hsv, 0, 1))
    made = degrade.hsv_shift(image, hue=hue, saturation=saturation, value=value)
    # float32 of it: a value beside .5 may round the other way
    assert np.abs(made - wanted).max() < 0.502


def kernel_matrix(small: int, big: int, weigh: Any, reach: int) -> np.ndarray:
    """(small, big) or (big, small): interpolation by a kernel, pixel centres matched."""

    def matrix(new: int, old: int) -> np.ndarray:
        made = np.zeros((new, old))
        for row in range(new):
            place = (row + 0.5) * old / new - 0.5
            taps = np.arange(int(np.floor(place)) - reach + 1, int(np.floor(place)) + reach + 1)
            weights = np.array([weigh(tap - place) for tap in taps])
            # beyond the border the last pixel goes on
            np.add.at(made[row], np.clip(taps, 0, old - 1), weights / weights.sum())
        return made

    return matrix(small, big)


def cubic(x: float) -> float:
    """Keys, *Cubic convolution interpolation*, 1981, with OpenCV's a = -0.75."""
    a, x = -0.75, abs(x)
    if x <= 1:
        return float((a + 2) * x**3 - (a + 3) * x**2 + 1)
    return float(a * (x**3 - 5 * x**2 + 8 * x - 4)) if x < 2 else 0.0


def lanczos(x: float) -> float:
    """Four lobes of ``sinc(x) sinc(x / 4)``."""
    return float(np.sinc(x) * np.sinc(x / 4)) if abs(x) < 4 else 0.0


def triangle(x: float) -> float:
    return max(1 - abs(x), 0.0)


KERNELS = {"bilinear": (triangle, 1), "bicubic": (cubic, 2), "lanczos": (lanczos, 4)}


@pytest.mark.parametrize("up", sorted(KERNELS))
@pytest.mark.parametrize("down", sorted(KERNELS))
def test_down_up_is_two_interpolations_clipped_once(down: str, up: str) -> None:
    image = spread(5, 61, 50)  # so wild that bicubic and Lanczos overshoot
    height, width = round(61 / 2.3), round(50 / 2.3)
    planes = image.astype(float).transpose(2, 0, 1)
    small = (
        kernel_matrix(height, 61, *KERNELS[down])
        @ planes
        @ kernel_matrix(width, 50, *KERNELS[down]).T
    )
    wanted = (
        kernel_matrix(61, height, *KERNELS[up]) @ small @ kernel_matrix(50, width, *KERNELS[up]).T
    )
    if "bilinear" not in (down, up):
        assert wanted.min() < -5
        assert wanted.max() > 260
    made = degrade.down_up(image, times=2.3, down=down, up=up).transpose(2, 0, 1)
    # OpenCV's weights of Lanczos and cubic are float32
    assert np.abs(made - np.clip(wanted, 0, 255)).max() < 0.51


def test_area_takes_means_and_bilinear_grows_as_pillow_does() -> None:
    image = spread(6, 60, 45)
    means = downscale_local_mean(image, (3, 3, 1)).astype(np.float32)
    wanted = np.dstack(
        [
            np.asarray(Pillow.fromarray(plane).resize((45, 60), Pillow.Resampling.BILINEAR))
            for plane in np.ascontiguousarray(means.transpose(2, 0, 1))
        ]
    )
    made = degrade.down_up(image, times=3.0, down="area", up="bilinear")
    assert np.abs(made - wanted).max() < 0.51


def test_nearest_takes_the_pixel_whose_square_holds_the_centre() -> None:
    image = spread(7, 63, 50)
    height, width = round(63 / 2.7), round(50 / 2.7)

    def nearest(new: int, old: int) -> np.ndarray:
        return ((np.arange(new) + 0.5) * old / new).astype(int)

    small = image[nearest(height, 63)][:, nearest(width, 50)]
    wanted = small[nearest(63, height)][:, nearest(50, width)]
    made = degrade.down_up(image, times=2.7, down="nearest", up="nearest")
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(("amount", "sigma"), [(0.5, 1.0), (2.0, 3.3)])
def test_sharpen_adds_what_scipys_gaussian_takes_away(
    amount: float, sigma: float, faces: list[Face]
) -> None:
    image = faces[0].image.astype(float)
    soft = gaussian_filter(image, (sigma, sigma, 0), mode="mirror")
    wanted = np.clip(image + amount * (image - soft), 0, 255)
    made = degrade.sharpen(faces[0].image, amount=amount, sigma=sigma)
    assert np.abs(made - wanted).max() < 0.52


@pytest.mark.parametrize("sigma", [0.5, 2.0, 7.7])
def test_blur_is_scipys_gaussian(sigma: float) -> None:
    image = spread(8, 70, 60)
    wanted = gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror")
    # both leave out what is beyond 4 sigma, to a whole pixel
    assert np.abs(degrade.blur(image, sigma=sigma) - wanted).max() < 0.52


@pytest.mark.parametrize(("length", "angle"), [(5.0, 0.0), (7.3, 30.0), (2.0, 135.0), (9, -80)])
def test_motion_blur_is_the_mean_along_a_line(length: float, angle: float) -> None:
    image = spread(9, 50, 61)
    rows, columns = np.indices((50, 61))
    turn = np.deg2rad(angle)
    pieces = round(16 * length)
    total = np.zeros(image.shape)
    for piece in range(pieces):
        along = ((piece + 0.5) / pieces - 0.5) * length
        place = [rows + along * np.sin(turn), columns + along * np.cos(turn)]
        for channel in range(3):
            read = map_coordinates(
                image[..., channel].astype(float), place, order=1, mode="mirror"
            )
            total[..., channel] += read / pieces
    made = degrade.motion_blur(image, length=length, angle=angle)
    assert np.abs(made - total).max() < 0.502


def test_motion_blur_turns_clockwise() -> None:
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    seen = degrade.motion_blur(point, length=9.0, angle=45.0)[..., 0]
    assert seen[7, 7] > 0  # left above to right below
    assert seen[13, 13] > 0
    assert seen[7, 13] == seen[13, 7] == 0


@pytest.mark.parametrize(("width", "side"), [(3, 3), (4, 5), (5, 5), (9, 9)])
def test_median_is_scipys(width: int, side: int) -> None:
    image = spread(10, 40, 31)
    wanted = median_filter(image, (side, side, 1), mode="nearest")
    np.testing.assert_array_equal(degrade.median(image, width=width), wanted)


@pytest.mark.parametrize("exponent", [0.4, 0.9, 1.7])
def test_gamma_is_that_of_scikit_image(exponent: float) -> None:
    image = spread(11, 40, 31)
    wanted = 255 * adjust_gamma(image / 255, exponent)
    np.testing.assert_array_equal(degrade.gamma(image, exponent=exponent), np.rint(wanted))


@pytest.mark.parametrize("level", [40, 128, 200])
def test_shot_noise_has_the_mean_and_variance_of_counted_photons(level: int) -> None:
    image = np.full((200, 200, 3), level, np.uint8)
    made = degrade.shot_noise(image, full=900.0, rng=np.random.default_rng(5)).astype(float)
    photons = np.random.default_rng(6).poisson(level * 900 / 255, image.shape)
    counted = np.rint(photons * 255 / 900)
    assert made.mean() == pytest.approx(level, abs=0.1)
    assert made.std() == pytest.approx(counted.std(), rel=0.02)


def test_no_noise_is_added_to_black() -> None:
    black = np.zeros((20, 20, 3), np.uint8)
    made = degrade.shot_noise(black, full=100.0, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(made, black)


def test_every_step_has_its_place_and_the_range_that_is_drawn_on_the_recipes_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    rows = dict(re.findall(r"^\|.*\| `([\w-]+)` \| ([^|]+?) \|", page.split("| step |")[1], re.M))
    assert set(STEPS) <= set(rows)
    for name, step in STEPS.items():
        for option, one in step.options.items():
            if isinstance(one, Seed):
                continue
            assert option in rows[name], (name, option)
            if isinstance(one, Span):
                low, high = (f"{end:g}".replace("0.", ".") for end in one.default())
                assert f"{low} to {high}" in rows[name], (name, option)
            elif option != "up":  # told in words
                assert set(one.words) <= set(re.findall(r"`([^`]+)`", rows[name]))
