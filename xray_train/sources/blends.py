"""Blended samples: a generated set on disk, or blends that are made while training."""

import json
from pathlib import PurePosixPath

from faceblend.errors import BadBank
from faceblend.torch import BlendedFaces, OnlineBlend
from xray_train.sources.source import Item, Source, positive


class Shards(Source):
    """A generated set on disk.

    Args:
        path: folder of the set.
        parts: of the mix.
        augment: training changes colours, size and place at random.
    """

    def __init__(self, path: str, parts: int = 1, augment: bool = False) -> None:
        self.parts, self.augment = positive(parts), augment
        self._set = BlendedFaces(path)
        if not len(self._set):
            raise BadBank(path, "holds no sample", "generate some first")

    def __len__(self) -> int:
        return len(self._set)

    def item(self, number: int) -> Item:
        """The ``number``-th stored sample."""
        return self._set[number]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its background's video."""
        return self._set[number], _video(self._set.set[number].record)

    def shuffled(self) -> bool:
        """Yes: it is seen again and again."""
        return True

    def classes(self) -> set[int]:
        """As its manifest counts."""
        shards = self._set.set.manifest.shards
        fakes, stored = sum(one.fakes for one in shards), sum(one.stored for one in shards)
        return {label for label, count in ((0, stored - fakes), (1, fakes)) if count}


class Online(Source):
    """Samples blended while training, none of them twice.

    Args:
        bank: folder of the bank.
        recipe: a preset or a YAML file.
        seed: of the samples; another one than the validation's.
        length: samples that differ; validation takes that many.
        parts: of the mix.
        pairs: each blend is followed by its background, unblended but otherwise the same, so
            that nothing but the blending can be learned.
        augment: training changes colours, size and place at random.
    """

    def __init__(
        self,
        bank: str,
        recipe: str = "bi",
        seed: int = 0,
        length: int = 10_000_000,
        parts: int = 1,
        pairs: bool = False,
        augment: bool = False,
    ) -> None:
        self.parts, self.pairs, self.augment = positive(parts), pairs, augment
        self._blend = OnlineBlend(bank, recipe, seed=seed, length=length, pairs=pairs)

    def __len__(self) -> int:
        return len(self._blend)

    def item(self, number: int) -> Item:
        """The ``number``-th sample of the seed."""
        return self._blend[number]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its background's video."""
        item, record = self._blend.with_record(number)
        return item, _video(record)

    def shuffled(self) -> bool:
        """No: every number is as random as the next."""
        return False

    def classes(self) -> set[int]:
        """As its recipe draws them."""
        if self.pairs:
            return {0, 1}
        share = self._blend.recipe.fake_share
        return {label for label, chance in ((0, 1 - share), (1, share)) if chance}


def _video(record: str) -> str:
    return str(PurePosixPath(json.loads(record)["background"]).parent)
