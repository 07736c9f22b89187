"""Names that somebody else chose are shown, and neither a page nor a terminal obeys them."""

import io
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from faceblend import jobs
from faceblend.bank import FaceBank, FaceRow
from faceblend.cli import main
from faceblend.errors import BadArgument, shown
from faceblend.ingest.look import counted
from tests.conftest import make_bank

HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "javascript:alert(1)",
    "</style><style>*{background:url(//evil)}",
    "<svg/onload=alert(1)><text>&lt;b&gt;",
)
TERMINAL = "a\x1b[2J\x1b]0;owned\x07\r\nfaceblend: all is well\u202egnp.\udcff"


class Structure(HTMLParser):
    """Which elements a page has, with which attributes; what links and pictures point to."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag, tuple(name for name, _ in attrs)] += 1
        self.links |= {value or "" for name, value in attrs if name in ("src", "href", "action")}


def structure(root: Path, names: tuple[str, ...]) -> Structure:
    """The page of a set whose bank, people, settings, licence and recipe bear the names."""
    videos = {f"v{number}": name for number, name in enumerate(names)}
    made = make_bank(root / "bank", videos=len(names), frames=2, subjects=videos)
    rows = made.table.to_pylist()
    renamed = [
        FaceRow(
            **{**row, "video": videos[row["video"]], "source": videos[row["video"]] + ".mp4"},
            landmarks=made.landmarks[number].ravel().tolist(),
        )
        for number, row in enumerate(rows)
    ]
    bank = FaceBank.create(
        root / "bank", renamed, crop_size=317, made_by={"detector": names[0], names[1]: names[2]}
    )
    (bank.root / "LICENSES.txt").write_text("\n".join(names))
    out = root / "set"
    words = ["--count", "12", "--workers", "1", "--recipe.name", f"'{names[2]}'"]
    assert main(["generate", str(bank.root), "--out", str(out), *words]) == 0
    assert main(["inspect", str(out), "--html", "--bank", str(bank.root)]) == 0
    found = Structure()
    found.feed((out / "inspect" / "report.html").read_text("utf-8"))
    return found


def test_hostile_names_add_nothing_to_the_page(tmp_path: Path) -> None:
    """Its elements and attributes are those that harmless names give."""
    # in the same order, so that the same faces are drawn
    harmless = tuple(f"name {number}" for number in range(len(HOSTILE)))
    hostile = structure(tmp_path / "h", tuple(sorted(HOSTILE)))
    plain = structure(tmp_path / "p", harmless)
    assert hostile.elements == plain.elements
    assert ("script", ()) in hostile.elements
    assert all(link.startswith(("#", "data:")) for link in hostile.links)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Käthe 春.png", "Käthe 春.png"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_terminal_is_shown_what_it_would_obey(text: str, told: str) -> None:
    assert shown(text) == told


def test_an_error_is_one_line_whatever_file_it_names() -> None:
    error = BadArgument(TERMINAL, f"holds {TERMINAL}", "two\nlines")
    assert str(error).isprintable()
    assert str(error).endswith("; two lines")
    assert error.where == TERMINAL  # for programs, as it is


@pytest.mark.parametrize("command", ["generate", "inspect", "verify", "doctor", "extract"])
def test_a_command_forges_no_line_for_a_file(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = tmp_path / TERMINAL.removesuffix("\udcff")
    out = ["--out", str(tmp_path / "out")] if command in ("generate", "extract") else []
    assert main([command, str(hostile), *out]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.rstrip("\n").isprintable()
    assert "faceblend: all is well" in said.err


def test_a_report_of_hostile_files_stays_in_its_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\n\x1b[2Jb.png").write_bytes(b"none")
    (tmp_path / "in" / "a.\n\x1b[2Jforged").write_bytes(b"none")
    assert main(["doctor", str(tmp_path / "in")]) in (0, 1)
    said = capfd.readouterr()
    for line in (said.out + said.err).split("\n"):
        assert line.isprintable(), line
        assert not line.startswith(("b.png", "forged"))
    assert counted({".\nc": 1}) == "1 (.\\nc 1)"


def test_a_warning_above_the_bar_stays_in_its_line() -> None:
    file = io.StringIO()
    with jobs.progress("job", total=1, unit="files", console=Console(file=file)) as report:
        report.warn(TERMINAL)
        report.advance()
    assert all(line.isprintable() for line in file.getvalue().split("\n"))
    assert not any(line.startswith("faceblend:") for line in file.getvalue().split("\n"))
