"""One page of HTML that shows a set: every picture, every drawn number, where it came from.

The page is one file that asks nothing of any network. All that comes from files (names,
records, licences) is escaped, and a content policy allows the page's own script and style alone.
"""

import base64
import hashlib
import json
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from faceblend import atomic
from faceblend.audit.card import Usage, card
from faceblend.audit.charts import chart
from faceblend.audit.drawn import CLASSES, NOTHING, Fact, Field, facts, read, tallied
from faceblend.audit.leaktable import leak_table
from faceblend.audit.report import overlay
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadShard
from faceblend.face import Image
from faceblend.sample import Sample, lent, unblended
from faceblend.store import BlendSet
from faceblend.store.place import folder_at

NAME = "report.html"

VIEWS = ("image", "xray", "overlay", "background", "foreground")
"""The pictures of a sample; the last two need the bank."""

TITLES = {
    "label": "class",
    "family": "family",
    "fake.mask.kind": "mask",
    "fake.color": "colour transfer",
    "fake.blend": "blend",
    "fake.mask.soften": "edge",
    "fake.mask.width": "width of the edge, share",
    "fake.mask.erode": "erosion, px",
    "fake.mask.dilate": "dilation, px",
    "fake.mask.offsets, largest": "bending, largest share",
    "fake.mask.of_hull": "feathered from the hull",
    "fake.opacity": "opacity",
    "fake.align": "alignment",
    "working_size": "working size, px",
    "resample.size": "resampled to, px",
    "resample.down": "resampled by",
    "jpeg": "JPEG quality",
    "degrade": "steps on the picture",
    "prepare": "steps before blending",
    "prepared": "face that takes them",
    "flip_horizontal": "mirrored",
    "flip_vertical": "turned upside down",
    "attempt": "redraws",
    "background": "background, row of the bank",
    "fake.foreground": "foreground, row of the bank",
    "split": "split",
}
"""Fields that have a name of their own, in the order of the page; the others follow."""

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 9]
_EXACT = 2**53  # whole numbers that a browser reads exactly


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What the page offers for one field of the samples on it."""

    name: str
    title: str
    words: list[tuple[str, int]]
    """values and how many samples have each; with numbers, drawn or not, or nothing"""
    low: float | None
    """the least number; None where there is none"""
    high: float | None


def page(
    path: str | Path,
    out: str | Path | None = None,
    *,
    bank: FaceBank | None = None,
    count: int = 48,
    panel: int = 256,
    licence: str | Path | None = None,
) -> Path:
    """Write the page of a set.

    Args:
        path: folder of the set.
        out: folder for ``report.html``; ``inspect`` inside the set if not given.
        bank: what the set was made from: shows backgrounds, foregrounds and sources.
        count: samples on the page, spread evenly over the set; histograms count them all.
        panel: side of the pictures, px; none is enlarged.
        licence: a text about licences; ``LICENSES.txt`` of the set or the bank if not given.

    Returns:
        The file.

    Raises:
        BadShard: the set cannot be read, a record in it is damaged, or it is empty.
        BadBank: the set was made from another bank.
        BadArgument: there is nothing to show, or the text cannot be read.
    """
    for name, value in (("count", count), ("panel", panel)):
        if not 1 <= value <= 10_000:
            raise BadArgument(name, f"is {value}", "give 1 to 10,000")
    folder = folder_at(path)
    with BlendSet(folder) as made:
        if not len(made):
            raise BadShard(path, "holds no sample", "generate some first")
        if bank is not None and bank.fingerprint != made.manifest.plan.bank:
            raise BadBank(
                bank.root,
                f"has fingerprint {bank.fingerprint[:16]}, and the set was made from "
                f"{made.manifest.plan.bank[:16]}",
                "name the bank that the set was made from",
            )
        known, usage = _Known(bank), Usage()
        fields = tallied(_counted(made.records(), f"{path}, record", known, usage))
        chosen = np.unique(np.linspace(0, len(made) - 1, min(count, len(made))).astype(int))
        shown = [made[int(place)] for place in chosen]
        manifest, total = made.manifest, len(made)
    drawn = [_facts(one, known) for one in shown]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        samples = [_sample(one, panel, folder, bank) for one in shown]
    varied = sorted((one for one in fields if one.constant is None), key=_rank)
    filters = [one for field in varied if (one := _filter(field.name, drawn)) is not None]
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_part("page.html.j2"))
    script = _part("page.js")
    style = _part("page.css")
    text = template.render(
        title=folder.resolve().name,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(script, style),
        total=total,
        usage=usage,
        manifest=manifest,
        views=VIEWS if bank is not None else VIEWS[:3],
        with_bank=bank is not None,
        notes=sorted({str(one.message) for one in said}),
        samples=[
            {**told, "caption": _caption(one)} for told, one in zip(samples, drawn, strict=True)
        ],
        filters=filters,
        charts=[
            (one, _title(one.name), chart(one, _title(one.name)))
            for one in varied
            if one.name != "label"
        ],
        constants=[(one.name, one.constant) for one in fields if one.constant is not None],
        audit=leak_table(folder / "audit.json"),
        card=card(
            folder,
            manifest,
            usage,
            bank=bank,
            licence=None if licence is None else Path(licence),
        ),
        data=_embedded(
            [
                {**told["data"], "facts": _for_browser(one)}
                for told, one in zip(samples, drawn, strict=True)
            ]
        ),
    )
    file = (Path(out) if out is not None else folder / "inspect") / NAME
    # a lone surrogate of a hostile name has no bytes
    atomic.write_bytes(file, text.encode("utf-8", "replace"))
    return file


class _Known:
    """What the bank knows of the faces that a record names by their rows."""

    def __init__(self, bank: FaceBank | None) -> None:
        self._columns: dict[str, list[Any]] = {}
        if bank is not None:
            columns = {"video": "video", "person": "subject", "split": "split"}
            self._columns = {
                name: bank.table[column].to_pylist()
                for name, column in columns.items()
                if bank.table[column].null_count < len(bank)
            }

    def facts(self, content: Mapping[str, Any]) -> dict[str, Fact]:
        """Video, person and split of a record's two faces, those that are told."""
        found: dict[str, Fact] = {}
        draw = content["draw"]
        rows = {"background": draw["background"]}
        if draw["fake"] is not None:
            rows["foreground"] = draw["fake"]["foreground"]
        for role, row in rows.items():
            for name, values in self._columns.items():
                if isinstance(row, int) and 0 <= row < len(values):
                    told = NOTHING if values[row] is None else str(values[row])
                    if name != "split":
                        found[f"{role} {name}"] = told
                    elif role == "background":
                        found[name] = told
        return found


def _counted(
    records: Iterator[str], where: str, known: _Known, usage: Usage
) -> Iterator[dict[str, Fact]]:
    for number, record in enumerate(records):
        content = read(record, f"{where} {number}")
        drawn = {**facts(content, f"{where} {number}"), **known.facts(content)}
        usage.add(content, drawn)
        yield drawn


def _facts(shown: Sample, known: _Known) -> dict[str, Fact]:
    content = read(shown.record)
    return {**facts(content), **known.facts(content)}


def _for_browser(drawn: Mapping[str, Fact]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, int) and abs(value) >= _EXACT else value
        for name, value in drawn.items()
    }


def _sample(shown: Sample, panel: int, folder: Path, bank: FaceBank | None) -> dict[str, Any]:
    content = read(shown.record)
    # "": the picture itself; null: there is none
    pictures: dict[str, str | None] = {
        "xray": _uri(_small(shown.xray_u8, panel), ".png", _PNG),
        "overlay": "",
        "background": "",
        "foreground": None,
    }
    if shown.label:
        pictures["overlay"] = _picture(overlay(shown.image, shown.xray), panel)
        if bank is not None:
            pictures["background"] = _picture(unblended(shown, bank).image, panel)
            pictures["foreground"] = _picture(lent(shown, bank), panel)
    words = ["faceblend", "replay", str(folder), str(shown.index), "--bank"]
    words += ["BANK" if bank is None else str(bank.root), "--out", f"sample-{shown.index}.png"]
    return {
        "index": shown.index,
        "label": CLASSES[shown.label],
        "image": _picture(shown.image, panel),
        "data": {
            "index": str(shown.index),
            "label": CLASSES[shown.label],
            "pictures": pictures,
            "background": content["background"],
            "foreground": content["foreground"],
            "command": shlex.join(words),
            "record": json.dumps(content, indent=2, ensure_ascii=False),
        },
    }


def _picture(image: Image, panel: int) -> str:
    return _uri(cv2.cvtColor(_small(image, panel), cv2.COLOR_RGB2BGR), ".jpg", _JPEG)


def _small(image: np.ndarray, panel: int) -> np.ndarray:
    if max(image.shape[:2]) <= panel:
        return image
    return np.asarray(cv2.resize(image, (panel, panel), interpolation=cv2.INTER_AREA))


def _uri(image: np.ndarray, suffix: str, options: Sequence[int]) -> str:
    data = base64.b64encode(cv2.imencode(suffix, image, options)[1].tobytes()).decode()
    return f"data:image/{'png' if suffix == '.png' else 'jpeg'};base64,{data}"


def _caption(drawn: Mapping[str, Fact]) -> str:
    names = ("family", "fake.mask.kind", "fake.mask.soften", "fake.color")
    words = (drawn.get(name) for name in names)
    return ", ".join(word for word in words if isinstance(word, str) and word != NOTHING)


def _filter(name: str, drawn: Sequence[Mapping[str, Fact]]) -> Filter | None:
    """What a field can be narrowed by; None where all samples of the page have one value."""
    values = [one.get(name, NOTHING) for one in drawn]
    numbers = [one for one in values if isinstance(one, int | float)]
    spread: dict[str, int] = {}
    for value in values:
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str):
                spread[word] = spread.get(word, 0) + 1
    if numbers and spread:
        spread = {"drawn": len(numbers), **spread}
    if len({*numbers, *spread}) < 2:
        return None
    return Filter(
        name=name,
        title=_title(name),
        words=sorted(spread.items(), key=lambda one: (one[0] == NOTHING, one[0])),
        low=min(numbers, default=None),
        high=max(numbers, default=None),
    )


def _title(name: str) -> str:
    return TITLES.get(name, name.replace(".", " › ").replace("_", " "))


def _rank(field: Field) -> tuple[int, bool, str]:
    order = list(TITLES)
    place = order.index(field.name) if field.name in TITLES else len(order)
    # who was used goes last: long lists
    return place, field.name.startswith(("background ", "foreground ")), field.name


def _embedded(value: Any) -> Markup:
    """JSON that ends no script element and starts no comment, whatever is in it."""
    text = json.dumps(value, allow_nan=False)  # escapes all but ASCII, so U+2028, too
    for one in "<>&":
        text = text.replace(one, f"\\u{ord(one):04x}")
    return Markup(text)


def _policy(script: str, style: str) -> str:
    """The page's own script and style, by their hashes, its own pictures, and nothing else."""
    scripts, styles = (
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in (script, style)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def _part(name: str) -> str:
    return (resources.files("faceblend.audit") / name).read_text("utf-8")
