"""The same samples for a ``DataLoader``: from shards on disk, or blended while training.

Both datasets are map-style, give the same samples for any number of workers, started by
fork or spawn, and hand out bytes: divide ``image`` and ``xray`` by 255 on the device, which
moves a quarter of what float32 would.
"""

import os
from dataclasses import replace

import cv2
import numpy as np

from faceblend import capped, jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, Rejected
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample, sample, unblended
from faceblend.store import BlendSet

try:
    import torch
    from torch.utils.data import Dataset, get_worker_info
except ModuleNotFoundError as error:
    raise ImportError(
        "faceblend.torch needs PyTorch; install it with: pip install 'faceblend[train]'"
    ) from error

Item = dict[str, torch.Tensor]
"""``image`` (3, S, S) uint8 RGB; ``xray`` (1, S, S) uint8, ``round(255 * B)``; ``label``
int64, 1 blended and 0 real; ``index`` int64, the sample's number."""

STAND_IN = 2**40
"""How far from a rejected sample's number its stand-in's lies, in :class:`OnlineBlend`."""

_STAND_INS = 8  # tried before the rejection is raised


class BlendedFaces(Dataset[Item]):
    """A generated set, item ``k`` its ``k``-th stored sample.

    Args:
        path: folder of the set, or its URL.
        cache: of a set at a URL, folder for its shards; see :class:`faceblend.BlendSet`.

    Raises:
        BadShard: it cannot be read; also from an item whose shard is missing or damaged.

    Example:
        >>> batch = next(iter(DataLoader(BlendedFaces("set"), 32)))     # doctest: +SKIP
        >>> image = batch["image"].to(device).float() / 255             # doctest: +SKIP
    """

    def __init__(
        self, path: str | os.PathLike[str], *, cache: str | os.PathLike[str] | None = None
    ) -> None:
        self.set = BlendSet(path, cache=cache)

    def __len__(self) -> int:
        return len(self.set)

    def __getitem__(self, position: int) -> Item:
        image, xray, label, index = self.set.pixels(position)
        return _item(image, xray, label, index)


class OnlineBlend(Dataset[Item]):
    """Samples blended when they are asked for, item ``k`` the sample ``start + k``.

    Pass ``start = epoch * length`` for samples that no epoch has seen. A rejected sample
    ``i`` is replaced by the first of ``i + 2**40``, ``i + 2 * 2**40``, ... that is not: the
    same one everywhere, and its ``index`` tells.

    Args:
        bank: the real faces, or their folder.
        recipe: what may be drawn, or the name of a preset, or a YAML file.
        seed: 0 to 2**64 - 1.
        length: items.
        start: number of the first sample.
        pairs: items ``2k`` and ``2k + 1`` are blend ``start + k`` and its background on the
            same way, unblended; whatever share of fakes the recipe gives. Taken one after the
            other they cost one blend.

    Raises:
        BadArgument: a number is out of range.
        BadBank, BadRecipe: the bank or the recipe cannot be used.
        BadImage: from an item, where a crop of the bank cannot be read.
    """

    def __init__(
        self,
        bank: FaceBank | str | os.PathLike[str],
        recipe: Recipe | str | os.PathLike[str],
        seed: int,
        length: int,
        start: int = 0,
        pairs: bool = False,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise BadArgument("seed", f"is {seed}", "give a number from 0 to 2**64 - 1")
        if length < 1:
            raise BadArgument("length", f"is {length}", "give 1 or more")
        if not 0 <= start <= STAND_IN - length:
            raise BadArgument(
                "start", f"is {start}", "give 0 or more, so that start + length <= 2**40"
            )
        self.bank = bank if isinstance(bank, FaceBank) else FaceBank.open(bank)
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(os.fspath(recipe))
        self.recipe = replace(recipe, fake_share=1.0) if pairs else recipe
        self.recipe.check_fits(self.bank.crop_size)
        for one in self.recipe.partners:
            if one.cap is not None:  # here, or each worker would find them for itself
                capped.arrange(self.bank, one.top, one.cap)
        self.seed, self.length, self.start, self.pairs = seed, length, start, pairs
        self._blend: tuple[int, Sample] | None = None
        self._pid: int | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> Item:
        return self.with_record(position)[0]

    def with_record(self, position: int) -> tuple[Item, str]:
        """An item, and the record of its sample."""
        self._settle()
        number = range(self.length)[position]
        made = self._half(*divmod(number, 2)) if self.pairs else self._sample(number)
        return _item(made.image, made.xray_u8, made.label, made.index), made.record

    def _half(self, pair: int, second: int) -> Sample:
        if self._blend is None or self._blend[0] != pair:
            self._blend = (pair, self._sample(pair))
        blend = self._blend[1]
        return unblended(blend, self.bank) if second else blend

    def _sample(self, number: int) -> Sample:
        return sample_or_stand_in(self.bank, self.recipe, self.seed, self.start + number)

    def _settle(self) -> None:
        # OpenCV's threads do not survive a fork, and workers share the cores anyway
        if self._pid != os.getpid() and get_worker_info() is not None:
            cv2.setNumThreads(0)
            jobs.keep_memory()
        self._pid = os.getpid()


def sample_or_stand_in(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
    """Sample ``index`` of a run or, where it is rejected, one :data:`STAND_IN` further on.

    Raises:
        Rejected: so were all of its stand-ins.
        BadImage: a crop of the bank cannot be read.
    """
    for _ in range(_STAND_INS):
        try:
            return sample(bank, recipe, seed, index)
        except Rejected:
            index += STAND_IN
    return sample(bank, recipe, seed, index)


def _item(image: np.ndarray, xray: np.ndarray, label: int, index: int) -> Item:
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "xray": torch.from_numpy(xray[np.newaxis]),
        "label": torch.tensor(label),
        "index": torch.tensor(index),
    }
