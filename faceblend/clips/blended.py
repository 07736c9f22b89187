"""One clip: clip(bank, recipe, seed, index), replay_clip(record, bank).

A clip is consecutive frames of one video, blended by one draw: the same region, colours, edge
and degradations in every frame, over landmarks and crops that are freed of the detector's
jitter. What moves, moves smoothly: see :class:`~faceblend.draw.WanderDraw`.
"""

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float32, UInt8

from faceblend import draw as drawing
from faceblend.bank import FaceBank
from faceblend.clips.runs import matrices, runs, windows
from faceblend.draw import Draw, FakeDraw, MoveDraw, Operation, WanderDraw
from faceblend.errors import BadArgument, BadRecipe, Rejected
from faceblend.face import Face
from faceblend.ops import NAMED, Seed, steady
from faceblend.ops.xray import xray
from faceblend.recipe import Recipe, build
from faceblend.sample import asks_segment, read_record, render_frames, versions

FORMAT = "clip 1"
"""Version of a clip's record."""

_EXACT = 2**53  # seeds beyond are not exact in JSON
_FRAMES = 10_000  # more than this a record does not have: it is damaged


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A blended or real video of T frames, and the record that makes it again."""

    index: int
    """Its number in the run."""
    images: UInt8[np.ndarray, "frames height width 3"]
    """(T, S, S, 3) uint8 RGB; S is the recipe's ``crop.size``."""
    xrays: Float32[np.ndarray, "frames height width"]
    """(T, S, S) float32 in [0, 1]; zero everywhere for a real clip."""
    alphas: Float32[np.ndarray, "frames height width"]
    """(T, S, S) float32 in [0, 1], weight of the foreground; zero everywhere for a real clip."""
    landmarks: Float32[np.ndarray, "frames 68 2"]
    """(T, 68, 2) float32 ``(x, y)`` of the background's face, px of ``images``, smoothed."""
    label: int
    """1 blended, 0 real."""
    record: str
    """One line of JSON: faces, every drawn number, versions. :func:`replay_clip` reads it."""

    @property
    def xrays_u8(self) -> UInt8[np.ndarray, "frames height width"]:
        """The X-rays as they are stored: ``round(255 * B)``."""
        return np.rint(self.xrays * np.float32(255)).astype(np.uint8)

    def digest(self) -> str:
        """Hex digest of images, stored X-rays, label and record."""
        hashed = blake2b(digest_size=16)
        for part in (self.images, self.xrays_u8):
            hashed.update(np.ascontiguousarray(part).tobytes())
        hashed.update(f"{self.label}\n{self.record}".encode())
        return hashed.hexdigest()


@dataclass(frozen=True, kw_only=True)
class ClipDraw:
    """All that renders a clip beside the bank."""

    shared: Draw
    """what all frames share; its faces are the middle frame's"""
    background: list[int]
    """row of each frame"""
    foreground: list[int] | None
    """row of each frame's partner; one row again and again is a still face; None: a real clip"""
    wander: WanderDraw | None
    """how the blend moves; None: a real clip"""


def clip(
    bank: FaceBank,
    recipe: Recipe,
    seed: SupportsIndex,
    index: SupportsIndex,
    frames: int = 16,
    step: int = 1,
) -> Clip:
    """Make clip ``index`` of a run: a pure function of its arguments.

    The foreground is the same frame where the recipe blends faces into themselves; else the
    partner's consecutive frames where its video is long enough, and one still face where not.
    A clip with a degenerate mask in any frame is drawn again, up to
    ``recipe.reject.attempts`` times.

    Args:
        bank: the real faces.
        recipe: what may be drawn.
        seed: the run's, 0 to 2**64 - 1.
        index: the clip's, 0 to 2**64 - 1.
        frames: of the clip.
        step: how far apart neighbouring frames of the clip may be, in frames of the video.

    Raises:
        Rejected: every attempt gave an empty or tiny mask.
        BadImage: a crop of the bank cannot be read.
        BadRecipe: the recipe's window leaves the bank's crops.
        BadBank: the bank holds no run of so many frames.
        BadArgument: a number is out of range.
    """
    seed, index = _number("seed", seed), _number("index", index)
    recipe.check_fits(bank.crop_size)
    middles = windows(bank, frames, step)
    reason = ""
    for attempt in range(recipe.reject.attempts):
        try:
            shared = drawing.draw(bank, recipe, seed, index, attempt, among=middles)
            drawn = ClipDraw(
                shared=shared,
                background=runs(bank, step).around(shared.background, frames),
                foreground=_lent(bank, shared, frames, step),
                wander=drawing.wander(recipe, shared, seed, index, attempt),
            )
            content = {
                "format": FORMAT,
                "index": index,
                "seed": seed,
                "attempt": attempt,
                "frames": frames,
                "step": step,
                "recipe": recipe.name,
                "recipe_digest": recipe.digest(),
                "bank": bank.fingerprint,
                "background": [bank.crop(row) for row in drawn.background],
                "foreground": None
                if drawn.foreground is None
                else [bank.crop(row) for row in drawn.foreground],
                "draw": drawn,
                "versions": versions(),
            }
            return _rendered(bank, drawn, index, step, _line(content))
        except Rejected as rejected:
            reason = rejected.reason
    raise Rejected(
        f"clip {index} of seed {seed}",
        f"rejected {recipe.reject.attempts} times, last because {reason}",
        "allow more reject.attempts, or draw larger masks",
    )


def replay_clip(record: str | Mapping[str, Any], bank: FaceBank) -> Clip:
    """Make a clip again from its record; the same bytes under the same versions.

    Args:
        record: a clip's record, as text or read from JSON.
        bank: the bank that it was made from.

    Raises:
        BadRecipe: the record cannot be read.
        BadBank: it was made from another bank.
    """
    content = read_record(record, bank, FORMAT)
    try:
        index, step = operator.index(content["index"]), operator.index(content["step"])
        drawn = build(ClipDraw, content["draw"], "record", complete=True)
    except (KeyError, TypeError) as error:
        raise BadRecipe("record", f"is not one ({error!r})", "give a clip's record") from error
    drawing.check(drawn.shared, bank)
    _check(drawn, bank, step)
    return _rendered(bank, drawn, index, step, _line(content))


def frame_draws(drawn: ClipDraw) -> list[Draw]:
    """The draw of every frame: what the clip shares, moved by as much as its waves say."""
    return [_frame_draw(drawn, time) for time in range(len(drawn.background))]


def frame_faces(bank: FaceBank, drawn: ClipDraw, step: int) -> list[tuple[Face, Face | None]]:
    """Background and foreground of every frame, steadied; see :mod:`faceblend.ops.steady`."""
    below = _steady_faces(bank, drawn.background, step, asks_segment(drawn.shared))
    above: Sequence[Face | None]
    if drawn.foreground is None:
        above = [None] * len(below)
    elif drawn.foreground == drawn.background:
        above = below
    else:
        above = _steady_faces(bank, drawn.foreground, step)
    return list(zip(below, above, strict=True))


def _lent(bank: FaceBank, shared: Draw, frames: int, step: int) -> list[int] | None:
    if shared.fake is None:
        return None
    return runs(bank, step).around(shared.fake.foreground, frames)


def _steady_faces(
    bank: FaceBank, rows: list[int], step: int, segmented: bool = False
) -> list[Face]:
    def read(row: int) -> Face:
        return replace(bank[row], segment=bank.segment(row)) if segmented else bank[row]

    still = len(rows) > 1 and rows[0] == rows[-1]
    if still or len(rows) == 1:
        return [read(rows[0])] * len(rows)
    faces = [read(row) for row in rows]
    times = runs(bank, step).times(rows)
    points = np.stack([face.landmarks for face in faces])
    foreheads = [face.forehead for face in faces if face.forehead is not None]
    whole = len(foreheads) == len(faces)
    if whole:
        points = np.concatenate([points, np.stack(foreheads)], axis=1)
    where = matrices(bank, rows)
    if where is None:
        # nobody knows where the crops stood: they stay, and points are smoothed inside them
        weights = steady.smoother(times, *steady.SHAPE)
        points = np.tensordot(weights, points, axes=1).astype(np.float32)
        images = [face.image for face in faces]
    else:
        faces = _steady_segments(faces, points, where, times)
        crops = np.stack([face.image for face in faces])
        steadied, points = steady.steadied(crops, points, where, times)
        images = list(steadied)
    return [
        # a forehead that is there in some frames only would flicker
        replace(face, image=image, landmarks=at[:68], forehead=at[68:] if whole else None)
        for face, image, at in zip(faces, images, points, strict=True)
    ]


def _steady_segments(
    faces: list[Face], points: np.ndarray, where: np.ndarray, times: np.ndarray
) -> list[Face]:
    """The faces with their segments cut anew as their crops are, where they have any."""
    segments = [face.segment for face in faces if face.segment is not None]
    if not segments:
        return faces
    levels = np.where(np.stack(segments), np.uint8(255), np.uint8(0))
    cut, _ = steady.steadied(np.repeat(levels[..., None], 3, axis=3), points, where, times)
    return [
        replace(face, segment=np.ascontiguousarray(one[..., 0] > 127))
        for face, one in zip(faces, cut, strict=True)
    ]


def _rendered(bank: FaceBank, drawn: ClipDraw, index: int, step: int, record: str) -> Clip:
    made = render_frames(frame_faces(bank, drawn, step), frame_draws(drawn))
    images = np.stack([layers.image for layers in made])
    alphas = np.zeros(images.shape[:3], np.float32)
    for frame, layers in enumerate(made):
        if layers.alpha is not None:
            alphas[frame] = layers.alpha
    return Clip(
        index=index,
        images=images,
        xrays=np.stack([xray(alpha) for alpha in alphas]),
        alphas=alphas,
        landmarks=np.stack([layers.landmarks for layers in made]),
        label=int(drawn.foreground is not None),
        record=record,
    )


def _frame_draw(drawn: ClipDraw, time: int) -> Draw:
    shared, fake = drawn.shared, drawn.shared.fake
    if fake is not None and drawn.foreground is not None and drawn.wander is not None:
        fake = replace(_moved(fake, drawn.wander, time), foreground=drawn.foreground[time])
    return replace(
        shared,
        background=drawn.background[time],
        fake=fake,
        prepare=_noised(shared.prepare, time),
        degrade=_noised(shared.degrade, time),
    )


def _moved(fake: FakeDraw, wander: WanderDraw, time: int) -> FakeDraw:
    if wander.amplitude == 0:
        return fake
    right, down, scale, turn, *points = (
        wander.amplitude * math.cos(2 * math.pi * (time / period + phase))
        for period, phase in wander.waves
    )
    still = fake.move or MoveDraw(right=0.0, down=0.0, scale=1.0, turn=0.0)
    move = MoveDraw(
        right=still.right + right,
        down=still.down + down,
        # half a side from the centre, a point goes by half as far as a shift would take it
        scale=still.scale * (1 + scale),
        turn=still.turn + math.degrees(turn),
    )
    mask = fake.mask
    if mask.offsets is not None:
        grid = np.asarray(mask.offsets)
        mask = replace(mask, offsets=(grid + np.reshape(points, grid.shape)).tolist())
    return replace(fake, move=move, mask=mask)


def _noised(operations: list[Operation], time: int) -> list[Operation]:
    """The same operations with noise of their own: a sensor's is another in each frame."""
    return [replace(one, options={**one.options, **_next_seeds(one, time)}) for one in operations]


def _next_seeds(one: Operation, time: int) -> dict[str, int]:
    known = NAMED["degrade"][one.name].options
    return {
        name: (one.options[name] + time) % _EXACT
        for name, option in known.items()
        if isinstance(option, Seed)
    }


def _check(drawn: ClipDraw, bank: FaceBank, step: int) -> None:
    rows, lent, wander, fake = drawn.background, drawn.foreground, drawn.wander, drawn.shared.fake
    holds = {"background": _are_consecutive(rows, bank, step)}
    holds["foreground"] = (lent is None) == (fake is None) and (
        lent is None
        or (
            len(lent) == len(rows)
            and (_is_still(lent, bank) or _are_consecutive(lent, bank, step))
        )
    )
    holds["wander"] = (wander is None) == (fake is None)
    if fake is not None and wander is not None:
        grid = fake.mask.offsets
        waves = 4 + (0 if grid is None else 2 * len(grid) * len(grid[0]))
        holds["wander"] = 0 <= wander.amplitude <= 0.1 and len(wander.waves) == waves
        holds["wander.waves"] = all(len(one) == 2 and one[0] >= 2 for one in wander.waves)
    for name, true in holds.items():
        if not true:
            raise BadRecipe(
                "record", f"has a {name} that no recipe draws", "give a clip's own record"
            )


def _is_still(rows: list[int], bank: FaceBank) -> bool:
    return len(set(rows)) == 1 and 0 <= rows[0] < len(bank)


def _are_consecutive(rows: list[int], bank: FaceBank, step: int) -> bool:
    if not 1 <= len(rows) <= _FRAMES or step < 1:
        return False
    found, middle = runs(bank, step), rows[len(rows) // 2]
    return middle in found.order and found.around(middle, len(rows)) == rows


def _number(name: str, value: SupportsIndex) -> int:
    number = operator.index(value)
    if not 0 <= number < 2**64:
        raise BadArgument(name, f"is {number}", "give a number from 0 to 2**64 - 1")
    return number


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=vars
    )
