"""Learning rate and fixed parts, each a pure function of the step: a resumed run asks again."""


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


def backbone_fixed(step: int, fixed: int) -> bool:
    """Whether the backbone still stands as it was loaded: for the first ``fixed`` steps."""
    return step < fixed
