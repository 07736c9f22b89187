"""The nearest of all faces, as comparing every one finds them; ties included."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceblend import partner, search
from faceblend.bank import FaceBank
from faceblend.draw import draw
from faceblend.recipe import Partner, Recipe
from faceblend.search import Index, bounds, distances, slack, sums
from tests.test_partner import landmark_bank

FAST = settings(deadline=None, derandomize=True, max_examples=30)


def faces_like(rng: np.random.Generator, count: int) -> np.ndarray:
    """Landmarks that vary smoothly and in few ways, as faces do; every tenth is there twice."""
    mean = rng.uniform(60, 260, (68, 2))
    x, y = (mean.T - 160) / 100
    smooth = np.stack([np.ones(68), x, y, x * x, x * y, y * y])
    moves = rng.normal(0, 6, (count, 2, 6)) @ smooth + rng.normal(0, 0.5, (count, 2, 68))
    points = mean + moves.transpose(0, 2, 1)
    points[9::10] = points[8::10][: len(points[9::10])]
    return points.astype(np.float32)


def compared(points: np.ndarray, query: np.ndarray, rows: np.ndarray, top: int) -> list[int]:
    """Every row measured; stable, so ties go to the lower one."""
    return rows[np.argsort(distances(query, points[rows]), kind="stable")][:top].tolist()


def test_every_landmark_is_in_one_group() -> None:
    assert sorted(point for group in search.GROUPS for point in group) == list(range(68))


@FAST
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 300.0, 1e5]), st.booleans())
def test_a_bound_is_never_over_its_distance(seed: int, size: float, near: bool) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, size, (50, 68, 2)).astype(np.float32)
    if near:  # where rounding weighs most: all differences in one direction
        points[1:] = points[0] + np.float32(size * 1e-4)
    held = sums(points)
    apart = distances(points[0], points)
    largest = float(np.abs(points).max())
    room = np.array([slack(largest, float(one)) for one in apart])
    assert (bounds(held[0], np.ascontiguousarray(held.T)) <= apart + room).all()


@FAST
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 2500), st.integers(1, 7), st.sampled_from([8, 64])
)
def test_the_index_finds_what_comparing_every_face_finds(
    seed: int, count: int, top: int, leaf: int
) -> None:
    rng = np.random.default_rng(seed)
    points = faces_like(rng, count)
    videos = np.sort(rng.integers(0, max(count // 20, 2), count))
    rows = np.flatnonzero(rng.random(count) < 0.9)
    if not len(rows):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "LEAF", leaf)
        index = Index.build(points, rows)
    assert np.unique(index.rows).tolist() == rows.tolist()
    assert index.rows.shape[1] <= leaf
    assert index.rows.size - len(rows) < len(index.rows)
    for row in rng.integers(0, count, 8):
        query, video = points[row], videos[row]
        found, apart = index.nearest(query, lambda some, one=video: videos[some] != one, top)
        eligible = rows[videos[rows] != video]
        assert found.tolist() == compared(points, query, eligible, top)
        np.testing.assert_array_equal(apart, distances(query, points[found]))


def test_an_index_looks_at_few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points = faces_like(rng, 20_000)
    index = Index.build(points, np.arange(len(points)))
    measured: list[int] = []

    def counted(query: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        measured.append(len(candidates))
        return distances(query, candidates)

    monkeypatch.setattr(search, "distances", counted)
    for row in range(20):
        index.nearest(points[row], lambda rows, own=row: rows != own)
    assert sum(measured) / 20 < 1000


def test_an_index_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    points = faces_like(np.random.default_rng(1), 700)
    made = Index.build(points, np.arange(700))
    path = tmp_path / "index.npy"
    made.save(path)
    read = Index.load(path, points)
    assert read is not None
    for name in ("rows", "sums", "centres", "radii", "twig_centres", "twig_radii"):
        array = getattr(read, name)
        np.testing.assert_array_equal(array, getattr(made, name))
        assert (array.flags.aligned, array.flags.writeable) == (True, False)
    assert (read.count, read.largest) == (700, made.largest)
    assert read.nearest(points[3], every, 9)[0].tolist() == compared(
        points, points[3], np.arange(700), 9
    )


def every(rows: np.ndarray) -> np.ndarray:
    """All are eligible."""
    return np.ones(len(rows), bool)


def test_a_damaged_index_is_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = faces_like(np.random.default_rng(1), 700)
    made = Index.build(points, np.arange(700))
    path = tmp_path / "index.npy"
    made.save(path)
    whole = path.read_bytes()
    for length in (0, 10, 200, 5000, len(whole) - 1000):
        path.write_bytes(whole[:length])
        assert Index.load(path, points) is None
    replace(made, radii=made.radii[:, 1:]).save(path)
    assert Index.load(path, points) is None
    assert Index.load(tmp_path / "missing.npy", points) is None
    with monkeypatch.context() as patch:
        patch.setattr(search, "_FORMAT", 2)
        made.save(path)
    assert Index.load(path, points) is None


def test_where_nobody_or_few_are_eligible_the_index_looks_at_all() -> None:
    points = faces_like(np.random.default_rng(3), 5000)
    index = Index.build(points, np.arange(5000))
    found, apart = index.nearest(points[0], lambda rows: np.zeros(len(rows), bool), 3)
    assert (len(found), len(apart)) == (0, 0)
    few = np.array([7, 3000, 4999])
    found, _ = index.nearest(points[0], lambda rows: np.isin(rows, few), 3)
    assert found.tolist() == compared(points, points[0], few, 3)
    found, _ = index.nearest(points[0], every, 1000)
    assert found.tolist() == compared(points, points[0], np.arange(5000), 1000)


def split_bank(root: Path) -> FaceBank:
    points = faces_like(np.random.default_rng(2), 300)
    return landmark_bank(
        root,
        [
            {
                "video": f"{number // 4:03d}",
                "split": ("train", "test")[number // 4 % 2],
                "label": int(number % 7 == 6),
                "points": points[number],
            }
            for number in range(300)
        ],
    )


def test_exact_search_is_nearest_over_every_real_face(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    for row in range(0, 300, 7):
        found = partner.nearest_of_all(bank, row, 3)
        assert found.tolist() == partner.nearest(bank, row, bank.reals, 3).tolist()
    recipe = Recipe(partner=Partner(search="exact", top=3), fake_share=1.0)
    drawn = draw(bank, recipe, 0, 0)
    assert drawn.fake is not None
    assert drawn.fake.foreground in partner.nearest(bank, drawn.background, bank.reals, 3)


def test_what_exact_search_needs_is_made_before_the_workers_start(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    partner.arrange(bank)
    assert len(list((tmp_path / "cache").glob("index*"))) == 2
    # a bank of another program's pictures keeps nothing
    bank.to_landmarks_json(tmp_path / "landmarks.json")
    cv2.imwrite(str(tmp_path / "000000.png"), np.zeros((317, 317, 3), np.uint8))
    classic = FaceBank.from_landmarks_json(tmp_path / "landmarks.json", tmp_path)
    partner.arrange(classic)
    assert not classic._indexes


def test_sums_and_index_are_kept_beside_the_bank_and_made_again(tmp_path: Path) -> None:
    bank = split_bank(tmp_path)
    first = [partner.nearest_of_all(bank, row).tolist() for row in range(8)]
    held = np.array(bank.sums)
    kept = sorted(path for path in (tmp_path / "cache").iterdir() if "landmarks" not in path.name)
    assert len(kept) == 3  # the sums, and one index a split
    for path in kept:
        path.write_bytes(b"damaged")
    again = FaceBank.open(tmp_path)
    np.testing.assert_array_equal(again.sums, held)
    assert [partner.nearest_of_all(again, row).tolist() for row in range(8)] == first
