"""The nearest eligible face, as a loop over every candidate finds it."""

import contextlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from faceblend import partner, search
from faceblend.bank import FaceBank, FaceRow
from faceblend.draw import draw
from faceblend.errors import BadBank, Rejected
from faceblend.recipe import Partner, Recipe

FAST = settings(deadline=None, derandomize=True, max_examples=40)


def landmark_bank(root: Path, faces: Iterable[dict[str, Any]]) -> FaceBank:
    """A bank of landmarks alone: nothing here reads a crop.

    Rows of a bank are ordered by video, frame and crop, so the faces must come in that order
    for a face's position to be its row.
    """
    rows = []
    for position, face in enumerate(faces):
        points = np.asarray(face.pop("points", np.zeros((68, 2))), np.float32)
        rows.append(
            FaceRow(
                frame=position,
                source="none",
                crop=f"{position:06d}.png",
                landmarks=points.ravel().tolist(),
                **face,
            )
        )
    bank = FaceBank.create(root, rows, crop_size=317, made_by={})
    assert [bank.crop(row) for row in range(len(bank))] == [row.crop for row in rows]
    return bank


@st.composite
def banks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Few faces of few videos, people and splits, where many lie equally far apart."""
    count = draw(st.integers(1, 14))
    videos = sorted(draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count)))
    faces = []
    for video in videos:
        shift = draw(st.tuples(st.integers(-4, 4), st.integers(-4, 4)))
        faces.append(
            {
                "video": video,
                "subject": draw(st.sampled_from([None, "p", "q", "r"])),
                "split": draw(st.sampled_from([None, "train", "test"])),
                "label": draw(st.sampled_from([0, 0, 0, 1])),
                # multiples of (3, 4): every distance is a whole number, so ties are exact
                "points": np.array([[3 * shift[0], 4 * shift[0]]] * 68) + 100 * (shift[1] == 4),
            }
        )
    return faces


def opened(faces: list[dict[str, Any]]) -> FaceBank:
    with tempfile.TemporaryDirectory() as folder:
        return landmark_bank(Path(folder), [dict(face) for face in faces])


def brute_force(faces: list[dict[str, Any]], row: int, candidates: Iterable[int]) -> list[int]:
    """Every eligible candidate, nearest first, found one landmark at a time."""
    here = faces[row]
    found = []
    for other in set(candidates):
        there = faces[other]
        same_person = here["subject"] is not None and there["subject"] == here["subject"]
        if there["video"] == here["video"] or same_person or there["split"] != here["split"]:
            continue
        far = sum(math.dist(a, b) for a, b in zip(here["points"], there["points"], strict=True))
        found.append((far, other))
    return [other for _, other in sorted(found)]


# -- nearest -------------------------------------------------------------------------


@FAST
@given(banks(), st.data())
def test_nearest_is_what_a_loop_over_every_candidate_finds(
    faces: list[dict[str, Any]], data: st.DataObject
) -> None:
    bank = opened(faces)
    rows = st.integers(0, len(faces) - 1)
    row = data.draw(rows)
    candidates = data.draw(st.lists(rows, max_size=25))
    top = data.draw(st.integers(1, 6))
    found = partner.nearest(bank, row, np.array(candidates, np.int64), top)
    assert found.tolist() == brute_force(faces, row, candidates)[:top]


@FAST
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 9))
def test_nearest_holds_for_landmarks_anywhere_and_over_many_blocks(
    seed: int, count: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(150, 60, (count, 68, 2)).astype(np.float32)
    bank = opened([{"video": f"{i:03d}", "points": p} for i, p in enumerate(points)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_BLOCK", block)
        found = partner.nearest(bank, 0, np.arange(count), top=3)
    exact = np.linalg.norm(points.astype(np.float64) - points[0], axis=2).sum(axis=1)
    exact[0] = np.inf
    np.testing.assert_allclose(exact[found], np.sort(exact[1:])[: len(found)], rtol=1e-5)
    assert len(set(found.tolist())) == len(found) == min(3, count - 1)


def test_the_distance_is_a_sum_over_points_and_not_one_long_vector(tmp_path: Path) -> None:
    """One point far away and every point a little away: the two measures disagree."""
    one_far, all_near = np.zeros((68, 2)), np.full((68, 2), 2.0)
    one_far[0] = (30, 40)
    bank = landmark_bank(
        tmp_path,
        [{"video": "a"}, {"video": "b", "points": all_near}, {"video": "c", "points": one_far}],
    )
    np.testing.assert_allclose(
        search.distances(bank.landmarks[0], bank.landmarks[1:]),
        [68 * math.sqrt(8), 50],
        rtol=1e-6,
    )
    assert np.linalg.norm(all_near) < np.linalg.norm(one_far)
    assert partner.nearest(bank, 0, np.arange(3)).tolist() == [2]


@pytest.mark.parametrize("top", [1, 2, 5])
def test_a_tie_goes_to_the_lower_row_whatever_the_order_of_the_candidates(
    top: int, tmp_path: Path
) -> None:
    bank = landmark_bank(tmp_path, [{"video": f"v{i}"} for i in range(8)])
    candidates = np.array([7, 3, 5, 3, 6, 1, 2, 0, 4])
    assert partner.nearest(bank, 4, candidates, top).tolist() == [0, 1, 2, 3, 5][:top]


def test_measuring_writes_into_neither_landmarks_nor_candidates(bank: FaceBank) -> None:
    before, candidates = np.array(bank.landmarks), np.array([5, 3, 5])
    partner.nearest(bank, 0, candidates, 2)
    search.distances(bank.landmarks[0], np.array(bank.landmarks))
    np.testing.assert_array_equal(bank.landmarks, before)
    assert candidates.tolist() == [5, 3, 5]


def test_no_candidates_and_none_eligible_give_nobody(bank: FaceBank) -> None:
    own_video = np.flatnonzero(bank.videos == bank.videos[0])
    assert partner.nearest(bank, 0, np.array([], np.int64)).tolist() == []
    assert partner.nearest(bank, 0, own_video).tolist() == []
    assert len(partner.nearest(bank, 0, np.arange(len(bank)), top=99)) == len(bank) - 3


# -- who is excluded -----------------------------------------------------------------


@pytest.fixture
def family(tmp_path: Path) -> FaceBank:
    """A background and one candidate for each reason to refuse it, or not."""
    return landmark_bank(
        tmp_path,
        [
            {"video": "a", "subject": "ann", "split": "train"},  # 0 the background
            {"video": "a", "subject": "bob", "split": "train"},  # 1 its video
            {"video": "b", "subject": "ann", "split": "train"},  # 2 its person
            {"video": "c", "subject": "bob", "split": "test"},  # 3 another split
            {"video": "d", "subject": "bob", "split": None},  # 4 no split
            {"video": "e", "subject": "bob", "split": "train"},  # 5 fits
            {"video": "f", "subject": None, "split": "train"},  # 6 fits: person unknown
        ],
    )


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        pytest.param(0, False, id="itself"),
        pytest.param(1, False, id="same video"),
        pytest.param(2, False, id="same person"),
        pytest.param(3, False, id="other split"),
        pytest.param(4, False, id="no split"),
        pytest.param(5, True, id="other video and person"),
        pytest.param(6, True, id="person unknown"),
    ],
)
def test_only_another_video_another_person_and_the_same_split_lend(
    row: int, fits: bool, family: FaceBank
) -> None:
    assert partner.eligible(family, 0, np.array([row])).tolist() == [fits]


def test_two_unknown_people_are_not_taken_for_one(tmp_path: Path) -> None:
    bank = landmark_bank(tmp_path, [{"video": "a"}, {"video": "b"}])
    assert partner.eligible(bank, 0, np.array([1])).tolist() == [True]


@pytest.mark.parametrize("search", ["sampled", "exact"])
@FAST
@given(faces=banks())
def test_no_draw_ever_blends_a_forged_face_or_a_forbidden_pair(
    search: Any, faces: list[dict[str, Any]]
) -> None:
    bank = opened(faces)
    recipe = Recipe(fake_share=1.0, partner=Partner(search=search, candidates=6, top=3))
    for index in range(6 if len(bank.reals) else 0):
        try:
            drawn = draw(bank, recipe, 0, index)
        except Rejected:
            continue
        assert drawn.fake is not None
        below, above = faces[drawn.background], faces[drawn.fake.foreground]
        assert below["label"] == above["label"] == 0
        assert below["video"] != above["video"]
        assert below["split"] == above["split"]
        assert below["subject"] is None or below["subject"] != above["subject"]


# -- what is drawn of it -------------------------------------------------------------


def circle(tmp_path: Path, count: int) -> FaceBank:
    """Faces of one video each, every one a different distance from face 0."""
    return landmark_bank(
        tmp_path,
        [{"video": f"{i:03d}", "points": np.full((68, 2), float(i * i))} for i in range(count)],
    )


def test_an_exact_search_takes_the_nearest_of_all(tmp_path: Path) -> None:
    bank = circle(tmp_path, 9)
    recipe = Recipe(fake_share=1.0, partner=Partner(search="exact", top=1))
    for index in range(30):
        drawn = draw(bank, recipe, 0, index)
        assert drawn.fake is not None
        expected = 1 if drawn.background == 0 else drawn.background - 1
        assert drawn.fake.foreground == expected


def test_of_the_nearest_few_each_is_as_likely(tmp_path: Path) -> None:
    bank = circle(tmp_path, 9)
    recipe = Recipe(fake_share=1.0, partner=Partner(search="exact", top=4))
    lenders: Counter[int] = Counter()
    for index in range(1500):
        drawn = draw(bank, recipe, 0, index)
        if drawn.background == 0 and drawn.fake is not None:
            lenders[drawn.fake.foreground] += 1
    assert set(lenders) == {1, 2, 3, 4}
    assert stats.chisquare(list(lenders.values())).pvalue > 1e-3


def test_sampled_looks_at_as_many_random_faces_as_it_says(tmp_path: Path) -> None:
    """With k draws out of n, the nearest is among them with 1 - (1 - 1/n)^k."""
    bank = circle(tmp_path, 9)
    recipe = Recipe(fake_share=1.0, partner=Partner(search="sampled", candidates=5, top=1))
    nearest = of = 0
    for index in range(1500):
        drawn = draw(bank, recipe, 0, index)
        if drawn.background == 0 and drawn.fake is not None:
            of += 1
            nearest += drawn.fake.foreground == 1
    assert stats.binomtest(nearest, of, 1 - (8 / 9) ** 5).pvalue > 1e-3


# -- check ---------------------------------------------------------------------------


def test_a_bank_of_two_videos_passes(bank: FaceBank) -> None:
    partner.check(bank)


def test_a_bank_with_one_video_is_refused_by_its_name(tmp_path: Path) -> None:
    bank = landmark_bank(tmp_path, [{"video": "clip"}, {"video": "clip"}])
    with pytest.raises(BadBank, match=r"all 2 real faces are of one video \('clip'\)") as caught:
        partner.check(bank)
    assert "second video" in str(caught.value)


def test_a_bank_of_forged_faces_is_refused(tmp_path: Path) -> None:
    bank = landmark_bank(tmp_path, [{"video": "a", "label": 1}, {"video": "b", "label": 1}])
    with pytest.raises(BadBank, match="holds no real face"):
        partner.check(bank)


def test_forged_videos_do_not_count_as_partners(tmp_path: Path) -> None:
    bank = landmark_bank(tmp_path, [{"video": "a"}, {"video": "b", "label": 1}])
    with pytest.raises(BadBank, match="of one video"):
        partner.check(bank)


def test_one_person_in_many_videos_is_refused(tmp_path: Path) -> None:
    bank = landmark_bank(tmp_path, [{"video": v, "subject": "ann"} for v in "abc"])
    with pytest.raises(BadBank, match="all 3 real faces show one person"):
        partner.check(bank)


def test_the_split_without_a_partner_is_named(tmp_path: Path) -> None:
    bank = landmark_bank(
        tmp_path,
        [
            {"video": "a", "split": "train"},
            {"video": "b", "split": "train"},
            {"video": "c", "split": "val"},
        ],
    )
    with pytest.raises(BadBank, match=r"split 'val'.*of one video"):
        partner.check(bank)


def test_one_face_without_a_partner_stops_no_job_and_gets_none(tmp_path: Path) -> None:
    """Ann's first face shares its video with Bob's, and her other face is her own."""
    bank = landmark_bank(
        tmp_path,
        [
            {"video": "a", "subject": "ann"},
            {"video": "a", "subject": "bob"},
            {"video": "b", "subject": "ann"},
        ],
    )
    partner.check(bank)
    recipe = Recipe(fake_share=1.0)
    pairs = set()
    for index in range(30):
        with contextlib.suppress(Rejected):  # drawn again, with another background
            drawn = draw(bank, recipe, 0, index)
            assert drawn.fake is not None
            pairs.add((drawn.background, drawn.fake.foreground))
    assert pairs == {(1, 2), (2, 1)}
