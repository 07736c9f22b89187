"""Score faces in pictures, videos and banks: tables, and the predicted X-ray over what was seen.

A face is cut out exactly as ``faceblend extract`` does, so that a network sees what it was
trained on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from faceblend import atomic, jobs
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadImage, BadVideo, at_least
from faceblend.face import Image
from faceblend.ingest.crop import CROP_SIZE, crop_face
from faceblend.ingest.detect import Detection, Detector
from faceblend.ingest.photograph import SUFFIXES as PICTURES
from faceblend.ingest.photograph import list_photographs, read_photograph
from faceblend.ingest.track import follow
from faceblend.ingest.video import SUFFIXES as CLIPS
from faceblend.ingest.video import evenly, probe, read_frames
from xray_train.aggregate import Aggregation, aggregate
from xray_train.sources import WINDOW, window
from xray_train.sources.frames import FaceCut, boxes_in_crops, cut_face, into_crops
from xray_train.sources.source import as_tensor

FaceShown = Literal["window"] | FaceCut
"""What of a crop a network sees."""

VIEWS = ("as it is", "mirrored", "darker", "brighter")
"""What test-time augmentation looks at, in this order: views that differ."""

_HEAT = (255, 40, 40)  # where the predicted X-ray is 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One face that was scored, or a frame without any."""

    path: str
    frame: int
    face: int
    """number in its frame, the largest first; -1 where there is none"""
    box: tuple[float, float, float, float] | None
    """px of the frame"""
    score: float | None
    """probability of forged; None without a face"""
    overlay: Image | None
    """the frame with the X-ray over its faces; on the last face of a frame alone"""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a call of :func:`predict` wrote."""

    out: Path
    faces: int
    videos: int
    """pictures and videos that were scored"""
    faceless: int
    """those without a face: their row says so"""
    refused: tuple[tuple[str, str], ...]
    """what could not be read, and why"""

    def __str__(self) -> str:
        text = f"{self.faces:,} faces of {self.videos:,} pictures and videos in {self.out}"
        if self.faceless:
            text += f"\nwithout a face: {self.faceless:,}"
        if self.refused:
            text += f"\nrefused: {len(self.refused):,}"
        return text


def predict(
    task: nn.Module,
    source: Path,
    out: Path,
    *,
    detector: Detector,
    device: torch.device,
    threshold: float = 0.5,
    how: Aggregation = "mean",
    frames: int = 32,
    views: int = 1,
    overlays: bool = True,
    face: FaceShown = "window",
    size: int = 224,
) -> Predicted:
    """Detect, cut out and score the faces of a picture, a video, a folder of both, or a bank.

    Writes ``faces.csv`` (``path,frame,face,box,score``, the box as ``left top right bottom``),
    ``videos.csv`` (``path,frames,faces,score,forged``; a row for what shows no face, with no
    score), ``refused.csv``, and overlays: a PNG for a picture, an MP4 of the scored frames for
    a video.

    Args:
        task: a :class:`~xray_train.tasks.Task` in evaluation mode.
        source: file, folder or bank.
        out: folder for the tables; overlays go to ``overlays`` in it.
        detector: finds faces and their landmarks; a bank has its own.
        device: where the network is.
        threshold: over which a score means forged.
        how: scores of frames to one of a video; of several faces in a frame the highest counts.
        frames: of each video, evenly spaced; 0 takes all.
        views: of each face, 1 to 4, averaged.
        overlays: draw them.
        face: what of a crop the network sees: ``window`` as :class:`~xray_train.sources.Faces`,
            ``scale`` or ``tight`` as :class:`~xray_train.sources.Frames`; as it was trained.
        size: side of ``scale`` and ``tight``, px.

    Raises:
        BadArgument: there is nothing to score, a number is out of range, or the network predicts
            X-rays and is not shown the window, which is where they are drawn.
        MissingModel: the detector cannot work.
    """
    if not 1 <= views <= len(VIEWS):
        raise BadArgument("views", f"is {views}", f"give 1 to {len(VIEWS)}")
    at_least(0, frames=frames)
    at_least(1, size=size)
    score = _Scorer(task=task, device=device, views=views, face=face, size=size)
    rows: list[Seen] = []
    refused: list[tuple[str, str]] = []
    if (source / "bank.json").exists():
        rows = list(_of_bank(score, FaceBank.open(source)))
        names = sorted({row.path for row in rows})
    else:
        root, names = _listed(source)
        with jobs.progress("predict", total=len(names), unit="files") as report:
            for name in names:
                try:
                    seen = _of_file(score, root / name, name, detector, frames)
                    rows += _kept(seen, out / "overlays" if overlays else None, name)
                except (BadImage, BadVideo) as error:
                    refused.append((name, "; ".join(error.args[1:])))
                    report.warn(f"{name}: {error.reason}")
                report.advance(1)
    lost = {name for name, _ in refused}
    of_name: dict[str, list[Seen]] = {name: [] for name in names if name not in lost}
    for row in rows:
        of_name[row.path].append(row)
    videos = [_video(name, mine, how, threshold) for name, mine in of_name.items()]
    atomic.write_csv(
        out / "faces.csv", ("path", "frame", "face", "box", "score"), map(_face_row, rows)
    )
    atomic.write_csv(out / "videos.csv", ("path", "frames", "faces", "score", "forged"), videos)
    atomic.write_csv(out / "refused.csv", ("path", "reason"), refused)
    return Predicted(
        out=out,
        faces=sum(row.score is not None for row in rows),
        videos=len(videos),
        faceless=sum(not video[2] for video in videos),
        refused=tuple(refused),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scorer:
    """A network, and how often it looks."""

    task: nn.Module
    device: torch.device
    views: int
    face: FaceShown
    size: int

    def cut(
        self, crop: Image, box: Sequence[float], path: object
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        """What of a crop the network sees; ``box`` is the face's in the crop."""
        if self.face == "window":
            return window(crop)
        left, top, right, bottom = box
        if not (left < right and top < bottom):
            raise BadImage(path, "has a face outside of its own crop", "extract it to see")
        return cut_face(crop, (left, top, right, bottom), self.face, self.size)

    def __call__(self, image: Image) -> tuple[float, Float[np.ndarray, "rows columns"] | None]:
        """Score and X-ray of what training sees of a crop, averaged over the views."""
        given = as_tensor(image)[None]
        stack = torch.cat([view(given, number) for number in range(self.views)])
        predicted = self.task.predict(stack.to(self.device))  # type: ignore[operator]
        score = float(predicted.scores.float().mean())
        if predicted.xrays is None:
            return score, None
        if self.face != "window":
            raise BadArgument("face", f"is {self.face!r}, for X-rays", "give window")
        xrays = predicted.xrays.float().cpu().numpy().copy()
        if self.views > 1:
            xrays[1] = xrays[1, :, ::-1]  # the mirrored view, back
        return score, xrays.mean(axis=0)


def view(image: torch.Tensor, number: int) -> torch.Tensor:
    """The ``number``-th of ``VIEWS`` of uint8 pictures (..., H, W), uint8 as they are."""
    if number == 0:
        return image
    if number == 1:
        return image.flip(-1)
    factor = 0.85 if number == 2 else 1.15
    return (image.float() * factor).round().clamp(0, 255).to(torch.uint8)


# -- what is looked at -------------------------------------------------------------------


def _listed(source: Path) -> tuple[Path, list[str]]:
    if source.is_file():
        return source.parent, [source.name]
    listing = list_photographs(source, suffixes=(*PICTURES, *CLIPS))
    return source, [one.source for one in listing.photographs]


def _of_bank(score: _Scorer, bank: FaceBank) -> Iterator[Seen]:
    everything = np.arange(len(bank))
    boxes = (
        np.zeros((len(bank), 4)) if score.face == "window" else boxes_in_crops(bank, everything)
    )
    with jobs.progress("predict", total=len(bank), unit="faces") as report:
        for row, box in enumerate(boxes.tolist()):
            face = bank[row]
            value, _ = score(score.cut(face.image, box, face.crop))
            last = Path(face.crop).stem.rpartition("_")[2]
            number = int(last) if last.isdecimal() else 0  # others' banks name crops as they like
            yield Seen(
                path=face.video,
                frame=face.frame,
                face=number,
                box=None,
                score=value,
                overlay=None,
            )
            report.advance(1)


def _of_file(
    score: _Scorer, path: Path, name: str, detector: Detector, frames: int
) -> Iterator[Seen]:
    if path.suffix.lower() not in CLIPS:
        image = read_photograph(path)
        yield from _of_picture(score, name, 0, image, detector.detect(image))
        return
    there = probe(path)
    wanted = evenly(there.frames, frames or there.frames)
    for seen in follow(read_frames(path, wanted), detector):
        yield from _of_picture(score, name, seen.frame.number, seen.frame.rgb, seen.faces)


def _of_picture(
    score: _Scorer, name: str, frame: int, image: Image, faces: Sequence[Detection]
) -> Iterator[Seen]:
    overlay = image.copy()
    if not faces:
        yield Seen(path=name, frame=frame, face=-1, box=None, score=None, overlay=overlay)
    for number, face in enumerate(faces):
        crop, _, crop_to_frame = crop_face(image, face.landmarks, CROP_SIZE)
        # in single precision, as a bank keeps it
        box = into_crops(
            np.array([face.box], np.float32).astype(float), crop_to_frame[None], CROP_SIZE
        )
        value, xray = score(score.cut(crop, box[0].tolist(), name))
        _draw(overlay, face.box, value, xray, crop_to_frame)
        last = number == len(faces) - 1
        yield Seen(
            path=name,
            frame=frame,
            face=number,
            box=face.box,
            score=value,
            overlay=overlay if last else None,
        )


def _draw(
    frame: Image,
    box: tuple[float, float, float, float],
    score: float,
    xray: np.ndarray | None,
    crop_to_frame: np.ndarray,
) -> None:
    """Lay the X-ray over the frame where its crop was, and say the score."""
    if xray is not None:
        top, left, _ = WINDOW
        to_frame = crop_to_frame @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        size = frame.shape[1::-1]
        weight = cv2.warpAffine(xray.astype(np.float32), to_frame, size)[..., None]
        frame[:] = np.rint(frame * (1 - weight) + np.array(_HEAT) * weight).astype(np.uint8)
    corner = (round(box[0]), round(box[1]))
    cv2.rectangle(frame, corner, (round(box[2]), round(box[3])), (255, 255, 255), 1)
    at = (max(corner[0], 0), max(corner[1] - 4, 12))
    cv2.putText(frame, f"{score:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)


# -- what is written ---------------------------------------------------------------------


def _kept(seen: Iterator[Seen], folder: Path | None, name: str) -> list[Seen]:
    """The rows of a file; its overlay is written while they come."""
    rows: list[Seen] = []
    with _overlay(folder, name) as draw:
        for row in seen:
            if row.overlay is not None:
                draw(row.overlay)
            rows.append(replace(row, overlay=None))  # frames are large, rows are kept
    return rows


@contextmanager
def _overlay(folder: Path | None, name: str) -> Iterator[Callable[[Image], None]]:
    """Takes the drawn frames of a file: to a PNG, or one by one to an MP4."""
    if folder is None:
        yield lambda _: None
    elif Path(name).suffix.lower() in CLIPS:
        with _Film(folder / f"{name}.mp4") as film:
            yield film.add
    else:
        yield lambda picture: atomic.write_bytes(folder / f"{name}.png", _png(picture))


def _png(picture: Image) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())


class _Film:
    """An MP4 that is there when all its frames are."""

    def __init__(self, path: Path) -> None:
        self._replacing = atomic.replacing(path)
        self._file: Any = None

    def __enter__(self) -> "_Film":
        return self

    def add(self, picture: Image) -> None:
        """Write one frame."""
        height, width = (side - side % 2 for side in picture.shape[:2])  # the codec's wish
        if self._file is None:
            self._file = av.open(str(self._replacing.__enter__()), "w", format="mp4")
            self._stream = self._file.add_stream("libx264", rate=5)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture[:height, :width]), format="rgb24"
        )
        self._file.mux(self._stream.encode(frame))

    def __exit__(self, *error: Any) -> None:
        if self._file is None:
            return
        if error[0] is None:
            self._file.mux(self._stream.encode())
        self._file.close()
        self._replacing.__exit__(*error)


def _video(
    name: str, mine: Sequence[Seen], how: Aggregation, threshold: float
) -> tuple[str, int, int, str, str]:
    best: dict[int, float] = defaultdict(float)
    for row in mine:
        if row.score is not None:
            best[row.frame] = max(best[row.frame], row.score)
    frames, faces = len({row.frame for row in mine}), sum(row.score is not None for row in mine)
    if not best:
        return name, frames, 0, "", "no face"
    score = aggregate(np.array(list(best.values())), how, threshold)
    over = score >= (0.5 if how == "vote" else threshold)
    return name, frames, faces, f"{score:.6f}", "yes" if over else "no"


def _face_row(row: Seen) -> tuple[str, int, int, str, str]:
    box = "" if row.box is None else " ".join(f"{edge:.1f}" for edge in row.box)
    return row.path, row.frame, row.face, box, "" if row.score is None else f"{row.score:.6f}"
