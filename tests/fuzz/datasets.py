"""Targets: what datasets say about themselves, tables of videos, and files of an extraction."""

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import strategies as st

from faceblend.audit.leaks import leaks
from faceblend.doctor import doctor
from faceblend.faces_df import faces_df
from faceblend.ingest.deepfakebench import read_deepfakebench
from faceblend.ingest.extract import extract
from faceblend.ingest.index import index
from faceblend.ingest.landmarks import landmarks
from faceblend.splits import split
from faceblend.videos import VideoTable, make_table, read_videos, write_videos
from tests.fuzz.banks import columns_changed
from tests.fuzz.material import Drawn, bank, copied, documents, lines, picture, png, points
from tests.fuzz.target import Target

# -- datasets' own lists ------------------------------------------------------------------


def _videos_in(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())  # unreadable, and noted as such


_DFDC = {
    "a.mp4": {"label": "REAL", "split": "train"},
    "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
    "c.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
}


def _dfdc(data: bytes, folder: Path) -> None:
    part = folder / "dfdc_train_part_7"
    _videos_in(part, tuple(_DFDC))
    (part / "metadata.json").write_bytes(data)
    _used(index("dfdc", folder).videos, folder, "dfdc-35-5-10")


def _used(videos: VideoTable, folder: Path, rule: str, **options: Any) -> None:
    path = folder / "videos.parquet"
    for made in (rule, "hash"):
        done = split(videos, made, **(options if made == rule else {}))
        write_videos(done.videos, path)
        str(leaks(read_videos(path)))


_PAIRS = [["000", "003"], ["071", "054"]]


def _ffpp(data: bytes, folder: Path) -> None:
    real, forged = "original_sequences/youtube", "manipulated_sequences/Deepfakes"
    names = tuple(f"{real}/c23/videos/{one}.mp4" for pair in _PAIRS for one in pair)
    names += tuple(f"{forged}/c23/videos/{one}_{two}.mp4" for one, two in _PAIRS)
    videos = [
        {"path": name, "label": int("Deep" in name), "height": 9, "width": 9, "frames": 9}
        | {"name": Path(name).stem, "subject": f"youtube/{Path(name).stem[:3]}"}
        for name in names
    ]
    table = make_table(videos, index_schema())
    (folder / "splits").mkdir()
    (folder / "splits" / "train.json").write_bytes(data)
    for name, pairs in (("val", '[["900", "901"]]'), ("test", '[["902", "903"]]')):
        (folder / "splits" / f"{name}.json").write_text(pairs)
    _used(VideoTable(root=folder, dataset="ffpp", table=table), folder, "ff-official")


def index_schema() -> Any:
    """No further columns than every table of videos has."""
    import pyarrow as pa

    return pa.schema([])


_CELEB = (
    b"1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n1 YouTube-real/00000.mp4\n"
)


def _celebdf(data: bytes, folder: Path) -> None:
    names = ("Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "YouTube-real/00000.mp4")
    _videos_in(folder, (*names, "Celeb-synthesis/id0_id1_0000.mp4"))
    (folder / "List_of_testing_videos.txt").write_bytes(data)
    _used(index("celebdf", folder).videos, folder, "celebdf")


def _bench_seeds() -> list[bytes]:
    told = {
        "label": "FF-real",
        "frames": [rf"FaceForensics++\youtube\frames\000\{n:03d}.png" for n in (0, 1)],
    }
    forged = {"label": "FF-DF", "frames": ["Deepfakes/frames/000_003/000.png"]}
    forged["label"] = "DF_fake"
    whole = {"FF": {"FF-real": {"train": {"c23": {"000": {**told, "label": "real"}}}}}}
    both = {"FF": {**whole["FF"], "FF-DF": {"test": {"c23": {"000_003": forged}}}}}
    return [json.dumps(one).encode() for one in (whole, both)]


@lru_cache
def _bench_points() -> bytes:
    file = io.BytesIO()
    np.save(file, points(0))
    return file.getvalue()


def _bench(data: bytes, folder: Path) -> None:
    for place in ("youtube/{}/000/000", "youtube/{}/000/001", "Deepfakes/{}/000_003/000"):
        for kind, suffix, content in (
            ("frames", "png", _PICTURE),
            ("landmarks", "npy", _bench_points()),
        ):
            path = folder / f"{place.format(kind)}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    path = folder / "FaceForensics++.json"
    path.write_bytes(data)
    opened = read_deepfakebench(folder, path, label=0).bank
    assert len(opened.table.to_pylist()) == len(opened)
    _used(index("deepfakebench", folder).videos, folder, "hash")


_PICTURE = png(picture(0))

# -- the table of videos ------------------------------------------------------------------


@lru_cache
def _table_seeds() -> list[bytes]:
    import tempfile

    rows = [
        {"path": f"v{number}.mp4", "name": f"v{number}", "label": number % 2, "height": 9}
        | {"width": 9, "frames": 20, "original": "v0.mp4" if number % 2 else None}
        for number in range(4)
    ]
    import pyarrow as pa

    own = pa.schema([("folder", pa.uint8())])
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "videos.parquet"
        videos = VideoTable(root=Path("videos"), dataset="dfdc", table=make_table(rows, own))
        for one in (videos, split(videos, "hash").videos):
            write_videos(one, path)
            seeds.append(path.read_bytes())
    return seeds


def _table(data: bytes, folder: Path) -> None:
    path = folder / "given.parquet"
    path.write_bytes(data)
    videos = read_videos(path)
    assert len(videos.rows()) == len(videos)
    _used(videos, folder, "hash")
    faces_df(bank(), videos.table)


# -- an extraction that goes on -----------------------------------------------------------


@lru_cache
def _extracted() -> Path:
    root = bank().root.parent
    for name in ("ann/a", "ben/a"):
        path = root / "photographs" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_PICTURE)
    extract(root / "photographs", root / "extracted", detector=Drawn())
    return root / "extracted"


def _settings(data: bytes, folder: Path) -> None:
    _continued("settings.json", data, folder)


def _continued(name: str, data: bytes, folder: Path) -> None:
    copied(_extracted(), folder, but=name)
    (folder / name).write_bytes(data)
    (folder / "bank.json").unlink()
    for finding in doctor(folder).findings:
        assert str(finding)
    extract(_extracted().parent / "photographs", folder, detector=Drawn())


@lru_cache
def _checkpoint_name() -> str:
    path = sorted((_extracted() / "checkpoints").rglob("*.json"))[0]
    return path.relative_to(_extracted()).as_posix()


def _checkpoint(data: bytes, folder: Path) -> None:
    _continued(_checkpoint_name(), data, folder)


def _sealed(data: bytes) -> bytes:
    # with its sum mended, a change gets past the seal
    from faceblend.ingest.checkpoint import seal

    return seal(json.loads(data)["saved"])


@lru_cache
def _journal_seeds() -> list[bytes]:
    out = bank().root.parent / "landmarks.json"
    journal = out.with_name("landmarks.json.partial")
    seeds: list[bytes] = []

    class Kept(Drawn):
        def detect(self, image: np.ndarray) -> Any:
            seeds.append(journal.read_bytes())
            return super().detect(image)

    _extracted()
    landmarks(out.with_name("photographs"), out, detector=Kept())
    return seeds[-1:]


def _journal(data: bytes, folder: Path) -> None:
    (folder / "landmarks.json.partial").write_bytes(data)
    landmarks(_extracted().parent / "photographs", folder / "landmarks.json", detector=Drawn())


TARGETS = (
    Target(
        name="dfdc-metadata",
        seeds=lambda: [json.dumps(_DFDC).encode()],
        read=_dfdc,
        strategy=documents([json.dumps(_DFDC).encode()]),
    ),
    Target(
        name="ffpp-splits",
        seeds=lambda: [json.dumps(_PAIRS).encode()],
        read=_ffpp,
        strategy=documents([json.dumps(_PAIRS).encode()]),
    ),
    Target(name="celebdf-list", seeds=lambda: [_CELEB], read=_celebdf, strategy=lines([_CELEB])),
    Target(
        name="deepfakebench-json",
        share=0.1,
        seeds=_bench_seeds,
        read=_bench,
        strategy=documents(_bench_seeds()),
    ),
    Target(
        name="videos-parquet",
        seeds=_table_seeds,
        read=_table,
        strategy=st.deferred(
            lambda: columns_changed(pq.read_table(io.BytesIO(_table_seeds()[1])))
        ),
    ),
    Target(
        name="settings-json",
        share=0.1,
        seeds=lambda: [(_extracted() / "settings.json").read_bytes()],
        read=_settings,
        strategy=st.deferred(lambda: documents([(_extracted() / "settings.json").read_bytes()])),
    ),
    Target(
        name="checkpoint-json",
        share=0.1,
        seeds=lambda: [(_extracted() / _checkpoint_name()).read_bytes()],
        read=_checkpoint,
        strategy=st.deferred(
            lambda: (
                documents([(_extracted() / _checkpoint_name()).read_bytes()])
                .filter(lambda data: isinstance(json.loads(data).get("saved"), dict))
                .map(_sealed)
            )
        ),
    ),
    Target(
        name="landmarks-journal",
        share=0.1,
        seeds=_journal_seeds,
        read=_journal,
        strategy=st.deferred(lambda: lines(_journal_seeds())),
    ),
)
