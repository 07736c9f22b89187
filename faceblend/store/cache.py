"""Whole shards of a remote set, kept on this disk as they are read."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from faceblend import atomic
from faceblend.errors import BadArgument, BadShard
from faceblend.store.manifest import ShardEntry
from faceblend.store.remote import Remote
from faceblend.store.scratch import Scratch
from faceblend.store.shard import REMAKE, file_digest


class ShardCache:
    """A folder of shards named by their checksums, so that several sets may share it.

    Processes may share it, too: one fetches a shard, the others wait for it. What it holds
    may be deleted at any time when nobody reads.

    Args:
        place: where the shards are.
        folder: where to keep them; None for a private temporary folder, which :meth:`close`
            removes. It is shared with processes that this object is pickled to, as long as it
            is there and they see it.
    """

    def __init__(self, place: Remote, folder: Path | None) -> None:
        self._place, self._folder = place, folder
        # made before any process forks or gets a copy, or each would have one of its own
        self._scratch = Scratch() if folder is None else None
        self._lent: Path | None = None  # another process's private folder
        self._threads = Lock()

    def fetched(self, entry: ShardEntry) -> Path:
        """A shard's file on this disk.

        Raises:
            BadShard: it is missing or damaged where the set is.
            BadArgument: it cannot be reached, or this disk has no room for it.
            Unwritable: the folder of the cache cannot be made or written.
        """
        path = self._where() / f"{entry.sha256}.h5"
        if _has(path, entry):
            return path
        # a file's lock is its process's: any thread that closes the file gives it up
        with self._threads, _one_at_a_time(path.parent, entry):
            if not _has(path, entry):
                self._fetch(entry, path)
        return path

    def close(self) -> None:
        """Remove the private folder if this process made it; the next read makes another."""
        if self._scratch is not None and not self._scratch.is_lent:
            self._scratch.close()
            self._scratch = None

    def __getstate__(self) -> dict[str, Any]:
        lent = self._lent if self._scratch is None else self._scratch.path
        return {**self.__dict__, "_scratch": None, "_lent": lent, "_threads": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _threads=Lock())

    def _where(self) -> Path:
        if self._folder is not None:
            with atomic.writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder
        if self._lent is not None and _is_ours(self._lent):
            return self._lent
        # a fork's parent may have closed its own since
        if self._scratch is None or not self._scratch.path.is_dir():
            self._scratch = Scratch()
        return self._scratch.path

    def _fetch(self, entry: ShardEntry, path: Path) -> None:
        free = shutil.disk_usage(path.parent).free
        if entry.bytes > free:
            raise BadArgument(
                path.parent,
                f"has {free:,} bytes free, and the next shard has {entry.bytes:,}",
                "name a folder on a larger disk with cache=, or read fewer shards",
            )
        where = f"{self._place}/{entry.name}"
        with atomic.replacing(path) as temporary:
            if not self._place.fetch(entry.name, temporary):
                raise BadShard(where, "is listed in the manifest and missing", REMAKE)
            digest, size = file_digest(temporary)
            if (digest, size) != (entry.sha256, entry.bytes):
                raise BadShard(where, "has other bytes than the manifest says", REMAKE)


def _is_ours(folder: Path) -> bool:
    # its name is no secret: once it is gone, anybody may make another
    try:
        told = folder.lstat()
    except OSError:
        return False
    mine = os.getuid() if hasattr(os, "getuid") else told.st_uid  # Windows has no numbers of users
    return stat.S_ISDIR(told.st_mode) and told.st_uid == mine


def _has(path: Path, entry: ShardEntry) -> bool:
    try:
        return path.stat().st_size == entry.bytes
    except OSError:
        return False


@contextmanager
def _one_at_a_time(folder: Path, entry: ShardEntry) -> Iterator[None]:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: some shard may be fetched twice
        yield
        return
    # one byte a shard in one file, so that no lock files are left by the thousand
    lock = folder / ".lock"
    with ExitStack() as stack:
        with atomic.writing(lock):
            file = stack.enter_context(lock.open("wb"))
        with suppress(OSError):  # some network disks lock nothing
            fcntl.lockf(file, fcntl.LOCK_EX, 1, int(entry.sha256[:15], 16))
        yield
