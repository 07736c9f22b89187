"""What to throw at the readers of HDF5 shards: damaged files whose checksum fits."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from faceblend.clips.preview import first_blended
from faceblend.errors import BadShard
from faceblend.sample import Sample
from faceblend.store.blendset import BlendSet
from faceblend.store.check import CHANGED, verify
from faceblend.store.manifest import Manifest, Plan, ShardEntry
from faceblend.store.shard import write_shard
from tests.fuzz.target import Target

_SIDE = 4
_SAMPLES = 3
_PLAN = Plan(
    layout="hdf5", recipe={}, seed=1, shard_size=_SAMPLES, image_size=_SIDE, bank="a" * 64,
    alpha=True, versions={},
)  # fmt: skip


def _samples() -> list[Sample]:
    drawn = np.random.default_rng(0)
    made = []
    for index in range(_SAMPLES):
        alpha = np.full((_SIDE, _SIDE), 0.5, np.float32)
        record = {"index": index, "seed": 1, "bank": "a" * 64, "draw": {"fake": {}}}
        made.append(
            Sample(
                index=index,
                image=drawn.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8),
                xray=np.ones((_SIDE, _SIDE), np.float32),
                alpha=alpha,
                landmarks=drawn.uniform(0, _SIDE, (68, 2)).astype(np.float32),
                label=1,
                record=json.dumps(record),
            )
        )
    return made


@cache
def _whole() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "shard-00000.h5"
        write_shard(path, _samples(), _PLAN, _SAMPLES)
        return path.read_bytes()


def _commit(data: bytes, folder: Path) -> None:
    """Put a shard there with a manifest that its bytes agree with."""
    entry = ShardEntry(
        name="shard-00000.h5", first=0, count=_SAMPLES, stored=_SAMPLES, fakes=_SAMPLES,
        rejected=(), bytes=len(data), sha256=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    (folder / entry.name).write_bytes(data)
    Manifest(plan=_PLAN, count=_SAMPLES, shards=(entry,)).save(folder)


def _read(data: bytes, folder: Path) -> None:
    _commit(data, folder)
    with BlendSet(folder) as blends:
        for row in range(_SAMPLES):
            blends[row]
        blends.images(slice(None, None, -2))
        blends.xrays(slice(None))
        blends.labels.sum()
        list(blends.records())


def _verify(data: bytes, folder: Path) -> None:
    _commit(data, folder)
    found = verify(folder).problems
    assert not any(one.what == CHANGED for one in found)
    if found:
        raise BadShard(folder / found[0].where, found[0].what, "nothing")


def _preview(data: bytes, folder: Path) -> None:
    (folder / "clips-00000.h5").write_bytes(data)
    first_blended(folder, most=2)


@cache
def _clips() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clips.h5"
        with h5py.File(path, "w") as file:
            for part, shape, kind in (
                ("image", (2, _SIDE, _SIDE, 3), "u1"), ("xray", (2, _SIDE, _SIDE), "u1"),
                ("landmarks", (2, 68, 2), "<f4"), ("label", (), "u1"), ("index", (), "<i8"),
            ):  # fmt: skip
                file.create_dataset(part, data=np.ones((2, *shape), kind), track_times=False)
            text = h5py.string_dtype("utf-8")
            file.create_dataset("record", data=["{}", "{ }"], dtype=text, track_times=False)
        return path.read_bytes()


def rewritten(whole: bytes, change: Callable[[h5py.File], Any]) -> bytes:
    """The bytes of a file after something in it was changed by HDF5 itself."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "some.h5"
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            change(file)
        return path.read_bytes()


def _instead(name: str, make: Callable[[h5py.File, str], Any]) -> Callable[[h5py.File], Any]:
    def change(file: h5py.File) -> None:
        del file[name]
        made = make(file, name)
        if made is not None:
            file[name] = made

    return change


def _virtual(path: str) -> Callable[[h5py.File, str], Any]:
    def make(file: h5py.File, name: str) -> None:
        layout = h5py.VirtualLayout((_SAMPLES, _SIDE, _SIDE, 3), "u1")
        layout[:] = h5py.VirtualSource(path, "image", (_SAMPLES, _SIDE, _SIDE, 3))
        file.create_virtual_dataset(name, layout)

    return make


def _dataset(shape: tuple[int, ...], kind: Any, **how: Any) -> Callable[[h5py.File, str], Any]:
    def make(file: h5py.File, name: str) -> None:
        file.create_dataset(name, shape, kind, **how)

    return make


def _nothing(file: h5py.File, name: str) -> None:
    file.create_dataset(name, data=h5py.Empty("u1"))


_IMAGE = (_SAMPLES, _SIDE, _SIDE, 3)
_FAR = (_SAMPLES, 2**20, 2**20, 3)


def _changed() -> list[bytes]:
    outside = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    huge = {"chunks": (1, 2**10, 2**10, 3), "compression": "gzip"}
    changes = [
        _instead("image", lambda *_: h5py.ExternalLink("/dev/zero", "image")),
        _instead("image", lambda *_: h5py.SoftLink("/image")),
        _instead("image", lambda *_: h5py.SoftLink("/xray")),
        _instead("image", lambda file, name: file.create_group(name) and None),
        _instead("image", _virtual("/dev/zero")),
        _instead("image", _virtual(".")),
        _instead("image", _dataset(_IMAGE, "u1", external=outside)),
        _instead("image", _dataset(_IMAGE, "u1", compression="gzip", chunks=(1, _SIDE, _SIDE, 3))),
        _instead("image", _dataset(_IMAGE, "u1", shuffle=True, chunks=(1, 1, 1, 1))),
        _instead(
            "image", _dataset(_IMAGE, "u1", chunks=(1, 2**14, 2**14, 3), maxshape=(None,) * 4)
        ),
        _instead("image", _dataset(_FAR, "u1", **huge)),
        _instead("image", _dataset(_IMAGE, h5py.special_dtype(vlen=np.uint8))),
        _instead("image", _dataset(_IMAGE, h5py.ref_dtype)),
        _instead("image", _dataset(_IMAGE, np.dtype([("a", "u1")]))),
        _instead("image", _dataset(_IMAGE, h5py.enum_dtype({"a": 1}, "u1"))),
        _instead("image", _dataset((), "u1")),
        _instead("image", _nothing),
        _instead("record", _dataset((_SAMPLES,), "S3")),
        _instead("record", _dataset((_SAMPLES,), h5py.string_dtype("ascii"))),
        _instead("record", _dataset((_SAMPLES,), h5py.special_dtype(vlen=np.int64))),
        _instead("record", _dataset((_SAMPLES,), h5py.ref_dtype)),
        _instead("label", _dataset((2**40,), "u1", chunks=(2**10,))),
        _instead("label", _dataset((_SAMPLES,), "f8")),
        lambda file: file["record"].__setitem__(0, b"\xff\xfe"),
        lambda file: file["record"].__setitem__(0, ""),
        lambda file: file["record"].__setitem__(0, "[" * 5000),
        lambda file: file["label"].__setitem__(0, 200),
        lambda file: file["index"].__setitem__(0, -1),
        lambda file: file["alpha"].__setitem__(0, np.nan),
        lambda file: file["landmarks"].__setitem__(0, np.nan),
        lambda file: file.attrs.__setitem__("recipe", np.arange(5)),
        lambda file: file.attrs.__setitem__("seed", "x" * 5000),
        lambda file: file.attrs.__setitem__("bank", file["image"].ref),
    ]
    return [rewritten(_whole(), change) for change in changes]


def _hostile() -> list[bytes]:
    whole = _whole()
    return [
        *_changed(),
        _clips(),
        whole[:800],
        whole[: len(whole) // 2],
        b"\x89HDF\r\n\x1a\n",
        b"",
    ]


_SHAPES = st.sampled_from(
    [(), (_SAMPLES,), _IMAGE, _IMAGE[:3], (_SAMPLES, 68, 2), (2, 2), (2**40,)]
)
_KINDS = st.sampled_from(
    ["u1", "i1", "<f4", ">f4", "<i8", "f8", "?", "S5", "V3", "c8", "<f2", np.dtype([("a", "u1")])]
)
_HOW = st.sampled_from(
    [{}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}, {"scaleoffset": 0}]
)


def _written(name: str, shape: tuple[int, ...], kind: Any, how: dict[str, Any]) -> bytes:
    # a filter makes chunks, which a single number has not, nor has it of every type
    def change(file: h5py.File) -> None:
        del file[name]
        try:
            file.create_dataset(name, shape, kind, **how)
        except (TypeError, ValueError):
            file.create_dataset(name, shape, kind, chunks=None)

    return rewritten(_whole(), change)


_REWRITTEN = st.builds(
    _written,
    st.sampled_from(["image", "xray", "alpha", "label", "index", "landmarks", "record"]),
    _SHAPES,
    _KINDS,
    _HOW,
)

_ANY = _REWRITTEN | st.deferred(lambda: st.sampled_from(_hostile()))

TARGETS = (
    Target(name="shard", seeds=lambda: [_whole()], read=_read, strategy=_ANY),
    Target(name="shard-verify", seeds=lambda: [_whole()], read=_verify, strategy=_ANY),
    Target(name="clips", seeds=lambda: [_clips()], read=_preview, strategy=_ANY),
)
