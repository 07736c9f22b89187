"""The job: the shards still missing, rendered and committed."""

import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from faceblend import capped, jobs, partner
from faceblend.bank import FaceBank
from faceblend.errors import (
    BadArgument,
    BadBank,
    BadImage,
    BadShard,
    FaceblendError,
    Rejected,
    Unwritable,
    may_pass,
)
from faceblend.export import write_folder_shard
from faceblend.recipe import Recipe
from faceblend.sample import Sample, sample, versions
from faceblend.store.check import bytes_match
from faceblend.store.folder import FolderShard
from faceblend.store.listing import Listing
from faceblend.store.manifest import (
    MOST_SHARDS,
    NAME,
    Layout,
    Manifest,
    Plan,
    Rejection,
    ShardEntry,
)
from faceblend.store.place import Folder, Place, place_at
from faceblend.store.shard import write_shard

_RECORD_BYTES = 4096  # record, landmarks and HDF5's own, generously
_BLOCK_BYTES = 4096  # the least that a file takes on a disk
_SOON_READ = 2**30  # bytes that are read before workers have started


@dataclass(frozen=True, kw_only=True)
class FailedShard:
    """A shard that could not be made; the same call tries it again."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """What a call of :func:`generate` left behind."""

    stored: int
    """samples in the set"""
    rejected: int
    """sample numbers that have no sample; the manifest says why"""
    made: int
    """shards that this call made"""
    kept: int
    """shards that were there already"""
    failed: tuple[FailedShard, ...]
    """shards that are missing still"""
    seconds: float
    """time that this call took"""

    def __str__(self) -> str:
        text = f"{self.stored} samples stored, {self.rejected} rejected; {self.made} shards made"
        if self.kept:
            text += f", {self.kept} kept"
        text += f" in {self.seconds:.1f} s"
        for failed in self.failed:
            text += f"\nfailed: {failed.name}: {failed.reason}"
        return text


def generate(
    bank: FaceBank,
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    count: int,
    seed: int = 0,
    workers: int = 1,
    shard_size: int = 1000,
    layout: Layout = "hdf5",
    alpha: bool = False,
    check: Literal["lazy", "deep"] = "deep",
    executor: Executor | None = None,
) -> GenerateReport:
    """Make the samples 0 to ``count - 1`` of a recipe and a seed, or those still missing.

    The same call continues a set that was cut off, makes damaged or lost shards again, and
    with a larger ``count`` adds to it. The finished folder is the same byte for byte
    whatever the number of workers and however often it was cut off.

    Args:
        bank: the real faces.
        recipe: what may be drawn.
        out: folder of the set, or its URL as fsspec knows it (``s3://bucket/set``, hdf5 layout
            alone); new, empty, or a set of the same arguments. Nothing locks a URL: let one run
            write there at a time.
        count: sample numbers; those whose mask stays degenerate or whose crop cannot be read
            are recorded as rejected, so fewer samples may be stored.
        seed: 0 to 2**64 - 1.
        workers: processes.
        shard_size: sample numbers a shard.
        layout: ``hdf5``, one file a shard, or ``folder``, the classic folders of PNGs.
        alpha: store every sample's alpha too; twice the size. Not for ``folder``.
        check: how shards of an earlier run are looked at before they are kept: ``deep`` reads
            them and compares their SHA-256, ``lazy`` their sizes. At a URL sizes are compared, for
            all would be fetched; ``verify`` does.
        executor: any ``concurrent.futures.Executor`` instead of ``workers`` processes.

    Raises:
        BadArgument: a value is out of range, ``out`` holds other files or a set of other
            arguments, another process is writing it, the disk is too small, or a URL cannot
            be reached.
        BadBank: a face could find no partner, or the recipe needs segmentations that the bank
            has not.
        BadRecipe: the recipe's window leaves the bank's crops.
        BadShard: the manifest in ``out`` is damaged, or the system does not give what lies there.
        Unwritable: the disk is full, or the folder may no longer be written. What is committed
            stands, and the same call continues.
    """
    started = time.monotonic()
    if check not in ("lazy", "deep"):
        raise BadArgument("check", f"is {check!r}", "give lazy or deep")
    _check_numbers(count, seed, shard_size, layout, alpha)
    if recipe.lends:
        partner.check(bank)
    recipe.check_fits(bank.crop_size)
    if recipe.asks_segments and not (bank.root / "segments").is_dir():
        raise BadBank(
            bank.root,
            "has no folder segments/, which the recipe's masks are made of",
            "put a segmentation of each face there, or choose other masks",
        )
    place = place_at(out)
    if isinstance(place, Folder):
        place = Folder(place.path.resolve())
    elif layout == "folder":
        raise BadArgument(place, "takes no folders of PNGs", "use hdf5, or a folder to copy from")
    plan = Plan(
        layout=layout,
        recipe=recipe.to_dict(),
        seed=seed,
        shard_size=shard_size,
        image_size=recipe.crop.size,
        bank=bank.fingerprint,
        alpha=alpha,
        versions=dict(versions()),
    )
    with place.alone():
        manifest = _resumed(place, plan, count)
        if isinstance(place, Folder):
            if check == "deep":
                manifest = _unchanged(place.path, manifest, workers, executor)
            _check_space(place.path, manifest)
        elif executor is None:  # whose workers may have other disks
            _check_staging(manifest, workers)
        place.save(manifest)
        kept = len(manifest.shards)
        try:
            manifest, failed = _run(bank, recipe, place, manifest, workers, executor)
        finally:
            # a place that may no longer be written has been told of, and the next run sweeps
            with suppress(OSError, FaceblendError):
                place.remove_temporary()  # of workers that were killed
    return GenerateReport(
        stored=manifest.stored,
        rejected=manifest.rejected,
        made=len(manifest.shards) - kept,
        kept=kept,
        failed=tuple(failed),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, kw_only=True)
class _Shards:
    """Makes one shard of a set, given its first sample number; travels to the workers."""

    bank: FaceBank
    recipe: Recipe
    place: Place
    plan: Plan
    count: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (pickle.dumps(vars(self)),)

    def __call__(self, first: int) -> ShardEntry:
        room = min(self.plan.shard_size, self.count - first)
        name = self.plan.shard_name(first)
        rejected: list[Rejection] = []
        samples = self._samples(range(first, first + room), rejected)
        if self.plan.layout == "hdf5":
            with self.place.writing(name) as path:
                written = write_shard(path, samples, self.plan, room)
        else:
            assert isinstance(self.place, Folder)  # no URL has this layout
            written = write_folder_shard(self.place.path, name, samples)
        return ShardEntry(
            name=name, first=first, count=room, rejected=tuple(rejected), **vars(written)
        )

    def _samples(self, indices: range, rejected: list[Rejection]) -> Iterator[Sample]:
        for index in indices:
            try:
                yield sample(self.bank, self.recipe, self.plan.seed, index)
            except (Rejected, BadImage) as error:
                if may_pass(error):
                    raise  # no fault of the sample: the shard fails, and the next run tries again
                rejected.append(Rejection(index=index, reason=self._reason(error)))

    def _reason(self, error: FaceblendError) -> str:
        # a rejection's place is the sample, and no path of this machine enters the manifest
        if isinstance(error, Rejected):
            return error.reason
        place = Path(error.where)
        if place.is_relative_to(self.bank.root):
            place = place.relative_to(self.bank.root)
        return f"{place.as_posix()}: {error.reason}"


@lru_cache(maxsize=1)  # each worker opens the bank once, not once a shard
def _arrived(data: bytes) -> _Shards:
    return _Shards(**pickle.loads(data))  # noqa: S301 - written by __reduce__ above


def _run(
    bank: FaceBank,
    recipe: Recipe,
    place: Place,
    manifest: Manifest,
    workers: int,
    executor: Executor | None,
) -> tuple[Manifest, list[FailedShard]]:
    plan = manifest.plan
    failed: list[FailedShard] = []
    work = _Shards(bank=bank, recipe=recipe, place=place, plan=plan, count=manifest.count)
    kept = sum(entry.count for entry in manifest.shards)
    for one in recipe.partners:
        if one.cap is not None:
            capped.arrange(bank, one.top, one.cap)
        elif one.search == "exact" and (workers > 1 or executor is not None):
            partner.arrange(bank)
    listing = Listing(place, manifest)
    with (
        listing,
        jobs.progress("generate", total=manifest.count, unit="samples", kept=kept) as progress,
    ):
        for outcome in jobs.run(manifest.missing(), work, workers=workers, executor=executor):
            name = plan.shard_name(outcome.task)
            if isinstance(outcome.error, Unwritable):
                raise outcome.error  # the next shards would have no more room
            if outcome.result is None:
                failed.append(FailedShard(name=name, reason=str(outcome.error)))
                progress.warn(f"{name}: {outcome.error}")
            else:
                listing.add(outcome.result)
            progress.advance(manifest.length(outcome.task))
    return listing.manifest, sorted(failed, key=lambda shard: shard.name)


def _check_numbers(count: int, seed: int, shard_size: int, layout: str, alpha: bool) -> None:
    if not 1 <= count < 2**63:
        raise BadArgument("count", f"is {count}", "give 1 or more samples")
    if not 0 <= seed < 2**64:
        raise BadArgument("seed", f"is {seed}", "give a number from 0 to 2**64 - 1")
    if shard_size < 1:
        raise BadArgument("shard size", f"is {shard_size}", "give 1 or more samples a shard")
    if count > MOST_SHARDS * shard_size:
        wrong = f"is {shard_size}, which makes over {MOST_SHARDS:,} shards of {count} samples"
        raise BadArgument("shard size", wrong, "give more samples a shard")
    if alpha and layout == "folder":
        raise BadArgument(
            "alpha", "has no place in the folder layout", "leave it out, or use the hdf5 layout"
        )


def _resumed(place: Place, plan: Plan, count: int) -> Manifest:
    """The manifest to continue: what is committed, intact and of the same plan."""
    place.remove_temporary()  # nobody writes them now: this run is alone there
    sizes = place.sizes()
    if NAME not in sizes:
        strangers = sorted(sizes)
        if strangers:
            raise BadArgument(
                place,
                f"holds other files ({', '.join(strangers[:3])}) and no {NAME}",
                "give a new or empty folder",
            )
        return Manifest(plan=plan, count=count, shards=())
    before = place.load()
    differing = _differences(before.plan.to_dict(), plan.to_dict())
    if differing:
        raise BadArgument(
            place,
            f"holds a set made otherwise: {'; '.join(differing)}",
            "give the same values to continue it, or another folder for a new set",
        )
    if count < before.count:
        raise BadArgument(
            place,
            f"holds a set of {before.count} samples, and {count} are asked for",
            f"give {before.count} or more, or another folder",
        )
    grown = replace(before, count=count)
    intact = [
        entry
        for entry in before.shards
        if entry.count == grown.length(entry.first) and _is_there(place, sizes, plan, entry)
    ]
    return replace(grown, shards=tuple(intact))


def _is_there(place: Place, sizes: dict[str, int], plan: Plan, entry: ShardEntry) -> bool:
    if plan.layout == "hdf5":
        return sizes.get(entry.name) == entry.bytes
    assert isinstance(place, Folder)  # no URL has this layout
    try:
        return FolderShard(place.path, entry, plan).size_on_disk() == entry.bytes
    except (BadShard, OSError) as error:
        if may_pass(error):
            raise
        return False  # missing or unreadable: it is made again


def _unchanged(
    folder: Path, manifest: Manifest, workers: int, executor: Executor | None
) -> Manifest:
    """The manifest without the shards whose bytes are not those that were committed."""
    if not manifest.shards:
        return manifest
    if sum(entry.bytes for entry in manifest.shards) < _SOON_READ:
        workers, executor = 1, None
    work = _Unchanged(folder=folder, manifest=replace(manifest, shards=()))
    whole = []
    with jobs.progress("check", total=manifest.stored, unit="samples") as progress:
        for outcome in jobs.run(manifest.shards, work, workers=workers, executor=executor):
            if outcome.error is not None:
                raise outcome.error  # what could not be read need not be damaged
            if outcome.result:
                whole.append(outcome.task)
            else:
                progress.warn(f"{outcome.task.name}: its bytes have changed: it is made again")
            progress.advance(outcome.task.stored)
    return replace(manifest, shards=tuple(sorted(whole, key=lambda entry: entry.first)))


@dataclass(frozen=True, kw_only=True)
class _Unchanged:
    """Whether a shard still has its checksum; travels to the workers."""

    folder: Path
    manifest: Manifest

    def __call__(self, entry: ShardEntry) -> bool:
        try:
            return bytes_match(self.folder, self.manifest, entry)
        except BadShard as error:
            if may_pass(error):
                raise
            return False


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """``name is A there and B here`` for every value that is not the same."""
    if isinstance(there, dict) and isinstance(here, dict):
        inside = [key for key in here if key in there] + sorted(there.keys() ^ here.keys())
        return [
            words
            for key in inside
            for words in _differences(
                there.get(key, "absent"), here.get(key, "absent"), f"{name}.{key}".lstrip(".")
            )
        ]
    return [] if there == here else [f"{name} is {there!r} there and {here!r} here"]


def _check_space(folder: Path, manifest: Manifest) -> None:
    plan = manifest.plan
    missing = manifest.count - sum(entry.count for entry in manifest.shards)
    # a PNG's size is not known before it is made
    needed = missing * (_sample_bytes(plan) if plan.layout == "hdf5" else 2 * _BLOCK_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BadArgument(
            folder,
            f"needs at least {_gib(needed)} for {missing} samples, and {_gib(free)} are free",
            "make space, ask for fewer samples, or give a folder on another disk",
        )


def _check_staging(manifest: Manifest, workers: int) -> None:
    shards = min(workers, len(manifest.missing()))
    needed = shards * min(manifest.plan.shard_size, manifest.count) * _sample_bytes(manifest.plan)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise BadArgument(
            tempfile.gettempdir(),
            f"needs {_gib(needed)} for the shards of {shards} workers, and {_gib(free)} are free",
            "make smaller shards, use fewer workers, or name another disk in TMPDIR",
        )


def _sample_bytes(plan: Plan) -> int:
    return plan.image_size**2 * (8 if plan.alpha else 4) + _RECORD_BYTES


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
