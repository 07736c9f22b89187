"""What a margin does to the cosine between a face and its own class: numbers in, numbers out.

A head with a margin compares directions. Of each face and each class it has the cosine of the
angle theta between them, and makes the own class harder than it is, so that faces of one person
come closer together than they had to. The cosines of the other classes stay as they are.

N faces, C classes. All functions take cosines and labels and return cosines; the scale follows.
"""

import math

import torch
from jaxtyping import Float, Integer
from torch.nn import functional

Cosines = Float[torch.Tensor, "faces classes"]
"""-1 to 1; a little beyond, by rounding, is taken as well."""

Persons = Integer[torch.Tensor, " faces"]
"""Number of each face's own class, 0 to C - 1."""


def arcface(cosines: Cosines, persons: Persons, m: float, *, easy: bool = False) -> Cosines:
    """``cos(theta + m)`` for the own class (Deng et al., *ArcFace*, CVPR 2019, equation 3).

    ``cos(theta) cos(m) - sin(theta) sin(m)`` falls only as far as ``theta + m`` is under pi.
    Beyond, where ``cos(theta) <= cos(pi - m)``, ``cos(theta) - m sin(pi - m)`` goes on falling;
    ``easy`` instead has a margin where ``cos(theta) > 0`` and none elsewhere.

    Args:
        cosines: (N, C).
        persons: (N,) own classes.
        m: the margin, radians.
        easy: see above.

    Example:
        >>> cosines = torch.tensor([[0.5, 0.5]])  # 60 degrees
        >>> arcface(cosines, torch.tensor([0]), math.pi / 6).round(decimals=4)
        tensor([[0.0000, 0.5000]])
    """
    own = _own(cosines, persons)
    turned = own * math.cos(m) - _sine(own) * math.sin(m)
    if easy:
        harder = torch.where(own > 0, turned, own)
    else:
        beyond = own - m * math.sin(math.pi - m)
        harder = torch.where(own > math.cos(math.pi - m), turned, beyond)
    return _replaced(cosines, persons, harder)


def cosface(cosines: Cosines, persons: Persons, m: float) -> Cosines:
    """``cos(theta) - m`` for the own class (Wang et al., *CosFace*, CVPR 2018, equation 4).

    Args:
        cosines: (N, C).
        persons: (N,) own classes.
        m: the margin, of the cosine.
    """
    return _replaced(cosines, persons, _own(cosines, persons) - m)


def sphereface(cosines: Cosines, persons: Persons, m: int, softness: torch.Tensor) -> Cosines:
    """``(lambda cos(theta) + psi(theta)) / (lambda + 1)`` for the own class.

    Liu et al., *SphereFace*, CVPR 2017: ``psi(theta) = (-1)^k cos(m theta) - 2k`` where theta is
    from ``k pi / m`` to ``(k + 1) pi / m``; the mixture with lambda, which falls while training
    goes on, is their section 5.1's.

    Args:
        cosines: (N, C).
        persons: (N,) own classes.
        m: by which the own angle is multiplied, 1 or more.
        softness: lambda, a float scalar; 0 is psi alone.
    """
    own = _own(cosines, persons)
    # cos(m theta) as a polynomial: arccos has no slope at 1 and -1
    before, multiple = torch.ones_like(own), own
    for _ in range(m - 1):
        before, multiple = multiple, 2 * own * multiple - before
    k = (m * own.detach().clamp(-1, 1).acos() / math.pi).floor().clamp(max=m - 1)
    psi = (1 - 2 * (k % 2)) * multiple - 2 * k
    return _replaced(cosines, persons, (softness * own + psi) / (softness + 1))


def softness_at(step: int) -> float:
    """Lambda of :func:`sphereface` in a step: ``max(5, 1000 / (1 + 0.12 step))``.

    Example:
        >>> softness_at(0), softness_at(100), softness_at(10_000)
        (1000.0, 76.92307692307692, 5.0)
    """
    return max(5.0, 1000 / (1 + 0.12 * step))


def focal_cross_entropy(
    logits: Float[torch.Tensor, "faces classes"], persons: Persons, gamma: float
) -> Float[torch.Tensor, ""]:
    """Mean of ``(1 - p)^gamma * -log p``, p what a face's own class is given.

    Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017, equation 4. The weight is each
    face's own: of the mean alone it would only rescale the gradient of the whole batch.

    Args:
        logits: (N, C).
        persons: (N,) own classes.
        gamma: 0 is cross-entropy.
    """
    each = functional.cross_entropy(logits, persons, reduction="none")
    if gamma:
        # the slope of x^gamma at 0 is infinite for gamma under 1
        each = (-torch.expm1(-each)).clamp(min=torch.finfo(each.dtype).tiny) ** gamma * each
    return each.mean()


def _own(cosines: torch.Tensor, persons: torch.Tensor) -> torch.Tensor:
    return cosines.gather(1, persons[:, None])[:, 0]


def _sine(cosines: torch.Tensor) -> torch.Tensor:
    squared = ((1 - cosines) * (1 + cosines)).clamp(min=0)  # rounding takes cosines past 1
    # the root's slope at 0 is infinite, and infinity times 0 is no number: none there
    some = squared > 0
    return torch.where(some, torch.where(some, squared, 1).sqrt(), 0)


def _replaced(cosines: torch.Tensor, persons: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return cosines.scatter(1, persons[:, None], own[:, None])
