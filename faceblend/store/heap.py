"""HDF5's global heaps, where the texts of a shard lie: walked before HDF5 walks them.

It never comes to an end where a damaged object says that it has no size (HDF5 2.0).
"""

import mmap
import struct
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
        return all(_ends(data, heap) for heap in heaps)


def all_are_sound(path: Path) -> bool:
    """Whether every heap of a file can be walked to its end; looks through the whole file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(_MARK)
        while place >= 0:
            if not _ends(data, place):
                return False
            place = data.find(_MARK, place + 1)
    return True


def _ends(data: mmap.mmap, heap: int) -> bool:
    if heap + _HEAP.size > len(data):
        return False
    mark, _, size = _HEAP.unpack_from(data, heap)
    end, place = heap + size, heap + _HEAP.size
    if mark != b"GCOL" or end > len(data):
        return False
    while place + _OBJECT.size <= end:
        number, _, _, size = _OBJECT.unpack_from(data, place)
        # what is free counts its own head, and a text is filled up to eight bytes
        step = _OBJECT.size + -(-size // 8) * 8 if number else size
        if step < _OBJECT.size:
            return False
        place += step
    return bool(place <= end)
