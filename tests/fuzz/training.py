"""Targets: text that xray-train reads. Needs torch, as that does."""

import importlib.util
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from importlib import resources
from pathlib import Path

import torch
from hypothesis import strategies as st

from faceblend.errors import BadArgument
from tests.fuzz.material import documents, lines, picture, png
from tests.fuzz.target import Target
from xray_train.checkpoint import load
from xray_train.look import write_curves
from xray_train.robustness import GRID, read_grid
from xray_train.sources.listed import read_list
from xray_train.sources.people import CelebA
from xray_train.submission import read_labels

_LIST = b"img_name,target\na.png,0\nb.png,1\n\nsub/c.png,1\n"
_LABELS = b"filename,label\na.mp4,0\nb.mp4,1\n"
_IDENTITIES = b"000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n"
_LOG = (
    b'{"step": 0, "loss": 0.7, "lr": 0.1}\n{"step": 1, "loss": 0.6, "lr": 0.05, "val/auc": 0.5}\n'
)


def _list(data: bytes, folder: Path) -> None:
    path = folder / "list.csv"
    path.write_bytes(data)
    read_list(path)
    read_list(path, first=1)


def _labels(data: bytes, folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_bytes(data)
    read_labels(path)


def _identities(data: bytes, folder: Path) -> None:
    images = folder / "images"
    images.mkdir()
    for number in (1, 2, 3):
        (images / f"{number:06d}.jpg").write_bytes(_PICTURE)
    path = folder / "identity_CelebA.txt"
    path.write_bytes(data)
    CelebA(str(images), str(path))


_PICTURE = png(picture(0))


def _grid(data: bytes, folder: Path) -> None:
    path = folder / "grid.yaml"
    path.write_bytes(data)
    read_grid(path)


def _log(data: bytes, folder: Path) -> None:
    (folder / "log.jsonl").write_bytes(data)
    write_curves([folder], folder / "curves.png")


@lru_cache
def _configs() -> list[bytes]:
    folder = Path(str(resources.files("xray_train"))) / "configs"
    return [(folder / "smoke.yaml").read_bytes(), (folder / "face_xray.yaml").read_bytes()]


def _config(data: bytes, folder: Path) -> None:
    from xray_train.commands import build_parser, parsed

    path = folder / "run.yaml"
    path.write_bytes(data)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            parsed(build_parser(), ["fit", "--config", str(path)])
    except Exception as error:
        if type(error).__name__ != "ArgumentError":  # the command makes one line of these
            raise
        words = " ".join(str(error).split())
        raise BadArgument("--config", words, "see xray-train --help") from error


@lru_cache
def _sidecars() -> list[bytes]:
    told = {"task": {"class_path": "x", "init_args": {"size": 64}}, "progress": {"threshold": 0.5}}
    return [json.dumps({**told, "settings": {"seed": 0}}).encode()]


def _sidecar(data: bytes, folder: Path) -> None:
    # the texts of a checkpoint; its tensors are another target's
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError):
        texts = None
    given = texts if isinstance(texts, dict) else {}
    content = {name: json.dumps(given.get(name)) for name in ("task", "progress", "settings")}
    if texts is None:
        content["progress"] = data.decode("utf-8", "replace")
    rest = {"step": 0, "model": {}, "ema": None, "optimizer": {}, "scaler": {}, "random": {}}
    path = folder / "last.ckpt"
    torch.save({"format": 1, **content, **rest}, path)
    load(path)


TARGETS: tuple[Target, ...] = (
    Target(name="picture-list", seeds=lambda: [_LIST], read=_list, strategy=lines([_LIST])),
    Target(name="labels-csv", seeds=lambda: [_LABELS], read=_labels, strategy=lines([_LABELS])),
    Target(
        name="celeba-identities",
        seeds=lambda: [_IDENTITIES],
        read=_identities,
        strategy=lines([_IDENTITIES]),
    ),
    Target(
        name="robustness-grid",
        seeds=lambda: [GRID.read_bytes()],
        read=_grid,
        strategy=documents([b'{"jpeg": [90, 50], "blur": [1.0]}']),
    ),
    Target(
        name="training-log",
        share=0.02,
        seeds=lambda: [_LOG],
        read=_log,
        strategy=st.lists(documents(_LOG.splitlines()), max_size=3).map(b"\n".join),
    ),
    Target(
        name="checkpoint-texts", seeds=_sidecars, read=_sidecar, strategy=documents(_sidecars())
    ),
)
if importlib.util.find_spec("timm"):  # the settings name networks that are made of it
    TARGETS += (Target(name="training-config", share=0.05, seeds=_configs, read=_config),)
