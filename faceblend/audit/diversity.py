"""How varied a set is: whose faces, which pairs, and how many distinct blends that amounts to."""

import json
import math
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import Int

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadShard
from faceblend.store import BlendSet

FORMAT = 1
"""Version of ``diversity.json``."""

_LOOK = "run faceblend verify: it looks at every record"


@dataclass(frozen=True, kw_only=True)
class Use:
    """How evenly some things were used."""

    total: int
    """uses, all together"""
    distinct: int
    """things that were used at all"""
    most: int
    """uses of the most used one"""
    effective: float
    """exp of Shannon's entropy: as many things, each used as often, are as varied"""
    of: int | None
    """things that there are; None where nobody said"""

    @property
    def largest_share(self) -> float:
        """Share of the uses that the most used one has; 0 where there was none."""
        return self.most / self.total if self.total else 0.0

    @property
    def coverage(self) -> float | None:
        """Share of all things that were used; None where nobody said how many there are."""
        return None if not self.of else self.distinct / self.of

    @property
    def evenness(self) -> float | None:
        """Entropy over that of even use, of all things or else of those that were used.

        1 is even, 0 is one thing only (Pielou's J). None where there is but one.
        """
        things = self.of or self.distinct
        return math.log(max(self.effective, 1.0)) / math.log(things) if things > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, the derived ones too."""
        derived = {
            "largest_share": self.largest_share,
            "coverage": self.coverage,
            "evenness": self.evenness,
        }
        return _rounded(asdict(self) | derived)


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """What :func:`diversity` found in a set's records."""

    samples: int
    fakes: int
    backgrounds: Use
    """of all samples: whose picture stays"""
    foregrounds: Use
    """of the blends: who lends the face; one that is blended into itself lends to itself"""
    pairs: Use
    """of the blends: background and foreground together"""
    choices: dict[str, Use]
    """of the blends: family, mask, warp, edge, colour, blend, each by its name"""
    blends: Use
    """pair and all choices together; numbers such as the width of an edge are left out"""
    once: int
    """combinations that occur once: where most do, there are many more than the set shows"""
    distinct_blends: float
    """effective number of combinations that the recipe draws from, see :func:`chao_shen`"""

    def to_dict(self) -> dict[str, Any]:
        """The content of ``diversity.json``."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "samples": self.samples,
            "fakes": self.fakes,
            "backgrounds": self.backgrounds.to_dict(),
            "foregrounds": self.foregrounds.to_dict(),
            "pairs": self.pairs.to_dict(),
            "choices": {name: use.to_dict() for name, use in self.choices.items()},
            "blends": self.blends.to_dict(),
        }
        return values | {"once": self.once, "distinct_blends": round(self.distinct_blends, 1)}

    def rows(self) -> Iterator[tuple[str, Use]]:
        """What was counted, by what it is called in a table; without what was always the same."""
        yield "faces as background", self.backgrounds
        yield "faces as foreground", self.foregrounds
        yield "pairs", self.pairs
        yield from ((name, use) for name, use in self.choices.items() if use.distinct > 1)
        yield "distinct blends", self.blends

    def __str__(self) -> str:
        if not self.fakes:
            return f"{self.samples:,} samples, none of them a blend"
        seen = f"{self.fakes:,} blends of {self.blends.distinct:,} combinations"
        if self.once == self.fakes:
            return f"{seen}: none occurs twice, so there are too many to tell from this set"
        return f"{seen}, as varied as about {_short(self.distinct_blends)} equally likely ones"


def diversity(
    records: Iterable[str], *, faces: int | None = None, where: str = "record"
) -> Diversity:
    """Count what a set's records say was used.

    Takes 24 bytes a blend, and what each face's name takes.

    Args:
        records: the samples' records.
        faces: real faces of the bank, for the share that was used.
        where: what an error calls a record, before its number.

    Raises:
        BadShard: a record is damaged.
        BadArgument: more faces were used than there are said to be.
    """
    samples = 0
    backgrounds: Counter[str] = Counter()
    foregrounds: Counter[str] = Counter()
    choices: dict[str, Counter[str]] = {}
    pairs, blends = array("Q"), array("Q")
    for number, record in enumerate(records):
        samples += 1
        background, foreground, chosen = _read(record, f"{where} {number}")
        backgrounds[background] += 1
        if foreground is None:
            continue
        foregrounds[foreground] += 1
        pairs.append(_code([background, foreground]))
        blends.append(_code([background, foreground, *chosen.values()]))
        for name, value in chosen.items():
            choices.setdefault(name, Counter())[value] += 1
    for used in (backgrounds, foregrounds):
        if faces is not None and len(used) > faces:
            wrong = f"is {faces}, and the set shows {len(used)}"
            raise BadArgument("faces", wrong, "give the bank that the set was made from")
    counts = _counts(blends)
    return Diversity(
        samples=samples,
        fakes=len(pairs),
        backgrounds=_use(np.array([*backgrounds.values()], np.int64), faces),
        foregrounds=_use(np.array([*foregrounds.values()], np.int64), faces),
        pairs=_use(_counts(pairs)),
        choices={name: _use(np.array([*one.values()], np.int64)) for name, one in choices.items()},
        blends=_use(counts),
        once=int(np.count_nonzero(counts == 1)),
        distinct_blends=math.exp(chao_shen(counts)) if len(counts) else 0.0,
    )


def diversity_of(path: str | os.PathLike[str], bank: FaceBank | None = None) -> Diversity:
    """:func:`diversity` of a set on disk.

    Args:
        path: folder of the set.
        bank: the bank that it was made from, for the share of its faces that was used.

    Raises:
        BadShard: the set cannot be read, or a record in it is damaged.
        BadBank: it was made from another bank.
    """
    with BlendSet(path) as made:
        if bank is not None and bank.fingerprint != made.manifest.plan.bank:
            wrong = f"is not the bank that {path} was made from"
            raise BadBank(bank.root, wrong, "give that one, or none")
        faces = None if bank is None else len(bank.reals)
        return diversity(made.records(), faces=faces, where=f"{path}, record")


def entropy(counts: Int[np.ndarray, " kinds"]) -> float:
    """Shannon's entropy of what was counted, nats: ``-sum p ln p`` with ``p = counts / n``.

    Too low for kinds that the sample missed; :func:`chao_shen` makes up for them.

    Args:
        counts: how often each kind occurs; zeros do not matter.
    """
    seen = counts[counts > 0]
    if not len(seen):
        return 0.0
    share = seen / seen.sum()
    return max(0.0, float(-(share * np.log(share)).sum()))


def chao_shen(counts: Int[np.ndarray, " kinds"]) -> float:
    """Entropy of what a sample was drawn from, corrected for what it missed, nats.

    ``C = 1 - f / n`` estimates how much of the probability the seen kinds have (Good and
    Turing), with ``f`` kinds seen once in ``n`` draws; each ``p`` is shrunk by it, and weighed
    by the chance that its kind is seen at all (Horvitz and Thompson)::

        H = -sum  C p ln(C p) / (1 - (1 - C p)^n)

    Chao and Shen, *Nonparametric estimation of Shannon's index of diversity when there are
    unseen species in sample*, Environmental and Ecological Statistics 10, 2003. Where every kind
    was seen once, ``f`` counts as ``n - 1``, and the result says only that there are many: near
    ``2 ln n``.

    Args:
        counts: how often each kind occurs; zeros do not matter.
    """
    seen = counts[counts > 0]
    n = int(seen.sum())
    if n < 2:
        return 0.0
    once = min(int(np.count_nonzero(seen == 1)), n - 1)
    share = (1 - once / n) * seen / n
    # 1 - (1 - p)^n, without losing all digits where p is tiny; of one kind p is 1
    with np.errstate(divide="ignore"):
        noticed = -np.expm1(n * np.log1p(-share))
    return max(0.0, float(-(share * np.log(share) / noticed).sum()))


def _use(counts: Int[np.ndarray, " kinds"], of: int | None = None) -> Use:
    return Use(
        total=int(counts.sum()),
        distinct=len(counts),
        most=int(counts.max(initial=0)),
        effective=math.exp(entropy(counts)) if len(counts) else 0.0,
        of=of,
    )


def _code(words: list[str]) -> int:
    # 64 bits: among a million blends two of the same code are one chance in 37 million
    text = "\0".join(words).encode(errors="backslashreplace")  # a damaged record's, too
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


# Python 3.11 knows no array[int] at run time
def _counts(codes: array) -> Int[np.ndarray, " kinds"]:
    held = np.frombuffer(codes, np.uint64) if len(codes) else np.empty(0, np.uint64)
    return np.asarray(np.unique(held, return_counts=True)[1], np.int64)


def _read(record: str, where: str) -> tuple[str, str | None, dict[str, str]]:
    """Background, foreground and what was chosen, of one record."""
    try:
        content = json.loads(record)
        drawn, background, foreground = (
            content["draw"],
            content["background"],
            content["foreground"],
        )
        fake = drawn["fake"]
        chosen = {} if fake is None else _chosen(drawn, fake)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadShard(where, f"is not one ({error!r})", _LOOK) from error
    words = {"background": background, "foreground": foreground, **chosen}
    if fake is None:
        del words["foreground"]
    for name, word in words.items():
        if not isinstance(word, str):
            raise BadShard(where, f"has no possible {name}", _LOOK)
    return background, None if fake is None else foreground, chosen


def _chosen(drawn: Mapping[str, Any], fake: Mapping[str, Any]) -> dict[str, str]:
    region = fake["mask"]
    bent = "piecewise" if region["offsets"] is not None else "none"
    return {
        "family": drawn["family"] or "one",
        "mask": region["kind"],
        "warp": region["warp"]["name"] if region["warp"] is not None else bent,
        "edge": region["soften"],
        "colour": fake["color"]["name"],
        "blend": fake["blend"]["name"],
        "prepared": drawn["prepared"] if drawn["prepare"] else "none",
    }


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"
