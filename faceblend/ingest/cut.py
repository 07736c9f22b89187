"""One video into the bank: frames, faces, crops, and a checkpoint when all is written."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faceblend import atomic, codec, within
from faceblend.bank import FaceRow
from faceblend.errors import BadVideo
from faceblend.face import Image
from faceblend.ingest.checkpoint import seal, unseal
from faceblend.ingest.crop import align_face, crop_face
from faceblend.ingest.detect import Detection, Detector
from faceblend.ingest.group import named, safe_path
from faceblend.ingest.look import Kind, Refusal, disk_failed, face_size, look, told
from faceblend.ingest.people import People
from faceblend.ingest.photograph import Photograph
from faceblend.ingest.plan import Settings, Task
from faceblend.ingest.track import Seen, follow
from faceblend.ingest.video import evenly, probe, read_frames

_FORMAT = 1  # of checkpoints
_CROPS = {"none": crop_face, "five-point": align_face}


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What became of a video."""

    refusals: tuple[Refusal, ...]
    rows: tuple[FaceRow, ...] | None = None
    """None where its checkpoint has them: a million faces are not kept in memory"""


@dataclass(frozen=True, kw_only=True)
class Cutter:
    """Cuts the faces out of one video; travels to the workers."""

    source: Path
    out: Path
    settings: Settings
    detector: Detector
    deep: bool

    def __call__(self, video: Task) -> Finished:
        rows: list[FaceRow] = []
        refusals: list[Refusal] = []
        if video.is_clip:
            self._extract_clip(video, rows, refusals)
        else:
            for frame, photograph in enumerate(video.photographs):
                self._extract(video, frame, photograph, rows, refusals)
        if any(refusal.kind == "failed" for refusal in refusals):
            return Finished(refusals=tuple(refusals), rows=tuple(rows))  # the next run tries again
        saved = {"rows": [asdict(row) for row in rows], "refusals": list(map(asdict, refusals))}
        atomic.write_bytes(self.checkpoint(video), seal({**self._key(video), **saved}))
        return Finished(refusals=tuple(refusals))

    def _extract(
        self,
        video: Task,
        frame: int,
        photograph: Photograph,
        rows: list[FaceRow],
        refusals: list[Refusal],
    ) -> None:
        settings, source = self.settings, photograph.source
        seen = look(
            self.source,
            source,
            self.detector,
            only_largest=settings.faces == "largest",
            min_face=settings.min_face,
            max_pixels=settings.max_pixels,
        )
        if seen.refusal is not None:
            refusals.append(seen.refusal)
        if seen.image is not None:
            self._cut(video, frame, source, seen.image, seen.faces, rows, refusals)

    def _extract_clip(self, video: Task, rows: list[FaceRow], refusals: list[Refusal]) -> None:
        settings, source = self.settings, video.photographs[0].source
        path = self.source / source
        frames = faces = 0
        people = People() if settings.faces == "subjects" else None
        try:
            there = probe(path, max_pixels=settings.max_pixels)
            count = settings.frames_per_video or there.frames
            numbers = evenly(there.frames, count) if video.wanted is None else video.wanted
            wanted = read_frames(path, numbers, max_pixels=settings.max_pixels)
            for seen in follow(wanted, self.detector):
                chosen = seen.faces[:1] if settings.faces == "largest" else seen.faces
                self._cut_seen(video, seen, chosen, people, rows, refusals)
                frames, faces = frames + 1, faces + len(chosen)
            if there.frames < there.claimed:
                words = f"its header says {there.claimed} frames, and {there.frames} are there"
                refusals.append(Refusal(source=source, kind="cut-off", reason=words))
        except BadVideo as error:
            kind: Kind = "cut-off" if frames else "unreadable"
            if disk_failed(error):
                kind = "failed"
            reason = "; ".join(error.args[1:])
            refusals.append(Refusal(source=source, kind=kind, reason=reason))
        if people is not None:
            self._keep_lasting(video, people, rows)
        if frames and not rows:
            kind, reason = "no-face", f"shows no face in {frames} frames that the detector finds"
            if faces:
                kind = "small-face"
                reason = f"its faces are under {settings.min_face} px; lower --min-face"
            refusals.append(Refusal(source=source, kind=kind, reason=reason))

    def _cut_seen(
        self,
        video: Task,
        seen: Seen,
        faces: Sequence[Detection],
        people: People | None,
        rows: list[FaceRow],
        refusals: list[Refusal],
    ) -> None:
        if not all(np.isfinite(one.landmarks).all() for one in faces):
            raise ValueError(f"landmarks of frame {seen.frame.number} are no numbers")
        usable = [one for one in faces if face_size(one.landmarks) >= self.settings.min_face]
        numbers = None if people is None else people.numbers([one.box for one in usable])
        if usable:  # turning a frame into RGB costs more than all the rest of an empty one
            source, number, image = video.photographs[0].source, seen.frame.number, seen.frame.rgb
            self._cut(video, number, source, image, usable, rows, refusals, numbers)

    def _keep_lasting(self, video: Task, people: People, rows: list[FaceRow]) -> None:
        """Drop the passers-by, and tell several persons apart."""
        lasting = people.lasting()
        person_of = {row.crop: int(Path(row.crop).stem.rpartition("_")[2]) for row in rows}
        for row in rows:
            if person_of[row.crop] not in lasting:
                (self.out / row.crop).unlink(missing_ok=True)
        kept = [row for row in rows if person_of[row.crop] in lasting]
        if len(lasting) > 1:
            kept = [replace(row, subject=f"{video.name}#{person_of[row.crop]}") for row in kept]
        rows[:] = kept

    def _cut(
        self,
        video: Task,
        frame: int,
        source: str,
        image: Image,
        faces: Sequence[Detection],
        rows: list[FaceRow],
        refusals: list[Refusal],
        numbers: Sequence[int] | None = None,
    ) -> None:
        settings = self.settings
        subject = settings.subject and named(settings.subject, source, self.source.name)
        for number, face in zip(numbers or range(len(faces)), faces, strict=True):
            try:
                crop, points, crop_to_frame = _CROPS[settings.align](
                    image, face.landmarks, settings.crop_size, settings.crop_scale
                )
            except ValueError as error:  # a detector's landmarks can be anything
                refusals.append(Refusal(source=source, kind="failed", reason=told(error)))
                continue
            data = codec.encode(crop, settings.crop_format)
            path = f"crops/{safe_path(video.name)}/{frame:06d}_{number}.{settings.crop_format}"
            atomic.write_bytes(self.out / path, data)
            rows.append(
                FaceRow(
                    video=video.name,
                    frame=frame,
                    subject=subject or None,
                    source=source,
                    crop=path,
                    crc32=zlib.crc32(data),
                    box=[float(np.float32(edge)) for edge in face.box],
                    score=float(np.float32(face.score)),
                    landmarks=points.ravel().tolist(),
                    crop_to_frame=crop_to_frame.ravel().tolist(),
                )
            )

    def checkpoint(self, video: Task) -> Path:
        """Where a finished video says so."""
        return self.out / "checkpoints" / f"{safe_path(video.name)}.json"

    def finished(self, video: Task) -> Finished | None:
        """What an earlier run made of a video; None where it is to be done."""
        try:
            saved, key = unseal(self.checkpoint(video).read_bytes()), self._key(video)
            if {name: saved[name] for name in key} != key:
                return None
            refusals = tuple(Refusal(**one) for one in saved["refusals"])
            whole = all(self._has_crop(FaceRow(**row)) for row in saved["rows"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # missing or damaged: the video is done again
        return Finished(refusals=refusals) if whole else None

    def rows(self, video: Task, finished: Finished) -> Iterator[FaceRow]:
        """The faces of a finished video, with what a table says of it now."""
        rows: Iterable[FaceRow] | None = finished.rows
        if rows is None:
            saved = unseal(self.checkpoint(video).read_bytes())
            rows = (FaceRow(**row) for row in saved["rows"])
        for row in rows:
            if video.told is None:
                yield row
                continue
            label, split, subject = video.told
            yield replace(row, label=label, split=split, subject=row.subject or subject)

    def _has_crop(self, row: FaceRow) -> bool:
        if within.leaves(row.crop):
            return False  # nothing that we wrote
        try:
            if not self.deep:
                return (self.out / row.crop).stat().st_size > 0
            return zlib.crc32((self.out / row.crop).read_bytes()) == row.crc32
        except OSError:
            return False  # lost: the video is done again

    def _key(self, video: Task) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "video": video.name,
            "settings": self.settings.digest,
            "inputs": [[one.source, one.size, one.mtime_ns] for one in video.photographs],
            "wanted": None if video.wanted is None else list(video.wanted),
        }
