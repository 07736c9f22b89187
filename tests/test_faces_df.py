"""The table has seed 000's columns, and its numbers fit the crops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.faces_df import faces_df
from tests.conftest import make_bank

KEYPOINTS = [f"kp{number}{axis}" for number in range(1, 7) for axis in "xy"]
DFDC = [
    *("video", "label", "videosubject", "original"),
    *KEYPOINTS,
    *("conf", "left", "top", "right", "bottom", "folder", "nfaces"),
]


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    return make_bank(tmp_path_factory.mktemp("forged"), labels={"v3": 1})


@pytest.fixture(scope="module")
def dfdc() -> pa.Table:
    """A video table whose order is not the bank's."""
    return pa.table(
        {
            "path": [f"v{number}.mp4" for number in (3, 2, 1, 0)],
            "original": pa.array(["v1.mp4", None, None, None]),
            "subject": pa.nulls(4, pa.string()),
            "folder": pa.array([49, 2, 1, 0], pa.uint8()),
        }
    )


def test_dfdc_has_the_23_columns_beside_the_path(forged: FaceBank, dfdc: pa.Table) -> None:
    table = faces_df(forged, dfdc)
    assert table.column_names == ["path", *DFDC]
    assert len(DFDC) == 23
    kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
    assert {str(kinds[name]) for name in KEYPOINTS} == {"int16"}
    assert {str(kinds[name]) for name in ("left", "top", "right", "bottom")} == {"int16"}
    assert (str(kinds["videosubject"]), str(kinds["conf"])) == ("int8", "float")


def test_what_the_table_knows_of_a_video_stands_beside_its_faces(
    forged: FaceBank, dfdc: pa.Table
) -> None:
    faces = faces_df(forged, dfdc).to_pylist()
    last = [face for face in faces if "/v3/" in face["path"]]
    first = [face for face in faces if "/v0/" in face["path"]]
    for face in last:
        said = (face["video"], face["label"], face["original"], face["folder"], face["nfaces"])
        assert said == (0, True, "v1.mp4", 49, 3)
    assert {(face["video"], face["label"], face["folder"]) for face in first} == {(3, False, 0)}


def test_ffpp_columns_stand_where_seed_000_has_them(forged: FaceBank) -> None:
    videos = pa.table(
        {
            "path": [f"v{number}" for number in range(4)],
            "class": ["a"] * 4,
            "source": ["b"] * 4,
            "quality": ["c23"] * 4,
        }
    )
    names = faces_df(forged, videos).column_names
    assert names[4:9] == ["original", "class", "source", "quality", "kp1x"]


def test_key_points_are_where_the_face_has_them(forged: FaceBank) -> None:
    face = faces_df(forged).to_pylist()[0]
    points = forged.landmarks[0]
    places = np.array([[face[f"kp{n}x"], face[f"kp{n}y"]] for n in range(1, 7)])
    left_eye, right_eye, nose, mouth, left_ear, right_ear = places
    assert np.abs(left_eye - points[36:42].mean(axis=0)).max() <= 0.5
    assert np.abs(nose - points[30]).max() <= 0.5
    assert left_ear[0] < left_eye[0] < nose[0] < right_eye[0] < right_ear[0]
    assert left_eye[1] < nose[1] < mouth[1]


def test_the_box_is_the_detections_in_pixels_of_the_crop(forged: FaceBank) -> None:
    # frame = 2 * crop + (10, 20), turned by a right angle
    turned = [[0.0, -2.0, 300.0], [2.0, 0.0, 20.0]]
    cells = forged.table.to_pylist()
    for cell in cells:
        cell["box"] = [100.0, 60.0, 260.0, 200.0]
        cell["crop_to_frame"] = np.ravel(turned).tolist()
    cells[1]["box"] = None
    table = pa.Table.from_pylist(cells, schema=forged.table.schema)
    faces = faces_df(replace(forged, table=table)).to_pylist()
    box = [faces[0][name] for name in ("left", "top", "right", "bottom")]
    # x = (Y - 20) / 2, y = (300 - X) / 2
    assert box == [20, 20, 90, 100]
    low = np.rint(forged.landmarks[1].min(axis=0))
    assert [faces[1]["left"], faces[1]["top"]] == low.tolist()


def test_several_faces_of_a_frame_are_counted_up(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, videos=1, frames=3)
    cells = bank.table.to_pylist()
    for cell in cells[:2]:
        cell["frame"] = 0
    table = pa.Table.from_pylist(cells, schema=bank.table.schema)
    assert faces_df(replace(bank, table=table))["videosubject"].to_pylist() == [0, 1, 0]


def test_a_table_of_other_videos_is_refused(forged: FaceBank) -> None:
    with pytest.raises(BadArgument, match="lacks video 'v0'"):
        faces_df(forged, pa.table({"path": ["other.mp4"]}))
    with pytest.raises(BadArgument, match="has no column 'path'"):
        faces_df(forged, pa.table({"name": ["v0"]}))
