"""Pictures get worse as they are told to: colours stay, sizes stay, more is worse."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from faceblend.face import Image
from tests.conftest import drawn_face
from xray_train.degradations import DEGRADATIONS, h264, resized

RISING = {
    "jpeg": (95, 75, 50, 20, 5),
    "h264": (10, 18, 23, 30, 40, 51),
    "blur": (0.5, 1, 2, 4),
    "noise": (1, 3, 10, 30),
    "resize": (0.75, 0.5, 0.25, 0.1),
}
"""Of each way from mild to hard."""


def psnr(one: Image, other: Image) -> float:
    return float(cv2.PSNR(one, other))


def worse(name: str, image: Image, value: float) -> Image:
    return DEGRADATIONS[name].apply(image, value, np.random.default_rng(0))


def test_every_way_is_tested_here() -> None:
    assert set(RISING) == set(DEGRADATIONS)


@pytest.mark.parametrize("name", list(RISING))
@pytest.mark.parametrize("shape", [(256, 256), (97, 130), (64, 33)])
def test_more_is_worse_and_the_picture_stays_whole(name: str, shape: tuple[int, int]) -> None:
    image = np.ascontiguousarray(drawn_face(1)[0][: shape[0], : shape[1]])
    before = image.copy()
    levels = []
    for value in RISING[name]:
        made = worse(name, image, value)
        assert made.shape == image.shape
        assert made.dtype == np.uint8
        levels.append(psnr(image, made))
    assert np.array_equal(image, before)
    assert all(mild > hard + 0.1 for mild, hard in pairwise(levels)), levels


@pytest.mark.parametrize("name", list(RISING))
def test_the_mildest_is_nearly_the_picture_itself(name: str) -> None:
    """Of a smooth picture, for 4:2:0 alone takes fine colours away."""
    mildest = {"jpeg": 100, "h264": 1, "blur": 0.1, "noise": 0, "resize": 1}
    image = cv2.GaussianBlur(drawn_face(2)[0], (0, 0), 3)
    made = worse(name, image, mildest[name])
    # measured: 42.6 dB of h264, 50.1 of jpeg; the rest change no pixel
    assert psnr(image, made) > 41
    assert abs(made.astype(float).mean() - image.mean()) < 0.5


@pytest.mark.parametrize("name", ["jpeg", "h264", "resize", "blur"])
@pytest.mark.parametrize("colour", [(230, 20, 30), (20, 40, 220), (30, 200, 40)])
def test_colours_keep_their_order(name: str, colour: tuple[int, int, int]) -> None:
    """An encoder that took RGB for BGR, or another matrix back, would tint a plain patch."""
    patch = np.full((64, 64, 3), colour, np.uint8)
    mild = {"jpeg": 90, "h264": 18, "resize": 0.5, "blur": 1.0}[name]
    assert np.abs(worse(name, patch, mild).astype(int) - patch).max() <= 4


def test_h264_is_the_same_each_time() -> None:
    image = drawn_face(3)[0]
    assert np.array_equal(h264(image, 28), h264(image, 28))


def test_shrinking_does_not_shift_or_alias() -> None:
    ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[np.newaxis], 128, 0)
    ramp = np.repeat(ramp[..., np.newaxis], 3, 2)
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(resized(ramp, 0.25).astype(int) - ramp)[inside].max() <= 2
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    grey = resized(np.repeat(board[..., np.newaxis], 3, 2), 0.25)[inside]
    assert 110 < grey.min() <= grey.max() < 145


def test_noise_grows_and_keeps_its_pattern() -> None:
    """Two strengths of one item differ by a factor alone: curves are not noise of the noise."""
    flat = np.full((64, 64, 3), 128, np.uint8)
    weak, strong = (worse("noise", flat, sigma).astype(float) - 128 for sigma in (5, 10))
    assert abs(strong.std() - 10) < 0.3
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.99
