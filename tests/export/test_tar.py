"""Tars that the webdataset library reads, and nothing in them that changes by itself."""

import gc
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadShard
from faceblend.export import export_set
from faceblend.export.tar import write_tar
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import Sample, replay, sample
from faceblend.store import BlendSet


@pytest.fixture(scope="module")
def samples(bank: FaceBank) -> list[Sample]:
    recipe = load_recipe("bi")
    return [sample(bank, recipe, 1, index) for index in range(6)]


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def test_members_stand_together_and_hold_the_samples_pixels(
    samples: list[Sample], bank: FaceBank, tmp_path: Path
) -> None:
    written = write_tar(tmp_path / "a.tar", samples)
    assert (written.stored, written.fakes) == (6, sum(one.label for one in samples))
    assert written.bytes == (tmp_path / "a.tar").stat().st_size
    found = members(tmp_path / "a.tar")
    kinds = ("image.png", "xray.png", "cls", "json", "alpha.npy")
    assert list(found) == [f"{one.index:08d}.{kind}" for one in samples for kind in kinds]
    for one in samples:
        key = f"{one.index:08d}"
        image = cv2.imdecode(np.frombuffer(found[f"{key}.image.png"], np.uint8), -1)
        np.testing.assert_array_equal(image[..., ::-1], one.image)
        xray = cv2.imdecode(np.frombuffer(found[f"{key}.xray.png"], np.uint8), -1)
        np.testing.assert_array_equal(xray, one.xray_u8)
        assert found[f"{key}.cls"] == str(one.label).encode()
        told = json.loads(found[f"{key}.json"])
        assert (told["index"], told["label"]) == (one.index, one.label)
        np.testing.assert_array_equal(np.float32(told["landmarks"]), one.landmarks)
        assert replay(told["record"], bank).digest() == one.digest()
        alpha = np.load(io.BytesIO(found[f"{key}.alpha.npy"]))
        np.testing.assert_array_equal(alpha, one.alpha)


def test_a_tar_tells_of_nobody_and_no_time(samples: list[Sample], tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", samples)
    write_tar(tmp_path / "other-name.tar", iter(samples))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "other-name.tar").read_bytes()
    assert (tmp_path / "a.tar").read_bytes()[257:265] == b"ustar\x0000"
    with tarfile.open(tmp_path / "a.tar") as tar:
        for one in tar:
            assert (one.mtime, one.uid, one.gid, one.uname, one.gname) == (0, 0, 0, "", "")
            assert (one.mode, one.type) == (0o644, tarfile.REGTYPE)
            assert "/" not in one.name
            key, dot, _ = one.name.partition(".")
            assert key.isdigit()
            assert dot


def test_jpeg_is_lossy_for_images_alone(samples: list[Sample], tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", samples[:1], image="jpg")
    found = members(tmp_path / "a.tar")
    data = np.frombuffer(found["00000000.image.jpg"], np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert 35 < cv2.PSNR(np.ascontiguousarray(image), samples[0].image) < 60
    xray = cv2.imdecode(np.frombuffer(found["00000000.xray.png"], np.uint8), -1)
    np.testing.assert_array_equal(xray, samples[0].xray_u8)


def test_a_record_that_is_no_json_is_named(samples: list[Sample], tmp_path: Path) -> None:
    bad = replace(samples[2], record="{")
    with pytest.raises(BadShard, match="record of sample 2: is no JSON"):
        write_tar(tmp_path / "a.tar", [samples[0], bad])
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library leaves them open
def test_the_webdataset_library_reads_the_same_samples(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webdataset: Any = pytest.importorskip(
        "webdataset", reason="webdataset is not installed: pip install 'faceblend[test]'"
    )
    monkeypatch.chdir(tmp_path)
    generate(bank, load_recipe("bi"), "set", count=10, seed=4, shard_size=4)
    export_set("set", "out", "webdataset")
    index = json.loads(Path("out/index.json").read_bytes())
    urls = [f"out/{shard['url']}" for shard in index["shardlist"]]
    assert [shard["nsamples"] for shard in index["shardlist"]] == [4, 4, 2]
    sizes = [Path(url).stat().st_size for url in urls]
    assert [shard["filesize"] for shard in index["shardlist"]] == sizes
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    gc.collect()  # while that is no error
    with BlendSet("set") as blends:
        assert len(read) == len(blends)
        for one, expected in zip(read, blends, strict=True):
            assert one["__key__"] == f"{expected.index:08d}"
            np.testing.assert_array_equal(one["image.png"], expected.image)
            np.testing.assert_array_equal(one["xray.png"][..., 0], expected.xray_u8)
            assert one["cls"] == expected.label
            assert one["json"]["record"] == json.loads(expected.record)
