"""Two public-domain people, from photograph to verified set, with no download.

Eileen Collins (NASA) comes with scikit-image, Grace Hopper (US Navy) with matplotlib. Small
pans, zooms and changes of light make a short "video" of each; everything after that is the
real thing: detection, bank, blending, store, verification and report.
"""

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from matplotlib.cbook import get_sample_data
from rich.console import Console
from skimage.data import astronaut

from faceblend import atomic
from faceblend.audit.page import page
from faceblend.audit.report import Inspection, inspect
from faceblend.bank import FaceBank
from faceblend.errors import BadShard
from faceblend.face import Image
from faceblend.generate import generate
from faceblend.ingest.extract import extract
from faceblend.ingest.photograph import read_photograph
from faceblend.recipe import load_recipe
from faceblend.store import verify

FRAMES = 12
"""Photographs made of each person."""


def demo(out: str | Path = "demo", *, count: int = 120, workers: int = 1) -> Inspection:
    """Make a small verified set under ``out`` and say where to look.

    Args:
        out: folder; a second run continues what is there.
        count: samples to make.
        workers: processes.

    Raises:
        BadShard: the set did not pass its own verification.
        MissingModel: the landmark model is not installed.
    """
    root, console = Path(out), Console(highlight=False, markup=False)  # paths may hold brackets
    photographs(root / "photographs")
    report = extract(root / "photographs", root / "bank", group="folder", workers=workers)
    bank = FaceBank.open(root / "bank")
    made = generate(
        bank, load_recipe("bi"), root / "set", count=count, shard_size=60, workers=workers
    )
    problems = verify(root / "set", bank=bank, replays=5).problems
    if problems:
        raise BadShard(
            problems[0].where, problems[0].what, f"delete {root} and run the demo again"
        )
    shown, program = inspect(root / "set"), _program()
    report_page = page(root / "set", bank=bank)
    console.print(
        f"\nMade from two public-domain photographs: {report.faces} faces in {root / 'bank'}, "
        f"{made.stored} samples in {root / 'set'} (verified, 5 of them replayed byte for byte)."
        f"\nLook at {shown.contact_sheet} and {shown.histograms}\n"
        "\nNext, with your own photographs:\n"
        f"  {program} extract PHOTOGRAPHS --out bank --group folder\n"
        f"  {program} generate bank --out set --count 10000 --recipe bi\n"
        f"  {program} inspect set --html --bank bank\n"
        f"\nEverything about the demo's set, in any browser: {report_page}",
        soft_wrap=True,
    )
    return shown


def _program() -> str:
    # `make demo` installs it where the shell does not look
    if shutil.which("faceblend"):
        return "faceblend"
    return os.path.relpath(Path(sys.executable).with_name("faceblend"))


def photographs(folder: Path) -> None:
    """Write ``FRAMES`` views of each person as JPEG, those that are missing."""
    hopper = read_photograph(Path(get_sample_data("grace_hopper.jpg", asfileobj=False)))
    for name, portrait in (("collins", astronaut()), ("hopper", hopper)):
        for frame in range(FRAMES):
            path = folder / name / f"{frame:02d}.jpg"
            if not path.exists():
                view = cv2.cvtColor(_view(portrait, frame / FRAMES), cv2.COLOR_RGB2BGR)
                quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
                atomic.write_bytes(path, cv2.imencode(".jpg", view, quality)[1].tobytes())


def _view(portrait: Image, phase: float) -> Image:
    # one turn of a slow hand-held pan, zoom and change of light
    turn = 2 * np.pi * phase
    height, width = portrait.shape[:2]
    zoom = 1 + 0.1 * np.sin(turn)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 3), 4 * np.cos(turn), zoom)
    matrix[:, 2] += 0.03 * width * np.cos(2 * turn), 0.02 * height * np.sin(3 * turn)
    moved = cv2.warpAffine(
        portrait, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    lit = moved * np.float32(1 + 0.12 * np.sin(2 * turn)) + np.float32(8 * np.cos(3 * turn))
    return np.asarray(np.rint(np.clip(lit, 0, 255)).astype(np.uint8))
