"""No face lends itself more often than the cap, and everyone gets the nearest that are left."""

import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceblend import capped, partner
from faceblend.bank import FaceBank
from faceblend.draw import draw
from faceblend.errors import BadRecipe, Rejected
from faceblend.generate import generate
from faceblend.neighbours import neighbours
from faceblend.recipe import Member, Partner, Recipe, load_recipe
from faceblend.search import distances
from tests.conftest import make_bank
from tests.test_partner import FAST, banks, landmark_bank
from tests.test_search import faces_like, split_bank


def by_hand(bank: FaceBank, top: int, cap: int) -> np.ndarray:
    """Every pair of the bank, heard in the order that the docstring gives."""
    pairs = []
    for row in bank.reals.tolist():
        others = bank.reals[partner.eligible(bank, row, bank.reals)]
        apart = distances(bank.landmarks[row], bank.landmarks[others])
        pairs += zip(apart.tolist(), [row] * len(others), others.tolist(), strict=True)
    pairs.sort()
    table = np.full((len(bank), top), -1)
    lent = Counter[int]()
    for rank in range(top):
        for _, row, lender in pairs:
            open_place = table[row, rank] < 0 and lender not in table[row, :rank]
            if open_place and lent[lender] < cap:
                table[row, rank] = lender
                lent[lender] += 1
    return table


@pytest.mark.parametrize(("top", "cap"), [(1, 1), (1, 2), (3, 3), (3, 5), (2, 1000)])
def test_pairs_are_heard_by_distance_rank_by_rank(tmp_path: Path, top: int, cap: int) -> None:
    bank = split_bank(tmp_path)
    expected = by_hand(bank, top, cap)
    made = capped.assign(bank, top, cap)
    assert made.tolist() == expected.tolist()
    assert np.unique(made[made >= 0], return_counts=True)[1].max() <= cap
    # what the neighbours' job kept is only a faster way to the same
    neighbours(bank, 4)
    again = FaceBank.open(tmp_path)
    assert capped.assign(again, top, cap).tolist() == expected.tolist()


def test_without_a_full_face_everyone_has_the_nearest(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    for row in bank.reals[:40].tolist():
        free = capped.nearest(bank, row, 3, 10**6)
        assert free.tolist() == partner.nearest_of_all(bank, row, 3).tolist()


def test_a_forged_face_neither_lends_nor_gets(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    table = capped.assign(bank, 2, 2)
    forged = np.setdiff1d(np.arange(len(bank)), bank.reals)
    assert len(forged)
    assert (table[forged] == -1).all()
    assert not np.isin(table, forged).any()
    assert (table[bank.reals, 0] >= 0).mean() > 0.95


def test_the_table_is_kept_beside_the_bank_and_made_again(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    capped.arrange(bank, 2, 4)
    path = bank.capped_path(2, 4)
    assert path is not None
    first = path.read_bytes()
    before = path.stat().st_mtime_ns
    capped.arrange(bank, 2, 4)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(first[: len(first) // 2])
    assert (
        capped.nearest(FaceBank.open(tmp_path), 0, 2, 4).tolist()
        == by_hand(bank, 2, 4)[0].tolist()
    )
    assert path.read_bytes() == first


def test_a_bank_that_keeps_no_copies_is_served_from_memory(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    bank.to_landmarks_json(tmp_path / "landmarks.json")
    classic = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", tmp_path)
    assert classic.capped_path(1, 1) is None
    found = [capped.nearest(classic, row, 1, 1).tolist() for row in range(len(classic))]
    assert found == [[row] if row >= 0 else [] for row in by_hand(classic, 1, 1)[:, 0]]


def test_a_bank_that_cannot_be_written_is_served_from_memory(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    expected = by_hand(bank, 1, 2)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_bytes(b"in the way")
    again = FaceBank.open(tmp_path)
    capped.arrange(again, 1, 2)
    assert capped.nearest(again, 0, 1, 2).tolist() == expected[0].tolist()
    assert (tmp_path / "cache").is_file()


def test_a_dataset_and_a_mix_make_the_table_before_anybody_asks(tmp_path: Path) -> None:
    torch = pytest.importorskip("faceblend.torch", reason="torch is not installed")
    bank = make_bank(tmp_path)
    own = load_recipe("bi", {"partner.search": "exact", "partner.top": 2, "partner.cap": 3})
    mix = Recipe(mix={"one": Member(weight=1, recipe=own)})
    assert mix.partners == [own.partner]
    torch.OnlineBlend(bank, mix, seed=0, length=2)
    path = bank.capped_path(2, 3)
    assert path is not None
    assert path.exists()


def test_a_recipe_draws_from_the_table_and_nothing_else_moves(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    free = Recipe(partner=Partner(search="exact", top=2), fake_share=1.0)
    bound = Recipe(partner=Partner(search="exact", top=2, cap=2), fake_share=1.0)
    table = capped.assign(bank, 2, 2)
    moved = 0
    for index in range(60):
        one, other = draw(bank, free, 0, index), draw(bank, bound, 0, index)
        assert one.fake is not None
        assert other.fake is not None
        assert one.background == other.background
        assert other.fake.foreground in table[other.background]
        assert one.fake.mask == other.fake.mask
        moved += one.fake.foreground != other.fake.foreground
    assert moved


def test_nobody_left_is_a_rejection_in_words(tmp_path: Path) -> None:
    # three faces of one video can only be lent the one of the other
    points = faces_like(np.random.default_rng(0), 4)
    videos = ("a", "a", "a", "b")
    faces = [{"video": name, "points": one} for name, one in zip(videos, points, strict=True)]
    small = landmark_bank(tmp_path, faces)
    assert (capped.assign(small, 1, 1) >= 0).sum() == 2
    recipe = Recipe(partner=Partner(search="exact", cap=1), fake_share=1.0)
    alone = next(index for index in range(99) if not len(of_sample(small, index)))
    with pytest.raises(Rejected, match=r"does so 1 times already \(partner.cap\)"):
        draw(small, recipe, 0, alone)
    served = next(index for index in range(99) if len(of_sample(small, index)))
    drawn = draw(small, recipe, 0, served)
    assert drawn.fake is not None
    assert drawn.fake.foreground == of_sample(small, served)[0]


def of_sample(bank: FaceBank, index: int) -> np.ndarray:
    """The capped partners of the background of a sample."""
    background = draw(bank, Recipe(fake_share=0), 0, index).background
    return capped.nearest(bank, background, 1, 1)


@FAST
@given(faces=banks(), top=st.integers(1, 3), more=st.integers(0, 2))
def test_ties_go_to_the_lower_rows(faces: list[dict[str, Any]], top: int, more: int) -> None:
    with TemporaryDirectory() as folder:
        bank = landmark_bank(Path(folder), faces)
        made = capped.assign(bank, top, top + more)
        assert made.tolist() == by_hand(bank, top, top + more).tolist()


def test_a_cap_that_leaves_places_empty_or_has_no_use_is_refused() -> None:
    with pytest.raises(BadRecipe, match=r"partner.cap: is 2, for 3 partners .* give 3 or more"):
        Partner(search="exact", top=3, cap=2)
    with pytest.raises(BadRecipe, match=r"partner.cap: is 5, with partner.search: sampled"):
        Partner(cap=5)
    with pytest.raises(BadRecipe, match=r"partner\.cap"):
        load_recipe("bi", {"partner.search": "exact", "partner.cap": 0})
    assert load_recipe("bi").partner.cap is None


def test_a_run_makes_the_table_before_its_workers_ask(tmp_path: Path) -> None:
    own = make_bank(tmp_path / "bank")
    recipe = load_recipe(
        "bi", {"partner.search": "exact", "partner.top": 1, "partner.cap": 1, "fake_share": 1.0}
    )
    generate(own, recipe, tmp_path / "one", count=4)
    path = own.capped_path(1, 1)
    assert path is not None
    assert path.exists()
    generate(FaceBank.open(own.root), recipe, tmp_path / "two", count=4, shard_size=1000)
    first, second = (tmp_path / name / "shard-00000.h5" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
