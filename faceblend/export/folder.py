"""Samples as the classic folders ``true/ fake/ mask/`` of numbered PNGs, with their records."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from faceblend import atomic
from faceblend.sample import Sample
from faceblend.store.folder import picture_paths
from faceblend.store.manifest import Written


def write_folder_shard(
    out: str | os.PathLike[str], name: str, samples: Iterable[Sample]
) -> Written:
    """Write samples as PNGs, and their records when all pictures are in place.

    ``true/00000012.png`` or ``fake/00000012.png`` is the image of sample 12, RGB, and
    ``mask/00000012.png`` its X-ray in grey, ``round(255 * B)``: all black for a real one.
    Every file is written whole or not at all; only one sample at a time is in memory.

    Args:
        out: folder of the set.
        name: the records' file in it, ``records/00000.jsonl``: one record a line.
        samples: in ascending order of their index. A :class:`~faceblend.store.BlendSet`
            serves as well.

    Returns:
        What was written, with the digest of all files' bytes one after the other: image
        and X-ray of each sample, then the records.
    """
    root = Path(out)
    digest, size, fakes, records = hashlib.sha256(), 0, 0, []
    for sample in samples:
        pictures = (cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), sample.xray_u8)
        paths = picture_paths(root, sample.index, sample.label)
        for path, picture in zip(paths, pictures, strict=True):
            data = _png(picture)
            atomic.write_bytes(path, data)
            digest.update(data)
            size += len(data)
        fakes += sample.label
        records.append(sample.record)
    lines = "".join(record + "\n" for record in records).encode()
    atomic.write_bytes(root / name, lines)
    digest.update(lines)
    return Written(
        stored=len(records), fakes=fakes, sha256=digest.hexdigest(), bytes=size + len(lines)
    )


def _png(picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {picture.shape} as PNG")
    return data.tobytes()
