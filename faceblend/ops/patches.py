"""Drawn patches of the face as masks: cells of a grid, triangles between landmarks."""

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.random import Generator

from faceblend.face import Mask
from faceblend.ops.mask import Points, fill, hull

Triangles = Int64[np.ndarray, "triangles 3"]
"""Rows of the landmarks at each triangle's corners."""

_FAR = 100  # faces; Subdiv2D starts from corners, and near ones would cost edges of the hull


def grid(landmarks: Points, size: int, *, rows: int, columns: int, rng: Generator) -> Mask:
    """Cells of a grid over the face's upright box, each taken or left, cut by the hull.

    A cell is taken with probability one half. Where no taken cell holds a pixel of the hull,
    one that does is taken instead, each as likely: the mask is empty for a face outside the
    picture alone.

    Args:
        landmarks: (68, 2) or (81, 2) float32, px.
        size: side of the square mask, px.
        rows, columns: cells down and across, 1 or more.
        rng: where the cells are drawn from.

    Returns:
        (size, size) bool.
    """
    taken = rng.uniform(size=(rows, columns)) < 0.5
    instead = float(rng.uniform())  # drawn in any case: what follows stays where it is
    whole = hull(landmarks, size)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    along = np.arange(size, dtype=np.float64)
    across, down = (
        np.clip((along - low[axis]) * (cells / max(high[axis] - low[axis], 1e-6)), 0, cells - 1)
        for axis, cells in enumerate((columns, rows))
    )
    cell = down.astype(np.int64)[:, np.newaxis] * columns + across.astype(np.int64)
    met = np.flatnonzero(np.bincount(cell[whole], minlength=rows * columns))
    if len(met) and not taken.flat[met].any():
        taken.flat[met[int(instead * len(met))]] = True
    return np.asarray(whole & taken.ravel()[cell])


def mesh(landmarks: Points, size: int, *, share: float, rng: Generator) -> Mask:
    """Triangles between the landmarks, grown from one over its neighbours.

    The triangles are Delaunay's. The first is any, each as likely; then, of those that share an
    edge with one that is taken, always the one that was drawn the lowest number, until their
    area is ``share`` of the hull's. So the mask hangs together; it may have holes.

    Args:
        landmarks: (68, 2) or (81, 2) float32, px.
        size: side of the square mask, px.
        share: of the hull's area, more than 0 and up to 1; the last triangle goes beyond it.
        rng: where the order of the triangles is drawn from.

    Returns:
        (size, size) bool; points that span no triangle give their hull.
    """
    return fill(parts_of_mesh(landmarks, share, rng), size)


def parts_of_mesh(landmarks: Points, share: float, rng: Generator) -> list[Points]:
    """Points whose hulls :func:`mesh` unites; see there."""
    triangles = _delaunay(landmarks)
    numbers = rng.uniform(size=len(triangles))
    if len(triangles) == 0:
        return [landmarks]
    corners = landmarks[triangles]
    return [corners[one] for one in _grown(triangles, _areas(corners), numbers, share)]


def _delaunay(points: Points) -> Triangles:
    # every face is brought to 100 px: the rectangle around it takes whole numbers
    side = float(np.ptp(points, axis=0).max())
    if not 0 < side < np.inf:
        return np.zeros((0, 3), np.int64)
    placed = ((points - points.min(axis=0)) * np.float32(100 / side)).astype(np.float32)
    reach = 100 * _FAR
    plane = cv2.Subdiv2D((-reach, -reach, 2 * reach, 2 * reach))
    row = {}
    for number, point in enumerate(placed.tolist()):
        plane.insert(point)
        row[tuple(point)] = number
    made = np.asarray(plane.getTriangleList()).reshape(-1, 3, 2).tolist()
    found = sorted(sorted(row[tuple(corner)] for corner in triangle) for triangle in made)
    return np.array(found, np.int64).reshape(-1, 3)


def _areas(corners: Float32[np.ndarray, "triangles 3 2"]) -> Float64[np.ndarray, " triangles"]:
    first, second = (corners[:, one].astype(np.float64) - corners[:, 0] for one in (1, 2))
    return np.asarray(np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2)


def _grown(
    triangles: Triangles,
    areas: Float64[np.ndarray, " triangles"],
    numbers: Float64[np.ndarray, " triangles"],
    share: float,
) -> list[int]:
    """Triangles in the order in which they are taken."""
    beside: dict[tuple[int, int], list[int]] = {}
    for one, (a, b, c) in enumerate(triangles.tolist()):
        for edge in ((a, b), (a, c), (b, c)):
            beside.setdefault(edge, []).append(one)
    near: list[set[int]] = [set() for _ in areas]
    for sharing in beside.values():
        for one in sharing:
            near[one].update(sharing)
    order, size = numbers.tolist(), areas.tolist()
    wanted, reached = share * sum(size), 0.0
    taken: list[int] = []
    edge_of = {int(numbers.argmin())}
    while edge_of and (reached < wanted or not taken):
        one = min(edge_of, key=order.__getitem__)
        taken.append(one)
        reached += size[one]
        edge_of = (edge_of | near[one]).difference(taken)
    return taken
