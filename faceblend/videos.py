"""The table of a dataset's videos: an index finds it, a split marks it, an extraction reads it.

One row a video, ordered by ``path``; parquet, with the dataset, its folder and the rule that
split it in the schema's metadata (``docs/formats.md``).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from faceblend import atomic, within
from faceblend.errors import BadArgument

FORMAT = 1
"""Version of the file's layout."""

SPLITS = ("train", "val", "test")
"""What a split may call a video."""

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("name", pa.string()),
        ("label", pa.int8()),
        ("original", pa.string()),
        ("donor", pa.string()),
        ("subject", pa.string()),
        ("split", pa.string()),
        ("height", pa.uint16()),
        ("width", pa.uint16()),
        ("frames", pa.int32()),
    ]
)
"""Columns that every table has; behind them come the dataset's own."""

WANTED = pa.field("wanted", pa.list_(pa.int32()))
"""Column of a split that names frames: their numbers, ascending."""

_ALWAYS = ("path", "name", "label", "height", "width", "frames")  # columns without gaps


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoTable:
    """The videos of a dataset, or of the part of it that is there."""

    root: Path
    """the folder that ``path`` starts from"""
    dataset: str
    """the layout that was indexed, such as ``dfdc``"""
    table: pa.Table
    """one row a video, ordered by ``path``: the columns of ``SCHEMA``, then the dataset's own"""
    rule: str | None = None
    """what split it; None where nothing did"""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            BadArgument: the table has no such column.
        """
        if name not in self.table.column_names:
            raise BadArgument(
                f"the videos of {self.root}",
                f"have no column {name!r}, as an index of {self.dataset!r} has none",
                "index the dataset that has it",
            )
        return list(self.table[name].to_pylist())

    def rows(self) -> list[dict[str, Any]]:
        """Every row as a mapping."""
        return list(self.table.to_pylist())

    def marked(
        self,
        rule: str,
        splits: Sequence[str | None],
        wanted: Sequence[list[int] | None] | None = None,
    ) -> "VideoTable":
        """The same videos under another split.

        Args:
            rule: what it is called.
            splits: of each video ``train``, ``val``, ``test`` or None for in none of them.
            wanted: of each video the frames that it is to give, where the rule says so.
        """
        place = self.table.schema.get_field_index("split")
        table = self.table.set_column(
            place, SCHEMA.field("split"), [pa.array(splits, pa.string())]
        )
        if WANTED.name in table.column_names:
            table = table.drop_columns([WANTED.name])
        if wanted is not None:
            table = table.append_column(WANTED, pa.array(wanted, WANTED.type))
        return replace(self, table=table, rule=rule)


def make_table(rows: Sequence[Mapping[str, Any]], own: pa.Schema) -> pa.Table:
    """A table of rows, ordered by path.

    Args:
        rows: a value for every column of ``SCHEMA`` and ``own``; a column that a row lacks is
            empty there.
        own: the dataset's own columns.
    """
    ordered = sorted(rows, key=lambda row: row["path"])
    schema = pa.schema([*SCHEMA, *own])
    columns = [pa.array([row.get(field.name) for row in ordered], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def write_videos(videos: VideoTable, path: str | os.PathLike[str]) -> None:
    """Write the table of ``videos`` to ``path``, whole or not at all."""
    said = {
        "format": FORMAT,
        "dataset": videos.dataset,
        "root": str(videos.root.absolute()),
        "rule": videos.rule,
    }
    table = videos.table.replace_schema_metadata({b"faceblend": json.dumps(said).encode()})
    with atomic.replacing(Path(path)) as temporary:
        pq.write_table(table, temporary)


def read_videos(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> VideoTable:
    """Read a table.

    Args:
        path: the file.
        root: where the videos are, if they were moved since they were indexed.

    Raises:
        BadArgument: it is no table of videos, or is damaged.
    """
    path = Path(path)
    remedy = "make one with: faceblend index DATASET ROOT --out VIDEOS.parquet"
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)  # texts that are no UTF-8 are found here,
        _ = table.column_names  # but for those of the columns' names
        said = json.loads((table.schema.metadata or {}).get(b"faceblend", b"null"))
    except FileNotFoundError:
        raise BadArgument(path, "is not there", remedy) from None
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadArgument(path, f"cannot be read ({words})", remedy) from error
    if not isinstance(said, dict) or not {"format", "dataset", "root"} <= said.keys():
        raise BadArgument(path, "is parquet, and no table of videos", remedy)
    if said["format"] != FORMAT:
        raise BadArgument(
            path,
            f"has format {said['format']!r}, and this version reads format {FORMAT}",
            "index the dataset again with this version",
        )
    _check(path, table)
    return VideoTable(
        root=Path(root if root is not None else said["root"]),
        dataset=str(said["dataset"]),
        table=table,
        rule=said.get("rule"),
    )


def _check(path: Path, table: pa.Table) -> None:
    again = "index the dataset again"
    for field in SCHEMA:
        if field.name not in table.column_names or table[field.name].type != field.type:
            raise BadArgument(path, f"has no column {field.name!r} of {field.type}", again)
        if field.name in _ALWAYS and table[field.name].null_count:
            raise BadArgument(path, f"has an empty cell in {field.name!r}", again)
    if WANTED.name in table.column_names and table[WANTED.name].type != WANTED.type:
        raise BadArgument(path, f"has a column {WANTED.name!r} that is not {WANTED.type}", again)
    paths = table["path"].to_pylist()
    if not paths:
        raise BadArgument(path, "holds no video", again)
    if len(set(paths)) < len(paths):
        raise BadArgument(path, "names one video twice", again)
    for one in paths:
        # a table may come from elsewhere; it opens nothing outside its folder
        if within.leaves(one):
            raise BadArgument(path, f"{one!r} leaves the folder of the videos", again)
    for split in set(table["split"].to_pylist()) - {None, *SPLITS}:
        raise BadArgument(path, f"has a split {split!r}", f"use {', '.join(SPLITS)}")
    for label in set(table["label"].to_pylist()) - {0, 1}:
        raise BadArgument(path, f"has a label {label}", "use 0 for real and 1 for forged")
