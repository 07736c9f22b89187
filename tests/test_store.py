"""A set reads back as it was written, and what is wrong with it is found."""

import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadShard
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.sample import Sample, sample, versions
from faceblend.store import BlendSet, Manifest, Plan, verify, write_shard
from faceblend.store.check import CHANGED

COUNT, SHARD = 10, 4


def plan_of(bank: FaceBank, *, alpha: bool = False) -> Plan:
    return Plan(
        layout="hdf5",
        recipe=load_recipe("bi").to_dict(),
        seed=7,
        shard_size=SHARD,
        image_size=256,
        bank=bank.fingerprint,
        alpha=alpha,
        versions=dict(versions()),
    )


@pytest.fixture(scope="module")
def samples(bank: FaceBank) -> list[Sample]:
    recipe = load_recipe("bi")
    return [sample(bank, recipe, 7, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def finished(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of ten samples in three shards, alpha kept; copy it before changing it."""
    out = tmp_path_factory.mktemp("finished") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=7, shard_size=SHARD, alpha=True)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def flip_bit(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def tamper(folder: Path, name: str, change: Callable[[h5py.File], None]) -> None:
    """Change a shard and list its new checksum, as a program with a bug would."""
    with h5py.File(folder / name, "r+") as file:
        change(file)
        file.pop("crc32")  # of programs that write none
    manifest = Manifest.load(folder)
    data = (folder / name).read_bytes()
    entries = [
        replace(entry, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        if entry.name == name
        else entry
        for entry in manifest.shards
    ]
    replace(manifest, shards=tuple(entries)).save(folder)


def problems(folder: Path, **options: Any) -> list[tuple[str, str]]:
    return [(found.where, found.what) for found in verify(folder, **options).problems]


# -- a shard ------------------------------------------------------------------------------


def test_a_set_reads_back_what_was_rendered(finished: Path, samples: list[Sample]) -> None:
    with BlendSet(finished) as blends:
        assert len(blends) == COUNT
        assert [stored.digest() for stored in blends] == [made.digest() for made in samples]
        for stored, made in zip(blends, samples, strict=True):
            assert stored.alpha is not None
            np.testing.assert_array_equal(stored.alpha, made.alpha)
            np.testing.assert_array_equal(stored.landmarks, made.landmarks)
            np.testing.assert_allclose(stored.xray, made.xray, atol=0.5 / 255 + 1e-6)


def test_the_same_samples_make_the_same_file_at_any_time(
    bank: FaceBank, samples: list[Sample], tmp_path: Path
) -> None:
    plan = plan_of(bank, alpha=True)
    write_shard(tmp_path / "a.h5", iter(samples[:SHARD]), plan, SHARD)
    second = int(time.time())
    while int(time.time()) == second:  # HDF5's time stamps count seconds
        time.sleep(0.05)
    write_shard(tmp_path / "b.h5", iter(samples[:SHARD]), plan, SHARD)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_shard_is_an_ordinary_file_of_one_raw_sample_a_chunk(
    bank: FaceBank, samples: list[Sample], tmp_path: Path
) -> None:
    write_shard(tmp_path / "a.h5", iter(samples[:SHARD]), plan_of(bank), SHARD)
    with h5py.File(tmp_path / "a.h5") as file:
        names = ["crc32", "image", "index", "label", "landmarks", "record", "xray"]
        assert sorted(file) == names
        assert file["image"].chunks == (1, 256, 256, 3)
        assert file["image"].compression is None
        np.testing.assert_array_equal(file["image"][2], samples[2].image)
        np.testing.assert_array_equal(file["xray"][2], samples[2].xray_u8)
        assert file["record"].asstr()[2] == samples[2].record
        assert json.loads(file.attrs["recipe"])["name"] == "bi"
        assert int(file.attrs["seed"]) == 7
        assert file.attrs["bank"] == bank.fingerprint


def test_records_of_one_length_are_stored_as_well(
    bank: FaceBank, samples: list[Sample], tmp_path: Path
) -> None:
    same = [replace(made, record="x" * 40) for made in samples[:3]]
    write_shard(tmp_path / "a.h5", same, plan_of(bank), SHARD)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["record"].asstr()[:].tolist() == ["x" * 40] * 3


def test_a_shard_of_rejected_samples_only_is_empty_and_readable(
    bank: FaceBank, tmp_path: Path
) -> None:
    written = write_shard(tmp_path / "a.h5", iter([]), plan_of(bank), SHARD)
    assert (written.stored, written.fakes) == (0, 0)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["image"].shape == (0, 256, 256, 3)
        assert file["record"].shape == (0,)


def test_a_shard_whose_samples_fail_leaves_nothing_behind(
    bank: FaceBank, samples: list[Sample], tmp_path: Path
) -> None:
    def failing() -> Iterator[Sample]:
        yield samples[0]
        raise RuntimeError("the renderer broke")

    with pytest.raises(RuntimeError, match="the renderer broke"):
        write_shard(tmp_path / "a.h5", failing(), plan_of(bank), SHARD)
    assert list(tmp_path.iterdir()) == []


def test_samples_of_another_size_are_refused(
    bank: FaceBank, samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not of shape"):
        write_shard(tmp_path / "a.h5", samples, replace(plan_of(bank), image_size=128), SHARD)
    with pytest.raises(ValueError, match="more than 4 samples"):
        write_shard(tmp_path / "a.h5", samples, plan_of(bank), SHARD)


# -- reading ------------------------------------------------------------------------------


def test_positions_work_like_those_of_a_list(finished: Path, samples: list[Sample]) -> None:
    with BlendSet(finished) as blends:
        assert blends[-1].index == COUNT - 1
        assert blends[np.int64(5)].digest() == samples[5].digest()
        for outside in (COUNT, -COUNT - 1):
            with pytest.raises(IndexError):
                blends[outside]


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(2, 9),
        slice(0, 10, 3),
        slice(3, 4),
        slice(-3, None),
        slice(8, 1, -2),
        slice(None, None, -1),
        slice(5, 5),
    ],
    ids=str,
)
def test_slices_read_what_single_positions_read(
    finished: Path, samples: list[Sample], rows: slice
) -> None:
    with BlendSet(finished) as blends:
        images, xrays = blends.images(rows), blends.xrays(rows)
    wanted = samples[rows]
    assert len(images) == len(xrays) == len(wanted)
    for image, xray, made in zip(images, xrays, wanted, strict=True):
        np.testing.assert_array_equal(image, made.image)
        np.testing.assert_array_equal(xray, made.xray_u8)


def test_labels_and_records_come_for_all_samples(finished: Path, samples: list[Sample]) -> None:
    with BlendSet(finished) as blends:
        assert blends.labels.tolist() == [made.label for made in samples]
        assert list(blends.records()) == [made.record for made in samples]
        assert {0, 1} == set(blends.labels.tolist())


def test_every_stored_level_survives_the_way_through_float(copy: Path) -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    tamper(copy, "shard-00000.h5", set_value("xray", 1, levels))
    with BlendSet(copy) as blends:
        np.testing.assert_array_equal(blends[1].xray_u8, levels)
        np.testing.assert_array_equal(blends.pixels(1)[1], levels)


def test_a_set_that_keeps_no_alpha_says_none(
    bank: FaceBank, tmp_path: Path, samples: list[Sample]
) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", count=2, seed=7)
    with BlendSet(tmp_path / "set") as blends:
        assert blends[0].alpha is None
        assert blends[0].digest() == samples[0].digest()


def read_in_child(blends: BlendSet, position: int) -> tuple[int, str]:
    return os.getpid(), blends[position].digest()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_open_set_travels_to_other_processes(
    finished: Path, samples: list[Sample], method: str
) -> None:
    with BlendSet(finished) as blends:
        assert blends[0].index == 0
        pool = ProcessPoolExecutor(1, mp_context=get_context(method))
        with pool:
            pid, digest = pool.submit(read_in_child, blends, 9).result()
    assert pid != os.getpid()
    assert digest == samples[9].digest()


def test_a_set_opened_before_a_fork_reads_rightly_on_both_sides(
    finished: Path, samples: list[Sample]
) -> None:
    blends = BlendSet(finished)
    expected = [made.digest() for made in samples]
    assert blends[0].digest() == expected[0]
    children = []
    for _ in range(2):
        receiving, sending = os.pipe()
        # the process forks with an open file, as a DataLoader does; it holds no thread
        child = os.fork()
        if child == 0:
            try:
                os.write(sending, " ".join(one.digest() for one in blends).encode())
            finally:
                os._exit(0)
        os.close(sending)
        children.append((child, receiving))
    here = [one.digest() for one in blends]
    for child, receiving in children:
        with os.fdopen(receiving, "rb") as pipe:
            assert pipe.read().decode().split() == expected
        os.waitpid(child, 0)
    assert here == expected


def test_an_open_set_pickles_without_its_files(finished: Path) -> None:
    with BlendSet(finished) as blends:
        assert blends[0].index == 0
        again = pickle.loads(pickle.dumps(blends))  # noqa: S301 - made one line above
        assert again[3].index == 3
        again.close()


def test_more_shards_than_files_may_be_open_read_rightly(
    finished: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceblend.store.blendset._OPEN_AT_MOST", 1)
    with BlendSet(finished) as blends:
        order = [0, 9, 1, 5, 8, 2]
        assert [blends[i].digest() for i in order] == [samples[i].digest() for i in order]


def test_a_process_that_has_no_descriptors_left_reads_with_fewer_files_open(
    bank: FaceBank, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    sets = tmp_path / "one", tmp_path / "other"
    recipe = load_recipe("bi", {"fake_share": 0.0})
    generate(bank, recipe, sets[0], count=12, shard_size=1)
    shutil.copytree(*sets)  # HDF5 opens a file once a process
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = os.open(os.devnull, os.O_RDONLY)  # the least number that is free
    os.close(top)
    with BlendSet(sets[0]) as blends, BlendSet(sets[1]) as other:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (top + 10, allowed[1]))
            found = [(blends.pixels(i % 12)[3], other.pixels(i % 12)[3]) for i in range(24)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert found == [(i, i) for i in (*range(12), *range(12))]


def test_a_closed_set_opens_again_when_it_is_read(finished: Path) -> None:
    blends = BlendSet(finished)
    blends.close()
    assert blends[1].index == 1
    blends.close()


def test_a_set_on_a_read_only_disk_opens(copy: Path, samples: list[Sample]) -> None:
    for path in copy.iterdir():
        path.chmod(0o444)
    copy.chmod(0o555)
    try:
        with BlendSet(copy) as blends:
            assert blends[9].digest() == samples[9].digest()
        assert verify(copy).problems == ()
    finally:
        copy.chmod(0o755)


def test_an_unfinished_set_opens_with_what_is_committed(copy: Path) -> None:
    manifest = Manifest.load(copy)
    replace(manifest, shards=manifest.shards[1:]).save(copy)
    with BlendSet(copy) as blends:
        assert not blends.finished
        assert [one.index for one in blends] == [4, 5, 6, 7, 8, 9]


def test_a_missing_shard_is_named_when_it_is_read(copy: Path) -> None:
    (copy / "shard-00001.h5").unlink()
    with BlendSet(copy) as blends:
        assert blends[0].index == 0
        with pytest.raises(BadShard, match=r"shard-00001\.h5: is listed .* missing; run the same"):
            blends[4]


def test_a_truncated_shard_is_named_when_it_is_read(copy: Path) -> None:
    path = copy / "shard-00002.h5"
    path.write_bytes(path.read_bytes()[:-5])
    with BlendSet(copy) as blends, pytest.raises(BadShard, match=r"shard-00002\.h5: has \d+ byte"):
        blends[8]


def test_a_shard_overwritten_with_rubbish_of_its_size_is_named(copy: Path) -> None:
    path = copy / "shard-00000.h5"
    path.write_bytes(bytes(path.stat().st_size))
    with BlendSet(copy) as blends, pytest.raises(BadShard, match=r"shard-00000\.h5: cannot be"):
        blends[0]


# -- the manifest -------------------------------------------------------------------------


def edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_manifest_loads_as_it_was_saved(copy: Path) -> None:
    before = (copy / "manifest.json").read_bytes()
    manifest = Manifest.load(copy)
    manifest.save(copy)
    assert (copy / "manifest.json").read_bytes() == before
    assert manifest.finished
    assert manifest.stored == COUNT


def test_a_manifest_carries_no_time_host_or_outside_path(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    assert str(copy.parent) not in text
    assert os.uname().nodename not in text
    assert set(json.loads(text)) == {
        "format", "layout", "recipe", "seed", "count", "shard_size", "image_size", "bank",
        "alpha", "versions", "shards",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(format=2), "has format 2"),
        (lambda m: m.update(layout="zip"), "no valid 'layout'"),
        (lambda m: m.update(recipe=[]), "no valid 'recipe'"),
        (lambda m: m.update(seed=-1), "no valid 'seed'"),
        (lambda m: m.update(seed=2**64), "no valid 'seed'"),
        (lambda m: m.update(count=True), "no valid 'count'"),
        (lambda m: m.update(count="10"), "no valid 'count'"),
        (lambda m: m.update(shard_size=0), "no valid 'shard_size'"),
        (lambda m: m.pop("bank"), "no valid 'bank'"),
        (lambda m: m.update(bank={}), "no valid 'fingerprint'"),
        (lambda m: m.update(alpha=1), "no valid 'alpha'"),
        (lambda m: m.update(versions={"numpy": None}), "no valid 'versions'"),
        (lambda m: m.update(shards={}), "no valid 'shards'"),
        (lambda m: m["shards"].append(None), "where an object belongs"),
        (lambda m: m["shards"][0].update(name="../../etc/passwd"), "another name"),
        (lambda m: m["shards"][0].update(name="/etc/passwd"), "another name"),
        (lambda m: m["shards"][0].update(sha256="f00"), "no valid 'sha256'"),
        (lambda m: m["shards"][1].update(first=5), "not where a shard starts"),
        (lambda m: m["shards"][2].update(first=12), "behind the end"),
        (lambda m: m["shards"].reverse(), "out of order"),
        (lambda m: m["shards"].append(m["shards"][2]), "out of order"),
        (lambda m: m["shards"][0].update(count=3, stored=3), "its share"),
        (lambda m: m["shards"][0].update(stored=3), "does not add up"),
        (lambda m: m["shards"][0].update(fakes=5), "does not add up"),
        (
            lambda m: m["shards"][0].update(stored=3, rejected=[{"index": 9, "reason": ""}]),
            "rejects numbers",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    edited(copy, change)
    with pytest.raises(BadShard, match=words) as refused:
        BlendSet(copy)
    assert "manifest.json" in refused.value.where
    assert [found[0] for found in problems(copy)] == ["manifest.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"x"'])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(BadShard, match="manifest"):
        BlendSet(copy)
    assert [found[0] for found in problems(copy)] == ["manifest.json"]


def test_a_folder_without_a_manifest_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(BadShard, match="is not a generated set"):
        BlendSet(tmp_path)
    assert "is not a generated set" in problems(tmp_path)[0][1]
    with pytest.raises(BadShard, match="is not a folder"):
        verify(tmp_path / "absent")


# -- verify -------------------------------------------------------------------------------


def test_a_sound_set_has_no_problem(finished: Path, bank: FaceBank) -> None:
    report = verify(finished, bank=bank, replays=4)
    assert report.problems == ()
    assert (report.samples, report.shards, report.replayed) == (COUNT, 3, 4)
    assert str(report) == "no problem in 10 samples of 3 shards, 4 of them made again"


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.95])
def test_one_flipped_bit_is_found_and_its_shard_named(copy: Path, share: float) -> None:
    path = copy / "shard-00001.h5"
    flip_bit(path, int(share * path.stat().st_size))
    found = problems(copy)
    assert ("shard-00001.h5", CHANGED) in found
    assert all(where.startswith("shard-00001.h5") for where, _ in found)


def test_with_the_bank_the_damaged_sample_is_named(copy: Path, bank: FaceBank) -> None:
    path = copy / "shard-00001.h5"
    with h5py.File(path, "r") as file:
        place = file["image"].id.get_chunk_info(2).byte_offset
    flip_bit(path, place + 1000)
    where = "shard-00001.h5, sample 6"
    assert (where, "its image is not what its record makes") in problems(
        copy, bank=bank, replays=1
    )


def test_a_missing_and_a_truncated_shard_are_found(copy: Path) -> None:
    (copy / "shard-00000.h5").unlink()
    path = copy / "shard-00002.h5"
    path.write_bytes(path.read_bytes()[:-1])
    found = dict(problems(copy))
    assert "missing" in found["shard-00000.h5"]
    assert "bytes, the manifest says" in found["shard-00002.h5"]
    assert set(found) == {"shard-00000.h5", "shard-00002.h5"}


def test_damage_anywhere_in_the_structure_never_raises(copy: Path) -> None:
    path = copy / "shard-00002.h5"
    sound = path.read_bytes()
    spots = [3, 9, 40, 96, 200, 640, 700, 1350, 9900, *range(len(sound) - 6000, len(sound), 999)]
    for spot in spots:
        path.write_bytes(sound)
        flip_bit(path, spot)
        assert problems(copy), f"a flip of byte {spot} went unseen"


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "time.sleep(600)"])
def test_damage_that_crashes_or_hangs_hdf5_is_survived(
    copy: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr("faceblend.store.check._LOOK", f"import os, time; {end}")
    monkeypatch.setattr("faceblend.store.check._PATIENCE", 0.1)
    flip_bit(copy / "shard-00001.h5", 5)
    assert problems(copy) == [
        ("shard-00001.h5", CHANGED),
        ("shard-00001.h5", "is damaged too badly to look into"),
    ]


def set_value(name: str, row: int, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][row] = value

    return change


def fake_row(folder: Path, *, label: int) -> int:
    """A row of the first shard with this label."""
    with h5py.File(folder / "shard-00000.h5") as file:
        return int(np.flatnonzero(file["label"][:] == label)[0])


def test_a_real_sample_with_an_xray_is_found(copy: Path) -> None:
    row = fake_row(copy, label=0)
    tamper(copy, "shard-00000.h5", set_value("xray", row, np.full((256, 256), 3, np.uint8)))
    where = f"shard-00000.h5, sample {row}"
    assert (where, "is labelled real, and its X-ray reaches 3") in problems(copy)


def test_a_fake_sample_without_an_xray_is_found(copy: Path) -> None:
    row = fake_row(copy, label=1)
    tamper(copy, "shard-00000.h5", set_value("xray", row, np.zeros((256, 256), np.uint8)))
    where = f"shard-00000.h5, sample {row}"
    found = problems(copy)
    assert (where, "is labelled blended, and its X-ray reaches only 0") in found
    assert (where, "its X-ray is not 4 alpha (1 - alpha)") in found


def test_an_alpha_that_is_no_weight_is_found(copy: Path) -> None:
    tamper(copy, "shard-00000.h5", set_value("alpha", 0, np.full((256, 256), np.nan)))
    assert problems(copy) == [("shard-00000.h5, sample 0", "its X-ray is not 4 alpha (1 - alpha)")]


def test_a_turned_label_is_found(copy: Path) -> None:
    row = fake_row(copy, label=1)
    tamper(copy, "shard-00000.h5", set_value("label", row, 0))
    whats = [what for _, what in problems(copy)]
    assert "is labelled 0, its record says 1" in whats
    assert any("the manifest says" in what for what in whats)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("label", 2, "has label 2"),
        ("index", 3, "has number 3 where 1 belongs"),
        ("record", "{", "record cannot be read"),
        ("record", "[]", "record cannot be read"),
        ("record", '{"index": 9, "seed": 7, "bank": "", "draw": {"fake": null}}', "index 9"),
    ],
)
def test_a_wrong_value_is_found_and_its_sample_named(
    copy: Path, name: str, value: Any, words: str
) -> None:
    tamper(copy, "shard-00000.h5", set_value(name, 1, value))
    found = problems(copy)
    assert any(where == "shard-00000.h5, sample 1" and words in what for where, what in found)


def test_a_dataset_of_another_type_or_shape_is_found(copy: Path) -> None:
    def retype(file: h5py.File) -> None:
        images = file["image"][:].astype(np.int16)
        del file["image"]
        file.create_dataset("image", data=images)

    def drop(file: h5py.File) -> None:
        del file["xray"]

    tamper(copy, "shard-00000.h5", retype)
    tamper(copy, "shard-00001.h5", drop)
    found = dict(problems(copy))
    assert "int16" in found["shard-00000.h5"]
    assert found["shard-00001.h5"] == "has no dataset 'xray'"


def test_attributes_that_are_not_the_manifests_are_found(copy: Path) -> None:
    tamper(copy, "shard-00000.h5", lambda file: file.attrs.__setitem__("seed", np.uint64(8)))
    assert problems(copy) == [("shard-00000.h5", "attribute 'seed' is not what the manifest says")]


def test_unlisted_shards_and_leftovers_are_found(copy: Path) -> None:
    shutil.copy(copy / "shard-00000.h5", copy / "shard-00007.h5")
    (copy / ".shard-00003.h5.12-ab.tmp").write_bytes(b"half")
    assert problems(copy) == [
        ("shard-00007.h5", "is not listed in the manifest"),
        (".shard-00003.h5.12-ab.tmp", "is left over from a run that did not finish"),
    ]


def test_an_unfinished_set_is_a_problem(copy: Path) -> None:
    manifest = Manifest.load(copy)
    replace(manifest, shards=manifest.shards[:2]).save(copy)
    (copy / "shard-00002.h5").unlink()
    assert problems(copy) == [
        ("manifest.json", "the set is not finished, 1 shards are missing: shard-00002.h5")
    ]


def test_a_record_that_makes_another_sample_is_found(copy: Path, bank: FaceBank) -> None:
    with h5py.File(copy / "shard-00000.h5") as file:
        record = json.loads(file["record"].asstr()[0])
    record["draw"]["flip_horizontal"] = not record["draw"]["flip_horizontal"]
    tamper(copy, "shard-00000.h5", set_value("record", 0, json.dumps(record)))
    assert problems(copy) == []
    found = problems(copy, bank=bank, replays=2)
    assert ("shard-00000.h5, sample 0", "its image is not what its record makes") in found


def test_a_record_that_cannot_be_rendered_is_found(copy: Path, bank: FaceBank) -> None:
    with h5py.File(copy / "shard-00000.h5") as file:
        record = json.loads(file["record"].asstr()[0])
    record["draw"]["background"] = 10**6
    tamper(copy, "shard-00000.h5", set_value("record", 0, json.dumps(record)))
    found = problems(copy, bank=bank, replays=1)
    assert found[0][0] == "shard-00000.h5, sample 0"
    assert "cannot be made again" in found[0][1]


def test_another_bank_is_a_problem_and_nothing_is_replayed(copy: Path, bank: FaceBank) -> None:
    edited(copy, lambda manifest: manifest["bank"].update(fingerprint="0" * 64))
    report = verify(copy, bank=bank, replays=3)
    assert report.replayed == 0
    assert any("nothing was made again" in found.what for found in report.problems)


def test_a_shard_with_many_problems_tells_the_first_twenty(copy: Path) -> None:
    def spoil(file: h5py.File) -> None:
        for row in range(4):
            file["record"][row] = "{}"
            file["index"][row] = 100
            file["label"][row] = 9
            file["xray"][row] = 1
            file["alpha"][row] = 2
        for name in ("seed", "bank", "recipe", "versions"):
            file.attrs[name] = "?"

    tamper(copy, "shard-00000.h5", spoil)
    found = problems(copy)
    assert len(found) == 21
    assert found[-1] == ("shard-00000.h5", "has more problems")
