"""Three faces at a time: two of one class and one of the other, for metric learning."""

import numpy as np
import torch

from faceblend.errors import BadBank, at_least
from xray_train.sources.frames import FaceCut, Frames, changed_picture
from xray_train.sources.source import Item, Source, positive


class Triplets(Source):
    """Anchor, positive and negative: two different faces of one class, and one of the other.

    Which faces triplet ``n`` has is a function of ``seed`` and ``n``; anchors are real and forged
    by turns. The ``image`` of an item is (3, 3, size, size); its ``label`` is 1 always: what a
    network has to say of it is whether the positive is nearer than the negative.

    Args:
        bank: folder of the bank, as ``faceblend extract`` writes it.
        split: one split of it only; ``all`` for every face.
        face, size: how faces are cut out; see :class:`~xray_train.sources.Frames`.
        length: triplets that differ; validation takes that many.
        seed: of the triplets; another one than the validation's.
        parts: of the mix.
        augment: training changes each of the three at random.

    Raises:
        BadArgument: a number is out of range.
        BadBank: it has not two faces of each class.
    """

    faces: Frames
    """what triplets are drawn from"""

    def __init__(
        self,
        bank: str,
        split: str = "all",
        face: FaceCut = "scale",
        size: int = 224,
        length: int = 10_000_000,
        seed: int = 0,
        parts: int = 1,
        augment: bool = False,
    ) -> None:
        at_least(1, length=length)
        self.parts, self.augment = positive(parts), augment
        self._length, self._seed = length, seed
        self.faces = Frames(bank, split, "both", face, size)
        self._of = [np.flatnonzero(self.faces.labels == label) for label in (0, 1)]
        if min(map(len, self._of)) < 2:
            raise BadBank(
                bank,
                f"holds {len(self._of[0])} real and {len(self._of[1])} forged faces of the split "
                f"{split!r}",
                "triplets need two of each",
            )

    def __len__(self) -> int:
        return self._length

    def drawn(self, number: int) -> tuple[int, int, int]:
        """Anchor, positive and negative of the ``number``-th triplet, as numbers of ``faces``."""
        rng = np.random.Generator(np.random.Philox(key=[self._seed, 3], counter=[0, 0, 0, number]))
        same, other = self._of[number % 2], self._of[1 - number % 2]
        anchor = int(rng.integers(len(same)))
        # any but the anchor itself
        near = (anchor + 1 + int(rng.integers(len(same) - 1))) % len(same)
        return int(same[anchor]), int(same[near]), int(other[rng.integers(len(other))])

    def item(self, number: int) -> Item:
        """The ``number``-th triplet.

        Raises:
            BadImage: a crop is missing or damaged.
        """
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its anchor's video."""
        found = [self.faces.named(face) for face in self.drawn(number)]
        item = {
            "image": torch.stack([one["image"] for one, _ in found]),
            "xray": found[0][0]["xray"],
            "label": torch.tensor(1),
        }
        return item, found[0][1]

    def changed(self, item: Item, rng: np.random.Generator) -> Item:
        """A triplet as training sees it: each face with a draw of its own."""
        return {**item, "image": torch.stack([changed_picture(one, rng) for one in item["image"]])}

    def shuffled(self) -> bool:
        """No: every number is as random as the next."""
        return False

    def classes(self) -> set[int]:
        """Of the faces: both."""
        return {0, 1}
