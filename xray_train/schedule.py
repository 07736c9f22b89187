"""Learning rate and fixed parts, as functions of the step or of the validations so far.

Nothing here remembers: a resumed run asks again, and gets the rate that it would have had.
"""

from collections.abc import Sequence


def learning_rate(step: int, *, base: float, steps: int, warmup: int, decay: int) -> float:
    """The rate of one step: up, level, then down to nothing.

    Linear from ``base / warmup`` over the first ``warmup`` steps, ``base`` after that, and
    linear to 0 over the last ``decay`` steps (Face X-ray: 2e-4, the last 50,000 of 200,000).

    Args:
        step: 0 to ``steps``.
        base: the level rate.
        steps: length of the whole run.
        warmup: steps of the rise; 0 for none.
        decay: steps of the fall; 0 for none.

    Raises:
        ValueError: rise and fall are longer than the run.

    Example:
        >>> [learning_rate(s, base=2e-4, steps=200_000, warmup=0, decay=50_000)
        ...  for s in (0, 150_000, 175_000, 200_000)]
        [0.0002, 0.0002, 0.0001, 0.0]
    """
    if warmup + decay > steps:
        raise ValueError(f"{warmup} steps of warm-up and {decay} of decay exceed {steps} steps")
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = min(1.0, (steps - step) / decay) if decay else 1.0
    return base * rise * max(0.0, fall)


def stepped_rate(epoch: int, *, base: float, period: int, factor: float) -> float:
    """``base`` times ``factor`` for every ``period`` epochs that are done (StepLR).

    Args:
        epoch: 0 in the first pass.
        base: the rate of the first period.
        period: epochs.
        factor: of each fall.

    Example:
        >>> [round(stepped_rate(e, base=1.0, period=4, factor=0.85), 4) for e in (0, 3, 4, 8)]
        [1.0, 1.0, 0.85, 0.7225]
    """
    return base * factor ** (epoch // period)


def plateau_falls(
    losses: Sequence[float], *, patience: int, cooldown: int, threshold: float = 1e-4
) -> int:
    """How often a rate has fallen by now that falls when validation stops getting better.

    As torch's ReduceLROnPlateau: after more than ``patience`` validations in a row that are not
    under ``1 - threshold`` times the lowest loss; the ``cooldown`` validations after a fall do
    not count.

    Args:
        losses: of every validation so far, in order.
        patience, cooldown: validations.
        threshold: relative.

    Example:
        >>> plateau_falls([1.0, 0.9, 0.9, 0.9], patience=1, cooldown=0)
        1
    """
    best, bad, cooling, falls = float("inf"), 0, 0, 0
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            falls, cooling, bad = falls + 1, cooldown, 0
    return falls


def backbone_fixed(step: int, fixed: int) -> bool:
    """Whether the backbone still stands as it was loaded: for the first ``fixed`` steps."""
    return step < fixed
