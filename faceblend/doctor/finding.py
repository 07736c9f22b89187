"""What the doctor says: findings, and how they are told."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from faceblend.errors import shown

Kind = Literal[
    "missing",
    "corrupt",
    "stray",
    "short",
    "no-face",
    "duplicate",
    "low-resolution",
    "multi-face",
    "landmark-implausible",
    "inconsistent",
    "failed",
]
"""What can be wrong with an item; ``docs/formats.md`` says when each is found."""

NOTES: frozenset[Kind] = frozenset({"multi-face"})
"""Kinds that tell what is there and say nothing against it."""

_FORMAT = 1  # of what to_dict gives
_SHOWN = 3  # findings of each kind in the summary


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that somebody should know about an item."""

    item: str
    """path relative to the folder that was looked at, or a video's name; of what ``extract``
    refused, relative to the folder that it read"""
    kind: Kind
    detail: str
    """what is wrong, with the value that was found"""
    remedy: str
    """what to do about it"""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What :func:`~faceblend.doctor.doctor` looked at and found."""

    root: str
    """the folder"""
    what: Literal["bank", "unfinished bank", "folder"]
    """what it is"""
    items: int
    """crops of the bank, or photographs and videos of the folder, that were looked at"""
    findings: tuple[Finding, ...]
    """ordered by kind, as ``Kind`` lists them, then by item"""
    unseen: tuple[str, ...]
    """what was not looked for, and why"""

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, without the kinds that have none."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in get_args(Kind) if counted[kind]}

    @property
    def failed(self) -> bool:
        """Something is wrong: there is a finding that is no mere note."""
        return any(finding.kind not in NOTES for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON: ``format`` (1), the fields, ``counts`` and ``failed``."""
        return {"format": _FORMAT, **asdict(self), "counts": self.counts, "failed": self.failed}

    def __str__(self) -> str:
        return "\n".join([*self._table(), *(f"not looked for: {one}" for one in self.unseen)])

    def _table(self) -> Iterator[str]:
        things = "photographs and videos" if self.what == "folder" else "crops"
        found = f"{len(self.findings):,} findings" if self.findings else "nothing found"
        yield f"{found} in {self.items:,} {things} of the {self.what} {self.root}"
        if not self.findings:
            return
        width = max(map(len, self.counts))
        yield f"\n{'kind':{width}}  found  for example"
        for kind, count in self.counts.items():
            found_here = [one for one in self.findings if one.kind == kind]
            lines = [shown(f"{one.item}: {one.detail}") for one in found_here[:_SHOWN]]
            if count > _SHOWN:
                lines.append(f"and {count - _SHOWN:,} more")
            remedies = dict.fromkeys(one.remedy for one in found_here[:_SHOWN])
            lines += [f"-> {remedy}" for remedy in remedies]
            yield f"{kind:{width}}  {count:5,}  {lines[0]}"
            for line in lines[1:]:
                yield f"{'':{width}}         {line}"


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Findings, each once, by kind, item and detail."""
    kinds = get_args(Kind)
    return tuple(
        sorted(set(findings), key=lambda one: (kinds.index(one.kind), one.item, one.detail))
    )


def few(names: list[str], most: int = 3) -> str:
    """``a, b, c and 2 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
