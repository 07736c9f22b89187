"""A new HDF5 file whose writer survives the disk.

HDF5 1.14 and 2.0 crash, or keep the file open, where what they hold cannot be written. So they
write through a file of ours that takes everything, and remembers what the system said.
"""

import io
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import h5py

T = TypeVar("T")


class Unfailing(io.RawIOBase):
    """A file for HDF5: after an error it takes what comes and keeps nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._at = 0
        self.error: OSError | None = None
        """the first thing that the system refused"""
        self.stop: Callable[[], object] | None = None
        """what a signal asked for meanwhile"""

    def check(self) -> None:
        """Raise what the system refused, and what a signal asked for.

        Raises:
            OSError: it refused something.
        """
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()
        if self.error is not None:
            raise self.error

    def guarded(self, items: Iterable[T]) -> Iterator[T]:
        """Give items that are written one by one, as long as that goes well."""
        for item in items:
            yield item
            self.check()  # what follows would be made in vain

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as any file does."""
        self._at = offset if whence == io.SEEK_SET else self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; with zeros where there is nothing."""
        found = b""
        try:
            self._file.seek(self._at)
            found = self._file.read(len(buffer))
        except OSError as error:
            self.error = self.error or error
        buffer[:] = found + bytes(len(buffer) - len(found))
        self._at += len(buffer)
        return len(buffer)

    def write(self, data: Any) -> int:
        """Write all of the data, or remember why not."""
        rest = memoryview(data)
        try:
            self._file.seek(self._at)
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]  # a disk that is almost full takes a part
        except OSError as error:
            self.error = error
        self._at += len(data)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or remember why not."""
        size = self._at if size is None else size
        try:
            self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Unfailing]]:
    """Make an HDF5 file.

    Args:
        path: the file; what is there is replaced.

    Yields:
        The HDF5 file to fill, and the file behind it, to ask now and then whether it still
        takes what is written.

    Raises:
        OSError: the disk is full, or fails.
    """
    with path.open("w+b", buffering=0) as file:
        disk = Unfailing(file)
        with _signals_later(disk), h5py.File(disk, "w") as hdf5:
            yield hdf5, disk
        disk.check()


@contextmanager
def _signals_later(disk: Unfailing) -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM until the next check: raised in a write, they are errors to HDF5."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises them in the main thread alone
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    heard = {one: handler for one, handler in before.items() if callable(handler)}

    def later(number: int, frame: Any) -> None:
        disk.stop = lambda: heard[signal.Signals(number)](number, frame)

    for one in heard:
        signal.signal(one, later)
    try:
        yield
    finally:
        for one, handler in heard.items():
            signal.signal(one, handler)
        stop, disk.stop = disk.stop, None
        if stop is not None:  # also where the block raised something else
            stop()
