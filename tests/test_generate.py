"""The finished folder is the same however it came about, and damage is made good."""

import json
import pickle
import shutil
from collections import namedtuple
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faceblend.generate
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadImage, BadRecipe, BadShard, Rejected
from faceblend.generate import generate
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample, sample
from faceblend.store import BlendSet, Manifest, verify


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("bi")


@pytest.fixture(scope="module")
def undisturbed(bank: FaceBank, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten samples in three shards, made in one go; copy it before changing it."""
    out = tmp_path_factory.mktemp("undisturbed") / "set"
    report = generate(bank, recipe, out, count=10, seed=3, shard_size=4)
    assert (report.stored, report.made, report.kept, report.failed) == (10, 3, 0, ())
    return out


@pytest.fixture
def copy(undisturbed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed, tmp_path / "copy"))


class PicklingExecutor(ThreadPoolExecutor):
    """A worker that gets its tasks as bytes, as another process would, and can be watched."""

    def __init__(self) -> None:
        super().__init__(1)

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        data = pickle.dumps((function, arguments, options))
        return super().submit(call, data)


def call(data: bytes) -> Any:
    function, arguments, options = pickle.loads(data)  # noqa: S301 - made in submit
    return function(*arguments, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digests(folder: Path) -> list[str]:
    with BlendSet(folder) as blends:
        return [made.digest() for made in blends]


# -- the same whatever happens ------------------------------------------------------------


def test_a_set_is_what_sample_makes_one_by_one(
    undisturbed: Path, bank: FaceBank, recipe: Recipe
) -> None:
    expected = [sample(bank, recipe, 3, index).digest() for index in range(10)]
    assert digests(undisturbed) == expected
    assert verify(undisturbed, bank=bank, replays=10).problems == ()


def test_two_workers_make_the_same_folder_as_one(
    undisturbed: Path, bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    generate(bank, recipe, tmp_path / "set", count=10, seed=3, shard_size=4, workers=2)
    assert contents(tmp_path / "set") == contents(undisturbed)


def test_any_executor_makes_the_same_folder(
    undisturbed: Path, bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as threads:
        generate(bank, recipe, tmp_path / "set", count=10, seed=3, shard_size=4, executor=threads)
    assert contents(tmp_path / "set") == contents(undisturbed)


@pytest.mark.slow
def test_200_samples_do_not_depend_on_workers_or_shard_size(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    generate(bank, recipe, tmp_path / "a", count=200, shard_size=100, workers=1)
    generate(bank, recipe, tmp_path / "b", count=200, shard_size=7, workers=2)
    expected = [sample(bank, recipe, 0, index).digest() for index in range(200)]
    assert digests(tmp_path / "a") == expected
    assert digests(tmp_path / "b") == expected


def test_a_finished_set_is_left_alone(
    copy: Path, undisturbed: Path, bank: FaceBank, recipe: Recipe
) -> None:
    times = {path: path.stat().st_mtime_ns for path in copy.glob("*.h5")}
    report = generate(bank, recipe, copy, count=10, seed=3, shard_size=4)
    assert (report.stored, report.made, report.kept) == (10, 0, 3)
    assert {path: path.stat().st_mtime_ns for path in copy.glob("*.h5")} == times
    assert contents(copy) == contents(undisturbed)


def test_shards_that_are_not_listed_are_made_again(
    copy: Path, undisturbed: Path, bank: FaceBank, recipe: Recipe
) -> None:
    manifest = Manifest.load(copy)
    replace(manifest, shards=manifest.shards[1:2]).save(copy)
    (copy / "shard-00002.h5").write_bytes(b"committed by nobody")
    (copy / ".shard-00000.h5.99-ab.tmp").write_bytes(b"half a shard")
    (copy / ".manifest.json.99-ab.tmp").write_bytes(b"half a manifest")
    report = generate(bank, recipe, copy, count=10, seed=3, shard_size=4)
    assert (report.made, report.kept) == (2, 1)
    assert contents(copy) == contents(undisturbed)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_listed_shard_that_is_damaged_is_made_again(
    copy: Path, undisturbed: Path, bank: FaceBank, recipe: Recipe, damage: str
) -> None:
    path = copy / "shard-00001.h5"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1000])
    assert verify(copy).problems
    report = generate(bank, recipe, copy, count=10, seed=3, shard_size=4)
    assert (report.made, report.kept) == (1, 2)
    assert contents(copy) == contents(undisturbed)


def test_a_larger_count_adds_to_the_set(
    copy: Path, bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    report = generate(bank, recipe, copy, count=13, seed=3, shard_size=4)
    assert (report.stored, report.made, report.kept) == (13, 2, 2)
    generate(bank, recipe, tmp_path / "at once", count=13, seed=3, shard_size=4)
    assert contents(copy) == contents(tmp_path / "at once")


def test_a_set_continues_with_a_bank_that_was_moved(
    undisturbed: Path, bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    moved = FaceBank.open(shutil.copytree(bank.root, tmp_path / "moved"))
    generate(moved, recipe, tmp_path / "set", count=10, seed=3, shard_size=4)
    assert contents(tmp_path / "set") == contents(undisturbed)


def test_a_worker_opens_the_bank_once(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = FaceBank.open

    def counting(path: Path) -> FaceBank:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(FaceBank, "open", counting)
    with PicklingExecutor() as worker:
        generate(bank, recipe, tmp_path / "set", count=4, shard_size=1, executor=worker)
    assert len(opened) == 1


# -- what goes wrong ----------------------------------------------------------------------


def test_rejected_samples_and_bad_crops_are_recorded_and_the_job_goes_on(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
        if index == 2:
            raise Rejected(f"sample {index} of seed {seed}", "rejected 8 times", "draw larger")
        if index == 4:
            raise BadImage(bank.root / "crops" / "a.png", "cannot be read", "replace it")
        return sample(bank, recipe, seed, index)

    monkeypatch.setattr(faceblend.generate, "sample", picky)
    out = tmp_path / "set"
    report = generate(bank, recipe, out, count=6, shard_size=3)
    assert (report.stored, report.rejected, report.failed) == (4, 2, ())
    with BlendSet(out) as blends:
        assert [made.index for made in blends] == [0, 1, 3, 5]
        assert len(blends.images(slice(None))) == 4
    assert verify(out, bank=bank, replays=4).problems == ()
    manifest = Manifest.load(out)
    assert [[(r.index, r.reason) for r in shard.rejected] for shard in manifest.shards] == [
        [(2, "rejected 8 times")],
        [(4, "crops/a.png: cannot be read")],
    ]
    assert str(bank.root) not in (out / "manifest.json").read_text()


def test_a_real_damaged_crop_costs_its_samples_only(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(bank.root, tmp_path / "bank"))
    crop = sorted(root.rglob("*.png"))[0]
    crop.write_bytes(crop.read_bytes()[:-20])
    out = tmp_path / "set"
    report = generate(FaceBank.open(root), recipe, out, count=12, shard_size=6)
    assert 0 < report.rejected < 12
    assert report.stored + report.rejected == 12
    reasons = {r.reason for shard in Manifest.load(out).shards for r in shard.rejected}
    name = crop.relative_to(root).as_posix()
    assert reasons == {f"{name}: its bytes have changed since the bank was made"}
    assert verify(out).problems == ()


def test_a_shard_that_fails_is_reported_and_only_it_is_missing(
    bank: FaceBank,
    recipe: Recipe,
    tmp_path: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaking(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
        if index == 5:
            raise ZeroDivisionError("a bug in an operation")
        return sample(bank, recipe, seed, index)

    out = tmp_path / "set"
    with monkeypatch.context() as patched:
        patched.setattr(faceblend.generate, "sample", breaking)
        report = generate(bank, recipe, out, count=10, seed=3, shard_size=4)
    assert (report.stored, report.made) == (6, 2)
    assert [failed.name for failed in report.failed] == ["shard-00001.h5"]
    assert "a bug in an operation" in report.failed[0].reason
    assert "failed: shard-00001.h5: " in str(report)
    with BlendSet(out) as blends:
        assert not blends.finished
        assert [made.index for made in blends] == [0, 1, 2, 3, 8, 9]
    generate(bank, recipe, out, count=10, seed=3, shard_size=4)
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"shard_size": 5}, "shard_size is 4 there and 5 here"),
        ({"alpha": True}, "alpha is False there and True here"),
        ({"layout": "folder"}, "layout is 'hdf5' there and 'folder' here"),
        ({"count": 9}, "holds a set of 10 samples, and 9 are asked for"),
    ],
    ids=str,
)
def test_a_set_of_other_arguments_is_not_touched(
    copy: Path,
    undisturbed: Path,
    bank: FaceBank,
    recipe: Recipe,
    other: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(BadArgument, match=words):
        generate(bank, recipe, copy, **{"count": 10, "seed": 3, "shard_size": 4, **other})
    assert contents(copy) == contents(undisturbed)


def test_another_recipe_is_refused_by_the_names_of_what_differs(
    copy: Path, undisturbed: Path, bank: FaceBank
) -> None:
    other = load_recipe("bi", {"jpeg.probability": 0.25, "color": {"mean": 2.0}})
    with pytest.raises(BadArgument) as refused:
        generate(bank, other, copy, count=10, seed=3, shard_size=4)
    for words in (
        "recipe.jpeg.probability is 0.5 there and 0.25 here",
        "recipe.color.lab is 1.0 there and 'absent' here",
        "give the same values to continue it, or another folder",
    ):
        assert words in str(refused.value)
    assert contents(copy) == contents(undisturbed)


def test_other_versions_and_another_bank_are_refused(
    copy: Path, bank: FaceBank, recipe: Recipe
) -> None:
    manifest = Manifest.load(copy)
    old = {**manifest.plan.versions, "numpy": "1.26.4"}
    replace(manifest, plan=replace(manifest.plan, versions=old)).save(copy)
    with pytest.raises(BadArgument, match=r"versions\.numpy is '1\.26\.4' there and '2"):
        generate(bank, recipe, copy, count=10, seed=3, shard_size=4)
    replace(manifest, plan=replace(manifest.plan, bank="f" * 64)).save(copy)
    with pytest.raises(BadArgument, match=r"bank\.fingerprint is 'ffff"):
        generate(bank, recipe, copy, count=10, seed=3, shard_size=4)


def test_a_damaged_manifest_is_refused_not_overwritten(
    copy: Path, bank: FaceBank, recipe: Recipe
) -> None:
    (copy / "manifest.json").write_text("{")
    with pytest.raises(BadShard, match="is not JSON"):
        generate(bank, recipe, copy, count=10, seed=3, shard_size=4)
    assert (copy / "manifest.json").read_text() == "{"


def test_a_folder_of_other_files_is_refused_and_left_alone(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadArgument, match=r"holds other files \(thesis\.tex\)"):
        generate(bank, recipe, tmp_path, count=2)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_run_that_died_before_its_manifest_continues(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / ".manifest.json.99-ab.tmp").write_bytes(b"{")
    generate(bank, recipe, tmp_path, count=1)
    assert sorted(contents(tmp_path)) == ["manifest.json", "shard-00000.h5"]


def test_a_file_in_place_of_the_folder_is_refused(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(BadArgument, match="cannot be made"):
        generate(bank, recipe, tmp_path / "set", count=1)


def test_two_runs_in_one_folder_are_refused(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []

    def nested(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
        with pytest.raises(BadArgument, match="is being written by another run") as refused:
            generate(bank, recipe, tmp_path / "set", count=1)
        refusals.append(refused)
        return sample(bank, recipe, seed, index)

    monkeypatch.setattr(faceblend.generate, "sample", nested)
    assert generate(bank, recipe, tmp_path / "set", count=1).stored == 1
    assert len(refusals) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"count": 1, "seed": -1}, {"count": 1, "seed": 2**64},
     {"count": 1, "shard_size": 0}, {"count": 1, "alpha": True, "layout": "folder"}],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused_before_anything_is_made(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(BadArgument):
        generate(bank, recipe, tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_the_largest_seed_works(bank: FaceBank, recipe: Recipe, tmp_path: Path) -> None:
    generate(bank, recipe, tmp_path / "set", count=1, seed=2**64 - 1)
    assert verify(tmp_path / "set", bank=bank, replays=1).problems == ()


def test_a_bank_of_one_video_is_refused_before_anything_is_made(
    bank: FaceBank, recipe: Recipe, tmp_path: Path
) -> None:
    lonely = replace(bank, videos=np.zeros(len(bank), np.int32))
    with pytest.raises(BadBank, match="one video"):
        generate(lonely, recipe, tmp_path / "set", count=1)
    assert not (tmp_path / "set").exists()


def test_a_window_outside_the_crops_is_refused_before_anything_is_made(
    bank: FaceBank, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe):
        generate(bank, load_recipe("bi", {"crop.top": 100}), tmp_path / "set", count=1)
    assert not (tmp_path / "set").exists()


def test_a_set_larger_than_the_disk_is_refused(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2**30))
    with pytest.raises(BadArgument, match=r"24\.8 GiB for 100000 samples, and 1\.0 GiB"):
        generate(bank, recipe, tmp_path / "set", count=100_000)
    with pytest.raises(BadArgument, match="are free"):
        generate(bank, recipe, tmp_path / "set", count=10**9, layout="folder")
    assert contents(tmp_path) == {}


def test_the_manifest_lists_what_the_shards_hold(undisturbed: Path) -> None:
    listed = json.loads((undisturbed / "manifest.json").read_text())["shards"]
    assert [(shard["first"], shard["count"], shard["stored"]) for shard in listed] == [
        (0, 4, 4),
        (4, 4, 4),
        (8, 2, 2),
    ]
    with BlendSet(undisturbed) as blends:
        assert sum(shard["fakes"] for shard in listed) == int(blends.labels.sum())
