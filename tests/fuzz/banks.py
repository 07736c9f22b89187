"""Targets: a bank's files, landmark files, and the copies that a bank keeps of its own."""

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from faceblend import capped, partner
from faceblend.bank import FaceBank
from faceblend.doctor import doctor
from faceblend.neighbours import neighbours
from tests.fuzz.material import SIDE, bank_folder, copied, documents, picture, png, points
from tests.fuzz.target import Target

# -- the classic landmark file ------------------------------------------------------------


def _landmark_seeds() -> list[bytes]:
    whole = {f"00{video}_0000.png": points(video).tolist() for video in range(2)}
    below = {f"ann/00{video}_0000.png": points(video).astype(int).tolist() for video in range(2)}
    return [json.dumps(one).encode() for one in (whole, below, {**whole, **below})]


def _landmarks(data: bytes, folder: Path) -> None:
    for name in ("000_0000.png", "ann/000_0000.png", "001_0000.png", "ann/001_0000.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(_PICTURE)
    path = folder / "landmarks.json"
    path.write_bytes(data)
    opened = FaceBank.from_landmarks_json(path, folder)
    assert len(opened.table.to_pylist()) == len(opened.landmarks)
    assert opened[0].image.shape == (SIDE, SIDE, 3)


_PICTURE = png(picture(0))

# -- a bank's own files -------------------------------------------------------------------


def _open(folder: Path) -> None:
    opened = FaceBank.open(folder)
    assert len(opened.table.to_pylist()) == len(opened) == len(opened.landmarks)
    assert opened[0].image.shape == (opened.crop_size, opened.crop_size, 3)
    for row in opened.reals[:2]:
        partner.nearest(opened, int(row), opened.reals, 2)


def _bank_with(name: str, data: bytes, folder: Path) -> None:
    copied(bank_folder(), folder, but=name)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def _bank_json(data: bytes, folder: Path) -> None:
    _bank_with("bank.json", data, folder)
    _open(folder)


@lru_cache
def _bank_json_seeds() -> list[bytes]:
    return [(bank_folder() / "bank.json").read_bytes()]


def _faces(data: bytes, folder: Path) -> None:
    _bank_with("faces.parquet", data, folder)
    # the copy of the landmarks would be read in their place
    for path in (folder / "cache").glob("*"):
        path.unlink()
    _open(folder)


@lru_cache
def _faces_seeds() -> list[bytes]:
    table = pq.read_table(bank_folder() / "faces.parquet")
    return [
        (bank_folder() / "faces.parquet").read_bytes(),
        parquet(table.append_column("forehead", pa.nulls(6, pa.list_(pa.float32(), 26)))),
        parquet(table, compression="none", use_dictionary=False),
    ]


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A table's file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


@st.composite
def columns_changed(draw: Any, table: pa.Table) -> bytes:
    """The table's file with some columns gone, of another type, or of hostile values."""
    rows = draw(st.sampled_from([table.num_rows, table.num_rows, 0, 1, 40]))
    table = table.take(pa.array([number % table.num_rows for number in range(rows)], pa.int64()))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(table.num_columns - 1, 0)))
        if not table.num_columns:
            break
        name, kind = table.column_names[place], table.schema.field(place).type
        if not draw(st.integers(0, 6)):
            table = table.remove_column(place)
            continue
        value = draw(st.sampled_from(_CELLS))
        cells = [value if draw(st.booleans()) else one for one in table[name].to_pylist()]
        try:
            column = pa.array(cells, kind if draw(st.booleans()) else None)
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
            column = pa.array([None] * rows, kind)
        table = table.set_column(place, name, column)
    if not draw(st.integers(0, 5)):
        said = draw(
            st.sampled_from([b"null", b"{}", b"[", b'{"format": 1e999}', b"\xff", b"[" * 9999])
        )
        table = table.replace_schema_metadata({b"faceblend": said})
    return parquet(table, store_schema=draw(st.booleans()))


_CELLS: tuple[Any, ...] = (
    None, "", "/etc/passwd", "../../x", "a\nb", "\x1b[31m", "\0", "x" * 3000, -1, 0, 1, 2,
    255, 2**31, 2**63 - 1, -(2**63), float("nan"), 1e308, True, b"\xff", [], [0.0] * 136,
    [float("nan")] * 136, [1e30] * 136, [0.0] * 135, [None] * 136, [0.0] * 26, [float("inf")] * 26,
    [1.0] * 4, [1.0] * 6,    "test", "crops/v0/000000_0.png",
)  # fmt: skip

# -- copies beside a bank -----------------------------------------------------------------


@lru_cache
def _copies() -> dict[str, bytes]:
    """By what they begin with: the landmarks' copy, sums, index, neighbours, capped partners."""
    root = bank_folder()
    made = FaceBank.open(root)
    neighbours(made, top=2)
    capped.arrange(made, 2, 3)
    assert len(made.sums)
    assert made.index(int(made.splits[0])) is not None
    return {path.name: path.read_bytes() for path in sorted((root / "cache").glob("*.npy"))}


def _copy_seeds() -> list[bytes]:
    # which copy the bytes are of goes before them
    return [name.encode() + b"\n" + data for name, data in _copies().items()]


def _copy(data: bytes, folder: Path) -> None:
    name, _, content = data.partition(b"\n")
    there = _copies()
    word = name.decode("utf-8", "replace")
    _bank_with(f"cache/{word if word in there else next(iter(there))}", content, folder)
    _open(folder)
    opened = FaceBank.open(folder)
    for row in opened.reals:
        partner.nearest_of_all(opened, int(row), 2)
        capped.nearest(opened, int(row), 2, 3)
    neighbours(opened, top=2)


# -- what the doctor reads ----------------------------------------------------------------


def _refusal_seeds() -> list[bytes]:
    one = {"source": "ann/a.png", "kind": "no-face", "reason": "shows no face; use another"}
    return [(json.dumps(one) + "\n").encode() * count for count in (1, 3)]


def _refusals(data: bytes, folder: Path) -> None:
    _bank_with("errors.jsonl", data, folder)
    for finding in doctor(folder).findings:
        assert str(finding)


TARGETS = (
    Target(
        name="landmark-json",
        seeds=_landmark_seeds,
        read=_landmarks,
        strategy=documents(_landmark_seeds()),
    ),
    Target(
        name="bank-json",
        seeds=_bank_json_seeds,
        read=_bank_json,
        strategy=st.deferred(lambda: documents(_bank_json_seeds())),
    ),
    Target(
        name="faces-parquet",
        seeds=_faces_seeds,
        read=_faces,
        strategy=st.deferred(
            lambda: columns_changed(pq.read_table(bank_folder() / "faces.parquet"))
        ),
    ),
    Target(name="bank-copies", seeds=_copy_seeds, read=_copy),
    Target(
        name="errors-jsonl",
        share=0.2,
        seeds=_refusal_seeds,
        read=_refusals,
        strategy=documents([_refusal_seeds()[0]]),
    ),
)
