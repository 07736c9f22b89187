"""Train, val and test: the published splits by their names, and one for any other dataset.

==============================  ================================================================
dfdc-35-5-10                    DFDC's parts 0-34, 35-39 and 40-49
ff-official                     FF++'s own ``splits/{train,val,test}.json``: 360, 70 and 70 pairs
ff-c23-720-140-140              icpr2020dfdc: YouTube ids permuted by numpy's seed 41; a fake
                                follows its target alone, so its source may be in another split
ff-c23-720-140-140-Nfpv         the same with N of 32 frames a video; N is 5, 10, 15, 20 or 25
celebdf                         Celeb-DF's test list; of the other reals 600 train, by seed 41
hash                            whoever is connected (target, source, person) stays together
==============================  ================================================================

:func:`~faceblend.audit.leaks.leaks` tells what a split lets through.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceblend.draw import legacy
from faceblend.errors import BadArgument
from faceblend.ingest.video import evenly
from faceblend.videos import SPLITS, VideoTable

FPV = (5, 10, 15, 20, 25)
"""Frames a video of the ``-Nfpv`` rules."""

FF_C23 = "ff-c23-720-140-140"

RULES = (
    "dfdc-35-5-10", "ff-official", FF_C23, *(f"{FF_C23}-{count}fpv" for count in FPV),
    "celebdf", "hash",
)  # fmt: skip
"""Every rule by its name."""

_SEED = 41
_EXTRACTED = 32  # frames a video that icpr2020dfdc extracts, and draws from
_OFFICIAL = {"train": 360, "val": 70, "test": 70}  # pairs

_Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Split:
    """A table that was split."""

    videos: VideoTable
    notes: tuple[str, ...]
    """what makes it another split than the published one, in words"""

    def counts(self) -> dict[str, tuple[int, int]]:
        """Real and forged videos of ``train``, ``val``, ``test`` and ``none``."""
        pairs = zip(self.videos.column("split"), self.videos.column("label"), strict=True)
        found = Counter((name or "none", label) for name, label in pairs)
        return {name: (found[name, 0], found[name, 1]) for name in (*SPLITS, "none")}


def split(
    videos: VideoTable,
    rule: str,
    *,
    official: Path | None = None,
    shares: tuple[float, float] = (0.1, 0.1),
) -> Split:
    """Mark every video with ``train``, ``val``, ``test`` or nothing.

    The rules that permute do so over the videos that are there, in the order of their paths:
    icpr2020dfdc took the order in which the file system listed them, which nobody can repeat.

    Args:
        videos: from :func:`~faceblend.ingest.index.index`.
        rule: one of ``RULES``.
        official: for ``ff-official``, the folder with ``train.json``, ``val.json`` and
            ``test.json``; ``splits`` in the dataset's folder if not given.
        shares: for ``hash``, the shares of val and test among the groups.

    Raises:
        BadArgument: there is no such rule, it does not fit the dataset, or the official
            lists are missing, damaged or contradict themselves.
    """
    if rule not in RULES:
        raise BadArgument("rule", f"is {rule!r}", f"give one of {', '.join(RULES)}")
    if official is not None and rule != "ff-official":
        raise BadArgument("official", f"has no use with {rule}", "it is for ff-official")
    rows = videos.rows()
    if rule == "dfdc-35-5-10":
        return _by_parts(videos, rows, rule)
    if rule == "ff-official":
        return _by_pairs(videos, rows, official or videos.root / "splits")
    if rule.startswith(FF_C23):
        _needs(videos, rule, "source")
        return _by_permuted_ids(videos, rows, rule)
    if rule == "celebdf":
        _needs(videos, rule, "test")
        return _by_test_list(videos, rows)
    return _by_hash(videos, rows, shares)


def keys(row: _Row) -> dict[str, str]:
    """Who a video shows, by role: ``target`` for all, ``source`` for forgeries that tell.

    A person where one is known, else the real video that stands for one; two videos with a
    key in common show the same face.
    """
    target = row["subject"] or (row["original"] if row["label"] else row["path"]) or row["path"]
    return {"target": target, **({"source": row["donor"]} if row["donor"] else {})}


def _needs(videos: VideoTable, rule: str, column: str) -> None:
    if column not in videos.table.column_names:
        raise BadArgument(
            "rule",
            f"{rule} does not fit an index of {videos.dataset!r}",
            "give hash, which fits any",
        )


def _by_parts(videos: VideoTable, rows: list[_Row], rule: str) -> Split:
    _needs(videos, rule, "folder")
    names: list[str | None] = []
    for row in rows:
        part = row["folder"]
        if part is None or part >= 50:
            names.append(None)
        else:
            names.append("train" if part < 35 else "val" if part < 40 else "test")
    there = len({row["folder"] for row in rows} & set(range(50)))
    notes = [] if there == 50 else [f"{there} of 50 parts are here"]
    if None in names:
        notes.append(f"{names.count(None)} videos lie in no part that is numbered 0 to 49")
    return Split(videos=videos.marked(rule, names), notes=tuple(notes))


def _by_pairs(videos: VideoTable, rows: list[_Row], folder: Path) -> Split:
    split_of: dict[str, str] = {}
    notes = []
    for name in SPLITS:
        pairs = _read_pairs(folder / f"{name}.json")
        if len(pairs) != _OFFICIAL[name]:
            notes.append(f"{name}.json has {len(pairs)} pairs, FF++'s has {_OFFICIAL[name]}")
        for one in sorted({number for pair in pairs for number in pair}):
            if split_of.setdefault(one, name) != name:
                raise BadArgument(
                    folder,
                    f"has the video {one} in {split_of[one]}.json and {name}.json",
                    "download the lists again",
                )
    names: list[str | None] = []
    for row in rows:
        # both people of a pair are in one split; a forgery across two is none of FF++'s
        found = {_official(key, split_of) for key in keys(row).values()}
        names.append(found.pop() if len(found) == 1 else None)
    others = names.count(None)
    if others == len(names):
        raise BadArgument(folder, f"lists no video of {videos.root}", "give hash, which fits any")
    if others:
        notes.append(f"{others} videos are in no list (DeepFakeDetection is in none)")
    return Split(videos=videos.marked("ff-official", names), notes=tuple(notes))


def _official(key: str, split_of: dict[str, str]) -> str | None:
    source, _, number = key.partition("/")
    return split_of.get(number) if source == "youtube" else None


def _read_pairs(path: Path) -> list[list[str]]:
    remedy = "give the folder of FF++'s own splits/*.json (github.com/ondyari/FaceForensics)"
    try:
        pairs = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadArgument(path, "is not there", remedy) from None
    except (OSError, ValueError, RecursionError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadArgument(path, f"cannot be read ({words})", remedy) from error
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise BadArgument(path, 'holds no pairs such as ["071", "054"]', remedy)
    return pairs


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)


def _by_permuted_ids(videos: VideoTable, rows: list[_Row], rule: str) -> Split:
    here = [row for row in rows if row["quality"] == "c23"]
    ids = [row["path"] for row in here if row["label"] == 0 and row["source"] == "youtube"]
    notes = _unlike_published(len(ids), 1000, "c23 YouTube videos")
    order = legacy(_SEED).permutation(len(ids))
    names: dict[str, str] = {}
    for name, part in zip(SPLITS, np.split(order, [720, 860]), strict=True):
        names |= {ids[place]: name for place in part}
    for row in here:
        if row["original"] in names and row["label"]:
            names[row["path"]] = names[row["original"]]
    splits = [names.get(row["path"]) for row in rows]
    wanted = None
    if rule != FF_C23:
        count = int(rule.removeprefix(f"{FF_C23}-").removesuffix("fpv"))
        drawn = _drawn_frames(here, names, len(ids), count)
        wanted = [drawn.get(row["path"]) for row in rows]
    return Split(videos=videos.marked(rule, splits, wanted), notes=tuple(notes))


def _drawn_frames(
    rows: list[_Row], names: dict[str, str], ids: int, count: int
) -> dict[str, list[int]]:
    drawn: dict[str, list[int]] = {}
    for name in SPLITS:
        rng = legacy(_SEED)
        rng.permutation(ids)  # each split's frames are drawn behind the permutation
        mine = [row for row in rows if names.get(row["path"]) == name]
        for row in sorted(mine, key=lambda row: (-row["label"], row["path"])):
            extracted = evenly(row["frames"], _EXTRACTED)
            # a video of fewer frames gives all, and is no error
            chosen = rng.choice(len(extracted), min(count, len(extracted)), replace=False)
            drawn[row["path"]] = sorted(extracted[place] for place in chosen)
    return drawn


def _by_test_list(videos: VideoTable, rows: list[_Row]) -> Split:
    if all(row["test"] is None for row in rows):
        raise BadArgument(
            videos.root,
            "has no List_of_testing_videos.txt, which tells Celeb-DF's test videos",
            "put it beside Celeb-real and index again",
        )
    names = {row["path"]: "test" for row in rows if row["test"]}
    others = [row["path"] for row in rows if row["label"] == 0 and not row["test"]]
    order = legacy(_SEED).permutation(len(others))
    names |= {others[place]: "train" for place in order[:600]}
    names |= {others[place]: "val" for place in order[600:]}
    for row in rows:
        follows = names.get(row["original"]) if row["label"] else None
        if follows in ("train", "val"):
            names.setdefault(row["path"], follows)
    notes = _unlike_published(len(others), 712, "reals besides the test videos")
    left = sum(row["path"] not in names for row in rows)
    if left:
        notes.append(f"{left} forgeries are no test videos and their originals are; left out")
    splits = [names.get(row["path"]) for row in rows]
    return Split(videos=videos.marked("celebdf", splits), notes=tuple(notes))


def _unlike_published(there: int, published: int, what: str) -> list[str]:
    if there == published:
        return []
    return [f"{there} of {published} {what} are here: other members than the published split's"]


def _by_hash(videos: VideoTable, rows: list[_Row], shares: tuple[float, float]) -> Split:
    val, test = shares
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise BadArgument("shares", f"are {shares}", "give two that leave something to train")
    group_of = _connected(rows)
    names: list[str | None] = []
    for row in rows:
        group = group_of(keys(row)["target"])
        digest = hashlib.sha256(group.encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        names.append("test" if place < test else "val" if place < test + val else "train")
    sizes = Counter(group_of(keys(row)["target"]) for row in rows)
    notes = [f"{len(sizes):,} groups that share nobody"]
    name, most = sizes.most_common(1)[0]
    if most > len(rows) / 2 and len(rows) > 1:
        notes.append(
            f"{most} of {len(rows)} videos hang together (as {name}): one split holds all"
        )
    return Split(videos=videos.marked("hash", names), notes=tuple(notes))


def _connected(rows: list[_Row]) -> Callable[[str], str]:
    """Who belongs together; a group is called by the first of its names."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for row in rows:
        first, *others = [root(name) for name in keys(row).values()]
        for other in others:
            low, high = sorted((root(first), other))
            parent[high] = low
    return root
