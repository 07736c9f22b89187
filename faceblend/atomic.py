"""A whole file or none: temporary name, fsync, rename.

A reader never sees half a file, and a power cut leaves either the old one or the new one.
"""

import csv
import errno
import io
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from faceblend.errors import BadArgument, Unwritable

TEMPORARY = ".tmp"
"""Suffix of files that are not finished; whatever carries it may be deleted."""

_BLOCK = 4096  # bytes; what a file takes on a disk at least
_REMEDIES = {
    "make space on the disk": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "make its folder writable": (errno.EACCES, errno.EPERM, errno.EROFS),
    "give the name of a file": (errno.EISDIR, errno.ENOTDIR),
    "raise the limit of open files (ulimit -n)": (errno.EMFILE, errno.ENFILE),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in words what the system has against a file that is written in the block.

    Raises:
        Unwritable: the block raised ``OSError``.
    """
    try:
        yield
    except OSError as error:
        # h5py tells the place, the time and a pointer in several lines
        code = error.errno or (errno.ENOSPC if _is_full(path.parent) else 0)  # numpy gives none
        reason = os.strerror(code) if code else " ".join(str(error).split())
        remedies = (remedy for remedy, codes in _REMEDIES.items() if code in codes)
        remedy = next(remedies, "check the disk")
        raise Unwritable(
            path, f"cannot be written ({reason})", f"{remedy}, then run the same command again"
        ) from error


@contextmanager
def replacing(path: Path, *, empty: bool = False) -> Iterator[Path]:
    """Give a temporary name to write to, and put the file in its place when all went well.

    Args:
        path: the final name; its folder is made if it is missing.
        empty: a file of no bytes is meant, and none that the block forgot.

    Yields:
        An empty file in the same folder, ending in ``.tmp``, that its owner alone may read and
        write; it gets the usual mode in the end. It is removed if the block raises.

    Raises:
        Unwritable: the block raised ``OSError``, or the file could not be put in its place.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    made = False
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = _made_alone(temporary)
            made = True
            yield temporary
            if not empty and not temporary.stat().st_size:
                raise FileNotFoundError(errno.ENOENT, "nothing was written", str(temporary))
            sync(temporary)
            _set_mode(temporary, mode)
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        if made:  # else it is somebody else's
            with suppress(OSError):  # of a disk that may no longer be written, the first counts
                temporary.unlink(missing_ok=True)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _BLOCK
    except OSError:
        return False


def sync(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path, empty=not data) as temporary:
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
def alone_in(folder: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Make a folder and keep other runs out of it while the block lasts.

    Args:
        folder: what the block writes.
        shared: let others in that are ``shared`` too.
        wait: wait for the others instead of refusing.

    Raises:
        BadArgument: it cannot be made, or another run is writing it.
        Unwritable: it cannot be opened.
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

    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadArgument(
                folder, "is being written by another run", "wait for it, or give another folder"
            ) from None
        except OSError:
            pass  # some network disks lock no folders; two runs would redo each other's shards
        yield
    finally:
        os.close(handle)


def _made_alone(path: Path) -> int:
    """Make a file that nobody else has made or linked, and see what mode it should have."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        mode = os.fstat(handle).st_mode & 0o777  # what the umask leaves
    finally:
        os.close(handle)
    _set_mode(path, 0o600)
    return mode


def _set_mode(path: Path, mode: int) -> None:
    with suppress(OSError):  # some network disks have no modes
        path.chmod(mode)


def _sync_folder(folder: Path) -> None:
    # the rename itself must reach the disk; Windows has no handle for a folder
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
