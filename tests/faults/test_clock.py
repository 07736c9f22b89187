"""A clock that jumps changes nothing: no decision asks what time it is."""

import ast
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trouble import COUNT, SEED, SHARD, Middle, contents, readable_copy

import faceblend
from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.ingest.extract import extract
from faceblend.recipe import load_recipe
from faceblend.store import Manifest

BI = load_recipe("bi")
PAST, FUTURE = 0, 4_102_444_800 * 10**9  # ns: 1970 and 2100
WHEN = [PAST, pytest.param(FUTURE, marks=pytest.mark.slow)]


def date(folder: Path, when: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, ns=(when, when))


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it a century away from the one before."""
    times = itertools.cycle([4e9, 1.0, 2e9])
    monkeypatch.setattr(time, "time", lambda: next(times))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(times) * 1e9))


def test_no_code_reads_the_clock_of_the_wall() -> None:
    root = Path(faceblend.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).split(".")[-1]
                assert name not in ("time", "time_ns", "now", "utcnow", "today"), path


@pytest.mark.usefixtures("jumping")
@pytest.mark.parametrize("when", WHEN, ids=["1970", "2100"])
def test_a_set_is_continued_whatever_its_files_dates(
    bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path, when: int
) -> None:
    copy = FaceBank.open(readable_copy(bank.root, tmp_path / "bank"))
    out = tmp_path / "set"
    generate(copy, BI, out, count=2 * SHARD, seed=SEED, shard_size=SHARD)
    date(out, when)
    date(copy.root, when)
    report = generate(copy, BI, out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert (report.kept, report.made) == (2, 1)
    assert report.seconds >= 0
    assert contents(out) == undisturbed
    assert Manifest.load(out).finished


@pytest.mark.usefixtures("jumping")
@pytest.mark.parametrize("when", WHEN, ids=["1970", "2100"])
def test_an_extraction_keeps_what_it_has_done_whatever_the_dates_of_its_own_files(
    photographs: Path, tmp_path: Path, middle: Callable[..., Middle], when: int
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    out = tmp_path / "bank"
    extract(photographs, out, num=4, detector=middle())
    date(out, when)
    report = extract(photographs, out, detector=middle())
    assert report.kept == 4
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("when", WHEN, ids=["1970", "2100"])
def test_a_source_of_another_date_is_looked_at_again_be_it_older_or_newer(
    photographs: Path, tmp_path: Path, middle: Callable[..., Middle], when: int
) -> None:
    source = readable_copy(photographs, tmp_path / "photographs")
    first = extract(source, tmp_path / "bank", detector=middle()).bank
    os.utime(source / "p2" / "a.png", ns=(when, when))
    detector = middle()
    again = extract(source, tmp_path / "bank", detector=detector)
    assert (again.kept, detector.seen) == (5, 1)
    assert again.bank.fingerprint == first.fingerprint
