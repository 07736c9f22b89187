"""Samples as WebDataset tars: https://github.com/webdataset/webdataset.

The members of a sample follow each other and share what stands before their first dot, the key.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from faceblend import atomic, codec
from faceblend.errors import BadShard
from faceblend.face import Landmarks
from faceblend.sample import Sample
from faceblend.store.manifest import Written
from faceblend.store.shard import file_digest

Picture = Literal["png", "jpg"]
"""How images are coded: ``png`` is lossless; ``jpg`` is quality 95 in 4:4:4."""


def write_tar(path: Path, samples: Iterable[Sample], *, image: Picture = "png") -> Written:
    """Write samples as one tar; only one of them at a time is in memory.

    ==================  ==================================================================
    KEY.image.png       RGB; ``KEY.image.jpg`` where ``image`` says so
    KEY.xray.png        grey, ``round(255 * B)``
    KEY.cls             ``1`` blended, ``0`` real, as text
    KEY.json            ``index``, ``label``, ``landmarks`` (68 of ``[x, y]``, px of the
                        image) and ``record``
    KEY.alpha.npy       (H, W) float32, where the set keeps it
    ==================  ==================================================================

    KEY is the sample's number in eight digits or more. The same samples give the same bytes: no
    time, no owner, one order.

    Args:
        path: the tar; it appears when everything is in it and on the disk.
        samples: in the order in which they are to be read.
        image: ``png`` or ``jpg``.

    Raises:
        BadShard: the record of a sample is no JSON.
    """
    stored = fakes = 0
    with atomic.replacing(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                stored, fakes = stored + 1, fakes + sample.label
                for name, data in _members(sample, image):
                    # its other fields are those of nobody at no time
                    member = tarfile.TarInfo(f"{sample.index:08d}.{name}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        digest, size = file_digest(temporary)
    return Written(stored=stored, fakes=fakes, sha256=digest, bytes=size)


def xray_png(sample: Sample) -> bytes:
    """A sample's X-ray as a grey PNG, ``round(255 * B)``."""
    done, data = cv2.imencode(".png", sample.xray_u8, codec.LOSSLESS)
    if not done:
        raise RuntimeError(f"OpenCV could not code an X-ray of shape {sample.xray.shape} as PNG")
    return bytes(data.tobytes())


def _members(sample: Sample, image: Picture) -> Iterator[tuple[str, bytes]]:
    yield f"image.{image}", codec.encode(sample.image, image)
    yield "xray.png", xray_png(sample)
    yield "cls", str(sample.label).encode()
    yield "json", _described(sample)
    if sample.alpha is not None:
        file = io.BytesIO()
        np.save(file, sample.alpha, allow_pickle=False)
        yield "alpha.npy", file.getvalue()


def _described(sample: Sample) -> bytes:
    try:
        record: dict[str, Any] = json.loads(sample.record)
    except (ValueError, RecursionError) as error:
        raise BadShard(
            f"record of sample {sample.index}",
            f"is no JSON ({error})",
            "run faceblend verify: it looks at every record",
        ) from error
    content = {
        "index": sample.index,
        "label": sample.label,
        "landmarks": _shortest(sample.landmarks),
        "record": record,
    }
    # as a record is written, so that taking it out gives the same text
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _shortest(points: Landmarks) -> list[list[float]]:
    # nine digits tell every float32 from its neighbours
    return [[float(f"{value:.9g}") for value in point] for point in points.tolist()]
