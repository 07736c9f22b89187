"""A face on both sides of a split is found, whatever its part in the videos."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from faceblend.audit.leaks import leaks
from faceblend.cli import DONE, FAILURES, main
from faceblend.videos import VideoTable, make_table, write_videos


def videos(root: Path, *rows: tuple[str, str | None, dict[str, Any]]) -> VideoTable:
    full = [
        {"path": path, "name": path, "label": 0, "height": 8, "width": 8, "frames": 9,
         "split": split, **more}
        for path, split, more in rows
    ]  # fmt: skip
    table = make_table(full, pa.schema([]))
    return VideoTable(root=root, dataset="folder", table=table, rule="by hand")


def fake(original: str, **more: str) -> dict[str, Any]:
    return {"label": 1, "original": original, **more}


def test_a_forgery_apart_from_its_original_is_a_leak_of_its_target(tmp_path: Path) -> None:
    found = leaks(videos(tmp_path, ("a", "train", {}), ("f", "test", fake("a"))))
    (leak,) = found.leaks
    assert (leak.who, leak.splits, leak.videos) == ("a", ("train", "test"), ("a", "f"))
    assert leak.roles == ("target", "target")
    assert found.forgeries["target"] == {"train": 0, "val": 0, "test": 1}
    assert found.unknown == 1


def test_a_forgery_apart_from_its_donor_is_a_leak_of_its_source(tmp_path: Path) -> None:
    found = leaks(
        videos(
            tmp_path,
            ("a", "train", {"subject": "ann"}),
            ("b", "val", {"subject": "bob"}),
            ("f", "train", fake("a", subject="ann", donor="bob")),
        )
    )
    (leak,) = found.leaks
    assert (leak.who, leak.roles) == ("bob", ("source", "target"))
    assert found.forgeries == {
        "target": {"train": 0, "val": 0, "test": 0},
        "source": {"train": 1, "val": 0, "test": 0},
    }
    assert found.unknown == 0
    assert "1 faces are in two splits" in str(found)


def test_two_forgeries_by_one_face_leak_it_though_its_video_is_not_there(tmp_path: Path) -> None:
    found = leaks(
        videos(
            tmp_path,
            ("f", "train", fake("a", donor="bob")),
            ("g", "test", fake("c", donor="bob")),
        )
    )
    assert [leak.who for leak in found.leaks] == ["bob"]


def test_a_person_in_two_splits_is_a_leak_without_any_forgery(tmp_path: Path) -> None:
    ann = {"subject": "ann"}
    found = leaks(videos(tmp_path, ("a", "train", ann), ("b", "test", ann), ("c", None, ann)))
    assert [leak.videos for leak in found.leaks] == [("a", "b")]
    assert sum(found.forgeries["target"].values()) == 0


def test_videos_in_no_split_leak_nothing(tmp_path: Path) -> None:
    found = leaks(videos(tmp_path, ("a", "train", {}), ("f", None, fake("a"))))
    assert found.leaks == ()
    assert str(found) == "no face is in two splits"


def test_the_command_tells_leaks_and_fails_under_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = [(f"{name}", None, {"subject": name, "folder": 0}) for name in ("ann", "bob")]
    full = [
        {"path": path, "name": path, "label": 0, "height": 8, "width": 8, "frames": 9, **more}
        for path, _, more in chain
    ]
    full.append({**full[0], "path": "part_40/ann", "folder": 40})
    table = make_table(full, pa.schema([("folder", pa.uint8())]))
    write_videos(VideoTable(root=tmp_path, dataset="dfdc", table=table), tmp_path / "v.parquet")
    words = ["split", str(tmp_path / "v.parquet"), "--out", str(tmp_path / "s.parquet")]
    told = tmp_path / "leaks.json"
    by_part = [*words, "--rule", "dfdc-35-5-10", "--json", str(told)]
    assert main(by_part) == DONE
    assert "1 faces are in two splits" in capsys.readouterr().out
    assert json.loads(told.read_text())["leaks"][0]["who"] == "ann"
    assert main([*by_part, "--strict"]) == FAILURES
    assert main([*words, "--rule", "hash", "--strict"]) == DONE
