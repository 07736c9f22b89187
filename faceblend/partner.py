"""Who lends the foreground: exclusions and nearest landmarks; deterministic.

The distance of two faces is the sum over 68 landmarks of the Euclidean distances, in
pixels of their crops, as in the Face X-ray reproductions. Ties go to the lower row.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Int

from faceblend import search
from faceblend.bank import FaceBank
from faceblend.errors import BadBank

Rows = Int[np.ndarray, " faces"]

_NOBODY = np.empty((16, 0), np.float32)


def eligible(bank: FaceBank, row: int, candidates: Rows) -> Bool[np.ndarray, " faces"]:
    """Which candidates may lend their face to the background ``row``.

    Those of another video and, where the bank knows, of another person and the same split:
    a foreground from the test videos would carry them into training.
    """
    fits = bank.videos.take(candidates) != bank.videos[row]
    fits &= bank.splits.take(candidates) == bank.splits[row]
    if bank.subjects[row] >= 0:
        fits &= bank.subjects.take(candidates) != bank.subjects[row]
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
    candidates = candidates[eligible(bank, row, candidates)]
    near = cv2.transpose(bank.sums.take(candidates, axis=0)) if len(candidates) else _NOBODY
    bound = search.bounds(bank.sums[row], near)
    return search.nearest_of(bank.landmarks[row], bank.landmarks, candidates, bound, top)[0]


def nearest_of_all(bank: FaceBank, row: int, top: int = 1) -> Int[np.ndarray, " found"]:
    """:func:`nearest` of every real face, looked up or by the bank's index; see ``search``."""
    kept = bank.neighbours
    if kept is not None and top <= kept.shape[1] and bank.table["label"][row].as_py() == 0:
        return np.asarray(kept[row][kept[row] >= 0][:top], np.int64)
    index = bank.index(int(bank.splits[row]))
    if index is None:
        return np.empty(0, np.int64)

    def may(rows: Rows) -> Bool[np.ndarray, " faces"]:
        return eligible(bank, row, rows)

    return index.nearest(bank.landmarks[row], may, top)[0]


def arrange(bank: FaceBank) -> None:
    """Make what :func:`nearest_of_all` needs, so that each worker need not make its own.

    Does nothing where the bank keeps no copies, or keeps the neighbours themselves.
    """
    if bank.neighbours_path(1) is None or bank.neighbours is not None:
        return
    for split in np.unique(bank.splits[bank.reals]):
        bank.index(int(split))


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


def _cell(bank: FaceBank, column: str, row: int) -> str:
    return str(bank.table[column][row].as_py())
