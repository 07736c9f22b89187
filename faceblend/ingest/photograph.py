"""Any picture file as upright RGB, and which files of a folder are pictures."""

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import PIL.Image
from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from faceblend.errors import BadArgument, BadImage
from faceblend.face import Image

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Names that are taken for photographs, in upper or lower case; other files are ignored."""

MAX_PIXELS = 128_000_000
"""Largest photograph that is decoded unless told otherwise."""

OVERRIDE = "FACEBLEND_MAX_PIXELS"
"""Environment variable: the limit where neither an argument nor an option says it."""

_HEAD_BYTES = 12


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A picture file of a folder, and how to tell that it has changed."""

    source: str
    """path relative to the folder, with forward slashes"""
    size: int
    """bytes"""
    mtime_ns: int
    """time of its last change"""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a folder of photographs holds."""

    photographs: tuple[Photograph, ...]
    """ordered by ``source``"""
    unreachable: tuple[tuple[str, str], ...]
    """what cannot be read at all, and why"""
    ignored: dict[str, int]
    """other files, counted by suffix"""


def list_photographs(
    folder: Path, *, leave_out: Path | None = None, suffixes: tuple[str, ...] = SUFFIXES
) -> Listing:
    """Find the photographs of a folder and its subfolders.

    Links to folders are not followed, hidden files and folders are ignored.

    Args:
        folder: where to look.
        leave_out: a folder that is not looked into, such as the one being written.
        suffixes: of the files that count, in lower case; other files are ignored.

    Raises:
        BadArgument: there is no such folder, or no photograph in it.
    """
    if not folder.is_dir():
        wrong = "is a file" if folder.exists() else "is not there"
        raise BadArgument(folder, wrong, "give a folder of photographs")
    photographs: list[Photograph] = []
    unreachable: list[tuple[str, str]] = []
    ignored: Counter[str] = Counter()

    def blocked(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        unreachable.append((writable(name), f"cannot be listed ({error.strerror})"))

    barred = None if leave_out is None else leave_out.resolve()
    for place, folders, files in os.walk(folder, onerror=blocked):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and Path(place, name).resolve() != barred
        ]
        for name in files:
            path = Path(place, name)
            source = path.relative_to(folder).as_posix()
            if name.startswith(".") or path.suffix.lower() not in suffixes:
                ignored[path.suffix.lower()] += 1
                continue
            try:
                source.encode()
                status = path.stat()
            except UnicodeEncodeError:
                unreachable.append((writable(source), "its name is not UTF-8; rename it"))
            except OSError as error:
                unreachable.append((source, f"cannot be read ({error.strerror})"))
            else:
                if not stat.S_ISREG(status.st_mode):
                    ignored[path.suffix.lower()] += 1  # a pipe would block for ever
                    continue
                photographs.append(
                    Photograph(source=source, size=status.st_size, mtime_ns=status.st_mtime_ns)
                )
    if not photographs and not unreachable:
        others = f" among its {ignored.total()} files" if ignored else ""
        raise BadArgument(
            folder,
            f"holds no photograph{others}",
            f"those that count end in {', '.join(suffixes)}",
        )
    return Listing(
        photographs=tuple(sorted(photographs, key=lambda one: one.source)),
        unreachable=tuple(sorted(unreachable)),
        ignored=dict(sorted(ignored.items())),
    )


def pictures(folder: Path) -> list[str]:
    """Names of the pictures directly in a folder, ascending; hidden ones are left out."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [name for name in names if name.lower().endswith(SUFFIXES)]


def most_pixels(given: int | None, otherwise: int) -> int:
    """The limit on a picture's pixels: what was given, else ``OVERRIDE``, else ``otherwise``.

    Raises:
        BadArgument: the variable is no number from 1.
    """
    told = os.environ.get(OVERRIDE)
    if given is not None or told is None:
        return otherwise if given is None else given
    if not (told.isascii() and told.isdigit() and int(told[:20]) > 0):
        raise BadArgument(OVERRIDE, f"is {told!r}", "give pixels, 1 or more, or unset it")
    return int(told[:20])


def raise_to(pixels: int) -> str:
    """What to do about a picture over the limit."""
    return (
        f"give --max-pixels {pixels} if it is meant to be this large (a command without that "
        f"option: set {OVERRIDE})"
    )


def read_photograph(path: Path, max_pixels: int | None = None) -> Image:
    """Read a JPEG, PNG, WebP, BMP or TIFF file as people see it.

    Turned upright as its EXIF data say; 16 bits scaled to 8, grey rounded and colour to within
    one level; CMYK, palettes and grey converted; what is transparent lies over white. Embedded
    colour profiles are not applied. Of several pictures in a file the first counts.

    Args:
        path: the file; its content decides what it is, not its name.
        max_pixels: limit on width times height, checked before anything is decoded; see
            :func:`most_pixels`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadImage: it is empty, cut off, damaged, larger than the limit, or no such picture.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file, most_pixels(max_pixels, MAX_PIXELS))
    except OSError as error:
        raise BadImage(path, f"cannot be read ({error.strerror})", "check the file") from error


def _read(path: Path, file: BinaryIO, max_pixels: int) -> Image:
    reader = _reader(path, file.read(_HEAD_BYTES))
    file.seek(0)
    try:
        # not Image.open: its own limit on pixels is global, and as warnings go, so is silence
        picture = reader(file)
    except Exception as error:  # damaged headers raise nearly anything
        raise _damaged(path, error) from error
    width, height = picture.size
    if width * height > max_pixels:
        raise BadImage(
            path,
            f"is {width}x{height}, and {width * height:,} pixels are over the limit of "
            f"{max_pixels:,}",
            raise_to(width * height),
        )
    try:
        picture.load()
        return _rgb(path, _upright(picture))
    except BadImage:
        raise
    except Exception as error:  # and so do damaged pixels
        raise _damaged(path, error) from error


def _reader(path: Path, head: bytes) -> type[ImageFile]:
    if not head:
        raise BadImage(path, "is empty (0 bytes)", "replace the file")
    if head.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return WebPImageFile
    if head.startswith(b"BM"):
        return BmpImageFile
    if head.startswith((b"II*\0", b"MM\0*")):
        return TiffImageFile
    raise BadImage(
        path, "is not a JPEG, PNG, WebP, BMP or TIFF picture, whatever its name", "convert it"
    )


def _damaged(path: Path, error: Exception) -> BadImage:
    words = (str(error).splitlines() or [""])[0] or type(error).__name__
    return BadImage(path, f"is damaged or cut off ({words})", "replace the file")


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF data say nothing; the pixels are sound
        return picture


def _rgb(path: Path, picture: PIL.Image.Image) -> Image:
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        # PIL would clip at 255; 65535 / 255 = 257
        grey = (np.asarray(picture).astype(np.uint32) + 128) // 257
        return np.asarray(cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2RGB))
    if picture.mode in ("I", "F"):
        raise BadImage(
            path, "holds 32-bit samples of no known range", "save it with 8 or 16 bits a channel"
        )
    if picture.has_transparency_data:
        white = PIL.Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        picture = white
    return np.asarray(picture.convert("RGB"))


def writable(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 become ``\\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
