"""A whole file or none: temporary name, fsync, rename.

A reader never sees half a file, and a power cut leaves either the old one or the new one.
"""

import csv
import io
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faceblend.errors import BadArgument

TEMPORARY = ".tmp"
"""Suffix of files that are not finished; whatever carries it may be deleted."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, and put the file in its place when all went well.

    Args:
        path: the final name; its folder is made if it is missing.

    Yields:
        A name in the same folder, ending in ``.tmp``. It is removed if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON with a stable layout, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV in UTF-8, its head first, whole or not at all."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it while the block lasts.

    Raises:
        BadArgument: it cannot be made, or another run is writing it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadArgument(
            folder, f"cannot be made ({error.strerror})", "give a folder that can be written"
        ) from error
    if sys.platform == "win32":
        yield  # there is no lock on a folder; two runs would redo each other's shards
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadArgument(
                folder, "is being written by another run", "wait for it, or give another folder"
            ) from None
        except OSError:
            pass  # some network disks lock no folders; two runs would redo each other's shards
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    # the rename itself must reach the disk; Windows has no handle for a folder
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
