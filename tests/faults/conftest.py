"""What the fault tests share: disks that fill up, users without rights, files to compare."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe

sys.path.insert(0, str(Path(__file__).parent))
from trouble import COUNT, SEED, SHARD, Middle, contents


@pytest.fixture
def middle(bank: FaceBank) -> Callable[..., Middle]:
    return lambda **values: Middle(np.array(bank.landmarks[0], np.float32), **values)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of one noisy picture each, whose crops take 250 kB or so."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (320, 320, 3), dtype=np.uint8)
        (root / f"p{number}").mkdir()
        cv2.imwrite(str(root / f"p{number}" / "a.png"), noise)
    return root


@pytest.fixture(scope="session")
def undisturbed(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a set of three shards that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    return contents(out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many bytes; what does not fit gets ENOSPC."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
        done = subprocess.run(words, capture_output=True) if shutil.which("mount") else None
        if done is None or done.returncode:
            pytest.skip("only root may mount a small disk, and not in every container")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that a user without rights may enter and write; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="faceblend-faults-"))
    folder.chmod(0o777)
    yield folder
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        path.chmod(0o777)
    shutil.rmtree(folder)
