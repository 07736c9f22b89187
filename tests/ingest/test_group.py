"""Rules name videos, and every name has a path of its own that stays where it belongs."""

import os
import re
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faceblend.errors import BadArgument
from faceblend.ingest.group import check_rule, named, safe_path

# few characters, so that names are often nearly the same
close_names = st.text("aA0._-/\\ \né", max_size=5)
any_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
names = st.one_of(close_names, any_names)

# -- rules -------------------------------------------------------------------------------


def test_folder_is_the_whole_path_of_the_folder_below_the_root() -> None:
    assert named("folder", "ann/2024/1.jpg", "photographs") == "ann/2024"
    assert named("folder", "1.jpg", "photographs") == "photographs"


def test_file_is_the_photograph_itself() -> None:
    assert named("file", "ann/folder.jpg", "photographs") == "ann/folder.jpg"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (r"([a-z]+)_(\d+)", "ann"),  # the first group
        (r"_\d+", "_12"),  # the whole match
        (r"\d(?=\.)", "2"),  # searched, not matched from the start
        (r"^zoe", None),  # no match
        (r"x*", None),  # a match of nothing
        (r"(zoe)?_\d+", None),  # a group that took no part
    ],
)
def test_an_expression_gives_its_first_group_or_its_match_or_no_name(
    rule: str, name: str | None
) -> None:
    assert named(rule, "ann_12.jpg", "photographs") == name


def test_a_root_whose_name_is_no_text_still_has_a_name_that_can_be_written() -> None:
    name = named("folder", "1.jpg", os.fsdecode(b"caf\xe9"))
    assert name == r"caf\xe9"
    assert safe_path(name).isascii()


@pytest.mark.parametrize("rule", ["folder", "file", "", r"^[^_]+", "(ann|ben)/"])
def test_words_and_expressions_are_rules(rule: str) -> None:
    check_rule("group", rule)


def test_what_is_no_expression_is_refused_with_its_name_and_what_to_give() -> None:
    with pytest.raises(BadArgument, match=r"^subject: is '\(', .*; give folder, file or a reg"):
        check_rule("subject", "(")


# -- paths -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", "ann/2024", "000", "a.b-c_D/1.png"])
def test_a_plain_name_is_its_own_path(name: str) -> None:
    assert safe_path(name) == name


@given(st.lists(names, min_size=2, max_size=20, unique=True))
@example(["x" * 300, "x" * 301])
@example(["a/b", "a\\b", "a_b", "a b"])
@example(["é", "e\u0301"])
def test_no_two_videos_share_a_path(videos: list[str]) -> None:
    assert len({safe_path(video) for video in videos}) == len(videos)


@given(names)
@example("a b")
def test_a_video_that_is_named_like_anothers_path_has_another(video: str) -> None:
    path = safe_path(video)
    if path != video:
        assert safe_path(path) != path


@given(names)
@example("x" * 300)
@example("../../etc/passwd")
@example("/etc/passwd")
@example("a/./../b")
def test_a_path_stays_in_its_folder_and_fits_every_disk(video: str) -> None:
    path = safe_path(video)
    parts = path.split("/")
    assert not PurePosixPath(path).is_absolute()
    assert not {"", ".", ".."} & set(parts)
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", path)
    assert max(map(len, parts)) < 150  # of 255, with room for temporary names


@given(st.one_of(names, st.from_regex(r"\A(\.\w+|\d{6,}_\d+\.\w+|\w+\.json)(/\w+)?\Z")))
@example("000001_0.png/x")
@example("ann.json/x")
@example("x" * 95 + ".json" + "x")
def test_no_folder_of_a_video_is_named_like_a_crop_a_checkpoint_or_a_hidden_file(
    video: str,
) -> None:
    for part in safe_path(video).split("/"):
        assert not re.fullmatch(r"\..*|\d{6,}_\d+\.\w+|.*\.json", part)
