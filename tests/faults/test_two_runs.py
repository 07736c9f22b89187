"""Two runs into one folder: the second is told, or both end well."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trouble import COUNT, SEED, SHARD, Middle, contents

from faceblend import atomic
from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, main
from faceblend.clips import write_clips
from faceblend.convert import export_bank
from faceblend.errors import BadArgument
from faceblend.export import export_set
from faceblend.generate import generate
from faceblend.ingest.extract import ExtractReport, extract
from faceblend.neighbours import neighbours
from faceblend.recipe import load_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no lock on a folder there")

BI = load_recipe("bi")
REFUSED = "is being written by another run; wait for it, or give another folder"


def test_a_second_generation_is_refused_in_one_line_and_the_first_is_not_disturbed(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, told = tmp_path / "set", []
    words = ["generate", bank.root, "--out", out, "--count", COUNT, "--seed", SEED]

    def second(*values: Any) -> Any:
        if not told:
            told.append(main([str(word) for word in words]))
            told.append(capsys.readouterr().err)
        return sample(*values)

    sample = sys.modules["faceblend.generate"].sample
    monkeypatch.setattr("faceblend.generate.sample", second)
    generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert told == [BAD_INPUT, f"faceblend: {out}: {REFUSED}\n"]
    assert contents(out) == undisturbed


def test_a_run_of_another_process_holds_the_folder_until_it_ends_and_no_longer(
    bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "set"
    code = (
        "import pathlib, sys, time\n"
        "from faceblend import atomic\n"
        "with atomic.alone_in(pathlib.Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, out], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BadArgument, match=REFUSED):
            generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD)
    finally:
        other.kill()  # which leaves no stale lock
        other.communicate()
    generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert contents(out) == undisturbed


@pytest.mark.parametrize("job", ["clips", "set", "bank", "decode", "neighbours"])
def test_every_other_job_keeps_a_second_run_out(bank: FaceBank, tmp_path: Path, job: str) -> None:
    out = tmp_path / "out"
    opened = bank
    if job in ("decode", "neighbours"):
        (tmp_path / "bank").mkdir()
        for name in ("bank.json", "faces.parquet"):
            (tmp_path / "bank" / name).write_bytes((bank.root / name).read_bytes())
        (tmp_path / "bank" / "crops").symlink_to(bank.root / "crops")
        opened = FaceBank.open(tmp_path / "bank")
    if job == "set":
        generate(bank, BI, tmp_path / "set", count=2, seed=SEED)
    held, run = {
        "clips": (out, lambda: write_clips(bank, BI, out, count=1, frames=2)),
        "set": (out, lambda: export_set(tmp_path / "set", out, "webdataset")),
        "bank": (out, lambda: export_bank(bank, out, "deepfakebench")),
        "decode": (opened.root, opened.decode),
        "neighbours": (opened.root, lambda: neighbours(opened, 3)),
    }[job]
    with atomic.alone_in(held), pytest.raises(BadArgument, match=REFUSED):
        run()
    run()


def test_a_second_extraction_of_everything_is_refused(
    photographs: Path, tmp_path: Path, middle: Callable[..., Middle]
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    out, told = tmp_path / "bank", []

    def second(seen: int) -> None:
        for slice_ in ({}, {"offset": 3}) if seen == 2 else ():
            with pytest.raises(BadArgument, match=REFUSED) as caught:
                extract(photographs, out, detector=middle(), **slice_)
            told.append(caught.value)

    extract(photographs, out, detector=middle(before=second))
    assert len(told) == 2
    assert contents(out) == contents(whole)


@pytest.mark.parametrize(
    "offset",
    [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)],
    ids=["same", "overlapping", "other"],
)
def test_extractions_of_slices_share_a_folder_even_where_both_do_the_same(
    photographs: Path, tmp_path: Path, middle: Callable[..., Middle], offset: int
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    out = tmp_path / "bank"

    def second(seen: int) -> None:
        if seen == 1:  # in the middle of the first run, in which it even ends
            extract(photographs, out, offset=offset, num=3, detector=middle())

    first = extract(photographs, out, num=3, detector=middle(before=second))
    assert first.undone == {0: 3, 1: 2, 3: 0}[offset]
    extract(photographs, out, offset=3, detector=middle())
    assert contents(out) == contents(whole)


def test_slices_that_end_together_make_one_bank_of_both(
    photographs: Path, tmp_path: Path, middle: Callable[..., Middle]
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    out, together = tmp_path / "bank", threading.Barrier(2, timeout=60)
    reports: list[ExtractReport] = []

    def last(seen: int) -> None:
        if seen == 2:
            together.wait()

    def run(offset: int) -> None:
        detector = middle(before=last)
        reports.append(extract(photographs, out, offset=offset, num=3, detector=detector))

    threads = [threading.Thread(target=run, args=(offset,)) for offset in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # who comes last waits for the other, and sees all of its videos
    assert max(report.faces for report in reports) == 6
    assert contents(out) == contents(whole)
