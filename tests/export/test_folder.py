"""The classic folders hold the same samples, and are resumed and verified like shards."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadShard
from faceblend.export import write_folder_shard
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import Sample, sample
from faceblend.store import BlendSet, Manifest, verify
from faceblend.store.check import CHANGED

COUNT = 7
ARGUMENTS = {"count": COUNT, "seed": 5, "shard_size": 3}


@pytest.fixture(scope="module")
def samples(bank: FaceBank) -> list[Sample]:
    recipe = load_recipe("bi")
    return [sample(bank, recipe, 5, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def finished(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven samples in three shards; copy it before changing it."""
    out = tmp_path_factory.mktemp("folders") / "set"
    report = generate(bank, load_recipe("bi"), out, layout="folder", **ARGUMENTS)
    assert (report.stored, report.made) == (COUNT, 3)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def problems(folder: Path) -> list[tuple[str, str]]:
    return [(found.where, found.what) for found in verify(folder).problems]


def picture(folder: Path, samples: list[Sample], label: int) -> Path:
    """Some sample's image, of this label."""
    index = next(made.index for made in samples if made.label == label)
    return folder / ("fake" if label else "true") / f"{index:08d}.png"


def test_pictures_are_numbered_by_sample_and_sorted_by_class(
    finished: Path, samples: list[Sample]
) -> None:
    names = {path.name for path in (finished / "mask").iterdir()}
    assert names == {f"{index:08d}.png" for index in range(COUNT)}
    for made in samples:
        place = finished / ("fake" if made.label else "true") / f"{made.index:08d}.png"
        bgr = cv2.imread(str(place), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(bgr[..., ::-1], made.image)
        mask = cv2.imread(str(finished / "mask" / place.name), cv2.IMREAD_UNCHANGED)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, made.xray_u8)
        assert mask.any() == bool(made.label)


def test_each_shard_has_one_record_a_line(finished: Path, samples: list[Sample]) -> None:
    files = sorted((finished / "records").iterdir())
    assert [path.name for path in files] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]
    lines = [line for path in files for line in path.read_text().splitlines()]
    assert lines == [made.record for made in samples]
    assert [json.loads(line)["index"] for line in lines] == list(range(COUNT))


def test_two_workers_write_the_same_folders(
    finished: Path, bank: FaceBank, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    generate(bank, load_recipe("bi"), out, layout="folder", workers=2, **ARGUMENTS)
    assert contents(out) == contents(finished)


def test_a_finished_set_of_shards_exports_sample_by_sample(
    bank: FaceBank, finished: Path, tmp_path: Path
) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", **ARGUMENTS)
    with BlendSet(tmp_path / "set") as blends:
        written = write_folder_shard(tmp_path / "out", "records/00000.jsonl", blends)
    assert written.stored == COUNT
    for name in ("true", "fake", "mask"):
        assert contents(tmp_path / "out" / name) == contents(finished / name)


def test_a_sound_set_has_no_problem_and_replays(finished: Path, bank: FaceBank) -> None:
    report = verify(finished, bank=bank, replays=COUNT)
    assert report.problems == ()
    assert (report.samples, report.replayed) == (COUNT, COUNT)


def test_a_set_of_folders_is_refused_by_blendset_in_words(finished: Path) -> None:
    with pytest.raises(BadShard, match="is a set of PNG folders"):
        BlendSet(finished)


def test_a_missing_picture_is_found_and_made_again(
    copy: Path, finished: Path, samples: list[Sample], bank: FaceBank
) -> None:
    lost = picture(copy, samples, 1)
    lost.unlink()
    found = problems(copy)
    assert any(str(int(lost.stem)) in where and "is missing" in what for where, what in found)
    generate(bank, load_recipe("bi"), copy, layout="folder", **ARGUMENTS)
    assert contents(copy) == contents(finished)


def test_a_flipped_bit_in_a_picture_is_found(copy: Path, samples: list[Sample]) -> None:
    path = picture(copy, samples, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    name = f"records/{int(path.stem) // 3:05d}.jsonl"
    assert (name, CHANGED) in problems(copy)


def test_a_picture_changed_by_a_program_is_named_with_the_bank(
    copy: Path, samples: list[Sample], bank: FaceBank
) -> None:
    path = picture(copy, samples, 1)
    bgr = cv2.imread(str(path))
    bgr[100, 100] ^= 1
    cv2.imwrite(str(path), bgr)
    index = int(path.stem)
    found = [(p.where, p.what) for p in verify(copy, bank=bank, replays=1).problems]
    where = f"records/{index // 3:05d}.jsonl, sample {index}"
    assert (where, "its image is not what its record makes") in found


def test_a_picture_of_another_size_is_found(copy: Path, samples: list[Sample]) -> None:
    path = picture(copy, samples, 1)
    cv2.imwrite(str(path), np.zeros((8, 9, 3), np.uint8))
    assert any("is 9x8, the manifest says 256 px" in what for _, what in problems(copy))


@pytest.mark.parametrize("text", ["", "{}\n", "not json\nnot json\nnot json\n", "\xff"])
def test_damaged_records_are_found_and_made_again(
    copy: Path, finished: Path, bank: FaceBank, text: str
) -> None:
    (copy / "records" / "00000.jsonl").write_bytes(text.encode("latin-1"))
    assert {where for where, _ in problems(copy)} == {"records/00000.jsonl"}
    generate(bank, load_recipe("bi"), copy, layout="folder", **ARGUMENTS)
    assert contents(copy) == contents(finished)


def test_pictures_that_belong_to_no_sample_are_found(copy: Path, samples: list[Sample]) -> None:
    source = picture(copy, samples, 1)
    shutil.copy(source, copy / "mask" / "00000099.png")
    shutil.copy(source, copy / "true" / source.name)
    shutil.copy(source, copy / "fake" / "me.png")
    (copy / "true" / ".00000001.png.3-ab.tmp").write_bytes(b"")
    found = dict(problems(copy))
    assert found["mask/00000099.png"] == "belongs to no sample of the manifest"
    assert found["fake/me.png"] == "belongs to no sample of the manifest"
    assert "left over" in found["true/.00000001.png.3-ab.tmp"]
    assert any("is there as true and as fake" in what for what in found.values())


def test_an_interrupted_set_of_folders_continues(
    copy: Path, finished: Path, bank: FaceBank
) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["shards"][1]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "records" / "00001.jsonl").unlink()
    (copy / "mask" / ".00000003.png.3-ab.tmp").write_bytes(b"half")
    assert not Manifest.load(copy).finished
    generate(bank, load_recipe("bi"), copy, layout="folder", **ARGUMENTS)
    assert contents(copy) == contents(finished)
