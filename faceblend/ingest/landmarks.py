"""The classic landmark file of pictures as they are: resumable, every refusal told."""

import json
import os
import time
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

from faceblend import atomic, jobs
from faceblend.errors import BadArgument, MissingModel, NoFace
from faceblend.ingest.detect import Detector, DlibHog
from faceblend.ingest.look import Refusal, counted, look, told, write_refusals
from faceblend.ingest.photograph import MAX_PIXELS, Photograph, list_photographs

_FORMAT = 1  # of journals


@dataclass(frozen=True, kw_only=True)
class LandmarksReport:
    """What a call of :func:`landmarks` left behind."""

    path: Path
    """the landmark file"""
    faces: int
    """pictures in it"""
    pictures: int
    """pictures that were looked at"""
    kept: int
    """those of them that an earlier run had done"""
    errors: dict[str, int]
    """lines of the file of errors by kind"""
    ignored: dict[str, int]
    """files that are no pictures by suffix"""
    seconds: float
    """time that this call took"""

    def __str__(self) -> str:
        text = (
            f"{self.faces:,} faces of {self.pictures:,} pictures in {self.path}"
            f" ({self.seconds:.1f} s)"
        )
        if self.errors:
            text += f"\nrefused: {counted(self.errors)}, see {_errors_path(self.path)}"
        if self.ignored:
            text += f"\nignored: {counted(self.ignored)}"
        return text


def landmarks(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    detector: Detector | None = None,
    min_face: int = 40,
    max_pixels: int = MAX_PIXELS,
    workers: int = 1,
    executor: Executor | None = None,
) -> LandmarksReport:
    """Write ``{"000_0000.png": [[x, y], ... 68], ...}`` of the largest face of each picture.

    Points are in px of the picture as it stands upright, rounded to 0.001. While it works, a
    journal, ``OUT.partial``, keeps what is done, and the same call continues there; other
    settings begin it anew. The whole file comes at the end, or none. Refused pictures go to
    ``OUT.errors.jsonl``.

    Args:
        source: folder of pictures, searched with its subfolders; keys start from it.
        out: the JSON file.
        detector: finds faces; :class:`~faceblend.ingest.detect.DlibHog` if not given.
        min_face: least size of a face, px: the longer side of its landmarks' bounding box.
        max_pixels: pictures with more are refused before they are decoded.
        workers: processes.
        executor: any ``concurrent.futures.Executor`` instead of ``workers`` processes.

    Raises:
        BadArgument: a value cannot be used, or ``source`` holds no picture.
        NoFace: no picture gave a face; the file of errors tells why.
        MissingModel: dlib or its landmark model is not there.
    """
    started = time.monotonic()
    limits = {"min_face": min_face, "max_pixels": max_pixels, "workers": workers}
    for name, value in limits.items():
        if value < 1:
            raise BadArgument(name, f"is {value}", "give 1 or more")
    folder, path = Path(source), Path(out)
    if path.is_dir():
        raise BadArgument(path, "is a folder", "give the name of a JSON file")
    detector = detector if detector is not None else DlibHog()
    work = _Looking(source=folder, detector=detector, min_face=min_face, max_pixels=max_pixels)
    listing = list_photographs(folder)
    journal = _Journal(path.with_name(f"{path.name}.partial"), work.settings())
    before = journal.resume()
    entries = [before[one] for one in listing.photographs if one in before]
    kept = len(entries)
    todo = [one for one in listing.photographs if one not in before]
    total = len(listing.photographs)
    with jobs.progress("landmarks", total=total, unit="pictures", kept=kept) as report:
        for outcome in jobs.run(todo, work, workers=workers, executor=executor):
            if isinstance(outcome.error, MissingModel):
                raise outcome.error
            if outcome.error is not None:
                report.warn(f"{outcome.task.source}: {outcome.error}")
            entry = outcome.result or _failed(outcome.task, outcome.error)
            entries.append(entry)
            journal.append(entry)
            report.advance()
    points = {
        entry.photograph.source: entry.points for entry in entries if entry.points is not None
    }
    unreachable = [
        Refusal(source=name, kind="unreadable", reason=why) for name, why in listing.unreachable
    ]
    refusals = [entry.refusal for entry in entries if entry.refusal is not None]
    errors = write_refusals(_errors_path(path), refusals + unreachable)
    if not points:
        raise NoFace(
            folder, "no picture in it shows a usable face", f"{_errors_path(path)} tells why"
        )
    ordered = dict(sorted(points.items()))
    atomic.write_bytes(path, (json.dumps(ordered, ensure_ascii=False) + "\n").encode())
    journal.path.unlink(missing_ok=True)
    return LandmarksReport(
        path=path,
        faces=len(points),
        pictures=total,
        kept=kept,
        errors=errors,
        ignored=listing.ignored,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What one picture gave: points or a refusal."""

    photograph: Photograph
    points: list[list[float]] | None
    refusal: Refusal | None


@dataclass(frozen=True, kw_only=True)
class _Looking:
    """Finds the landmarks of one picture; travels to the workers."""

    source: Path
    detector: Detector
    min_face: int
    max_pixels: int

    def __call__(self, photograph: Photograph) -> _Entry:
        seen = look(
            self.source,
            photograph.source,
            self.detector,
            only_largest=True,
            min_face=self.min_face,
            max_pixels=self.max_pixels,
        )
        points = None
        if seen.faces:
            exact = seen.faces[0].landmarks.tolist()
            points = [[round(x, 3), round(y, 3)] for x, y in exact]
        return _Entry(photograph=photograph, points=points, refusal=seen.refusal)

    def settings(self) -> dict[str, object]:
        return {
            "format": _FORMAT,
            "detector": self.detector.name,
            "min_face": self.min_face,
            "max_pixels": self.max_pixels,
        }


def _failed(photograph: Photograph, error: Exception | None) -> _Entry:
    reason = "gave no answer" if error is None else told(error)
    refusal = Refusal(source=photograph.source, kind="failed", reason=reason)
    return _Entry(photograph=photograph, points=None, refusal=refusal)


def _errors_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.errors.jsonl")


class _Journal:
    """Lines of JSON: the settings, then an entry a picture; a kill may tear the last one."""

    def __init__(self, path: Path, settings: dict[str, object]) -> None:
        self.path = path
        self._head = json.dumps(settings).encode() + b"\n"

    def resume(self) -> dict[Photograph, _Entry]:
        """Read what is done, and leave a journal that can be appended to."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            data = b""
        whole = data[: data.rfind(b"\n") + 1]
        if not whole.startswith(self._head):
            atomic.write_bytes(self.path, self._head)
            return {}
        atomic.write_bytes(self.path, whole)
        entries = (_parsed(line) for line in whole[len(self._head) :].splitlines())
        return {entry.photograph: entry for entry in entries if entry is not None}

    def append(self, entry: _Entry) -> None:
        if entry.refusal is not None and entry.refusal.kind == "failed":
            return  # the next run tries again
        with atomic.writing(self.path), self.path.open("ab") as file:
            file.write(json.dumps(asdict(entry)).encode() + b"\n")


def _parsed(line: bytes) -> _Entry | None:
    try:
        value = json.loads(line)
        refusal = value["refusal"]
        return _Entry(
            photograph=Photograph(**value["photograph"]),
            points=value["points"],
            refusal=None if refusal is None else Refusal(**refusal),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # damaged: that picture is looked at again
