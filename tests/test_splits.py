"""Published splits have their published members, and nobody is split who hangs together."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from faceblend.audit.leaks import leaks
from faceblend.errors import BadArgument
from faceblend.ingest.video import evenly
from faceblend.splits import RULES, split
from faceblend.videos import VideoTable, make_table

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def table(root: Path, dataset: str, rows: list[dict[str, Any]], own: pa.Schema) -> VideoTable:
    full = [{"name": "", "height": 8, "width": 8, "frames": 300, **row} for row in rows]
    return VideoTable(root=root, dataset=dataset, table=make_table(full, own))


def members(videos: VideoTable) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for row in videos.rows():
        found.setdefault(row["split"], set()).add(row["path"])
    return found


# -- FF++ ----------------------------------------------------------------------------


def pairs() -> list[list[str]]:
    """As many pairs of ids as FF++ has, in an order that is not theirs."""
    order = np.random.default_rng(5).permutation(1000)
    return [[f"{one:03d}", f"{other:03d}"] for one, other in order.reshape(500, 2)]


@pytest.fixture(scope="module")
def ffpp(tmp_path_factory: pytest.TempPathFactory) -> VideoTable:
    """All 1,000 originals and 4,000 forgeries at c23, a tenth of them at c40 too."""
    root = tmp_path_factory.mktemp("ffpp")
    rows = []
    for quality in ("c23", "c40"):
        some = pairs() if quality == "c23" else pairs()[::10]
        for pair in some:
            for one, other in (pair, pair[::-1]):
                real = f"original_sequences/youtube/{quality}/videos/{one}.mp4"
                about = {"subject": f"youtube/{one}", "quality": quality}
                rows.append({"path": real, "label": 0, "source": "youtube", **about})
                for method in METHODS:
                    forged = f"manipulated_sequences/{method}/{quality}/videos/{one}_{other}.mp4"
                    rows.append(
                        {"path": forged, "label": 1, "original": real, "source": method,
                         "donor": f"youtube/{other}", **about}
                    )  # fmt: skip
    rows.append(
        {"path": "original_sequences/actors/c23/videos/01__kitchen.mp4", "label": 0,
         "source": "actors", "quality": "c23", "subject": "actors/01"}
    )  # fmt: skip
    own = pa.schema([("source", pa.string()), ("quality", pa.string())])
    official = root / "splits"
    official.mkdir()
    cuts = {"train": pairs()[:360], "val": pairs()[360:430], "test": pairs()[430:]}
    for name, some in cuts.items():
        (official / f"{name}.json").write_text(json.dumps(some))
    return table(root, "ffpp", rows, own)


def test_the_official_split_has_720_140_and_140_videos_and_lets_nothing_through(
    ffpp: VideoTable,
) -> None:
    made = split(ffpp, "ff-official")
    c23 = Counter(
        (row["split"], row["label"]) for row in made.videos.rows() if row["quality"] == "c23"
    )
    assert c23 == {
        ("train", 0): 720, ("val", 0): 140, ("test", 0): 140, (None, 0): 1,
        ("train", 1): 2880, ("val", 1): 560, ("test", 1): 560,
    }  # fmt: skip
    first = {number for pair in pairs()[:360] for number in pair}
    train = members(made.videos)["train"]
    assert {Path(path).stem for path in train if "youtube" in path} == first
    assert leaks(made.videos).leaks == ()
    assert made.notes == ("1 videos are in no list (DeepFakeDetection is in none)",)


def test_every_quality_of_a_video_is_in_one_split(ffpp: VideoTable) -> None:
    made = split(ffpp, "ff-official")
    names: dict[str, set[str | None]] = {}
    for row in made.videos.rows():
        names.setdefault(Path(row["path"]).stem, set()).add(row["split"])
    assert all(len(found) == 1 for found in names.values())


def test_the_seed_41_split_is_numpys_permutation_of_the_c23_ids(ffpp: VideoTable) -> None:
    made = split(ffpp, "ff-c23-720-140-140")
    order = np.random.RandomState(41).permutation(1000)
    reals = {
        name: {int(Path(path).stem) for path in paths if "youtube/c23" in path}
        for name, paths in members(made.videos).items()
    }
    assert reals["train"] == set(order[:720].tolist())
    assert reals["val"] == set(order[720:860].tolist())
    assert reals["test"] == set(order[860:].tolist())
    assert order[:5].tolist() == [219, 522, 833, 484, 670]  # numpy may never change it
    split_of = {row["path"]: row["split"] for row in made.videos.rows()}
    for row in made.videos.rows():
        if row["quality"] == "c40" or row["source"] == "actors":
            assert row["split"] is None
        elif row["label"]:
            assert row["split"] == split_of[row["original"]]
    assert made.notes == ()


def test_what_the_seed_41_split_leaks_is_counted_by_the_source(ffpp: VideoTable) -> None:
    videos = split(ffpp, "ff-c23-720-140-140").videos
    found = leaks(videos)
    of_person = {
        row["subject"]: row["split"]
        for row in videos.rows()
        if row["label"] == 0 and row["quality"] == "c23"
    }
    crossing = Counter(
        row["split"]
        for row in videos.rows()
        if row["label"] and row["quality"] == "c23" and row["split"] != of_person[row["donor"]]
    )
    assert found.forgeries["source"] == {name: crossing[name] for name in ("train", "val", "test")}
    # with ids that are paired at random, 1 - (.72**2 + 2 * .14**2) = 44% would cross
    assert 0.40 * 4000 < sum(crossing.values()) < 0.48 * 4000
    # who lends a face across is in two splits, as target here and as source there
    assert found.leaks
    assert all(leak.splits[0] != leak.splits[1] for leak in found.leaks)
    assert "whose source is in another split too" in str(found)


@pytest.mark.parametrize("count", [5, 10, 15, 20, 25])
def test_fpv_variants_draw_frames_of_the_same_members(ffpp: VideoTable, count: int) -> None:
    whole = split(ffpp, "ff-c23-720-140-140").videos
    few = split(ffpp, f"ff-c23-720-140-140-{count}fpv").videos
    assert few.column("split") == whole.column("split")
    usual = evenly(300, 32)
    for row in few.rows():
        if row["split"] is None:
            assert row["wanted"] is None
        else:
            assert row["wanted"] == sorted(set(row["wanted"]))
            assert len(row["wanted"]) == count
            assert set(row["wanted"]) <= set(usual)
    assert len({tuple(row["wanted"] or ()) for row in few.rows()}) > 1000


def test_a_video_of_few_frames_gives_them_all(ffpp: VideoTable) -> None:
    short = pa.array([3] * len(ffpp), pa.int32())
    place = ffpp.table.schema.get_field_index("frames")
    brief = VideoTable(
        root=ffpp.root,
        dataset="ffpp",
        table=ffpp.table.set_column(place, ffpp.table.schema.field("frames"), short),
    )
    made = split(brief, "ff-c23-720-140-140-5fpv").videos
    assert {tuple(row["wanted"]) for row in made.rows() if row["split"]} == {(0, 1, 2)}


def test_part_of_ffpp_is_split_and_told_to_be_another_split(ffpp: VideoTable) -> None:
    some = VideoTable(root=ffpp.root, dataset="ffpp", table=ffpp.table.slice(0, 40))
    made = split(some, "ff-c23-720-140-140")
    assert made.notes[0].startswith("0 of 1000 c23 YouTube videos are here")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        ("[", "cannot be read"),
        ('[["1"]]', "holds no pairs"),
        ('[["000", "001"]]', "has the video 000 in"),
    ],
)
def test_official_lists_that_are_none_are_refused(
    ffpp: VideoTable, tmp_path: Path, content: str | None, words: str
) -> None:
    for name in ("train", "val", "test"):
        if content is not None:
            (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(BadArgument, match=words):
        split(ffpp, "ff-official", official=tmp_path)


# -- DFDC and Celeb-DF ---------------------------------------------------------------


def test_dfdc_is_split_by_its_parts(tmp_path: Path) -> None:
    rows = [{"path": f"part_{part}/a.mp4", "label": 0, "folder": part} for part in range(50)]
    made = split(
        table(tmp_path, "dfdc", rows, pa.schema([("folder", pa.uint8())])), "dfdc-35-5-10"
    )
    assert {name: real for name, (real, _) in made.counts().items()} == {
        "train": 35, "val": 5, "test": 10, "none": 0,
    }  # fmt: skip
    by_part = {row["folder"]: row["split"] for row in made.videos.rows()}
    assert [by_part[part] for part in (0, 34, 35, 39, 40, 49)] == [
        "train", "train", "val", "val", "test", "test",
    ]  # fmt: skip
    assert made.notes == ()


def test_a_part_without_a_number_is_in_no_split(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "label": 0, "folder": None}]
    made = split(
        table(tmp_path, "dfdc", rows, pa.schema([("folder", pa.uint8())])), "dfdc-35-5-10"
    )
    assert made.videos.column("split") == [None]
    assert made.notes == (
        "0 of 50 parts are here",
        "1 videos lie in no part that is numbered 0 to 49",
    )


def celebdf(root: Path, *, listed: bool = True) -> VideoTable:
    """712 reals beside two test videos, and three forgeries."""
    rows: list[dict[str, Any]] = [
        {"path": f"YouTube-real/{number:05d}.mp4", "label": 0, "test": False}
        for number in range(712)
    ]
    rows += [
        {"path": "Celeb-real/id0_0000.mp4", "label": 0, "test": True, "subject": "id0"},
        {"path": "Celeb-synthesis/id0_id1_0000.mp4", "label": 1, "test": True,
         "original": "Celeb-real/id0_0000.mp4", "subject": "id0", "donor": "id1"},
        {"path": "Celeb-synthesis/id0_id2_0000.mp4", "label": 1, "test": False,
         "original": "Celeb-real/id0_0000.mp4", "subject": "id0", "donor": "id2"},
        {"path": "Celeb-synthesis/id7_id2_0000.mp4", "label": 1, "test": False,
         "original": "YouTube-real/00000.mp4", "subject": "id7", "donor": "id2"},
    ]  # fmt: skip
    if not listed:
        rows = [{**row, "test": None} for row in rows]
    return table(root, "celebdf", rows, pa.schema([("test", pa.bool_())]))


def test_celebdf_tests_on_its_list_and_trains_on_600_reals(tmp_path: Path) -> None:
    made = split(celebdf(tmp_path), "celebdf")
    assert made.counts() == {"train": (600, 1), "val": (112, 0), "test": (1, 1), "none": (0, 1)}
    order = np.random.RandomState(41).permutation(712)
    train = {path for path in members(made.videos)["train"] if "YouTube" in path}
    assert train == {f"YouTube-real/{number:05d}.mp4" for number in order[:600]}
    assert made.notes == ("1 forgeries are no test videos and their originals are; left out",)


def test_celebdf_without_its_list_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"has no List_of_testing_videos\.txt"):
        split(celebdf(tmp_path, listed=False), "celebdf")


# -- anything ------------------------------------------------------------------------


def chains(root: Path, count: int = 400) -> VideoTable:
    """Groups of a real, a forgery of it by the next one's face, and that one."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        rows += [
            {"path": f"{number}/a.mp4", "label": 0, "subject": f"a{number}"},
            {"path": f"{number}/b.mp4", "label": 0, "subject": f"b{number}"},
            {"path": f"{number}/fake.mp4", "label": 1, "original": f"{number}/a.mp4",
             "subject": f"a{number}", "donor": f"b{number}"},
        ]  # fmt: skip
    return table(root, "folder", rows, pa.schema([]))


def test_hash_keeps_together_what_hangs_together(tmp_path: Path) -> None:
    made = split(chains(tmp_path), "hash")
    groups: dict[str, set[str]] = {}
    for row in made.videos.rows():
        groups.setdefault(row["path"].split("/")[0], set()).add(row["split"])
    assert all(len(found) == 1 for found in groups.values())
    shares = Counter(next(iter(found)) for found in groups.values())
    assert 0.7 * 400 < shares["train"] < 0.9 * 400
    assert shares["val"] > 20
    assert shares["test"] > 20
    assert leaks(made.videos).leaks == ()


def test_hash_moves_nobody_when_videos_are_added(tmp_path: Path) -> None:
    few = split(chains(tmp_path, 50), "hash").videos
    more = split(chains(tmp_path, 90), "hash").videos
    split_of = {row["path"]: row["split"] for row in more.rows()}
    assert all(split_of[row["path"]] == row["split"] for row in few.rows())


def test_the_shares_of_hash_can_be_chosen(tmp_path: Path) -> None:
    made = split(chains(tmp_path), "hash", shares=(0.0, 0.5))
    assert made.counts()["val"] == (0, 0)
    assert 0.4 < made.counts()["test"][0] / 800 < 0.6
    with pytest.raises(BadArgument, match="leave something to train"):
        split(chains(tmp_path), "hash", shares=(0.5, 0.5))


def test_hash_tells_when_everybody_hangs_together(tmp_path: Path) -> None:
    rows = [
        {"path": f"{number}.mp4", "label": 1, "subject": f"p{number}", "donor": f"p{number + 1}"}
        for number in range(9)
    ]
    made = split(table(tmp_path, "folder", rows, pa.schema([])), "hash")
    assert len(set(made.videos.column("split"))) == 1
    assert "hang together" in made.notes[-1]


def test_a_rule_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    plain = chains(tmp_path, 2)
    for rule in set(RULES) - {"hash", "ff-official"}:
        with pytest.raises(BadArgument, match="does not fit an index of 'folder'"):
            split(plain, rule)
    with pytest.raises(BadArgument, match="give one of dfdc-35-5-10"):
        split(plain, "ff-c23-720-140-140-7fpv")
    with pytest.raises(BadArgument, match="no use with hash"):
        split(plain, "hash", official=tmp_path)


def test_splitting_again_forgets_the_frames_of_the_first_time(ffpp: VideoTable) -> None:
    few = split(ffpp, "ff-c23-720-140-140-5fpv").videos
    again = split(few, "hash").videos
    assert "wanted" in few.table.column_names
    assert "wanted" not in again.table.column_names
    assert again.rule == "hash"
