"""What an extraction is to do: settings, and tasks out of a folder or a table of videos."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from faceblend.errors import BadArgument
from faceblend.ingest.group import check_rule, named
from faceblend.ingest.look import Refusal
from faceblend.ingest.photograph import SUFFIXES, Listing, Photograph, list_photographs, pictures
from faceblend.ingest.video import SUFFIXES as CLIPS
from faceblend.ingest.video import evenly
from faceblend.videos import SPLITS, VideoTable

_CHOICES = {
    "faces": ("largest", "all", "subjects"),
    "crop_format": ("png", "jpg"),
    "align": ("none", "five-point"),
}
_LEAST_CROP = 32  # px
_SCALES = (1.0, 4.0)  # a square that cuts the face, and one of mostly ground


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what a bank holds, besides the pictures and videos."""

    detector: str
    group: str
    subject: str | None
    faces: str
    min_face: int
    crop_size: int
    crop_scale: float
    crop_format: str
    align: str
    frames_per_video: int
    max_pixels: int

    def __post_init__(self) -> None:
        lowest = {"min_face": 1, "crop_size": _LEAST_CROP, "frames_per_video": 0, "max_pixels": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise BadArgument(name, f"is {getattr(self, name)}", f"give {least} or more")
        low, high = _SCALES
        if not low <= self.crop_scale <= high:
            raise BadArgument("crop_scale", f"is {self.crop_scale:g}", f"give {low:g} to {high:g}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise BadArgument(
                    name, f"is {getattr(self, name)!r}", f"give {' or '.join(known)}"
                )
        check_rule("group", self.group)
        check_rule("subject", self.subject or "")

    @property
    def digest(self) -> str:
        """The same for the same settings alone."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One video: photographs whose faces belong together, or one video file."""

    name: str
    photographs: tuple[Photograph, ...]
    wanted: tuple[int, ...] | None = None
    """frames that it is to give, where its split names them"""
    told: tuple[int, str | None, str | None] | None = None
    """label, split and subject, where a table tells"""

    @property
    def is_clip(self) -> bool:
        """It is a video file."""
        return is_clip(self.photographs[0])

    def failed(self, reason: str) -> list[Refusal]:
        """All of it, refused for the detector or the disk."""
        return [
            Refusal(source=photograph.source, kind="failed", reason=reason)
            for photograph in self.photographs
        ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every task, and what cannot become one."""

    folder: Path
    """what sources are relative to"""
    tasks: tuple[Task, ...]
    """ordered by name"""
    refusals: tuple[Refusal, ...]
    ignored: dict[str, int]
    """files that are neither pictures nor videos, by suffix"""


def plan_folder(source: Path, out: Path, settings: Settings) -> Plan:
    """Plan a folder of photographs and videos, or one video.

    Raises:
        BadArgument: there is none, or nothing of use in it.
    """
    folder, listing = _listed(source, out)
    refusals = [
        Refusal(source=source, kind="unreadable", reason=reason)
        for source, reason in listing.unreachable
    ]
    groups: dict[str, list[Photograph]] = {}
    clips = {one.source for one in listing.photographs if is_clip(one)}
    for photograph in listing.photographs:
        rule = "file" if is_clip(photograph) else settings.group
        name = named(rule, photograph.source, folder.name)
        if name is None:
            reason = f"its path does not match --group {settings.group!r}; widen it"
            refusals.append(Refusal(source=photograph.source, kind="ungrouped", reason=reason))
        elif name in clips and not is_clip(photograph):
            reason = f"--group calls it {name!r}, as a video file is; choose another rule"
            refusals.append(Refusal(source=photograph.source, kind="ungrouped", reason=reason))
        else:
            groups.setdefault(name, []).append(photograph)
    tasks = tuple(Task(name=name, photographs=tuple(groups[name])) for name in sorted(groups))
    return Plan(folder=folder, tasks=tasks, refusals=tuple(refusals), ignored=listing.ignored)


def plan_table(
    videos: VideoTable, settings: Settings, *, labels: str = "all", split: str = "all"
) -> Plan:
    """Plan the videos of a table: files, and folders of frames.

    Args:
        videos: the table. Where a rule has split it, videos in no split are left out.
        settings: of folders of frames, as many are taken as of videos.
        labels: ``all``, ``real`` or ``fake``.
        split: ``all``, ``train``, ``val`` or ``test``.

    Raises:
        BadArgument: a choice is unknown, or leaves no video; or the settings say who is who, as
            the table does.
    """
    for name, value, known in (
        ("labels", labels, ("all", "real", "fake")),
        ("split", split, ("all", *SPLITS)),
    ):
        if value not in known:
            raise BadArgument(name, f"is {value!r}", f"give {' or '.join(known)}")
    if settings.group != "folder" or settings.subject is not None:
        raise BadArgument("group and subject", "stand in the table", "drop them")
    if not videos.root.is_dir():
        wrong = "is no folder, and the videos of the table are in it"
        raise BadArgument(videos.root, wrong, "say with --root where they are now")
    tasks: list[Task] = []
    refusals: list[Refusal] = []
    for row in videos.rows():
        if labels != "all" and row["label"] != (labels == "fake"):
            continue
        if row["split"] != split if split != "all" else videos.rule and row["split"] is None:
            continue
        try:
            inputs = _inputs(videos.root, row["path"], settings.frames_per_video)
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); index the dataset again"
            refusals.append(Refusal(source=row["path"], kind="unreadable", reason=reason))
            continue
        wanted = row.get("wanted")
        task = Task(
            name=row["path"],
            photographs=inputs,
            wanted=None if wanted is None else tuple(wanted),
            told=(row["label"], row["split"], row["subject"]),
        )
        tasks.append(task)
    if not tasks:
        first = f"; {refusals[0].source}: {refusals[0].reason}" if refusals else ""
        raise BadArgument(
            f"the videos of {videos.root}",
            f"leave none for labels {labels!r} and split {split!r}{first}",
            "choose others",
        )
    return Plan(folder=videos.root, tasks=tuple(tasks), refusals=tuple(refusals), ignored={})


def sliced(tasks: Sequence[Task], offset: int, num: int | None) -> list[Task]:
    """The tasks of one run.

    Raises:
        BadArgument: a number is negative.
    """
    for name, value in (("offset", offset), ("num", num)):
        if value is not None and value < 0:
            raise BadArgument(name, f"is {value}", "give 0 or more")
    return list(tasks[offset : None if num is None else offset + num])


def is_clip(file: Photograph) -> bool:
    """Whether its name is a video's."""
    return PurePosixPath(file.source).suffix.lower() in CLIPS


def _listed(source: Path, out: Path) -> tuple[Path, Listing]:
    """The folder that sources are relative to, and what lies in it."""
    if not (source.is_file() and source.suffix.lower() in CLIPS):
        return source, list_photographs(source, leave_out=out, suffixes=(*SUFFIXES, *CLIPS))
    clip = _photograph(source.parent, source.name)
    return source.parent, Listing(photographs=(clip,), unreachable=(), ignored={})


def _inputs(root: Path, path: str, frames: int) -> tuple[Photograph, ...]:
    if not (root / path).is_dir():
        return (_photograph(root, path),)
    names = pictures(root / path)
    if not names:
        raise OSError(0, "it holds no picture")
    chosen = evenly(len(names), frames or len(names))
    return tuple(_photograph(root, f"{path}/{names[number]}") for number in chosen)


def _photograph(root: Path, source: str) -> Photograph:
    status = (root / source).stat()
    return Photograph(source=source, size=status.st_size, mtime_ns=status.st_mtime_ns)
