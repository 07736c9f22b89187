"""Faces as binary detectors look at them: cut by the detected box, real and forged apart."""

from typing import Literal

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float, Integer, UInt8

from faceblend.bank import FaceBank
from faceblend.errors import BadBank, at_least
from faceblend.face import Image
from xray_train.augment.frames import change_frame, draw_frame_change
from xray_train.sources.faces import TOLD, of_split
from xray_train.sources.source import Item, Source, as_picture, as_tensor, positive, without_xray

Label = Literal["both", "real", "fake"]
"""Which faces of a bank."""

FaceCut = Literal["scale", "tight"]
"""How a face is cut out; see :func:`cut_face`."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in px of a crop; pixel centres at integers, so edges at halves."""


class Frames(Source):
    """The faces of a bank, cut by their boxes and resized: to train and to test on.

    Reals and forgeries that alternate one to one are two sources, ``real`` and ``fake`` with a
    part each; the shorter is begun again. They have no X-ray.

    Args:
        bank: folder of the bank, as ``faceblend extract`` writes it.
        split: one split of it only; ``all`` for every face.
        label: ``real`` or ``fake`` ones only, or ``both``.
        face: ``scale``, the square of the box's longer side; ``tight``, the box itself, padded.
        size: side of the pictures, px.
        limit: a fixed random sample of so many faces, of ``both`` half of each class as far as
            there are so many; 0 takes all.
        seed: of that sample.
        parts: of the mix.
        augment: training changes them at random, by :mod:`xray_train.augment.frames`; validation
            never does.

    Raises:
        BadArgument: a number is out of range.
        BadBank: it has no such face, or one without a box inside its crop.
    """

    labels: Integer[np.ndarray, " items"]
    """1 forged, 0 real; of each item."""

    def __init__(
        self,
        bank: str,
        split: str = "all",
        label: Label = "both",
        face: FaceCut = "scale",
        size: int = 224,
        limit: int = 0,
        seed: int = 0,
        parts: int = 1,
        augment: bool = False,
    ) -> None:
        at_least(1, size=size)
        at_least(0, limit=limit)
        self.parts, self.augment = positive(parts), augment
        self._bank, self._face, self._size = FaceBank.open(bank), face, size
        labels = self._bank.table["label"].to_numpy()
        wanted = of_split(self._bank, split)
        if label != "both":
            wanted &= labels == int(label == "fake")
        rows = np.flatnonzero(wanted)
        if not len(rows):
            raise BadBank(
                bank,
                f"holds no face of the split {split!r} that is {label}",
                "give another split or label",
            )
        self._rows = _sample(rows, labels[rows], limit, seed)
        self.labels = labels[self._rows].astype(np.int64)
        self._boxes = boxes_in_crops(self._bank, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, number: int) -> Item:
        """The ``number``-th face, (3, size, size).

        Raises:
            BadImage: its crop is missing or damaged; nothing takes its place.
        """
        return self.named(number)[0]

    def named(self, number: int) -> tuple[Item, str]:
        """The same, with its video."""
        face = self._bank[int(self._rows[number])]
        left, top, right, bottom = self._boxes[number].tolist()
        image = cut_face(face.image, (left, top, right, bottom), self._face, self._size)
        return without_xray(image, face.label), face.video

    def changed(self, item: Item, rng: np.random.Generator) -> Item:
        """A face as training sees it: by :mod:`xray_train.augment.frames`."""
        return {**item, "image": changed_picture(item["image"], rng)}

    def table(self) -> pa.Table:
        """A row for every item, in order: where it is from."""
        return self._bank.table.select(TOLD).take(pa.array(self._rows))

    def shuffled(self) -> bool:
        """Yes."""
        return True

    def classes(self) -> set[int]:
        """As its faces are labelled."""
        return set(self.labels.tolist())


def changed_picture(
    image: UInt8[torch.Tensor, "3 height width"], rng: np.random.Generator
) -> UInt8[torch.Tensor, "3 height width"]:
    """A picture with one draw of :mod:`xray_train.augment.frames`."""
    return as_tensor(change_frame(as_picture(image), draw_frame_change(rng)))


def cut_face(crop: Image, box: Box, face: FaceCut, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Cut a face out of its crop and resize it once, by area when it shrinks, else cubic.

    Args:
        crop: (H, W, 3) uint8 RGB.
        box: of the face, inside the crop.
        face: ``scale``, the square around the box's middle whose side is the box's longer one,
            shifted or shrunk where it would leave the crop; ``tight``, the box itself, its longer
            side brought to ``size``, in the middle of black.
        size: side of what comes out, px.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    height, width = crop.shape[:2]
    # whole pixels, half-open
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    if face == "scale":
        side = min(max(right - left, bottom - top), width, height)
        left = min(max((left + right - side) // 2, 0), width - side)
        top = min(max((top + bottom - side) // 2, 0), height - side)
        return _resized(crop[top : top + side, left : left + side], size, size)
    part = crop[top:bottom, left:right]
    scale = size / max(part.shape[:2])
    rows, columns = (max(1, round(length * scale)) for length in part.shape[:2])
    framed = np.zeros((size, size, 3), np.uint8)
    y, x = (size - rows) // 2, (size - columns) // 2
    framed[y : y + rows, x : x + columns] = _resized(part, rows, columns)
    return framed


def boxes_in_crops(
    bank: FaceBank, rows: Integer[np.ndarray, " faces"]
) -> Float[np.ndarray, "faces 4"]:
    """Detected boxes in pixels of the crops, cut off at the crops' borders.

    A box that is turned on its way into an aligned crop becomes the upright one around it.

    Args:
        bank: whose rows have ``box``, px of the source, and ``crop_to_frame``.
        rows: of the bank.

    Returns:
        Left, top, right, bottom of each, float64.

    Raises:
        BadBank: a row has no box, or one that does not meet its crop.
    """
    columns = bank.table.select(["box", "crop_to_frame", "crop"]).take(pa.array(rows))
    there = pc.and_(columns["box"].is_valid(), columns["crop_to_frame"].is_valid())
    lost = np.flatnonzero(~there.to_numpy())
    if len(lost):
        raise BadBank(
            bank.root,
            f"does not know the box of {len(lost)} of {len(rows)} faces "
            f"({columns['crop'][int(lost[0])].as_py()})",
            "extract it with faceblend extract, which keeps boxes",
        )
    boxes, maps = (
        columns[name].combine_chunks().flatten().to_numpy().astype(np.float64).reshape(shape)
        for name, shape in (("box", (-1, 4)), ("crop_to_frame", (-1, 2, 3)))
    )
    flat = np.flatnonzero(~(np.abs(np.linalg.det(maps[..., :2])) > 1e-9))
    if len(flat):
        raise BadBank(
            bank.root / columns["crop"][int(flat[0])].as_py(),
            "has a crop_to_frame that maps its crop to a line",
            "extract this face again, or leave it out",
        )
    inside = into_crops(boxes, maps, bank.crop_size)
    empty = np.flatnonzero(~(inside[:, 2:] - inside[:, :2] > 0).all(1))
    if len(empty):
        raise BadBank(
            bank.root / columns["crop"][int(empty[0])].as_py(),
            "has its face's box outside of the crop",
            "extract this face again, or leave it out",
        )
    return inside


def into_crops(
    boxes: Float[np.ndarray, "faces 4"], maps: Float[np.ndarray, "faces 2 3"], size: int
) -> Float[np.ndarray, "faces 4"]:
    """Boxes in pixels of frames, in pixels of their crops and cut off at the crops' borders.

    Args:
        boxes: left, top, right, bottom.
        maps: ``crop_to_frame``, invertible.
        size: side of the crops, px.

    Returns:
        The same order; a box that does not meet its crop has no width or no height.
    """
    corners = boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
    moved = (corners - maps[:, None, :, 2])[..., None]
    inside = (np.linalg.inv(maps[:, None, :, :2]) @ moved)[..., 0]
    edges = -0.5, size - 0.5
    return np.column_stack([np.clip(inside.min(1), *edges), np.clip(inside.max(1), *edges)])


def _sample(rows: np.ndarray, labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    if not limit or limit >= len(rows):
        return rows
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    shuffled = rng.permutation(len(rows))
    forged = shuffled[labels[shuffled] == 1]
    real = shuffled[labels[shuffled] == 0]
    forgeries = min(len(forged), max(limit // 2, limit - len(real)))
    chosen = np.concatenate([forged[:forgeries], real[: limit - forgeries]])
    return np.asarray(rows[np.sort(chosen)])


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(round(low + 0.5), 0), length - 1)
    return first, min(max(round(high + 0.5), first + 1), length)


def _resized(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    shrinks = rows * columns < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=how))
