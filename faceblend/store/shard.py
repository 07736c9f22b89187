"""One shard: an ordinary HDF5 file of samples, written whole or not at all."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import deflate
import h5py
import numpy as np
from jaxtyping import UInt8

from faceblend import atomic
from faceblend.errors import BadShard
from faceblend.face import Alpha, Image, Landmarks
from faceblend.sample import Sample
from faceblend.store import heap
from faceblend.store.hdf5 import new_hdf5
from faceblend.store.manifest import FORMAT, Plan, ShardEntry, Written

UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError)
"""What h5py raises, depending on where a file is damaged."""

REMAKE = "run the same generate command again: it remakes this shard"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """A sample as it lies on disk, whatever the layout."""

    index: int
    """Its number in the run."""
    image: Image
    """(S, S, 3) uint8 RGB."""
    xray_u8: UInt8[np.ndarray, "height width"]
    """(S, S), ``round(255 * B)``."""
    label: int
    """1 blended, 0 real."""
    record: str
    """One line of JSON."""
    alpha: Alpha | None
    """(S, S) float32; None where the set did not keep it."""
    landmarks: Landmarks | None
    """(68, 2) float32, px of ``image``; None in the folder layout, which has no place for it."""
    crc32: int | None = None
    """of all of it, as it was written; None where the shard has none"""

    @property
    def is_as_written(self) -> bool:
        """Nothing of it has changed, as far as its CRC-32 tells."""
        assert self.landmarks is not None  # what has a checksum has them
        pictures = [self.image, self.xray_u8, *([] if self.alpha is None else [self.alpha])]
        words = (self.label, self.index, self.record)
        return self.crc32 == _crc32(pictures, self.landmarks, *words)


def write_shard(path: Path, samples: Iterable[Sample], plan: Plan, room: int) -> Written:
    """Write samples as they come; only one at a time is in memory.

    The same samples give the same bytes: no time stamps, one order.

    Args:
        path: the shard's file; it appears when everything is in it and on the disk.
        samples: in ascending order of their index.
        plan: what goes into the attributes, and the samples' size.
        room: how many samples there may be at most.

    Raises:
        ValueError: a sample is not of the plan's size, or there are more than ``room``.
    """
    with atomic.replacing(path) as temporary:
        with new_hdf5(temporary) as (file, disk):
            labels = _fill(file, disk.guarded(samples), plan, room)
        # the disk is waited for while the processor hashes; what is there twice costs nothing
        with ThreadPoolExecutor(1) as beside:
            synced = beside.submit(atomic.sync, temporary)
            digest, size = file_digest(temporary)
            synced.result()
    return Written(stored=len(labels), fakes=sum(labels), sha256=digest, bytes=size)


def file_digest(path: Path) -> tuple[str, int]:
    """SHA-256 of a file in hex, and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


class OpenShard:
    """A committed shard, open for reading.

    Args:
        path: the shard's file.
        entry: what the manifest says of it.
        plan: what the manifest says of the set.

    Raises:
        BadShard: it is missing, truncated or not laid out as the manifest says.
    """

    def __init__(self, path: Path, entry: ShardEntry, plan: Plan) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            if size != entry.bytes:
                raise BadShard(path, f"has {size} bytes, the manifest says {entry.bytes}", REMAKE)
            # a committed shard never changes, so nobody needs a lock, and a read-only disk
            # has none; without chunk cache, a read saves one copy (measured: 25 us for 40)
            self._file = h5py.File(path, "r", locking=False, rdcc_nbytes=0)
        except FileNotFoundError:
            raise BadShard(path, "is listed in the manifest and missing", REMAKE) from None
        except OSError as error:
            raise BadShard(path, f"cannot be opened ({_line(error)})", REMAKE) from error
        try:
            self._open_datasets(entry, plan)
        except UNREADABLE as error:
            self.close()
            raise BadShard(path, f"cannot be read ({_line(error)})", REMAKE) from error
        except BadShard:
            self.close()
            raise

    def _open_datasets(self, entry: ShardEntry, plan: Plan) -> None:
        for name, (shape, dtype) in _layout(entry.stored, plan).items():
            found = self._file.get(name)
            if found is None and name == "crc32":
                continue  # shards made before there were checksums of samples
            if not isinstance(found, h5py.Dataset):
                raise BadShard(self.path, f"has no dataset {name!r}", REMAKE)
            if found.shape != shape or found.dtype != dtype:
                raise BadShard(
                    self.path,
                    f"{name!r} is {found.dtype} {found.shape}, the manifest says {dtype} {shape}",
                    REMAKE,
                )
            # we compress nothing: a small file must not unfold into a large array
            there, whole = found.id.get_storage_size(), found.size * found.dtype.itemsize
            if name != "record" and there < whole:
                wrong = f"{name!r} has {there} bytes of {whole}: compressed, or never written"
                raise BadShard(self.path, wrong, REMAKE)
            if not is_ours(self._file, found, entry.bytes):
                raise BadShard(self.path, f"{name!r} is not stored as we store it", REMAKE)
        self.images, self.xrays = self._file["image"], self._file["xray"]
        self.alphas = self._file["alpha"] if plan.alpha else None
        self.labels: UInt8[np.ndarray, " n"] = self._file["label"][:]
        self.indices = self._file["index"][:]
        self._landmarks = self._file["landmarks"]
        self._crc32s = self._file["crc32"][:] if "crc32" in self._file else None

    @cached_property
    def _records(self) -> h5py.Dataset:
        # looked at when a record is first asked for: those who train ask for none
        records = self._file["record"]
        if self._file.userblock_size or not heap.is_sound(self.path, records):
            raise BadShard(self.path, "its records are damaged", REMAKE)
        return records

    def pixels(self, row: int) -> tuple[Image, UInt8[np.ndarray, "height width"]]:
        """Image and X-ray of one row, as stored.

        Raises:
            BadShard: they cannot be read.
        """
        try:
            return self.images[row], self.xrays[row]
        except UNREADABLE as error:
            raise self._damaged(row, error) from error

    def row(self, row: int) -> Stored:
        """Everything about one row.

        Raises:
            BadShard: it cannot be read.
        """
        image, xray_u8 = self.pixels(row)
        try:
            return Stored(
                index=int(self.indices[row]),
                image=image,
                xray_u8=xray_u8,
                label=int(self.labels[row]),
                record=self._records[row].decode(),
                alpha=None if self.alphas is None else self.alphas[row],
                landmarks=self._landmarks[row],
                crc32=None if self._crc32s is None else int(self._crc32s[row]),
            )
        except UNREADABLE as error:
            raise self._damaged(row, error) from error

    def records(self) -> list[str]:
        """Every record, in the order of the rows.

        Raises:
            BadShard: they cannot be read.
        """
        try:
            return [record.decode() for record in self._records[:]]
        except UNREADABLE as error:
            raise BadShard(
                self.path, f"records cannot be read ({_line(error)})", REMAKE
            ) from error

    def _damaged(self, row: int, error: Exception) -> BadShard:
        return BadShard(f"{self.path}, row {row}", f"cannot be read ({_line(error)})", REMAKE)

    def differences(self, plan: Plan) -> list[str]:
        """Attributes that are not what the manifest says, in words."""
        if not heap.all_are_sound(self.path):  # attributes are texts, too
            return ["its texts are damaged"]
        return [
            f"attribute {name!r} is not what the manifest says"
            for name, value in _attributes(plan).items()
            if not self._says(name, value)
        ]

    def _says(self, name: str, value: Any) -> bool:
        try:
            return name in self._file.attrs and bool(self._file.attrs[name] == value)
        except UNREADABLE:
            return False  # a damaged attribute says nothing

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        # a damaged file may fail again while it is closed, when all has been said already
        with suppress(*UNREADABLE):
            self._file.close()


_TEXT = h5py.check_string_dtype(h5py.string_dtype("utf-8"))


def _fill(file: h5py.File, samples: Iterable[Sample], plan: Plan, room: int) -> list[int]:
    for name, value in _attributes(plan).items():
        file.attrs[name] = value
    layout = _layout(room, plan)
    pictures = {name: layout[name] for name in ("image", "xray", "alpha") if name in layout}
    for name, (shape, dtype) in pictures.items():
        # raw, one sample a chunk: any compression costs a worker more than rendering does
        chunks = (1, *shape[1:])
        file.create_dataset(name, shape, dtype, chunks=chunks, maxshape=shape, track_times=False)
    chunk_of = {name: file[name].id for name in pictures}
    kept: dict[str, list[Any]] = {name: [] for name in layout if name not in pictures}
    for row, sample in enumerate(samples):
        if row >= room:
            raise ValueError(f"more than {room} samples for one shard")
        parts = {"image": sample.image, "xray": sample.xray_u8, "alpha": sample.alpha}
        chunks_of = []
        for name, (shape, dtype) in pictures.items():
            part = parts[name]
            if part is None or part.shape != shape[1:]:
                raise ValueError(f"{name} of sample {sample.index} is not of shape {shape[1:]}")
            # past HDF5's filters and caches, which have nothing to do here: half the time
            chunk = np.ascontiguousarray(part, dtype)
            chunk_of[name].write_direct_chunk((row,) + (0,) * part.ndim, chunk)
            chunks_of.append(chunk)
        for name, values in kept.items():
            if name != "crc32":
                values.append(getattr(sample, name))
        words = (sample.label, sample.index, sample.record)
        kept["crc32"].append(_crc32(chunks_of, sample.landmarks, *words))
    for name in pictures:
        file[name].resize(len(kept["label"]), axis=0)
    for name, (shape, dtype) in _layout(len(kept["label"]), plan).items():
        if name in kept:
            # row by row: h5py misreads a list of texts that are all of one length
            column = np.empty(shape, object if name == "record" else dtype)
            for row, value in enumerate(kept[name]):
                column[row] = value
            file.create_dataset(name, shape, dtype, data=column, track_times=False)
    return [int(label) for label in kept["label"]]


def is_ours(file: h5py.File, dataset: h5py.Dataset, size: int) -> bool:
    """Whether a dataset lies in this file, in one piece or in rows, unfiltered, whole.

    Anything else could make HDF5 open other files, unpack bombs or follow wild pointers, and
    memory be asked for that the file does not hold.

    Args:
        file: open for reading.
        dataset: at the top of it.
        size: of the file, bytes.
    """
    how, shape = dataset.id.get_create_plist(), dataset.shape
    name = dataset.name.encode().removeprefix(b"/")
    if file.id.links.get_info(name).type != h5py.h5l.TYPE_HARD or shape is None:
        return False
    if how.get_nfilters() or how.get_external_count() or dataset.nbytes > size:
        return False
    if how.get_layout() == h5py.h5d.CHUNKED and how.get_chunk() != (1, *shape[1:]):
        return False
    # to NumPy references and lists of any length are all objects, as texts are
    is_text = h5py.check_string_dtype(dataset.dtype) == _TEXT
    return how.get_layout() != h5py.h5d.VIRTUAL and (dataset.dtype.kind in "iuf" or is_text)


def _layout(samples: int, plan: Plan) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    side = (plan.image_size, plan.image_size)
    layout: dict[str, tuple[tuple[int, ...], np.dtype]] = {
        "image": ((samples, *side, 3), np.dtype("u1")),
        "xray": ((samples, *side), np.dtype("u1")),
    }
    if plan.alpha:
        layout["alpha"] = ((samples, *side), np.dtype("<f4"))
    return layout | {
        "label": ((samples,), np.dtype("u1")),
        "index": ((samples,), np.dtype("<i8")),
        "landmarks": ((samples, 68, 2), np.dtype("<f4")),
        "record": ((samples,), h5py.string_dtype("utf-8")),
        "crc32": ((samples,), np.dtype("<u4")),
    }


def _crc32(
    pictures: Iterable[np.ndarray], landmarks: Landmarks, label: int, index: int, record: str
) -> int:
    """What tells which sample of a damaged shard is damaged."""
    crc = 0
    for part in (*pictures, landmarks):
        crc = deflate.crc32(np.ascontiguousarray(part).data, crc)
    return int(deflate.crc32(f"{label} {index} {record}".encode(), crc))


def _attributes(plan: Plan) -> dict[str, Any]:
    return {
        "format": np.int64(FORMAT),
        "recipe": json.dumps(plan.recipe, sort_keys=True),
        "seed": np.uint64(plan.seed),
        "bank": plan.bank,
        "versions": json.dumps(plan.versions, sort_keys=True),
    }


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
