"""What to throw at the readers of arrays: what a bank keeps beside it, landmarks."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from faceblend import capped, codec, partner
from faceblend.bank import FaceBank, FaceRow
from faceblend.ingest.deepfakebench import read_deepfakebench
from tests.fuzz.target import Target

_SIDE = 16
_FACES = 6
_TOP = 2


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """An array's file with any header."""
    text = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def hostile(kind: str = "<f4") -> list[bytes]:
    """Headers that ask for too much, for objects, or for no array at all."""
    told = "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}"
    shapes = ["(2**40,)", "(1099511627776,)", "(4294967296, 4294967296)", "(-1,)", "()", "(0,)"]
    shapes += ["(99999999999999999999999,)", "(1.5,)", "((1,),)", "(True,)", str((1,) * 70)]
    found = [npy(told.format(repr(kind), False, shape), bytes(64)) for shape in shapes]
    for other in ("'|O'", "'V3'", "'<U9999999'", "[('a', '<f4')]", "'<m8'", "'nothing'", "[]"):
        found.append(npy(told.format(other, True, "(2, 68)"), bytes(64)))
    for header in ("(" * 5000, "[" * 900 + "]" * 900, "{}", "None", "'" * 3, "{1: 2}", "\0", ""):
        found.append(npy(header))
    found.append(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b"{}")
    found.append(npy("{" + " " * 20000 + "}", version=b"\3\0"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", _saved(np.zeros(10_000_000, np.uint8)))
    return [*found, packed.getvalue(), packed.getvalue()[:400], b"PK\3\4", b"\x80\4N.", b""]


_NUMBERS = st.integers(-2, 200) | st.sampled_from([2**31, 2**40, 2**63, 2**64, 10**30])
HEADERS = st.builds(
    lambda kind, order, shape, data, extra: npy(
        repr({"descr": kind, "fortran_order": order, "shape": shape, **extra}), data
    ),
    st.sampled_from(["<f4", "<f8", "<i4", "|u1", ">f4", "|O", "<U4", "|V2", "<c8", "<f2", "", 3])
    | st.just([("a", "<f4")]),
    st.booleans() | st.sampled_from([0, None]),
    st.sampled_from([(68, 2), (81, 2), (_FACES, 68, 2), (_FACES, _TOP)])
    | st.lists(_NUMBERS, max_size=5).map(tuple),
    st.binary(max_size=80) | st.sampled_from([bytes(544), b"\xff" * 544, bytes(3264)]),
    st.sampled_from([{}, {}, {"more": 1}]),
)
"""Files of arrays with any header."""


@cache
def _whole() -> dict[str, bytes]:
    """Every file of a small bank, with all that it keeps beside it."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        drawn = np.random.default_rng(0)
        rows = []
        for face in range(_FACES):
            crop = f"crops/{face}.png"
            path = root / crop
            path.parent.mkdir(exist_ok=True)
            picture = drawn.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
            path.write_bytes(codec.encode(picture, "png"))
            rows.append(
                FaceRow(
                    video=f"v{face % 3}", frame=face, crop=crop, source="v", score=1.0,
                    box=[0.0, 0.0, 9.0, 9.0],
                    landmarks=drawn.uniform(0, _SIDE, 136).tolist(),
                    forehead=drawn.uniform(0, _SIDE, 26).tolist(),
                    crop_to_frame=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                )
            )  # fmt: skip
        FaceBank.create(root, rows, crop_size=_SIDE, made_by={})
        bank = FaceBank.open(root)
        bank.decode()
        bank.index(-1)
        near = np.stack([partner.nearest_of_all(bank, row, _TOP) for row in range(_FACES)])
        path = bank.neighbours_path(_TOP)
        assert path is not None
        path.write_bytes(_saved(near.astype(np.int32)))
        capped.arrange(bank, _TOP, 3)
        files = (one for one in root.rglob("*") if one.is_file())
        return {one.relative_to(root).as_posix(): one.read_bytes() for one in files}


def _kept(kind: str) -> str:
    return next(name for name in _whole() if name.startswith(f"cache/{kind}"))


def _beside(kind: str, use: Callable[[FaceBank], Any]) -> Target:
    def read(data: bytes, folder: Path) -> None:
        for name, whole in _whole().items():
            if name.startswith(("bank.json", "faces.parquet", "crops/0")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(whole)
        path = folder / _kept(kind)
        path.parent.mkdir()
        path.write_bytes(data)
        bank = FaceBank.open(folder)
        use(bank)
        capped._table.cache_clear()

    def hostile_ones() -> list[bytes]:
        kinds = {"crops": "|u1", "landmarks": "<f4", "forehead": "<f4"}
        far = npy(f"{{'descr':'<i4','fortran_order':False,'shape':({_FACES},{_TOP})}}")
        odd = [far + struct.pack("<12i", *[one] * 12) for one in (-1, 0, _FACES, -7, 2**31 - 1)]
        return [*hostile(kinds.get(kind, "<i4")), *odd]

    strategy = HEADERS | st.deferred(lambda: st.sampled_from(hostile_ones()))
    return Target(
        name=f"bank-{kind}", seeds=lambda: [_whole()[_kept(kind)]], read=read, strategy=strategy
    )


def _partners(bank: FaceBank) -> None:
    for row in range(_FACES):
        near = partner.nearest_of_all(bank, row, _TOP)
        for one in near:
            bank.landmarks[one]


def _shared(bank: FaceBank) -> None:
    for row in range(_FACES):
        for one in capped.nearest(bank, row, _TOP, 3):
            bank.landmarks[one]


def _read_points(data: bytes, folder: Path) -> None:
    for kind, name, whole in (("frames", "000.png", _picture()), ("landmarks", "000.npy", data)):
        path = folder / "set" / kind / "v" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_deepfakebench(folder / "set", label=0)


@cache
def _picture() -> bytes:
    return codec.encode(np.zeros((_SIDE, _SIDE, 3), np.uint8), "png")


def _points() -> list[bytes]:
    drawn = np.random.default_rng(0).uniform(0, _SIDE, (81, 2))
    kinds = (drawn[:68], drawn.astype(np.float32), drawn[:68].astype(int))
    return [*map(_saved, kinds), _saved(np.asfortranarray(drawn))]


TARGETS = (
    _beside("crops", lambda bank: bank.image(0).sum()),
    _beside("landmarks", lambda bank: bank.landmarks[0].sum()),
    _beside("forehead", lambda bank: bank.forehead_of(0)),
    _beside("index", _partners),
    _beside("neighbours", _partners),
    _beside("capped", _shared),
    Target(
        name="landmark-npy",
        seeds=_points,
        read=_read_points,
        strategy=HEADERS | st.deferred(lambda: st.sampled_from(hostile())),
    ),
)
