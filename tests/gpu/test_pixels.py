# ruff: noqa: E402 - without torch nothing below can be imported
"""Pixels blended and degraded on the device are those of the CPU; here on torch's CPU."""

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend.draw import noise
from faceblend.gpu import pixels
from faceblend.ops import NAMED, Seed
from faceblend.ops.mask import bounding_box
from tests.gpu.pictures import apart, ellipse, face, grain, picture, pictures, planes

ROWS, COLUMNS = 96, 112
IMAGES = [
    face(ROWS, COLUMNS, 1),
    picture(ROWS, COLUMNS, 2),
    grain(ROWS, COLUMNS, 3),
    face(ROWS, COLUMNS, 4),
]
OTHERS = [
    face(ROWS, COLUMNS, 5),
    face(ROWS, COLUMNS, 6),
    picture(ROWS, COLUMNS, 7),
    grain(ROWS, COLUMNS, 8),
]
ALPHAS = [
    cv2.GaussianBlur(ellipse(ROWS, COLUMNS, seed).astype(np.float32), (9, 9), 2 + seed)
    for seed in range(4)
]
ALPHAS[3][:] = np.linspace(0.1, 1, COLUMNS, dtype=np.float32)  # up to the border
WAYS: dict[str, list[dict[str, Any]]] = {
    "alpha": [{}] * 4,
    "poisson": [{}] * 4,
    "pyramid": [{"levels": levels} for levels in (1, 2, 5, 8)],
    "frequency": [
        {"sigma": sigma, "width": width}
        for sigma, width in ((0, 4.0), (1.0, 16.0), (0.37, 9.1), (2.5, 40.0))
    ],
}
# mean and worst difference, levels; where none is named no level differs
BLENDED = {"poisson": (0.005, 1), "pyramid": (0.0005, 1), "frequency": (0.0005, 1)}


@cache
def blended(name: str) -> tuple[np.ndarray, np.ndarray]:
    """What device and CPU make of them."""
    alphas = torch.from_numpy(np.stack(ALPHAS))
    made = pixels.blend(name, planes(*IMAGES), planes(*OTHERS), alphas, WAYS[name])
    wanted = np.stack(OTHERS)
    for image, *each, options in zip(wanted, IMAGES, OTHERS, ALPHAS, WAYS[name], strict=True):
        # the CPU blends the alpha's box alone
        box = bounding_box(each[2])
        image[box] = NAMED["blend"][name](*(one[box].copy() for one in each), **options)
    return pictures(made), wanted


@pytest.mark.parametrize("name", sorted(pixels.BLENDS))
def test_blends_are_those_of_the_cpu(name: str) -> None:
    mean, worst = apart(*blended(name))
    limits = BLENDED.get(name, (0, 0))
    assert mean <= limits[0]
    assert worst <= limits[1]


@pytest.mark.parametrize("name", sorted(pixels.BLENDS))
def test_a_blend_changes_nothing_where_alpha_is_0(name: str) -> None:
    made, _ = blended(name)
    for image, other, alpha in zip(made, OTHERS, ALPHAS, strict=True):
        np.testing.assert_array_equal(image[alpha == 0], other[alpha == 0])
        assert (image[alpha > 0] != other[alpha > 0]).any()


CHANGES: dict[str, list[dict[str, Any]]] = {
    "noise": [{"sigma": sigma, "rng": 11 * place} for place, sigma in enumerate((1.0, 3.7, 8, 0))],
    "shot-noise": [
        {"full": full, "rng": 7 * place} for place, full in enumerate((500.0, 1234.5, 5000.0, 90))
    ],
    "rgb-shift": [
        {"red": red, "green": green, "blue": blue}
        for red, green, blue in ((-20, 3.5, 20), (0.5, -0.5, 1.499999), (0, 0, 0), (90, -255, 7.2))
    ],
    "brightness-contrast": [
        {"brightness": brightness, "contrast": contrast}
        for brightness, contrast in ((-0.1, 0.1), (0.3, -0.3), (0, 0), (0.1, 0.25))
    ],
    "gamma": [{"exponent": exponent} for exponent in (0.7, 1, 1.4, 3.2)],
    "hsv-shift": [
        {"hue": hue, "saturation": saturation, "value": value}
        for hue, saturation, value in (
            (-0.3, 0.3, -0.3),
            (0.0016667, -0.0011765, 0.0011765),
            (0, 0, 0),
            (0.9, 0.1, 0.2),
        )
    ],
    "down-up": [
        {"times": times, "down": down, "up": up}
        for times, down, up in (
            (2, "nearest", "bilinear"),
            (4, "bilinear", "nearest"),
            (2.713, "area", "lanczos"),
            (3.3, "lanczos", "bicubic"),
        )
    ],
    "sharpen": [
        {"amount": amount, "sigma": sigma}
        for amount, sigma in ((0.2, 0.5), (4.5, 0.816), (0.5, 2.0), (1.0, 30.0))
    ],
    "blur": [{"sigma": sigma} for sigma in (0, 0.5, 1.37, 2.0)],
    "motion-blur": [
        {"length": length, "angle": angle}
        for length, angle in ((0, 20), (2.0, 0.0), (5.3, 33.0), (8.0, -71.0))
    ],
    "median": [{"width": width} for width in (1, 3, 4, 7)],
    "jpeg": [
        {"quality": quality, "sampling": sampling}
        for quality, sampling in ((60, "4:2:0"), (75, "4:4:4"), (100, "4:2:2"), (88, "4:2:0"))
    ],
}
# mean and worst difference, levels; where none is named no level differs
CHANGED = dict.fromkeys(("hsv-shift", "sharpen", "blur", "motion-blur"), (0.0005, 1))
CHANGED["down-up"] = (0.005, 1)


def changed(name: str) -> tuple[np.ndarray, np.ndarray]:
    """What device and CPU make of them."""
    operation = NAMED["degrade"][name]
    wanted = []
    for image, options in zip(IMAGES, CHANGES[name], strict=True):
        asked = {
            key: noise(value) if isinstance(operation.options[key], Seed) else value
            for key, value in options.items()
        }
        wanted.append(operation(image, **asked))
    return pictures(pixels.degrade(name, planes(*IMAGES), CHANGES[name])), np.stack(wanted)


@pytest.mark.parametrize("name", sorted(pixels.DEGRADES))
def test_changes_are_those_of_the_cpu(name: str) -> None:
    mean, worst = apart(*changed(name))
    limits = CHANGED.get(name, (0, 0))
    assert mean <= limits[0]
    assert worst <= limits[1]


@pytest.mark.parametrize("name", sorted(pixels.DEGRADES))
def test_pictures_do_change_and_those_given_stay(name: str) -> None:
    given = planes(*IMAGES)
    made = pixels.degrade(name, given, CHANGES[name])
    assert torch.equal(given, planes(*IMAGES))
    assert (made - given).abs().mean() > 0.5


def test_the_device_knows_names_of_the_cpu_alone() -> None:
    assert not pixels.BLENDS - set(NAMED["blend"])
    assert not pixels.DEGRADES - set(NAMED["degrade"])


def test_medians_are_found_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels.degrade("median", planes(*IMAGES), CHANGES["median"])
    monkeypatch.setattr(pixels, "_AT_ONCE", 2**16)
    assert torch.equal(pixels.degrade("median", planes(*IMAGES), CHANGES["median"]), whole)


def test_a_blur_wider_than_the_picture_is_mirrored_again_and_again() -> None:
    small = face(12, 17)
    made = pixels.degrade("blur", planes(small), [{"sigma": 9.0}])
    assert apart(pictures(made), NAMED["degrade"]["blur"](small, sigma=9.0)[np.newaxis])[1] <= 1
