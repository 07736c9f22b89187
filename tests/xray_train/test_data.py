"""Batches are arithmetic: what a step takes depends on the seed and the step alone."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from xray_train.data import Batches, InOrder, Mix, Mixed, Place
from xray_train.sources import Item, Online, Source


class Numbered(Source):
    """Items that are their own numbers."""

    def __init__(self, length: int, parts: int = 1, shuffled: bool = True) -> None:
        self.parts, self._length, self._shuffled = parts, length, shuffled

    def __len__(self) -> int:
        return self._length

    def item(self, number: int) -> Item:
        return {"image": torch.tensor(number)}

    def named(self, number: int) -> tuple[Item, str]:
        return self.item(number), str(number)

    def shuffled(self) -> bool:
        return self._shuffled

    def classes(self) -> set[int]:
        return {0, 1}


def taken(mix: Mix, **options: int) -> list[list[Place]]:
    return list(Batches(mix, **{"batch": 8, "start": 0, "stop": 10, **options}))


def test_a_run_that_starts_later_takes_the_same_batches() -> None:
    mix = Mix(sources=[Numbered(30), Numbered(1000, shuffled=False)], seed=3)
    assert taken(mix, start=4) == taken(mix)[4:]


def test_every_item_is_taken_once_an_epoch_and_in_another_order_each() -> None:
    mix = Mix(sources=[Numbered(20)], seed=1)
    numbers = [number for batch in taken(mix) for _, number, _ in batch]
    epochs = [numbers[start : start + 20] for start in range(0, 80, 20)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_online_items_come_in_their_order_and_none_twice() -> None:
    mix = Mix(sources=[Numbered(1000, shuffled=False)], seed=1)
    assert [number for batch in taken(mix) for _, number, _ in batch] == list(range(80))


def test_another_seed_takes_another_order() -> None:
    orders = [taken(Mix(sources=[Numbered(50)], seed=seed)) for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_sources_are_mixed_by_their_parts_in_every_batch() -> None:
    mix = Mix(sources=[Numbered(100, 3), Numbered(100, 1)], seed=0)
    for batch in taken(mix):
        assert Counter(place.source for place in batch) == {0: 6, 1: 2}


def test_a_source_of_many_parts_skips_nothing() -> None:
    mix = Mix(sources=[Numbered(1000, 3, shuffled=False), Numbered(1000, 2, False)], seed=0)
    both = [place for batch in taken(mix, batch=10) for place in batch]
    assert [number for source, number, _ in both if source == 0] == list(range(60))
    assert [number for source, number, _ in both if source == 1] == list(range(40))


def test_processes_share_a_batch_and_parts_share_a_process() -> None:
    mix = Mix(sources=[Numbered(100)], seed=0)
    whole = taken(mix)
    ranks = [taken(mix, rank=rank, world=2, accumulate=2) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        parts = [part for rank in ranks for part in rank[2 * step : 2 * step + 2]]
        assert all(len(part) == 2 for part in parts)
        assert sorted(place for part in parts for place in part) == sorted(batch)


def test_a_process_takes_neighbours() -> None:
    mix = Mix(sources=[Numbered(1000, shuffled=False)], seed=1)
    numbers = [number for _, number, _ in taken(mix, rank=1, world=2, accumulate=2)[1]]
    assert numbers == [6, 7]


def test_pairs_hold_both_classes_whatever_the_recipe(bank: FaceBank, tmp_path: Path) -> None:
    recipe = tmp_path / "reals.yaml"
    recipe.write_text("fake_share: 0.0\n")
    assert Online(str(bank.root), str(recipe)).classes() == {0}
    source = Online(str(bank.root), str(recipe), pairs=True, length=4)
    assert source.classes() == {0, 1}
    assert [int(source.item(number)["label"]) for number in range(4)] == [1, 0, 1, 0]


class Grey(Numbered):
    """Pictures of one grey each, with a bright X-ray in the middle."""

    def item(self, number: int) -> Item:
        xray = torch.zeros(1, 32, 32, dtype=torch.uint8)
        xray[:, 8:24, 8:24] = 255
        image = torch.full((3, 32, 32), 100 + number, dtype=torch.uint8)
        return {"image": image, "xray": xray, "label": torch.tensor(number % 2)}


def test_training_changes_a_sample_anew_each_time_and_repeats_with_its_seed() -> None:
    source = Grey(2)
    source.augment = True
    mix = Mix(sources=[source], seed=3)
    first, again = Place(0, 1, 1), Place(0, 1, 3)
    one = Mixed(mix)[first]
    assert not torch.equal(one["image"], source.item(1)["image"])
    assert torch.equal(one["image"], Mixed(mix)[first]["image"])
    assert not torch.equal(one["image"], Mixed(mix)[again]["image"])
    other = Mixed(Mix(sources=[source], seed=4))[first]
    assert not torch.equal(one["image"], other["image"])


def test_the_halves_of_a_pair_are_changed_alike() -> None:
    source = Grey(40)
    source.augment = source.pairs = True
    changed = Mixed(Mix(sources=[source], seed=3))
    xrays = [changed[Place(0, number, number)]["xray"] for number in range(4)]
    assert torch.equal(xrays[0], xrays[1])
    assert torch.equal(xrays[2], xrays[3])
    assert not torch.equal(xrays[0], xrays[2])


def test_what_is_evaluated_on_is_never_changed() -> None:
    source = Grey(4)
    source.augment = True
    for number, (item, _) in enumerate(InOrder(source)[place] for place in range(4)):
        assert torch.equal(item["image"], source.item(number)["image"])


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    mix = Mix(sources=[Numbered(100)], seed=0)
    with pytest.raises(BadArgument, match="give a multiple of 6"):
        Batches(mix, 8, start=0, stop=1, world=2, accumulate=3)
    with pytest.raises(BadArgument, match="names no source"):
        Mix(sources=[], seed=0)
