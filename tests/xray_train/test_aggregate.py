"""The eight policies, by hand."""

import numpy as np
import pytest

from xray_train.aggregate import POLICIES, power_mean, sigmoid, voting_with_dead_zone

# log odds of the probabilities .5, .75, .25 and .9
LOGITS = np.array([0.0, np.log(3), -np.log(3), np.log(9)])


def test_each_policy_on_four_frames_by_hand() -> None:
    got = {name: policy(LOGITS) for name, policy in POLICIES.items()}
    log3 = 1.0986123
    wanted = {
        "mean": 2 * log3 / 4,  # 0, a, -a and 2a
        "sigmean": (0.5 + 0.75 + 0.25 + 0.9) / 4,
        "pmean": 2 ** (1 / 3) * log3,  # the cubes are 0, a^3, -a^3 and 8 a^3
        "median": log3 / 2,
        "sigmedian": (0.5 + 0.75) / 2,
        "maxabs": 2 * log3,
        "voting": 3 / 4,  # 0 is a vote for forged
        "deadzone": 2 / 3,  # and here it is none
    }
    assert got == pytest.approx(wanted)


def test_real_frames_give_the_mirrored_score() -> None:
    """But for voting, where a frame that is undecided votes for forged."""
    for name in ("mean", "pmean", "median", "maxabs"):
        assert POLICIES[name](-LOGITS) == pytest.approx(-POLICIES[name](LOGITS))
    for name in ("sigmean", "sigmedian", "deadzone"):
        assert POLICIES[name](-LOGITS) == pytest.approx(1 - POLICIES[name](LOGITS))
    assert POLICIES["voting"](-LOGITS) == pytest.approx(1 / 2)


def test_one_frame_is_its_video() -> None:
    for name in ("mean", "pmean", "median", "maxabs"):
        assert POLICIES[name](np.array([-1.7])) == pytest.approx(-1.7)
    for name in ("sigmean", "sigmedian"):
        assert POLICIES[name](np.array([-1.7])) == pytest.approx(1 / (1 + np.exp(1.7)))


def test_the_median_of_probabilities_is_not_that_of_logits() -> None:
    logits = np.array([0.0, 4.0])
    assert POLICIES["sigmedian"](logits) != pytest.approx(float(sigmoid(np.array([2.0]))[0]))


def test_the_edges() -> None:
    assert POLICIES["maxabs"](np.array([-2.0, 2.0])) == 2.0
    assert voting_with_dead_zone(np.array([0.1, -0.2])) == 0.5
    assert voting_with_dead_zone(np.array([0.1, -0.2]), zone=0.15) == 0.0
    assert sigmoid(np.array([-2000.0, 2000.0])).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="power is 2"):
        power_mean(LOGITS, power=2)
