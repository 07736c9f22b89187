"""The demo: people are split before pictures, and one failed command stops it."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="timm is not installed: make test-train has it")

from faceblend.errors import BadArgument
from xray_train.commands import build_parser, main
from xray_train.demo import HELD, SEEN, demo

SHARED = Path(__file__).parents[3] / "shared" / "faces"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for name in ("groups", *(f"people/{one}" for one in HELD)):
        (tmp_path / "faces" / name).mkdir(parents=True)
    return tmp_path / "faces"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs in shared/faces are not here")
def test_everyone_is_either_trained_on_or_held_out() -> None:
    for folder in (SHARED / "people").iterdir():
        seen = any(re.fullmatch(one, folder.name) for one in SEEN)
        assert seen != (folder.name in HELD), folder


def test_commands_run_in_turn_until_one_fails(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[list[str]] = []

    def command(words: Sequence[str]) -> int:
        ran.append(list(words))
        return 3 if words[0] == "test" else 0

    monkeypatch.setattr("faceblend.cli.main", command)
    monkeypatch.setattr("xray_train.cli.main", command)
    assert demo(faces, tmp_path / "out", seed=7) == 3
    assert [words[0] for words in ran] == ["extract", "extract", "fit", "test"]
    said = capsys.readouterr().out
    assert said.count("$ faceblend extract") == 2
    assert "$ xray-train test --ckpt" in said
    held = re.compile(ran[1][ran[1].index("--group") + 1])
    trained = re.compile(ran[0][ran[0].index("--group") + 1])
    assert held.match("kate_siegel/1.jpg")
    assert not held.match("tv_amy/1.jpg")
    assert not trained.match("people/kate_siegel/1.jpg")
    shown = ("people/tv_amy/1.jpg", "groups/crowd_1.jpg")
    assert [trained.match(one)[1] for one in shown] == ["people/tv_amy", "groups/crowd_1.jpg"]  # type: ignore[index]


def test_its_last_words_are_where_to_look(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    for name in ("seed-0", "seed-1"):
        (out / name).mkdir(parents=True)
        (out / name / "log.jsonl").write_text('{"step": 1, "train/xray": 0.2}\n')
    monkeypatch.setattr("faceblend.cli.main", lambda _: 0)
    monkeypatch.setattr("xray_train.cli.main", lambda _: 0)
    assert demo(faces, out) == 0
    assert (out / "curves.png").stat().st_size > 1000
    assert f"Look at {out / 'seed-0' / 'test.png'}" in capsys.readouterr().out


def test_its_config_is_one_that_fit_reads(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceblend.cli.main", lambda _: 1)
    demo(faces, tmp_path / "out", seed=7)
    chosen = build_parser().parse_args(["fit", "--config", str(tmp_path / "out" / "seed-7.yaml")])
    assert chosen.fit.fit.seed == chosen.fit.train[0].init_args.seed == 7
    assert chosen.fit.train[0].init_args.bank == str(tmp_path / "out" / "train")
    assert chosen.fit.val.init_args.bank == str(tmp_path / "out" / "held")
    assert chosen.fit.val.init_args.seed != 7


def test_without_the_photographs_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadArgument, match="has no folder 'groups'"):
        demo(tmp_path, tmp_path / "out")
    assert main(["demo", "--faces", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "docs/training.md describes" in capsys.readouterr().err
