"""Private folders for what passes through this disk; those of killed processes are swept."""

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows: a killed process's folder stays until somebody removes it
    fcntl = None  # type: ignore[assignment]

PREFIX = "faceblend-scratch-"
"""What the names of the folders begin with, and of no folder that a user names."""


class Scratch:
    """A folder that only this user may enter, removed when closed, dropped or at the exit.

    It lies where ``TMPDIR`` says. A process that is killed cannot remove its own: each new
    folder is locked while its process lives, and making one removes those that nobody locks.
    """

    def __init__(self) -> None:
        _sweep()
        self.path, handle = _made()
        self._pid = os.getpid()
        self._end = weakref.finalize(self, _remove, self.path, handle, self._pid)

    @property
    def is_lent(self) -> bool:
        """This process got it through a fork, and leaves it to the one that made it."""
        return self._pid != os.getpid()

    def close(self) -> None:
        """Remove the folder, unless it is lent."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def _made() -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        if fcntl is None:
            return path, None
        # somebody who sweeps may be at it before it is locked
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            with suppress(OSError):  # some disks lock no folders: nothing is swept there
                fcntl.flock(handle, fcntl.LOCK_EX)
            if path.is_dir():
                return path, handle
            os.close(handle)


def _remove(path: Path, handle: int | None, pid: int) -> None:
    if pid != os.getpid():
        return
    shutil.rmtree(path, ignore_errors=True)
    if handle is not None:
        os.close(handle)


def _sweep() -> None:
    if fcntl is None:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, another user's, or gone
            if path.lstat().st_uid != os.getuid():
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)
