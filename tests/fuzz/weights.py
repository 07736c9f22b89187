"""What to throw at what xray-train reads: checkpoints, models' tensors, idx files."""

import gzip
import io
import json
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from tests.fuzz.target import Target
from xray_train.checkpoint import Checkpoint, fit_into, load, read_tensors, save
from xray_train.sources.digits import read_idx


def _model() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


@cache
def _checkpoint() -> bytes:
    torch.manual_seed(0)
    model = _model()
    checkpoint = Checkpoint(
        step=3,
        task={"class_path": "some.Task", "init_args": {}},
        model=model.state_dict(),
        ema=model.state_dict(),
        optimizer=torch.optim.AdamW(model.parameters()).state_dict(),
        scaler={},
        random={"cpu": torch.zeros(4, dtype=torch.uint8)},
        progress={"best": []},
        settings={},
    )
    with tempfile.TemporaryDirectory() as name:
        save(checkpoint, Path(name) / "some.pt")
        return (Path(name) / "some.pt").read_bytes()


def _torch(content: object, **how: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def _repacked(whole: bytes, inside: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w", how) as new:
        for member in old.namelist():
            replaced = [data for end, data in inside.items() if member.endswith(end)]
            new.writestr(member, replaced[0] if replaced else old.read(member))
    return file.getvalue()


def _wrong_contents() -> list[bytes]:
    content = torch.load(io.BytesIO(_checkpoint()), weights_only=True)
    changes: list[dict[str, object]] = [
        {"step": "three"},
        {"step": -1},
        {"step": True},
        {"model": None},
        {"model": {"weight": 1}},
        {"model": {1: 2}},
        {"model": [1]},
        {"ema": 3},
        {"task": "[]"},
        {"task": "[" * 10000},
        {"settings": "1"},
        {"progress": "{"},
        {"task": 1},
        {"optimizer": []},
        {"random": {"cpu": "a"}},
        {"random": {}},
        {"scaler": None},
        {"format": 9},
        {"format": [1]},
        {"model": {"weight": torch.zeros(2, 3), "bias": torch.zeros(2).to_sparse()}},
        {"model": {"weight": torch.zeros(2, 3, dtype=torch.complex64), "bias": torch.zeros(2)}},
        {"model": {"weight": torch.zeros(2, 3, device="meta"), "bias": torch.zeros(2)}},
        {"model": {"weight": torch.zeros(1).expand(2, 3), "bias": torch.zeros(1).expand(2)}},
    ]
    return [_torch({**content, **one}) for one in changes]


def _hostile() -> list[bytes]:
    whole = _checkpoint()
    zeros = {"data/0": bytes(30_000_000)}
    runs = pickle.dumps(_Runs())
    endless = b"\x80\2" + b"]" * 20000 + b"."
    deep = b"\x80\2" + b"(" * 100000 + b"."
    huge = b"\x80\2X" + struct.pack("<I", 2**32 - 1) + b"a"
    many = b"\x80\2\x8a\4\xff\xff\xff\x7f."
    memo = b"\x80\2Nr\xff\xff\xff\xff."
    inside = [
        runs,
        endless,
        deep,
        huge,
        many,
        memo,
        b"",
        b"\x80\2N.",
        b"\x80\2K\1.",
        b"\x80\2c__builtin__\neval\n.",
    ]
    giant = _torch({"model": {"weight": torch.zeros(1).expand(2**20, 2**20)}})
    return [
        giant,
        *inside,
        _repacked(whole, zeros),
        _repacked(whole, zeros, zipfile.ZIP_DEFLATED),
        _repacked(whole, {}, zipfile.ZIP_DEFLATED),
        _repacked(whole, {"data/0": b""}),
        *(_repacked(whole, {"data.pkl": one}) for one in inside),
        _torch(3),
        _torch([]),
        _torch({}),
        _torch(torch.zeros(2)),
        whole[: len(whole) // 2],
        b"",
    ]


def _read_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "some.pt"
    path.write_bytes(data)
    read = load(path)
    assert isinstance(read.step, int)
    fit_into(_model(), read.weights, path)


def _read_tensors(data: bytes, folder: Path) -> None:
    path = folder / "some.pth"
    path.write_bytes(data)
    fit_into(_model(), read_tensors(path), path)


def safetensors(header: str, data: bytes = b"", claimed: int | None = None) -> bytes:
    """A file with any header."""
    text = header.encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data


def _one(kind: str = "F32", shape: object = (2, 3), ends: object = (0, 24)) -> str:
    bias = {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}
    return json.dumps(
        {"weight": {"dtype": kind, "shape": shape, "data_offsets": ends}, "bias": bias}
    )


def _safetensors() -> list[bytes]:
    kinds = [
        "F32",
        "F16",
        "BF16",
        "I64",
        "BOOL",
        "U8",
        "F8_E4M3",
        "F4",
        "F6_E2M3",
        "C64",
        "U64",
        "O",
    ]
    heads = [_one(one) for one in kinds]
    heads += [
        _one(shape=one) for one in ([2**40], [-1], [], [0], [2**32, 2**32], [2**63, 2, 0], "2")
    ]
    heads += [_one(ends=one) for one in ((0, 2**60), (24, 0), (-1, 3), (0,), (8, 32))]
    heads += [
        "{}",
        "[]",
        "[" * 100000,
        "{",
        "",
        '{"__metadata__": {"a": 1}}',
        '{"__metadata__": 3}',
    ]
    found = [safetensors(one, bytes(32)) for one in heads]
    claims = [2**63, 2**64 - 1, 10**9, 0, 3]
    return [*found, *(safetensors("{}", claimed=one) for one in claims), b"", b"\0" * 8]


def _read_safetensors(data: bytes, folder: Path) -> None:
    path = folder / "some.safetensors"
    path.write_bytes(data)
    fit_into(_model(), read_tensors(path), path)


def _idx(*shape: int, data: bytes | None = None) -> bytes:
    head = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return head + (bytes(int(np.prod(shape))) if data is None else data)


def _read_idx(data: bytes, folder: Path, suffix: str) -> None:
    (folder / f"digits{suffix}").write_bytes(data)
    read_idx(folder / "digits")


def _lying() -> list[bytes]:
    lying = (
        _idx(2**32 - 1, 2**32 - 1, data=b""),
        _idx(2**31, 2**31, 4, data=b""),
        _idx(2, data=b""),
    )
    deep = _idx(*[1] * 70, data=b"\0")
    return [*lying, deep, b"\0\0\x08\xff", b"\0\0\x08\0", b"", b"\0\0\x08\0a"]


def _lying_gzips() -> list[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    parts = [_idx(1500, 1000, 1000, data=b""), *[bytes(1_000_000)] * 1500]
    bomb = b"".join([*map(packer.compress, parts), packer.flush()])
    return [*(gzip.compress(one, mtime=0) for one in _lying()), bomb, gzip.compress(_idx(5))[:-9]]


_HEADERS = st.builds(
    lambda kind, shape, begin, end, data: safetensors(_one(kind, shape, (begin, end)), data),
    st.sampled_from(["F32", "F64", "F16", "I8", "U8", "BOOL", "F8_E5M2", "F4", "C64", "nothing"]),
    st.lists(st.integers(0, 9) | st.sampled_from([-1, 2**31, 2**62, 2**64]), max_size=4),
    st.integers(0, 40),
    st.integers(0, 70) | st.just(2**62),
    st.binary(max_size=20) | st.just(bytes(32)),
)


def _tensors() -> list[bytes]:
    state = _model().state_dict()
    return [_checkpoint(), _torch(state, _use_new_zipfile_serialization=False), _torch(state)]


def _some(make: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    return st.deferred(lambda: st.sampled_from(make()))


def _digits() -> list[bytes]:
    return [_idx(2, 4, 4), _idx(5)]


TARGETS = (
    Target(
        name="checkpoint",
        seeds=lambda: [_checkpoint()],
        read=_read_checkpoint,
        strategy=_some(_hostile) | _some(_wrong_contents),
    ),
    Target(name="torch-tensors", seeds=_tensors, read=_read_tensors, strategy=_some(_hostile)),
    Target(
        name="safetensors",
        seeds=lambda: [safetensors(_one(), bytes(32))],
        read=_read_safetensors,
        strategy=_HEADERS | _some(_safetensors),
    ),
    Target(name="idx", seeds=_digits, read=partial(_read_idx, suffix=""), strategy=_some(_lying)),
    Target(
        name="idx-gz",
        seeds=lambda: [gzip.compress(one, mtime=0) for one in _digits()],
        read=partial(_read_idx, suffix=".gz"),
        strategy=_some(_lying_gzips),
    ),
)
