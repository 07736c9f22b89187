"""The manifest of a set that is being made is saved often, and at a bounded cost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import Manifest, Plan, Rejection, ShardEntry
from faceblend.store.listing import Listing
from faceblend.store.place import Folder


class Clock:
    """Seconds that pass when a test lets them, and while a manifest is saved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def empty(count: int) -> Manifest:
    plan = Plan(
        layout="hdf5",
        recipe={"name": "bi"},
        seed=0,
        shard_size=10,
        image_size=64,
        bank="a" * 64,
        alpha=False,
        versions={},
    )
    return Manifest(plan=plan, count=count, shards=())


def entry(manifest: Manifest, first: int) -> ShardEntry:
    return ShardEntry(
        name=manifest.plan.shard_name(first),
        first=first,
        count=10,
        stored=9,
        fakes=4,
        sha256="0" * 64,
        bytes=100,
        rejected=(Rejection(index=first, reason="too small"),),
    )


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Clock, list[float]]]:
    """Saving takes a second; when each began."""
    clock, began = Clock(), list[float]()
    save = Manifest.save

    def slowly(manifest: Manifest, folder: Path) -> None:
        began.append(clock.now)
        save(manifest, folder)
        clock.now += 1.0

    monkeypatch.setattr(Manifest, "save", slowly)
    return clock, began


def test_saving_takes_an_eleventh_of_the_time_at_most(
    saves: tuple[Clock, list[float]], tmp_path: Path
) -> None:
    clock, began = saves
    manifest = empty(4000)
    with Listing(Folder(tmp_path), manifest, clock) as listing:
        for first in reversed(range(0, 4000, 10)):  # a shard each quarter of a second
            clock.now += 0.25
            listing.add(entry(manifest, first))
        assert 9 <= len(began) <= clock.now / 11 + 1
        assert began[0] == 0.25  # the first shard waits for nothing
        # what is not saved yet is what came within ten times a saving
        assert 400 - len(Manifest.load(tmp_path).shards) <= 40
    assert [one.first for one in Manifest.load(tmp_path).shards] == list(range(0, 4000, 10))
    assert Manifest.load(tmp_path) == listing.manifest


def test_what_was_listed_is_saved_when_the_run_is_stopped(
    saves: tuple[Clock, list[float]], tmp_path: Path
) -> None:
    clock, _ = saves
    manifest = empty(40)

    def stopped() -> None:
        with Listing(Folder(tmp_path), manifest, clock) as listing:
            for first in (0, 20, 30):
                listing.add(entry(manifest, first))
            assert len(Manifest.load(tmp_path).shards) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [one.first for one in Manifest.load(tmp_path).shards] == [0, 20, 30]


def test_nothing_new_is_not_saved_again(saves: tuple[Clock, list[float]], tmp_path: Path) -> None:
    clock, began = saves
    manifest = empty(40)
    with Listing(Folder(tmp_path), manifest, clock) as listing:
        listing.add(entry(manifest, 0))
    with Listing(Folder(tmp_path), replace(manifest, shards=listing.manifest.shards), clock):
        pass
    assert len(began) == 1


def test_shards_that_were_committed_and_not_saved_are_made_again(
    bank: FaceBank, tmp_path: Path
) -> None:
    recipe = load_recipe("bi")
    generate(bank, recipe, tmp_path, count=6, shard_size=1)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    manifest = Manifest.load(tmp_path)
    replace(manifest, shards=manifest.shards[:2]).save(tmp_path)  # as if the power had failed
    report = generate(bank, recipe, tmp_path, count=6, shard_size=1)
    assert (report.kept, report.made) == (2, 4)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole
