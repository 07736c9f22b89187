"""Who is who in a bank without labels: faces grouped into people, and people who cross splits.

Embeddings are compared by their cosine. Groups are merged by average linkage while the mean
similarity of their faces is over a threshold; a face that is like no other is a person alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64

from faceblend import atomic, jobs
from faceblend.bank import FaceBank, FaceRow
from faceblend.errors import BadArgument
from xray_train.sources.labelled import square
from xray_train.sources.people import face_picture
from xray_train.sources.source import as_tensor
from xray_train.tasks.identity import Identity

Vectors = Float[np.ndarray, "faces numbers"]

MOST = 20_000
"""Faces that are grouped at once: their similarities take 1.6 GB."""

DLIB_SAME = 0.9
"""Mean cosine of dlib's descriptors that counts as one person, if nothing else is said: a little
under what its author's distance of 0.6 is between descriptors of their usual length, 1.45."""

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Two faces of different splits that look like one person."""

    first: str
    """crop"""
    first_split: str
    second: str
    """crop"""
    second_split: str
    similarity: float
    """cosine"""


def embed_bank(
    task: Identity,
    bank: FaceBank,
    *,
    size: int,
    align: Literal["none", "dlib"],
    device: torch.device,
) -> Vectors:
    """(faces, E) float32 of length 1, of every face of a bank in its order.

    Args:
        task: what embeds.
        bank: the faces, real and forged.
        size: px; as the task was trained with.
        align: as the task was trained with; see :class:`~xray_train.sources.BankPeople`.
        device: where to.

    Raises:
        BadImage: a crop cannot be read.
        MissingModel: ``align`` is ``dlib``, which is not there.
    """
    task.to(device).eval()
    found = list[np.ndarray]()
    with jobs.progress("embed", total=len(bank), unit="faces") as report:
        for start in range(0, len(bank), _BATCH):
            rows = range(start, min(start + _BATCH, len(bank)))
            images = [square(face_picture(bank, row, size, align), size) for row in rows]
            batch = torch.stack([as_tensor(one) for one in images])
            found.append(task.embed(batch.to(device)).float().cpu().numpy())
            report.advance(len(rows))
    return np.concatenate(found)


def group(vectors: Vectors, same: float) -> Int64[np.ndarray, " faces"]:
    """Number each face's person, from 0 in the order of first appearance; every face gets one.

    Args:
        vectors: (faces, E) of length 1.
        same: mean cosine between two groups, at or over which they are one person.

    Raises:
        BadArgument: there are more than ``MOST`` faces, or ``same`` is no cosine.

    Example:
        >>> group(np.array([[1.0, 0.0], [0.0, 1.0], [0.99, 0.14]]), 0.9).tolist()
        [0, 1, 0]
    """
    if not -1 <= same <= 1:
        raise BadArgument("same", f"is {same:g}", "give a cosine, -1 to 1")
    if len(vectors) > MOST:
        raise BadArgument(
            "the bank", f"holds {len(vectors):,} faces", f"group up to {MOST:,}: split it before"
        )
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distances = np.clip(1 - vectors @ vectors.T, 0, 2).astype(np.float64)
    np.fill_diagonal(distances, 0)
    merged = linkage(squareform((distances + distances.T) / 2, checks=False), "average")
    numbers = fcluster(merged, 1 - same + 1e-9, "distance")
    _, first, place = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[place], np.int64)


def names(people: Int64[np.ndarray, " faces"]) -> list[str]:
    """``person-00000`` and so on, of each face."""
    return [f"person-{one:05d}" for one in people.tolist()]


def write_subjects(bank: FaceBank, people: list[str], path: Path) -> None:
    """Write ``crop,subject`` as CSV, a line a face."""
    rows = [(bank.crop(row), name) for row, name in enumerate(people)]
    atomic.write_csv(path, ("crop", "subject"), rows)


def with_subjects(bank: FaceBank, people: list[str], out: Path) -> FaceBank:
    """The same faces as a new bank whose column ``subject`` is filled; crops are copied.

    Args:
        bank: the faces.
        people: name of each face's person.
        out: folder of the new bank; not there yet, or empty.

    Raises:
        BadArgument: ``out`` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadArgument(out, "is not empty", "give a new folder")
    rows = list[FaceRow]()
    for row, name in enumerate(people):
        values = bank.table.slice(row, 1).to_pylist()[0]
        points = bank.landmarks[row].ravel().tolist()
        rows.append(FaceRow(**{**values, "subject": name, "landmarks": points}))
        atomic.write_bytes(out / values["crop"], bank.crop_path(row).read_bytes())
    made_by = {"subjects": "xray-train subjects", "of": bank.fingerprint}
    return FaceBank.create(out, rows, crop_size=bank.crop_size, made_by=made_by)


def leaks(bank: FaceBank, vectors: Vectors, same: float) -> list[Leak]:
    """Faces of different splits that look like one person, the likest first.

    Of each pair of videos the likest two faces alone are told. Two splits may share nobody: the
    network would be tested on people that it knows.

    Args:
        bank: the faces; those of no split are left out.
        vectors: (faces, E) of length 1, in the bank's order.
        same: cosine at or over which two faces are one person.
    """
    splits, videos = (bank.table[name].to_pylist() for name in ("split", "video"))
    best: dict[tuple[str, str, str, str], Leak] = {}
    known = np.flatnonzero(bank.table["split"].is_valid().to_numpy())
    kept, part = vectors[known], bank.splits[known]
    for place, row in enumerate(known.tolist()):
        alike = kept[place + 1 :] @ kept[place]
        found = np.flatnonzero((alike >= same) & (part[place + 1 :] != part[place]))
        for other, cosine in zip(known[place + 1 + found].tolist(), alike[found], strict=True):
            key = (splits[row], videos[row], splits[other], videos[other])
            if key not in best or cosine > best[key].similarity:
                best[key] = Leak(
                    first=bank.crop(row),
                    first_split=splits[row],
                    second=bank.crop(int(other)),
                    second_split=splits[other],
                    similarity=float(cosine),
                )
    return sorted(best.values(), key=lambda one: (-one.similarity, one.first, one.second))


def write_leaks(found: list[Leak], path: Path) -> None:
    """Write leaks as CSV: ``first,first_split,second,second_split,similarity``."""
    head = ("first", "first_split", "second", "second_split", "similarity")
    rows = [
        (one.first, one.first_split, one.second, one.second_split, f"{one.similarity:.4f}")
        for one in found
    ]
    atomic.write_csv(path, head, rows)
