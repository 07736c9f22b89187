"""The published schedule, value by value, and torch's own beside ours."""

import numpy as np
import pytest
import torch

from xray_train.schedule import backbone_fixed, learning_rate, plateau_falls, stepped_rate


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


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


@pytest.mark.parametrize(("period", "factor"), [(4, 0.85), (1, 0.95), (2, 0.2)])
def test_the_stepped_rate_is_that_of_torch(period: int, factor: float) -> None:
    moved = optimizer()
    schedule = torch.optim.lr_scheduler.StepLR(moved, period, factor)
    for epoch in range(20):
        given = stepped_rate(epoch, base=1.0, period=period, factor=factor)
        assert given == pytest.approx(moved.param_groups[0]["lr"], rel=1e-12)
        moved.step()
        schedule.step()


@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 0), (2, 4), (10, 20)])
def test_a_plateau_falls_where_torch_falls(patience: int, cooldown: int) -> None:
    rng = np.random.default_rng(patience)
    for _ in range(5):
        moved = optimizer()
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            moved, factor=0.5, patience=patience, cooldown=cooldown, eps=0.0
        )
        losses = list[float]()
        for count in range(60):
            losses.append(float(1 / (1 + count) + rng.uniform(0, 0.3)))
            schedule.step(losses[-1])
            falls = plateau_falls(losses, patience=patience, cooldown=cooldown)
            assert 0.5**falls == moved.param_groups[0]["lr"]
