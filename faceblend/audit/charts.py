"""Histograms as inline SVG: reals and fakes side by side, each as shares of its own class."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from faceblend.audit.drawn import CLASSES, NOTHING, Field

_WIDTH, _HEIGHT = 320, 110  # of a chart of numbers, in the picture's own units
_BINS = 20
_ROW = 30  # height of a word's two bars
_WORDS = 12  # words of a chart; the rest are told together
_REST = "others"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A field's histogram."""

    svg: Markup
    told: str
    """the same in words: counts, means, ranges"""


def chart(field: Field, title: str) -> Chart:
    """Draw one field: numbers as bins from left to right, words as rows.

    Args:
        field: what was counted.
        title: what the picture is called for those who do not see it.
    """
    told = _told(field)
    drawn = _numbers(field) if field.real.numbers or field.fake.numbers else _words(field)
    height, shapes = drawn
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, height, f"{title}. {told}", Markup("").join(shapes)
    )
    return Chart(svg=svg, told=told)


def _numbers(field: Field) -> tuple[int, list[Markup]]:
    tallies = (field.real, field.fake)
    pooled = np.concatenate([np.asarray(one.numbers) for one in tallies])
    edges = _edges(float(pooled.min()), float(pooled.max()), field.whole)
    shares = [
        np.histogram(np.asarray(one.numbers), edges)[0] / max(1, len(one.numbers))
        for one in tallies
    ]
    top = max(float(share.max()) for share in shares) or 1.0
    shapes, step = list[Markup](), _WIDTH / (len(edges) - 1)
    there = [place for place, one in enumerate(tallies) if len(one.numbers)]
    for side, place in enumerate(there):
        width = step * 0.86 / len(there)
        for bin_number, share in enumerate(shares[place]):
            if share:
                left = (bin_number + 0.07) * step + side * width
                shapes.append(_bar(place, left, share / top * 90, width))
    shapes.append(Markup('<line x1="0" y1="92" x2="{0}" y2="92"/>').format(_WIDTH))
    low, high = (float(pooled.min()), float(pooled.max()))
    shapes.append(_text(0, 107, f"{low:g}", "start"))
    shapes.append(_text(_WIDTH, 107, f"{high:g}", "end"))
    shapes.append(_text(_WIDTH / 2, 107, f"tallest {top:.0%}", "middle"))
    return _HEIGHT, shapes


def _edges(low: float, high: float, whole: bool) -> np.ndarray:
    if not whole:
        return np.linspace(low, high if high > low else low + 1, _BINS + 1)
    # whole numbers: as many of them in each bin, or the bins would beat against them
    step = max(1, -(-int(high - low + 1) // _BINS))
    count = -(-int(high - low + 1) // step)
    return low - 0.5 + step * np.arange(count + 1, dtype=float)


def _bar(place: int, left: float, height: float, width: float) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    ).format(CLASSES[place], left, 92 - height, width, height)


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{:.0f}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _words(field: Field) -> tuple[int, list[Markup]]:
    tallies = (field.real, field.fake)
    both = field.real.words + field.fake.words
    names = [name for name, _ in both.most_common(_WORDS)]
    rows = [(name, tuple(one.words[name] for one in tallies)) for name in names]
    if len(both) > len(names):
        left_over = tuple(
            sum(number for name, number in one.words.items() if name not in names)
            for one in tallies
        )
        rows.append((f"{len(both) - len(names)} {_REST}", left_over))
    totals = [max(1, one.samples) for one in tallies]
    there = [place for place, one in enumerate(tallies) if one.samples]
    top = max(counts[place] / totals[place] for _, counts in rows for place in there)
    shapes = list[Markup]()
    for row, (name, counts) in enumerate(rows):
        shown = "not drawn" if name == NOTHING else name if len(name) < 24 else f"{name[:22]}…"
        shapes.append(_text(116, row * _ROW + 18, shown, "end"))
        for side, place in enumerate(there):
            share, height = counts[place] / totals[place], 22 / len(there)
            length, y = share / top * 150, row * _ROW + 3 + side * height
            shapes.append(
                Markup(
                    '<rect class="{}" x="122" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
                ).format(CLASSES[place], y, length, height - 1)
            )
            number = Markup('<text class="small" x="{:.0f}" y="{:.1f}">{}</text>')
            shapes.append(number.format(126 + length, y + height / 2 + 3.5, f"{counts[place]:,}"))
    return len(rows) * _ROW, shapes


def _told(field: Field) -> str:
    parts = []
    for name, one in zip(CLASSES, (field.real, field.fake), strict=True):
        if not one.samples:
            continue
        if one.numbers:
            numbers = np.asarray(one.numbers)
            undrawn = f", {one.words[NOTHING]:,} not drawn" if one.words[NOTHING] else ""
            parts.append(f"{name} {len(numbers):,}, mean {numbers.mean():.3g}{undrawn}")
        else:
            parts.append(f"{name} {one.samples:,}")
    return "; ".join(parts)
