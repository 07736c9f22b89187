"""Parquet that Hugging Face's datasets reads with pictures, class names and splits."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image as Pillow

from faceblend.bank import FaceBank
from faceblend.errors import BadBank, BadShard
from faceblend.export import export_set, parquet
from faceblend.export.parquet import write_parquet
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import Sample, sample
from faceblend.store import BlendSet
from tests.conftest import make_bank


@pytest.fixture(scope="module")
def split_bank(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    splits = {"v0": "train", "v1": "train", "v2": "val", "v3": "val"}
    return make_bank(tmp_path_factory.mktemp("split"), splits=splits)


@pytest.fixture(scope="module")
def made(split_bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "my set"
    generate(split_bank, load_recipe("bi"), out, count=14, seed=2, shard_size=5)
    return out


@pytest.fixture(scope="module")
def exported(made: Path, split_bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "out"
    export_set(made, out, "parquet", shard_size=4, bank=split_bank)
    return out


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The datasets library, with a cache of its own and no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip(
        "datasets", reason="datasets is not installed: pip install 'faceblend[test]'"
    )


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(data)))


def by_split(made: Path) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {"train": [], "validation": []}
    with BlendSet(made) as blends:
        for one in blends:
            video = json.loads(one.record)["background"].split("/")[1]
            found["train" if video in ("v0", "v1") else "validation"].append(one)
    assert all(found.values())
    return found


def test_each_sample_is_in_the_split_of_its_background(made: Path, exported: Path) -> None:
    for split, expected in by_split(made).items():
        files = sorted((exported / "data").glob(f"{split}-*"))
        count = -(-len(expected) // 4)
        assert [path.name for path in files] == [
            f"{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)
        ]
        rows = [row for path in files for row in pq.read_table(path).to_pylist()]
        assert [row["index"] for row in rows] == [one.index for one in expected]
        for row, one in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(pixels(row["image"]["bytes"]), one.image)
            np.testing.assert_array_equal(pixels(row["xray"]["bytes"]), one.xray_u8)
            assert row["label"] == one.label
            assert row["record"] == one.record
            np.testing.assert_array_equal(np.float32(row["landmarks"]), one.landmarks)
            assert row["image"]["path"] == f"{one.index:08d}.png"


def test_the_datasets_library_reads_the_files(
    made: Path, exported: Path, offline: Any, tmp_path: Path
) -> None:
    files = {
        split: sorted(str(path) for path in (exported / "data").glob(f"{split}-*"))
        for split in ("train", "validation")
    }
    read = offline.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert read["train"].features["label"].names == ["real", "blended"]
    assert type(read["train"].features["image"]).__name__ == "Image"
    assert type(read["train"].features["xray"]).__name__ == "Image"
    for split, expected in by_split(made).items():
        assert len(read[split]) == len(expected)
        for row, one in zip(read[split], expected, strict=True):
            np.testing.assert_array_equal(np.asarray(row["image"]), one.image)
            np.testing.assert_array_equal(np.asarray(row["xray"]), one.xray_u8)
            assert (row["label"], row["index"]) == (one.label, one.index)
            np.testing.assert_array_equal(np.float32(row["landmarks"]), one.landmarks)
    # and by its card, as from the hub
    whole = offline.load_dataset(str(exported), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in whole.items()} == {
        name: len(part) for name, part in by_split(made).items()
    }


def test_the_card_says_what_is_there(made: Path, exported: Path) -> None:
    _, head, text = (exported / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(head)
    files = sorted((exported / "data").iterdir())
    for split in told["dataset_info"]["splits"]:
        own = [path for path in files if path.name.startswith(split["name"])]
        assert split["num_bytes"] == sum(path.stat().st_size for path in own)
        assert split["num_examples"] == sum(pq.read_metadata(path).num_rows for path in own)
    patterns = told["configs"][0]["data_files"]
    found = [path for one in patterns for path in exported.glob(one["path"])]
    assert sorted(found) == files
    assert "# my set\n" in text
    with BlendSet(made) as blends:
        assert f"{len(blends)} samples, {int(blends.labels.sum())} of them blended" in text


def test_without_a_bank_all_are_train(made: Path, tmp_path: Path) -> None:
    report = export_set(made, tmp_path, "parquet", image="jpg")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        f"train-0000{number}-of-00003.parquet" for number in range(3)
    ]
    assert report.pieces == 3
    row = pq.read_table(tmp_path / "data" / "train-00000-of-00003.parquet").to_pylist()[0]
    assert row["image"]["bytes"].startswith(b"\xff\xd8\xff")
    assert row["xray"]["bytes"].startswith(b"\x89PNG")


def test_rows_are_read_in_groups_that_fit_into_memory(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 3)
    recipe = load_recipe("bi")
    waiting: list[int] = []

    def samples() -> Any:
        for index in range(7):
            waiting.append(index)
            yield sample(bank, recipe, 0, index)

    write_parquet(tmp_path / "a.parquet", samples())
    told = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert [told.row_group(number).num_rows for number in range(told.num_row_groups)] == [3, 3, 1]
    features = json.loads(told.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["real", "blended"], "_type": "ClassLabel"}
    write_parquet(tmp_path / "b.parquet", samples())
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_split_that_cannot_name_a_file_is_refused(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank", splits={f"v{number}": "../up" for number in range(4)})
    generate(bank, load_recipe("bi"), tmp_path / "set", count=3)
    with pytest.raises(BadBank, match=r"split '../up': cannot be a file's name"):
        export_set(tmp_path / "set", tmp_path / "out", "parquet", bank=bank)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("record", ["{", '{"draw":{"background":99}}'])
def test_a_record_without_a_known_background_is_named(
    made: Path, split_bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str
) -> None:
    with BlendSet(made) as blends:
        count = len(blends)
    monkeypatch.setattr(BlendSet, "records", lambda _: iter([record] * count))
    with pytest.raises(BadShard, match="run faceblend verify"):
        export_set(made, tmp_path / "out", "parquet", bank=split_bank)
