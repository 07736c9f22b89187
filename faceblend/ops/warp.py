"""Where the foreground goes, and how a mask is bent: every displacement of the blend."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from faceblend.face import Image, Landmarks, Mask
from faceblend.ops.geometry import low_pass

Matrix = Float64[np.ndarray, "2 3"]
"""Takes ``(x, y, 1)`` of the one picture to ``(x, y)`` of the other."""

Points = Float32[np.ndarray, "points 2"]
"""``(x, y)`` in pixels."""

Field = Float32[np.ndarray, "2 height width"]
"""The x and the y that each output pixel is read from."""


def similarity(source: Points, target: Points) -> Matrix:
    """Turn, scale and shift that bring ``source`` closest to ``target``.

    Least squares without reflection, in closed form (Umeyama, *Least-squares estimation of
    transformation parameters between two point patterns*, TPAMI 1991), with points as
    complex numbers: the best ``a`` in ``z' = a z + b`` is a quotient of two inner products.

    Returns:
        (2, 3) float64: ``(x, y, 1)`` of the source picture to ``(x, y)`` of the target's.

    Raises:
        ValueError: all source points coincide.
    """
    start = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    end = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    around = start - start.mean()
    spread = np.vdot(around, around).real
    if spread <= 0:
        raise ValueError("all source points coincide, so no scale fits them")
    turn = np.vdot(around, end - end.mean()) / spread
    shift = end.mean() - turn * start.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64
    )


def affine(source: Landmarks, target: Landmarks) -> Matrix:
    """The affine map that brings ``source`` closest to ``target``, by least squares.

    Raises:
        ValueError: the source points lie on one line.
    """
    design = np.column_stack([source.astype(np.float64), np.ones(len(source))])
    solution, _, rank, _ = np.linalg.lstsq(design, target.astype(np.float64), rcond=None)
    if rank < 3:
        raise ValueError("the source points lie on one line, so no affine map fits them")
    return np.ascontiguousarray(solution.T)


def scaling(old: int, new: int) -> Matrix:
    """The map of a resize from ``old`` to ``new`` px, pixel centres at integers."""
    factor = new / old
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift]], np.float64)


def then(first: Matrix, second: Matrix) -> Matrix:
    """One map that does ``first`` and then ``second``."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))


def place(
    image: Image, matrix: Matrix, box: tuple[slice, slice]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resample a picture once, under ``matrix``, into a box of the target picture.

    Bilinear, low-passed first by as much as the matrix shrinks; beyond its border the
    picture is mirrored.

    Args:
        image: (H, W, 3) uint8 RGB.
        matrix: from pixels of ``image`` to pixels of the target.
        box: rows and columns of the target that are wanted.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    rows, columns = box
    moved = matrix - np.array([[0, 0, columns.start], [0, 0, rows.start]])
    shrink = 1 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return np.asarray(
        cv2.warpAffine(
            low_pass(image, shrink) if shrink > 1 else image,
            moved,
            (columns.stop - columns.start, rows.stop - rows.start),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    )


def piecewise(offsets: Float32[np.ndarray, "rows columns 2"], size: int) -> Field:
    """Displacement field of a piecewise-affine map of a square picture.

    Control points stand on a regular grid over the picture, the corners included. Every
    cell is cut along its falling diagonal, and the field is linear in each triangle.

    Args:
        offsets: (rows, columns, 2) float32 ``(dx, dy)`` of every control point, as a share
            of the picture's side; at least two rows and two columns.
        size: the picture's side, px.

    Returns:
        (2, size, size) float32: the x and the y that each output pixel is read from.
    """
    rows, columns = offsets.shape[:2]
    across, along_u, in_column = _axis(columns, size)
    down, along_v, in_row = _axis(rows, size)
    grid = np.meshgrid(np.linspace(0, size - 1, columns), np.linspace(0, size - 1, rows))
    points = (np.stack(grid) + np.moveaxis(offsets, -1, 0) * size).astype(np.float32)
    # in a cell with corners P, the linear triangles are the bilinear patch plus
    # (P00 + P11 - P01 - P10) * (min(u, v) - u * v): small matrix products, no gathering
    twist = points[:, :-1, :-1] + points[:, 1:, 1:] - points[:, :-1, 1:] - points[:, 1:, :-1]
    fold = np.minimum.outer(along_v, along_u)
    fold -= np.outer(along_v, along_u)
    field = in_row @ twist @ in_column.T
    field *= fold
    field += down @ points @ across.T
    return np.asarray(field)


def bend(mask: Mask, field: Field) -> Mask:
    """Read a mask through a displacement field; beyond the picture it is empty.

    The mask is interpolated and cut at one half, so its edge stays smooth.

    Args:
        mask: (H, W) bool.
        field: (2, H, W) float32, see :func:`piecewise`.
    """
    level = mask.view(np.uint8) * np.uint8(255)
    moved = cv2.remap(level, field[0], field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved) >= 128


@lru_cache(maxsize=256)  # a recipe draws some sizes and few grids, again and again
def _axis(points: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # per pixel: the weights of the control points, the way along its cell, the cell it is in
    along = np.linspace(0, points - 1, size, dtype=np.float32)
    cell = np.minimum(along.astype(np.intp), points - 2)
    part = along - cell.astype(np.float32)
    pixel = np.arange(size)
    weights = np.zeros((size, points), np.float32)
    weights[pixel, cell] = 1 - part
    weights[pixel, cell + 1] = part
    member = np.zeros((size, points - 1), np.float32)
    member[pixel, cell] = 1
    for one in (weights, part, member):
        one.flags.writeable = False  # every caller gets the same
    return weights, part, member
