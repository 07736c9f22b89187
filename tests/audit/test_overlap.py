"""What two sides share is named, with its part on both; copies are found under other names."""

import json
import shutil
from pathlib import Path

import cv2
import pytest

from faceblend.audit.overlap import Overlap, overlap
from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, DONE, FAILURES, main
from faceblend.errors import BadArgument
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from tests.conftest import make_bank

PEOPLE = {"v0": "ann", "v1": "bob", "v2": "ann", "v3": "eve"}
APART = {"v0": "train", "v1": "train", "v2": "test", "v3": "test"}


def named(found: Overlap, kind: str) -> set[str]:
    return {one.what for one in found.shared if one.kind == kind}


def test_a_person_in_two_splits_of_a_bank_is_found_by_her_second_video(tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", subjects=PEOPLE, splits=APART)
    found = overlap([tmp_path / "bank"])
    (one,) = found.shared
    assert (one.kind, one.what, one.roles) == ("person", "ann", ("face", "face"))
    assert one.sides == (f"{tmp_path}/bank:train", f"{tmp_path}/bank:test")
    assert found.looked
    assert found.sides == dict.fromkeys(one.sides, 6)


def test_sets_of_one_unsplit_bank_share_partners_and_backgrounds(
    bank: FaceBank, tmp_path: Path
) -> None:
    recipe = load_recipe("bi", {"partner.candidates": 20})
    for seed in (0, 1):
        generate(bank, recipe, tmp_path / str(seed), count=30, seed=seed)
    found = overlap([tmp_path / "0", tmp_path / "1"], [bank])
    assert named(found, "video") == {"v0", "v1", "v2", "v3"}
    assert named(found, "source") == {f"v{n}.mp4" for n in range(4)}
    videos = [one for one in found.shared if one.kind == "video"]
    assert {one.roles for one in videos} == {("background and partner",) * 2}
    assert named(found, "face")
    # the records alone tell videos, by the folders of their crops, and no people or pictures
    alone = overlap([tmp_path / "0", tmp_path / "1"])
    assert named(alone, "video") == named(found, "video")
    assert not alone.looked
    assert "give --bank" in str(alone)


def test_a_partner_from_the_other_side_is_a_leak(tmp_path: Path) -> None:
    made = make_bank(tmp_path / "bank")
    recipe = load_recipe("bi", {"partner.candidates": 20})
    generate(made, recipe, tmp_path / "set", count=40)
    backgrounds, partners = set(), set()
    from faceblend.store import BlendSet

    with BlendSet(tmp_path / "set") as blends:
        for record in blends.records():
            content = json.loads(record)
            backgrounds.add(content["background"])
            partners.add(content["foreground"])
    other = make_bank(tmp_path / "v3", videos=4, splits={"v3": "test"})
    found = overlap([tmp_path / "set", tmp_path / "v3"], [made])
    by_name = {(one.kind, one.what): one for one in found.shared}
    # only the split part of a split bank is a side
    assert set(found.sides) == {str(tmp_path / "set"), f"{tmp_path / 'v3'}:test"}
    assert by_name["video", "v3"].roles == ("background and partner", "face")
    assert ("video", "v0") not in by_name
    assert partners - {None} <= set(other.table["crop"].to_pylist())


def test_a_copy_under_another_name_is_found_by_its_look(tmp_path: Path) -> None:
    make_bank(tmp_path / "train", videos=2, frames=2)
    other = make_bank(tmp_path / "made", videos=4, frames=2)
    rows = [row for row in other.table.to_pylist() if row["video"] in ("v2", "v3")]
    from faceblend.bank import FaceRow

    copy, theirs = tmp_path / "test" / rows[0]["crop"], tmp_path / "train/crops/v0/000000_0.png"
    shutil.copytree(tmp_path / "made" / "crops", tmp_path / "test" / "crops")
    smaller = cv2.resize(cv2.imread(str(theirs)), (160, 160), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(copy), cv2.resize(smaller, (317, 317)))
    points = [0.0] * 136
    FaceBank.create(
        tmp_path / "test",
        [FaceRow(**{**row, "crc32": None, "landmarks": points}) for row in rows],
        crop_size=317,
        made_by={},
    )
    found = overlap([tmp_path / "train", tmp_path / "test"])
    (one,) = found.shared
    assert one.kind == "look"
    assert one.what == f"crops/v0/000000_0.png and {rows[0]['crop']}"
    assert "1 near-duplicate" in str(found)
    assert named(overlap([tmp_path / "train", tmp_path / "made"]), "look") == set()


def test_sides_that_share_nothing_pass(tmp_path: Path) -> None:
    splits = {"v0": "train", "v1": "train", "v2": "val", "v3": "test"}
    make_bank(tmp_path / "bank", splits=splits)
    found = overlap([tmp_path / "bank"])
    assert found.shared == ()
    assert "share no person, video, source or face, and none looks like another" in str(found)


def test_one_side_alone_cannot_be_compared(bank: FaceBank) -> None:
    with pytest.raises(BadArgument, match="give two sets, or a bank with splits"):
        overlap([bank.root])
    with pytest.raises(BadArgument, match="is given twice"):
        overlap([bank.root, bank.root])
    with pytest.raises(BadArgument, match="give 0 to 16 bits"):
        overlap([bank.root], distance=17)


def test_the_command_writes_what_is_shared_and_strict_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bank(tmp_path / "bank", subjects=PEOPLE, splits=APART)
    words = ["audit", "--leaks", str(tmp_path / "bank")]
    assert main([*words, "--json", str(tmp_path / "leaks.json")]) == DONE
    told = json.loads((tmp_path / "leaks.json").read_text())
    assert [(one["kind"], one["what"]) for one in told["shared"]] == [("person", "ann")]
    assert told["distance"] == 8
    assert main([*words, "--strict"]) == FAILURES
    assert "share 1 person" in capsys.readouterr().out
    assert main([*words, "--plot", "x.png"]) == BAD_INPUT
