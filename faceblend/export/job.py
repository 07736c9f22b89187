"""The job: the pieces of an export that are still missing, written and listed."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import pyarrow as pa
from jaxtyping import Int

from faceblend import atomic, jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadRecipe, BadShard
from faceblend.export.folder import write_folder_shard
from faceblend.export.parquet import card, write_parquet
from faceblend.export.tar import Picture, write_tar
from faceblend.recipe import build
from faceblend.store import BlendSet, Manifest
from faceblend.store.folder import FOLDERS, FolderShard
from faceblend.store.manifest import ShardEntry, Written
from faceblend.store.place import folder_at

Positions = range | Int[np.ndarray, " samples"]
"""Of samples in a set, ascending."""

To = Literal["webdataset", "parquet", "folder"]

FORMAT = 1
"""Version of ``export.json``."""

NAME = "export.json"

_LOOK = "run faceblend verify: it looks at every record"

_HUGGING_FACE = {None: "train", "val": "validation"}
"""What its splits are called where that is not what they are called here."""


@dataclass(frozen=True, kw_only=True)
class SetReport:
    """What a call of :func:`export_set` left behind."""

    out: Path
    samples: int
    """samples in ``out``"""
    pieces: int
    """files that hold them, or record files in the folder layout"""
    kept: int
    """of these, pieces that an earlier run had written"""
    rejected: int
    """sample numbers that the set has no sample of"""
    failed: tuple[tuple[str, str], ...]
    """pieces that are missing still, and why"""

    def __str__(self) -> str:
        kept = f" ({self.kept:,} were there)" if self.kept else ""
        text = f"{self.samples:,} samples in {self.pieces:,} pieces in {self.out}{kept}"
        if self.rejected:
            text += f"; {self.rejected:,} numbers were rejected when the set was made"
        for name, reason in self.failed:
            text += f"\nfailed: {name}: {reason}"
        return text


def export_set(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: To,
    *,
    image: Picture = "png",
    shard_size: int | None = None,
    bank: FaceBank | None = None,
    workers: int = 1,
) -> SetReport:
    """Write a finished set in another layout; a run that was cut off continues.

    ===============  ==================================================================
    webdataset       ``shard-00000.tar``, ..., and ``index.json``, written last
    parquet          ``data/train-00000-of-00004.parquet``, ..., and ``README.md``, a dataset
                     card, written last
    folder           what ``faceblend generate --format folder`` writes, with its manifest
    ===============  ==================================================================

    Every file is written whole or not at all and listed in ``export.json``; the finished folder
    is the same byte for byte whatever the number of workers and however often it was cut off.

    Args:
        path: the set, of HDF5 shards.
        out: folder; new, empty, or an export of the same arguments.
        to: the layout.
        image: ``png`` is lossless; ``jpg`` (quality 95, 4:4:4) changes pixels.
        shard_size: samples a piece; the set's own if not given. Not for ``folder``.
        bank: for ``parquet``, the bank that the set was made from: a sample then goes into the
            split of its background, and else into ``train``.
        workers: processes.

    Raises:
        BadArgument: an option goes with another layout or is out of range; ``out`` holds
            something else or another run writes it.
        BadShard: the set cannot be read, or is not finished.
        BadBank: ``bank`` is not the set's, or a split's name cannot be a file's.
        Unwritable: the disk is full, or the folder may no longer be written.
    """
    _check(to, image, shard_size, bank)
    path, folder = folder_at(path), folder_at(out).resolve()
    with BlendSet(path) as blends:
        manifest = blends.manifest
        _check_whole(Path(path), manifest, bank)
        size = manifest.plan.shard_size if shard_size is None else shard_size
        pieces = _pieces(blends, to, size, bank)
    write = _Writer(path=Path(path).resolve(), folder=folder, to=to, image=image)
    plan = {
        "format": FORMAT,
        "to": to,
        "set": _digest(manifest),
        "image": image,
        "shard_size": size,
        "splits": bank is not None,
        "versions": {"opencv": cv2.__version__, "pyarrow": pa.__version__},
    }
    with atomic.alone_in(folder):
        there = _resumed(folder, plan)
        done = {
            piece.name: there[piece.name]
            for piece in pieces
            if piece.name in there and write.holds(piece, there[piece.name], manifest)
        }
        kept = len(done)
        _save(folder, plan, pieces, done)
        failed = _run(pieces, write, plan, done, workers)
        if not failed:
            _finish(folder, to, image, manifest, pieces, done, Path(path).resolve().name)
        _remove_temporary(folder)  # of workers that were killed
    return SetReport(
        out=Path(out),
        samples=sum(written.stored for written in done.values()),
        pieces=len(done),
        kept=kept,
        rejected=manifest.rejected,
        failed=tuple(sorted(failed)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """Samples that belong into one file."""

    name: str
    """relative to the export's folder; made of numbers and split names, so it stays inside"""
    split: str
    positions: Positions
    number: int
    """which of all pieces it is"""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Writes one piece; in another process, too."""

    path: Path
    folder: Path
    to: To
    image: Picture

    def __call__(self, piece: _Piece) -> Written:
        with BlendSet(self.path) as blends:
            samples = (blends[position] for position in piece.positions)
            if self.to == "folder":
                return write_folder_shard(self.folder, piece.name, samples)
            write = write_tar if self.to == "webdataset" else write_parquet
            return write(self.folder / piece.name, samples, image=self.image)

    def holds(self, piece: _Piece, written: Written, manifest: Manifest) -> bool:
        """Whether what is listed is there, by its size."""
        try:
            if self.to == "folder":
                entry = _entry(manifest, piece, written)
                shard = FolderShard(self.folder, entry, manifest.plan)
                return shard.size_on_disk() == written.bytes
            return (self.folder / piece.name).stat().st_size == written.bytes
        except (BadShard, OSError):
            return False  # missing or unreadable: it is made again


def _check(to: str, image: str, shard_size: int | None, bank: FaceBank | None) -> None:
    for name, value, may in (("to", to, get_args(To)), ("image", image, get_args(Picture))):
        if value not in may:
            raise BadArgument(name, f"is {value!r}", f"give one of {', '.join(may)}")
    if shard_size is not None and shard_size < 1:
        raise BadArgument("shard size", f"is {shard_size}", "give 1 or more samples a piece")
    if to == "folder" and (image != "png" or shard_size is not None):
        name = "image" if image != "png" else "shard size"
        raise BadArgument(name, "has no use with folder", "it is for webdataset and parquet")
    if to != "parquet" and bank is not None:
        raise BadArgument("bank", f"has no use with {to}", "it is for parquet, which has splits")


def _check_whole(path: Path, manifest: Manifest, bank: FaceBank | None) -> None:
    missing = len(manifest.missing())
    if missing:
        all_of_it = len(manifest.shards) + missing
        raise BadShard(
            path,
            f"is not finished: {missing} of {all_of_it} shards are missing",
            "run the same generate command again: it makes them",
        )
    if not manifest.stored:
        raise BadShard(path, "holds no sample", "generate some first")
    if bank is not None and bank.fingerprint != manifest.plan.bank:
        raise BadBank(bank.root, f"is not the bank that {path} was made from", "give that one")


def _pieces(blends: BlendSet, to: To, size: int, bank: FaceBank | None) -> list[_Piece]:
    found: list[_Piece] = []
    if to == "folder":
        plan, end = replace(blends.manifest.plan, layout="folder"), 0
        for number, entry in enumerate(blends.manifest.shards):
            name, here = plan.shard_name(entry.first), range(end, end + entry.stored)
            found.append(_Piece(name=name, split="", positions=here, number=number))
            end = here.stop
        return found
    splits: dict[str, Positions] = {"train": range(len(blends))}
    if bank is not None:
        splits = _by_split(blends, bank)
    for split, positions in splits.items():
        count = -(-len(positions) // size)
        for number in range(count):
            name = (
                f"shard-{number:05d}.tar"
                if to == "webdataset"
                else f"data/{split}-{number:05d}-of-{count:05d}.parquet"
            )
            part = positions[number * size : (number + 1) * size]
            found.append(_Piece(name=name, split=split, positions=part, number=len(found)))
    return found


def _by_split(blends: BlendSet, bank: FaceBank) -> dict[str, Positions]:
    """Positions of the samples of each split of the bank; 18 bytes a sample."""
    names = bank.table["split"].to_pylist()
    called = {name: _HUGGING_FACE.get(name, name) for name in dict.fromkeys(names)}
    for name in called.values():
        if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name or ""):
            raise BadBank(
                f"{bank.root}: split {name!r}",
                "cannot be a file's name",
                "extract the bank again with letters, digits and _ in its splits",
            )
    code_of = {name: number for number, name in enumerate(dict.fromkeys(called.values()))}
    codes = np.array([code_of[called[name]] for name in names], np.int16)
    rows = np.fromiter(_backgrounds(blends), np.int64, len(blends))
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(codes):
        raise BadShard(blends.path, "has a record of a face that the bank has not", _LOOK)
    of_sample = codes[rows]
    there = {name: np.flatnonzero(of_sample == code) for name, code in code_of.items()}
    return {name: found for name, found in there.items() if len(found)}


def _backgrounds(blends: BlendSet) -> Iterator[int]:
    for number, record in enumerate(blends.records()):
        try:
            yield int(json.loads(record)["draw"]["background"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            where = f"{blends.path}, record {number}"
            raise BadShard(where, f"is not one ({error!r})", _LOOK) from error


def _digest(manifest: Manifest) -> str:
    """Of everything that the set says about itself, its shards' digests among it."""
    text = json.dumps(manifest.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _run(
    pieces: list[_Piece],
    write: _Writer,
    plan: dict[str, Any],
    done: dict[str, Written],
    workers: int,
) -> list[tuple[str, str]]:
    failed: list[tuple[str, str]] = []
    missing = [piece for piece in pieces if piece.name not in done]
    total = sum(len(piece.positions) for piece in pieces)
    kept = total - sum(len(piece.positions) for piece in missing)
    with jobs.progress("export", total=total, unit="samples", kept=kept) as report:
        for outcome in jobs.run(missing, write, workers=workers):
            if isinstance(outcome.error, BadShard):
                failed.append((outcome.task.name, str(outcome.error)))
                report.warn(f"{outcome.task.name}: {outcome.error}")
            elif outcome.error is not None:
                raise outcome.error
            elif outcome.result is not None:
                done[outcome.task.name] = outcome.result
                _save(write.folder, plan, pieces, done)
            report.advance(len(outcome.task.positions))
    return failed


def _resumed(folder: Path, plan: dict[str, Any]) -> dict[str, Written]:
    """What an earlier run of the same export listed."""
    _remove_temporary(folder)
    path = folder / NAME
    if not path.exists():
        strangers = sorted(one.name for one in folder.iterdir())
        if strangers:
            raise BadArgument(
                folder,
                f"holds other files ({', '.join(strangers[:3])}) and no {NAME}",
                "give a new or empty folder",
            )
        return {}
    try:
        content = json.loads(path.read_bytes())
        listed = {
            one.pop("name"): build(Written, one, "a piece", complete=True)
            for one in content.pop("pieces")
        }
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        BadRecipe,
    ) as error:
        raise BadArgument(
            path, f"is damaged ({error!r})", "export again into an empty folder"
        ) from error
    differing = [
        f"{name} is {content.get(name)!r} there and {value!r} here"
        for name, value in plan.items()
        if content.get(name) != value
    ]
    if differing:
        raise BadArgument(
            folder,
            f"holds an export made otherwise: {'; '.join(differing)}",
            "give the same set and options to continue it, or another folder",
        )
    return listed


def _save(
    folder: Path, plan: dict[str, Any], pieces: list[_Piece], done: dict[str, Written]
) -> None:
    listed = [
        {"name": piece.name, **asdict(done[piece.name])} for piece in pieces if piece.name in done
    ]
    atomic.write_json(folder / NAME, {**plan, "pieces": listed})


def _finish(
    folder: Path,
    to: To,
    image: Picture,
    manifest: Manifest,
    pieces: list[_Piece],
    done: dict[str, Written],
    name: str,
) -> None:
    """What is written when all pieces are there."""
    if to == "folder":
        entries = [_entry(manifest, piece, done[piece.name]) for piece in pieces]
        plan = replace(manifest.plan, layout="folder", alpha=False)
        replace(manifest, plan=plan, shards=tuple(entries)).save(folder)
    elif to == "webdataset":
        shards = [
            {
                "url": piece.name,
                "nsamples": done[piece.name].stored,
                "filesize": done[piece.name].bytes,
            }
            for piece in pieces
        ]
        atomic.write_json(folder / "index.json", {"wids_version": 1, "shardlist": shards})
    else:
        splits: dict[str, tuple[int, int]] = {}
        for piece in pieces:
            samples, size = splits.get(piece.split, (0, 0))
            written = done[piece.name]
            splits[piece.split] = samples + written.stored, size + written.bytes
        atomic.write_bytes(folder / "README.md", card(name, manifest, splits, image).encode())


def _entry(manifest: Manifest, piece: _Piece, written: Written) -> ShardEntry:
    return replace(manifest.shards[piece.number], name=piece.name, **vars(written))


def _remove_temporary(folder: Path) -> None:
    # nobody writes them now: this run is alone in the folder, and its workers are not at it
    for place in (folder, folder / "data", *(folder / name for name in FOLDERS)):
        for path in place.glob(f".*{atomic.TEMPORARY}"):
            path.unlink(missing_ok=True)
