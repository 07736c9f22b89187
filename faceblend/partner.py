"""Who lends the foreground: exclusions and nearest landmarks; deterministic.

The distance of two faces is the sum over 68 landmarks of the Euclidean distances, in
pixels of their crops, as in the Face X-ray reproductions. Ties go to the lower row.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped

from faceblend.bank import FaceBank
from faceblend.errors import BadBank
from faceblend.face import Landmarks

Rows = Int[np.ndarray, " faces"]

_BLOCK = 16_384  # faces a block: 18 MB of differences, whatever the bank's size


def distances(
    landmarks: Landmarks, candidates: Float32[np.ndarray, "faces 68 2"]
) -> Float32[np.ndarray, " faces"]:
    """Sum over the 68 points of the Euclidean distance to each candidate, px."""
    apart = candidates - landmarks
    apart *= apart
    return np.asarray(np.sqrt(apart[..., 0] + apart[..., 1]).sum(axis=1))


def eligible(bank: FaceBank, row: int, candidates: Rows) -> Bool[np.ndarray, " faces"]:
    """Which candidates may lend their face to the background ``row``.

    Those of another video and, where the bank knows, of another person and the same split:
    a foreground from the test videos would carry them into training.
    """
    fits = bank.videos[candidates] != bank.videos[row]
    fits &= bank.splits[candidates] == bank.splits[row]
    if bank.subjects[row] >= 0:
        fits &= bank.subjects[candidates] != bank.subjects[row]
    return np.asarray(fits)


def nearest(bank: FaceBank, row: int, candidates: Rows, top: int = 1) -> Int[np.ndarray, " found"]:
    """The candidates whose landmarks are nearest to the background's.

    Args:
        bank: the faces.
        row: the background.
        candidates: rows to choose among; repeated rows count once.
        top: how many are wanted.

    Returns:
        Up to ``top`` distinct rows, nearest first; fewer where fewer are eligible, none
        where no candidate is.
    """
    candidates = np.unique(candidates)
    candidates = candidates[eligible(bank, row, candidates)]
    apart = np.empty(len(candidates), np.float32)
    for start in range(0, len(candidates), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart[block] = distances(bank.landmarks[row], bank.landmarks[candidates[block]])
    # stable, and candidates ascend: a tie goes to the lower row
    return np.asarray(candidates[_smallest(apart, top)])


def check(bank: FaceBank) -> None:
    """Refuse a bank in which nobody could lend a face to anybody.

    Raises:
        BadBank: there is no real face, or all real faces of one split come from one video
            or show one person.
    """
    if not len(bank.reals):
        raise BadBank(bank.root, "holds no real face", "blends are made of real faces: add some")
    for split in np.unique(bank.splits[bank.reals]):
        rows = bank.reals[bank.splits[bank.reals] == split]
        videos, subjects = bank.videos[rows], bank.subjects[rows]
        first = int(rows[0])
        where = bank.root if split < 0 else f"{bank.root}, split {_cell(bank, 'split', first)!r}"
        if len(np.unique(videos)) < 2:
            raise BadBank(
                where,
                f"all {len(rows)} real faces are of one video ({_cell(bank, 'video', first)!r})",
                "a partner needs a second video: add one, or "
                + ("extract with --group file" if split < 0 else "extract the others by --split"),
            )
        if subjects.min() >= 0 and len(np.unique(subjects)) < 2:
            raise BadBank(
                where,
                f"all {len(rows)} real faces show one person",
                "a partner must be somebody else: add a second person",
            )


def _smallest(values: Shaped[np.ndarray, " faces"], count: int) -> np.ndarray:
    if count < len(values):
        # everything up to the count-th smallest value, so that ties are kept
        limit = np.partition(values, count - 1)[count - 1]
        near = np.flatnonzero(values <= limit)
    else:
        near = np.arange(len(values))
    return near[np.argsort(values[near], kind="stable")][:count]


def _cell(bank: FaceBank, column: str, row: int) -> str:
    return str(bank.table[column][row].as_py())
