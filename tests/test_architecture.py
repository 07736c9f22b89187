"""The house stays in order: every import points up the list in ``docs/architecture.md``."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", PAGE, re.MULTILINE)
ORDER = [name for name, _ in ROOMS]
DISK = {name for name, mark in ROOMS if mark.strip() == "disk"}
DOORS = {"__init__", "__main__"}  # they name every room, or none
BESIDES = {"recipe", "bench", "torch", "gpu"}  # presets; the processor's name; FaceBank.open


def modules() -> list[Path]:
    return sorted((ROOT / "faceblend").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "faceblend").parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("faceblend."):
            rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "faceblend":
            rooms |= {alias.name for alias in node.names} & set(ORDER)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            rooms |= {name.split(".")[1] for name in names if name.startswith("faceblend.")}
    return rooms


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_points_up(path: Path) -> None:
    own = room(path)
    if own in DOORS:
        return
    assert own in ORDER, f"{own} is a new room: give it its place in docs/architecture.md"
    allowed = set(ORDER[: ORDER.index(own) + 1])
    assert imported_rooms(path) <= allowed


def test_the_page_lists_every_room() -> None:
    assert set(ORDER) == {room(path) for path in modules()} - DOORS


def test_only_draw_makes_random_numbers() -> None:
    assert [path.relative_to(ROOT).as_posix() for path in modules() if makes_noise(path)] == [
        "faceblend/draw.py"
    ]


def makes_noise(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    # np.random.Generator names what an operation is given; making one takes another name, too
    given = [node.value for node in nodes if isinstance(node, ast.Attribute)
             and node.attr == "Generator"]  # fmt: skip
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("random", "default_rng", "Philox")
        and node not in given
        for node in nodes
    )


def test_only_named_rooms_open_files() -> None:
    writers = {"open", "write_bytes", "write_text", "read_bytes", "read_text", "imread", "imwrite"}
    users = {
        room(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in writers
    }
    assert users <= DISK | BESIDES


def test_the_trainers_are_never_imported_by_the_generator() -> None:
    for path in modules():
        names = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        assert not {name for name in names if name.startswith("xray_train")}


def test_importing_the_library_needs_neither_torch_nor_dlib_nor_the_network() -> None:
    code = (
        "import sys, socket\n"
        "socket.socket.connect = None\n"
        "import faceblend\n"
        "heavy = {'torch', 'dlib', 'fsspec', 'matplotlib', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_room_is_named_for_nothing() -> None:
    empty_names = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}
    assert not {path.stem for path in modules()} & empty_names
