"""HDF5's global heaps, where the texts of a shard lie: walked before HDF5 walks them.

It never comes to an end where a damaged object says that it has no size (HDF5 2.0).
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py

_MARK = b"GCOL\1\0\0\0"
_TEXT = struct.Struct("<IQI")  # length, place of its heap, number in it
_HEAP = struct.Struct("<4s4sQ")  # mark, version, bytes
_OBJECT = struct.Struct("<HH4sQ")  # number, references, nothing, bytes


def is_sound(path: Path, texts: h5py.Dataset) -> bool:
    """Whether every heap that a dataset of texts names can be walked to its end.

    Args:
        path: the file, which has no user block.
        texts: a dataset of it, in one piece.
    """
    place, count = texts.id.get_offset(), texts.size
    if place is None or not count:
        return not count
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if place + count * _TEXT.size > len(data):
            return False
        named = _TEXT.iter_unpack(data[place : place + count * _TEXT.size])
        heaps = {heap for length, heap, _ in named if length}
        return _all_end(data, heaps)


def all_are_sound(path: Path) -> bool:
    """Whether every heap of a file can be walked to its end; looks through the whole file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _all_end(data, _marked(data))


def _marked(data: mmap.mmap) -> Iterator[int]:
    place = data.find(_MARK)
    while place >= 0:
        yield place
        place = data.find(_MARK, place + 1)


def _all_end(data: mmap.mmap, heaps: Iterable[int]) -> bool:
    # heaps do not overlap: together they hold no more objects than the file has room for
    left = len(data) // _OBJECT.size
    for heap in heaps:
        left -= _steps(data, heap, left)
        if left < 0:
            return False
    return True


def _steps(data: mmap.mmap, heap: int, most: int) -> int:
    """Objects of a heap; more than ``most`` where its end is not found in as many."""
    beyond, count = most + 1, 0
    if heap + _HEAP.size > len(data):
        return beyond
    mark, _, size = _HEAP.unpack_from(data, heap)
    end, place = heap + size, heap + _HEAP.size
    if mark != b"GCOL" or end > len(data):
        return beyond
    while place + _OBJECT.size <= end and count <= most:
        number, _, _, size = _OBJECT.unpack_from(data, place)
        # what is free counts its own head, and a text is filled up to eight bytes
        step = _OBJECT.size + -(-size // 8) * 8 if number else size
        if step < _OBJECT.size:
            return beyond
        place += step
        count += 1
    return count if place <= end else beyond
