"""What is fuzzed: one way to read a user's file, and what counts as a failure of it."""

import hashlib
import shutil
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis.strategies import SearchStrategy

from faceblend.errors import FaceblendError

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
SECONDS = 5.0  # of the processor that a case may take
GROWTH = 2**30  # bytes that a case may add to the most that the process ever held
_LONGEST = 2000  # characters of an error's line: none needs more, a value is not to fill a screen


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of a user's file.

    Attributes:
        name: of the file's kind: ``recipe-yaml``.
        seeds: small valid files, which every other case grows from.
        read: puts the bytes where a user's file would be, in an empty folder, and reads it by the
            public API; may raise FaceblendError alone.
        strategy: cases that keep to the format's structure, made by hypothesis.
        share: cases of it for each of another target, where reading takes long.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]
    strategy: SearchStrategy[bytes] | None = None
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a case: ``failure`` is empty where it was read or refused in words."""

    accepted: bool
    said: str = ""  # where it was refused
    failure: str = ""
    where: str = ""  # innermost own frame, by which failures are told apart
    trace: str = ""
    seconds: float = 0.0


def judge(
    target: Target,
    data: bytes,
    folder: Path,
    *,
    seconds: float = SECONDS,
    growth: int = GROWTH,
) -> Verdict:
    """Read ``data`` in the empty ``folder``, which is emptied again, and judge what came of it."""
    most = _peak()
    started = time.process_time()
    accepted, said, failure, where, trace = True, "", "", "", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, of what was left out: not errors
            target.read(data, folder)
    except FaceblendError as error:
        accepted, said, failure = False, ascii(error), _unworded(error)
        where, trace = _origin(error) if failure else ("", "")
    except Exception as error:
        accepted, failure = False, f"raises {type(error).__name__}: {str(error)[:200]}"
        where, trace = _origin(error)
    took = time.process_time() - started
    if not failure and took > seconds:
        failure = f"takes {took:.1f} s"
    if not failure and _peak() - most > growth:
        failure = f"takes {(_peak() - most) / 2**20:.0f} MiB"
    _empty(folder)
    return Verdict(
        accepted=accepted, said=said, failure=failure, where=where, trace=trace, seconds=took
    )


def save(found: Path, target: str, data: bytes) -> Path:
    """Keep the bytes of a failure under their digest."""
    path = found / target / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _unworded(error: FaceblendError) -> str:
    try:
        line = str(error)
    except Exception as wrong:
        return f"has no message: {wrong!r}"
    if not error.where.strip():
        return f"names no place: {line[:200]}"
    if len(line) > _LONGEST:
        return f"says {len(line)} characters"
    if not all(letter.isprintable() for letter in line):
        return f"says more than a line, or what no terminal should get: {line[:200]!r}"
    return ""


def _origin(error: BaseException) -> tuple[str, str]:
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if f"{ROOT}/" in frame.filename and "/tests/" not in frame.filename
    ]
    where = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else ""
    return f"{type(error).__name__} {where}", "".join(traceback.format_exception(error))[-3000:]


def _peak() -> int:
    # getrusage would tell the peak of the process that started this one
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024


def _empty(folder: Path) -> None:
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
