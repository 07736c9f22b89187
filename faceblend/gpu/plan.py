"""What was drawn for a batch, as numbers: made on the CPU, rendered on the device.

Draws are those of :func:`faceblend.sample.sample`. Of each sample only small tables are worked
out here (landmarks, outlines, control points, maps), by the functions that the CPU renders with.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from faceblend import draw as drawing
from faceblend.bank import FARTHEST, FaceBank
from faceblend.draw import Draw, FakeDraw, Operation
from faceblend.errors import Rejected
from faceblend.face import Landmarks
from faceblend.gpu import colors, pixels
from faceblend.gpu.matrices import Key
from faceblend.ops import bending, geometry, mask, patches, regions, warp
from faceblend.recipe import Recipe
from faceblend.sample import alignment, movement

OUTLINES: Mapping[str, Callable[..., list[mask.Points]]] = {
    "hull": lambda landmarks: [landmarks],
    "full": mask.parts_of_full,
    "extended": lambda landmarks: [mask.raised(landmarks)],
    "components": mask.parts_of_components,
    "regions": lambda landmarks, *, parts: regions.parts_of_regions(landmarks, parts),
    "eyes": lambda landmarks: [regions.around_eyes(landmarks)],
    "mouth": lambda landmarks: [regions.around_mouth(landmarks)],
    "nose": lambda landmarks: [regions.around_nose(landmarks)],
    "mesh": lambda landmarks, *, share, rng: patches.parts_of_mesh(
        landmarks, share, drawing.noise(rng)
    ),
}
"""Masks that a device renders, and the points whose hulls they unite; ``segmentation`` and
``grid`` are left to the CPU."""

WARPS = frozenset({"elastic", "elastic-grid", "thin-plate", "similarity"})
"""Warps that a device renders."""

_LARGEST = 2  # crops; a wider working size would make the canvas of every sample as wide
_STAGES = 512  # px; as much for the sizes of two-stage

Places = Int64[np.ndarray, " _"]
"""Which samples of a batch, or which of its fakes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Samples that take one operation, and what was drawn for it."""

    name: str
    places: Places
    options: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sized:
    """Samples that take one step of their own size or quality."""

    places: Places
    values: Places


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Samples that are cut from one place."""

    places: Places
    top: int
    left: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Fakes:
    """What is drawn for the fakes among the samples; ``places`` in it count fakes."""

    places: Places
    """(F,) which samples they are"""
    foregrounds: Places
    """(F,) rows of the bank"""
    prepare: list[list[Group]]
    """of the foregrounds, one list a step"""
    corners: Float32[np.ndarray, "polygons corners 2"]
    """of the outlines, px of the working size; the last comes again"""
    parts: Int64[np.ndarray, "fakes parts"]
    """which outlines a mask unites; -1 for none"""
    grids: Places
    """masks that are bent piecewise"""
    points: Float32[np.ndarray, "grids 2 rows columns"]
    """control points that they are read from, px"""
    cells: Int64[np.ndarray, "grids 2"]
    """of each grid, down and across"""
    fields: Places
    """masks that are bent smoothly"""
    moves: Float32[np.ndarray, "fields 2 nodes nodes"]
    """of each field's grid, px"""
    splines: list[Key]
    """what brings each to the working size"""
    turned: Places
    """masks that are turned, scaled and shifted about the centre of their box"""
    turns: Float64[np.ndarray, "turned 2 3"]
    """those maps, of pixels from the centre"""
    erode: Places
    """(F,) px, odd"""
    dilate: Places
    """(F,) px, odd"""
    feathered: Places
    shares: Float64[np.ndarray, " feathered"]
    of_hull: Places
    """1 where the ramp is measured from the mask's hull"""
    blurred: Places
    sigmas: Float64[np.ndarray, " blurred"]
    """px"""
    staged: Places
    stages: Int64[np.ndarray, "staged 5"]
    """height, width, first, second, sigma of each"""
    opacity: Float32[np.ndarray, " fakes"]
    min_area: Float64[np.ndarray, " fakes"]
    maps: Float64[np.ndarray, "fakes 2 3"]
    """from pixels of the working size to those of the foreground's crop"""
    softened: Places
    """foregrounds that are low-passed before they are placed"""
    taps: Float32[np.ndarray, "softened taps"]
    color: list[Group]
    blend: list[Group]


@dataclass(frozen=True, kw_only=True, eq=False)
class GpuPlan:
    """What was drawn for a batch; picklable, so that worker processes can draw.

    ``places`` of everything but ``rendered`` and ``left`` count the samples that are rendered on
    the device, of which there are R.
    """

    indices: Places
    """(N,) the samples' numbers"""
    rendered: Places
    """(R,) which of them the device renders"""
    left: Places
    """which of them :func:`~faceblend.sample.sample` renders on the CPU"""
    labels: Places
    """(R,) 1 blended, 0 real"""
    landmarks: Float32[np.ndarray, "rendered 68 2"]
    """of the finished samples, px"""
    sizes: Places
    """(R,) working sizes, px"""
    halves: Places
    """(H,) which of the N are halves of pairs: a blend's background on the same way, unblended"""
    size: int
    """side of every sample, px"""
    backgrounds: Places
    """(R,) rows of the bank"""
    prepare: list[list[Group]]
    """of the backgrounds, one list a step"""
    fakes: Fakes | None
    degrade: list[list[Group]]
    """one list a step"""
    nearest: Sized
    """samples that are shrunk by picking pixels"""
    bilinear: Sized
    """samples that are shrunk bilinearly"""
    windows: list[Window]
    jpeg: Sized
    """by quality"""
    mirrored: Places
    """left for right"""
    upturned: Places
    """top for bottom"""


def plan(
    bank: FaceBank,
    recipe: Recipe,
    seed: int,
    indices: Sequence[int],
    halves: Collection[int] = (),
) -> GpuPlan:
    """Draw a batch: what :func:`~faceblend.sample.sample` draws first for each index.

    A sample is left to the CPU where something is drawn that no device renders, or where the
    first draw is rejected before anything is rendered. So is a half of a pair whose blend is not
    in the batch: only the blend's mask tells whether its draw counts.

    Args:
        bank, recipe, seed: of the run.
        indices: of the samples.
        halves: places in the batch of those that are to be unblended.
    """
    taken: list[tuple[Draw, _Fake | None, mask.Points]] = []
    rendered, left = list[int](), list[int]()
    known = {
        index: _one(bank, recipe, seed, index)
        for place, index in enumerate(indices)
        if place not in halves
    }
    for place, index in enumerate(indices):
        one = known.get(index)
        if place in halves:
            one = _unblended(one)
        if one is None:
            left.append(place)
        else:
            rendered.append(place)
            taken.append(one)
    draws = [drawn for drawn, _, _ in taken]
    resampled = [(place, one.resample) for place, one in enumerate(draws) if one.resample]
    compressed = [(place, one.jpeg) for place, one in enumerate(draws) if one.jpeg is not None]
    return GpuPlan(
        indices=_whole(indices),
        rendered=_whole(rendered),
        left=_whole(left),
        labels=_whole([one.fake is not None for one in draws]),
        landmarks=_stack([_finished(bank.crop_size, *one) for one in taken], (68, 2)),
        sizes=_whole([one.working_size or bank.crop_size for one in draws]),
        halves=_whole(sorted(halves)),
        size=recipe.crop.size,
        backgrounds=_whole([one.background for one in draws]),
        prepare=_steps([one.prepare * (one.prepared == "background") for one in draws]),
        fakes=_fakes(taken),
        degrade=_steps([one.degrade for one in draws]),
        nearest=_sized([(place, one.size) for place, one in resampled if one.down == "nearest"]),
        bilinear=_sized([(place, one.size) for place, one in resampled if one.down != "nearest"]),
        windows=_windows(draws),
        jpeg=_sized(compressed),
        mirrored=_whole([place for place, one in enumerate(draws) if one.flip_horizontal]),
        upturned=_whole([place for place, one in enumerate(draws) if one.flip_vertical]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fake:
    # what one fake adds to the tables
    drawn: FakeDraw
    prepare: list[Operation]
    outlines: list[np.ndarray]
    points: np.ndarray | None
    moves: np.ndarray | None
    spline: Key | None
    turn: np.ndarray | None
    size: int
    map: warp.Matrix
    taps: np.ndarray


def _one(
    bank: FaceBank, recipe: Recipe, seed: int, index: int
) -> tuple[Draw, _Fake | None, mask.Points] | None:
    try:
        drawn = drawing.draw(bank, recipe, seed, index)
    except Rejected:
        return None
    points = _landmarks(bank, drawn.background)
    size = drawn.working_size or bank.crop_size
    if points is None or size > _LARGEST * bank.crop_size or not _is_rendered(drawn):
        return None
    if drawn.fake is None:
        return drawn, None, points
    above = _landmarks(bank, drawn.fake.foreground)
    if above is None:
        return None
    placed = points if size == bank.crop_size else _moved(points, bank.crop_size, size)
    try:
        fake = _fake(bank, drawn, drawn.fake, placed, above, size)
    except Rejected:
        return None
    return None if fake is None else (drawn, fake, points)


def _unblended(
    blend: tuple[Draw, _Fake | None, mask.Points] | None,
) -> tuple[Draw, _Fake | None, mask.Points] | None:
    if blend is None:
        return None
    drawn, _, points = blend
    return replace(drawn, fake=None), None, points


def _landmarks(bank: FaceBank, row: int) -> mask.Points | None:
    # None where the bank itself refuses the face
    points, forehead = np.array(bank.landmarks[row], np.float32), bank.forehead_of(row)
    if forehead is not None:
        points = np.concatenate([points, forehead])
    # NaN fails this too
    return points if np.abs(points).max() <= FARTHEST * bank.crop_size else None


def _moved(points: mask.Points, old: int, new: int) -> mask.Points:
    return geometry.resize_points(points, old, new)


def _is_rendered(drawn: Draw) -> bool:
    if not {one.name for one in (*drawn.prepare, *drawn.degrade)} <= set(pixels.DEGRADES):
        return False
    fake = drawn.fake
    if fake is None:
        return True
    stages, bent = fake.mask.stages, fake.mask.warp
    return (
        fake.mask.kind in OUTLINES
        and (bent is None or bent.name in WARPS)
        and (stages is None or max(stages.height, stages.width) <= _STAGES)
        # a kernel wider than the picture is mirrored more than once
        and (stages is None or stages.second // 2 < min(stages.height, stages.width))
        and fake.color.name in colors.NAMES
        and fake.blend.name in pixels.BLENDS
    )


def _fake(
    bank: FaceBank,
    drawn: Draw,
    fake: FakeDraw,
    points: mask.Points,
    above: mask.Points,
    size: int,
) -> _Fake | None:
    crop = bank.crop(fake.foreground)
    matrix = alignment(above[:68], points[:68], fake, bank.crop_size, size, crop)
    area = float(np.linalg.det(matrix[:, :2]))
    if not area:
        return None
    taps = geometry.taps((1 / np.sqrt(abs(area)) - 1) / 2)
    if len(taps) // 2 >= bank.crop_size:
        return None
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    if fake.move is not None:
        points = warp.carried(points, movement(fake.move, size))
    outlines = OUTLINES[fake.mask.kind](points, **fake.mask.options)
    control = moves = spline = turn = None
    if fake.mask.offsets is not None:
        control = warp.control_points(np.asarray(fake.mask.offsets, np.float32), size)
    elif fake.mask.warp is not None and fake.mask.warp.name == "similarity":
        turn = _turn(size, **fake.mask.warp.options)
    elif fake.mask.warp is not None:
        spline, moves = _moves(fake.mask.warp, size)
    return _Fake(
        drawn=fake,
        prepare=drawn.prepare * (drawn.prepared == "foreground"),
        outlines=[mask.outline(one)[:, 0] / np.float32(16) for one in outlines],
        points=control,
        moves=moves,
        spline=spline,
        turn=turn,
        size=size,
        map=inverse,
        taps=taps,
    )


def _turn(size: int, *, turn: float, scale: float, right: float, down: float) -> np.ndarray:
    return warp.about(0.0, scale, turn, (right * size, down * size))


def _moves(bent: Operation, size: int) -> tuple[Key, np.ndarray]:
    options = dict(bent.options)
    options["rng"] = drawing.noise(options["rng"])
    if bent.name == "elastic":
        moves: np.ndarray = warp.elastic_moves(size, **options)
        return ("cubic", moves.shape[1], size), moves
    if bent.name == "elastic-grid":
        moves = bending.grid_moves(size, **options)
        return ("spline", moves.shape[1], size), moves
    moves = bending.plate_moves(size, **options)
    return ("plate", moves.shape[1], size), moves


def _fakes(taken: Sequence[tuple[Draw, _Fake | None, mask.Points]]) -> Fakes | None:
    places = [place for place, (_, fake, _) in enumerate(taken) if fake is not None]
    fakes = [fake for _, fake, _ in taken if fake is not None]
    if not fakes:
        return None
    drawn = [one.drawn for one in fakes]
    corners, parts = _outlined([one.outlines for one in fakes])
    grids = [(place, one.points) for place, one in enumerate(fakes) if one.points is not None]
    turns = [(place, one.turn) for place, one in enumerate(fakes) if one.turn is not None]
    fields = [(place, one.moves) for place, one in enumerate(fakes) if one.moves is not None]
    kinds = {
        kind: [place for place, one in enumerate(drawn) if one.mask.soften == kind]
        for kind in ("feather", "blur", "two-stage")
    }
    widths = [0.0 if one.mask.width is None else one.mask.width for one in drawn]
    softened = [place for place, one in enumerate(fakes) if len(one.taps) > 1]
    return Fakes(
        places=_whole(places),
        foregrounds=_whole([one.foreground for one in drawn]),
        prepare=_steps([one.prepare for one in fakes]),
        corners=corners,
        parts=parts,
        grids=_whole([place for place, _ in grids]),
        points=_padded([points for _, points in grids]),
        cells=_whole([[size - 1 for size in one.shape[1:]] for _, one in grids]).reshape(-1, 2),
        fields=_whole([place for place, _ in fields]),
        moves=_padded([moves for _, moves in fields]),
        splines=[one.spline for one in fakes if one.spline is not None],
        turned=_whole([place for place, _ in turns]),
        turns=np.array([one for _, one in turns], np.float64).reshape(-1, 2, 3),
        erode=_whole([one.mask.erode for one in drawn]),
        dilate=_whole([one.mask.dilate for one in drawn]),
        feathered=_whole(kinds["feather"]),
        shares=np.array([widths[place] for place in kinds["feather"]], np.float64),
        of_hull=_whole([drawn[place].mask.of_hull for place in kinds["feather"]]),
        blurred=_whole(kinds["blur"]),
        sigmas=np.array([widths[one] * fakes[one].size for one in kinds["blur"]], np.float64),
        staged=_whole(kinds["two-stage"]),
        stages=_whole([_staged(drawn[place]) for place in kinds["two-stage"]]).reshape(-1, 5),
        opacity=np.array([one.opacity for one in drawn], np.float32),
        min_area=np.array([one.min_area for one in drawn], np.float64),
        maps=np.stack([one.map for one in fakes]),
        softened=_whole(softened),
        taps=_centred([fakes[place].taps for place in softened]),
        color=_groups([(place, one.color) for place, one in enumerate(drawn)]),
        blend=_groups([(place, one.blend) for place, one in enumerate(drawn)]),
    )


def _staged(drawn: FakeDraw) -> list[int]:
    stages = drawn.mask.stages
    if stages is None:
        raise ValueError("two-stage needs its sizes")
    return [stages.height, stages.width, stages.first, stages.second, stages.sigma]


def _outlined(
    outlines: Sequence[Sequence[np.ndarray]],
) -> tuple[Float32[np.ndarray, "polygons corners 2"], Int64[np.ndarray, "fakes parts"]]:
    every = [one for parts in outlines for one in parts]
    most = max(len(one) for one in every)
    corners = np.stack([np.concatenate([one, one[-1:].repeat(most - len(one), 0)])
                        for one in every]).astype(np.float32)  # fmt: skip
    parts = np.full((len(outlines), max(len(one) for one in outlines)), -1, np.int64)
    first = 0
    for row, one in zip(parts, outlines, strict=True):
        row[: len(one)] = np.arange(first, first + len(one))
        first += len(one)
    return corners, parts


def _finished(crop_size: int, drawn: Draw, fake: _Fake | None, points: mask.Points) -> Landmarks:
    # as the picture's geometry moves them, operation by operation: the last bit counts
    del fake
    landmarks = points[:68]
    if drawn.working_size is not None and drawn.working_size != crop_size:
        landmarks = _moved(landmarks, crop_size, drawn.working_size)
        landmarks = _moved(landmarks, drawn.working_size, crop_size)
    window = drawn.crop
    landmarks = landmarks - np.array([window.left, window.top], np.float32)
    for axis, flipped in enumerate((drawn.flip_horizontal, drawn.flip_vertical)):
        if flipped:
            landmarks[:, axis] = window.size - 1 - landmarks[:, axis]
    if drawn.flip_horizontal != drawn.flip_vertical:
        landmarks = landmarks[geometry.MIRRORED]
    return landmarks


def _steps(lists: Sequence[Sequence[Operation]]) -> list[list[Group]]:
    # the first operation of every sample, then the second
    most = max((len(one) for one in lists), default=0)
    return [
        _groups([(place, one[step]) for place, one in enumerate(lists) if step < len(one)])
        for step in range(most)
    ]


def _groups(operations: Sequence[tuple[int, Operation]]) -> list[Group]:
    named: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, one in operations:
        named.setdefault(one.name, []).append((place, one.options))
    return [
        Group(
            name=name,
            places=_whole([place for place, _ in taken]),
            options=[options for _, options in taken],
        )
        for name, taken in named.items()
    ]


def _sized(values: Sequence[tuple[int, int]]) -> Sized:
    return Sized(
        places=_whole([place for place, _ in values]), values=_whole([one for _, one in values])
    )


def _windows(draws: Sequence[Draw]) -> list[Window]:
    cut: dict[tuple[int, int], list[int]] = {}
    for place, one in enumerate(draws):
        cut.setdefault((one.crop.top, one.crop.left), []).append(place)
    return [
        Window(places=_whole(places), top=top, left=left) for (top, left), places in cut.items()
    ]


def _whole(values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def _stack(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.float32)


def _padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    # (2, rows, columns) each, zeros below and on the right
    rows, columns = (max((one.shape[axis] for one in arrays), default=0) for axis in (1, 2))
    made = np.zeros((len(arrays), 2, rows, columns), np.float32)
    for place, one in zip(made, arrays, strict=True):
        place[:, : one.shape[1], : one.shape[2]] = one
    return made


def _centred(taps: Sequence[np.ndarray]) -> np.ndarray:
    most = max((len(one) for one in taps), default=1)
    made = np.zeros((len(taps), most), np.float32)
    for row, one in zip(made, taps, strict=True):
        start = (most - len(one)) // 2
        row[start : start + len(one)] = one
    return made
