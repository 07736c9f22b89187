"""Contact sheet and histograms: what a set looks like and what was drawn for it."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from faceblend import atomic
from faceblend.errors import BadArgument, BadShard
from faceblend.face import Image, Xray
from faceblend.sample import Sample
from faceblend.store import BlendSet
from faceblend.store.place import folder_at

_XRAY_COLOR = (255, 40, 40)
_BAR_COLOR = "#3b6ea5"
_CAPTION = 16  # px under each sample
_GAP = 4  # px between samples
_COLUMNS = 3  # samples side by side
_LARGEST = 178_956_970  # px; Pillow opens no larger picture

_LABELS = {
    "fake.mask.kind": "mask",
    "fake.color.name": "colour transfer",
    "fake.mask.soften": "edge",
    "fake.mask.width": "width of the edge, share",
    "fake.mask.erode": "erosion, px",
    "fake.mask.dilate": "dilation, px",
    "working_size": "working size, px",
    "resample.size": "resampled to, px",
    "resample.down": "resampled by",
    "jpeg": "JPEG quality",
    "flip_horizontal": "mirrored",
    "attempt": "redraws",
}
_LOOK = "run faceblend verify: it looks at every record"
_WORDS = {"fake.mask.kind", "fake.color.name", "fake.mask.soften", "resample.down"}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Where the pictures of an inspected set are."""

    contact_sheet: Path
    histograms: Path
    samples: int
    """Samples in the set; the histograms count them all."""


def inspect(
    path: str | Path, out: str | Path | None = None, *, count: int = 24, panel: int = 160
) -> Inspection:
    """Draw a contact sheet and the histograms of a set.

    Args:
        path: folder of the set.
        out: folder for the two PNGs; ``inspect`` inside the set if not given.
        count: samples on the sheet, spread evenly over the set.
        panel: side of each of the three pictures of a sample, px.

    Raises:
        BadShard: the set cannot be read, a record in it is damaged, or it is empty.
        BadArgument: there is nothing to draw, or more than a picture can be.
    """
    folder = Path(out) if out is not None else folder_at(path) / "inspect"
    with BlendSet(path) as made:
        if not len(made):
            raise BadShard(path, "holds no sample", "generate some first")
        _check_extent(min(count, len(made)), panel)
        figure = histograms(made.records(), where=f"{path}, record")
        chosen = np.unique(np.linspace(0, len(made) - 1, min(count, len(made))).astype(int))
        sheet = contact_sheet([made[int(i)] for i in chosen], panel=panel)
        total = len(made)
    sheet_path, figure_path = folder / "contact-sheet.png", folder / "histograms.png"
    atomic.write_bytes(sheet_path, _png(sheet))
    with atomic.replacing(figure_path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return Inspection(contact_sheet=sheet_path, histograms=figure_path, samples=total)


def overlay(image: Image, xray: Xray) -> Image:
    """Paint an X-ray over its picture in red.

    Args:
        image: (H, W, 3) uint8 RGB.
        xray: (H, W) float32 in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    weight = np.float32(0.75) * xray[..., None]
    mixed = image * (1 - weight) + np.array(_XRAY_COLOR, np.float32) * weight
    return np.asarray(np.rint(mixed).astype(np.uint8))


def contact_sheet(
    samples: Sequence[Sample], *, panel: int = 160, columns: int = _COLUMNS
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay samples out as image, X-ray and overlay, with what was drawn underneath.

    Args:
        samples: what to show.
        panel: side of each picture, px.
        columns: samples in a row.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        BadShard: the record of a sample is damaged.
    """
    shown = [(one.image, one.xray, _caption(one)) for one in samples]
    return sheet(shown, panel=panel, columns=columns)


def sheet(
    shown: Sequence[tuple[np.ndarray, np.ndarray, str]],
    *,
    panel: int = 160,
    columns: int = _COLUMNS,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay pictures out as image, X-ray and overlay, each with its caption underneath.

    Args:
        shown: (H, W, 3) uint8 RGB, its (H, W) float32 X-ray, and the caption; pictures of any
            size, squeezed to squares.
        panel: side of each picture on the sheet, px.
        columns: pictures in a row.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    triples = [
        ((image, grey(xray), overlay(image, xray)), caption) for image, xray, caption in shown
    ]
    return lay_out(triples, panel=panel, columns=columns)


def lay_out(
    shown: Sequence[tuple[Sequence[np.ndarray], str]], *, panel: int, columns: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay groups of three pictures side by side, each group with its caption underneath.

    Args:
        shown: three (H, W, 3) uint8 RGB of any size, squeezed to squares, and the caption.
        panel: side of each picture on the sheet, px.
        columns: groups in a row.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width, height = 3 * panel + _GAP, panel + _CAPTION + _GAP
    canvas = Pillow.new("RGB", _extent(len(shown), panel, columns), "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11)
    for place, (pictures, caption) in enumerate(shown):
        left, top = place % columns * width, place // columns * height
        small = [cv2.resize(p, (panel, panel), interpolation=cv2.INTER_AREA) for p in pictures]
        canvas.paste(Pillow.fromarray(np.concatenate(small, axis=1)), (left, top))
        pen.text((left + 2, top + panel + 1), caption, fill="black", font=font)
    return np.asarray(canvas)


def grey(xray: Xray) -> Image:
    """An X-ray as a picture: (H, W) float32 in [0, 1] to (H, W, 3) uint8."""
    level = np.rint(xray * np.float32(255)).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=2)


def histograms(records: Iterable[str], *, where: str = "record") -> Figure:
    """Show how often each drawn number and name occurs, one panel each.

    Args:
        records: the samples' records.
        where: what an error calls a record, before its number.

    Raises:
        BadShard: a record is damaged.
    """
    values: dict[str, list[Any]] = {name: [] for name in _LABELS}
    labels: Counter[str] = Counter()
    lent: Counter[str] = Counter()
    for number, record in enumerate(records):
        drawn = _read(record, f"{where} {number}")
        labels["fake" if drawn.fake else "real"] += 1
        if drawn.foreground is not None:
            lent[drawn.foreground] += 1
        for name, value in drawn.values.items():
            values[name].append(value)
    figure = Figure(figsize=(14, 10), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, 4).ravel()
    _bars(axes[0], labels, "class")
    _distribution(axes[1], list(lent.values()), "times a face lent itself")
    for axis, (name, label) in zip(axes[2:], _LABELS.items(), strict=False):
        _distribution(axis, values[name], label)
    for axis in axes[2 + len(_LABELS) :]:
        axis.remove()
    return figure


def _distribution(axis: Any, values: list[Any], label: str) -> None:
    if values and isinstance(values[0], int | float) and not isinstance(values[0], bool):
        axis.hist(values, bins=_bins(values), color=_BAR_COLOR)
        axis.set_title(f"{label} (n={len(values)})", fontsize=9)
    else:
        _bars(axis, Counter(str(value) for value in values), f"{label} (n={len(values)})")
    axis.tick_params(labelsize=8)


def _bins(values: Sequence[float]) -> int | np.ndarray:
    if any(isinstance(value, float) for value in values):
        return 32
    # whole numbers: as many of them in each bin, or the bins would beat against them
    low, high = min(values), max(values)
    step = max(1, -(-(high - low + 1) // 48))
    return np.arange(low, high + step + 1, step) - 0.5


def _bars(axis: Any, counts: Counter[Any], label: str) -> None:
    names = sorted(counts)
    axis.bar([str(name) for name in names], [counts[name] for name in names], color=_BAR_COLOR)
    axis.set_title(label, fontsize=9)
    axis.tick_params(labelsize=8)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """What the report shows of a record."""

    fake: bool
    foreground: str | None
    values: dict[str, Any]
    """by the names of ``_LABELS``; what does not apply to the sample is left out"""


def _read(record: str, where: str) -> _Drawn:
    try:
        content = json.loads(record)
        fake, foreground = content["draw"]["fake"] is not None, content["foreground"]
        values = {name: _dig(content["draw"], name) for name in _LABELS if name != "attempt"}
        values["attempt"] = content["attempt"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadShard(where, f"is not one ({error!r})", _LOOK) from error
    there = {name: value for name, value in values.items() if value is not None}
    odd = [name for name, value in there.items() if not _can_be(name, value)]
    if not isinstance(foreground, str if fake else type(None)):
        odd.append("foreground")
    if odd:
        raise BadShard(where, f"has no possible {odd[0]}", _LOOK)
    return _Drawn(fake=fake, foreground=foreground, values=there)


def _dig(values: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        values = None if values is None else values[name]
    return values


def _can_be(name: str, value: Any) -> bool:
    if name in _WORDS:
        return isinstance(value, str) and value.isprintable() and len(value) < 100
    # JSON knows NaN, infinity, and numbers that no axis can show
    return isinstance(value, int | float) and -1e9 < value < 1e9


def _caption(shown: Sample) -> str:
    drawn = _read(shown.record, f"record of sample {shown.index}")
    if not drawn.fake:
        return f"{shown.index} real"
    names = ("fake.mask.kind", "fake.mask.soften", "fake.color.name")
    words = (drawn.values[name] for name in names if name in drawn.values)
    return f"{shown.index} fake: {', '.join(words)}"


def _extent(samples: int, panel: int, columns: int) -> tuple[int, int]:
    """Width and height of a sheet, px."""
    rows = -(-samples // columns)
    return columns * (3 * panel + _GAP) - _GAP, rows * (panel + _CAPTION + _GAP) - _GAP


def _check_extent(samples: int, panel: int) -> None:
    for name, value in (("count", samples), ("panel", panel)):
        if value < 1:
            raise BadArgument(name, f"is {value}", "give 1 or more")
    width, height = _extent(samples, panel, _COLUMNS)
    if width * height > _LARGEST:
        raise BadArgument(
            "count and panel",
            f"make a sheet of {width:,} x {height:,} px, which few programs open",
            "give less",
        )


def _png(image: Image) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape} as PNG")
    return bytes(data)
