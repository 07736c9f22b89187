"""Make a stored sample again from its record, and compare."""

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from faceblend import atomic
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.sample import replay
from faceblend.store import BlendSet


@dataclass(frozen=True, kw_only=True)
class Again:
    """A sample that was made again."""

    index: int
    label: int
    """1 blended, 0 real"""
    image_off: int
    """largest difference of the pictures, levels; 0: the same bytes"""
    xray_off: int
    """largest difference of the X-rays, levels; 0: the same bytes"""

    @property
    def same(self) -> bool:
        """Picture and X-ray are those of the set, byte for byte."""
        return not (self.image_off or self.xray_off)

    def __str__(self) -> str:
        made = f"sample {self.index} ({'fake' if self.label else 'real'}) was made again"
        if self.same:
            return f"{made}: picture and X-ray are the set's, byte for byte"
        return (
            f"{made} and is not the set's: the picture is off by up to {self.image_off} levels, "
            f"the X-ray by {self.xray_off}"
        )


def again(path: str | Path, index: int, bank: FaceBank, out: str | Path | None = None) -> Again:
    """Make a sample again from the record that its set keeps.

    Args:
        path: folder of the set.
        index: the sample's number, which its record names.
        bank: the bank that the set was made from.
        out: PNG of the picture that was made; none if not given.

    Raises:
        BadArgument: the set has no sample of this number, or ``out`` is no PNG.
        BadShard: the set cannot be read.
        BadBank: it was made from another bank.
    """
    if out is not None and Path(out).suffix.lower() != ".png":
        raise BadArgument("out", f"is {out}", "end it in .png: other formats change pixels")
    with BlendSet(path) as made:
        stored = made[position(made, index)]
    fresh = replay(stored.record, bank)
    if out is not None:
        data = cv2.imencode(".png", cv2.cvtColor(fresh.image, cv2.COLOR_RGB2BGR))[1]
        atomic.write_bytes(Path(out), data.tobytes())
    return Again(
        index=index,
        label=stored.label,
        image_off=_off(stored.image, fresh.image),
        xray_off=_off(stored.xray_u8, fresh.xray_u8),
    )


def position(made: BlendSet, index: int) -> int:
    """Where the sample of a number stands in a set.

    Raises:
        BadArgument: the set has none.
    """
    before = 0
    for entry in made.manifest.shards:
        if entry.first <= index < entry.first + entry.count:
            numbers = list(entry.indices())
            row = bisect_left(numbers, index)
            if row < len(numbers) and numbers[row] == index:
                return before + row
        before += entry.stored
    raise BadArgument(
        f"sample {index}", f"is not in {made.path}", "its records name the samples that are"
    )


def _off(first: np.ndarray, second: np.ndarray) -> int:
    if first.shape != second.shape:
        return 255
    return int(np.abs(first.astype(np.int16) - second).max())
