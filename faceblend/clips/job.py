"""The job: clips into HDF5 shards, those still missing, each written whole or not at all."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from faceblend import atomic, jobs, partner
from faceblend.bank import FaceBank
from faceblend.clips.blended import Clip, clip
from faceblend.clips.runs import windows
from faceblend.errors import BadArgument, BadImage, BadShard, Rejected, Unwritable, may_pass
from faceblend.recipe import Recipe
from faceblend.sample import versions
from faceblend.store.hdf5 import new_hdf5
from faceblend.store.shard import file_digest

FORMAT = 1
"""Version of the folder's layout."""

NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ClipsReport:
    """What a call of :func:`write_clips` left behind."""

    stored: int
    """clips in the set"""
    rejected: int
    """clip numbers that have no clip; the manifest says why"""
    made: int
    """shards that this call made"""
    kept: int
    """shards that were there already"""
    failed: tuple[tuple[str, str], ...]
    """shards that are missing still, and why"""
    seconds: float
    """time that this call took"""

    def __str__(self) -> str:
        text = f"{self.stored} clips stored, {self.rejected} rejected; {self.made} shards made"
        text += f", {self.kept} kept in {self.seconds:.1f} s"
        return "\n".join([text, *(f"failed: {name}: {reason}" for name, reason in self.failed)])


def write_clips(
    bank: FaceBank,
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    count: int,
    frames: int = 16,
    step: int = 1,
    seed: int = 0,
    shard_size: int = 16,
    workers: int = 1,
) -> ClipsReport:
    """Make the clips 0 to ``count - 1`` of a recipe and a seed, or those still missing.

    The same call continues a set that was cut off; with a larger ``count`` it adds to it.

    Args:
        bank: the real faces.
        recipe: what may be drawn.
        out: folder of the set; new, empty, or a set of the same arguments.
        count: clip numbers; those that are rejected or unreadable are named in the manifest.
        frames, step, seed: see :func:`~faceblend.clips.clip`.
        shard_size: clip numbers a shard.
        workers: processes.

    Raises:
        BadArgument: a number is out of range, ``out`` holds something else, or another run
            writes it.
        BadBank: no video is long enough, or a face could find no partner.
        BadRecipe: the recipe's window leaves the bank's crops.
        BadShard: the manifest in ``out`` is damaged.
        Unwritable: the disk is full, or the folder may no longer be written.
    """
    started = time.monotonic()
    for name, number in (("count", count), ("shard size", shard_size)):
        if not 1 <= number < 2**63:
            raise BadArgument(name, f"is {number}", "give 1 or more")
    if not 0 <= seed < 2**64:
        raise BadArgument("seed", f"is {seed}", "give a number from 0 to 2**64 - 1")
    recipe.check_fits(bank.crop_size)
    windows(bank, frames, step)
    if recipe.lends:
        partner.check(bank)
    folder = Path(out).resolve()
    plan = {
        "format": FORMAT,
        "layout": "clips",
        "recipe": recipe.to_dict(),
        "seed": seed,
        "frames": frames,
        "step": step,
        "shard_size": shard_size,
        "image_size": recipe.crop.size,
        "bank": {"fingerprint": bank.fingerprint},
        "versions": dict(versions()),
    }
    with atomic.alone_in(folder):
        entries = _kept(folder, plan, count)
        kept = len(entries)
        work = _Shards(bank=bank, recipe=recipe, folder=folder, plan=plan, count=count)
        starts = [first for first in range(0, count, shard_size) if first not in entries]
        failed = []
        _save(folder, plan, count, entries)
        with jobs.progress("clips", total=len(starts), unit="shards") as progress:
            for outcome in jobs.run(starts, work, workers=workers):
                if isinstance(outcome.error, Unwritable):
                    raise outcome.error  # the next shards would have no more room
                if outcome.result is None:
                    failed.append((_name(outcome.task, shard_size), str(outcome.error)))
                else:
                    entries[outcome.task] = outcome.result
                    _save(folder, plan, count, entries)
                progress.advance(1)
        _remove_temporary(folder)  # of workers that were killed
    return ClipsReport(
        stored=sum(entry["stored"] for entry in entries.values()),
        rejected=sum(len(entry["rejected"]) for entry in entries.values()),
        made=len(entries) - kept,
        kept=kept,
        failed=tuple(sorted(failed)),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, kw_only=True)
class _Shards:
    """Makes one shard, given its first clip number; travels to the workers."""

    bank: FaceBank
    recipe: Recipe
    folder: Path
    plan: dict[str, Any]
    count: int

    def __call__(self, first: int) -> dict[str, Any]:
        room = min(self.plan["shard_size"], self.count - first)
        path = self.folder / _name(first, self.plan["shard_size"])
        rejected: list[dict[str, Any]] = []
        with atomic.replacing(path) as temporary:
            with new_hdf5(temporary) as (file, disk):
                clips = self._clips(range(first, first + room), rejected)
                labels = self._fill(file, disk.guarded(clips), room)
            digest, size = file_digest(temporary)
        return {
            "name": path.name,
            "first": first,
            "count": room,
            "stored": len(labels),
            "fakes": sum(labels),
            "sha256": digest,
            "bytes": size,
            "rejected": rejected,
        }

    def _clips(self, indices: range, rejected: list[dict[str, Any]]) -> Iterator[Clip]:
        frames, step = self.plan["frames"], self.plan["step"]
        for index in indices:
            try:
                yield clip(self.bank, self.recipe, self.plan["seed"], index, frames, step)
            except Rejected as error:
                rejected.append({"index": index, "reason": error.reason})
            except BadImage as error:
                if may_pass(error):
                    raise  # no fault of the clip: the shard fails, and the next run tries again
                # no path of this machine enters the manifest
                rejected.append(
                    {"index": index, "reason": f"{Path(error.where).name}: {error.reason}"}
                )

    def _fill(self, file: h5py.File, clips: Iterator[Clip], room: int) -> list[int]:
        for name in ("format", "frames", "step"):
            file.attrs[name] = np.int64(self.plan[name])
        file.attrs["seed"] = np.uint64(self.plan["seed"])
        file.attrs["bank"] = self.plan["bank"]["fingerprint"]
        for name in ("recipe", "versions"):
            file.attrs[name] = json.dumps(self.plan[name], sort_keys=True)
        frames, side = self.plan["frames"], self.plan["image_size"]
        text = h5py.string_dtype("utf-8")
        layout: dict[str, tuple[tuple[int, ...], Any]] = {
            "image": ((frames, side, side, 3), "u1"),
            "xray": ((frames, side, side), "u1"),
            "landmarks": ((frames, 68, 2), "<f4"),
            "label": ((), "u1"),
            "index": ((), "<i8"),
            "record": ((), text),
        }
        made = {
            name: file.create_dataset(
                name,
                (room, *shape),
                dtype,
                chunks=(1, *shape),
                maxshape=(room, *shape),
                track_times=False,
            )
            for name, (shape, dtype) in layout.items()
        }
        labels: list[int] = []
        for row, one in enumerate(clips):
            made["image"][row] = one.images
            made["xray"][row] = one.xrays_u8
            made["landmarks"][row] = one.landmarks
            made["label"][row] = one.label
            made["index"][row] = one.index
            made["record"][row] = one.record
            labels.append(one.label)
        for dataset in made.values():
            dataset.resize(len(labels), axis=0)
        return labels


def _name(first: int, shard_size: int) -> str:
    return f"clips-{first // shard_size:05d}.h5"


def _save(folder: Path, plan: dict[str, Any], count: int, entries: dict[int, Any]) -> None:
    shards = [entries[first] for first in sorted(entries)]
    atomic.write_json(folder / NAME, {**plan, "count": count, "shards": shards})


def _kept(folder: Path, plan: dict[str, Any], count: int) -> dict[int, dict[str, Any]]:
    """Shards of the same plan that are there, by their first clip number."""
    path = folder / NAME
    _remove_temporary(folder)
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
        before = json.loads(path.read_bytes())
        there = {name: before.get(name) for name in plan}
        shards = {entry["first"]: entry for entry in before["shards"] if _is_entry(entry)}
        smaller = count < before["count"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise BadShard(
            path, f"cannot be read ({error!r})", "make the clips again into an empty folder"
        ) from error
    other = [name for name, value in plan.items() if there[name] != value]
    if other or smaller:
        raise BadArgument(
            folder,
            f"holds a set of another {' and '.join(other) or 'count, a larger one'}",
            "give the same values to continue it, or another folder for a new set",
        )
    size = plan["shard_size"]
    return {
        first: entry
        for first, entry in shards.items()
        if first in range(0, count, size)
        and entry["count"] == min(size, count - first)
        and _digest(folder / _name(first, size)) == (entry["sha256"], entry["bytes"])
    }


def _is_entry(entry: Any) -> bool:
    # what is none was damaged: its shard is made again
    whole = all(type(entry[name]) is int for name in ("first", "count", "stored", "bytes"))
    return whole and isinstance(entry["rejected"], list) and isinstance(entry["sha256"], str)


def _remove_temporary(folder: Path) -> None:
    # nobody writes them now: this run is alone in the folder, and its workers are not at it
    for path in folder.glob(f".*{atomic.TEMPORARY}"):
        path.unlink(missing_ok=True)


def _digest(path: Path) -> tuple[str, int] | None:
    try:
        return file_digest(path)
    except OSError:
        return None  # missing or unreadable: it is made again
