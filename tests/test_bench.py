"""The benchmark times what it says."""

import json
from dataclasses import replace

import cv2

from faceblend import bench
from faceblend.bank import FaceBank
from faceblend.bench import STEPS, bench_generate
from faceblend.recipe import load_recipe


def test_the_steps_of_a_fake_add_up_to_the_whole(bank: FaceBank) -> None:
    result = bench_generate(bank, load_recipe("bi"), count=6, rounds=2)
    assert set(result.step_ms) == {*STEPS, "record and the rest"}
    assert all(spent >= 0 for spent in result.step_ms.values())
    # what the profiler sees of one fake is at least what a fake takes without it
    assert sum(result.step_ms.values()) > 0.5 * 1000 / max(result.rounds)
    assert min(result.rounds) <= result.samples_per_second <= max(result.rounds)
    assert json.loads(json.dumps(result.to_dict()))["machine"]["candidates"] == 1000


def test_every_step_names_functions_that_fakes_really_call(bank: FaceBank) -> None:
    certain = load_recipe(
        "bi",
        {
            "resample.probability": 1.0,
            "jpeg.probability": 1.0,
            "morph.erode_probability": 0.5,
        },
    )
    result = bench_generate(bank, certain, count=12, rounds=1)
    assert all(spent > 0 for spent in result.step_ms.values())


def test_only_fakes_are_timed_unless_told_otherwise(bank: FaceBank) -> None:
    reals = replace(load_recipe("bi"), fake_share=0.0)
    assert bench_generate(bank, reals, count=3, rounds=1).step_ms["blend"] > 0
    mixed = bench_generate(bank, reals, count=3, rounds=1, fakes_only=False)
    assert mixed.step_ms["blend"] == 0


def test_opencv_has_its_threads_back_afterwards(bank: FaceBank) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        bench.bench_generate(bank, load_recipe("bi"), count=1, rounds=1)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
