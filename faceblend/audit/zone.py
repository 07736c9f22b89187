"""Where no foreground can show: the zone of a sample that the shortcut audit looks at.

The masks of a set together reach every pixel, so the zone is each sample's own: what its alpha
leaves out, less a margin. A real sample has no alpha, and a zone that knows the label would tell
it. But every operation draws from a stream of its own (:func:`faceblend.draw.stream`), so the
mask that a real sample would have had as a fake, over the same face and with the same of all other
numbers, can be drawn: its twin's. Reals keep out of their twins' masks as fakes keep out of their
own, and the zones of both classes are of one distribution.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool

from faceblend import draw as drawing
from faceblend.bank import FaceBank, FaceRow
from faceblend.draw import Draw
from faceblend.errors import BadArgument, BadBank, BadRecipe, Rejected
from faceblend.face import Alpha, Mask
from faceblend.ops import geometry
from faceblend.ops import mask as masks
from faceblend.ops.geometry import Layers
from faceblend.recipe import Member, Recipe, build
from faceblend.sample import Sample, alpha_of, asks_segment
from faceblend.store import BlendSet

MARGIN = 20
"""px; as far as JPEG, whose chroma is coded in squares of 16 px, and resampling after the blend
carry what is inside the mask."""

USUAL_CROP = 317
"""px; the crop size that is tried where a set comes without its bank."""

_NOTHING = 1 / 512  # alpha; times 255 levels it is less than half of one
_COMPARED = 8  # fakes of a set without its bank
_LEVELS = 2.0  # of 255; an X-ray that is made again differs by rounding alone

Zone = Bool[np.ndarray, "height width"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Zones:
    """Finds the zone of any sample of one bank, recipe and seed."""

    recipe: Recipe
    bank: FaceBank | None
    """its landmarks are used; without it those in the samples"""
    crop_size: int
    """side of the bank's crops, px"""

    def of(self, sample: Sample) -> Zone:
        """Pixels that neither the sample's blend nor, of a real one, its twin's comes near.

        Alpha below 1/512 moves no value by half a level, and counts for nothing. Blends that
        are no weighted mean reach all of their box.

        Args:
            sample: any of the recipe.

        Returns:
            (S, S) bool; nothing where every mask that is drawn for the twin is degenerate.
        """
        drawn, alpha = self.blend(sample)
        if drawn is None or alpha is None:
            return np.zeros(sample.image.shape[:2], np.bool_)
        touched = (alpha > _NOTHING).astype(np.uint8)
        if drawn.fake is not None and drawn.fake.blend.name != "alpha":
            touched[masks.bounding_box(alpha)] = 1
        return np.asarray(cv2.dilate(touched, _disc(MARGIN)) == 0)

    def blend(self, sample: Sample) -> tuple[Draw | None, Alpha | None]:
        """What a fake, or of a real sample its twin, draws, and its alpha made again."""
        content = _content(sample)
        drawn = build(Draw, content["draw"], "record", complete=True)
        landmarks = self._landmarks(sample, drawn)
        if drawn.fake is not None:
            return drawn, alpha_of(landmarks, self.crop_size, drawn, self._segment(drawn, drawn))
        blended = _all_blended(self.recipe)
        for attempt in range(self.recipe.reject.attempts):
            twin = drawing.draw(self._one_face, blended, content["seed"], sample.index, attempt)
            try:
                return twin, alpha_of(landmarks, self.crop_size, twin, self._segment(drawn, twin))
            except Rejected:
                continue
        return None, None

    @cached_property
    def _one_face(self) -> FaceBank:
        # whose face it is has a stream of its own, too
        if self.bank is not None:
            return self.bank
        row = FaceRow(video="", frame=0, source="", crop="none", landmarks=[0.0] * 136)
        return FaceBank.in_place(Path(), [row], crop_size=self.crop_size)

    def _segment(self, drawn: Draw, twin: Draw) -> Mask | None:
        # of the sample's own face, where the mask asks for it
        if self.bank is None or not asks_segment(twin):
            return None
        return self.bank.segment(drawn.background)

    def _landmarks(self, sample: Sample, drawn: Draw) -> masks.Points:
        if self.bank is not None:
            landmarks = np.array(self.bank.landmarks[drawn.background], np.float32)
            forehead = self.bank.forehead_of(drawn.background)
            return landmarks if forehead is None else np.concatenate([landmarks, forehead])
        layers = Layers(image=sample.image, alpha=None, landmarks=sample.landmarks)
        upright = geometry.flip(
            layers, horizontal=drawn.flip_horizontal, vertical=drawn.flip_vertical
        )
        return upright.landmarks + np.array([drawn.crop.left, drawn.crop.top], np.float32)


def zones_of_set(blends: BlendSet, bank: FaceBank | None) -> Zones:
    """The zones of a set's samples.

    Raises:
        BadBank: the set was made from another bank.
        BadArgument: there is no bank, and the X-rays do not follow from crops of the usual size.
    """
    plan = blends.manifest.plan
    recipe = Recipe.from_dict(plan.recipe)
    if bank is None:
        zones = Zones(recipe=recipe, bank=None, crop_size=USUAL_CROP)
        _check_usual(blends, zones)
        return zones
    check_made_from(blends, bank)
    return Zones(recipe=recipe, bank=bank, crop_size=bank.crop_size)


def check_made_from(blends: BlendSet, bank: FaceBank) -> None:
    """See that a set was made from a bank.

    Raises:
        BadBank: it was not.
    """
    if blends.manifest.plan.bank != bank.fingerprint:
        raise BadBank(
            bank.root,
            f"has fingerprint {bank.fingerprint[:16]}, and {blends.path} was made from "
            f"{blends.manifest.plan.bank[:16]}",
            "give the bank that the set was made from",
        )


def _check_usual(blends: BlendSet, zones: Zones) -> None:
    fakes = np.flatnonzero(blends.labels)[:_COMPARED]
    for position in fakes.tolist():
        sample = blends[position]
        _, alpha = zones.blend(sample)
        again = 4 * alpha * (1 - alpha) if alpha is not None else np.zeros_like(sample.xray)
        if 255 * np.abs(again - sample.xray).mean() > _LEVELS:
            raise BadArgument(
                "--bank",
                f"is not given, and the X-rays of {blends.path} do not follow from its records "
                f"and crops of {USUAL_CROP} px",
                "give the bank that the set was made from",
            )


def _content(sample: Sample) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(sample.record)
        content["draw"], content["seed"], content["background"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecipe(
            f"record of sample {sample.index}", f"is not one ({error!r})", "run faceblend verify"
        ) from error
    return content


def _all_blended(recipe: Recipe) -> Recipe:
    # the partner has a stream of its own: a search that is free changes no other number
    alone = replace(recipe.partner, search="self")
    if recipe.mix:
        mixed = {
            name: Member(weight=one.weight, recipe=_all_blended(one.recipe))
            for name, one in recipe.mix.items()
        }
        return replace(recipe, fake_share=1.0, mix=mixed)
    return replace(recipe, fake_share=1.0, partner=alone)


def _disc(radius: int) -> np.ndarray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))
