# ruff: noqa: E402 - without torch nothing below can be imported
"""The device's JPEG is libjpeg-turbo's, level for level; here on torch's CPU."""

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend.face import Image
from faceblend.gpu import jpeg
from faceblend.ops import degrade
from tests.gpu.pictures import black_and_white, grain, picture, pictures, planes

QUALITIES = [1, 7, 24, 49, 50, 63, 75, 90, 97, 100]


@pytest.mark.parametrize("made", [picture, grain, black_and_white])
@pytest.mark.parametrize("sampling", degrade.SAMPLING)
@pytest.mark.parametrize("shape", [(96, 112), (97, 111), (21, 9), (5, 4), (1, 1)])
def test_no_level_differs(
    made: Callable[[int, int], Image], sampling: str, shape: tuple[int, int]
) -> None:
    image = made(*shape)
    coded = jpeg.jpeg(planes(*[image] * len(QUALITIES)), torch.tensor(QUALITIES), sampling)
    wanted = [degrade.jpeg(image, quality, sampling) for quality in QUALITIES]
    np.testing.assert_array_equal(pictures(coded), np.stack(wanted))


def test_every_sample_has_its_own_picture_and_quality() -> None:
    images = [picture(48, 64, seed) for seed in range(3)]
    coded = jpeg.jpeg(planes(*images), torch.tensor([30, 95, 60]))
    wanted = [degrade.jpeg(*one) for one in zip(images, (30, 95, 60), strict=True)]
    np.testing.assert_array_equal(pictures(coded), np.stack(wanted))


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(60, 90), slice(30, 95)),
        (slice(0, 17), slice(1, 33)),
        (slice(70, 101), slice(64, 113)),
    ],
)
def test_a_window_is_cut_out_of_the_whole(rows: slice, columns: slice) -> None:
    image = picture(101, 113)
    levels = planes(image, image)
    cut = jpeg.window(levels, torch.tensor([60, 88]), rows, columns)
    wanted = [degrade.jpeg_window(image, quality, rows, columns) for quality in (60, 88)]
    np.testing.assert_array_equal(pictures(cut), np.stack(wanted))


def test_the_pictures_given_stay_as_they_are() -> None:
    given = planes(picture(32, 32))
    before = given.clone()
    jpeg.jpeg(given, torch.tensor([50]), "4:4:4")
    assert torch.equal(given, before)


def test_samplings_are_those_of_the_cpu() -> None:
    assert set(jpeg.HALVED) == set(degrade.SAMPLING)
