"""People found in a bank without labels: everybody gets one, and partners follow them."""

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend import FaceBank
from faceblend.bank import FaceRow
from faceblend.errors import BadArgument, MissingModel
from faceblend.partner import eligible
from tests.conftest import make_bank
from xray_train.backbones.identity import find_descriptor_model
from xray_train.commands import BAD_INPUT, DONE, main
from xray_train.subjects import Leak, group, leaks, names, with_subjects, write_subjects


def around(middles: np.ndarray, counts: list[int], spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = np.concatenate(
        [
            one + rng.normal(0, spread, (count, len(one)))
            for one, count in zip(middles, counts, strict=True)
        ]
    )
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_faces_are_grouped_and_one_alone_is_a_person_alone() -> None:
    vectors = around(np.eye(8)[:4], [5, 1, 7, 3], 0.05)
    order = np.random.default_rng(1).permutation(16)
    truth = np.repeat(np.arange(4), [5, 1, 7, 3])[order]
    people = group(vectors[order], 0.8)
    assert people.shape == (16,)
    assert len(set(people.tolist())) == 4
    for one in range(4):
        assert len(set(people[truth == one].tolist())) == 1
    # numbered as they appear
    first = [people.tolist().index(one) for one in range(4)]
    assert first == sorted(first)
    assert group(vectors[:1], 0.8).tolist() == [0]
    assert group(vectors, 1.0).max() == 15
    assert group(vectors, -1.0).max() == 0
    with pytest.raises(BadArgument, match="give a cosine"):
        group(vectors, 1.5)


def test_a_chain_of_neighbours_is_not_one_person() -> None:
    """Single linkage would make one of them: each is near to the next alone."""
    angles = np.radians(np.arange(0, 121, 15))
    people = group(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.9)
    assert people[0] != people[-1]


def test_who_was_found_is_excluded_as_a_partner(tmp_path: Path) -> None:
    """Two videos of one person: only a subject can tell that they may not lend to each other."""
    bank = make_bank(tmp_path / "bank", videos=4)
    assert bank.subjects.max() == -1
    rows = np.arange(len(bank))
    videos = bank.table["video"].to_pylist()
    person = {"v0": 0, "v1": 1, "v2": 0, "v3": 2}
    vectors = around(np.eye(6)[[person[one] for one in videos]], [1] * len(bank), 0.02)
    second = videos.index("v2")
    assert eligible(bank, 0, rows)[second]
    found = with_subjects(bank, names(group(vectors, 0.9)), tmp_path / "known")
    assert found.table["video"].to_pylist() == videos
    assert found.subjects.min() >= 0
    may = eligible(found, 0, rows)
    for row in rows:
        assert may[row] == (person[videos[row]] != 0)
    assert np.array_equal(found.image(second), bank.image(second))
    with pytest.raises(BadArgument, match="give a new folder"):
        with_subjects(bank, names(group(vectors, 0.9)), tmp_path / "known")


def test_the_table_has_a_line_for_every_face(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "bank")
    write_subjects(bank, [f"person-{row:05d}" for row in range(len(bank))], tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as file:
        told = list(csv.DictReader(file))
    assert [one["crop"] for one in told] == [bank.crop(row) for row in range(len(bank))]
    assert told[0]["subject"] == "person-00000"


def test_people_in_two_splits_are_told_and_those_in_one_are_not(tmp_path: Path) -> None:
    splits = {"v0": "train", "v1": "train", "v2": "test", "v3": "test"}
    bank = make_bank(tmp_path / "bank", videos=4, splits=splits)
    videos = bank.table["video"].to_pylist()
    person = {"v0": 0, "v1": 0, "v2": 0, "v3": 1}
    vectors = around(np.eye(6)[[person[one] for one in videos]], [1] * len(bank), 0.02)
    found = leaks(bank, vectors, 0.9)
    split_of = {bank.crop(row): splits[videos[row]] for row in range(len(bank))}
    assert len(found) == 2
    for one in found:
        assert isinstance(one, Leak)
        assert (split_of[one.first], split_of[one.second]) == (one.first_split, one.second_split)
        assert one.first_split != one.second_split
        assert "v2" in one.first + one.second
        assert one.similarity >= 0.9
    mine, theirs = (np.array([video == v for video in videos]) for v in ("v0", "v2"))
    likest = float((vectors[mine] @ vectors[theirs].T).max())
    assert max(one.similarity for one in found if "v0" in one.first) == pytest.approx(likest)
    assert not leaks(bank, vectors, 1.0)


@pytest.mark.slow
@pytest.mark.model
def test_the_command_finds_the_people_of_photographs(
    people: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bank whose subjects were forgotten: how many pairs of faces are put rightly."""
    try:
        find_descriptor_model()
    except MissingModel as error:
        pytest.skip(str(error))
    truth, rows = list[str](), list[FaceRow]()
    for row in people.reals.tolist():
        values = people.table.slice(row, 1).to_pylist()[0]
        truth.append(values["subject"])
        (tmp_path / "bank" / values["crop"]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bank" / values["crop"]).write_bytes(
            (people.root / values["crop"]).read_bytes()
        )
        points = people.landmarks[row].ravel().tolist()
        changes = {"subject": None, "landmarks": points}
        if values["video"] == "john_salley" and len(rows) % 2:
            # one man in two splits, under another name
            changes |= {"video": "somebody", "split": "test"}
        rows.append(FaceRow(**{**values, **changes}))
    bank = FaceBank.create(tmp_path / "bank", rows, crop_size=317, made_by={"by": "a test"})
    words = ["subjects", tmp_path / "bank", "--out", tmp_path / "known", "--device", "cpu",
             "--leaks", tmp_path / "leaks.csv"]  # fmt: skip
    assert main([str(word) for word in words]) == DONE
    said = capsys.readouterr().out
    assert "people in 118 faces" in said
    known = FaceBank.open(tmp_path / "known")
    found = np.array(known.table["subject"].to_pylist())
    assert None not in found.tolist()
    who = dict(zip([row.crop for row in rows], truth, strict=True))
    real = np.array([who[crop] for crop in known.table["crop"].to_pylist()])
    above = np.triu_indices(len(bank), 1)
    same = (real[:, None] == real)[above]
    said_same = (found[:, None] == found)[above]
    recall = (said_same & same).sum() / same.sum()
    precision = (said_same & same).sum() / said_same.sum()
    print(f"{len(set(found))} people, recall {recall:.4f}, precision {precision:.4f}")
    assert recall > 0.95
    assert precision > 0.95
    with (tmp_path / "leaks.csv").open() as file:
        crossing = list(csv.DictReader(file))
    assert {who[crossing[0]["first"]], who[crossing[0]["second"]]} == {"john_salley"}
    assert {crossing[0]["first_split"], crossing[0]["second_split"]} == {"train", "test"}


def test_a_bank_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["subjects", str(tmp_path), "--out", str(tmp_path / "s.csv")]) == BAD_INPUT
    assert "is not a finished face bank" in capsys.readouterr().err
