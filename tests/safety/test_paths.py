"""A path that somebody else wrote opens and writes nothing outside its folder."""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faceblend.bank import SCHEMA, FaceBank, FaceRow
from faceblend.convert import export_bank
from faceblend.errors import BadBank, BadImage, BadVideo
from faceblend.ingest.checkpoint import seal, unseal
from faceblend.ingest.layouts import read_layout
from faceblend.ingest.video import probe
from faceblend.within import leaves
from tests.conftest import make_bank
from tests.ingest.test_video import write

OUT = [
    "../private.png",
    "crops/../../private.png",
    "crops/..",
    "/etc/passwd",
    "//server/share",
    "\\\\server\\share",
    "..\\private.png",
    "crops\\..\\..\\private.png",
    "C:/private.png",
    "c:private.png",
    "crops/a\0.png",
    "",
    ".",
    "./",
]
HOSTILE = ["a\nb", "-rf", "x/-rf", "\x1b[2Ja", "x" * 300, "é" * 150, "a\u2028b"]


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_on_any_system_are_known(name: str) -> None:
    assert leaves(name)


@pytest.mark.parametrize(
    "name", ["a.png", "a/b.png", "..a/b..png", "a/...", ".hidden", "./a", "a\\xff.mp4", "Käthe"]
)
def test_names_that_stay_are_left_alone(name: str) -> None:
    assert not leaves(name)


def with_crop(root: Path, crop: str) -> FaceBank:
    """A bank whose first face claims that crop, without a CRC: as an attacker writes it."""
    make_bank(root, videos=2, frames=1)
    table = pq.read_table(root / "faces.parquet")
    for name, value in (("crop", crop), ("crc32", None)):
        values = [value, *table[name].to_pylist()[1:]]
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, SCHEMA.field(name), [pa.array(values, SCHEMA.field(name).type)]
        )
    pq.write_table(table, root / "faces.parquet")
    return FaceBank.open(root)


@pytest.mark.parametrize("crop", [name for name in OUT if name])
def test_a_crop_outside_of_its_bank_is_not_read(tmp_path: Path, crop: str) -> None:
    bank = with_crop(tmp_path / "bank", crop)
    (tmp_path / "private.png").write_bytes(bank.crop_path(1).read_bytes())
    for read in (bank.image, bank.segment, bank.crop_path, bank.__getitem__):
        with pytest.raises(BadImage, match="leaves the bank's folder"):
            read(0)
    assert bank[1].image.shape == (317, 317, 3)


def test_no_bank_is_made_with_a_crop_outside(tmp_path: Path, bank: FaceBank) -> None:
    points = bank.landmarks[0].ravel().tolist()
    row = FaceRow(video="v", frame=0, source="v.mp4", crop="../v.png", landmarks=points)
    for make in (
        lambda: FaceBank.create(tmp_path / "made", [row], crop_size=317, made_by={}),
        lambda: FaceBank.in_place(tmp_path, [row], crop_size=317),
    ):
        with pytest.raises(BadBank, match="leaves the bank's folder"):
            make()


def test_a_bank_whose_crops_lie_on_another_disk_is_read(tmp_path: Path) -> None:
    """By a link, which is how people make room."""
    bank = make_bank(tmp_path / "bank", videos=2, frames=1)
    (tmp_path / "bank" / "crops").rename(tmp_path / "elsewhere")
    (tmp_path / "bank" / "crops").symlink_to(tmp_path / "elsewhere")
    assert bank.image(0).shape == (317, 317, 3)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_video_with_a_hostile_name_is_exported_under_a_safe_one(
    name: str, bank: FaceBank, tmp_path: Path
) -> None:
    told = bank.table.to_pylist()
    rows = [
        FaceRow(**{**told[row], "video": name, "landmarks": bank.landmarks[row].ravel().tolist()})
        for row in range(2)
    ]
    named = FaceBank.in_place(bank.root, rows, crop_size=317)
    for to in ("folder", "deepfakebench"):
        out = tmp_path / to
        export_bank(named, out, to, size=32)
        made = [path.relative_to(out).as_posix() for path in out.rglob("*.png")]
        assert len(made) == 2
        for path in made:
            assert path.isprintable()
            assert not any(part.startswith("-") for part in PurePosixPath(path).parts)
            assert max(len(part.encode()) for part in PurePosixPath(path).parts) <= 200


@pytest.mark.parametrize("name", ["../../x", "/x", "C:/x", "a\0b", "a\\..\\..\\b"])
def test_a_video_whose_name_leaves_the_export_is_refused(
    name: str, bank: FaceBank, tmp_path: Path
) -> None:
    told = bank.table.to_pylist()[0]
    row = FaceRow(**{**told, "video": name, "landmarks": bank.landmarks[0].ravel().tolist()})
    named = FaceBank.in_place(bank.root, [row], crop_size=317)
    with pytest.raises(BadBank, match="cannot name a folder"):
        export_bank(named, tmp_path / "out", "folder")
    assert not (tmp_path / "out").exists()


def test_dfdc_metadata_names_nothing_outside_its_part(tmp_path: Path) -> None:
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (part / name).write_bytes(b"")
    (tmp_path / "c.mp4").write_bytes(b"")
    told = {
        "a.mp4": {"label": "FAKE", "original": "../../secret.mp4"},
        "b.mp4": {"label": "FAKE", "original": "/etc/passwd"},
        "../c.mp4": {"label": "REAL"},
        "/etc/passwd": {"label": "REAL"},
    }
    (part / "metadata.json").write_text(json.dumps(told))
    found = read_layout("dfdc", tmp_path)
    assert [(row["path"], row["original"]) for row in found.rows] == [
        ("dfdc_train_part_0/a.mp4", None),
        ("dfdc_train_part_0/b.mp4", None),
    ]
    assert not any(leaves(one.source) for one in found.problems)


def test_celebdf_list_names_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "Celeb-real").mkdir()
    (tmp_path / "Celeb-real" / "id0_0000.mp4").write_bytes(b"")
    lines = "1 ../../etc/passwd\n1 /etc/passwd\n1 Celeb-real/id0_0000.mp4\n"
    (tmp_path / "List_of_testing_videos.txt").write_text(lines)
    found = read_layout("celebdf", tmp_path)
    assert [row["test"] for row in found.rows] == [True]
    assert [one.kind for one in found.problems] == ["unreadable", "unreadable"]
    assert all("leaves the folder" in one.reason for one in found.problems)


def test_a_list_of_videos_is_no_video(tmp_path: Path) -> None:
    """FFmpeg would open what it names, whatever the list itself is called."""
    write(tmp_path / "plain.mp4", 3)
    assert probe(tmp_path / "plain.mp4").frames == 3
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile plain.mp4\n")
    with pytest.raises(BadVideo, match=r"a\.mp4: is a list of other files"):
        probe(tmp_path / "a.mp4")
    for place in (tmp_path / "plain.mp4", "../plain.mp4", "http://127.0.0.1:9/plain.mp4"):
        (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{place}'\n")
        with pytest.raises(BadVideo, match=r"b\.mp4"):
            probe(tmp_path / "b.mp4")


def test_a_checkpoint_that_names_a_crop_outside_is_not_believed(
    checkpointed: Callable[[str], bool],
) -> None:
    assert checkpointed("crops/v/000000_0.png")
    assert not checkpointed("../v/000000_0.png")


@pytest.fixture
def checkpointed(tmp_path: Path) -> Callable[[str], bool]:
    """Whether a video counts as done whose checkpoint names that crop, which is there."""
    from faceblend.ingest.cut import Cutter
    from faceblend.ingest.detect import DlibHog
    from faceblend.ingest.photograph import Photograph
    from faceblend.ingest.plan import Settings, Task

    settings = Settings(
        detector="none", group="folder", subject=None, faces="largest", min_face=1, crop_size=317,
        crop_scale=1.3, crop_format="png", align="none", frames_per_video=1, max_pixels=1,
    )  # fmt: skip
    video = Task(name="v", photographs=(Photograph(source="v/a.png", size=1, mtime_ns=1),))
    work = Cutter(
        source=tmp_path, out=tmp_path / "out", settings=settings, detector=DlibHog(), deep=False
    )

    def done(crop: str) -> bool:
        (work.out / crop).parent.mkdir(parents=True, exist_ok=True)
        (work.out / crop).write_bytes(b"there")
        row = {
            "video": "v",
            "frame": 0,
            "source": "v/a.png",
            "crop": crop,
            "landmarks": [0.0] * 136,
        }
        path = work.checkpoint(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seal({**work._key(video), "rows": [row], "refusals": []}))
        assert unseal(path.read_bytes())["rows"] == [row]
        return work.finished(video) is not None

    return done
