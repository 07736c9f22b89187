"""What may be drawn: frozen dataclasses, their checks, YAML in and JSON out.

One step of the generator is one class here, and ``draw.py`` draws from it. Sizes are in
pixels of the crop (317 px by default) unless a field says otherwise.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

from faceblend import plainyaml
from faceblend.errors import BadRecipe
from faceblend.ops import NAMED

T = TypeVar("T")

_LARGEST = 2**53  # whole numbers beyond are not exact as floats
_ANYTHING = (int, float, str, bool, type(None))  # what an option can be in YAML and JSON
_NESTED, _UNNEST = "a mix itself", "name the recipes that it mixes"
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}

WIDEST = 10_000
"""px; a larger size is a typing error, and would exhaust the memory"""

WIDEST_SQUARE = 999
"""px; what a mask is eroded and dilated by at most"""

FAINTEST = 0.15
"""what alpha is multiplied by at least: under 0.147 its X-ray stays below one half"""


@dataclass(frozen=True, kw_only=True)
class Partner:
    """Who lends the foreground."""

    search: Literal["sampled", "exact", "self"] = "sampled"
    """``sampled`` looks at ``candidates`` random faces, ``exact`` at every face; ``self`` blends
    a face into itself"""
    candidates: int = 1000
    """how many faces ``sampled`` draws, with replacement"""
    top: int = 1
    """the partner is one of this many nearest, each as likely: 1 is the nearest itself"""
    cap: int | None = None
    """with ``exact``, how many backgrounds a face is among the ``top`` of at most; null: any"""

    def __post_init__(self) -> None:
        _at_least("partner.candidates", self.candidates, 1)
        _at_least("partner.top", self.top, 1)
        if self.cap is None:
            return
        if self.search != "exact":
            with_search = f"{self.cap}, with partner.search: {self.search}"
            _refuse("partner.cap", with_search, "give partner.search: exact, or leave it out")
        if self.cap < self.top:
            # of n faces each wants `top` others: cap * n places for top * n wishes
            for_top = f"{self.cap}, for {self.top} partners of each face (partner.top)"
            _refuse("partner.cap", for_top, f"give {self.top} or more: a face lends as many")


@dataclass(frozen=True, kw_only=True)
class Working:
    """The size at which faces are blended: pictures are shrunk to it and grown back."""

    probability: float = 1.0
    """how often; else they are blended at the size of the crop"""
    size: tuple[int, int] = (128, 317)
    """side, px, uniform, both ends included"""
    reals: bool = True
    """reals take the same way down and up; without it the resampling gives fakes away"""

    def __post_init__(self) -> None:
        _probability("working.probability", self.probability)
        _range("working.size", self.size, 8, WIDEST)


@dataclass(frozen=True, kw_only=True)
class Move:
    """Moves the foreground, and the mask with it, away from where it would stand."""

    probability: float = 0.0
    """how often"""
    right: tuple[float, float] = (0.0, 0.0)
    """share of the picture's side; uniform"""
    down: tuple[float, float] = (0.0, 0.0)
    """share of the picture's side; uniform"""
    scale: tuple[float, float] = (1.0, 1.0)
    """times, about the picture's centre; uniform"""
    turn: tuple[float, float] = (0.0, 0.0)
    """degrees, clockwise, about the picture's centre; uniform"""

    def __post_init__(self) -> None:
        _probability("move.probability", self.probability)
        _range("move.right", self.right, -1, 1)
        _range("move.down", self.down, -1, 1)
        _range("move.scale", self.scale, 0.1, 10)
        _range("move.turn", self.turn, -180, 180)


@dataclass(frozen=True, kw_only=True)
class Deform:
    """Bends the mask."""

    probability: float = 1.0
    """how often"""
    kinds: dict[str, float] = field(default_factory=lambda: {"piecewise": 1.0})
    """weights of ``piecewise`` (every point of a grid is moved, triangles between them follow)
    and of the warps in ``ops/warp.py``"""
    rows: tuple[int, int] = (4, 4)
    """rows of the grid, uniform, both ends included"""
    columns: tuple[int, int] = (4, 4)
    """columns of the grid, uniform, both ends included"""
    strength: tuple[float, float] = (0.01, 0.15)
    """standard deviation of a point's move, share of the picture's side; uniform"""

    def __post_init__(self) -> None:
        _probability("deform.probability", self.probability)
        _weights("deform.kinds", self.kinds, {"piecewise", *NAMED["warp"]})
        _range("deform.rows", self.rows, 2, 64)
        _range("deform.columns", self.columns, 2, 64)
        _range("deform.strength", self.strength, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Morph:
    """Erodes or dilates the mask by a square; an even width is raised to the next odd one."""

    erode_probability: float = 0.5
    """how often it erodes; else it dilates"""
    erode: tuple[int, int] = (1, 21)
    """width, px of the working size, uniform, both ends included"""
    dilate: tuple[int, int] = (1, 5)
    """width, px of the working size, uniform, both ends included"""

    def __post_init__(self) -> None:
        _probability("morph.erode_probability", self.erode_probability)
        _range("morph.erode", self.erode, 1, WIDEST_SQUARE)
        _range("morph.dilate", self.dilate, 1, WIDEST_SQUARE)


@dataclass(frozen=True, kw_only=True)
class Soften:
    """Softens the mask's edge into the alpha that blends."""

    kinds: dict[str, float] = field(default_factory=lambda: {"feather": 1.0})
    """weights of ``feather`` (a linear ramp inwards), ``blur`` (a Gaussian) and ``two-stage``
    (shrunk by a first kernel, averaged by a second, at a size of its own)"""
    feather: tuple[float, float] = (0.05, 0.25)
    """width of the ramp, share of the longer side of the mask's box; uniform"""
    blur: tuple[float, float] = (0.005, 0.03)
    """sigma, share of the picture's side; uniform"""
    of_hull: bool = False
    """measure the ramp from the mask's convex hull, as AlgoHunt does"""
    stage_size: tuple[int, int] = (192, 256)
    """``two-stage``: height and width that the mask is brought to, px; each uniform, both ends
    included"""
    stage_kernel: tuple[int, int] = (5, 25)
    """``two-stage``: width of either kernel, px of that size; each uniform among the odd ones,
    both ends included"""
    stage_sigma: tuple[int, int] = (5, 45)
    """``two-stage``: sigma of the second kernel, px of that size; uniform, both ends included"""

    def __post_init__(self) -> None:
        _weights("soften.kinds", self.kinds, {"feather", "blur", "two-stage"})
        _range("soften.feather", self.feather, 0, 2)
        _range("soften.blur", self.blur, 1e-4, 1)
        _range("soften.stage_size", self.stage_size, 8, WIDEST)
        _range("soften.stage_kernel", self.stage_kernel, 1, WIDEST_SQUARE)
        if not all(end % 2 for end in self.stage_kernel):
            _refuse("soften.stage_kernel", list(self.stage_kernel), "give two odd numbers")
        _range("soften.stage_sigma", self.stage_sigma, 1, WIDEST_SQUARE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step that changes a picture's values."""

    ops: dict[str, float]
    """weights of the operations in ``ops/degrade.py``, one of which is done"""
    probability: float = 1.0
    """how often the step is taken"""
    options: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """operation, option, and what is drawn for it: ``{noise: {sigma: [1, 5]}}``"""

    def __post_init__(self) -> None:
        _probability("step.probability", self.probability)
        _weights("step.ops", self.ops, set(NAMED["degrade"]))
        _options("step.options", self.options, "degrade", self.ops)


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Changes one of the two faces before they are blended, so that they differ.

    In a real sample the only face there is takes it as often as a background does.
    """

    background: float = 0.5
    """probability that the background takes the steps; else the foreground does"""
    steps: tuple[Step, ...] = ()
    """one after the other"""

    def __post_init__(self) -> None:
        _probability("prepare.background", self.background)


@dataclass(frozen=True, kw_only=True)
class Resample:
    """Shrinks the finished picture and brings it back, as platforms do."""

    probability: float = 0.5
    """how often"""
    size: tuple[int, int] = (64, 317)
    """side of the small picture, px, uniform, both ends included"""
    down: dict[str, float] = field(default_factory=lambda: {"nearest": 1.0, "bilinear": 1.0})
    """weights of the ways to shrink; the way back is bilinear"""

    def __post_init__(self) -> None:
        _probability("resample.probability", self.probability)
        _range("resample.size", self.size, 1, WIDEST)
        _weights("resample.down", self.down, {"nearest", "bilinear"})


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Compresses the finished picture."""

    probability: float = 0.5
    """how often"""
    quality: tuple[int, int] = (60, 100)
    """libjpeg's quality, uniform, both ends included"""

    def __post_init__(self) -> None:
        _probability("jpeg.probability", self.probability)
        _range("jpeg.quality", self.quality, 1, 100)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The window of the crop that training sees; ``size`` is the side of every sample."""

    top: int = 60
    """first row, px"""
    left: int = 30
    """first column, px"""
    size: int = 256
    """side, px"""

    def __post_init__(self) -> None:
        _at_least("crop.top", self.top, 0)
        _at_least("crop.left", self.left, 0)
        _at_least("crop.size", self.size, 8)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirrors picture, alpha and landmarks together."""

    horizontal: float = 0.5
    """probability of left for right"""
    vertical: float = 0.0
    """probability of top for bottom"""

    def __post_init__(self) -> None:
        _probability("flip.horizontal", self.horizontal)
        _probability("flip.vertical", self.vertical)


@dataclass(frozen=True, kw_only=True)
class Wander:
    """How the blend of a clip moves over its frames; the still samples know nothing of it."""

    amplitude: tuple[float, float] = (0.0, 0.002)
    """how far foreground and mask, and each point of the mask's grid, go to and fro; share of the
    picture's side; uniform"""
    period: tuple[float, float] = (24.0, 96.0)
    """how long they take, frames; uniform"""

    def __post_init__(self) -> None:
        _range("wander.amplitude", self.amplitude, 0, 0.1)
        _range("wander.period", self.period, 2, 1e6)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """When a fake's mask is too small to be one, and how often to draw again."""

    min_area: float = 0.01
    """least share of the sample where the foreground outweighs the background"""
    attempts: int = 8
    """draws before the sample is given up and recorded as rejected"""

    def __post_init__(self) -> None:
        if not 0 < self.min_area < 1:
            _refuse("reject.min_area", self.min_area, "give a share between 0 and 1")
        _at_least("reject.attempts", self.attempts, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a sample may be; presets are YAML files of these fields."""

    name: str = "custom"
    """what the recipe is called in records and manifests"""
    fake_share: float = 0.5
    """probability that a sample is blended; the others are real"""
    partner: Partner = field(default_factory=Partner)
    working: Working = field(default_factory=Working)
    align: Literal["none", "similarity", "affine"] = "similarity"
    """how the foreground's landmarks are brought onto the background's before blending"""
    prepare: Prepare = field(default_factory=Prepare)
    move: Move = field(default_factory=Move)
    mask: dict[str, float] = field(
        default_factory=lambda: {"hull": 1.0, "full": 1.0, "extended": 1.0, "components": 1.0}
    )
    """weights of the regions in ``ops/mask.py``"""
    deform: Deform = field(default_factory=Deform)
    morph: Morph = field(default_factory=Morph)
    soften: Soften = field(default_factory=Soften)
    color: dict[str, float] = field(default_factory=lambda: {"mean": 1.0})
    """weights of the colour transfers in ``ops/color.py``"""
    blend: dict[str, float] = field(default_factory=lambda: {"alpha": 1.0})
    """weights of the ways to blend in ``ops/blend.py``"""
    opacity: tuple[float, ...] = (1.0,)
    """what alpha is multiplied by, each as likely"""
    options: dict[str, dict[str, dict[str, list[Any]]]] = field(default_factory=dict)
    """kind, operation, option, and what is drawn for it, where that is not the operation's own:
    ``{warp: {elastic: {sigma: [4, 9]}}}``"""
    degrade: tuple[Step, ...] = ()
    """what happens to the finished picture, one after the other, before ``resample``"""
    resample: Resample = field(default_factory=Resample)
    jpeg: Jpeg = field(default_factory=Jpeg)
    crop: Crop = field(default_factory=Crop)
    flip: Flip = field(default_factory=Flip)
    reject: Reject = field(default_factory=Reject)
    wander: Wander = field(default_factory=Wander)
    mix: dict[str, "Member"] = field(default_factory=dict)
    """other recipes to draw from instead, and their weights: ``{bi: 1, sbi: 2}``"""

    def __post_init__(self) -> None:
        _probability("fake_share", self.fake_share)
        for kind in ("mask", "color", "blend"):
            _weights(kind, getattr(self, kind), set(NAMED[kind]))
        for kind, options in self.options.items():
            if kind not in NAMED or kind == "degrade":
                remedy = "choose among mask, warp, color and blend; each step has its own options"
                _refuse("options", f"for {kind!r}", remedy)
            _options(f"options.{kind}", options, kind, NAMED[kind])
        if not (self.opacity and all(FAINTEST <= one <= 1 for one in self.opacity)):
            _refuse("opacity", list(self.opacity), f"give one or more numbers, {FAINTEST} to 1")
        if self.mix:
            self._check_mix()

    def _check_mix(self) -> None:
        if not sum(one.weight for one in self.mix.values()) > 0:
            _refuse("mix", "of no weight", "give one recipe a weight above 0")
        for name, one in self.mix.items():
            if one.recipe.mix:
                _refuse(f"mix.{name}", _NESTED, _UNNEST)
            if one.recipe.crop.size != self.crop.size:
                sizes = f"{one.recipe.crop.size} px, and the mix {self.crop.size} px"
                _refuse(f"mix.{name}.crop.size", sizes, "give all the same")
        # what a mix does not look at would be told in vain
        heeded = replace(
            Recipe(),
            name=self.name,
            fake_share=self.fake_share,
            crop=Crop(size=self.crop.size),
            reject=Reject(attempts=self.reject.attempts),
            mix={},
        )
        for field_ in fields(self):
            name = field_.name
            if name != "mix" and getattr(self, name) != getattr(heeded, name):
                remedy = f"tell the recipes that it mixes, as mix.NAME.recipe.{name}"
                _refuse(name, "told to a mix, which has none of its own", remedy)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON-ready values; :meth:`from_dict` reads them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> "Recipe":
        """Read a recipe; fields that are not named keep their defaults.

        Raises:
            BadRecipe: a field does not exist, or a value cannot be drawn from.
        """
        return build(cls, values, where)

    def digest(self) -> str:
        """16 hex digits that differ wherever two recipes do, their names included."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # every record names it
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def partners(self) -> list[Partner]:
        """How its blends find their partners: by the recipe, or by each that it mixes."""
        mixed = [one.recipe.partner for one in self.mix.values() if one.weight]
        return mixed if self.mix else [self.partner]

    @property
    def lends(self) -> bool:
        """Whether any blend of it needs somebody else's face."""
        return any(one.search != "self" for one in self.partners)

    @property
    def asks_segments(self) -> bool:
        """Whether any mask of it is made of the user's own segmentations."""
        recipes = [one.recipe for one in self.mix.values() if one.weight] if self.mix else [self]
        known = NAMED["mask"]
        return any(
            weight and known[name].segmented
            for one in recipes
            for name, weight in one.mask.items()
        )

    def check_fits(self, crop_size: int) -> None:
        """Make sure that the window lies inside crops of ``crop_size`` px.

        Raises:
            BadRecipe: it does not.
        """
        if self.mix:
            for one in self.mix.values():
                one.recipe.check_fits(crop_size)
            return
        bottom, right = self.crop.top + self.crop.size, self.crop.left + self.crop.size
        if max(bottom, right) > crop_size:
            _refuse(
                "crop",
                f"rows {self.crop.top}:{bottom}, columns {self.crop.left}:{right}",
                f"the bank's crops are {crop_size} px: choose a window inside them",
            )


@dataclass(frozen=True, kw_only=True)
class Member:
    """A recipe of a mix."""

    weight: float
    """how often it is drawn, beside the others' weights"""
    recipe: Recipe
    """its ``fake_share`` and ``reject.attempts`` are not looked at: the mix has one for all"""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1e9:
            _refuse("mix", f"of weight {self.weight}", "give a weight of 0 or more")


def preset_names() -> list[str]:
    """Names of the recipes that come with the library."""
    return sorted(path.stem for path in preset_path("bi").parent.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """Where a preset's YAML file lies."""
    return Path(str(resources.files("faceblend") / "presets" / f"{name}.yaml"))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a preset by its name, or a YAML file.

    Args:
        name_or_path: one of :func:`preset_names`, or the path of a YAML file.
        overrides: dotted names and their values, such as ``{"partner.candidates": 5000}``.

    Raises:
        BadRecipe: there is no such preset or file, or it does not hold a recipe.
    """
    # what is mixed is read before, so that an override reaches into it, and after: it may be one
    values = _mixed(_read_yaml(name_or_path), Path(name_or_path).parent)
    for dotted, value in (overrides or {}).items():
        *path, last = dotted.split(".")
        inner = values
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise BadRecipe(dotted, f"{step!r} has no fields", "check the name")
        inner[last] = value
    return Recipe.from_dict(_mixed(values, Path()), str(name_or_path))


def _mixed(values: dict[str, Any], beside: Path) -> dict[str, Any]:
    mix = values.get("mix")
    if isinstance(mix, dict):
        values["mix"] = {name: _member(name, told, beside) for name, told in mix.items()}
    return values


def _member(name: Any, told: Any, beside: Path) -> Any:
    # a weight alone names a preset, or a file beside the mix's own
    if isinstance(told, bool) or not isinstance(told, int | float):
        return told
    there = name if name in preset_names() else beside / str(name)
    values = _read_yaml(there)
    if values.get("mix"):  # maybe this one
        _refuse(f"mix.{name}", _NESTED, _UNNEST)
    return {"weight": told, "recipe": Recipe.from_dict(values, str(there)).to_dict()}


def build(cls: type[T], values: object, where: str, *, complete: bool = False) -> T:
    """Make a dataclass from plain values, as JSON and YAML give them.

    Whole numbers serve as floats and lists as tuples; nothing else is converted. Fields
    without a default must be there.

    Args:
        cls: a dataclass of numbers, texts, Literals, tuples, lists, dicts and dataclasses.
        values: its fields, a mapping.
        where: what an error calls the whole.
        complete: fields with a default must be there, too.

    Raises:
        BadRecipe: a field does not exist, is missing, or has a value of another type.
    """
    built: T = _Reader(where, complete).dataclass(cls, values, "")
    return built


@dataclass(frozen=True)
class _Reader:
    """Turns plain values into what the fields of a dataclass say they are."""

    where: str
    complete: bool

    def dataclass(self, cls: Any, values: Any, name: str) -> Any:
        if not isinstance(values, Mapping):
            raise self._misfit(values, "fields", name)
        known = {one.name: one for one in fields(cls)}
        for key in values:
            if key not in known:
                raise BadRecipe(
                    self.where,
                    f"there is no field {_dotted(name, key)}",
                    "docs/recipes.md lists them all",
                )
        for one in known.values():
            needed = one.default is MISSING and one.default_factory is MISSING
            if (needed or self.complete) and one.name not in values:
                raise BadRecipe(self.where, f"{_dotted(name, one.name)} is missing", "add it")
        return cls(
            **{
                key: self.value(known[key].type, value, _dotted(name, key))
                for key, value in values.items()
            }
        )

    def value(self, kind: Any, value: Any, name: str) -> Any:
        kind = Member if kind == "Member" else kind  # named before it is there
        if is_dataclass(kind):
            return self.dataclass(kind, value, name)
        outer, inner = get_origin(kind), get_args(kind)
        if outer is UnionType:  # T | None
            return None if value is None else self.value(inner[0], value, name)
        if outer is Literal:
            if isinstance(value, str) and value in inner:
                return value
            raise self._misfit(value, f"one of {', '.join(inner)}", name)
        if outer in (tuple, list):
            many = outer is list or inner[1:] == (...,)
            kinds = inner[:1] * len(value) if many and _is_list(value) else () if many else inner
            if not _is_list(value) or len(value) != len(kinds):
                raise self._misfit(value, f"a list of {len(inner)}" if kinds else "a list", name)
            return outer(
                self.value(one, part, name) for one, part in zip(kinds, value, strict=True)
            )
        if outer is dict:
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                each = "weights" if inner[1] is float else "values"
                raise self._misfit(value, f"names and their {each}", name)
            return {
                key: self.value(inner[1], part, _dotted(name, key)) for key, part in value.items()
            }
        return self._plain(kind, value, name)

    def _plain(self, kind: Any, value: Any, name: str) -> Any:
        if kind is Any and isinstance(value, _ANYTHING):
            return value
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) < _LARGEST:  # NaN is not
                return float(value)
        elif type(value) is kind and (kind is not int or abs(value) < _LARGEST):
            return value
        raise self._misfit(value, _WORDS.get(kind, "a number or text"), name)

    def _misfit(self, value: object, wanted: str, name: str) -> BadRecipe:
        there = f"{name} is" if name else "is"
        try:
            shown = repr(value)
        except (ValueError, RecursionError):  # a number of over 4300 digits
            shown = f"a {type(value).__name__} too long to show"
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return BadRecipe(
            self.where, f"{there} {shown}, and {wanted} belongs there", "see docs/recipes.md"
        )


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _dotted(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _read_yaml(name_or_path: str | Path) -> dict[str, Any]:
    name = str(name_or_path)
    if name in preset_names():
        text = preset_path(name).read_text("utf-8")
    else:
        try:
            with Path(name_or_path).open(encoding="utf-8") as file:
                text = file.read(plainyaml.MOST_TEXT + 1)
        except FileNotFoundError:
            raise BadRecipe(
                name,
                "is neither a preset nor a file",
                f"presets: {', '.join(preset_names())}; a file ends in .yaml",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadRecipe(name, f"cannot be read ({error})", "give a YAML text file") from error
    try:
        values = plainyaml.parse(text)
    except ValueError as error:
        raise BadRecipe(name, f"is not YAML ({error})", "see docs/recipes.md") from error
    if not isinstance(values, dict):
        raise BadRecipe(name, "holds no fields", "see docs/recipes.md for what a recipe names")
    return values


def _refuse(name: str, value: object, remedy: str) -> None:
    raise BadRecipe(name, f"is {value}", remedy)


def _probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        _refuse(name, value, "give a probability from 0 to 1")


def _at_least(name: str, value: int, least: int) -> None:
    if not least <= value <= 10**9:
        _refuse(name, value, f"give {least} or more")


def _range(name: str, value: tuple[float, float], least: float, most: float) -> None:
    low, high = value
    if not least <= low <= high <= most:
        _refuse(name, list(value), f"give [low, high] with {least} <= low <= high <= {most}")


def _weights(name: str, value: dict[str, float], known: set[str]) -> None:
    unknown = set(value) - known
    if unknown:
        _refuse(name, ", ".join(sorted(unknown)), f"choose among {', '.join(sorted(known))}")
    if not (all(0 <= weight < 1e9 for weight in value.values()) and sum(value.values()) > 0):
        _refuse(name, value, "give weights of 0 or more, at least one above 0")


def _options(
    name: str, told: dict[str, dict[str, list[Any]]], kind: str, used: Iterable[str]
) -> None:
    for operation, options in told.items():
        if operation not in used:
            _refuse(name, f"for {operation!r}", f"choose among {', '.join(sorted(used))}")
        known = NAMED[kind][operation].options
        for option, drawn in options.items():
            where = f"{name}.{operation}.{option}"
            if option not in known:
                there = ", ".join(sorted(known)) or "none"
                _refuse(where, "no option", f"the options of {operation} are: {there}")
            fault = known[option].fault(drawn)
            if fault is not None:
                _refuse(where, drawn, fault)
