"""Layouts of a shard: what each takes to write, to read at random, and on disk."""

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import h5py
import numpy as np

from faceblend.bank import FaceBank
from faceblend.bench.machine import check_least, machine, one_thread, timed
from faceblend.draw import stream
from faceblend.generate import generate
from faceblend.recipe import Recipe
from faceblend.sample import Sample
from faceblend.store import BlendSet
from faceblend.store.shard import write_shard

Write = Callable[[Path, Sequence[Sample]], object]
Read = Callable[[Path, np.ndarray], object]

OURS = "the library's, synced and hashed"

_GZIP_1 = {"compression": "gzip", "compression_opts": 1}
_GZIP_4 = {"compression": "gzip", "compression_opts": 4}
_LZF = {"compression": "lzf"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Figures of one layout; medians over the rounds."""

    write_ms: float
    """a sample"""
    reads_per_second: float
    """image and X-ray, in random order"""
    kib: float
    """a sample on disk"""


@dataclass(frozen=True, kw_only=True)
class StoreBench:
    """Figures of one benchmark, ready for JSON."""

    layouts: dict[str, Layout]
    rendered_per_second: float
    """samples rendered and written by the library on one core, once"""
    plugins: bool
    """hdf5plugin was there, so zstd and blosc2 were timed, too"""
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def bench_store(
    bank: FaceBank, recipe: Recipe, *, count: int = 200, rounds: int = 5
) -> StoreBench:
    """Write rendered samples in every layout and read them at random, page cache warm.

    Args:
        bank: the faces.
        recipe: what is rendered, once.
        count: samples.
        rounds: timed, all layouts in turn, after one that is not counted.

    Raises:
        BadArgument: there is nothing to time.
    """
    check_least(1, count=count, rounds=rounds)
    with TemporaryDirectory() as folder, one_thread():
        root = Path(folder)
        spent, _ = timed(
            lambda: generate(bank, recipe, root / "set", count=count, shard_size=count, workers=1)
        )
        with BlendSet(root / "set") as made:
            samples, plan = list(made), made.manifest.plan
            order = stream(0, 0, "bench store").permutation(len(samples))

            def ours(path: Path, given: Sequence[Sample]) -> None:
                write_shard(path, given, plan, count)

            def ours_back(_: Path, wanted: np.ndarray) -> None:
                for one in wanted:
                    made.pixels(int(one))

            ways: dict[str, tuple[Write, Read]] = {
                OURS: (ours, ours_back),
                "raw": (partial(_write, {}, {}), _read),
                "image raw, X-ray gzip-1": (partial(_write, {}, _GZIP_1), _read),
                "lzf": (partial(_write, _LZF, _LZF), _read),
                "gzip-1": (partial(_write, _GZIP_1, _GZIP_1), _read),
                "gzip-4": (partial(_write, _GZIP_4, _GZIP_4), _read),
                "PNG-1 in HDF5": (_write_png, _read_png),
            }
            plugins = _plugins()
            ways |= {name: (partial(_write, by, by), _read) for name, by in plugins.items()}
            layouts = _layouts(ways, root, samples, order, rounds)
    return StoreBench(
        layouts=layouts,
        rendered_per_second=count / spent,
        plugins=bool(plugins),
        machine=machine(recipe=recipe.name, h5py=h5py.__version__),
    )


def _plugins() -> dict[str, dict[str, Any]]:
    # importing it adds filters to HDF5 for the whole process, so only here
    if importlib.util.find_spec("hdf5plugin") is None:
        return {}
    import hdf5plugin

    blosc = partial(hdf5plugin.Blosc2, filters=hdf5plugin.Blosc2.SHUFFLE)
    return {
        "zstd-1": dict(hdf5plugin.Zstd(clevel=1)),
        "zstd-3": dict(hdf5plugin.Zstd(clevel=3)),
        "blosc2 zstd-1": dict(blosc(cname="zstd", clevel=1)),
        "blosc2 zstd-5": dict(blosc(cname="zstd", clevel=5)),
        "blosc2 lz4-5": dict(blosc(cname="lz4", clevel=5)),
    }


def _layouts(
    ways: dict[str, tuple[Write, Read]],
    root: Path,
    samples: Sequence[Sample],
    order: np.ndarray,
    rounds: int,
) -> dict[str, Layout]:
    writes: dict[str, list[float]] = {name: [] for name in ways}
    reads: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    path = root / "layout.h5"
    for _ in range(rounds + 1):
        for name, (write, read) in ways.items():
            writes[name].append(timed(partial(write, path, samples))[0])
            reads[name].append(timed(partial(read, path, order))[0])
            sizes[name] = path.stat().st_size
            path.unlink()
    return {
        name: Layout(
            write_ms=1000 * statistics.median(writes[name][1:]) / len(samples),
            reads_per_second=len(order) / statistics.median(reads[name][1:]),
            kib=sizes[name] / 1024 / len(samples),
        )
        for name in ways
    }


def _write(
    image: dict[str, Any], xray: dict[str, Any], path: Path, samples: Sequence[Sample]
) -> None:
    side = samples[0].image.shape[0]
    with h5py.File(path, "w") as file:
        shape = (len(samples), side, side)
        images = file.create_dataset(
            "image", (*shape, 3), "u1", chunks=(1, side, side, 3), **image
        )
        xrays = file.create_dataset("xray", shape, "u1", chunks=(1, side, side), **xray)
        for number, one in enumerate(samples):
            images[number], xrays[number] = one.image, one.xray_u8


def _read(path: Path, order: np.ndarray) -> None:
    with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as file:
        images, xrays = file["image"], file["xray"]
        for one in order:
            images[one], xrays[one]


def _write_png(path: Path, samples: Sequence[Sample]) -> None:
    with h5py.File(path, "w") as file:
        kind = h5py.vlen_dtype(np.uint8)
        images = file.create_dataset("image", len(samples), kind)
        xrays = file.create_dataset("xray", len(samples), kind)
        up = cv2.IMWRITE_PNG_FILTER_UP
        fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, up]
        for number, one in enumerate(samples):
            images[number] = cv2.imencode(".png", one.image, fast)[1].ravel()
            xrays[number] = cv2.imencode(".png", one.xray_u8, fast)[1].ravel()


def _read_png(path: Path, order: np.ndarray) -> None:
    with h5py.File(path, "r", locking=False) as file:
        images, xrays = file["image"], file["xray"]
        for one in order:
            cv2.imdecode(images[one], cv2.IMREAD_COLOR)
            cv2.imdecode(xrays[one], cv2.IMREAD_GRAYSCALE)
