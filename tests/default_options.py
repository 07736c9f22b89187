"""Call a named operation as a recipe that says nothing about its options would."""

from typing import Any

import numpy as np

from faceblend.ops import NAMED, Choice, Seed


def call(kind: str, name: str, *arguments: Any, seed: int = 0) -> Any:
    """Call it with options from their usual ranges, and a new generator where it takes one."""
    rng = np.random.default_rng(seed)
    told: dict[str, Any] = {}
    for option, may in NAMED[kind][name].options.items():
        if isinstance(may, Seed):
            told[option] = np.random.default_rng(seed)
        elif isinstance(may, Choice):
            told[option] = may.words[rng.integers(len(may.words))]
        elif may.whole:
            told[option] = int(rng.integers(may.low, may.high, endpoint=True))
        else:
            told[option] = float(rng.uniform(may.low, may.high))
    return NAMED[kind][name](*arguments, **told)
