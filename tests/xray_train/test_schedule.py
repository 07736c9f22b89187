"""The published schedule, value by value."""

import pytest

from xray_train.schedule import backbone_fixed, learning_rate


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 2e-4), (50_000, 2e-4), (150_000, 2e-4), (175_000, 1e-4), (200_000, 0.0)],
)
def test_the_rate_of_face_xray(step: int, rate: float) -> None:
    given = learning_rate(step, base=2e-4, steps=200_000, warmup=0, decay=50_000)
    assert given == pytest.approx(rate, abs=1e-12)


def test_the_rate_rises_over_the_warm_up() -> None:
    rates = [learning_rate(step, base=1.0, steps=100, warmup=4, decay=0) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_rise_and_a_fall_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed 10 steps"):
        learning_rate(0, base=1.0, steps=10, warmup=6, decay=5)


def test_the_backbone_is_fixed_for_the_first_steps_only() -> None:
    assert [backbone_fixed(step, 50_000) for step in (0, 49_999, 50_000)] == [True, True, False]
    assert not backbone_fixed(0, 0)
