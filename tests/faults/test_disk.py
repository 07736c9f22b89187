"""A disk that is full, fails or may not be written costs time, and nothing else."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from trouble import COUNT, SEED, SHARD, Middle, contents, fill

from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, FAILURES, main
from faceblend.clips import write_clips
from faceblend.errors import Unwritable
from faceblend.export import export_set
from faceblend.generate import GenerateReport, generate
from faceblend.ingest.extract import extract
from faceblend.neighbours import neighbours
from faceblend.recipe import load_recipe
from faceblend.store import Manifest, verify

BI = load_recipe("bi")


def made(bank: FaceBank, out: Path, **options: Any) -> GenerateReport:
    return generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD, **options)


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others take the space after a run has looked whether there is enough."""
    monkeypatch.setattr("faceblend.generate._check_space", lambda *_: None)


@pytest.mark.usefixtures("unforeseen")
def test_a_disk_that_fills_up_in_a_shard_stops_the_run_and_the_next_one_continues(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(2**20)  # a shard and a half
    with pytest.raises(Unwritable) as told:
        made(bank, disk / "set")
    line = str(told.value)
    assert "shard-00001.h5: cannot be written (No space left on device); make space on" in line
    assert "\n" not in line
    assert [one.name for one in Manifest.load(disk / "set").shards] == ["shard-00000.h5"]
    assert {path.name for path in (disk / "set").iterdir()} == {"manifest.json", "shard-00000.h5"}
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    report = made(bank, disk / "set")
    assert (report.kept, report.made) == (1, 2)
    assert contents(disk / "set") == undisturbed


@pytest.mark.slow
@pytest.mark.usefixtures("unforeseen")
def test_workers_on_a_full_disk_stop_as_one_does(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(2**20)
    with pytest.raises(Unwritable, match="No space left on device"):
        made(bank, disk / "set", workers=2)
    assert not list((disk / "set").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    made(bank, disk / "set", workers=2)
    assert contents(disk / "set") == undisturbed


def test_a_disk_that_fills_up_in_the_manifest_keeps_the_old_one(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    small_disk: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk, save = small_disk(2**22), Manifest.save

    def saved(manifest: Manifest, folder: Path) -> None:
        if len(manifest.shards) == 2:
            fill(disk)
        save(manifest, folder)

    monkeypatch.setattr(Manifest, "save", saved)
    with pytest.raises(Unwritable, match=r"manifest\.json: cannot be written \(No space left"):
        made(bank, disk / "set")
    monkeypatch.undo()
    assert [one.name for one in Manifest.load(disk / "set").shards] == ["shard-00000.h5"]
    (disk / "filler").unlink()
    assert made(bank, disk / "set").kept == 1
    assert contents(disk / "set") == undisturbed


@pytest.mark.usefixtures("unforeseen")
def test_a_full_disk_in_the_folder_layout_ends_likewise(
    bank: FaceBank, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    made(bank, tmp_path / "whole", layout="folder")
    disk = small_disk(2**18)
    with pytest.raises(Unwritable, match=r"\.png: cannot be written \(No space left on device\)"):
        made(bank, disk / "set", layout="folder")
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    made(bank, disk / "set", layout="folder")
    assert contents(disk / "set") == contents(tmp_path / "whole")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """EFBIG, which a quota gives too and which needs no mount."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "name"), [(1000, "manifest.json"), (300_000, "shard-00000.h5")])
def test_a_limit_on_the_size_of_files_is_told_in_one_line_by_the_command(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    size: int,
    name: str,
) -> None:
    out = tmp_path / "set"
    words = ["generate", bank.root, "--out", out, "--count", COUNT, "--seed", SEED]
    words += ["--shard-size", SHARD, "--workers", 1]
    with files_of_at_most(size):
        assert main([str(word) for word in words]) == BAD_INPUT
    lines = [one for one in capsys.readouterr().err.splitlines() if one.startswith("faceblend:")]
    assert lines == [
        f"faceblend: {out / name}: cannot be written (File too large); "
        "make space on the disk, then run the same command again"
    ]
    made(bank, out)
    assert contents(out) == undisturbed


def test_an_extraction_stops_at_the_crop_that_has_no_room_and_continues(
    photographs: Path,
    tmp_path: Path,
    small_disk: Callable[[int], Path],
    middle: Callable[..., Middle],
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    disk, detector = small_disk(2**20), middle()
    with pytest.raises(Unwritable, match=r"crops/.*: cannot be written \(No space left on"):
        extract(photographs, disk / "bank", detector=detector)
    assert detector.seen < 6  # the others would have had no room either
    assert not (disk / "bank" / "bank.json").exists()
    kept = detector.seen - 1
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    report = extract(photographs, disk / "bank", detector=middle())
    assert (report.kept, report.errors) == (kept, {})
    assert contents(disk / "bank") == contents(whole)


@pytest.mark.slow
def test_videos_stop_at_the_first_that_has_no_room_and_continue(
    tmp_path: Path, small_disk: Callable[[int], Path], middle: Callable[..., Middle]
) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    for number in range(3):
        with av.open(str(source / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"qp": "20"})
            stream.width = stream.height = 320
            stream.pix_fmt = "yuv420p"
            for noise in np.random.default_rng(number).integers(
                0, 256, (4, 320, 320, 3), np.uint8
            ):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            container.mux(stream.encode())
    whole = extract(source, tmp_path / "whole", detector=middle()).bank.root
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    disk, detector = small_disk(size // 2), middle()
    with pytest.raises(Unwritable, match=r"crops/.*: cannot be written \(No space left on"):
        extract(source, disk / "bank", detector=detector)
    assert detector.seen <= 8  # of 12 frames
    subprocess.run(["mount", "-o", "remount,size=32m", disk], check=True)
    report = extract(source, disk / "bank", detector=middle())
    assert (report.kept, report.errors) == (1, {})
    assert contents(disk / "bank") == contents(whole)


def test_a_bank_whose_table_has_no_room_is_made_by_the_next_run(
    photographs: Path,
    tmp_path: Path,
    small_disk: Callable[[int], Path],
    middle: Callable[..., Middle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = extract(photographs, tmp_path / "whole", detector=middle()).bank.root
    disk, create = small_disk(2**22), FaceBank.create

    def created(*values: Any, **options: Any) -> FaceBank:
        fill(disk)
        return create(*values, **options)

    monkeypatch.setattr(FaceBank, "create", created)
    with pytest.raises(Unwritable, match=r"faces\.parquet: cannot be written \(No space left on"):
        extract(photographs, disk / "bank", detector=middle())
    monkeypatch.undo()
    (disk / "filler").unlink()
    assert extract(photographs, disk / "bank", detector=middle()).kept == 6
    assert contents(disk / "bank") == contents(whole)


def test_decoded_crops_without_room_are_told_and_do_not_kill_the_process(
    bank: FaceBank, small_disk: Callable[[int], Path]
) -> None:
    # a mapped file on a full disk ends in SIGBUS, so this runs in a process of its own
    disk = small_disk(2**20)
    for name in ("bank.json", "faces.parquet"):
        (disk / name).write_bytes((bank.root / name).read_bytes())
    (disk / "crops").symlink_to(bank.root / "crops")
    words = [sys.executable, "-m", "faceblend", "decode", str(disk)]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == BAD_INPUT
    (line,) = told.stderr.splitlines()
    assert "cache/crops-" in line
    assert "cannot be written (No space left on device); make space on the disk" in line
    assert not list((disk / "cache").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
    opened = FaceBank.open(disk)
    opened.decode()
    assert opened.decoded is not None
    assert (opened.decoded[3] == bank.read_crop(3)).all()


def test_neighbours_without_room_are_told_and_found_by_the_next_run(
    bank: FaceBank, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(2**18)
    for name in ("bank.json", "faces.parquet"):
        (disk / name).write_bytes((bank.root / name).read_bytes())
    opened = FaceBank.open(disk)
    filler = fill(disk)
    with pytest.raises(Unwritable, match=r"cannot be written \(No space left on device\)"):
        neighbours(opened, 3)
    filler.unlink()
    assert neighbours(opened, 3).done == 1


def test_clips_without_room_are_told_and_made_by_the_next_run(
    bank: FaceBank, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    write_clips(bank, BI, tmp_path / "whole", count=3, frames=2, shard_size=1)
    disk = small_disk(2**20)
    with pytest.raises(Unwritable, match=r"clips-00001\.h5: cannot be written \(No space left"):
        write_clips(bank, BI, disk / "clips", count=3, frames=2, shard_size=1)
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    assert write_clips(bank, BI, disk / "clips", count=3, frames=2, shard_size=1).kept == 1
    assert contents(disk / "clips") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "to",
    ["webdataset", *(pytest.param(one, marks=pytest.mark.slow) for one in ("parquet", "folder"))],
)
def test_an_export_without_room_is_told_and_continued(
    bank: FaceBank, tmp_path: Path, small_disk: Callable[[int], Path], to: Any
) -> None:
    made(bank, tmp_path / "set")
    export_set(tmp_path / "set", tmp_path / "whole", to)
    disk = small_disk(2**19)
    with pytest.raises(Unwritable, match=r"cannot be written \(No space left on device\)"):
        export_set(tmp_path / "set", disk / "out", to)
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    export_set(tmp_path / "set", disk / "out", to)
    assert contents(disk / "out") == contents(tmp_path / "whole")


def test_a_disk_that_turns_read_only_stops_the_run(
    bank: FaceBank, undisturbed: dict[str, bytes], small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(2**23)
    made(bank, disk / "set")
    (disk / "set" / "shard-00001.h5").unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(Unwritable, match=r"\(Read-only file system\); make its folder writable"):
        made(bank, disk / "set")
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert made(bank, disk / "set").kept == 2
    assert contents(disk / "set") == undisturbed


def test_a_crop_that_the_network_does_not_give_fails_its_shards_and_rejects_nothing(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost, opened = bank.root / bank.crop(0), Path.open

    def open_(path: Path, *values: Any, **options: Any) -> Any:
        if path == lost:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *values, **options)

    monkeypatch.setattr(Path, "open", open_)
    report = made(bank, tmp_path / "set")
    assert 0 < len(report.failed) < 3
    assert report.rejected == 0  # a rejected sample would be left out for good
    assert all(
        f"{lost}: cannot be read (Input/output error)" in one.reason for one in report.failed
    )
    problems = verify(tmp_path / "set").problems
    assert ["the set is not finished" in one.what for one in problems] == [True]
    monkeypatch.undo()
    made(bank, tmp_path / "set")
    assert contents(tmp_path / "set") == undisturbed


def test_too_few_file_descriptors_are_told_whatever_their_number(
    bank: FaceBank,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["generate", bank.root, "--count", COUNT, "--seed", SEED, "--shard-size", SHARD]
    for spare in range(5):
        out = tmp_path / f"set{spare}"
        out.mkdir()
        with descriptors(spare):
            status = main([str(word) for word in (*words, "--out", out, "--workers", 1)])
        told = capsys.readouterr().err
        if status:
            assert status in (BAD_INPUT, FAILURES)
            assert "Too many open files" in told
        made(bank, out)
        assert contents(out) == undisturbed
        if not status:
            break
    assert spare > 0, "no limit was too low"


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """Let this process open so many files more than it has open now."""
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    limit = spare
    while limit - sum(one < limit for one in taken) < spare:
        limit += 1
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
