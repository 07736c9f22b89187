"""What a child process is at, in memory that outlives it: its counts and the case's bytes."""

import mmap
import struct
import time
from pathlib import Path

_HEAD = struct.Struct("<qqqqqqdd")
_ROOM = 8 * 2**20  # of a case's bytes; more is cut


class Slate:
    """A small mapped file, written by the child and read by its parent.

    Attributes:
        cases: begun so far.
        accepted: of them, read without complaint.
        refused: with a worded error.
        failed: otherwise.
        longest: seconds that one took.
        started: when the case at hand began, on the system's monotonic clock; 0 between cases.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(_HEAD.size + _ROOM)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.read()

    def read(self) -> None:
        """Take over what the other process wrote."""
        head = _HEAD.unpack_from(self._map)
        self.cases, self.accepted, self.refused, self.failed, self._size = head[:5]
        self.longest, self.started = head[6:]

    def _write(self) -> None:
        counts = (self.cases, self.accepted, self.refused, self.failed, self._size, 0)
        _HEAD.pack_into(self._map, 0, *counts, self.longest, self.started)

    def begin(self, data: bytes) -> None:
        """Put down a case before it is read: it may take the process with it."""
        self._size = min(len(data), _ROOM)
        self._map[_HEAD.size : _HEAD.size + self._size] = data[: self._size]
        self.cases += 1
        self.started = time.monotonic()
        self._write()

    def end(self, *, accepted: bool, failed: bool, seconds: float) -> None:
        """Count the case."""
        self.accepted += accepted and not failed
        self.refused += not accepted and not failed
        self.failed += failed
        self.longest = max(self.longest, seconds)
        self.started = 0.0
        self._write()

    @property
    def case(self) -> bytes:
        """The bytes of the last case that began."""
        return bytes(self._map[_HEAD.size : _HEAD.size + self._size])
