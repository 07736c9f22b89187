"""Who and what two splits or sets share: people, videos, source pictures, faces, near-duplicates.

A face counts wherever it is used: as the background of a sample or as the partner that lent the
foreground.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from faceblend import jobs
from faceblend.bank import FaceBank
from faceblend.doctor.lookalike import DISTANCE, look_of, same
from faceblend.errors import BadArgument, BadShard
from faceblend.store import BlendSet
from faceblend.videos import SPLITS

Kind = Literal["person", "video", "source", "face", "look"]
Role = Literal["background", "partner", "face"]

KINDS: tuple[Kind, ...] = ("person", "video", "source", "face")
"""What two sides may share by name; ``look`` is a near-duplicate."""


@dataclass(frozen=True, kw_only=True)
class Used:
    """A face that a side uses, and what is known of it."""

    role: Role
    """``face`` where the side is a bank's split"""
    face: str
    """its crop, with the bank's fingerprint before it"""
    person: str | None
    video: str
    source: str | None


@dataclass(frozen=True, kw_only=True)
class Side:
    """What is compared: a set, or a split of a bank."""

    name: str
    faces: tuple[Used, ...]
    """each face once a role"""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Something that two sides share."""

    kind: Kind
    what: str
    """the name; of a look the two crops"""
    sides: tuple[str, str]
    roles: tuple[str, str]
    """in each side, joined by ``and``"""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What the sides share."""

    sides: dict[str, int]
    """faces of each"""
    shared: tuple[Shared, ...]
    looked: bool
    """near-duplicates were looked for, which takes the bank's pictures"""
    distance: int
    """bits of 64 by which their hashes may differ"""

    def __str__(self) -> str:
        if not self.shared:
            told = f"{' and '.join(self.sides)} share no person, video, source or face"
            told += ", and none looks like another" if self.looked else ""
        else:
            counts = Counter((one.sides, one.kind) for one in self.shared)
            lines = []
            for sides in sorted({one.sides for one in self.shared}):
                each = [
                    _counted(counts[sides, kind], kind)
                    for kind in (*KINDS, "look")
                    if counts[sides, kind]
                ]
                lines.append(f"{sides[0]} and {sides[1]} share {', '.join(each)}")
            told = "\n".join(lines)
        if not self.looked:
            told += "\nnear-duplicates were not looked for: give --bank"
        return told

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sides": self.sides,
            "shared": [
                {
                    "kind": one.kind,
                    "what": one.what,
                    "sides": list(one.sides),
                    "roles": list(one.roles),
                }
                for one in self.shared
            ],
            "looked": self.looked,
            "distance": self.distance,
        }


def overlap(
    paths: Sequence[Path], banks: Sequence[FaceBank] = (), *, distance: int = DISTANCE
) -> Overlap:
    """Compare sets with each other, and the splits of banks.

    Args:
        paths: folders of sets and of banks. A set is a side, and so is each split of a bank that
            is split; a bank that is not is one side.
        banks: banks that the sets were made from. They tell people and sources, and have the
            pictures that near-duplicates are found by; without a set's bank a video is the folder
            of the crops that it gave.
        distance: bits of 64 by which the hashes of near-duplicates may differ, 0 to 16; the
            frequencies must correlate, too (:func:`faceblend.doctor.lookalike.same`). Pairs of one
            video are not reported: they are as a video.

    Raises:
        BadArgument: there are no two sides, or ``distance`` is out of range.
        BadShard, BadBank, BadImage: a set, bank or crop cannot be read.
    """
    if not 0 <= distance <= 16:
        raise BadArgument("distance", f"is {distance}", "give 0 to 16 bits")
    known = {bank.fingerprint: bank for bank in banks}
    sides: list[Side] = []
    used_banks: set[str] = set()
    for path in paths:
        if (path / "bank.json").exists():
            bank = FaceBank.open(path)
            known[bank.fingerprint] = bank
            used_banks.add(bank.fingerprint)
            sides += sides_of_bank(bank, path)
        else:
            with BlendSet(path) as blends:
                used_banks.add(blends.manifest.plan.bank)
                sides.append(side_of_set(blends, known.get(blends.manifest.plan.bank), path))
    if len(sides) < 2:
        raise BadArgument(
            "--leaks",
            f"has one side to look at ({sides[0].name})" if sides else "has nothing to look at",
            "give two sets, or a bank with splits",
        )
    names = Counter(side.name for side in sides)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise BadArgument(twice[0], "is given twice", "give each set and bank once")
    shared = list(_by_name(sides))
    looked = used_banks <= set(known)
    if looked:
        shared += _by_look(sides, known, distance)
    return Overlap(
        sides={side.name: len({one.face for one in side.faces}) for side in sides},
        shared=tuple(shared),
        looked=looked,
        distance=distance,
    )


def sides_of_bank(bank: FaceBank, path: Path) -> list[Side]:
    """The splits of a bank, or the bank where it has none."""
    splits = bank.table["split"].to_pylist()
    rows = _Rows(bank)
    faces: dict[str | None, list[Used]] = defaultdict(list)
    for split, crop in zip(splits, rows.crops, strict=True):
        faces[split].append(rows.used(crop, "face"))
    named = {split: all_ for split, all_ in faces.items() if split is not None}
    if not named:
        return [Side(name=str(path), faces=tuple(faces[None]))]
    order = sorted(named, key=(*SPLITS, *sorted(named)).index)
    return [Side(name=f"{path}:{name}", faces=tuple(named[name])) for name in order]


def side_of_set(blends: BlendSet, bank: FaceBank | None, path: Path) -> Side:
    """The faces that a set's samples were made of."""
    rows = _Rows(bank) if bank is not None else _Folders(blends.manifest.plan.bank)
    found: dict[tuple[str, Role], None] = {}
    for number, record in enumerate(blends.records()):
        try:
            content = json.loads(record)
            background, foreground = content["background"], content["foreground"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadShard(
                f"{path}, record {number}", f"is not one ({error!r})", "run faceblend verify"
            ) from error
        found[background, "background"] = None
        if foreground is not None and foreground != background:
            found[foreground, "partner"] = None
    return Side(name=str(path), faces=tuple(rows.used(crop, role) for crop, role in found))


class _Rows:
    """What a bank's table tells of its faces."""

    def __init__(self, bank: FaceBank) -> None:
        columns = ("crop", "subject", "video", "source")
        told = [bank.table[name].to_pylist() for name in columns]
        self._rows = {crop: rest for crop, *rest in zip(*told, strict=True)}
        self._bank = bank

    @property
    def crops(self) -> Iterable[str]:
        return self._rows

    def used(self, crop: str, role: Role) -> Used:
        if crop not in self._rows:
            raise BadShard(crop, f"is in no row of {self._bank.root}", "give the set's own bank")
        person, video, source = self._rows[crop]
        face = f"{self._bank.fingerprint[:16]} {crop}"
        return Used(role=role, face=face, person=person, video=video, source=source)


class _Folders:
    """What the paths of crops tell where their bank is not at hand."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint[:16]

    def used(self, crop: str, role: Role) -> Used:
        video = PurePosixPath(crop).parent.as_posix().removeprefix("crops/")
        face = f"{self._fingerprint} {crop}"
        return Used(role=role, face=face, person=None, video=video, source=None)


def _by_name(sides: Sequence[Side]) -> Iterator[Shared]:
    for kind in KINDS:
        named = {side.name: _roles(side, kind) for side in sides}
        for one, other in combinations(named, 2):
            for what in sorted(named[one].keys() & named[other].keys()):
                roles = tuple(" and ".join(sorted(named[side][what])) for side in (one, other))
                yield Shared(kind=kind, what=what, sides=(one, other), roles=(roles[0], roles[1]))


def _roles(side: Side, kind: Kind) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for used in side.faces:
        what = getattr(used, kind)
        if what is not None:
            found[what].add(used.role)
    return found


def _by_look(
    sides: Sequence[Side], banks: Mapping[str, FaceBank], distance: int
) -> Iterator[Shared]:
    by_start = {fingerprint[:16]: bank for fingerprint, bank in banks.items()}
    faces = {used.face: used for side in sides for used in side.faces}
    rows = {
        f"{start} {crop}": (bank, row)
        for start, bank in by_start.items()
        for row, crop in enumerate(bank.table["crop"].to_pylist())
    }
    order = sorted(faces)
    looks = np.empty((len(order), 64), np.float32)
    with jobs.progress("near-duplicates", total=len(order), unit="faces") as progress:
        for place, face in enumerate(order):
            bank, row = rows[face]
            looks[place] = look_of(bank.image(row))
            progress.advance()
    where = {side.name: {used.face: used.role for used in side.faces} for side in sides}
    for low, high in same(looks, distance).tolist():
        one, other = faces[order[low]], faces[order[high]]
        if one.video == other.video:
            continue  # told as a video
        for left, right in combinations(where, 2):
            for first, second in ((one, other), (other, one)):
                if first.face in where[left] and second.face in where[right]:
                    crops = " and ".join(face.face.split(" ", 1)[1] for face in (first, second))
                    yield Shared(
                        kind="look",
                        what=crops,
                        sides=(left, right),
                        roles=(where[left][first.face], where[right][second.face]),
                    )


def _counted(count: int, kind: Kind) -> str:
    one, many = {
        "person": ("person", "people"),
        "video": ("video", "videos"),
        "source": ("source", "sources"),
        "face": ("face", "faces"),
        "look": ("near-duplicate", "near-duplicates"),
    }[kind]
    return f"{count:,} {one if count == 1 else many}"
