"""One sample: render(faces, draw), sample(bank, recipe, seed, index), replay(record, bank)."""

import json
import math
import operator
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from typing import Any, SupportsIndex

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

import faceblend
from faceblend import draw as drawing
from faceblend.bank import FaceBank
from faceblend.draw import Draw, FakeDraw, MoveDraw, Operation
from faceblend.errors import BadArgument, BadBank, BadRecipe, Rejected
from faceblend.face import Alpha, Face, Image, Landmarks, Mask, Xray
from faceblend.ops import NAMED, Seed, degrade, geometry, warp
from faceblend.ops import mask as masks
from faceblend.ops.geometry import Layers
from faceblend.ops.xray import xray
from faceblend.recipe import Recipe, build

FORMAT = 2
"""Version of the record's layout."""

PIXELS = 2
"""Raised whenever the same draw would render other bytes."""

# vars: the fields of a dataclass as they are, where asdict would copy every list
_LINE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=vars)

_GREY = 128  # level
_WIDEST_SCALE = 32  # times; two faces of one bank are never so far apart in size
_Segment = Bool[np.ndarray, "side side"]  # of a crop, where Mask names the sample's own axes
SEEN = (0.5 - math.sqrt(0.125), 0.5 + math.sqrt(0.125))
"""Alphas of an X-ray of 0.5: one that stays below that everywhere shows a detector nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A training example and the record that makes it again."""

    index: int
    """Its number in the run."""
    image: Image
    """(S, S, 3) uint8 RGB; S is the recipe's ``crop.size``."""
    xray: Xray
    """(S, S) float32 in [0, 1]; zero everywhere for a real face."""
    alpha: Alpha | None
    """(S, S) float32 in [0, 1], weight of the foreground; None where a set did not keep it."""
    landmarks: Landmarks
    """(68, 2) float32 ``(x, y)`` of the background's face, px of ``image``."""
    label: int
    """1 blended, 0 real."""
    record: str
    """One line of JSON: faces, every drawn number, versions. :func:`replay` reads it."""

    @property
    def xray_u8(self) -> UInt8[np.ndarray, "height width"]:
        """The X-ray as it is stored: ``round(255 * B)``."""
        return np.rint(self.xray * np.float32(255)).astype(np.uint8)

    def digest(self) -> str:
        """Hex digest of image, stored X-ray, label and record."""
        hashed = blake2b(digest_size=16)
        for part in (self.image, self.xray_u8):
            hashed.update(np.ascontiguousarray(part).tobytes())
        hashed.update(f"{self.label}\n{self.record}".encode())
        return hashed.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """A blended picture before anything degrades it: ``I = alpha * F + (1 - alpha) * B``."""

    image: Image
    """The blend, at the working size."""
    alpha: Alpha
    """The weights that made it."""
    foreground: UInt8[np.ndarray, "rows columns 3"]
    """What was blended in: aligned, its colours matched, inside ``box`` only."""
    background: Image
    """What it was blended over."""
    box: tuple[slice, slice]
    """Rows and columns outside which alpha is zero."""


def sample(bank: FaceBank, recipe: Recipe, seed: SupportsIndex, index: SupportsIndex) -> Sample:
    """Make sample ``index`` of a run: a pure function of its four arguments.

    A degenerate mask is drawn again, up to ``recipe.reject.attempts`` times.

    Args:
        bank: the real faces.
        recipe: what may be drawn.
        seed: the run's, 0 to 2**64 - 1.
        index: the sample's, 0 to 2**64 - 1.

    Raises:
        Rejected: every attempt gave an empty or tiny mask.
        BadImage: a crop of the bank cannot be read.
        BadRecipe: the recipe's window leaves the bank's crops.
        BadBank: the bank holds no real face.
        BadArgument: ``seed`` or ``index`` is no such number.
    """
    seed, index = _number("seed", seed), _number("index", index)
    recipe.check_fits(bank.crop_size)
    if not len(bank.reals):
        raise BadBank(bank.root, "holds no real face", "blends are made of real faces: add some")
    reason = ""
    for attempt in range(recipe.reject.attempts):
        try:
            drawn = drawing.draw(bank, recipe, seed, index, attempt)
            record = _record(bank, recipe, seed, index, attempt, drawn)
            return _rendered(bank, drawn, index, record)
        except Rejected as rejected:
            reason = rejected.reason
    raise Rejected(
        f"sample {index} of seed {seed}",
        f"rejected {recipe.reject.attempts} times, last because {reason}",
        "allow more reject.attempts, or draw larger masks",
    )


def replay(record: str | Mapping[str, Any], bank: FaceBank) -> Sample:
    """Make a sample again from its record; the same bytes under the same versions.

    Other versions of numpy or OpenCV may render other pixels: a warning names them.

    Args:
        record: a sample's record, as text or read from JSON.
        bank: the bank that it was made from.

    Raises:
        BadRecipe: the record cannot be read.
        BadBank: it was made from another bank.
    """
    content = read_record(record, bank, FORMAT)
    try:
        index, values = operator.index(content["index"]), content["draw"]
    except (KeyError, TypeError) as error:
        raise BadRecipe("record", f"is not one ({error!r})", "give a sample's record") from error
    drawn = build(Draw, values, "record", complete=True)
    drawing.check(drawn, bank)
    return _rendered(bank, drawn, index, _line(content))


def read_record(
    record: str | Mapping[str, Any], bank: FaceBank, form: int | str
) -> dict[str, Any]:
    """The content of a record of format ``form``, if it was made from ``bank``.

    Raises:
        BadRecipe: the record cannot be read.
        BadBank: it was made from another bank.
    """
    try:
        content = json.loads(record) if isinstance(record, str) else dict(record)
        fingerprint, made_with = content["bank"], content["versions"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecipe("record", f"is not one ({error!r})", "give a sample's record") from error
    if content.get("format") != form:
        raise BadRecipe("record", f"has format {content.get('format')!r}", f"give format {form}")
    if fingerprint != bank.fingerprint:
        raise BadBank(
            bank.root,
            f"has fingerprint {bank.fingerprint[:16]}, the record was made from "
            f"{str(fingerprint)[:16]}",
            "open the bank that the sample was made from",
        )
    if made_with != versions():
        warnings.warn(
            f"the record was made with {made_with}, this is {versions()}: pixels may differ",
            stacklevel=3,
        )
    return content


def unblended(blend: Sample, bank: FaceBank) -> Sample:
    """The real half of a pair: a blend's background with all that was drawn but the blending.

    Nothing tells the two apart but the foreground: same size, resampling, JPEG and flip
    (self-blended images train on such pairs, Shiohara and Yamasaki, CVPR 2022).

    Args:
        blend: a blended sample.
        bank: the bank that it was made from.

    Raises:
        BadArgument: the sample is a real one.
        BadBank: it was made from another bank.
    """
    if not blend.label:
        raise BadArgument(f"sample {blend.index}", "is real", "give a blended one")
    content = json.loads(blend.record)
    content["draw"]["fake"] = content["foreground"] = None
    return replay(content, bank)


def lent(blend: Sample, bank: FaceBank) -> Image:
    """What was blended in, alone: aligned, its colours matched, then changed as the blend was.

    Args:
        blend: a blended sample.
        bank: the bank that it was made from.

    Returns:
        (S, S, 3) uint8 RGB, as the sample's picture; mid grey outside the mask's box.

    Raises:
        BadArgument: the sample is a real one.
        BadBank: it was made from another bank.
    """
    if not blend.label:
        raise BadArgument(f"sample {blend.index}", "is real", "give a blended one")
    content = read_record(blend.record, bank, FORMAT)
    drawn = build(Draw, content["draw"], "record", complete=True)
    drawing.check(drawn, bank)
    if drawn.fake is None:
        raise BadArgument(f"sample {blend.index}", "has a real one's record", "give a blend's own")
    face = background_of(bank, drawn)
    layers, foreground = _ready(face, bank[drawn.fake.foreground], drawn)
    assert foreground is not None
    made = compose(layers, foreground, drawn.fake)
    alone = np.full_like(layers.image, _GREY)
    alone[made.box] = made.foreground
    layers = geometry.resize(replace(layers, image=alone), face.image.shape[0])
    return np.require(finish(layers, drawn).image, requirements=["C", "O", "W"])


def background_of(bank: FaceBank, drawn: Draw) -> Face:
    """The face whose picture stays, with its segment where the draw's mask asks for it.

    Raises:
        BadImage: its crop or its segment cannot be read.
    """
    face = bank[drawn.background]
    return replace(face, segment=bank.segment(face.row)) if asks_segment(drawn) else face


def asks_segment(drawn: Draw) -> bool:
    """Whether the draw's mask is made of the background's segment."""
    return drawn.fake is not None and NAMED["mask"][drawn.fake.mask.kind].segmented


def render(background: Face, foreground: Face | None, draw: Draw) -> Layers:
    """Everything from two faces to the finished picture; draws nothing, touches no disk.

    Args:
        background: the face whose picture stays.
        foreground: the partner; None for a real sample.
        draw: every number.

    Returns:
        Picture, alpha and landmarks of the sample; alpha is None for a real one.

    Raises:
        Rejected: the mask came out empty or tiny.
    """
    return render_frames([(background, foreground)], [draw])[0]


def render_frames(
    faces: Sequence[tuple[Face, Face | None]], draws: Sequence[Draw]
) -> list[Layers]:
    """:func:`render` of every frame of a clip, colours matched once for all of them.

    Args:
        faces: background and foreground of each frame, as for :func:`render`.
        draws: one a frame; all make fakes of one colour operation, or all make reals.

    Raises:
        Rejected: the mask of a frame came out empty or tiny.
    """
    ready = [_ready(*pair, drawn) for pair, drawn in zip(faces, draws, strict=True)]
    made = [layers for layers, _ in ready]
    fakes = [drawn.fake for drawn in draws if drawn.fake is not None]
    if fakes:
        lent = [foreground for _, foreground in ready if foreground is not None]
        if len(lent) < len(ready):
            raise ValueError("the draw makes a fake, which needs a foreground face")
        blends = compose_frames(made, lent, fakes)
        made = [
            Layers(image=blend.image, alpha=blend.alpha, landmarks=layers.landmarks)
            for blend, layers in zip(blends, made, strict=True)
        ]
    finished = []
    for (background, _), layers, drawn in zip(faces, made, draws, strict=True):
        layers = finish(geometry.resize(layers, background.image.shape[0]), drawn)
        if drawn.fake is not None:
            _reject_faint(layers.alpha, drawn.fake)
        finished.append(layers)
    return finished


def _ready(background: Face, foreground: Face | None, draw: Draw) -> tuple[Layers, Face | None]:
    """Both faces as they are blended: prepared, the background at its working size."""
    image = background.image
    if draw.prepared == "background":
        image = _done("degrade", draw.prepare, image)
    elif foreground is not None and draw.prepare:
        changed = _done("degrade", draw.prepare, foreground.image)
        foreground = replace(foreground, image=changed)
    layers = Layers(
        image=image,
        alpha=None,
        landmarks=background.landmarks,
        forehead=background.forehead,
        segment=background.segment,
    )
    if draw.working_size is not None:
        layers = geometry.resize(layers, draw.working_size)
    return layers, foreground


def compose(background: Layers, foreground: Face, fake: FakeDraw) -> Blend:
    """Blend a foreground into a background that is already at its working size.

    Raises:
        Rejected: the mask came out empty, or no sensible map aligns the landmarks.
    """
    return compose_frames([background], [foreground], [fake])[0]


def compose_frames(
    backgrounds: Sequence[Layers], foregrounds: Sequence[Face], fakes: Sequence[FakeDraw]
) -> list[Blend]:
    """:func:`compose` of every frame of a clip.

    The colours are matched once, over the masks of all frames: matched frame by frame they
    would flicker.

    Raises:
        Rejected: the mask of a frame came out empty, or no sensible map aligns its landmarks.
    """
    size = backgrounds[0].image.shape[0]
    alphas = [
        _alpha(_points(below), size, fake, below.segment)
        for below, fake in zip(backgrounds, fakes, strict=True)
    ]
    boxes = [masks.bounding_box(alpha) for alpha in alphas]
    if any(rows.stop == 0 for rows, _ in boxes):
        kind = fakes[0].mask.kind
        raise Rejected("mask", f"the {kind} mask came out empty", "draw it again")
    # of all frames one, so that they lie one above the other while colours are matched
    rows, columns = (
        slice(min(one.start for one in each), max(one.stop for one in each))
        for each in zip(*boxes, strict=True)
    )
    box = rows, columns
    placed = [
        warp.place(
            above.image,
            alignment(
                above.landmarks, below.landmarks, fake, above.image.shape[0], size, above.crop
            ),
            box,
        )
        for below, above, fake in zip(backgrounds, foregrounds, fakes, strict=True)
    ]
    below = [layers.image[box] for layers in backgrounds]
    inside = [alpha[box] for alpha in alphas]
    matched = _do("color", fakes[0].color, _stacked(placed), _stacked(below), _stacked(inside) > 0)
    blends = []
    for frame, layers in enumerate(backgrounds):
        height = rows.stop - rows.start
        part = matched[frame * height : (frame + 1) * height]
        image = layers.image.copy()
        image[box] = _do("blend", fakes[frame].blend, part, below[frame], inside[frame])
        blends.append(
            Blend(
                image=image,
                alpha=alphas[frame],
                foreground=part,
                background=layers.image,
                box=box,
            )
        )
    return blends


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def finish(layers: Layers, draw: Draw) -> Layers:
    """Degrade the picture, cut the window that training sees, and mirror it."""
    image, window = _done("degrade", draw.degrade, layers.image), draw.crop
    if draw.resample is not None:
        image = degrade.resample(image, draw.resample.size, draw.resample.down)
    cut = geometry.crop(
        Layers(image=image, alpha=layers.alpha, landmarks=layers.landmarks),
        top=window.top,
        left=window.left,
        height=window.size,
        width=window.size,
    )
    if draw.jpeg is not None:
        rows, columns = (slice(start, start + window.size) for start in (window.top, window.left))
        cut = replace(cut, image=degrade.jpeg_window(image, draw.jpeg, rows, columns))
    return geometry.flip(cut, horizontal=draw.flip_horizontal, vertical=draw.flip_vertical)


def alpha_of(
    landmarks: masks.Points, crop_size: int, draw: Draw, segment: _Segment | None = None
) -> Alpha:
    """The alpha that a draw's blend has in its sample, without the faces' pixels.

    Args:
        landmarks: (68, 2) float32 of the background's face, px of its crop; (81, 2) where its
            forehead is known.
        crop_size: side of the crop, px.
        draw: a blend's.
        segment: (crop_size, crop_size) bool of the background, for masks that are made of it.

    Returns:
        (S, S) float32 in [0, 1], exactly that of :func:`render`; S is ``draw.crop.size``.

    Raises:
        Rejected: the mask came out empty or tiny.
        BadArgument: the draw is a real sample's.
    """
    if draw.fake is None:
        raise BadArgument("draw", "is a real sample's", "give that of a blend")
    size = draw.working_size or crop_size
    placed = landmarks
    if size != crop_size:
        placed = geometry.resize_points(landmarks, crop_size, size)
        segment = None if segment is None else geometry.resize_mask(segment, size)
    alpha = _alpha(placed, size, draw.fake, segment)
    window = draw.crop
    rows, columns = (slice(start, start + window.size) for start in (window.top, window.left))
    if size != crop_size:
        alpha = geometry.resize_plane(alpha, crop_size)
    alpha = alpha[rows, columns]
    if draw.flip_horizontal:
        alpha = alpha[:, ::-1]
    if draw.flip_vertical:
        alpha = alpha[::-1]
    alpha = np.ascontiguousarray(alpha)
    _reject_faint(alpha, draw.fake)
    return alpha


@cache
def versions() -> dict[str, str | int]:
    """The versions that decide a sample's bytes."""
    return {
        "faceblend": faceblend.__version__,
        "pixels": PIXELS,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _number(name: str, value: SupportsIndex) -> int:
    number = operator.index(value)
    if not 0 <= number < 2**64:
        raise BadArgument(name, f"is {number}", "give a number from 0 to 2**64 - 1")
    return number


def _rendered(bank: FaceBank, drawn: Draw, index: int, record: str) -> Sample:
    foreground = None if drawn.fake is None else bank[drawn.fake.foreground]
    layers = render(background_of(bank, drawn), foreground, drawn)
    alpha = layers.alpha
    if alpha is None:
        alpha = np.zeros(layers.image.shape[:2], np.float32)
    return Sample(
        index=index,
        # its own: a decoded crop is read from a file that everyone shares
        image=np.require(layers.image, requirements=["C", "O", "W"]),
        xray=xray(alpha),
        alpha=np.ascontiguousarray(alpha),
        landmarks=layers.landmarks,
        label=int(drawn.fake is not None),
        record=record,
    )


def _points(layers: Layers) -> masks.Points:
    if layers.forehead is None:
        return layers.landmarks
    return np.concatenate([layers.landmarks, layers.forehead])


def _alpha(landmarks: masks.Points, size: int, fake: FakeDraw, segment: Mask | None) -> Alpha:
    drawn = fake.mask
    if fake.move is not None:
        carried = movement(fake.move, size)
        landmarks = warp.carried(landmarks, carried)
        segment = None if segment is None else warp.carried_mask(segment, carried)
    kind = Operation(name=drawn.kind, options=drawn.options)
    asked: dict[str, Mask] = {}
    if NAMED["mask"][drawn.kind].segmented:
        if segment is None:
            raise BadArgument(
                "background",
                f"has no segment, which the mask {drawn.kind} is made of",
                "give a face with Face.segment, or a bank that has segments/",
            )
        asked = {"segment": segment}
    region: Mask = _do("mask", kind, landmarks, size, **asked)
    if drawn.offsets is not None:
        region = warp.bend(region, np.asarray(drawn.offsets, np.float32))
    elif drawn.warp is not None:
        region = _do("warp", drawn.warp, region)
    region = masks.dilate(masks.erode(region, drawn.erode), drawn.dilate)
    if drawn.stages is not None:
        alpha = masks.two_stage(region, **vars(drawn.stages))
    elif drawn.width is None:
        raise ValueError(f"the draw softens by {drawn.soften}, which needs a width")
    elif drawn.soften == "blur":
        alpha = masks.blur(region, drawn.width * size)
    else:
        alpha = masks.feather(region, drawn.width, of_hull=drawn.of_hull)
    return alpha if fake.opacity == 1 else alpha * np.float32(fake.opacity)


def movement(move: MoveDraw, size: int) -> warp.Matrix:
    """The map that a draw's move is, of a picture ``size`` px wide."""
    shift = (move.right * size, move.down * size)
    return warp.about((size - 1) / 2, move.scale, move.turn, shift)


def _done(kind: str, operations: Sequence[Operation], image: Image) -> Image:
    for operation in operations:
        image = _do(kind, operation, image)
    return image


def _do(kind: str, operation: Operation, *arguments: Any, **asked: Any) -> Any:
    known = NAMED[kind][operation.name]
    options = dict(operation.options)
    for name, option in known.options.items():
        if isinstance(option, Seed):
            options[name] = drawing.noise(options[name])
    return known(*arguments, **options, **asked)


def alignment(
    foreground: Landmarks,
    background: Landmarks,
    fake: FakeDraw,
    crop_size: int,
    size: int,
    crop: str,
) -> warp.Matrix:
    """One map from the foreground's crop to the background at its working size: one resampling.

    Args:
        foreground: (68, 2) float32, px of its crop.
        background: (68, 2) float32, px of the working size.
        fake: how they are brought together.
        crop_size: side of the foreground's crop, px.
        size: the working size, px.
        crop: the foreground's, which a rejection names.

    Raises:
        Rejected: no sensible map brings the landmarks together.
    """
    matrix = _landmarks_met(foreground, background, fake, crop_size, size, crop)
    return matrix if fake.move is None else warp.then(matrix, movement(fake.move, size))


def _landmarks_met(
    foreground: Landmarks,
    background: Landmarks,
    fake: FakeDraw,
    crop_size: int,
    size: int,
    crop: str,
) -> warp.Matrix:
    if fake.align == "none":
        return warp.scaling(crop_size, size)
    fit = warp.similarity if fake.align == "similarity" else warp.affine
    try:
        matrix = fit(foreground, background)
    except ValueError as error:
        raise Rejected(crop, str(error), "extract this face again") from error
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if not 1 / _WIDEST_SCALE <= scale <= _WIDEST_SCALE:
        raise Rejected(
            crop,
            f"its landmarks are brought onto the background's only at a scale of {scale:.3g}",
            "extract both faces again",
        )
    return matrix


def _reject_faint(alpha: Alpha | None, fake: FakeDraw) -> None:
    if alpha is None:
        return
    low, high = SEEN
    # some of the rows mostly show it: what is found in them is in the whole
    for rows in (alpha[::8], alpha):
        area = np.count_nonzero(rows > 0.5 * fake.opacity) / alpha.size
        seen = np.count_nonzero(rows > low) > np.count_nonzero(rows > high)
        if area >= fake.min_area and seen:
            return
    if area < fake.min_area:
        raise Rejected(
            "mask",
            f"the foreground outweighs the background in {area:.2%} of the sample",
            "draw it again",
        )
    raise Rejected("mask", "no blending boundary lies inside the sample", "draw it again")


def _record(
    bank: FaceBank, recipe: Recipe, seed: int, index: int, attempt: int, drawn: Draw
) -> str:
    return _line(
        {
            "format": FORMAT,
            "index": index,
            "seed": seed,
            "attempt": attempt,
            "recipe": recipe.name,
            "recipe_digest": recipe.digest(),
            "bank": bank.fingerprint,
            "background": bank.crop(drawn.background),
            "foreground": None if drawn.fake is None else bank.crop(drawn.fake.foreground),
            "draw": drawn,
            "versions": versions(),
        }
    )


def _line(content: Mapping[str, Any]) -> str:
    return _LINE.encode(content)
