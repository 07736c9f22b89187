"""Jobs for the tests of watching, in a file that a new process imports quickly."""

import os
import time
from pathlib import Path
from typing import Any

from faceblend.errors import BadBank

STEPS = 40


def leaking(done: Any) -> None:
    """8 MiB and a descriptor more every step."""
    kept = []
    for _ in range(STEPS):
        kept.append((bytearray(b"x") * (8 << 20), Path(__file__).open("rb")))  # noqa: SIM115
        done.value += 1
        time.sleep(0.05)


def steady(done: Any) -> None:
    """The same work, and everything is given back."""
    for _ in range(STEPS):
        with Path(__file__).open("rb"):
            del (bytearray(b"x") * (8 << 20))[:1]
        done.value += 1
        time.sleep(0.05)


def failing(where: str) -> None:
    """End with an error in words."""
    raise BadBank(where, "is broken", "mend it")


def dying() -> None:
    """End without a word."""
    os._exit(3)
