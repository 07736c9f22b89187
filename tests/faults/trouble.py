"""Full disks, users without rights, a detector that finds what it is told to."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from faceblend.face import Image
from faceblend.ingest.detect import Detection

NOBODY = 65534
COUNT, SHARD, SEED = 6, 2, 9


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but for the copies in a bank's ``cache/``."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_file() and not name.startswith("cache/")
    }


@dataclass
class Middle:
    """A detector that finds one face in the middle of everything."""

    points: np.ndarray
    seen: int = 0
    """pictures that it looked at"""
    before: Callable[[int], object] = field(default=lambda _: None)
    """called with the number of pictures that were looked at, before each"""
    name: str = "middle"

    def detect(self, image: Image) -> list[Detection]:
        self.before(self.seen)
        self.seen += 1
        del image
        box = (60.0, 100.0, 260.0, 300.0)
        return [Detection(box=box, score=1.0, landmarks=self.points)]


def fill(disk: Path) -> Path:
    """Another program's file, which takes all that is left."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
    return path


def readable_copy(folder: Path, to: Path) -> Path:
    """A copy that a user without rights may read and write."""
    shutil.copytree(folder, to)
    for path in (to, *to.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return to


@contextmanager
def no_rights() -> Iterator[None]:
    """Let this process be nobody, as permissions mean nothing to root."""
    if os.name == "nt":
        pytest.skip("Windows has no permission bits")
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
