"""The demo goes the whole way, without a download, and a second time at once."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faceblend.bank import FaceBank
from faceblend.demo import FRAMES, demo, photographs
from faceblend.errors import BadShard, MissingModel
from faceblend.store import VerifyReport, verify

pytestmark = pytest.mark.model


OFFLINE = """
import socket, sys
def refused(*_):
    raise OSError("the demo went to the network")
socket.socket.connect = refused
from faceblend.demo import demo
demo(sys.argv[1], count=6)
"""


def digests(root: Path) -> dict[str, str]:
    files = [*root.glob("bank/crops/**/*.png"), *root.glob("set/*.h5"), *root.glob("set/*.json")]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the demo went through once; its name looks like a terminal's markup."""
    out = tmp_path_factory.mktemp("made") / "[red] [" / "bold]"
    demo(out, count=20)
    return out


def test_every_picture_of_both_people_gives_a_face_and_the_set_verifies(made: Path) -> None:
    bank = FaceBank.open(made / "bank")
    assert len(bank) == 2 * FRAMES
    assert set(bank.table["video"].to_pylist()) == {"collins", "hopper"}
    report = verify(made / "set", bank=bank, replays=20)
    assert (report.problems, report.samples, report.replayed) == ((), 20, 20)


def test_a_second_run_changes_nothing_and_says_where_to_look(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(made)
    times = {path: path.stat().st_mtime_ns for path in made.glob("**/*.[hj]*")}
    shown = demo(made, count=20)
    assert digests(made) == before
    kept = {path: time for path, time in times.items() if path.suffix in (".h5", ".jpg")}
    assert len(kept) == 1 + 2 * FRAMES
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    told = capsys.readouterr().out
    assert str(shown.contact_sheet) in told
    assert shown.contact_sheet.stat().st_size > 10_000
    for command in ("extract", "generate", "inspect"):
        assert f"faceblend {command}" in told


def test_a_shard_that_was_damaged_is_made_again(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made, tmp_path / "demo"))
    shard = out / "set" / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    demo(out, count=20)
    assert shard.read_bytes() == (made / "set" / "shard-00000.h5").read_bytes()


def test_a_set_that_does_not_verify_is_told_not_shown(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(made, tmp_path / "demo"))
    shutil.rmtree(out / "set" / "inspect")

    def written_wrong(folder: Path, **asked: Any) -> VerifyReport:
        (folder / "shard-00000.h5").write_bytes(b"not what was committed")
        return verify(folder, **asked)

    monkeypatch.setattr("faceblend.demo.verify", written_wrong)
    with pytest.raises(BadShard, match=r"shard-00000\.h5: .*; delete .* and run the demo again"):
        demo(out, count=20)
    assert not (out / "set" / "inspect").exists()


def test_without_the_landmark_model_the_demo_says_what_to_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEBLEND_LANDMARK_MODEL", str(tmp_path / "none.dat"))
    with pytest.raises(MissingModel, match=r"none\.dat"):
        demo(tmp_path / "demo", count=2)


def test_the_photographs_are_of_two_people_all_different_and_made_once(tmp_path: Path) -> None:
    photographs(tmp_path)
    there = sorted(tmp_path.rglob("*.jpg"))
    assert [path.parent.name for path in there] == ["collins"] * FRAMES + ["hopper"] * FRAMES
    assert len({path.read_bytes() for path in there}) == 2 * FRAMES
    there[0].write_bytes(b"kept")
    there[1].unlink()
    photographs(tmp_path)
    assert there[0].read_bytes() == b"kept"
    assert there[1].exists()


def test_the_demo_needs_no_network(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", "-c", OFFLINE, str(tmp_path / "demo")]
    subprocess.run(words, check=True, capture_output=True)
