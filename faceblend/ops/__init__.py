"""Arrays in, arrays out: no disk, no randomness.

The named operations are one table, :data:`NAMED`; a recipe chooses among its names. A user
adds one with :func:`named`, and says what is drawn for its keyword arguments::

    @named("color", "grey-world", strength=Span(0.2, 1.0))
    def grey_world(foreground, background, mask, *, strength): ...

Functions of one kind share one signature, options aside:

========  ==========================================================
mask      ``(landmarks, size) -> mask``
warp      ``(mask) -> mask``
color     ``(foreground, background, mask) -> foreground``
blend     ``(foreground, background, alpha) -> image``
degrade   ``(image) -> image``
========  ==========================================================

A mask with a keyword ``segment`` is given the background's, (size, size) bool: its bank's
``segments/`` are then read.
"""

from collections.abc import Callable
from typing import Any

from faceblend.ops import (
    bending,
    blend,
    codecs,
    color,
    degrade,
    mask,
    patches,
    regions,
    transport,
    warp,
)
from faceblend.ops.named import Choice, Op, Option, Seed, Span, op

__all__ = ["NAMED", "Choice", "Op", "Option", "Seed", "Span", "named"]

NAMED: dict[str, dict[str, Op]] = {
    "mask": {
        "hull": op(mask.hull),
        "full": op(mask.full),
        "extended": op(mask.extended),
        "components": op(mask.components),
        "regions": op(regions.regions, parts=Span(1, 255, 1, 255)),
        "eyes": op(regions.eyes),
        "mouth": op(regions.mouth),
        "nose": op(regions.nose),
        "segmentation": op(mask.segmentation),
        "grid": op(patches.grid, rows=Span(2, 4, 1, 16), columns=Span(2, 4, 1, 16), rng=Seed()),
        "mesh": op(patches.mesh, share=Span(0.2, 0.6, 0.01, 1.0), rng=Seed()),
    },
    "warp": {
        "elastic": op(
            warp.elastic,
            alpha=Span(50.0, 50.0, 0, 1e4),
            sigma=Span(7.0, 7.0, 0.1, 200),
            rng=Seed(),
        ),
        "elastic-grid": op(
            bending.elastic_grid,
            points=Span(6, 6, 2, 64),
            sigma=Span(4.0, 4.0, 0, 256),
            rng=Seed(),
        ),
        "thin-plate": op(
            bending.thin_plate,
            points=Span(3, 5, 2, 16),
            sigma=Span(2.0, 6.0, 0, 256),
            rng=Seed(),
        ),
        "similarity": op(
            bending.similarity,
            turn=Span(-5.0, 5.0, -180, 180),
            scale=Span(0.95, 1.05, 0.1, 10),
            right=Span(-0.02, 0.02, -1, 1),
            down=Span(-0.02, 0.02, -1, 1),
        ),
    },
    "color": {
        "none": op(color.none),
        "mean": op(color.mean),
        "mean-std": op(color.mean_std),
        "lab": op(color.lab),
        "mkl": op(transport.mkl),
        "idt": op(transport.idt, iterations=Span(10, 10, 1, 100), rng=Seed()),
        "sot": op(
            transport.sot,
            steps=Span(10, 10, 1, 100),
            batch=Span(4, 4, 1, 64),
            smooth=Span(0.0, 2.0, 0, 100),
            rng=Seed(),
        ),
        "histogram": op(transport.histogram),
    },
    "blend": {
        "alpha": op(blend.alpha),
        "poisson": op(blend.poisson),
        "pyramid": op(blend.pyramid, levels=Span(2, 5, 1, 8)),
        "frequency": op(
            blend.frequency, sigma=Span(0.0, 1.0, 0, 50), width=Span(4.0, 16.0, 0.5, 200)
        ),
    },
    "degrade": {
        "noise": op(degrade.noise, sigma=Span(1.0, 8.0, 0, 255), rng=Seed()),
        "rgb-shift": op(
            degrade.rgb_shift,
            red=Span(-20.0, 20.0, -255, 255),
            green=Span(-20.0, 20.0, -255, 255),
            blue=Span(-20.0, 20.0, -255, 255),
        ),
        "hsv-shift": op(
            degrade.hsv_shift,
            hue=Span(-0.3, 0.3, -1, 1),
            saturation=Span(-0.3, 0.3, -1, 1),
            value=Span(-0.3, 0.3, -1, 1),
        ),
        "brightness-contrast": op(
            degrade.brightness_contrast,
            brightness=Span(-0.1, 0.1, -1, 1),
            contrast=Span(-0.1, 0.1, -1, 1),
        ),
        "down-up": op(
            degrade.down_up,
            times=Span(2.0, 4.0, 1, 64),
            down=Choice(tuple(degrade.DOWN)),
            up=Choice(tuple(degrade.UP)),
        ),
        "sharpen": op(
            degrade.sharpen,
            amount=Span(0.2, 0.5, 0, 10),
            sigma=Span(0.5, 2.0, 0.1, 50),
        ),
        "shot-noise": op(degrade.shot_noise, full=Span(500.0, 5000.0, 1, 1e9), rng=Seed()),
        "gamma": op(degrade.gamma, exponent=Span(0.7, 1.4, 0.01, 100)),
        "blur": op(degrade.blur, sigma=Span(0.5, 2.0, 0, 50)),
        "motion-blur": op(
            degrade.motion_blur, length=Span(2.0, 8.0, 0, 100), angle=Span(0.0, 180.0, -360, 360)
        ),
        "median": op(degrade.median, width=Span(3, 5, 1, 99)),
        "jpeg": op(
            degrade.jpeg, quality=Span(60, 100, 1, 100), sampling=Choice(tuple(degrade.SAMPLING))
        ),
        "webp": op(codecs.webp, quality=Span(60, 100, 1, 100)),
        "h264": op(codecs.h264, crf=Span(18, 32, 0, 51)),
        "h265": op(codecs.h265, crf=Span(20, 36, 0, 51)),
    },
}
"""Kind, name, operation: all that a recipe can name."""


def named(
    kind: str, name: str, **options: Option
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an operation under a name that recipes can use.

    The module that calls this must be imported in every process that renders: put it where
    worker processes import it too, not under ``if __name__ == "__main__"``.

    Args:
        kind: ``mask``, ``warp``, ``color``, ``blend`` or ``degrade``.
        name: what recipes call it.
        **options: what is drawn for each of its keyword arguments.

    Raises:
        ValueError: there is no such kind, or the name is taken.
    """
    if kind not in NAMED:
        raise ValueError(f"no operations of kind {kind!r}; the kinds are {', '.join(NAMED)}")
    if name in NAMED[kind]:
        raise ValueError(f"{kind} {name!r} exists already; choose another name")

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        NAMED[kind][name] = op(function, **options)
        return function

    return add
