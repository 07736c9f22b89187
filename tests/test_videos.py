"""The table of videos goes to disk and back, and a bad one is refused in words."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend.errors import BadArgument
from faceblend.videos import SCHEMA, VideoTable, make_table, read_videos, write_videos

ROWS: list[dict[str, Any]] = [
    {"path": "b/2.mp4", "name": "2", "label": 1, "original": "a/1.mp4", "donor": "ann",
     "height": 480, "width": 640, "frames": 300, "folder": 7},
    {"path": "a/1.mp4", "name": "1", "label": 0, "subject": "ann",
     "height": 480, "width": 640, "frames": 300, "folder": 7},
]  # fmt: skip
OWN = pa.schema([("folder", pa.uint8())])


def videos(root: Path) -> VideoTable:
    return VideoTable(root=root, dataset="dfdc", table=make_table(ROWS, OWN))


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    made = videos(tmp_path).marked("some", ["train", None], [[3, 5], None])
    write_videos(made, tmp_path / "videos.parquet")
    back = read_videos(tmp_path / "videos.parquet")
    assert back.rows() == made.rows()
    assert (back.root, back.dataset, back.rule) == (tmp_path, "dfdc", "some")
    assert [row["path"] for row in back.rows()] == ["a/1.mp4", "b/2.mp4"]
    assert back.column("wanted") == [[3, 5], None]
    assert back.table.column_names == [*SCHEMA.names, "folder", "wanted"]


def test_videos_may_be_moved(tmp_path: Path) -> None:
    write_videos(videos(tmp_path), tmp_path / "videos.parquet")
    assert read_videos(tmp_path / "videos.parquet", tmp_path / "new").root == tmp_path / "new"


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="have no column 'quality'"):
        videos(tmp_path).column("quality")


def spoiled(where: Path, **changes: list[Any]) -> Path:
    table = make_table(ROWS, OWN)
    for name, values in changes.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, [pa.array(values, field.type)])
    said = {"format": 1, "dataset": "dfdc", "root": "/", "rule": None}
    pq.write_table(table.replace_schema_metadata({b"faceblend": json.dumps(said)}), where)
    return where


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": ["a.mp4", "a.mp4"]}, "names one video twice"),
        ({"path": ["a.mp4", "../b.mp4"]}, "leaves the folder"),
        ({"path": ["a.mp4", "/etc/passwd"]}, "leaves the folder"),
        ({"path": ["a.mp4", None]}, "an empty cell in 'path'"),
        ({"label": [0, 2]}, "has a label 2"),
        ({"split": ["train", "holdout"]}, "has a split 'holdout'"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, list[Any]], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        read_videos(spoiled(tmp_path / "videos.parquet", **changes))


def test_a_file_that_is_no_table_of_videos_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "videos.parquet"
    with pytest.raises(BadArgument, match="is not there; make one with"):
        read_videos(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(BadArgument, match="cannot be read"):
        read_videos(path)
    pq.write_table(pa.table({"path": ["a.mp4"]}), path)
    with pytest.raises(BadArgument, match="is parquet, and no table of videos"):
        read_videos(path)
    said = {"format": 9, "dataset": "dfdc", "root": "/"}
    table = make_table(ROWS, OWN)
    pq.write_table(table.replace_schema_metadata({b"faceblend": json.dumps(said)}), path)
    with pytest.raises(BadArgument, match="has format 9"):
        read_videos(path)
    said["format"] = 1
    pq.write_table(
        table.drop_columns(["frames"]).replace_schema_metadata({b"faceblend": json.dumps(said)}),
        path,
    )
    with pytest.raises(BadArgument, match="no column 'frames' of int32"):
        read_videos(path)


def test_a_table_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "videos.parquet"
    write_videos(videos(tmp_path), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadArgument, match="cannot be read"):
        read_videos(path)
