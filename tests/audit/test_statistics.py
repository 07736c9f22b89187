"""Each statistic moves with the trace that it is for, and looks at its zone alone."""

import cv2
import numpy as np
import pytest

from faceblend.audit import statistics
from faceblend.audit.statistics import GROUPS, TILE, room, statistics_of
from faceblend.face import Image
from faceblend.ops.degrade import jpeg, resample

RINGS = TILE // 2 + 4
ZONE = np.zeros((256, 256), np.bool_)
ZONE[:, :96] = True


def scene(seed: int = 0) -> Image:
    """A picture with a natural spectrum, whose power falls with the square of the frequency."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]
    fall = 1 / np.maximum(np.hypot(y, x), 1 / 256)
    waves = np.fft.fft2(rng.normal(size=(256, 256, 3)), axes=(0, 1)) * fall[..., None]
    plane = np.fft.ifft2(waves, axes=(0, 1)).real
    plane = 128 + 40 * plane / plane.std() + rng.normal(0, 2, plane.shape)
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def grey_of(image: Image) -> np.ndarray:
    return (image.astype(np.float64) @ [0.299, 0.587, 0.114]).astype(np.float32)


def group(name: str, image: Image) -> np.ndarray:
    return GROUPS[name](image, grey_of(image), ZONE)


def test_all_numbers_are_finite_and_as_many_for_every_picture() -> None:
    flat = np.full((256, 256, 3), 90, np.uint8)
    shapes = []
    for image in (scene(), flat, jpeg(scene(1), 20)):
        values = statistics_of(image, ZONE)
        assert set(values) == set(GROUPS)
        assert all(np.isfinite(one).all() for one in values.values())
        shapes.append([one.shape for one in values.values()])
    assert shapes[0] == shapes[1] == shapes[2]


def test_what_lies_outside_the_zone_counts_for_nothing() -> None:
    image, other = scene(), scene()
    # beyond the widest filter: shrinking to 0.35 of the side and back looks 10 px far
    other[:, 96 + 24 :] = 255 - other[:, 96 + 24 :]
    one, two = statistics_of(image, ZONE), statistics_of(other, ZONE)
    for name in GROUPS:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_room_counts_the_tiles_that_fit_whole() -> None:
    fitting = sum(
        bool(ZONE[y : y + TILE, x : x + TILE].all())
        for y in range(0, 256 - TILE + 1, TILE // 2)
        for x in range(0, 256 - TILE + 1, TILE // 2)
    )
    assert room(ZONE) == fitting == 20 * 7
    narrow = np.zeros_like(ZONE)
    narrow[:, : TILE - 1] = True
    assert room(narrow) == 0


def test_the_spectrum_finds_a_wave_at_its_frequency() -> None:
    x = np.arange(256)
    wave = np.rint(128 + 60 * np.cos(2 * np.pi * x * 6 / TILE)).astype(np.uint8)
    image = np.repeat(np.tile(wave, (256, 1))[..., None], 3, 2)
    values = group("spectrum", image)
    rings, along = values[:RINGS], values[RINGS : RINGS + TILE // 2]
    # the first numbers are rings 1, 2, ...; then the frequencies across, 1, 2, ...
    assert np.argmax(rings) == np.argmax(along) == 6 - 1


@pytest.mark.parametrize("start", [0, 3])
def test_steps_at_the_block_grid_rise_with_jpeg_wherever_the_grid_starts(start: int) -> None:
    image = scene()
    found = []
    for quality in (95, 60, 30):
        coded = jpeg(np.roll(image, (start, start), (0, 1)), quality)
        found.append(group("blocks", np.roll(coded, (-start, -start), (0, 1)))[0])
    untouched = group("blocks", image)[0]
    assert untouched < 0.1
    assert untouched < found[0] < found[1] < found[2]
    # by hand: third differences across the grid's edge, over those at all places
    coded = grey_of(jpeg(image, 30))
    step = np.abs(np.diff(coded[:, :96].astype(np.float64), 3, axis=1))
    means = np.array([step[:, place::8].mean() for place in range(8)])
    values = group("blocks", jpeg(image, 30))
    np.testing.assert_allclose(values[:8], np.sort(np.log(means / means.mean()))[::-1], atol=1e-3)


def test_quantised_coefficients_vanish_and_gather() -> None:
    names = slice(4 * 8, None)
    plain, coded = group("blocks", scene())[names], group("blocks", jpeg(scene(), 40))[names]
    assert coded[1] > plain[1] + 0.1  # the place with most of them stands out


def test_residuals_have_the_moments_that_numpy_gives() -> None:
    image = scene()
    plane = grey_of(image).astype(np.float64)
    residual = (plane[:, :-2] - 2 * plane[:, 1:-1] + plane[:, 2:]) / 2
    inside = residual[:, :95]  # column 0 has no left neighbour
    values = group("noise", image)
    assert values[0] == pytest.approx(np.log(np.mean(inside**2)), abs=0.02)
    assert values[1] == pytest.approx(np.log(np.abs(inside).mean()), abs=0.02)
    across = np.mean(inside[:, :-1] * inside[:, 1:]) / np.mean(inside**2)
    assert values[4] == pytest.approx(across, abs=0.02)
    noisy = np.clip(image + np.random.default_rng(1).normal(0, 25, image.shape), 0, 255)
    assert group("noise", noisy.round().astype(np.uint8))[0] > values[0] + 1


@pytest.mark.parametrize("size", [150, 200])
def test_enlarging_leaves_a_period_and_what_neighbours_predict(size: int) -> None:
    image = scene()
    plain, grown = (
        group("resampling", image),
        group("resampling", resample(image, size, "bilinear")),
    )
    assert grown[1] > 2 * plain[1]  # its peaks over the median
    # the period of the second derivative is 256 / size pixels
    waves = np.fft.rfftfreq(254)
    waves = waves[len(waves) // 5 :]
    expected = min(size / 256, 1 - size / 256)
    assert waves[round(grown[2] * len(waves))] == pytest.approx(expected, abs=0.02)
    error = slice(25, 26)
    assert grown[error] < plain[error] - 1
    # and shrinking costs less than it did
    assert (grown[-2 * 5 :: 2] < plain[-2 * 5 :: 2]).all()


def test_sharpness_falls_with_blur_and_matches_its_formula() -> None:
    image = scene()
    plane = grey_of(image)
    inner = plane[1:-1, 1:-1]
    second = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner
    values = group("sharpness", image)
    assert values[2] == pytest.approx(np.log(np.mean(second[:, :95] ** 2)), abs=0.02)
    blurred = group("sharpness", cv2.GaussianBlur(image, (0, 0), 1.5))
    assert (blurred[:8] < values[:8]).all()


def test_colour_is_that_of_the_zone() -> None:
    image = scene()
    values = group("colour", image)
    inside = image[:, :96].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(values[:3], inside.mean(0))
    np.testing.assert_allclose(values[3:6], inside.std(0))
    np.testing.assert_allclose(values[14], np.corrcoef(inside.T)[0, 1], rtol=1e-5)
    assert values[6:14].sum() == pytest.approx(1)
    # JPEG halves the chroma, whose detail goes first
    coded = group("colour", jpeg(image, 90))
    assert (coded[-2:] < values[-2:] - 0.5).all()


def test_the_groups_are_the_six_of_the_docs() -> None:
    assert list(statistics.GROUPS) == [
        "spectrum", "blocks", "noise", "resampling", "sharpness", "colour",
    ]  # fmt: skip
