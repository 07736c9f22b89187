"""A set at a URL that fsspec knows: staged on this disk, uploaded, published whole.

Only the URL travels to workers: each asks fsspec for a file system of its own, and that finds
credentials and options where it always does (environment, fsspec's configuration).
"""

import errno
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from faceblend.atomic import TEMPORARY
from faceblend.errors import BadArgument, BadShard
from faceblend.store.manifest import NAME, Manifest
from faceblend.store.place import Place
from faceblend.store.scratch import Scratch

T = TypeVar("T")

PAUSES = (1.0, 5.0, 25.0)
"""s to wait after each attempt that the network spoiled; one more follows, and is the last."""

OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "tos", "tosfs"}
)
"""Protocols whose upload appears whole or not at all; elsewhere a rename does that."""

_ANSWERS = (
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG}


def remote_at(url: str) -> "Remote":
    """The place that a URL names; nothing is asked of it yet.

    Raises:
        BadArgument: fsspec or the protocol's package is not installed, or it knows no such
            protocol.
    """
    place = Remote(url)
    if url.startswith(("file://", "local://")):
        # a relative one must mean the same to every worker
        path = os.path.abspath(url.partition("://")[2])  # noqa: PTH100 - it has no `..` then
        place = Remote(f"file://{path}")
    if "::" in url:
        raise BadArgument(place, "is a chain of URLs", "give that of the storage alone")
    _file_system(place, connects=False)
    return place


@dataclass(frozen=True)
class Remote(Place):
    """A set at a URL. Nothing keeps two runs apart there: most storage knows no locks."""

    url: str

    def __str__(self) -> str:
        # a password may stand before the host, and errors end in logs
        return re.sub(r"://[^/@]*@", "://***@", self.url.rstrip("/"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing: folders are made as they are needed, and there is no lock."""
        yield

    def sizes(self) -> dict[str, int]:
        """What lies there by name, in bytes, from one listing; nothing without such a place.

        Raises:
            BadArgument: it cannot be reached.
        """

        def listed(files: Any, root: str) -> dict[str, int]:
            try:
                found = files.ls(root, detail=True)
            except FileNotFoundError:
                return {}
            inside = [one for one in found if one["name"].strip("/") != root.strip("/")]
            return {_last(one["name"]): int(one.get("size") or 0) for one in inside}

        return self._reached("listed", "", listed)

    def load(self) -> Manifest:
        """Read the manifest.

        Raises:
            BadShard: there is none, or it contradicts itself.
            BadArgument: it cannot be reached.
        """
        with self.reading(NAME) as folder:
            try:
                return Manifest.load(folder)
            except BadShard as error:
                where = error.where.replace(str(folder), str(self))
                raise BadShard(where, error.reason, str(error.args[2])) from error

    def save(self, manifest: Manifest) -> None:
        """Write the manifest, whole or not at all.

        Raises:
            BadArgument: it cannot be written.
        """
        with Scratch() as folder:
            manifest.save(folder)
            self._put(folder / NAME, NAME)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A file in a private folder of this disk, uploaded when the block has ended well.

        Raises:
            BadArgument: it cannot be written, after several attempts where the network failed.
        """
        with Scratch() as folder:
            yield folder / name
            self._put(folder / name, name)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """A private folder with a copy of the file, if there is one.

        Raises:
            BadArgument: it cannot be reached.
        """
        with Scratch() as folder:
            self.fetch(name, folder / name)
            yield folder

    def fetch(self, name: str, to: Path) -> bool:
        """Copy a file to this disk; False where there is none.

        Raises:
            BadArgument: it cannot be reached.
        """

        def got(files: Any, path: str) -> bool:
            try:
                files.get_file(path, str(to))
                _check_size(files, path, to)
            except FileNotFoundError:
                to.unlink(missing_ok=True)
                return False
            return True

        return self._reached("read", name, got)

    def remove_temporary(self) -> None:
        """Remove uploads that were never published.

        Raises:
            BadArgument: it cannot be reached.
        """
        left = [name for name in self.sizes() if name.startswith(".") and name.endswith(TEMPORARY)]
        for name in left:

            def remove(files: Any, path: str) -> None:
                with suppress(FileNotFoundError):
                    files.rm_file(path)

            self._reached("removed", name, remove)

    def _put(self, local: Path, name: str) -> None:
        def put(files: Any, path: str) -> None:
            protocols = {files.protocol} if isinstance(files.protocol, str) else files.protocol
            if OBJECT_STORES.intersection(protocols):
                files.put_file(str(local), path)
                _check_size(files, path, local)
                return
            parent = path.rpartition("/")[0]
            temporary = f"{parent}/.{name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}"
            files.makedirs(parent, exist_ok=True)
            try:
                files.put_file(str(local), temporary)
                _check_size(files, temporary, local)
                _move(files, temporary, path)
            except BaseException:
                with suppress(Exception):  # it is gone, or the network is; why comes next
                    files.rm_file(temporary)
                raise

        self._reached("written", name, put)

    def _reached(self, done: str, name: str, do: Callable[[Any, str], T]) -> T:
        """What ``do`` makes of the file system and a path, again where the network failed."""
        pauses = iter(PAUSES)
        while True:
            try:
                files, root = _file_system(self)
                files.invalidate_cache()  # other processes write there, too
                return do(files, f"{root.rstrip('/')}/{name}" if name else root)
            except BadArgument:
                raise
            except Exception as error:  # protocols' libraries have errors of every kind
                pause = next(pauses, None) if _may_pass(error) else None
                if pause is None:
                    raise BadArgument(
                        f"{self}/{name}".rstrip("/"),
                        f"cannot be {done} ({_line(error)})",
                        "check address, credentials and network; the same command continues",
                    ) from error
                time.sleep(pause)


def _file_system(place: Remote, *, connects: bool = True) -> tuple[Any, str]:
    try:
        import fsspec.core
        from fsspec.utils import get_protocol
    except ModuleNotFoundError:
        raise BadArgument(
            place, "needs fsspec, which is not installed", "pip install 'faceblend[cloud]'"
        ) from None
    protocol = get_protocol(place.url)
    try:
        fsspec.get_filesystem_class(protocol)
        if not connects:
            return None, ""
        files, root = fsspec.core.url_to_fs(place.url)
    except ImportError as error:
        raise BadArgument(
            place,
            f"needs a package that is not installed ({_line(error)})",
            f"install what fsspec reads {protocol}:// with, where the workers are, too",
        ) from error
    except ValueError as error:
        remedy = "give a folder, or a URL such as s3://bucket/set"
        raise BadArgument(place, f"cannot be used ({_line(error)})", remedy) from error
    return files, root


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may do better: nobody refused, and it is no fault of a program."""
    if isinstance(error, _ANSWERS) or "Credentials" in type(error).__name__:
        return False
    if isinstance(error, OSError):
        return error.errno not in _FULL
    # timeouts and lost connections of the protocols' libraries are often no OSErrors
    return type(error).__module__ != "builtins"


def _check_size(files: Any, path: str, local: Path) -> None:
    files.invalidate_cache()
    there, here = files.size(path), local.stat().st_size
    if there != here:
        raise ConnectionError(f"{there} bytes there and {here} here")


def _move(files: Any, source: str, target: str) -> None:
    try:
        files.mv(source, target)
    except OSError as error:
        if error.errno != errno.EEXIST and not isinstance(error, FileExistsError):
            raise
        files.rm_file(target)  # some servers rename to no name that is taken
        files.mv(source, target)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _line(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
