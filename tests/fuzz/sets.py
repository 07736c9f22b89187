"""Targets: a finished set's manifest and records, and the lists by which runs continue."""

import json
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hypothesis import strategies as st

from faceblend.audit import drawn
from faceblend.audit.diversity import diversity
from faceblend.audit.leaktable import leak_table
from faceblend.clips import clip, replay_clip, write_clips
from faceblend.errors import BadRecipe, BadShard
from faceblend.export import export_set
from faceblend.generate import generate
from faceblend.store import BlendSet, Manifest, verify
from faceblend.store.folder import FolderShard
from tests.fuzz.material import bank, copied, documents, set_folder, small
from tests.fuzz.target import Target

# -- manifest.json ------------------------------------------------------------------------


def _manifest_seeds() -> list[bytes]:
    return [(set_folder(one) / "manifest.json").read_bytes() for one in ("hdf5", "folder")]


def _manifest(data: bytes, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(data)
    manifest = Manifest.load(folder)
    assert manifest.stored + manifest.rejected >= 0
    str(verify(folder))
    if manifest.plan.layout == "hdf5":
        with BlendSet(folder) as blends:
            assert len(blends) == manifest.stored


def _continued(data: bytes, folder: Path) -> None:
    for name in ("shard-00000.h5", "shard-00001.h5"):
        (folder / name).symlink_to(set_folder("hdf5") / name)
    (folder / "manifest.json").write_bytes(data)
    generate(bank(), small("bi"), folder, count=6, shard_size=3)


# -- records ------------------------------------------------------------------------------


def _lines_seeds() -> list[bytes]:
    return [(set_folder("folder") / "records" / "00000.jsonl").read_bytes()]


def _record_lines(data: bytes, folder: Path) -> None:
    copied(set_folder("folder"), folder, but="records/00000.jsonl")
    (folder / "records" / "00000.jsonl").write_bytes(data)
    # with its sum mended a shard is looked into here, and not in a process of its own
    manifest = Manifest.load(folder)
    with suppress(BadShard):
        digest, size = FolderShard(folder, manifest.shards[0], manifest.plan).digest()
        entry = replace(manifest.shards[0], sha256=digest, bytes=size)
        replace(manifest, shards=(entry, *manifest.shards[1:])).save(folder)
        str(verify(folder, bank=bank(), replays=1))


@lru_cache
def _record_seeds() -> list[bytes]:
    with BlendSet(set_folder("hdf5")) as blends:
        return [record.encode() for record in blends.records()]


def _audited(data: bytes, folder: Path) -> None:
    del folder
    record = _text(data)
    str(diversity([record, record]))
    drawn.tallied([drawn.facts(drawn.read(record))])


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadRecipe("record", "is not text", "a record is text where it is stored") from None


@lru_cache
def _clip_seeds() -> list[bytes]:
    clips = (
        clip(bank(), small(name), 0, index, frames=2) for name in ("bi", "sbi") for index in (0, 1)
    )
    return [one.record.encode() for one in clips]


def _clip(data: bytes, folder: Path) -> None:
    del folder
    replay_clip(_text(data), bank())


# -- lists by which a run continues, and what an audit wrote --------------------------------


@lru_cache
def _export_folder() -> Path:
    out = set_folder("hdf5").parent / "export"
    export_set(set_folder("hdf5"), out, "webdataset")
    return out


def _exported(data: bytes, folder: Path) -> None:
    copied(_export_folder(), folder, but="export.json")
    (folder / "export.json").write_bytes(data)
    export_set(set_folder("hdf5"), folder, "webdataset")


@lru_cache
def _clips_folder() -> Path:
    out = set_folder("hdf5").parent / "clips"
    write_clips(bank(), small("bi"), out, count=2, frames=2, shard_size=1)
    return out


def _clips(data: bytes, folder: Path) -> None:
    copied(_clips_folder(), folder, but="manifest.json")
    (folder / "manifest.json").write_bytes(data)
    write_clips(bank(), small("bi"), folder, count=2, frames=2, shard_size=1)


def _audit_seeds() -> list[bytes]:
    row = {"group": "noise", "auc": 0.51, "low": 0.4, "high": 0.6, "verdict": "no shortcut"}
    told = {"audited": "set", "leaks": False, "overall": row, "groups": [row, row], "reals": 10}
    told |= {"fakes": 10, "left_out": {"masks": 1}, "people": 4, "told_by": "subject"}
    return [json.dumps(told).encode()]


def _audit(data: bytes, folder: Path) -> None:
    path = folder / "audit.json"
    path.write_bytes(data)
    leak_table(path)


TARGETS = (
    Target(
        name="manifest-json",
        seeds=_manifest_seeds,
        read=_manifest,
        strategy=st.deferred(lambda: documents(_manifest_seeds())),
    ),
    Target(
        name="generate-continued",
        share=0.2,
        seeds=lambda: _manifest_seeds()[:1],
        read=_continued,
        strategy=st.deferred(lambda: documents(_manifest_seeds()[:1])),
    ),
    Target(
        name="records-jsonl",
        share=0.2,
        seeds=_lines_seeds,
        read=_record_lines,
        strategy=st.deferred(
            lambda: st.lists(documents(_record_seeds()), max_size=4).map(b"\n".join)
        ),
    ),
    Target(
        name="record-audited",
        seeds=_record_seeds,
        read=_audited,
        strategy=st.deferred(lambda: documents(_record_seeds())),
    ),
    Target(
        name="clip-record",
        share=0.2,
        seeds=_clip_seeds,
        read=_clip,
        strategy=st.deferred(lambda: documents(_clip_seeds())),
    ),
    Target(
        name="export-json",
        share=0.2,
        seeds=lambda: [(_export_folder() / "export.json").read_bytes()],
        read=_exported,
        strategy=st.deferred(lambda: documents([(_export_folder() / "export.json").read_bytes()])),
    ),
    Target(
        name="clips-manifest",
        share=0.2,
        seeds=lambda: [(_clips_folder() / "manifest.json").read_bytes()],
        read=_clips,
        strategy=st.deferred(
            lambda: documents([(_clips_folder() / "manifest.json").read_bytes()])
        ),
    ),
    Target(name="audit-json", seeds=_audit_seeds, read=_audit, strategy=documents(_audit_seeds())),
)
