"""Samples as parquet that Hugging Face's ``datasets`` reads, and the card that belongs to it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from faceblend import atomic, codec
from faceblend.export.tar import Picture, xray_png
from faceblend.sample import Sample
from faceblend.store.manifest import Manifest, Written
from faceblend.store.shard import file_digest

FORMAT = 1
"""Version of the columns."""

ROWS = 100
"""Samples a row group, the least that a reader takes at a time: some 15 MB of PNGs."""

CLASSES = ("real", "blended")
"""Names of the labels 0 and 1."""

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS = {
    "image": _PICTURE,
    "xray": _PICTURE,
    "label": pa.int64(),
    "index": pa.int64(),
    "record": pa.string(),
    "landmarks": pa.list_(pa.list_(pa.float32())),
}
# what datasets makes of the columns; its own wire format, read by every version since 1.16
_FEATURES = {
    "image": {"_type": "Image"},
    "xray": {"_type": "Image"},
    "label": {"names": list(CLASSES), "_type": "ClassLabel"},
    "index": {"dtype": "int64", "_type": "Value"},
    "record": {"dtype": "string", "_type": "Value"},
    "landmarks": [[{"dtype": "float32", "_type": "Value"}]],
}


def write_parquet(path: Path, samples: Iterable[Sample], *, image: Picture = "png") -> Written:
    """Write samples as one parquet file; a row group at a time is in memory, 130 MB in all.

    Columns: ``image`` and ``xray`` (structs of ``bytes``, the coded picture, and ``path``, its
    name), ``label`` (0 real, 1 blended), ``index``, ``record`` (text), ``landmarks`` (68 of
    ``[x, y]``, float32, px of the image). The schema's metadata names the features of
    ``datasets``: two ``Image``, a ``ClassLabel``, values.

    Args:
        path: the file; it appears when everything is in it and on the disk.
        samples: in the order of the rows.
        image: ``png``, lossless, or ``jpg``, quality 95 in 4:4:4. X-rays are PNG always.
    """
    stored = fakes = 0
    told = {
        "huggingface": json.dumps({"info": {"features": _FEATURES}}),
        "faceblend": json.dumps({"format": FORMAT}),
    }
    schema = pa.schema(list(_COLUMNS.items()), metadata=told)
    with atomic.replacing(path) as temporary:
        with (
            temporary.open("wb") as file,
            pq.ParquetWriter(
                file,
                schema,
                # pictures are compressed already
                compression={"record": "zstd", "landmarks.list.element.list.element": "zstd"},
                use_dictionary=False,
                write_statistics=["label", "index"],
                write_page_checksum=True,
            ) as writer,
        ):
            # coded as they come: pixels take five times as much
            for rows in _batches(_row(one, image) for one in samples):
                writer.write_table(pa.Table.from_pylist(rows, schema))
                stored, fakes = stored + len(rows), fakes + sum(row["label"] for row in rows)
        digest, size = file_digest(temporary)
    return Written(stored=stored, fakes=fakes, sha256=digest, bytes=size)


def card(
    name: str, manifest: Manifest, splits: Mapping[str, tuple[int, int]], image: Picture
) -> str:
    """The ``README.md`` of an export: what ``datasets`` needs to know, then words.

    Args:
        name: what the set is called.
        manifest: of the set.
        splits: of each split, its samples and its files' bytes.
        image: how images are coded.
    """
    plan, name = manifest.plan, " ".join(name.split())
    head = {
        "pretty_name": name,
        "task_categories": ["image-classification", "image-segmentation"],
        "tags": ["face-forgery-detection", "face-x-ray"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in splits
                ],
            }
        ],
        "dataset_info": {
            "config_name": "default",
            "splits": [
                {"name": split, "num_bytes": size, "num_examples": samples}
                for split, (samples, size) in splits.items()
            ],
        },
    }
    fakes = sum(entry.fakes for entry in manifest.shards)
    counts = f"{manifest.stored:,} samples, {fakes:,} of them blended"
    size = f"{plan.image_size}x{plan.image_size}"
    how = "lossless PNG" if image == "png" else "JPEG of quality 95, 4:4:4"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(plan.versions.items()))
    recipe = " ".join(str(plan.recipe.get("name", "")).split())
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {name}

Blended faces and their Face X-rays, made by faceblend: {counts}, {size} px.

| column | |
|---|---|
| `image` | RGB, {how} |
| `xray` | grey, lossless PNG: `round(255 * 4 * alpha * (1 - alpha))` of the alpha that blended |
| `label` | `real` (0) or `blended` (1) |
| `index` | number of the sample in its run |
| `record` | JSON: both faces and every drawn number, from which the sample can be made again |
| `landmarks` | 68 of `[x, y]`, px of `image`, of the face whose picture stays |

Recipe `{recipe}`, seed {plan.seed}, bank `{plan.bank[:16]}`, {versions}.

```python
from datasets import load_dataset

load_dataset("PATH")  # the folder of this file
```

The pictures show real people: who made the bank knows under which terms.
"""


def _row(sample: Sample, image: Picture) -> dict[str, Any]:
    name = f"{sample.index:08d}"
    return {
        "image": {"bytes": codec.encode(sample.image, image), "path": f"{name}.{image}"},
        "xray": {"bytes": xray_png(sample), "path": f"{name}.xray.png"},
        "label": sample.label,
        "index": sample.index,
        "record": sample.record,
        "landmarks": sample.landmarks.tolist(),
    }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, ROWS)):
        yield some
