"""``manifest.json``: what a set holds, and what decided it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from faceblend import atomic, codec
from faceblend.errors import BadShard

T = TypeVar("T")

FORMAT = 1
"""Version of the set's layout; a set of another version is refused."""

NAME = "manifest.json"

MOST_SHARDS = 10**7
"""of a set: their list is held in memory"""

Layout = Literal["hdf5", "folder"]
"""``hdf5``: one file a shard; ``folder``: the classic ``true/ fake/ mask/`` of PNGs."""

_AGAIN = "generate the set again into an empty folder"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides a set's bytes, besides how many samples it has."""

    layout: Layout
    recipe: dict[str, Any]
    """the whole recipe, as ``Recipe.to_dict`` gives it"""
    seed: int
    """0 to 2**64 - 1"""
    shard_size: int
    """sample numbers a shard; the last shard of a set may have fewer"""
    image_size: int
    """side of every sample, px"""
    bank: str
    """the bank's fingerprint"""
    alpha: bool
    """alpha is stored too"""
    versions: dict[str, str | int]
    """of the libraries that decide the bytes"""

    def shard_name(self, first: int) -> str:
        """The file whose presence commits the shard, relative to the set's folder."""
        number = first // self.shard_size
        return f"shard-{number:05d}.h5" if self.layout == "hdf5" else f"records/{number:05d}.jsonl"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, the bank nested as in the manifest."""
        return {**asdict(self), "bank": {"fingerprint": self.bank}}


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A sample number that has no sample."""

    index: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a shard came out as on disk."""

    stored: int
    """samples in it"""
    fakes: int
    """blended ones among them"""
    sha256: str
    """of its file; of all its files one after the other in the folder layout"""
    bytes: int
    """size of the same"""


@dataclass(frozen=True, kw_only=True)
class ShardEntry(Written):
    """A committed shard, as the manifest lists it."""

    name: str
    """the file whose presence commits it, relative to the set's folder"""
    first: int
    """its first sample number"""
    count: int
    """its sample numbers: ``first`` to ``first + count - 1``"""
    rejected: tuple[Rejection, ...]
    """numbers left out, ascending"""

    def indices(self) -> Iterator[int]:
        """The sample numbers that are stored, ascending."""
        left_out = {rejection.index for rejection in self.rejected}
        return (i for i in range(self.first, self.first + self.count) if i not in left_out)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, in the order in which they are read best."""
        order = ("name", "first", "count", "stored", "fakes", "sha256", "bytes")
        # not asdict, which copies values that never change: 100,000 shards took 2.6 s with it
        values = {name: getattr(self, name) for name in order}
        return {**values, "rejected": [vars(rejection).copy() for rejection in self.rejected]}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that a set says about itself."""

    plan: Plan
    count: int
    """sample numbers of the whole set: 0 to ``count - 1``"""
    shards: tuple[ShardEntry, ...]
    """the committed shards, by ``first``"""

    @property
    def stored(self) -> int:
        """Samples in all committed shards."""
        return sum(entry.stored for entry in self.shards)

    @property
    def rejected(self) -> int:
        """Sample numbers left out of the committed shards."""
        return sum(len(entry.rejected) for entry in self.shards)

    @property
    def finished(self) -> bool:
        """Every shard is committed."""
        return len(self.shards) == -(-self.count // self.plan.shard_size)

    def missing(self) -> list[int]:
        """First sample numbers of the shards that are not committed, ascending."""
        there = {entry.first for entry in self.shards}
        starts = range(0, self.count, self.plan.shard_size)
        return [first for first in starts if first not in there]

    def length(self, first: int) -> int:
        """Sample numbers of the shard that starts at ``first``."""
        return min(self.plan.shard_size, self.count - first)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``manifest.json``: no time, no host, no path outside the set."""
        plan = self.plan.to_dict()
        head = {"format": FORMAT, "layout": plan["layout"], "recipe": plan["recipe"]}
        head |= {"seed": plan["seed"], "count": self.count}
        return {**head, **plan, "shards": [entry.to_dict() for entry in self.shards]}

    def save(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        atomic.write_json(folder / NAME, self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read ``manifest.json`` of a set.

        Raises:
            BadShard: there is none, or it contradicts itself.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise BadShard(
                folder,
                f"is not a generated set (no {NAME})",
                "make one with: faceblend generate BANK --out SET",
            ) from None
        except OSError as error:
            raise BadShard(path, f"cannot be read ({error.strerror})", "check the file") from error
        except (ValueError, RecursionError) as error:
            raise BadShard(path, f"is not JSON ({error})", _AGAIN) from error
        return _manifest(content, path)


def _manifest(content: Any, path: Path) -> Manifest:
    content = _object(content, path)
    if content.get("format") != FORMAT:
        raise BadShard(
            path,
            f"has format {content.get('format')!r}, and this version reads format {FORMAT}",
            "generate the set again with this version",
        )
    plan = Plan(
        layout=_layout(content, path),
        recipe=_value(content, "recipe", dict, path),
        seed=_number(content, "seed", path, least=0, most=2**64 - 1),
        shard_size=_number(content, "shard_size", path, least=1),
        image_size=_number(content, "image_size", path, least=1, most=codec.MAX_SIDE),
        bank=_value(_value(content, "bank", dict, path), "fingerprint", str, path),
        alpha=_value(content, "alpha", bool, path),
        versions=_versions(content, path),
    )
    listed = _value(content, "shards", list, path)
    shards = tuple(_entry(values, path) for values in listed)
    manifest = Manifest(plan=plan, count=_number(content, "count", path, least=1), shards=shards)
    if manifest.count > MOST_SHARDS * plan.shard_size:
        # a damaged digit would have the missing ones listed until memory ends
        raise BadShard(path, f"is of {manifest.count} samples, {plan.shard_size} a shard", _AGAIN)
    _check_shards(manifest, path)
    return manifest


def _entry(values: Any, path: Path) -> ShardEntry:
    values = _object(values, path)
    digest = _value(values, "sha256", str, path)
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise BadShard(path, f"has no valid 'sha256' ({digest!r})", _AGAIN)
    rejected = tuple(
        Rejection(
            index=_number(_object(rejection, path), "index", path, least=0),
            reason=_value(rejection, "reason", str, path),
        )
        for rejection in _value(values, "rejected", list, path)
    )
    return ShardEntry(
        name=_value(values, "name", str, path),
        first=_number(values, "first", path, least=0),
        count=_number(values, "count", path, least=1),
        stored=_number(values, "stored", path, least=0),
        fakes=_number(values, "fakes", path, least=0),
        sha256=digest,
        bytes=_number(values, "bytes", path, least=0),
        rejected=rejected,
    )


def _check_shards(manifest: Manifest, path: Path) -> None:
    before = -1
    for entry in manifest.shards:
        # names follow from numbers, so none can point out of the folder
        claims = {
            "is not where a shard starts": entry.first % manifest.plan.shard_size == 0,
            "lies behind the end of the set": entry.first < manifest.count,
            "is listed out of order": entry.first > before,
            "has another name than its number gives": (
                entry.name == manifest.plan.shard_name(entry.first)
            ),
            "has not its share of sample numbers": entry.count == manifest.length(entry.first),
            "does not add up": (
                entry.stored + len(entry.rejected) == entry.count and entry.fakes <= entry.stored
            ),
            "rejects numbers that it has not, or out of order": _ascends(entry),
        }
        for wrong, holds in claims.items():
            if not holds:
                raise BadShard(path, f"shard {entry.name!r} at {entry.first} {wrong}", _AGAIN)
        before = entry.first


def _ascends(entry: ShardEntry) -> bool:
    numbers = [rejection.index for rejection in entry.rejected]
    inside = all(entry.first <= number < entry.first + entry.count for number in numbers)
    return inside and all(a < b for a, b in pairwise(numbers))


def _layout(content: Mapping[str, Any], path: Path) -> Layout:
    for layout in get_args(Layout):
        if content.get("layout") == layout:
            known: Layout = layout
            return known
    raise BadShard(path, f"has no valid 'layout' ({content.get('layout')!r})", _AGAIN)


def _versions(content: Mapping[str, Any], path: Path) -> dict[str, str | int]:
    versions = _value(content, "versions", dict, path)
    if not all(isinstance(version, str | int) for version in versions.values()):
        raise BadShard(path, f"has no valid 'versions' ({versions!r})", _AGAIN)
    return versions


def _object(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadShard(path, f"holds {str(content)[:40]!r} where an object belongs", _AGAIN)
    return content


def _value(content: Mapping[str, Any], name: str, kind: type[T], path: Path) -> T:
    value = content.get(name)
    if not isinstance(value, kind):
        raise BadShard(path, f"has no valid {name!r} ({str(value)[:40]!r})", _AGAIN)
    return value


def _number(
    content: Mapping[str, Any], name: str, path: Path, *, least: int, most: int = 2**63 - 1
) -> int:
    value = _value(content, name, int, path)
    # JSON's true is an int to Python
    if isinstance(value, bool) or not least <= value <= most:
        raise BadShard(path, f"has no valid {name!r} ({value!r})", _AGAIN)
    return value
