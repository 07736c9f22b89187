"""A folder that may not be written, or no longer, is told and loses nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trouble import COUNT, SEED, SHARD, Middle, contents, no_rights, readable_copy

from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, FAILURES, main
from faceblend.clips import write_clips
from faceblend.errors import Unwritable
from faceblend.generate import GenerateReport, generate
from faceblend.ingest.extract import extract
from faceblend.neighbours import neighbours
from faceblend.recipe import load_recipe
from faceblend.store import Manifest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")

BI = load_recipe("bi")


@pytest.fixture
def mine(bank: FaceBank, public: Path) -> FaceBank:
    """The shared bank, where a user without rights may read it."""
    return FaceBank.open(readable_copy(bank.root, public / "bank"))


def made(bank: FaceBank, out: Path, **options: Any) -> GenerateReport:
    return generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD, **options)


def test_a_read_only_folder_is_told_in_one_line_before_anything_is_rendered(
    mine: FaceBank, public: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = public / "set"
    out.mkdir(mode=0o555)
    with no_rights():
        words = ["generate", mine.root, "--out", out, "--count", 2, "--workers", 1]
        assert main([str(word) for word in words]) == BAD_INPUT
        assert main([str(word) for word in (*words[:3], out / "below", *words[4:])]) == BAD_INPUT
    held, unmade = capsys.readouterr().err.splitlines()
    assert held.startswith(f"faceblend: {out / 'manifest.json'}: cannot be written (Permission")
    assert held.endswith("make its folder writable, then run the same command again")
    assert unmade.startswith(f"faceblend: {out / 'below'}: cannot be made (Permission denied)")
    assert not list(out.iterdir())


def test_a_permission_that_is_lost_midway_stops_the_run_and_keeps_what_is_listed(
    mine: FaceBank,
    undisturbed: dict[str, bytes],
    public: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, save = public / "set", Manifest.save

    def saved(manifest: Manifest, folder: Path) -> None:
        save(manifest, folder)
        if len(manifest.shards) == 1:
            folder.chmod(0o555)

    monkeypatch.setattr(Manifest, "save", saved)
    with no_rights(), pytest.raises(Unwritable) as told:
        made(mine, out)
    assert "shard-00001.h5: cannot be written (Permission denied)" in str(told.value)
    monkeypatch.undo()
    assert [one.name for one in Manifest.load(out).shards] == ["shard-00000.h5"]
    out.chmod(0o777)
    with no_rights():
        assert made(mine, out).kept == 1
    assert contents(out) == undisturbed


def test_crops_that_may_not_be_read_fail_their_shards_and_reject_nothing(
    mine: FaceBank,
    undisturbed: dict[str, bytes],
    public: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, crop = public / "set", mine.root / mine.crop(0)
    words = ["generate", mine.root, "--out", out, "--count", COUNT, "--seed", SEED]
    words += ["--shard-size", SHARD, "--workers", 1]
    crop.chmod(0)
    with no_rights():
        assert main([str(word) for word in words]) == FAILURES
    assert f"{crop}: cannot be read (Permission denied)" in capsys.readouterr().out
    crop.chmod(0o644)
    made(mine, out)
    assert contents(out) == undisturbed


def test_an_extraction_that_loses_its_permission_stops_and_continues(
    photographs: Path, public: Path, middle: Callable[..., Middle]
) -> None:
    source = readable_copy(photographs, public / "photographs")
    whole = extract(source, public / "whole", detector=middle()).bank.root
    out = public / "bank"

    def lose(seen: int) -> None:
        if seen == 2:
            (out / "crops").chmod(0o555)

    detector = middle(before=lose)
    with no_rights(), pytest.raises(Unwritable, match=r"crops/.*\(Permission denied\)"):
        extract(source, out, detector=detector)
    assert detector.seen == 3
    (out / "crops").chmod(0o777)
    with no_rights():
        assert extract(source, out, detector=middle()).kept == 2
    assert contents(out) == contents(whole)


def test_what_is_kept_beside_a_read_only_bank_is_told(mine: FaceBank, public: Path) -> None:
    folders = [mine.root, *(one for one in mine.root.rglob("*") if one.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    with no_rights():
        with pytest.raises(Unwritable, match=r"cache/crops-.*\(Permission denied\); make its"):
            mine.decode()
        with pytest.raises(
            Unwritable, match=r"cache/neighbours-.*\(Permission denied\); make its"
        ):
            neighbours(mine, 3)
        assert made(mine, public / "set").stored  # blending needs none of it


def test_clips_into_a_read_only_folder_are_refused(mine: FaceBank, public: Path) -> None:
    out = public / "clips"
    out.mkdir(mode=0o555)
    with no_rights(), pytest.raises(Unwritable, match=r"manifest\.json: .*\(Permission denied\)"):
        write_clips(mine, BI, out, count=1, frames=2)
