"""Pairs of faces, one person (1) or two (0): what embeddings are evaluated on."""

from pathlib import Path

import numpy as np
import torch

from faceblend import within
from faceblend.errors import BadArgument, at_least
from faceblend.ingest.photograph import read_photograph
from xray_train.sources.labelled import Labelled, square
from xray_train.sources.people import lines
from xray_train.sources.source import Item, Source, as_tensor, without_xray


class Pairs(Source):
    """Pairs that a file lists: lines of ``pathA pathB label``, as of LFW.

    Args:
        folder: where the paths start.
        pairs: the file; label 1 is one person, 0 two.
        size: side of the pictures that are given, px: of their middle squares.

    Raises:
        BadArgument: ``size`` is under 8; or a line does not give two faces and a label, or names
            a file that is not there: the error has its number.
    """

    faces: Source
    """each picture once, in the list's order; its label is the number of its folder"""
    parts = 1

    def __init__(self, folder: str, pairs: str, size: int = 160) -> None:
        at_least(8, size=size)
        root = Path(folder)
        self._size, self._pairs = size, list[tuple[Path, Path, int]]()
        for number, words in lines(Path(pairs)):
            where = f"{pairs}, line {number}"
            if len(words) != 3 or words[2] not in ("0", "1"):
                raise BadArgument(
                    where, f"is {' '.join(words)!r}", "write: pathA pathB label, label 0 or 1"
                )
            first, second = (root / one for one in words[:2])
            for one in words[:2]:
                if within.leaves(one):
                    raise BadArgument(where, f"{one!r} leaves {folder}", "use paths inside it")
            for path in (first, second):
                if not path.is_file():
                    raise BadArgument(where, f"{path} is not there", "check the folder")
            self._pairs.append((first, second, int(words[2])))
        self.faces = _Pictures([path for pair in self._pairs for path in pair[:2]], size)

    @property
    def labels(self) -> np.ndarray:
        """(pairs,) int64, in the file's order."""
        return np.array([label for _, _, label in self._pairs], np.int64)

    def __len__(self) -> int:
        return len(self._pairs)

    def item(self, number: int) -> Item:
        """Both faces of the ``number``-th line, RGB.

        Raises:
            BadImage: one cannot be read.
        """
        first, second, label = self._pairs[number]
        images = [square(read_photograph(path), self._size) for path in (first, second)]
        return _pair(torch.stack([as_tensor(one) for one in images]), label)

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with the folder of its first face, which is its person."""
        return self.item(number), str(self._pairs[number][0].parent)

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """As its lines are labelled."""
        return set(self.labels.tolist())


class PairsOf(Source):
    """Pairs drawn among the pictures of a source of people: half one person, half two.

    They alternate. The same arguments draw the same pairs.

    Args:
        of: the source; it is taken as it is, unaugmented.
        count: pairs, an even number; 0 takes every pair of one person and as many of two.
        seed: of the draw.

    Raises:
        BadArgument: there are not so many pairs.
    """

    faces: Labelled
    """what the pairs are drawn among"""
    parts = 1

    def __init__(self, of: Labelled, count: int = 0, seed: int = 0) -> None:
        self.faces = of
        rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
        groups = [np.flatnonzero(of.labels == one) for one in sorted(of.classes())]
        sizes = np.array([len(one) * (len(one) - 1) // 2 for one in groups])
        alike, items = int(sizes.sum()), len(of)
        different = items * (items - 1) // 2 - alike
        half = min(alike, different) if count == 0 else count // 2
        if count % 2 or not 0 < half <= min(alike, different):
            raise BadArgument(
                "count",
                f"is {count}, and {alike} pairs of one person and {different} of two are there",
                f"give an even number up to {2 * min(alike, different)}",
            )
        ends = np.cumsum(sizes)
        same = list[tuple[int, int]]()
        for place in np.sort(rng.choice(alike, half, replace=False)):
            person = int(np.searchsorted(ends, place, side="right"))
            first, second = _unranked(int(place - ends[person] + sizes[person]))
            same.append((int(groups[person][first]), int(groups[person][second])))
        apart = dict[tuple[int, int], None]()
        while len(apart) < half:
            one, other = sorted(int(number) for number in rng.integers(items, size=2))
            if of.labels[one] != of.labels[other]:
                apart[one, other] = None
        self._pairs = [pair for both in zip(same, apart, strict=True) for pair in both]

    def __len__(self) -> int:
        return len(self._pairs)

    def item(self, number: int) -> Item:
        """Both faces of the ``number``-th pair."""
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its first person's name."""
        (first, name), (second, _) = (self.faces.named(one) for one in self._pairs[number])
        both = torch.stack([first["image"], second["image"]])
        return _pair(both, int(first["label"] == second["label"])), name

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """Both."""
        return {0, 1}


class _Pictures(Source):
    """Files, each once; those of a folder are one person's."""

    parts = 1

    def __init__(self, paths: list[Path], size: int) -> None:
        self._paths, self._size = list(dict.fromkeys(paths)), size
        homes = list(dict.fromkeys(str(path.parent) for path in self._paths))
        self.people = tuple(homes)
        numbers = {home: number for number, home in enumerate(homes)}
        self.labels = np.array([numbers[str(path.parent)] for path in self._paths], np.int64)

    def __len__(self) -> int:
        return len(self._paths)

    def item(self, number: int) -> Item:
        picture = square(read_photograph(self._paths[number]), self._size)
        return without_xray(picture, int(self.labels[number]))

    def named(self, number: int) -> tuple[Item, str]:
        return self.item(number), self.people[int(self.labels[number])]

    def shuffled(self) -> bool:
        return True

    def classes(self) -> set[int]:
        return set(self.labels.tolist())


def _unranked(place: int) -> tuple[int, int]:
    """The ``place``-th of (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    second = int((1 + np.sqrt(1 + 8 * place)) // 2)
    return place - second * (second - 1) // 2, second


def _pair(images: torch.Tensor, label: int) -> Item:
    side = images.shape[-1]
    xray = torch.zeros(1, side, side, dtype=torch.uint8)
    return {"image": images, "xray": xray, "label": torch.tensor(label)}
