"""Is a set what it says? Checksums, structure, labels, targets, records, replays."""

import json
import os
import pickle
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import cast

import numpy as np

from faceblend import jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadShard, may_pass
from faceblend.ops.xray import xray
from faceblend.sample import Sample, replay, versions
from faceblend.store.folder import FOLDERS, FolderShard, label_of
from faceblend.store.manifest import NAME, Manifest, ShardEntry
from faceblend.store.place import Folder, Place, place_at
from faceblend.store.shard import REMAKE, OpenShard, Stored, file_digest

CHANGED = "its bytes are not those that were committed: delete it and generate again"
"""What :func:`verify` says of a shard with a wrong checksum."""

_UNLISTED = "is not listed in the manifest"
_LEFT_OVER = "is left over from a run that did not finish"
_PER_SHARD = 20  # problems told of one shard; a damaged one may have one a sample
_PATIENCE = 60.0  # s, until a look into a damaged shard is given up
_LOOK = """
import pickle, sys
from faceblend.store.check import _look_into
pickle.dump(_look_into(*pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
"""
_LEAST_PEAK = 128  # generation rejects fakes whose X-ray stays under half everywhere


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is not as it should be."""

    where: str
    """file of the set, and the sample's number where that is known"""
    what: str


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What :func:`verify` looked at and found."""

    problems: tuple[Problem, ...]
    samples: int
    """samples that were read and checked"""
    shards: int
    """shards that the manifest lists"""
    replayed: int
    """samples that were made again and compared"""

    def __str__(self) -> str:
        found = f"{len(self.problems)} problems" if self.problems else "no problem"
        return (
            f"{found} in {self.samples} samples of {self.shards} shards, "
            f"{self.replayed} of them made again"
        )


def verify(
    path: str | os.PathLike[str], *, bank: FaceBank | None = None, replays: int = 0
) -> VerifyReport:
    """Check a set against its manifest and against itself.

    Checksums of shards and samples; shapes and types; sample numbers; X-rays that are zero
    exactly for reals and agree with the alpha where that is stored; records that agree with
    their samples; files that no shard owns; shards that are missing.

    Args:
        path: folder of the set, or its URL as fsspec knows it (``s3://bucket/set``): each shard
            then passes through a private temporary folder, one at a time.
        bank: what it was made from; without it nothing is replayed.
        replays: how many samples to make again from their records and compare byte for
            byte, spread evenly over the set. All samples of a shard whose checksum is wrong
            are made again on top, so that the damaged ones are named.

    Returns:
        The problems, none for a sound set. Damage never raises.

    Raises:
        BadShard: ``path`` is no folder.
        BadArgument: ``replays`` is under 0, or a URL cannot be reached.
    """
    if replays < 0:
        raise BadArgument("replays", f"is {replays}", "give 0 or more")
    place = place_at(path)
    if isinstance(place, Folder) and not place.path.is_dir():
        raise BadShard(place, "is not a folder", "give the folder of a generated set")
    try:
        manifest = place.load()
    except BadShard as error:
        return VerifyReport(problems=(_told(place, error),), samples=0, shards=0, replayed=0)
    if manifest.plan.layout == "hdf5":
        strays = _stray_shards(place, manifest)
    elif isinstance(place, Folder):
        strays = _strays(place.path, manifest)
    else:
        raise BadShard(place, "is a set of PNG folders", "copy it into a folder, and verify that")
    problems = [*_unfinished(manifest), *strays]
    if bank is not None and bank.fingerprint != manifest.plan.bank:
        what = f"has fingerprint {bank.fingerprint}, the set is of {manifest.plan.bank}"
        problems.append(Problem(where=str(bank.root), what=f"{what}: nothing was made again"))
        bank = None
    chosen = _spread(manifest, replays)
    looks = []
    with jobs.progress("verify", total=manifest.stored, unit="samples") as progress:
        for entry, rows in zip(manifest.shards, chosen, strict=True):
            looks.append(_fetched(place, manifest, entry, bank if replays > 0 else None, rows))
            progress.advance(entry.stored)
    return VerifyReport(
        problems=(*problems, *(found for look in looks for found in look.problems)),
        samples=sum(look.samples for look in looks),
        shards=len(looks),
        replayed=sum(look.replayed for look in looks),
    )


def open_any(folder: Path, manifest: Manifest, entry: ShardEntry) -> OpenShard | FolderShard:
    """Open a shard that the manifest lists, whatever the set's layout.

    Raises:
        BadShard: it is missing or damaged.
    """
    if manifest.plan.layout == "hdf5":
        return OpenShard(folder / entry.name, entry, manifest.plan)
    return FolderShard(folder, entry, manifest.plan)


@dataclass(kw_only=True)
class _Look:
    """What was seen in one shard so far."""

    problems: list[Problem] = field(default_factory=list)
    samples: int = 0
    replayed: int = 0

    def add(self, found: Iterable[Problem]) -> None:
        room = _PER_SHARD - len(self.problems)
        for problem in islice(found, max(room, 0) + 1):
            if len(self.problems) < _PER_SHARD:
                self.problems.append(problem)
            elif len(self.problems) == _PER_SHARD:
                where = problem.where.partition(",")[0]
                self.problems.append(Problem(where=where, what="has more problems"))


def _fetched(
    place: Place, manifest: Manifest, entry: ShardEntry, bank: FaceBank | None, rows: list[int]
) -> _Look:
    try:
        with place.reading(entry.name) as folder:
            return _checked(folder, manifest, entry, bank, rows)
    except BadArgument as error:  # the network failed; the other shards may be read
        return _Look(problems=[Problem(where=entry.name, what=error.reason)])


def _checked(
    folder: Path, manifest: Manifest, entry: ShardEntry, bank: FaceBank | None, rows: list[int]
) -> _Look:
    try:
        sound = bytes_match(folder, manifest, entry)
    except BadShard as error:
        return _Look(problems=[_told(folder, error)])
    if sound:
        return _look_into(folder, manifest, entry, bank, rows)
    look = _Look(problems=[Problem(where=entry.name, what=CHANGED)])
    inside = _apart(folder, manifest, entry, bank, list(range(entry.stored)))
    if inside is None:
        look.add([Problem(where=entry.name, what="is damaged too badly to look into")])
        return look
    look.samples, look.replayed = inside.samples, inside.replayed
    look.add(inside.problems)
    return look


def bytes_match(folder: Path, manifest: Manifest, entry: ShardEntry) -> bool:
    """Whether a shard has its checksum; no damage can make HDF5 crash on this.

    Raises:
        BadShard: it is missing, unreadable or has another size.
    """
    path = folder / entry.name
    if manifest.plan.layout == "folder":
        shard = FolderShard(folder, entry, manifest.plan)
        try:
            return shard.digest() == (entry.sha256, entry.bytes)
        except BadShard as error:
            if may_pass(error):
                raise
            return False  # a look inside names every picture that is missing
    try:
        digest, size = file_digest(path)
    except FileNotFoundError:
        raise BadShard(path, "is listed in the manifest and missing", REMAKE) from None
    except OSError as error:
        raise BadShard(path, f"cannot be read ({error.strerror})", REMAKE) from error
    if size != entry.bytes:
        raise BadShard(path, f"has {size} bytes, the manifest says {entry.bytes}", REMAKE)
    return digest == entry.sha256


def _apart(
    folder: Path, manifest: Manifest, entry: ShardEntry, bank: FaceBank | None, rows: list[int]
) -> _Look | None:
    """Look into a damaged shard from another process; None where that crashes or hangs."""
    # measured: of 3,000 files with damaged structure HDF5 crashed on one and hung on one
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK],
            input=pickle.dumps((folder, manifest, entry, bank, rows)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=_PATIENCE + 0.1 * entry.stored,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return cast(_Look, pickle.loads(done.stdout))  # noqa: S301 - our own process wrote it


def _look_into(
    folder: Path, manifest: Manifest, entry: ShardEntry, bank: FaceBank | None, rows: list[int]
) -> _Look:
    """Check every sample of a shard, and make the samples of ``rows`` again."""
    look, again, fakes = _Look(), set(rows), 0
    try:
        with closing(open_any(folder, manifest, entry)) as shard:
            look.add(
                Problem(where=entry.name, what=what) for what in shard.differences(manifest.plan)
            )
            for row, index in enumerate(entry.indices()):
                where = f"{entry.name}, sample {index}"
                try:
                    stored = shard.row(row)
                except BadShard as error:
                    told = _told(folder, error)
                    look.add([Problem(where=where, what=f"{told.where} {told.what}")])
                    continue
                look.samples += 1
                fakes += stored.label == 1
                whats = _sample_problems(stored, index, manifest)
                if bank is not None and row in again:
                    look.replayed += 1
                    whats = chain(whats, _replay_problems(stored, bank, manifest))
                look.add(Problem(where=where, what=what) for what in whats)
    except BadShard as error:
        look.add([_told(folder, error)])
    if look.samples == entry.stored and fakes != entry.fakes:
        what = f"has {fakes} fakes, the manifest says {entry.fakes}"
        look.add([Problem(where=entry.name, what=what)])
    return look


def _sample_problems(stored: Stored, index: int, manifest: Manifest) -> Iterator[str]:
    if stored.crc32 is not None and not stored.is_as_written:
        yield "its bytes are not those that were written"
    if stored.index != index:
        yield f"has number {stored.index} where {index} belongs"
    if stored.label not in (0, 1):
        yield f"has label {stored.label}, which is neither 0 nor 1"
    peak = int(stored.xray_u8.max())
    if stored.label == 0 and peak > 0:
        yield f"is labelled real, and its X-ray reaches {peak}"
    if stored.label == 1 and peak < _LEAST_PEAK:
        yield f"is labelled blended, and its X-ray reaches only {peak}"
    if stored.alpha is not None and not _is_xray_of(stored.xray_u8, stored.alpha):
        yield "its X-ray is not 4 alpha (1 - alpha)"
    yield from _record_problems(stored, manifest)


def _is_xray_of(xray_u8: np.ndarray, alpha: np.ndarray) -> bool:
    try:
        expected = np.rint(xray(alpha) * np.float32(255)).astype(np.uint8)
    except ValueError:
        return False  # an alpha outside [0, 1] has no X-ray
    return np.array_equal(xray_u8, expected)


def _record_problems(stored: Stored, manifest: Manifest) -> Iterator[str]:
    try:
        content = json.loads(stored.record)
        label = label_of(stored.record)
        said = {name: content[name] for name in ("index", "seed", "bank")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"its record cannot be read ({error!r})"
        return
    plan = manifest.plan
    expected = {"index": stored.index, "seed": plan.seed, "bank": plan.bank}
    for name, value in expected.items():
        if said[name] != value:
            yield f"its record says {name} {said[name]!r} where {value!r} belongs"
    if label != stored.label:
        yield f"is labelled {stored.label}, its record says {label}"


def _unfinished(manifest: Manifest) -> Iterator[Problem]:
    missing = manifest.missing()
    if missing:
        names = [manifest.plan.shard_name(first) for first in missing[:3]]
        shown = ", ".join(names) + (", ..." if len(missing) > len(names) else "")
        what = f"the set is not finished, {len(missing)} shards are missing: {shown}"
        yield Problem(where=NAME, what=what)


def _stray_shards(place: Place, manifest: Manifest) -> Iterator[Problem]:
    """Temporary files, and shards that the manifest does not list."""
    listed, names = {entry.name for entry in manifest.shards}, sorted(place.sizes())
    for name in names:
        if fnmatchcase(name, "shard-*.h5") and name not in listed:
            yield Problem(where=name, what=_UNLISTED)
    for name in names:
        if fnmatchcase(name, ".*.tmp"):
            yield Problem(where=name, what=_LEFT_OVER)


def _strays(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """The same of the folder layout, and pictures that belong to no sample."""
    listed = {entry.name for entry in manifest.shards}
    yield from _stray_pictures(folder, manifest)
    for path in sorted(folder.glob("records/*.jsonl")):
        name = path.relative_to(folder).as_posix()
        if name not in listed:
            yield Problem(where=name, what=_UNLISTED)
    for place in (folder, *(folder / name for name in FOLDERS)):
        for path in sorted(place.glob(".*.tmp")):
            name = path.relative_to(folder).as_posix()
            yield Problem(where=name, what=_LEFT_OVER)


def _stray_pictures(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    owned = {index for entry in manifest.shards for index in entry.indices()}
    for name in ("true", "fake", "mask"):
        for path in sorted(folder.glob(f"{name}/*.png")):
            number = int(path.stem) if path.stem.isdecimal() else -1
            if number not in owned or path.stem != f"{number:08d}":
                where = path.relative_to(folder).as_posix()
                yield Problem(where=where, what="belongs to no sample of the manifest")


def _spread(manifest: Manifest, replays: int) -> list[list[int]]:
    """Rows to make again in each shard: ``replays`` samples, evenly over the set."""
    ends = list(accumulate(entry.stored for entry in manifest.shards))
    total = ends[-1] if ends else 0
    rows: list[list[int]] = [[] for _ in ends]
    for position in np.unique(np.linspace(0, total - 1, min(replays, total)).astype(int)).tolist():
        shard = bisect_right(ends, position)
        rows[shard].append(position - (ends[shard - 1] if shard else 0))
    return rows


def _replay_problems(stored: Stored, bank: FaceBank, manifest: Manifest) -> Iterator[str]:
    made_with = manifest.plan.versions
    note = "" if made_with == versions() else f" (made with {made_with}, this is {versions()})"
    try:
        again = replay(stored.record, bank)
    except Exception as error:  # a damaged record can fail anywhere in the rendering
        yield f"cannot be made again from its record ({error}){note}"
        return
    for name, there, made in _pairs(stored, again):
        if not np.array_equal(there, made):
            yield f"its {name} is not what its record makes{note}"


def _pairs(stored: Stored, again: Sample) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    yield "image", stored.image, again.image
    yield "X-ray", stored.xray_u8, again.xray_u8
    yield "label", np.array(stored.label), np.array(again.label)
    if stored.alpha is not None and again.alpha is not None:
        yield "alpha", stored.alpha, again.alpha
    if stored.landmarks is not None:
        yield "landmarks", stored.landmarks, again.landmarks


def _told(folder: Path | Place, error: BadShard) -> Problem:
    inside = error.where.removeprefix(str(folder)).lstrip(f"{os.sep}/")
    return Problem(where=inside or error.where, what=error.reason)
