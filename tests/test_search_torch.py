# ruff: noqa: E402 - without torch nothing below can be imported
"""Brute force by torch finds what the index finds, to the bit; here on torch's CPU."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend import partner, search_torch
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.neighbours import neighbours
from faceblend.search_torch import Brute
from tests.test_partner import landmark_bank
from tests.test_search import faces_like, split_bank


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_torch, "QUERIES", 13)
    monkeypatch.setattr(search_torch, "FACES", 50)
    monkeypatch.setattr(search_torch, "_PAIRS", 100)


def people_bank(root: Path) -> FaceBank:
    """Two splits; copies of faces, also in one's own video; persons of two videos; forgeries."""
    rng = np.random.default_rng(4)
    points = faces_like(rng, 400)
    points[rng.integers(0, 400, 60)] = points[rng.integers(0, 400, 60)]
    return landmark_bank(
        root,
        [
            {
                "video": f"{number // 5:03d}",
                "split": ("train", "test")[number // 5 % 3 == 2],
                "subject": None if number // 5 % 4 == 3 else f"{number // 10:03d}",
                "label": int(number % 11 == 6),
                "points": points[number],
            }
            for number in range(400)
        ],
    )


@pytest.mark.parametrize("top", [1, 4, 60])
def test_brute_force_finds_what_the_index_finds(tmp_path: Path, top: int) -> None:
    bank = people_bank(tmp_path)
    for split in np.unique(bank.splits[bank.reals]):
        rows = bank.reals[bank.splits[bank.reals] == split]
        found = Brute(bank, int(split), "cpu").nearest(rows, top)
        for row, near in zip(rows, found, strict=True):
            assert near.tolist() == partner.nearest_of_all(bank, int(row), top).tolist()


def test_where_few_or_none_are_eligible_it_finds_these(tmp_path: Path) -> None:
    points = faces_like(np.random.default_rng(5), 120)
    people = [
        # one person all over, but for two faces of somebody else
        {"video": f"{number // 4:03d}", "subject": "ab"[number in (50, 119)], "points": one}
        for number, one in enumerate(points)
    ]
    bank = landmark_bank(tmp_path, people)
    found = Brute(bank, -1, "cpu").nearest(bank.reals, 3)
    assert set(found[0].tolist()) == {50, 119}
    for row, near in zip(bank.reals, found, strict=True):
        assert near.tolist() == partner.nearest_of_all(bank, int(row), 3).tolist()


def test_the_job_keeps_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, other = split_bank(tmp_path / "index"), split_bank(tmp_path / "torch")
    neighbours(bank, 4)
    true, asked = search_torch.usable, list[str]()

    def cpu(device: str) -> torch.device:
        asked.append(device)
        return true("cpu")

    monkeypatch.setattr(search_torch, "usable", cpu)
    made = neighbours(other, 4, workers=2, device="cuda")
    assert set(asked) == {"cuda"}
    assert made.done == 1
    np.testing.assert_array_equal(other.neighbours, bank.neighbours)
    assert not list((tmp_path / "torch" / "cache").glob("index*"))


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    with pytest.raises(BadArgument, match="device: is 'nonsense'"):
        neighbours(bank, 4, device="nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(BadArgument, match=r"device: is 'cuda': .*; use cpu"):
            neighbours(bank, 4, device="cuda")
    assert bank.neighbours is None


def test_without_torch_a_device_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = split_bank(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "faceblend.search_torch")
    with pytest.raises(BadArgument, match="needs PyTorch, which is not installed; pip install"):
        neighbours(bank, 4, device="cuda")
