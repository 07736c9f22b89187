"""Faces on both sides of a split: every forgery's target and source are followed."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from faceblend.splits import keys
from faceblend.videos import SPLITS, VideoTable


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A face that two splits share."""

    who: str
    """the person, or the real video that stands for one"""
    splits: tuple[str, str]
    videos: tuple[str, str]
    """one of each, the first by path"""
    roles: tuple[str, str]
    """what the face is in them: ``target``, whose video it is, or ``source``, whose face was
    put in"""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """What a split lets through."""

    leaks: tuple[Leak, ...]
    """one for every two splits, person and pair of roles"""
    forgeries: dict[str, dict[str, int]]
    """forgeries by role, then by split, whose face of that role is in another split too"""
    unknown: int
    """forgeries whose source the dataset does not tell: nobody can say whether they leak"""

    def __str__(self) -> str:
        if not self.leaks:
            told = "no face is in two splits"
        else:
            faces = len({leak.who for leak in self.leaks})
            told = f"{faces:,} faces are in two splits or more"
            for role, counts in self.forgeries.items():
                if sum(counts.values()):
                    each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
                    told += f"\nforgeries whose {role} is in another split too: {each}"
        if self.unknown:
            told += f"\nforgeries whose source nobody knows: {self.unknown:,}"
        return told

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "leaks": [
                {
                    "who": leak.who,
                    "splits": list(leak.splits),
                    "videos": list(leak.videos),
                    "roles": list(leak.roles),
                }
                for leak in self.leaks
            ],
            "forgeries": self.forgeries,
            "unknown": self.unknown,
        }


def leaks(videos: VideoTable) -> Leaks:
    """Find the faces that are in more than one split.

    A face is a person where the dataset tells who, else the real video that stands for one
    (:func:`faceblend.splits.keys`). Videos in no split count for nothing.

    Args:
        videos: a table that was split.
    """
    rows = [row for row in videos.rows() if row["split"]]
    shown: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for row in rows:
        for role, who in keys(row).items():
            shown[who].setdefault((row["split"], role), row["path"])
    found = []
    for who in sorted(shown):
        for (one, role), (other, as_other) in combinations(sorted(shown[who], key=_order), 2):
            if one != other:
                pair = (shown[who][one, role], shown[who][other, as_other])
                found.append(
                    Leak(who=who, splits=(one, other), videos=pair, roles=(role, as_other))
                )
    splits_of = {who: {name for name, _ in places} for who, places in shown.items()}
    forgeries = {role: dict.fromkeys(SPLITS, 0) for role in ("target", "source")}
    for row in rows:
        for role, who in keys(row).items() if row["label"] else ():
            forgeries[role][row["split"]] += len(splits_of[who]) > 1
    unknown = sum(row["label"] == 1 and "source" not in keys(row) for row in rows)
    return Leaks(leaks=tuple(found), forgeries=forgeries, unknown=unknown)


def _order(place: tuple[str, str]) -> tuple[int, str]:
    return SPLITS.index(place[0]), place[1]
