"""Where the classic folder layout puts things, and how a shard of it is read back.

A sample is a numbered PNG in ``true/`` or ``fake/`` and its X-ray in ``mask/``; a shard is
the samples of one ``records/00000.jsonl``.
"""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from faceblend import codec
from faceblend.errors import BadShard
from faceblend.store.manifest import Plan, ShardEntry
from faceblend.store.shard import REMAKE, Stored

FOLDERS = ("true", "fake", "mask", "records")


def picture_paths(root: Path, index: int, label: int) -> tuple[Path, Path]:
    """Where the image of a sample and its X-ray belong."""
    name = f"{index:08d}.png"
    return root / ("fake" if label else "true") / name, root / "mask" / name


def label_of(record: str) -> int:
    """What a record says its sample is: 1 blended, 0 real.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is not the JSON of a record.
    """
    return int(json.loads(record)["draw"]["fake"] is not None)


class FolderShard:
    """A committed shard of PNGs, read like an :class:`~faceblend.store.shard.OpenShard`.

    Args:
        root: the set's folder.
        entry: what the manifest says of the shard.
        plan: what the manifest says of the set.

    Raises:
        BadShard: its records are missing or not those of the manifest's samples.
    """

    def __init__(self, root: Path, entry: ShardEntry, plan: Plan) -> None:
        self.path = root / entry.name
        self._root, self._size = root, plan.image_size
        self._records = _lines(self.path)
        if len(self._records) != entry.stored:
            raise BadShard(
                self.path,
                f"has {len(self._records)} records, the manifest says {entry.stored}",
                REMAKE,
            )
        self._indices = list(entry.indices())
        try:
            self._labels = [label_of(record) for record in self._records]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadShard(
                self.path, f"holds a line that is no record ({error!r})", REMAKE
            ) from error

    def row(self, row: int) -> Stored:
        """Everything about one row.

        Raises:
            BadShard: a picture is missing, damaged or of another size.
        """
        index, label = self._indices[row], self._labels[row]
        image, mask = picture_paths(self._root, index, label)
        if picture_paths(self._root, index, 1 - label)[0].exists():
            raise BadShard(image, "is there as true and as fake", "delete the wrong one")
        bgr = self._picture(image, cv2.IMREAD_COLOR)
        return Stored(
            index=index,
            image=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)),
            xray_u8=self._picture(mask, cv2.IMREAD_GRAYSCALE),
            label=label,
            record=self._records[row],
            alpha=None,
            landmarks=None,
        )

    def differences(self, plan: Plan) -> list[str]:  # noqa: ARG002 - HDF5 has attributes here
        """Nothing: the folder layout keeps what decided it in the manifest only."""
        return []

    def digest(self) -> tuple[str, int]:
        """SHA-256 of all files one after the other, in hex, and their size in bytes.

        Raises:
            BadShard: one of them is missing.
        """
        digest, size = hashlib.sha256(), 0
        for path in self.files():
            data = _bytes(path)
            digest.update(data)
            size += len(data)
        return digest.hexdigest(), size

    def size_on_disk(self) -> int:
        """Size of all files, bytes.

        Raises:
            BadShard: one of them is missing.
        """
        try:
            return sum(path.stat().st_size for path in self.files())
        except OSError as error:
            raise BadShard(error.filename, f"cannot be read ({error.strerror})", REMAKE) from error

    def files(self) -> list[Path]:
        """Image and X-ray of every sample, then the records: the order of the digest."""
        pairs = zip(self._indices, self._labels, strict=True)
        pictures = [path for pair in pairs for path in picture_paths(self._root, *pair)]
        return [*pictures, self.path]

    def close(self) -> None:
        """Nothing stays open."""

    def _picture(self, path: Path, mode: int) -> np.ndarray:
        data = _bytes(path)
        # by its header, before anything is decoded: it could take all memory
        width, height = size = codec.size(data) or (0, 0)
        if any(size) and size != (self._size, self._size):
            raise BadShard(path, f"is {width}x{height}, the manifest says {self._size} px", REMAKE)
        picture = codec.decode_as(data, mode) if any(size) else None
        if picture is None or picture.shape[:2] != size:
            raise BadShard(path, "is not a picture that can be decoded", REMAKE)
        return np.asarray(picture)


def _lines(path: Path) -> list[str]:
    try:
        return _bytes(path).decode().split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise BadShard(path, f"is not text ({error})", REMAKE) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadShard(path, "is missing", REMAKE) from None
    except OSError as error:
        raise BadShard(path, f"cannot be read ({error.strerror})", REMAKE) from error
