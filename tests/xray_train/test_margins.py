"""Margins against the papers' formulas, written here with arccos and cos in float64."""

import math

import numpy as np
import pytest
import torch

from xray_train.margins import (
    arcface,
    cosface,
    focal_cross_entropy,
    softness_at,
    sphereface,
)

# own cosines from one end to the other, never exactly on a border of a rule
ANGLES = np.linspace(0.003, math.pi - 0.003, 397)
COSINES = np.stack([np.cos(ANGLES), np.cos(ANGLES[::-1])], axis=1)
OWN = np.zeros(len(ANGLES), np.int64)
ENDS = torch.tensor([[1.0, 0.2], [-1.0, 0.2], [0.3, 1.0], [0.3, -1.0], [1.0 + 1e-6, 0.0]])


def given() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(COSINES), torch.from_numpy(OWN)


def expected_arcface(m: float, easy: bool) -> np.ndarray:
    """Deng et al., CVPR 2019: cos(theta + m); beyond pi a straight fall, or no margin at all."""
    theta = np.arccos(COSINES[:, 0])
    turned = np.cos(theta + m)
    if easy:
        return np.where(theta < math.pi / 2, turned, np.cos(theta))
    return np.where(theta + m < math.pi, turned, np.cos(theta) - m * math.sin(math.pi - m))


def expected_sphereface(m: int, softness: float) -> np.ndarray:
    """Liu et al., CVPR 2017: (-1)^k cos(m theta) - 2k on the k-th part of 0 to pi."""
    theta = np.arccos(COSINES[:, 0])
    k = np.floor(theta * m / math.pi)
    psi = (-1.0) ** k * np.cos(m * theta) - 2 * k
    return (softness * np.cos(theta) + psi) / (1 + softness)


@pytest.mark.parametrize("easy", [False, True])
@pytest.mark.parametrize("m", [0.0, 0.3, 0.5, 1.2])
def test_arcface_adds_to_the_angle(m: float, easy: bool) -> None:
    cosines, persons = given()
    got = arcface(cosines, persons, m, easy=easy).numpy()
    np.testing.assert_allclose(got[:, 0], expected_arcface(m, easy), atol=1e-9)
    np.testing.assert_array_equal(got[:, 1], COSINES[:, 1])


@pytest.mark.parametrize("m", [0.0, 0.35])
def test_cosface_subtracts_from_the_cosine(m: float) -> None:
    cosines, persons = given()
    got = cosface(cosines, persons, m).numpy()
    np.testing.assert_allclose(got[:, 0], np.cos(np.arccos(COSINES[:, 0])) - m, atol=1e-12)
    np.testing.assert_array_equal(got[:, 1], COSINES[:, 1])


@pytest.mark.parametrize("softness", [0.0, 5.0, 1000.0])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_sphereface_multiplies_the_angle(m: int, softness: float) -> None:
    cosines, persons = given()
    got = sphereface(cosines, persons, m, torch.tensor(softness)).numpy()
    np.testing.assert_allclose(got[:, 0], expected_sphereface(m, softness), atol=1e-9)
    np.testing.assert_array_equal(got[:, 1], COSINES[:, 1])


def test_every_margin_falls_with_the_angle_all_the_way() -> None:
    cosines, persons = given()
    for got in (
        arcface(cosines, persons, 0.5),
        cosface(cosines, persons, 0.35),
        sphereface(cosines, persons, 4, torch.tensor(0.0)),
    ):
        assert bool((got[1:, 0] < got[:-1, 0]).all())


@pytest.mark.parametrize("name", ["arcface", "easy", "cosface", "sphereface"])
def test_slopes_are_numbers_where_faces_lie_exactly_on_a_class(name: str) -> None:
    """The root's slope is infinite at 1 and -1, and cosines are rounded past them."""
    cosines = ENDS.clone().requires_grad_()
    persons = torch.zeros(len(ENDS), dtype=torch.int64)
    made = {
        "arcface": lambda: arcface(cosines, persons, 0.5),
        "easy": lambda: arcface(cosines, persons, 1.2, easy=True),
        "cosface": lambda: cosface(cosines, persons, 0.35),
        "sphereface": lambda: sphereface(cosines, persons, 4, torch.tensor(5.0)),
    }[name]()
    assert bool(torch.isfinite(made).all())
    made.sum().backward()
    assert cosines.grad is not None
    assert bool(torch.isfinite(cosines.grad).all())
    assert bool((cosines.grad[:, 0] != 0).all())


def test_lambda_falls_to_five() -> None:
    falling = [softness_at(step) for step in range(2000)]
    assert falling == [max(5.0, 1000.0 / (1.0 + 0.12 * step)) for step in range(2000)]
    assert (falling[0], falling[-1]) == (1000.0, 5.0)


def test_the_focal_weight_is_each_faces_own() -> None:
    """Of the batch's mean it would be (1 - exp(-mean))^gamma * mean, which is another number."""
    logits = torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    persons = torch.tensor([0, 1, 2])
    p = np.exp(logits.numpy().astype(float))
    p = p[np.arange(3), persons.numpy()] / p.sum(axis=1)
    for gamma in (0.0, 0.5, 2.0):
        want = float(np.mean((1 - p) ** gamma * -np.log(p)))
        assert float(focal_cross_entropy(logits, persons, gamma)) == pytest.approx(want, rel=1e-5)
    mean = float(np.mean(-np.log(p)))
    of_the_mean = (1 - math.exp(-mean)) ** 2 * mean
    assert float(focal_cross_entropy(logits, persons, 2.0)) != pytest.approx(of_the_mean, rel=0.05)


def test_the_focal_loss_has_slopes_where_a_face_is_certain() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    focal_cross_entropy(logits, torch.tensor([0]), 0.5).backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
