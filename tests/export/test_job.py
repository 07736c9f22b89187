"""An export is whole, the same whoever writes it, and continues where it was cut off."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadShard
from faceblend.export import export_set, job
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet, verify
from tests.conftest import make_bank

KINDS = ("webdataset", "parquet", "folder")
COUNT = 14


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Faces of two splits, one of which cannot be read: samples of it are rejected."""
    splits = {"v0": "train", "v1": "train", "v2": "val", "v3": "val"}
    bank = make_bank(tmp_path_factory.mktemp("damaged"), splits=splits)
    (bank.root / bank.crop(7)).write_bytes(b"no picture")
    return bank


@pytest.fixture(scope="session")
def made(damaged: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fewer than fourteen samples in four shards; copy it before changing it."""
    out = tmp_path_factory.mktemp("sets") / "made"
    report = generate(damaged, load_recipe("bi"), out, count=COUNT, seed=3, shard_size=4)
    assert 0 < report.rejected < 8
    return out


@pytest.fixture(scope="session")
def exports(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The set in each layout."""
    root = tmp_path_factory.mktemp("exports")
    for to in KINDS:
        export_set(made, root / to, to)  # type: ignore[arg-type]
    return {to: root / to for to in KINDS}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pieces(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "export.json").read_bytes())["pieces"]
    return found


@pytest.mark.parametrize("to", KINDS)
def test_two_processes_and_another_run_write_the_same_bytes(
    made: Path, exports: dict[str, Path], tmp_path: Path, to: Any
) -> None:
    before = contents(exports[to])
    again = export_set(made, exports[to], to)
    assert again.kept == again.pieces == 4
    assert contents(exports[to]) == before
    report = export_set(made, tmp_path / "out", to, workers=2)
    assert (report.kept, report.failed) == (0, ())
    assert contents(tmp_path / "out") == before
    with BlendSet(made) as blends:
        assert report.samples == len(blends) == sum(one["stored"] for one in pieces(exports[to]))
        assert report.rejected == COUNT - len(blends)
        assert sum(one["fakes"] for one in pieces(exports[to])) == int(blends.labels.sum())


@pytest.mark.parametrize("to", KINDS)
def test_what_is_missing_cut_short_or_unlisted_is_made_again(
    made: Path, exports: dict[str, Path], tmp_path: Path, to: Any
) -> None:
    before = contents(exports[to])
    out = Path(shutil.copytree(exports[to], tmp_path / "out"))
    names = [one["name"] for one in pieces(out)]
    (out / names[0]).unlink()
    (out / names[1]).write_bytes((out / names[1]).read_bytes()[:-1])
    state = json.loads((out / "export.json").read_bytes())
    state["pieces"] = [one for one in state["pieces"] if one["name"] != names[3]]
    (out / "export.json").write_text(json.dumps(state))
    (out / ".export.json.1-2.tmp").write_bytes(b"half")
    report = export_set(made, out, to)
    assert (report.pieces, report.kept) == (4, 1)
    assert contents(out) == before


def test_folders_are_those_that_generate_writes(
    damaged: FaceBank, exports: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "set"
    generate(damaged, load_recipe("bi"), out, count=COUNT, seed=3, shard_size=4, layout="folder")
    found = contents(exports["folder"])
    del found["export.json"]
    assert found == contents(out)
    assert not verify(exports["folder"], bank=damaged, replays=4).problems


def test_no_name_leaves_the_folder(exports: dict[str, Path]) -> None:
    for to, folder in exports.items():
        for one in pieces(folder):
            place = (folder / one["name"]).resolve()
            assert place.is_relative_to(folder.resolve()), to
            assert place.is_file()
        listed = json.loads((folder / "export.json").read_bytes())
        assert str(folder) not in json.dumps(listed)


RUN = """
import sys
from faceblend.export import export_set

if __name__ == "__main__":
    made, out, to, workers = sys.argv[1:]
    export_set(made, out, to, shard_size=1 if to != "folder" else None, workers=int(workers))
"""


def start(made: Path, out: Path, to: str, **given: Any) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", RUN, str(made), str(out), to, "1"]
    return subprocess.Popen(words, stderr=subprocess.PIPE, **given)


@pytest.mark.parametrize("to", ["webdataset", "parquet"])
def test_a_run_that_is_killed_continues_to_the_same_bytes(
    made: Path, tmp_path: Path, to: Any
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    export_set(made, whole, to, shard_size=1)
    run = start(made, out, to)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and run.poll() is None:
        if (out / "export.json").exists() and len(pieces(out)) >= 2:
            break
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert len(pieces(out)) >= 2, "it was killed before it had begun"
    report = export_set(made, out, to, shard_size=1)
    assert report.kept >= 2
    assert contents(out) == contents(whole)


def test_a_disk_without_room_is_told_in_one_line_and_leaves_no_half_file(
    made: Path, exports: dict[str, Path], tmp_path: Path
) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    out = tmp_path / "out"
    command = [sys.executable, "-m", "faceblend", "export", made, "--out", out]
    told = subprocess.run(
        [str(word) for word in (*command, "--to", "webdataset", "--workers", 1)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=small_files,
    )
    assert told.returncode == 2
    (line,) = [one for one in told.stderr.splitlines() if one.startswith("faceblend: ")]
    assert "shard-00000.tar: cannot be written (File too large); make space" in line
    assert "Traceback" not in told.stderr
    assert not list(out.glob("*.tar"))
    export_set(made, out, "webdataset")
    assert contents(out) == contents(exports["webdataset"])


def test_a_damaged_shard_is_named_and_the_others_are_written(
    made: Path, exports: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "set"))
    path = copy / "shard-00002.h5"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    out = tmp_path / "out"
    report = export_set(copy, out, "webdataset")
    # rejected numbers shift the others: samples of one shard may be in two tars
    assert 1 <= len(report.failed) <= 2
    assert all("shard-00002.h5" in reason for _, reason in report.failed)
    whole = {path.name for path in exports["webdataset"].glob("*.tar")}
    assert {path.name for path in out.glob("*.tar")} == whole - {name for name, _ in report.failed}
    assert not (out / "index.json").exists()
    assert "failed: shard-0000" in str(report)
    path.write_bytes(data)
    assert export_set(copy, out, "webdataset").kept == len(whole) - len(report.failed)
    assert contents(out) == contents(exports["webdataset"])


def test_what_cannot_be_exported_is_refused_in_words(
    bank: FaceBank, made: Path, exports: dict[str, Path], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    cases: list[tuple[type[Exception], str, Any]] = [
        (BadArgument, "shard size: is 0", lambda: export_set(made, new, "parquet", shard_size=0)),
        (
            BadArgument,
            "shard size: has no use with folder",
            lambda: export_set(made, new, "folder", shard_size=3),
        ),
        (
            BadArgument,
            "image: has no use with folder",
            lambda: export_set(made, new, "folder", image="jpg"),
        ),
        (
            BadArgument,
            "bank: has no use with webdataset",
            lambda: export_set(made, new, "webdataset", bank=bank),
        ),
        (BadBank, "is not the bank that", lambda: export_set(made, new, "parquet", bank=bank)),
        (BadShard, "no manifest.json", lambda: export_set(tmp_path, new, "parquet")),
        (
            BadShard,
            "is a set of PNG folders",
            lambda: export_set(exports["folder"], new, "parquet"),
        ),
        (
            BadArgument,
            r"holds other files \(manifest.json",
            lambda: export_set(made, made, "parquet"),
        ),
        (
            BadArgument,
            "to is 'parquet' there and 'webdataset' here",
            lambda: export_set(made, exports["parquet"], "webdataset"),
        ),
        (
            BadArgument,
            "image is 'png' there and 'jpg' here",
            lambda: export_set(made, exports["parquet"], "parquet", image="jpg"),
        ),
    ]
    for kind, words, call in cases:
        with pytest.raises(kind, match=words):
            call()
    assert not new.exists()


def test_a_set_that_is_not_finished_is_refused(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "set"))
    content = json.loads((copy / "manifest.json").read_bytes())
    content["shards"] = content["shards"][:-1]
    (copy / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BadShard, match="1 of 4 shards are missing; run the same generate"):
        export_set(copy, tmp_path / "out", "parquet")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "export.json").write_text("{")
    with pytest.raises(BadArgument, match=r"export.json: is damaged"):
        export_set(made, tmp_path / "bad", "parquet")


@pytest.mark.skipif(os.name == "nt", reason="Windows locks no folders")
def test_two_runs_do_not_write_one_folder(made: Path, tmp_path: Path) -> None:
    with job.atomic.alone_in(tmp_path), pytest.raises(BadArgument, match="written by another"):
        export_set(made, tmp_path, "parquet")
