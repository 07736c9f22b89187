"""A dataset's tree -> the table of its videos: partial trees too, whatever is wrong is told."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from faceblend import atomic, jobs
from faceblend.errors import BadArgument, BadImage, BadVideo
from faceblend.ingest.layouts import Found, Problem, read_layout
from faceblend.ingest.photograph import MAX_PIXELS, most_pixels, pictures, read_photograph
from faceblend.ingest.video import SUFFIXES as CLIPS
from faceblend.ingest.video import read_header
from faceblend.videos import VideoTable, make_table

_MOST = 65_535  # px of a side


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """The videos of a dataset, and those that are not as it has them."""

    videos: VideoTable
    problems: tuple[Problem, ...]
    """ordered by kind, then source"""

    def __str__(self) -> str:
        labels = self.videos.column("label")
        return f"Real videos: {labels.count(0):,}\nFake videos: {labels.count(1):,}"


def index(
    dataset: str,
    root: str | os.PathLike[str],
    *,
    fakes: str | None = None,
    workers: int = 1,
) -> Indexed:
    """Find the videos of a dataset: labels, originals, people, sizes and frame counts.

    ``path`` is relative to ``root``. ``original`` is the path of the real video whose face was
    replaced, of the same quality, and is given even where that video is not there. ``subject``
    is who is seen in the target's video and ``donor`` whose face was put in: ``youtube/003``
    (FF++, where a video stands for a person, in every quality), ``actors/01`` (DeepFakeDetection),
    ``id0`` (Celeb-DF); DFDC tells neither. Sizes and frame counts come from the headers, and are
    0 where a video cannot be read.

    Args:
        dataset: ``dfdc``: folders with a ``metadata.json``, whose numbers become ``folder``;
            ``ffpp``: FaceForensics++, DeepFakeDetection and FaceShifter among it, every
            quality, masks left out; ``celebdf``; ``deepfakebench``: folders of frames;
            or ``folder``: any videos, all real.
        root: folder of the dataset; parts of it may be missing.
        fakes: for ``folder``, a regular expression: paths in which it is found are forged.
        workers: processes that read the headers.

    Raises:
        BadArgument: there is no such dataset or folder, or no video of it there.
        BadBank: ``deepfakebench``: the tree's JSON cannot be used, or labels are unknown.
    """
    top = Path(root).resolve()
    found = read_layout(dataset, top, fakes)
    _drop_copies(found, top)
    rows = {row["path"]: row for row in found.rows}
    with jobs.progress("index", total=len(rows), unit="videos") as report:
        for outcome in jobs.run(sorted(rows), _Look(root=top), workers=workers):
            row = rows[outcome.task]
            if outcome.result is None:
                row |= {"height": 0, "width": 0, "frames": 0}
                found.problem(outcome.task, "unreadable", _words(outcome.error))
            else:
                row["height"], row["width"], row["frames"] = outcome.result
            report.advance(1)
    for path, row in rows.items():
        place = PurePosixPath(path)
        row["name"] = place.stem if place.suffix.lower() in CLIPS else place.name
    table = make_table(list(rows.values()), found.own)
    problems = sorted(found.problems, key=lambda one: (one.kind, one.source))
    return Indexed(
        videos=VideoTable(root=top, dataset=dataset, table=table), problems=tuple(problems)
    )


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems as JSON, one a line; where there is none, the file goes."""
    lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in problems)
    if lines:
        atomic.write_bytes(path, lines.encode())
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """Reads a video's header; travels to the workers."""

    root: Path

    def __call__(self, path: str) -> tuple[int, int, int]:
        """Height, width and frames."""
        place = self.root / path
        if place.is_dir():
            return _folder_of_frames(place)
        # as much as an extraction decodes: of a header's claim nothing is taken but numbers
        header = read_header(place, max_pixels=most_pixels(None, MAX_PIXELS))
        if max(header.height, header.width) > _MOST:
            raise BadVideo(place, f"is {header.width}x{header.height} px", "replace the file")
        return header.height, header.width, header.frames


def _folder_of_frames(folder: Path) -> tuple[int, int, int]:
    frames = pictures(folder)
    if not frames:
        raise BadImage(folder, "holds no picture", "preprocess the video again")
    height, width = read_photograph(folder / frames[0]).shape[:2]
    return height, width, len(frames)


def _drop_copies(found: Found, root: Path) -> None:
    """Leave out files that have the bytes of another one."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for row in found.rows:
        place = root / row["path"]
        if place.is_file():
            sizes[place.stat().st_size].append(row["path"])
    copies: dict[str, str] = {}
    for size, paths in sizes.items():
        first: dict[str, str] = {}
        for path in sorted(paths) if size and len(paths) > 1 else ():
            digest = _digest(root / path)
            if digest in first:
                copies[path] = first[digest]
            first.setdefault(digest, path)
    for path, of in copies.items():
        found.problem(path, "duplicate", f"has the bytes of {of}, which alone counts")
    found.rows = [row for row in found.rows if row["path"] not in copies]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(path)  # unreadable: told when its header is read


def _words(error: Exception | None) -> str:
    if isinstance(error, (BadVideo, BadImage, BadArgument)):
        return "; ".join(error.args[1:])
    return f"{type(error).__name__}: {error}"
