"""Figures agree with scikit-learn's, and intervals with what they claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from xray_train.metrics import (
    PixelHistogram,
    accuracy,
    average_precision,
    balanced_threshold,
    by_video,
    clustered_bootstrap,
    equal_error_rate,
    roc_auc,
    summary,
)


def drawn(seed: int, count: int = 200, ties: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    labels[:2] = 0, 1
    scores = np.round((rng.random(count) + 0.3 * labels) * ties) / ties
    return labels, scores


@pytest.mark.parametrize("seed", range(20))
def test_auc_and_ap_are_scikit_learns_with_ties_too(seed: int) -> None:
    labels, scores = drawn(seed, ties=5 * seed + 3)
    assert roc_auc(labels, scores) == pytest.approx(sklearn.roc_auc_score(labels, scores))
    wanted = sklearn.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(20))
def test_the_equal_error_rate_lies_where_the_curve_crosses(seed: int) -> None:
    labels, scores = drawn(seed)
    false, true, _ = sklearn.roc_curve(labels, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 100_001)
    missed = 1 - np.interp(grid, false, true)
    wanted = grid[np.argmin(np.abs(missed - grid))]
    assert equal_error_rate(labels, scores)[0] == pytest.approx(wanted, abs=2e-5)


def test_figures_by_hand() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert roc_auc(labels, scores) == 0.75
    assert equal_error_rate(labels, scores)[0] == 0.5
    assert equal_error_rate(np.array([0, 1]), np.array([0.2, 0.9]))[0] == 0.0
    assert accuracy(labels, scores, 0.35) == 0.75
    assert balanced_threshold(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.8])) == 0.5


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-9, 9)), min_size=2, max_size=40))
def test_only_the_order_of_scores_counts(items: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in items])
    scores = np.array([score for _, score in items], float)
    if len(set(labels.tolist())) < 2:
        with pytest.raises(ValueError, match="both 0 and 1 are needed"):
            roc_auc(labels, scores)
        return
    assert roc_auc(labels, scores) == pytest.approx(roc_auc(labels, np.exp(scores) + 3))
    assert roc_auc(labels, scores) == pytest.approx(1 - roc_auc(labels, -scores))
    best = balanced_threshold(labels, scores)
    chosen = sklearn.balanced_accuracy_score(labels, scores >= best)
    tried = [sklearn.balanced_accuracy_score(labels, scores >= at) for at in [*scores, 99]]
    assert chosen == pytest.approx(max(tried))


def test_scores_that_are_no_numbers_are_counted() -> None:
    with pytest.raises(ValueError, match="2 of 3 scores are no numbers"):
        roc_auc(np.array([0, 1, 1]), np.array([0.1, np.nan, np.inf]))


def test_frames_become_videos() -> None:
    videos, labels = ["b", "a", "b", "a"], np.array([1, 0, 1, 0])
    scores = np.array([0.2, 0.1, 0.6, 0.3])
    assert by_video(videos, labels, scores)[0].tolist() == [0, 1]
    for how, wanted in (("mean", [0.2, 0.4]), ("max", [0.3, 0.6]), ("vote", [0.0, 0.5])):
        np.testing.assert_allclose(by_video(videos, labels, scores, how)[1], wanted)  # type: ignore[arg-type]


def test_pixels_in_bins_give_nearly_the_exact_figures() -> None:
    rng = np.random.default_rng(0)
    target = (rng.random((4, 32, 32)) > 0.9).astype(np.uint8) * 255
    predicted = np.clip(rng.normal(0.3 + 0.3 * (target > 0), 0.2), 0, 1).astype(np.float32)
    pixels = PixelHistogram()
    for part in range(4):
        pixels.add(target[part : part + 1], predicted[part : part + 1])
    flat = (target > 0).ravel(), predicted.ravel()
    wanted = sklearn.average_precision_score(*flat)
    assert pixels.average_precision() == pytest.approx(wanted, abs=1e-3)
    iou = sklearn.jaccard_score(flat[0], flat[1] >= 0.5)
    assert pixels.iou() == pytest.approx(iou)
    assert PixelHistogram().average_precision() is None
    with pytest.raises(ValueError, match="leaves 0 to 1"):
        pixels.add(target, predicted + 1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Videos differ by more than their frames do: frames alone would give a third of the width."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        videos = np.repeat(np.arange(60), 8)
        labels = (videos % 2).astype(np.int64)
        scores = rng.normal(0, 1, 60)[videos] + rng.normal(0, 0.3, 480) + labels
        names = [str(one) for one in videos]
        low, high = clustered_bootstrap(names, labels, scores, rng, rounds=200)
        held += low <= 0.7509 <= high  # two normals one apart, each of variance 1.09
    assert 50 <= held <= 60


def test_the_same_generator_gives_the_same_interval() -> None:
    labels, scores = drawn(1)
    videos = [f"{number // 10}" for number in range(200)]
    one, other = (
        clustered_bootstrap(videos, labels, scores, np.random.default_rng(3), rounds=50)
        for _ in range(2)
    )
    assert one == other


def test_a_summary_counts_what_it_is_of() -> None:
    labels, scores = drawn(2)
    videos = [f"{number // 10}" for number in range(200)]
    told = summary(videos, labels, scores, 0.5, np.random.default_rng(0)).to_dict()
    assert (told["frames"], told["videos"]) == (200, 20)
    assert told["reals"] + told["fakes"] == 200
    low, high = told["frame_auc_interval"]
    assert low < told["frame_auc"] < high
    reals = summary(["a"], np.array([0]), np.array([0.2]), 0.5, np.random.default_rng(0))
    assert (reals.frame_auc, reals.video_auc, reals.frame_accuracy) == (None, None, 1.0)
