"""Pictures in a folder with a list of their names and labels, as contests give them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import PIL.Image
from jaxtyping import UInt8
from numpy.random import Generator

from faceblend import within
from faceblend.errors import BadArgument
from faceblend.face import Image
from faceblend.ingest.photograph import read_photograph
from xray_train.photometric import brightness_contrast, shift_hsv
from xray_train.sources.source import Item, Source, as_picture, as_tensor, positive, without_xray

NAME, TARGET = "img_name", "target"
"""Columns of a list."""

SIZE = 256
"""px; the side that pictures are brought to unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A list, in its order."""

    names: list[str]
    """of the pictures, below their folder"""
    targets: list[int] | None
    """1 forged, 0 real; None where the list has no such column"""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One draw of what training changes in a picture."""

    mirrored: bool
    upside_down: bool
    turn: float
    """degrees"""
    gain: float
    """of the contrast, around the level 128"""
    offset: float
    """levels"""
    hue: float
    """degrees of 180"""
    saturation: float
    """levels"""


class Listed(Source):
    """Pictures of a list, as they are: real and forged. They have no X-ray.

    A picture is read upright, as its EXIF data say, and brought to a square by Pillow's bilinear
    filter, whose width grows with the shrinking: torchvision's ``Resize((size, size))``. Nothing
    tells who is shown, so every picture counts as a video of its own.

    Args:
        folder: of the pictures; names of the list may have folders in them.
        labels: the list, CSV with the columns ``img_name`` and ``target`` (1 deepfake, 0 real).
        size: side of the square, px.
        first: only so many rows; 0 takes all.
        augment: training mirrors and turns upside down, each every second time, and what follows.
        parts: of the mix.
        turn: largest rotation, degrees to either side; what lay beyond the border is mirrored.
        colours: strength of the colour jitter, 0 to 1: at 1 contrast changes by up to 40%,
            brightness by 50 levels, hue by 9 of 180 degrees, saturation by 60 levels.

    Raises:
        BadArgument: the list is missing, empty, or wrong in a line; a picture of it is not in the
            folder; or a number is out of range.
    """

    def __init__(
        self,
        folder: str,
        labels: str,
        size: int = SIZE,
        first: int = 0,
        augment: bool = False,
        parts: int = 1,
        turn: float = 0.0,
        colours: float = 0.0,
    ) -> None:
        self.parts, self.augment = positive(parts), augment
        for name, value, low, high in (
            ("size", size, 1, 8192), ("turn", turn, 0, 180), ("colours", colours, 0, 1),
        ):  # fmt: skip
            if not low <= value <= high:
                raise BadArgument(name, f"is {value}", f"give {low} to {high}")
        if (turn or colours) and not augment:
            raise BadArgument("augment", "is false, so turn and colours do nothing", "give true")
        rows = read_list(Path(labels), first=first)
        if rows.targets is None:
            raise BadArgument(labels, f"has no column {TARGET}", f"give {NAME},{TARGET}")
        _check_there(Path(folder), rows.names, Path(labels))
        self._folder, self._names, self._size = Path(folder), rows.names, size
        self._targets = np.array(rows.targets, np.int8)
        self._turn, self._colours = turn, colours

    def __len__(self) -> int:
        return len(self._names)

    def item(self, number: int) -> Item:
        """The ``number``-th picture of the list; a picture that cannot be read is an error."""
        picture = squared(read_photograph(self._folder / self._names[number]), self._size)
        return without_xray(picture, int(self._targets[number]))

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its name for a video."""
        return self.item(number), self._names[number]

    def changed(self, item: Item, rng: Generator) -> Item:
        """Mirrored, upside down, turned and coloured, as drawn."""
        change = draw_change(rng, self._turn, self._colours)
        return {**item, "image": as_tensor(apply_change(as_picture(item["image"]), change))}

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """As the list says."""
        return set(np.unique(self._targets).tolist())


def read_list(path: Path, *, first: int = 0) -> Rows:
    """Read a list of pictures: CSV with a head, ``img_name`` and where known ``target``.

    Args:
        path: of the list; UTF-8.
        first: only so many rows; 0 takes all.

    Raises:
        BadArgument: it cannot be read, has no such column or no row, or a line has no name, a
            name of an earlier line, or a target that is neither 0 nor 1.
    """
    if first < 0:
        raise BadArgument("first", f"is {first}", "give 0 for all rows, or how many")
    names: dict[str, int] = {}
    targets: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            head = [one.strip() for one in next(lines, [])]
            if NAME not in head:
                raise BadArgument(
                    path,
                    f"has no column {NAME}, its first line is {','.join(head)!r}",
                    f"give {NAME},{TARGET}",
                )
            for line in lines:
                if not line:
                    continue
                where = f"{path}, line {lines.line_num}"
                if len(line) != len(head):
                    wrong = f"has {len(line)} values for {len(head)} columns"
                    raise BadArgument(where, wrong, "mend the line")
                row = dict(zip(head, (one.strip() for one in line), strict=True))
                name = row[NAME]
                if not name:
                    raise BadArgument(where, "names no picture", "mend the line")
                if within.leaves(name):
                    wrong = f"names {name!r}, which leaves the folder of the pictures"
                    raise BadArgument(where, wrong, "use paths inside it")
                if name in names:
                    wrong = f"names {name} again, as line {names[name]} does"
                    raise BadArgument(where, wrong, "keep one of them")
                names[name] = lines.line_num
                if TARGET in head:
                    if row[TARGET] not in ("0", "1"):
                        wrong = f"has the target {row[TARGET]!r}"
                        raise BadArgument(where, wrong, "give 1 for a deepfake and 0 for a real")
                    targets.append(int(row[TARGET]))
                if len(names) == first:
                    break
    except OSError as error:
        raise BadArgument(path, f"cannot be read ({error.strerror})", "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadArgument(path, f"is no CSV in UTF-8 ({error})", "save it as that") from error
    if not names:
        raise BadArgument(path, "lists no picture", "give a list with a row for each")
    return Rows(names=list(names), targets=targets if TARGET in head else None)


def squared(image: Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Bring a picture to a square, whatever its shape, with Pillow's bilinear filter.

    Where it shrinks, the filter is as wide as the shrinking: no aliasing.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: px.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    if image.shape[:2] == (size, size):
        return image
    picture = PIL.Image.fromarray(image).resize((size, size), PIL.Image.Resampling.BILINEAR)
    return np.array(picture)


def draw_change(rng: Generator, turn: float, colours: float) -> Change:
    """Draw one change; see :class:`Listed`.

    The numbers are the same whichever of them are used, so a rotation more leaves the mirroring
    where it was.
    """
    return Change(
        mirrored=bool(rng.random() < 0.5),
        upside_down=bool(rng.random() < 0.5),
        turn=turn * rng.uniform(-1, 1),
        gain=1 + 0.4 * colours * rng.uniform(-1, 1),
        offset=50 * colours * rng.uniform(-1, 1),
        hue=9 * colours * rng.uniform(-1, 1),
        saturation=60 * colours * rng.uniform(-1, 1),
    )


def apply_change(image: Image, change: Change) -> Image:
    """Change a picture of (H, W, 3) uint8 RGB; its size stays."""
    if change.mirrored:
        image = image[:, ::-1]
    if change.upside_down:
        image = image[::-1]
    image = np.ascontiguousarray(image)
    if change.turn:
        height, width = image.shape[:2]
        centre = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, change.turn, 1.0)
        image = np.asarray(
            cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        )
    if change.gain != 1 or change.offset:
        around = 128 * (1 - change.gain) + change.offset
        image = brightness_contrast(image, change.gain, around)
    if change.hue or change.saturation:
        image = shift_hsv(image, change.hue, change.saturation, 0.0)
    return image


def _check_there(folder: Path, names: Sequence[str], labels: Path) -> None:
    # a folder is listed once: half a million questions after single files take minutes
    inside: dict[str, set[str]] = {}
    missing = []
    for name in names:
        path = PurePosixPath(name)
        parent = str(path.parent)
        if parent not in inside:
            try:
                inside[parent] = {one.name for one in (folder / parent).iterdir()}
            except OSError:
                inside[parent] = set()
        if path.name not in inside[parent]:
            missing.append(name)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise BadArgument(
            folder,
            f"lacks {len(missing):,} of the {len(names):,} pictures of {labels} ({shown})",
            "check the folder, or take those lines out of the list",
        )
