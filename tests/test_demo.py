"""The demo goes the whole way, without a download, and a second time at once."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from faceblend.bank import FaceBank
from faceblend.demo import FRAMES, demo
from faceblend.store import verify

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


def test_every_picture_of_both_people_gives_a_face_and_the_set_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = demo(tmp_path / "demo", count=20)
    bank = FaceBank.open(tmp_path / "demo" / "bank")
    assert len(bank) == 2 * FRAMES
    assert set(bank.table["video"].to_pylist()) == {"collins", "hopper"}
    assert not verify(tmp_path / "demo" / "set", bank=bank, replays=20).problems
    told = capsys.readouterr().out
    assert str(shown.contact_sheet) in told
    assert shown.contact_sheet.stat().st_size > 10_000
    for command in ("extract", "generate", "inspect"):
        assert f"faceblend {command}" in told
    before = digests(tmp_path / "demo")
    demo(tmp_path / "demo", count=20)
    assert digests(tmp_path / "demo") == before


def test_the_demo_needs_no_network(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", "-c", OFFLINE, str(tmp_path / "demo")]
    subprocess.run(words, check=True, capture_output=True)
