"""A reader sees the old file or the new one, and nothing is left lying about."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from faceblend import atomic
from faceblend.errors import Unwritable


class Interrupted(Exception):
    """Stands for whatever stops a writer."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_holds_its_bytes_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "deep" / "er" / "file.bin", b"new")
    assert (tmp_path / "deep" / "er" / "file.bin").read_bytes() == b"new"
    assert names(tmp_path / "deep" / "er") == ["file.bin"]


def test_a_table_keeps_commas_and_quotes_and_ends_its_lines_alike(tmp_path: Path) -> None:
    atomic.write_csv(tmp_path / "one.csv", ("name", "n"), [('a "b", c', 1), ("é", 2)])
    wanted = 'name,n\n"a ""b"", c",1\né,2\n'
    assert (tmp_path / "one.csv").read_bytes() == wanted.encode()


def test_the_old_file_stands_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == tmp_path  # a rename across disks would not be atomic
        assert temporary.name.endswith(atomic.TEMPORARY)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"ne")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_a_killed_writer_leaves_the_old_file_and_a_name_that_says_it_may_go(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from faceblend import atomic\n"
        "with atomic.replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name != "file.bin"]
    assert len(left) == 1
    assert left[0].endswith(atomic.TEMPORARY)


def test_a_block_that_wrote_nothing_is_an_error_and_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(Unwritable, match="No such file"), atomic.replacing(path):
        pass
    assert path.read_bytes() == b"old"


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with atomic.replacing(path) as first, atomic.replacing(path) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"  # whole, whoever comes last
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_read_the_file_as_the_umask_allows(
    mask: int, mode: int, tmp_path: Path
) -> None:
    before = os.umask(mask)
    try:
        atomic.write_bytes(tmp_path / "file.bin", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == mode


def test_the_data_reaches_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    replace = Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: steps.append(f"sync {os.fstat(handle).st_size}")
    )
    monkeypatch.setattr(
        Path, "replace", lambda self, other: (steps.append("rename"), replace(self, other))
    )
    atomic.write_bytes(tmp_path / "file.bin", b"12345")
    assert steps[:2] == ["sync 5", "rename"]
    assert len(steps) == 3  # and then the folder, which holds the name


def test_json_has_one_layout_whoever_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    atomic.write_json(path, {"b": [1, 2.5], "a": "é"})
    assert path.read_text("utf-8") == '{\n "b": [\n  1,\n  2.5\n ],\n "a": "é"\n}\n'
    assert json.loads(path.read_bytes()) == {"b": [1, 2.5], "a": "é"}


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(path, {"loss": float("nan")})
    assert path.read_text() == "{}"
    assert names(tmp_path) == ["value.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_file_is_private_until_it_is_whole_and_then_as_any_other(
    umask: int, mode: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        with atomic.replacing(tmp_path / "file.bin") as temporary:
            temporary.write_bytes(b"half")
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("planted", ["file", "link"])
def test_a_temporary_file_that_somebody_else_made_is_not_written(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its name could be guessed."""
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda _: "guessed")
    there = tmp_path / f".file.bin.{os.getpid()}-guessed.tmp"
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    if planted == "file":
        there.write_bytes(b"theirs")
    else:
        there.symlink_to(victim)
    with pytest.raises(Unwritable, match="File exists"):
        atomic.write_bytes(tmp_path / "file.bin", b"new")
    assert victim.read_bytes() == b"mine"
    assert there.exists()
