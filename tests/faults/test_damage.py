"""Damage after the commit: verify names the shard and the sample, generate remakes only it."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from trouble import COUNT, SEED, SHARD, contents

from faceblend.bank import FaceBank
from faceblend.cli import DONE, FAILURES, main
from faceblend.generate import GenerateReport, generate
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet, Manifest, verify
from faceblend.store.check import CHANGED

BI = load_recipe("bi")
HIT = "shard-00001.h5"


def made(bank: FaceBank, out: Path, **options: Any) -> GenerateReport:
    return generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD, **options)


@pytest.fixture
def whole(undisturbed: dict[str, bytes], tmp_path: Path) -> Path:
    """A sound set of three shards of two samples."""
    (tmp_path / "set").mkdir()
    for name, data in undisturbed.items():
        (tmp_path / "set" / name).write_bytes(data)
    return tmp_path / "set"


def flip_bit(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def places(path: Path, data: bytes) -> dict[str, int]:
    """Where the parts of the second sample of a shard lie in its file."""
    with h5py.File(path) as file:
        found = {
            name: file[name].id.get_chunk_info(1).byte_offset + 500 for name in ("image", "xray")
        }
        found["label"] = file["label"].id.get_offset() + 1
        for name, size in (("landmarks", 544), ("crc32", 4), ("index", 8)):
            found[name] = file[name].id.get_offset() + size
        found["record"] = data.index(file["record"][1]) + 100
    return found


def slow(*values: str) -> list[Any]:
    return [pytest.param(one, marks=pytest.mark.slow) for one in values]  # a process each


@pytest.mark.parametrize(
    "part", ["image", *slow("record", "xray", "label", "landmarks", "index", "crc32")]
)
def test_a_flipped_bit_names_shard_and_sample_without_the_bank(
    whole: Path, undisturbed: dict[str, bytes], part: str
) -> None:
    flip_bit(whole / HIT, places(whole / HIT, undisturbed[HIT])[part])
    found = {(one.where, one.what) for one in verify(whole).problems}
    assert (HIT, CHANGED) in found
    assert (f"{HIT}, sample 3", "its bytes are not those that were written") in found
    named = {where for where, _ in found}
    assert named == {HIT, f"{HIT}, sample 3"}


def spoil(path: Path, how: str) -> None:
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        flip_bit(path, path.stat().st_size // 2)


@pytest.mark.parametrize("how", ["deleted", "truncated", "flipped"])
def test_only_the_damaged_shard_is_made_again(
    bank: FaceBank, whole: Path, undisturbed: dict[str, bytes], how: str
) -> None:
    others = {path.name: path.stat().st_ino for path in whole.glob("shard-*") if path.name != HIT}
    spoil(whole / HIT, how)
    assert any(one.where == HIT for one in verify(whole).problems)
    report = made(bank, whole)
    assert (report.kept, report.made) == (2, 1)
    assert {name: (whole / name).stat().st_ino for name in others} == others
    assert contents(whole) == undisturbed


def test_a_lazy_check_sees_sizes_alone(
    bank: FaceBank, whole: Path, undisturbed: dict[str, bytes]
) -> None:
    spoil(whole / HIT, "flipped")
    spoil(whole / "shard-00000.h5", "truncated")
    report = made(bank, whole, check="lazy")
    assert (report.kept, report.made) == (2, 1)
    assert contents(whole).keys() == undisturbed.keys()
    assert verify(whole).problems
    assert made(bank, whole, check="deep").made == 1
    assert contents(whole) == undisturbed


def test_the_command_tells_which_shard_it_makes_again(
    bank: FaceBank, whole: Path, undisturbed: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(whole / HIT, "flipped")
    assert main(["verify", str(whole)]) == FAILURES
    assert f"{HIT}, sample " in capsys.readouterr().err
    words = ["generate", bank.root, "--out", whole, "--count", COUNT, "--seed", SEED]
    words += ["--shard-size", SHARD, "--workers", 1]
    assert main([str(word) for word in (*words, "--check", "lazy")]) == DONE
    assert "made again" not in capsys.readouterr().err
    assert main([str(word) for word in words]) == DONE
    assert f"check: {HIT}: its bytes have changed: it is made again" in capsys.readouterr().err
    assert main(["verify", str(whole)]) == DONE
    assert contents(whole) == undisturbed


@pytest.mark.slow
def test_workers_compare_the_shards_as_one_does(
    bank: FaceBank, whole: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceblend.generate._SOON_READ", 0)
    spoil(whole / HIT, "flipped")
    assert made(bank, whole, workers=2).made == 1
    assert contents(whole) == undisturbed


@pytest.mark.parametrize("kind", ["fake", *slow("true", "mask")])
def test_in_folders_a_flipped_bit_anywhere_in_a_picture_names_it(
    bank: FaceBank, tmp_path: Path, kind: str
) -> None:
    made(bank, tmp_path / "whole", layout="folder")
    out = Path(shutil.copytree(tmp_path / "whole", tmp_path / "set"))
    path = next((out / kind).iterdir())
    for place in (20, path.stat().st_size // 2):
        flip_bit(path, place)
        found = verify(out).problems
        assert any(path.name in one.where or path.name in one.what for one in found), place
        flip_bit(path, place)
    flip_bit(path, 60)
    report = made(bank, out, layout="folder")
    assert (report.kept, report.made) == (2, 1)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_set_of_before_there_were_checksums_of_samples_is_read_and_continued(
    bank: FaceBank, whole: Path
) -> None:
    manifest = Manifest.load(whole)
    entries = []
    for entry in manifest.shards[:2]:
        with h5py.File(whole / entry.name, "r+") as file:
            del file["crc32"]
        data = (whole / entry.name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        entries.append(replace(entry, sha256=digest, bytes=len(data)))
    (whole / manifest.shards[2].name).unlink()
    replace(manifest, shards=tuple(entries)).save(whole)
    assert made(bank, whole).kept == 2
    assert verify(whole, bank=bank, replays=3).problems == ()
    with BlendSet(whole) as blends:
        numbers = [json.loads(one.record)["index"] for one in blends]
    assert numbers == list(range(COUNT))
    flip_bit(whole / HIT, 100_000)
    assert (HIT, CHANGED) in {(one.where, one.what) for one in verify(whole).problems}
