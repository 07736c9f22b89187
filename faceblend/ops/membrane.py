"""Stretch a membrane over a region: the smoothest values that meet those around it."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32

Field = Float32[np.ndarray, "height width 3"]

_NEAR = 0.01  # levels; a step that changes no value by more is the last
_STEPS = 30  # eight do for a face; a maze may take more
_SMALLEST = 4  # px; no coarser grid pays
_LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_DAMPED = 0.8  # of a Jacobi step: what damps the fine errors most
_RELAX = np.eye(3)[1][:, None] * np.eye(3)[1] + _DAMPED / 4 * _LAPLACE


def membrane(values: Field, inside: Bool[np.ndarray, "height width"]) -> Field:
    """Replace what is inside by the solution of Laplace's equation.

    In each pixel inside, four times its value is the sum of its four neighbours' (Perez et al.,
    *Poisson image editing*, SIGGRAPH 2003, equation 7 without guidance). Solved by conjugate
    gradients with a multigrid cycle before each step (Briggs et al., *A Multigrid Tutorial*,
    2000; Notay, *Flexible conjugate gradients*, SISC 2000), to about 0.01 levels.

    Args:
        values: (H, W, 3) float32; only those outside count.
        inside: (H, W) bool, False along the array's border.

    Returns:
        (H, W, 3) float32; outside as it was.

    Raises:
        ValueError: the region reaches the array's border, beyond which nothing is known.
    """
    if inside[[0, -1]].any() or inside[:, [0, -1]].any():
        raise ValueError("the region reaches the border of the array, beyond which no value is")
    height, width = inside.shape
    halvings = max(0, int(np.ceil(np.log2(min(height, width) / _SMALLEST))))
    rows, columns = -height % (1 << halvings), -width % (1 << halvings)
    kept = cv2.copyMakeBorder(
        cv2.cvtColor(inside.astype(np.float32), cv2.COLOR_GRAY2RGB),
        0, rows, 0, columns, cv2.BORDER_CONSTANT,
    )  # fmt: skip
    solved = np.zeros_like(kept)
    solved[:height, :width][~inside] = values[~inside]
    grids = [kept]
    for _ in range(halvings):
        # a coarse pixel is inside where all four are: one that is not would overshoot
        grids.append(np.floor(_halved(grids[-1])))
    left = _filtered(solved, _LAPLACE, kept)
    way, before, wanted = np.zeros_like(kept), left, 1.0
    for _ in range(_STEPS):
        step = _cycle(left, grids)
        if cv2.norm(step, cv2.NORM_INF) < _NEAR:
            break
        way = step + np.float32(_dot(step, left - before) / wanted) * way
        wanted = _dot(step, left)
        pulled = _filtered(way, -_LAPLACE, kept)
        size = np.float32(wanted / _dot(way, pulled))
        solved += size * way
        before, left = left, left - size * pulled
    return np.asarray(solved[:height, :width])


def _cycle(left: Field, grids: list[Float32[np.ndarray, "_ _ 3"]]) -> Field:
    """About what is missing where ``left`` is left over, from this grid and all coarser ones."""
    kept, push = grids[0], left * np.float32(_DAMPED / 4)
    if len(grids) == 1:
        return _relaxed(push, push, kept, 15)
    missing = _relaxed(push, push, kept, 1)
    rest = cv2.multiply(cv2.add(_filtered(missing, _LAPLACE, kept), left), kept)
    # its pixels are twice as wide, so its Laplacian is a quarter
    coarse = _cycle(cv2.multiply(_halved(rest), grids[1], scale=4), grids[1:])
    size = kept.shape[1::-1]
    missing += cv2.multiply(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), kept)
    return _relaxed(missing, push, kept, 2)


def _relaxed(missing: Field, push: Field, kept: Field, times: int) -> Field:
    for _ in range(times):
        missing = cv2.add(cv2.filter2D(missing, -1, _RELAX, borderType=cv2.BORDER_CONSTANT), push)
        cv2.multiply(missing, kept, missing)
    return missing


def _filtered(field: Field, kernel: np.ndarray, kept: Field) -> Field:
    made = cv2.filter2D(field, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.multiply(made, kept, made))


def _halved(field: Field) -> Float32[np.ndarray, "half_height half_width 3"]:
    half = (field.shape[1] // 2, field.shape[0] // 2)
    return np.asarray(cv2.resize(field, half, interpolation=cv2.INTER_AREA))


def _dot(one: Field, other: Field) -> float:
    # not BLAS, which adds in another order with other threads
    return float(np.sum(one * other, dtype=np.float64))
