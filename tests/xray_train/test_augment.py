"""A jitter moves picture and X-ray together, and changes the picture's colours alone."""

from dataclasses import replace

import numpy as np
import pytest

from xray_train.augment.jitter import Jitter, draw_jitter, jittered

STILL = Jitter(
    turn=0.0, scale=1.0, shift=(0.0, 0.0), gamma=1.0, saturation=1.0, gains=np.ones(3), offset=0.0
)


@pytest.fixture
def noise() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (64, 64, 3)).astype(np.uint8),
        rng.integers(0, 256, (64, 64)).astype(np.uint8),
    )


def test_no_change_changes_nothing(noise: tuple[np.ndarray, np.ndarray]) -> None:
    image, xray = jittered(*noise, STILL)
    np.testing.assert_array_equal(image, noise[0])
    np.testing.assert_array_equal(xray, noise[1])


@pytest.mark.parametrize(
    "change", [{"turn": 8.0}, {"scale": 1.15}, {"scale": 0.9}, {"shift": (0.05, -0.04)}]
)
def test_the_xray_moves_with_its_picture(change: dict[str, object]) -> None:
    xray = np.zeros((64, 64), np.uint8)
    xray[20:30, 12:40] = 255
    moved, moved_xray = jittered(np.dstack([xray] * 3), xray, replace(STILL, **change))
    np.testing.assert_array_equal(moved, np.dstack([moved_xray] * 3))
    assert (moved_xray != xray).any()


def test_colours_change_in_the_picture_alone(noise: tuple[np.ndarray, np.ndarray]) -> None:
    grey, xray = jittered(*noise, replace(STILL, saturation=0.0))
    assert (grey == grey[..., :1]).all()
    np.testing.assert_array_equal(xray, noise[1])
    dark, _ = jittered(*noise, replace(STILL, gamma=1.2))
    assert (dark <= noise[0]).all()
    red, _ = jittered(*noise, replace(STILL, gains=np.array([0.5, 1.0, 1.0])))
    np.testing.assert_allclose(red[..., 0], noise[0][..., 0] / 2, atol=0.51)
    np.testing.assert_array_equal(red[..., 1:], noise[0][..., 1:])
    brighter, _ = jittered(*noise, replace(STILL, offset=12.0))
    np.testing.assert_array_equal(brighter, np.minimum(noise[0].astype(int) + 12, 255))


def test_draws_differ_and_repeat() -> None:
    one, same, other = (draw_jitter(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.turn == same.turn
    assert (one.gains == same.gains).all()
    assert one.turn != other.turn
    many = [draw_jitter(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.85 < min(one.scale for one in many) < max(one.scale for one in many) < 1.18
    assert max(abs(one.turn) for one in many) <= 8
