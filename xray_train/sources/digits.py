"""Handwritten digits: MNIST where its files are, else the small ones of scikit-learn.

Ten classes and grey pictures of a few pixels: enough to see what a margin does, in minutes.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from faceblend.errors import BadArgument
from faceblend.face import Image
from xray_train.sources.labelled import Labelled

_FILES = {"train": "train", "test": "t10k"}
_KIND = 0x08  # unsigned bytes, in the idx format
_AXES = 64  # NumPy has no more
_MOST = 600_000_000  # bytes; EMNIST, the largest of such sets, has 547 million
_EVERY = 5  # of scikit-learn's, the last of every so many is tested on


class Digits(Labelled):
    """Digits as RGB pictures whose channels are equal; a label is the digit.

    Args:
        folder: of MNIST's four files, ``train-images-idx3-ubyte`` and so on, packed (``.gz``) or
            not. None takes the 1,797 digits of 8x8 px that scikit-learn brings along (UCI's
            *Optical Recognition of Handwritten Digits*, its test set); of each digit's, in
            order, every fifth is tested on.
        part: ``train`` or ``test``; of scikit-learn's digits also ``all``.
        size: side of the pictures that are given, px.
        parts: of the mix.

    Raises:
        BadArgument: a file is not there or no idx file, or scikit-learn is not installed.
    """

    def __init__(
        self,
        folder: str | None = None,
        part: Literal["all", "train", "test"] = "train",
        size: int = 28,
        parts: int = 1,
    ) -> None:
        if folder is not None:
            if part == "all":
                raise BadArgument("part", "is 'all', and MNIST comes in two", "give train or test")
            self._images, digits = _mnist(Path(folder), _FILES[part])
            self.data = f"MNIST, {part}: {len(digits):,} digits of {folder}"
            kept: Literal["all", "train", "held"] = "all"
        else:
            self._images, digits = _bundled()
            kept = "held" if part == "test" else part
        super().__init__(
            [str(one) for one in digits], size=size, parts=parts, augment=False,
            part=kept, by="picture", every=_EVERY,
        )  # fmt: skip
        if folder is None:
            self.data = f"scikit-learn's digits, {part}: {len(self):,} of 8x8 px"

    data: str
    """which digits these are"""

    def picture(self, row: int, side: int) -> Image:
        """The digit, light on dark, as large as it is kept."""
        del side
        return np.asarray(cv2.cvtColor(self._images[row], cv2.COLOR_GRAY2RGB))


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of bytes, as MNIST has: its array, uint8.

    Raises:
        BadArgument: it is not there, cut off, or none.
    """
    packed = path.with_name(path.name + ".gz")
    source = packed if packed.is_file() and not path.is_file() else path
    try:
        with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _KIND or head[3] > _AXES:
                raise BadArgument(source, "is no idx file of bytes", "get MNIST's files again")
            # in Python's numbers, which have no end
            shape = [int(length) for length in np.frombuffer(file.read(4 * head[3]), ">u4")]
            size = math.prod(shape)
            claimed = math.prod(max(length, 1) for length in shape)  # NumPy counts so
            if claimed > _MOST:
                raise BadArgument(source, f"claims {claimed:,} bytes", "get MNIST's files again")
            data = file.read(size + 1)  # of a gzip, that may go on for ever, no more
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BadArgument(source, f"cannot be read ({error})", "get MNIST's files") from error
    if len(shape) != head[3] or len(data) != size:
        raise BadArgument(source, "is cut off", "get MNIST's files again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _mnist(folder: Path, which: str) -> tuple[np.ndarray, np.ndarray]:
    images = read_idx(folder / f"{which}-images-idx3-ubyte")
    digits = read_idx(folder / f"{which}-labels-idx1-ubyte")
    if images.ndim != 3 or digits.shape != images.shape[:1]:
        raise BadArgument(
            folder, f"has {which} images {images.shape} and labels {digits.shape}", "get it again"
        )
    return images, digits


def _bundled() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BadArgument(
            "folder",
            "is not given, and scikit-learn, whose digits would be taken, is not installed",
            "give the folder of MNIST's files, or pip install scikit-learn",
        ) from error
    found = load_digits()
    images = np.rint(np.asarray(found.images) * (255 / 16)).astype(np.uint8)
    return images, np.asarray(found.target)
