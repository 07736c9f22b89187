"""Every face's nearest, kept: the same as searching, whatever was cut off."""

from pathlib import Path

import numpy as np
import pytest

from faceblend import neighbours as job
from faceblend import partner
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank
from faceblend.neighbours import neighbours
from tests.conftest import make_bank
from tests.test_search import split_bank


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "BLOCK", 64)


@pytest.mark.usefixtures("small_blocks")
def test_what_is_kept_is_what_searching_finds(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    searched = [partner.nearest_of_all(bank, row, 4).tolist() for row in range(len(bank))]
    made = neighbours(bank, 4)
    assert (made.done, made.kept) == (5, 0)
    again = FaceBank.open(tmp_path)
    table = again.neighbours
    assert table is not None
    assert table.shape == (300, 4)
    for row in bank.reals:
        assert table[row].tolist() == searched[row]
        assert partner.nearest_of_all(again, int(row), 4).tolist() == searched[row]
        assert partner.nearest_of_all(again, int(row), 2).tolist() == searched[row][:2]
    assert neighbours(again, 4).done == 0
    forged = next(row for row in range(300) if row not in set(bank.reals.tolist()))
    assert partner.nearest_of_all(again, forged, 4).tolist() == searched[forged]
    assert not (tmp_path / "cache" / made.path.stem).exists()


@pytest.mark.usefixtures("small_blocks")
def test_a_run_that_was_cut_off_does_the_blocks_that_are_missing_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = split_bank(tmp_path)
    true, asked = partner.nearest_of_all, list[int]()

    def failing(bank: FaceBank, row: int, top: int = 1) -> np.ndarray:
        asked.append(row)
        if row >= 200:
            raise KeyboardInterrupt
        return true(bank, row, top)

    with monkeypatch.context() as patch:
        patch.setattr(partner, "nearest_of_all", failing)
        with pytest.raises(KeyboardInterrupt):
            neighbours(bank, 3)
    blocks = sorted((tmp_path / "cache").glob("neighbours-*/*.npy"))
    assert len(blocks) == 3
    blocks[1].write_bytes(b"half a bl")
    made = neighbours(bank, 3)
    assert (made.done, made.kept) == (3, 2)
    assert bank.neighbours is not None
    assert bank.neighbours[0].tolist() == true(bank, 0, 3).tolist()


def test_a_face_that_nobody_may_lend_to_has_no_neighbours(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, videos=3)
    neighbours(bank, 12)
    assert bank.neighbours is not None
    own = int((bank.videos == bank.videos[0]).sum())
    assert (bank.neighbours[0] >= 0).sum() == len(bank) - own


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    bank = make_bank(tmp_path)
    with pytest.raises(BadArgument, match="top: is 0; give 1 to 1000"):
        neighbours(bank, 0)
    bank.to_landmarks_json(tmp_path / "landmarks.json")
    classic = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", tmp_path)
    with pytest.raises(BadBank, match="keeps no copies"):
        neighbours(classic)
