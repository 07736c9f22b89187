"""Small valid things that seeds are made of: drawn faces, a bank, a set. No photograph, no disk
but a temporary folder of the process's own."""

import copy
import json
import tempfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st

from faceblend.bank import FaceBank, FaceRow
from faceblend.generate import generate
from faceblend.ingest.detect import Detection
from faceblend.recipe import load_recipe
from tests.fuzz.mutate import VALUES

SIDE = 128  # px of crops: the least that leaves the presets a window
_KEEP = tempfile.TemporaryDirectory(prefix="fuzz-material-")


def points(seed: int) -> np.ndarray:
    """(68, 2) float32: rings of points where crops of ``SIDE`` have a face."""
    turn = np.arange(68) * 2.4
    ring = np.sqrt(np.linspace(0.05, 1, 68))[:, None]
    around = np.column_stack([np.cos(turn), np.sin(turn)]) * ring * SIDE * 0.36
    shift = np.random.default_rng(seed).normal(0, 1, (68, 2))
    return (around + SIDE / 2 + shift).astype(np.float32)


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8 of smooth colours and some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (8, 8, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).round().astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """The file of a picture."""
    return cv2.imencode(".png", image)[1].tobytes()


@lru_cache
def bank_folder() -> Path:
    """A bank of three videos of two faces; not to be changed."""
    root = Path(_KEEP.name) / "bank"
    rows = []
    for video, frame in ((video, frame) for video in range(3) for frame in range(2)):
        data = png(picture(10 * video + frame))
        crop = f"crops/v{video}/{frame:06d}_0.png"
        (root / crop).parent.mkdir(parents=True, exist_ok=True)
        (root / crop).write_bytes(data)
        rows.append(
            FaceRow(
                video=f"v{video}",
                frame=frame,
                source=f"v{video}.mp4",
                crop=crop,
                crc32=zlib.crc32(data),
                box=[10.0, 10.0, 110.0, 110.0],
                score=1.0,
                landmarks=points(10 * video + frame).ravel().tolist(),
                crop_to_frame=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            )
        )
    FaceBank.create(root, rows, crop_size=SIDE, made_by={"detector": "drawn"})
    return root


@lru_cache
def bank() -> FaceBank:
    """The same, open."""
    return FaceBank.open(bank_folder())


def small(name: str) -> Any:
    """A preset whose window fits the bank's crops."""
    return load_recipe(name, {"crop.size": 64, "working.size": [96, 128]})


@lru_cache
def set_folder(layout: str) -> Path:
    """A finished set of six samples in two shards; not to be changed."""
    root = Path(_KEEP.name) / f"set-{layout}"
    generate(bank(), small("bi"), root, count=6, shard_size=3, layout=layout)  # type: ignore[arg-type]
    return root


def copied(source: Path, target: Path, *, but: str = "") -> None:
    """Links to all files of a folder but one, in another: what is written anew replaces them."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and name != but:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(path)


class Drawn:
    """A detector that finds a face in the middle of every picture."""

    name = "drawn"

    def detect(self, image: np.ndarray) -> list[Detection]:
        """One face."""
        height, width = image.shape[:2]
        there = points(0) + np.array([width - SIDE, height - SIDE], np.float32) / 2
        box = (width / 2 - 50.0, height / 2 - 50.0, width / 2 + 50.0, height / 2 + 50.0)
        return [Detection(box=box, score=0.5, landmarks=there.astype(np.float32))]


_HOSTILE = st.one_of(
    st.sampled_from(VALUES),
    st.floats(),
    st.integers(),
    st.text(max_size=20),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        ),
        max_leaves=8,
    ),
)


@st.composite
def _document(draw: Any, seeds: Sequence[Any]) -> Any:
    content = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        holder = content
        while True:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.integers(0, 3)):
                holder = holder[key]
                continue
            if draw(st.integers(0, 7)):
                holder[key] = copy.deepcopy(draw(_HOSTILE))  # it may be changed next
            else:
                del holder[key]
            break
    return content


def documents(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """JSON of the seeds with hostile values where the seeds have others."""
    trees = [json.loads(seed) for seed in seeds]
    return _document(trees).map(lambda tree: json.dumps(tree).encode())


def lines(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """The seeds' lines of text, some of them of hostile cells."""
    there = [line for seed in seeds for line in seed.splitlines()]
    cell = st.sampled_from([str(one).encode("utf-8", "surrogatepass") for one in VALUES])
    odd = st.tuples(st.sampled_from(there), cell, st.sampled_from([b",", b" ", b"", b"\t"]))
    line = st.one_of(
        st.sampled_from(there),
        odd.map(lambda parts: parts[2].join([parts[0], parts[1][:300]])),
        odd.map(lambda parts: parts[0].replace(b"1", parts[1][:300])),
    )
    return st.lists(line, max_size=8).map(b"\n".join)
