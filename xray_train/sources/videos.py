"""Frames of real and forged videos, drawn anew for each pass: kaggle-dfdc's two ways.

What a pass takes is a function of (seed, pass): the same in every process and after a restart.
"""

from abc import abstractmethod
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, at_least
from faceblend.face import Image
from xray_train.augment.videos import draw_strong, strengthened
from xray_train.sources.faces import of_split
from xray_train.sources.source import Item, Source, as_picture, as_tensor, positive, without_xray

Rows = Int64[np.ndarray, " rows"]

_FAKES, _ORDER, _FRAMES = 0, 1, 2  # lanes of random numbers


class Passes(Source):
    """Faces of a bank's videos, each pass its own choice of them; see its two kinds.

    A crop is taken whole, whatever its file's format, and resized to ``side``. One that cannot
    be read is an error that names the file.
    """

    def __init__(
        self, bank: str, split: str, passes: int, seed: int, augment: bool, side: int, parts: int
    ) -> None:
        self.parts, self.augment = positive(parts), augment
        at_least(1, passes=passes)
        at_least(0, seed=seed)
        at_least(8, side=side)
        self._passes, self._seed, self._side = passes, seed, side
        self._bank = FaceBank.open(bank)
        self._reals, self._fakes = _videos(self._bank, split)
        if not self._reals or not self._fakes:
            lost = "forged" if self._reals else "real"
            raise BadBank(
                bank, f"holds no {lost} video in the split {split!r}", "give another bank or split"
            )

    def __len__(self) -> int:
        """Items of all passes that differ."""
        return self._passes * self.epoch

    @property
    @abstractmethod
    def epoch(self) -> int:
        """Items of a pass: as many in each."""

    @abstractmethod
    def drawn(self, number: int) -> Rows:
        """Rows of the bank that a pass takes, in its order: (epoch,)."""

    def item(self, number: int) -> Item:
        """One face; its pass is ``number`` divided by what a pass holds.

        Raises:
            BadImage: its crop is missing or damaged.
        """
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its video."""
        turn, place = divmod(number, self.epoch)
        face = self._bank[int(_kept(self, turn)[place])]
        return without_xray(resized(face.image, self._side), face.label), face.video

    def changed(self, item: Item, rng: np.random.Generator) -> Item:
        """An item as training sees it: by :mod:`xray_train.augment.videos`."""
        image = strengthened(as_picture(item["image"]), draw_strong(rng))
        return {**item, "image": as_tensor(image)}

    def shuffled(self) -> bool:
        """No: each pass has an order of its own."""
        return False

    def classes(self) -> set[int]:
        """Both, always."""
        return {0, 1}

    def _rng(self, lane: int, number: int) -> np.random.Generator:
        # never of a process's rank: each would train on fakes of its own choice
        key, counter = [self._seed, 2], [0, 0, lane, number]
        return np.random.Generator(np.random.Philox(key=key, counter=counter))


class Videos(Passes):
    """All real videos and as many forged ones, drawn at random each pass; some frames of each.

    Frame ``k`` of a video in pass ``p`` is its face number ``k * stride + p % stride``, modulo
    the faces that it has: over ``stride`` passes a video of ``per_video * stride`` faces is seen
    whole. (The way that seed 001 trained WS-DAN.) Where there are fewer forged videos than
    real ones, each is taken once before any is taken again.

    Args:
        bank: folder of the bank; ``--frames-per-video 0`` keeps every frame.
        split: one split of it only; ``all`` for every face.
        per_video: frames of each video in a pass.
        stride: faces from one of them to the next.
        seed: of the forged videos and of the order.
        augment: training changes pictures strongly, every second one.
        side: px, of the picture that the network sees.
        passes: that differ, before they begin again; 1 to validate on.
        parts: of the mix.

    Raises:
        BadArgument: a number is out of range.
        BadBank: a class has no video in the split.
    """

    def __init__(
        self,
        bank: str,
        split: str = "all",
        per_video: int = 20,
        stride: int = 12,
        seed: int = 0,
        augment: bool = False,
        side: int = 320,
        passes: int = 100_000,
        parts: int = 1,
    ) -> None:
        at_least(1, per_video=per_video, stride=stride)
        super().__init__(bank, split, passes, seed, augment, side, parts)
        self._per_video, self._stride = per_video, stride

    @property
    def epoch(self) -> int:
        """Twice the real videos, times ``per_video``."""
        return 2 * len(self._reals) * self._per_video

    def drawn(self, number: int) -> Rows:
        """Rows of the bank that a pass takes, in its order: (epoch,)."""
        rng = self._rng(_FAKES, number)
        fakes = list[int]()
        while len(fakes) < len(self._reals):
            fakes += rng.permutation(len(self._fakes)).tolist()
        chosen = [*self._reals, *(self._fakes[one] for one in fakes[: len(self._reals)])]
        places = np.arange(self._per_video) * self._stride + number % self._stride
        rows = np.concatenate([video[places % len(video)] for video in chosen])
        return self._rng(_ORDER, number).permutation(rows)


class VideoShares(Passes):
    """A share of every video's frames, larger of real videos than of forged ones.

    The way that seed 001 trained Xception. Of each video at least one frame is taken.

    Args:
        bank: folder of the bank.
        split: one split of it only; ``all`` for every face.
        real: share of a real video's faces in a pass.
        fake: share of a forged one's.
        even: take them evenly spaced, the same in every pass, in the order of the bank: to
            validate on. Else at random.
        seed: of the frames and of the order.
        augment: training changes pictures strongly, every second one.
        side: px, of the picture that the network sees.
        passes: that differ, before they begin again; with ``even`` there is one.
        parts: of the mix.

    Raises:
        BadArgument: a number is out of range.
        BadBank: a class has no video in the split.
    """

    def __init__(
        self,
        bank: str,
        split: str = "all",
        real: float = 0.25,
        fake: float = 0.05,
        even: bool = False,
        seed: int = 0,
        augment: bool = False,
        side: int = 299,
        passes: int = 100_000,
        parts: int = 1,
    ) -> None:
        for name, value in (("real", real), ("fake", fake)):
            if not 0 < value <= 1:
                raise BadArgument(name, f"is {value}", "give more than 0, and at most 1")
        super().__init__(bank, split, 1 if even else passes, seed, augment, side, parts)
        self._even = even
        self._taken = [
            (video, max(round(share * len(video)), 1))
            for videos, share in ((self._reals, real), (self._fakes, fake))
            for video in videos
        ]

    @property
    def epoch(self) -> int:
        """The shares of all videos."""
        return sum(count for _, count in self._taken)

    def drawn(self, number: int) -> Rows:
        """Rows of the bank that a pass takes, in its order: (epoch,)."""
        if self._even:
            # the middles of so many equal parts
            picked = [
                video[((np.arange(count) + 0.5) * len(video) / count).astype(int)]
                for video, count in self._taken
            ]
            return np.sort(np.concatenate(picked))
        rng = self._rng(_FRAMES, number)
        picked = [rng.choice(video, count, replace=False) for video, count in self._taken]
        return self._rng(_ORDER, number).permutation(np.concatenate(picked))


def resized(image: Image, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """A square picture at another size: by area where it shrinks, bilinearly where it grows."""
    if image.shape[:2] == (side, side):
        return image
    how = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=how))


@lru_cache(maxsize=8)
def _kept(source: Passes, number: int) -> Rows:
    return source.drawn(number)


def _videos(bank: FaceBank, split: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows of each video, real ones and forged ones; a bank is ordered by video and frame."""
    labels = bank.table["label"].to_numpy()
    kept = of_split(bank, split)
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for label in (0, 1):
        rows = np.flatnonzero(kept & (labels == label)).astype(np.int64)
        ends = np.flatnonzero(np.diff(bank.videos[rows])) + 1
        found[label].extend(part for part in np.split(rows, ends) if len(part))
    return found
