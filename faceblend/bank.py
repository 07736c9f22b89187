"""FaceBank: crops and landmarks on disk, cheap to open, safe to share with workers.

A bank is a folder (``docs/formats.md``)::

    bank/bank.json        format version, crop size, fingerprint, counts, how it was made
    bank/faces.parquet    one row a face
    bank/crops/...        one picture a face
    bank/segments/...     the user's own masks of the faces, where there are any

The landmarks are memory-mapped, so a million faces cost a worker what it touches.
"""

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from faceblend import atomic, codec, search, within
from faceblend.errors import BadBank, BadImage, Unwritable
from faceblend.face import Face, Forehead, Image, Landmarks, Mask
from faceblend.kept import mapped

FORMAT = 1
"""Version of the folder's layout; a bank of another version is refused."""

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("subject", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),
        ("source", pa.string()),
        ("crop", pa.string()),
        ("crc32", pa.int64()),
        ("box", pa.list_(pa.float32(), 4)),
        ("score", pa.float32()),
        ("landmarks", pa.list_(pa.float32(), 136)),
        ("crop_to_frame", pa.list_(pa.float64(), 6)),
    ]
)
"""Columns of ``faces.parquet``; ``docs/formats.md`` says what each holds."""

FOREHEAD = pa.field("forehead", pa.list_(pa.float32(), 26))
"""One more column, only where a face of the bank has those points."""


_NO_FOREHEAD = np.full(26, np.nan, np.float32).tobytes()
_ALWAYS = ("video", "frame", "label", "source", "crop", "landmarks")  # columns without gaps
_BEYOND = 1e6  # px; no picture is so large
_BATCH = 8192  # rows that are Python objects at a time
_LEAVES, _INSIDE = "leaves the bank's folder", "give paths inside it"
FARTHEST = 10
"""crop sides from the crop's corner; no landmark of a face is so far away"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceRow:
    """What a bank knows of one face: a row of ``faces.parquet``."""

    video: str
    """What it was filmed in."""
    frame: int
    """Frame number in the video, or position of the photograph in its group."""
    source: str
    """The photograph or video that it was cut from, relative to the folder that was read."""
    crop: str
    """Path of the crop, relative to the bank, with forward slashes."""
    landmarks: list[float]
    """136 numbers ``x0, y0, x1, y1, ...`` in pixels of the crop."""
    crc32: int | None = None
    """CRC-32 of the crop file's bytes; None where nobody computed it."""
    box: list[float] | None = None
    """``left, top, right, bottom`` of the detected face in pixels of the source."""
    score: float | None = None
    """The detector's confidence."""
    crop_to_frame: list[float] | None = None
    """Row-major 2x3 matrix: ``(x, y, 1)`` of the crop to ``(x, y)`` of the source."""
    subject: str | None = None
    """Who it is, where that is known."""
    split: str | None = None
    """``train``, ``val`` or ``test``, where the bank is split."""
    label: int = 0
    """0 real, 1 forged."""
    forehead: list[float] | None = None
    """26 numbers ``x68, y68, ...``: the 13 further points of dlib's 81-point model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceBank:
    """Faces to blend: open one with :meth:`open` or :meth:`from_landmarks_json`.

    ``len(bank)`` counts faces and ``bank[row]`` reads one :class:`~faceblend.face.Face`.
    A bank pickles as the place that it was opened from, so it travels to workers free; one
    of :meth:`in_place` pickles whole.
    """

    root: Path
    """The folder that ``crop`` paths start from."""
    crop_size: int
    """Side of every crop, px."""
    fingerprint: str
    """Hex digest of what the bank holds; the same faces give the same digest."""
    landmarks: np.ndarray
    """(faces, 68, 2) float32, pixels of the crops; memory-mapped where possible."""
    table: pa.Table
    """Every other column, as in ``faces.parquet``."""
    videos: np.ndarray
    """(faces,) int32; equal numbers mean the same video."""
    subjects: np.ndarray
    """(faces,) int32; equal numbers mean the same person, -1 unknown."""
    splits: np.ndarray
    """(faces,) int32; equal numbers mean the same split, -1 unsplit."""
    reals: np.ndarray
    """Rows of real faces, ascending int64: the only ones that blends are made of."""
    _reopen: tuple[str, ...] = field(repr=False)
    forehead: np.ndarray | None = None
    """(faces, 13, 2) float32, pixels of the crops, NaN where a face has none; memory-mapped where
    possible. None where no face has any."""

    # -- opening ---------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "FaceBank":
        """Open the bank in the folder ``path``.

        Raises:
            BadBank: there is none, it is damaged, or another version made it.
        """
        root = Path(path)
        meta = _read_meta(root)
        faces = root / "faces.parquet"
        with _reading(faces):
            rows = pq.read_metadata(faces, memory_map=True).num_rows
        if rows != meta["faces"]:
            raise BadBank(
                faces,
                f"holds {rows} faces where bank.json counts {meta['faces']}",
                "extract the bank again",
            )
        table = _read_columns(faces, [name for name in SCHEMA.names if name != "landmarks"])
        landmarks = _mapped_landmarks(root, meta["fingerprint"], table.num_rows)
        return cls._build(
            root,
            meta["crop_size"],
            meta["fingerprint"],
            landmarks,
            table,
            ("open", str(root.absolute())),  # another machine stands in another folder
            _mapped_forehead(root, meta["fingerprint"], table.num_rows),
        )

    @classmethod
    def from_landmarks_json(
        cls,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str],
        video: Literal["prefix", "folder"] = "prefix",
    ) -> "FaceBank":
        """Open pictures with the classic landmark file ``{"000_0000.png": [[x, y], ...]}``.

        The pictures serve as crops as they are, so all must be squares of one size; that
        is checked when each is read.

        Args:
            path: the JSON file; ``faceblend landmarks`` writes one.
            root: the folder that its keys start from.
            video: what the faces of one video share: ``prefix``, the folder and the part
                of the name before the first ``_`` (``000_0000.png`` is frame 0 of video
                ``000``), or ``folder`` alone.

        Raises:
            BadBank: the file is not such JSON, an entry has not 68 finite points, or a
                key leaves ``root``.
        """
        path, root = Path(path), Path(root)
        entries = _read_landmark_entries(path)
        names = sorted(entries)
        points = np.stack([entries[name] for name in names])
        first = root / names[0]
        size = _square_side(first)
        rows = [
            FaceRow(
                video=_classic_video(name, video),
                frame=_classic_frame(name),
                source=name,
                crop=name,
                landmarks=[],
            )
            for name in names
        ]
        table = _table(rows)
        fingerprint = _fingerprint(table, points, size)
        reopen = ("from_landmarks_json", str(path.absolute()), str(root.absolute()), video)
        return cls._build(root, size, fingerprint, points, table, reopen)

    @classmethod
    def in_place(
        cls, root: str | os.PathLike[str], rows: Iterable[FaceRow], *, crop_size: int
    ) -> "FaceBank":
        """Faces of crops that stay where they are, such as another program's; writes nothing.

        Args:
            root: the folder that ``crop`` paths start from.
            rows: the faces; ordered by video, frame and crop.
            crop_size: side of every crop, px; checked when each is read.

        Raises:
            BadBank: there is no row, two rows share a crop, or one has not 68 landmarks.
        """
        root = Path(root)
        table, points, forehead = _ordered(rows, root)
        fingerprint = _fingerprint(table, points, crop_size, forehead)
        return cls._build(root, crop_size, fingerprint, points, table, (), forehead)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        rows: Iterable[FaceRow],
        *,
        crop_size: int,
        made_by: Mapping[str, Any],
    ) -> "FaceBank":
        """Write ``faces.parquet`` and ``bank.json`` for crops that are already in place.

        Args:
            path: the bank's folder.
            rows: the faces; stored ordered by video, frame and crop.
            crop_size: side of every crop, px.
            made_by: how it was made (detector, options); kept in ``bank.json``.

        Raises:
            BadBank: there is no row, two rows share a crop, or one has not 68 landmarks.
        """
        root = Path(path)
        bare, points, forehead = _ordered(rows, root)
        meta = {
            "format": FORMAT,
            "crop_size": crop_size,
            "fingerprint": _fingerprint(bare, points, crop_size, forehead),
            "faces": bare.num_rows,
            "videos": pc.count_distinct(bare["video"]).as_py(),
            "subjects": pc.count_distinct(bare["subject"], mode="only_valid").as_py(),
            "made_by": dict(made_by),
        }
        # bank.json goes last: a folder without it is no bank yet
        (root / "bank.json").unlink(missing_ok=True)
        for copy in (root / "cache").glob("*-*.np[yz]"):
            copy.unlink()  # of what the bank held before
        with atomic.replacing(root / "faces.parquet") as temporary:
            whole = _with_forehead(_with_landmarks(bare, points), forehead)
            pq.write_table(whole, temporary, write_page_checksum=True)
        atomic.write_json(root / "bank.json", meta)
        return cls.open(root)

    @classmethod
    def _build(
        cls,
        root: Path,
        crop_size: int,
        fingerprint: str,
        landmarks: np.ndarray,
        table: pa.Table,
        reopen: tuple[str, ...] = (),
        forehead: np.ndarray | None = None,
    ) -> "FaceBank":
        if crop_size > codec.MAX_SIDE:
            raise BadBank(
                root,
                f"has crops of {crop_size:,} px, over the limit of {codec.MAX_SIDE:,}",
                "make smaller crops: faceblend extract --crop-size",
            )
        return cls(
            root=root,
            crop_size=crop_size,
            fingerprint=fingerprint,
            landmarks=landmarks,
            table=table,
            videos=_codes(table["video"]),
            subjects=_codes(table["subject"]),
            splits=_codes(table["split"]),
            reals=np.flatnonzero(table["label"].to_numpy() == 0),
            _reopen=reopen,
            forehead=forehead,
        )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        if self._reopen:
            return _reopened, self._reopen
        whole = (self.root, self.crop_size, self.fingerprint, self.landmarks, self.table)
        return FaceBank._build, (*whole, (), self.forehead)

    # -- searching -------------------------------------------------------------------

    @cached_property
    def sums(self) -> np.ndarray:
        """(faces, 16) float32 that bound distances, see ``search``; memory-mapped if possible."""
        shape = (len(self), 2 * len(search.GROUPS))
        return _mapped(self._cache("sums"), shape, lambda: iter([search.sums(self.landmarks)]))

    def index(self, split: int) -> search.Index | None:
        """Real faces of one split arranged for exact search; None where there is none.

        Built once, a few seconds for a million faces, and kept in ``cache/``.

        Args:
            split: its number in ``splits``.
        """
        if split not in self._indexes:
            rows = self.reals[self.splits[self.reals] == split]
            self._indexes[split] = self._indexed(rows, split) if len(rows) else None
        return self._indexes[split]

    @cached_property
    def _indexes(self) -> dict[int, search.Index | None]:
        return {}

    def _indexed(self, rows: np.ndarray, split: int) -> search.Index:
        path = self._cache(f"index{split}")
        if path is None:
            return search.Index.build(self.landmarks, rows)
        there = search.Index.load(path, self.landmarks)
        if there is not None and there.count == len(rows):
            return there
        made = search.Index.build(self.landmarks, rows)
        try:
            made.save(path)
        except Unwritable:
            return made  # a read-only bank is served from memory
        return search.Index.load(path, self.landmarks) or made

    @cached_property
    def neighbours(self) -> np.ndarray | None:
        """(faces, top) int32 rows, nearest first, memory-mapped; None where not kept.

        ``faceblend neighbours`` makes it; of several, the one with most neighbours.
        """
        path = self._cache("neighbours")
        kept = sorted(path.parent.glob(f"{path.stem}-top*.npy")) if path is not None else []
        shape = (len(self), None)
        tables = [mapped(one, shape, np.int32, below=len(self)) for one in kept]
        whole = [table for table in tables if table is not None]
        return max(whole, key=lambda table: table.shape[1], default=None)

    def neighbours_path(self, top: int) -> Path | None:
        """Where a table of ``top`` neighbours a face is kept; None where no copies are."""
        path = self._cache("neighbours")
        return None if path is None else path.with_name(f"{path.stem}-top{top:04d}.npy")

    def capped_path(self, top: int, cap: int) -> Path | None:
        """Where the partners of every face are kept of which none lends itself over ``cap`` times.

        Args:
            top: partners of each face.
            cap: backgrounds that one face lends itself to at most.

        Returns:
            None where no copies are kept.
        """
        path = self._cache("capped")
        return None if path is None else path.with_name(f"{path.stem}-top{top}-cap{cap}.npy")

    def _cache(self, what: str) -> Path | None:
        # only a bank's own folder holds copies, never another program's
        if self._reopen[:1] != ("open",):
            return None
        return self.root / "cache" / f"{what}-{self.fingerprint[:16]}.npy"

    # -- reading ---------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, row: int) -> Face:
        """Read one face, its crop decoded.

        Raises:
            IndexError: there is no such row.
            BadImage: its crop is missing, damaged or not of the bank's size, or its landmarks
                are far from any crop.
        """
        row = range(len(self))[row]
        cell = {name: column[row].as_py() for name, column in self._cells.items()}
        landmarks = np.array(self.landmarks[row], np.float32)
        forehead = self.forehead_of(row)
        for points in (landmarks, landmarks if forehead is None else forehead):
            # NaN fails this too
            if not np.abs(points).max() <= FARTHEST * self.crop_size:
                raise BadImage(
                    self.root / cell["crop"],
                    f"its landmarks reach {np.abs(points).max():.0f} px, and a crop has "
                    f"{self.crop_size}",
                    "extract this face again, or leave it out",
                )
        return Face(
            row=row,
            image=self.image(row),
            landmarks=landmarks,
            forehead=forehead,
            crop=cell["crop"],
            video=cell["video"],
            frame=cell["frame"],
            subject=cell["subject"],
            split=cell["split"],
            label=cell["label"],
        )

    @cached_property
    def _cells(self) -> dict[str, pa.Array]:
        # a cell of an array takes a tenth of the time of a table's
        names = ("video", "frame", "subject", "split", "label", "crop", "crc32")
        return {name: self.table[name].combine_chunks() for name in names}

    def crop(self, row: int) -> str:
        """Path of a face's crop inside the bank: its lasting name."""
        return str(self._cells["crop"][row].as_py())

    def crop_path(self, row: int) -> Path:
        """Where the file of a face's crop lies; links on the way are followed.

        Raises:
            BadImage: its path leads out of the bank's folder.
        """
        crop = self.crop(row)
        if within.leaves(crop):
            raise BadImage(f"{self.root}: crop {crop!r}", _LEAVES, "extract the bank again")
        return self.root / crop

    def forehead_of(self, row: int) -> Forehead | None:
        """The 13 points of a face's forehead, px of its crop; None where it has none."""
        if self.forehead is None or np.isnan(self.forehead[row, 0, 0]):
            return None
        return np.array(self.forehead[row], np.float32)

    def segment(self, row: int) -> Mask:
        """The user's own segmentation of a face, which lies in ``segments/`` beside ``crops/``.

        It has the crop's path and the suffix ``.png``. The fingerprint does not know it.

        Returns:
            (crop_size, crop_size) bool; anything but zero is face.

        Raises:
            BadImage: the file is missing, damaged or not of the crops' size.
        """
        crop = PurePosixPath(self.crop_path(row).relative_to(self.root).as_posix())
        inside = crop.relative_to("crops") if crop.parts[0] == "crops" else crop
        path = self.root / "segments" / inside.with_suffix(".png")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadImage(
                path,
                f"cannot be read ({error.strerror})",
                "put the face's segment there, or leave the mask segmentation out of the recipe",
            ) from error
        # by its header, before anything is decoded: it could take all memory
        width, height = size = codec.size(data) or (0, 0)
        if any(size) and size != (self.crop_size, self.crop_size):
            raise BadImage(
                path,
                f"is {width}x{height} where its crop is {self.crop_size}x{self.crop_size}",
                "make a segment of the crop as it lies in the bank",
            )
        segment = codec.decode_mask(data) if any(size) and not codec.cut_short(data) else None
        if segment is None or segment.shape != size[::-1]:
            raise BadImage(path, "is not a picture that can be decoded", "replace the file")
        return segment

    def image(self, row: int) -> Image:
        """A face's crop: its kept pixels where :meth:`decode` was called, else its file's.

        Returns:
            (crop_size, crop_size, 3) uint8 RGB; kept pixels are read-only.

        Raises:
            BadImage: see :meth:`read_crop`.
        """
        return self.read_crop(row) if self.decoded is None else np.asarray(self.decoded[row])

    def read_crop(self, row: int) -> Image:
        """Decode the file of a face's crop, whatever is kept.

        Returns:
            (crop_size, crop_size, 3) uint8 RGB.

        Raises:
            BadImage: the file is missing, damaged or not of the bank's size. A crop that
                was cut short is never handed out half decoded, even where nobody kept its CRC.
        """
        path = self.crop_path(row)
        try:
            with path.open("rb", buffering=0) as file:
                data = file.read()
        except OSError as error:
            raise BadImage(
                path, f"cannot be read ({error.strerror})", "put it back or extract again"
            ) from error
        expected = self._cells["crc32"][row].as_py()
        if expected is not None and zlib.crc32(data) != expected:
            raise BadImage(
                path, "its bytes have changed since the bank was made", "extract the bank again"
            )
        if expected is None and codec.cut_short(data):
            raise BadImage(path, "the file ends before the picture does", "replace the file")
        # by its header, before anything is decoded: it could take all memory
        width, height = size = codec.size(data) or (0, 0)
        if any(size) and size != (self.crop_size, self.crop_size):
            raise BadImage(
                path,
                f"is {width}x{height} where this bank's crops are "
                f"{self.crop_size}x{self.crop_size}",
                "crop all pictures of a bank to one square size",
            )
        picture = codec.decode(data, self.crop_size) if any(size) else None
        if picture is None or picture.shape[:2] != size:
            raise BadImage(path, "is not a picture that can be decoded", "replace the file")
        return picture

    @cached_property
    def decoded(self) -> np.ndarray | None:
        """(faces, crop_size, crop_size, 3) uint8 RGB, memory-mapped; None where not kept.

        :meth:`decode` makes it.
        """
        path = self._cache("crops")
        shape = (len(self), self.crop_size, self.crop_size, 3)
        return None if path is None else mapped(path, shape, np.uint8)

    def decode(self) -> Path:
        """Decode every crop once and keep the pixels beside the bank: 301 kB a face at 317 px.

        Blending then reads memory. Crops that change afterwards are not noticed: their CRC is
        compared here, once.

        Returns:
            The file.

        Raises:
            BadBank: the bank is no folder of its own, which could keep it.
            BadImage: a crop cannot be read.
            BadArgument: another run writes the bank.
            Unwritable: the disk is full, or the bank's folder may not be written.
        """
        path = self._cache("crops")
        if path is None:
            raise BadBank(
                self.root, "keeps no copies", "make a bank of these pictures: faceblend extract"
            )
        with atomic.alone_in(self.root):
            self.__dict__.pop("decoded", None)
            if self.decoded is None:
                shape = (len(self), self.crop_size, self.crop_size, 3)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                # not through a mapping: on a full disk that kills the process
                with atomic.replacing(path) as temporary, temporary.open("wb") as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    for row in range(len(self)):
                        file.write(self.read_crop(row).data)
                self.__dict__.pop("decoded", None)
        return path

    def to_landmarks_json(self, path: str | os.PathLike[str]) -> None:
        """Write the classic landmark file: crop path to 68 ``[x, y]``."""
        points = {
            self.crop(row): np.asarray(self.landmarks[row], np.float64).round(3).tolist()
            for row in range(len(self))
        }
        atomic.write_bytes(Path(path), (json.dumps(points) + "\n").encode())


def _reopened(how: str, *where: Any) -> FaceBank:
    return FaceBank.open(*where) if how == "open" else FaceBank.from_landmarks_json(*where)


def _ordered(
    rows: Iterable[FaceRow], root: Path
) -> tuple[pa.Table, np.ndarray, np.ndarray | None]:
    """Rows in their order as a table without landmarks, and those as arrays, foreheads last."""
    # Arrow keeps a row in a tenth of what its Python objects take
    parts: list[pa.Table] = []
    points, foreheads, count = bytearray(), bytearray(), 0
    for batch in _batched(rows):
        for row in batch:
            if within.leaves(row.crop):
                raise BadBank(f"{root}: crop {row.crop!r}", _LEAVES, _INSIDE)
            points += _points(row.landmarks, root / row.crop).tobytes()
            if row.forehead is not None:
                # nothing is kept of a bank without, so those before it are filled in here
                foreheads += _NO_FOREHEAD * (count - len(foreheads) // len(_NO_FOREHEAD))
                foreheads += _forehead(row.forehead, root / row.crop).tobytes()
            count += 1
        parts.append(_table(batch))
    if not parts:
        raise BadBank(
            root, "no face to put into it", "look into errors.jsonl for what was refused"
        )
    table = pa.concat_tables(parts)
    if pc.count_distinct(table["crop"]).as_py() < table.num_rows:
        raise BadBank(root, "two faces share one crop file", "give every face its own")
    keys = [(name, "ascending") for name in ("video", "frame", "crop")]
    order = pc.sort_indices(table, sort_keys=keys)
    landmarks = np.frombuffer(points, np.float32).reshape(-1, 68, 2)
    ordered = table.take(order).combine_chunks(), landmarks[order.to_numpy()]
    if not foreheads:
        return *ordered, None
    foreheads += _NO_FOREHEAD * (count - len(foreheads) // len(_NO_FOREHEAD))
    further = np.frombuffer(foreheads, np.float32).reshape(-1, 13, 2)
    return *ordered, further[order.to_numpy()]


def _batched(rows: Iterable[FaceRow]) -> Iterator[list[FaceRow]]:
    queue = iter(rows)
    while batch := list(islice(queue, _BATCH)):
        yield batch


def _read_meta(root: Path) -> dict[str, Any]:
    path = root / "bank.json"
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadBank(
            root,
            "is not a finished face bank (no bank.json)",
            "make one with: faceblend extract PHOTOGRAPHS --out BANK",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadBank(
            path, f"cannot be read ({_first_line(error)})", "extract the bank again"
        ) from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else None
        raise BadBank(
            path,
            f"has format {found!r}, and this version reads format {FORMAT}",
            "extract the bank again with this version",
        )
    size, faces, fingerprint = meta.get("crop_size"), meta.get("faces"), meta.get("fingerprint")
    holds = {
        "crop_size": isinstance(size, int) and size > 0,
        # it names a file below
        "fingerprint": isinstance(fingerprint, str) and re.fullmatch("[0-9a-f]{64}", fingerprint),
        "faces": isinstance(faces, int) and faces > 0,
    }
    for key, valid in holds.items():
        if not valid:
            raise BadBank(path, f"has no valid {key!r}", "extract the bank again")
    return meta


def _mapped_landmarks(root: Path, fingerprint: str, faces: int) -> np.ndarray:
    # parquet cannot be mapped; an uncompressed copy under the bank's fingerprint can
    cache = root / "cache" / f"landmarks-{fingerprint[:16]}.npy"
    return _mapped(cache, (faces, 68, 2), lambda: _read_points(root / "faces.parquet"))


def _mapped_forehead(root: Path, fingerprint: str, faces: int) -> np.ndarray | None:
    path = root / "faces.parquet"
    with _reading(path):
        there = pq.read_schema(path, memory_map=True).names
    if FOREHEAD.name not in there:
        return None
    cache = root / "cache" / f"forehead-{fingerprint[:16]}.npy"
    return _mapped(cache, (faces, 13, 2), lambda: _read_foreheads(path))


def _mapped(
    cache: Path | None, shape: tuple[int, ...], make: Callable[[], Iterator[np.ndarray]]
) -> np.ndarray:
    """A float32 array that is kept as a file beside the bank, and mapped.

    It is made in blocks: landmarks of a million faces take half a gigabyte.
    """
    if cache is None:
        return np.concatenate(list(make()))
    there = mapped(cache, shape, np.float32)
    if there is not None:
        return there
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    try:
        with atomic.replacing(cache) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in make():
                file.write(np.ascontiguousarray(block, "<f4").data)
    except Unwritable:
        return np.concatenate(list(make()))  # a read-only bank is served from memory
    return np.asarray(np.load(cache, mmap_mode="r", allow_pickle=False))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BadBank(path, "is missing", "extract the bank again") from None
    except (OSError, pa.ArrowException) as error:
        raise BadBank(
            path, f"cannot be read ({_first_line(error)})", "extract the bank again"
        ) from error


def _read_columns(path: Path, names: list[str]) -> pa.Table:
    with _reading(path):
        there = pq.read_schema(path, memory_map=True).names
        table = pq.read_table(
            path, columns=names, schema=SCHEMA, memory_map=True, page_checksum_verification=True
        )
    for name in names:
        _check_column(path, name, there, table[name].null_count)
    return table


def _check_column(path: Path, name: str, there: list[str], empty: int) -> None:
    # read by our schema, a lost column would come back as empty cells
    if name not in there:
        raise BadBank(path, f"has no column {name!r}", "extract the bank again")
    if name in _ALWAYS and empty:
        raise BadBank(path, f"has an empty cell in {name!r}", "extract the bank again")


def _read_points(path: Path) -> Iterator[np.ndarray]:
    """Blocks of (faces, 68, 2): as a table, all would be in memory four times over."""
    kind = SCHEMA.field("landmarks").type
    with (
        _reading(path),
        pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file,
    ):
        there = file.schema_arrow.names
        _check_column(path, "landmarks", there, 0)
        for batch in file.iter_batches(_BATCH, columns=["landmarks"]):
            column = batch.column(0)
            _check_column(path, "landmarks", there, column.null_count)
            points = np.asarray(column.cast(kind).flatten()).reshape(-1, 68, 2)
            if not np.isfinite(points).all():
                raise BadBank(
                    path, "holds landmarks that are no numbers", "extract the bank again"
                )
            yield points


def _read_foreheads(path: Path) -> Iterator[np.ndarray]:
    """Blocks of (faces, 13, 2), NaN where a cell is empty."""
    with (
        _reading(path),
        pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file,
    ):
        for batch in file.iter_batches(_BATCH, columns=[FOREHEAD.name]):
            column = batch.column(0)
            try:
                numbers = np.asarray(column.cast(FOREHEAD.type).flatten())
            except pa.ArrowException as error:
                raise BadBank(
                    path,
                    f"holds a 'forehead' that is not 26 numbers ({_first_line(error)})",
                    "give 13 times x, y, or an empty cell",
                ) from error
            points = np.full((len(column), 13, 2), np.nan, np.float32)
            points[np.asarray(column.is_valid())] = numbers.reshape(-1, 13, 2)
            if np.isfinite(points).sum() < numbers.size:
                raise BadBank(
                    path,
                    "holds a 'forehead' with points that are no numbers",
                    "give 13 times x, y, or an empty cell",
                )
            yield points


def _table(rows: Sequence[FaceRow]) -> pa.Table:
    """Every column but the landmarks."""
    fields = [column for column in SCHEMA if column.name != "landmarks"]
    columns = []
    for column in fields:
        cells = [getattr(row, column.name) for row in rows]
        try:
            columns.append(pa.array(cells, column.type))
        # a text of half a character raises ValueError, a large number OverflowError
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise BadBank(
                f"{rows[0].crop} and those behind it",
                f"one has no valid {column.name!r} ({_first_line(error)})",
                f"give {column.type}, or make the rows again",
            ) from error
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _with_landmarks(table: pa.Table, points: np.ndarray) -> pa.Table:
    flat = pa.array(points.reshape(-1), pa.float32())
    place = SCHEMA.get_field_index("landmarks")
    column = pa.FixedSizeListArray.from_arrays(flat, 136)
    return table.add_column(place, SCHEMA.field("landmarks"), column)


def _with_forehead(table: pa.Table, points: np.ndarray | None) -> pa.Table:
    if points is None:
        return table
    none = pa.array(np.isnan(points[:, 0, 0]))
    flat = pa.array(points.reshape(-1), pa.float32())
    return table.append_column(FOREHEAD, pa.FixedSizeListArray.from_arrays(flat, 26, mask=none))


def _points(landmarks: list[float], where: Path) -> Landmarks:
    points = _finite(landmarks)
    if points.shape != (136,):
        raise BadBank(where, "its landmarks are not 136 finite numbers", "give 68 times x, y")
    return points.reshape(68, 2)


def _forehead(numbers: list[float], where: Path) -> Forehead:
    points = _finite(numbers)
    if points.shape != (26,):
        raise BadBank(
            where, "its forehead is not 26 finite numbers", "give 13 times x, y, or None"
        )
    return points.reshape(13, 2)


def _finite(numbers: list[float]) -> np.ndarray:
    """As float32; empty where one is no finite number."""
    try:
        points = np.asarray(numbers, np.float32)
    except (TypeError, ValueError):
        return np.empty(0, np.float32)
    return points if np.isfinite(points).all() else np.empty(0, np.float32)


def _fingerprint(
    table: pa.Table, points: np.ndarray, crop_size: int, forehead: np.ndarray | None = None
) -> str:
    # columns spelled out rather than the file's bytes: those change with parquet's writer
    digest = hashlib.sha256(f"faceblend bank {FORMAT} {crop_size} {len(points)}\n".encode())
    for name in ("video", "frame", "subject", "split", "label", "crop", "crc32"):
        for value in table[name].to_pylist():
            digest.update(repr(value).encode() + b"\0")
    digest.update(np.ascontiguousarray(points, "<f4").data)
    if forehead is not None:
        digest.update(b"forehead\n")
        digest.update(np.ascontiguousarray(forehead, "<f4").data)
    return digest.hexdigest()


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32)


def _read_landmark_entries(path: Path) -> dict[str, Landmarks]:
    remedy = 'it must map picture paths to 68 points: {"000_0000.png": [[x, y], ...]}'
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except OSError as error:
        raise BadBank(path, f"cannot be read ({error.strerror})", "check the path") from error
    except KeyError as error:
        raise BadBank(path, f"names {error} twice", "keep one entry a picture") from error
    except (ValueError, RecursionError) as error:
        raise BadBank(path, f"is not JSON ({_first_line(error)})", remedy) from error
    if not isinstance(content, dict) or not content:
        raise BadBank(path, "holds no landmarks", remedy)
    entries: dict[str, Landmarks] = {}
    for name, value in content.items():
        if within.leaves(name):
            raise BadBank(
                f"{path}: {name!r}", "leaves the folder of pictures", "use paths inside it"
            )
        try:
            points = np.asarray(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            points = np.empty(0)
        # NaN fails this too
        if points.shape != (68, 2) or not np.abs(points).max() < _BEYOND:
            raise BadBank(f"{path}: {name!r}", "has not 68 points of two finite numbers", remedy)
        entries[name] = points.astype(np.float32)
    spelled = Counter(PurePosixPath(name) for name in entries)
    for picture, spellings in spelled.items():
        if spellings > 1:
            raise BadBank(path, f"spells {str(picture)!r} in two ways", "keep one entry a picture")
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of two equal keys and says nothing
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise KeyError(key)
        content[key] = value
    return content


def _classic_video(name: str, rule: str) -> str:
    path = PurePosixPath(name)
    folder = path.parent
    return (folder if rule == "folder" else folder / path.stem.split("_", 1)[0]).as_posix()


def _classic_frame(name: str) -> int:
    # the number behind the video's; 0 where the name carries none
    last = PurePosixPath(name).stem.partition("_")[2].split("_")[0]
    return int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0


def _square_side(path: Path) -> int:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadBank(
            path, f"cannot be read ({error.strerror})", "check --crops, the keys start there"
        ) from error
    width, height = codec.size(data) or (0, 1)
    fits = width == height <= codec.MAX_SIDE
    picture = codec.decode(data, width) if fits else None
    if picture is None:
        raise BadBank(
            path, "is not a square picture", "crop the pictures first: faceblend extract"
        )
    return width


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
