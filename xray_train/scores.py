"""What a network said of every item, as tables: frames, and videos by all eight policies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faceblend import atomic
from faceblend.errors import BadArgument
from xray_train.aggregate import POLICIES
from xray_train.evaluate import Items
from xray_train.sources import Source

FRAMES, VIDEOS = "frames.parquet", "videos.parquet"


@runtime_checkable
class Tabled(Protocol):
    """A source that knows where its items are from."""

    def table(self) -> pa.Table:
        """A row for every item, in order, with ``video`` and ``label``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Written:
    """The tables of :func:`write_scores`."""

    frames: Path
    videos: Path

    def __str__(self) -> str:
        return f"{self.frames}\n{self.videos}"


def write_scores(items: Items, source: Source, folder: Path) -> Written:
    """Write ``frames.parquet`` and ``videos.parquet``, each whole or not at all.

    Frames have the columns of the source's table (of a bank's faces ``video``, ``frame``,
    ``subject``, ``split``, ``label``, ``source`` and ``crop``; of any other source ``video`` and
    ``label``), ``score``, the logit, and ``loss``, its cross-entropy, both float32. Videos have
    ``video``, ``label``, ``split`` where it is known, ``faces`` (how many), and a column for each
    policy of :mod:`xray_train.aggregate`. A video that has real and forged items counts as two.

    Args:
        items: of the evaluation.
        source: what was evaluated, in order.
        folder: is made if it is missing.

    Raises:
        BadArgument: the source's table is not of these items.
    """
    frames = _frames(items, source)
    for name, table in ((FRAMES, frames), (VIDEOS, _videos(items, frames))):
        with atomic.replacing(folder / name) as temporary:
            pq.write_table(table, temporary)
    return Written(frames=folder / FRAMES, videos=folder / VIDEOS)


def _frames(items: Items, source: Source) -> pa.Table:
    table = pa.table({"video": list(items.videos), "label": items.labels.astype(np.int8)})
    if isinstance(source, Tabled):
        told = source.table()
        same = told["label"].to_pylist() == items.labels.tolist()
        if not same or told["video"].to_pylist() != list(items.videos):
            raise BadArgument(
                "--scores",
                f"the source lists {told.num_rows} items, and others were evaluated",
                "let its table() give a row for every item, in order",
            )
        table = told
    loss = np.logaddexp(0, items.logits) - items.logits * items.labels
    table = table.append_column("score", pa.array(items.logits.astype(np.float32)))
    return table.append_column("loss", pa.array(loss.astype(np.float32)))


def _videos(items: Items, frames: pa.Table) -> pa.Table:
    groups: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(zip(items.videos, items.labels.tolist(), strict=True)):
        groups.setdefault(key, []).append(row)
    ordered = sorted(groups)
    columns: dict[str, Any] = {
        "video": [video for video, _ in ordered],
        "label": pa.array([label for _, label in ordered], pa.int8()),
    }
    if "split" in frames.column_names:
        splits = frames["split"].to_pylist()
        columns["split"] = pa.array([splits[groups[key][0]] for key in ordered], pa.string())
    columns["faces"] = pa.array([len(groups[key]) for key in ordered], pa.int64())
    for name, policy in POLICIES.items():
        columns[name] = [policy(items.logits[groups[key]]) for key in ordered]
    return pa.table(columns)
