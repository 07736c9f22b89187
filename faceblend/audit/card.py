"""The data card of a set: what it was made of, by what, under which terms, and how to again."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from faceblend.audit.drawn import CLASSES, NOTHING, Fact
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadRecipe
from faceblend.recipe import Recipe, load_recipe, preset_names
from faceblend.store import Manifest

LICENCES = "LICENSES.txt"
"""Looked for in the set's folder and the bank's, where no other file is named."""

_SHOWN = 12  # rows of a table; the rest are counted
_LONGEST = 200_000  # characters of a text of licences


@dataclass(frozen=True, kw_only=True)
class Table:
    """A small table of the card."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that the page's last section shows."""

    facts: list[tuple[str, str]]
    tables: list[Table]
    licences: list[tuple[str, str]]
    """where a text lies, and the text"""
    made_by: str
    """what the bank says of itself, as YAML"""
    recipe: str
    """as YAML"""
    command: str
    """makes the set again"""
    note: str
    """what the command needs"""


@dataclass(frozen=True)
class Usage:
    """Who was blended over, and who lent: counted while the records go by."""

    backgrounds: Counter[str] = field(default_factory=Counter)
    foregrounds: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    groups: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    """by split, and by family of a mix: samples of each class"""
    seen: dict[str, set[str]] = field(default_factory=dict)
    """videos and people, by what is counted"""

    def add(self, content: Mapping[str, Any], drawn: Mapping[str, Fact]) -> None:
        """Count one record.

        Args:
            content: the record.
            drawn: its facts, with those of the bank.
        """
        label = str(drawn["label"])
        self.labels[label] += 1
        self.backgrounds[content["background"]] += 1
        if content["foreground"] is not None:
            self.foregrounds[content["foreground"]] += 1
        for name in ("family", "split"):
            if name in drawn:
                group = self.groups.setdefault(name, {})
                group.setdefault(str(drawn[name]), Counter())[label] += 1
        for role in ("background", "foreground"):
            for what in ("video", "person"):
                value = drawn.get(f"{role} {what}", NOTHING)
                if value != NOTHING:
                    self.seen.setdefault(f"{role} {what}", set()).add(str(value))


def card(
    folder: Path,
    manifest: Manifest,
    usage: Usage,
    *,
    bank: FaceBank | None,
    licence: Path | None,
) -> Card:
    """Write the card of a set.

    Args:
        folder: the set's.
        manifest: what it says about itself.
        usage: what its records say.
        bank: what it was made of, where that is at hand.
        licence: a text about licences; else ``LICENSES.txt`` of the set and the bank.

    Raises:
        BadArgument: the text cannot be read.
    """
    plan = manifest.plan
    total = usage.labels.total()
    facts = [
        ("samples", f"{total:,}"),
        *((name, f"{usage.labels[name]:,}") for name in CLASSES),
        ("rejected", f"{manifest.rejected:,}"),
        ("finished", "yes" if manifest.finished else f"no, of {manifest.count:,} numbers"),
        ("seed", str(plan.seed)),
        ("picture", f"{plan.image_size} px, {plan.layout}" + (", with alpha" * plan.alpha)),
        ("size", f"{sum(entry.bytes for entry in manifest.shards) / 1e6:,.1f} MB"),
        ("bank", plan.bank[:16]),
        *(("version of " + name, str(version)) for name, version in plan.versions.items()),
    ]
    if bank is not None:
        facts += _faces_of(bank)
    tables = [
        Table(
            title=f"Samples by {name}",
            head=(name, *CLASSES),
            rows=[
                ("none" if value == NOTHING else value, *(f"{one[c]:,}" for c in CLASSES))
                for value, one in sorted(group.items())
            ],
        )
        for name, group in usage.groups.items()
        if set(group) != {NOTHING}
    ]
    if usage.seen:
        tables.append(_people(usage.seen))
    if usage.foregrounds:
        tables += _partners(usage.foregrounds, bank)
    if bank is not None:
        tables.append(_sources(bank))
    recipe, words, note = _again(folder, manifest, bank)
    return Card(
        facts=facts,
        tables=tables,
        licences=_licences(folder, bank, licence),
        made_by=_made_by(bank),
        recipe=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
        command=words,
        note=note,
    )


def _faces_of(bank: FaceBank) -> list[tuple[str, str]]:
    subjects = len(set(bank.subjects[bank.subjects >= 0].tolist()))
    return [
        ("faces of the bank", f"{len(bank):,}, {len(bank.reals):,} of them real"),
        ("videos of the bank", f"{len(set(bank.videos.tolist())):,}"),
        ("people of the bank", f"{subjects:,}" if subjects else "not told"),
    ]


def _people(seen: Mapping[str, set[str]]) -> Table:
    rows = [
        (role, *(f"{len(seen[f'{role} {what}']):,}" if f"{role} {what}" in seen else "not told"
                 for what in ("video", "person")))
        for role in ("background", "foreground")
    ]  # fmt: skip
    return Table(title="Videos and people used", head=("as", "videos", "people"), rows=rows)


def _partners(foregrounds: Counter[str], bank: FaceBank | None) -> list[Table]:
    counts = np.array(sorted(foregrounds.values(), reverse=True), float)
    shares = counts / counts.sum()
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    of = "" if bank is None else f" of {len(bank.reals):,}"
    return [
        Table(
            title="Partner usage",
            head=("", ""),
            rows=[
                ("faces that lent themselves", f"{len(counts):,}{of}"),
                ("most often", f"{counts[0]:,.0f} times"),
                ("median", f"{np.median(counts):,.0f} times"),
                ("effective number", f"{effective:,.1f}"),
            ],
            note="The effective number is the exponential of the entropy: so many faces, each "
            "used alike, would vary as much.",
        ),
        _top("Most used partners", "crop", foregrounds),
    ]


def _sources(bank: FaceBank) -> Table:
    return _top(
        "Sources of the bank", "source", Counter(bank.table["source"].to_pylist()), "faces"
    )


def _top(title: str, what: str, counts: Counter[str], unit: str = "times") -> Table:
    rows = [(str(name), f"{number:,}") for name, number in counts.most_common(_SHOWN)]
    rest = len(counts) - len(rows)
    note = f"and {rest:,} more" if rest else ""
    return Table(title=title, head=(what, unit), rows=rows, note=note)


def _made_by(bank: FaceBank | None) -> str:
    if bank is None:
        return ""
    try:
        meta = json.loads((bank.root / "bank.json").read_bytes())
    except (OSError, ValueError):
        return ""  # a bank of a landmark file has none
    made_by = meta.get("made_by") if isinstance(meta, dict) else None
    return yaml.safe_dump(made_by, sort_keys=False, allow_unicode=True) if made_by else ""


def _licences(folder: Path, bank: FaceBank | None, told: Path | None) -> list[tuple[str, str]]:
    if told is not None:
        try:
            return [(told.name, told.read_text("utf-8", "replace")[:_LONGEST])]
        except OSError as error:
            raise BadArgument(told, f"cannot be read ({error.strerror})", "name a text") from error
    beside = _unique([folder, *([] if bank is None else [bank.root])])
    there = [one / LICENCES for one in beside if (one / LICENCES).is_file()]
    return [(str(path), path.read_text("utf-8", "replace")[:_LONGEST]) for path in there]


def _unique(folders: Iterable[Path]) -> list[Path]:
    return list({one.resolve(): one for one in folders}.values())


def _again(
    folder: Path, manifest: Manifest, bank: FaceBank | None
) -> tuple[dict[str, Any], str, str]:
    plan = manifest.plan
    name = _preset(plan.recipe)
    words = ["faceblend", "generate", "BANK" if bank is None else str(bank.root)]
    words += ["--out", str(folder), "--recipe", name or "recipe.yaml"]
    words += ["--count", str(manifest.count), "--seed", str(plan.seed)]
    words += ["--shard-size", str(plan.shard_size)]
    words += ["--format", "folder"] if plan.layout == "folder" else []
    words += ["--alpha"] if plan.alpha else []
    note = "" if name else "Keep the recipe below as recipe.yaml first."
    return plan.recipe, shlex.join(words), note


def _preset(recipe: dict[str, Any]) -> str | None:
    try:
        digest = Recipe.from_dict(recipe).digest()
    except BadRecipe:
        return None  # of another version
    return next((name for name in preset_names() if load_recipe(name).digest() == digest), None)
