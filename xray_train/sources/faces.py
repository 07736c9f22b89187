"""The faces of a bank as they are."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from xray_train.sources.source import Item, Source, positive, without_xray

WINDOW = (60, 30, 256)
"""Top, left and side, px, of what training sees of a crop of 317 px."""

TOLD = ("video", "frame", "subject", "split", "label", "source", "crop")
"""Columns of a bank that say where a face is from."""


class Faces(Source):
    """The faces of a bank as they are, real and forged: to test on. They have no X-ray.

    Args:
        bank: folder of the bank.
        split: one split of it only; ``all`` for every face.
        parts: of the mix.
    """

    def __init__(self, bank: str, split: str = "all", parts: int = 1) -> None:
        self.parts = positive(parts)
        self._bank = FaceBank.open(bank)
        self._rows = np.flatnonzero(of_split(self._bank, split))
        if not len(self._rows):
            raise BadBank(bank, f"holds no face of the split {split!r}", "give another split")

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, number: int) -> Item:
        """The ``number``-th face, cut to what training sees."""
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its video."""
        face = self._bank[int(self._rows[number])]
        return without_xray(window(face.image), face.label), face.video

    def table(self) -> pa.Table:
        """A row for every item, in order: where it is from."""
        return self._bank.table.select(TOLD).take(pa.array(self._rows))

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """As its faces are labelled."""
        labels = self._bank.table["label"].to_numpy()
        return set(labels[self._rows].tolist())


def of_split(bank: FaceBank, split: str) -> Bool[np.ndarray, " faces"]:
    """Which faces of a bank are of a split; of ``all`` every one."""
    if split == "all":
        return np.ones(len(bank), bool)
    # in arrow: a million names as Python's would take a second and a hundred megabytes
    return np.asarray(pc.fill_null(pc.equal(bank.table["split"], split), False).to_numpy())


def window(crop: np.ndarray) -> np.ndarray:
    """The part of a bank's crop that training sees: ``[60:316, 30:286]`` of 317 px.

    Raises:
        BadArgument: the crop is smaller.
    """
    top, left, side = WINDOW
    if min(crop.shape[:2]) < max(top, left) + side:
        raise BadArgument(
            "the bank",
            f"has crops of {crop.shape[1]}x{crop.shape[0]} px, and {max(top, left) + side} are "
            "needed",
            "extract it with --crop-size 317",
        )
    return crop[top : top + side, left : left + side]
