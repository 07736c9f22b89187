"""A long run is watched from outside, and what grows in it is found."""

import json
import multiprocessing
import os
from array import array
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.bench import flat, watch
from faceblend.bench.curves import save_load
from faceblend.bench.flat import Verdict, judged
from faceblend.bench.load import bench_load, windowed
from faceblend.bench.watch import MEASURES, Process, Watched, read_process, watched
from faceblend.cli import main
from faceblend.errors import BadArgument, BadBank, FaceblendError
from faceblend.recipe import load_recipe
from tests.leaky import STEPS, dying, failing, leaking, steady

MIB = 2**20
MINUTES = np.arange(0, 600.0)  # ten of them, a reading a second


def judge(seconds: np.ndarray, **measures: np.ndarray) -> Verdict:
    """The verdict of one process that makes 100 samples a second."""
    everything = dict.fromkeys(MEASURES, np.full(len(seconds), 7.0)) | measures
    process = Process(
        pid=1,
        name="job",
        seconds=array("d", seconds),
        measures={name: array("d", values) for name, values in everything.items()},
    )
    done = array("d", 100 * seconds)
    readings = Watched(seconds=array("d", seconds), done=done, processes={1: process})
    (found,) = judged(readings)
    return found


def test_a_leak_is_found_with_its_slope() -> None:
    found = judge(MINUTES, rss=200 + MINUTES, uss=150 + MINUTES)
    assert not found.flat_memory
    assert found.mib_per_hour == pytest.approx(3600)
    assert found.uss_mib_per_hour == pytest.approx(3600)
    assert found.mib_per_100k == pytest.approx(1000)  # 100 samples a second
    # the second half begins between two readings
    assert found.rss_mib == pytest.approx(650, abs=1)


def test_the_saw_tooth_of_an_allocator_is_flat() -> None:
    # 20 MiB come and go every 37 s
    found = judge(MINUTES, rss=200 + 20 * (MINUTES % 37) / 37)
    assert found.flat
    assert abs(found.mib_per_hour) < found.bound_mib_per_hour


def test_warming_up_is_no_growth() -> None:
    assert judge(MINUTES, rss=np.minimum(100 + MINUTES, 300)).flat


@pytest.mark.parametrize(("share", "expected"), [(0.049, True), (0.051, False), (-0.051, False)])
def test_the_bound_is_a_twentieth_of_the_mean(share: float, expected: bool) -> None:
    start, end = 300.0, 598.0
    rss = 100 * (1 + share * (MINUTES - (start + end) / 2) / (end - start))
    found = judge(MINUTES, rss=rss)
    assert found.flat_memory == expected
    least = found.mib_per_hour / found.bound_mib_per_hour
    assert least == pytest.approx(share / flat.GROWTH, rel=0.02)


def test_descriptors_that_are_left_open_are_found_and_those_that_come_and_go_are_not() -> None:
    swing = 10 * np.sin(MINUTES) + 3 * np.cos(0.3 * MINUTES)
    assert judge(MINUTES, files=np.rint(100 + swing)).flat_files
    assert judge(MINUTES, files=100 + (MINUTES % 13 == 0)).flat_files
    assert not judge(MINUTES, files=np.rint(100 + swing + MINUTES / 20)).flat_files
    assert not judge(MINUTES, files=100 + MINUTES // 120).flat_files


def test_starting_and_ending_processes_is_not_judged() -> None:
    # nothing is done in the first and in the last 200 s, when memory comes and goes
    seconds = np.arange(0, 600.0)
    done = np.clip(seconds - 200, 0, 200)
    rss = 100 + np.clip(200 - seconds, 0, 200) + np.clip(seconds - 400, 0, 200)
    measures = dict.fromkeys(MEASURES, array("d", rss))
    process = Process(pid=1, name="job", seconds=array("d", seconds), measures=measures)
    brief = Process(
        pid=2,
        name="passing",
        seconds=array("d", [350.0, 351.0]),
        measures={name: array("d", [1.0, 9.0]) for name in MEASURES},
    )
    readings = Watched(
        seconds=array("d", seconds), done=array("d", done), processes={1: process, 2: brief}
    )
    (found,) = judged(readings)
    assert (found.name, found.flat, found.rss_mib) == ("job", True, 100)


def test_a_few_readings_give_no_good_verdict() -> None:
    assert not judge(np.arange(0, 14.0)).flat
    assert judge(np.arange(0, 30.0)).flat


# -- jobs in a process of their own ------------------------------------------------------


def counter() -> Any:
    return multiprocessing.get_context("spawn").RawValue("Q", 0)


@pytest.mark.parametrize(("job", "expected"), [(leaking, False), (steady, True)])
def test_a_job_that_leaks_is_not_flat_and_one_that_does_not_is(job: Any, expected: bool) -> None:
    done = counter()
    readings = watched(job, (done,), name="job", done=lambda: int(done.value), every=0.02)
    verdicts = {one.name: one for one in judged(readings)}
    assert readings.done[-1] == done.value == STEPS
    found = verdicts["job"]
    # descriptors by their line alone: on a busy machine two seconds are noise to the verdict
    assert (found.flat_memory, found.files_growth < 1) == (expected, expected)
    assert verdicts["the watcher"].flat  # taking readings needs nothing


def test_what_a_job_raises_reaches_the_caller() -> None:
    with pytest.raises(BadBank, match="there: is broken; mend it"):
        watched(failing, ("there",), name="job", done=lambda: 0)
    with pytest.raises(FaceblendError, match="job: ended with status 3"):
        watched(dying, (), name="job", done=lambda: 0)


def test_a_process_is_read_as_it_is() -> None:
    before = read_process(os.getpid())
    assert before is not None
    with Path(__file__).open("rb"), Path(__file__).open("rb"):
        block = np.ones(8 * MIB)  # 64 MiB
        after = read_process(os.getpid())
    assert after is not None
    assert after["files"] == before["files"] + 2
    for measure in ("rss", "uss", "pss"):
        assert after[measure] - before[measure] == pytest.approx(block.nbytes / MIB, abs=4)
    assert 0 < after["uss"] <= after["pss"] <= after["rss"]
    assert read_process(2**22 + 1) is None


def test_another_system_is_told_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch.sys, "platform", "darwin")
    with pytest.raises(BadArgument, match=r"which darwin does not have.*run it on Linux"):
        watch.check_system()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "count: is 0; give 1 or more"),
        ({"readers": 0}, "readers: is 0"),
        ({"minutes": -1.0}, "minutes: is -1"),
        ({"minutes": float("nan")}, "minutes: is nan"),
        ({"every": 0.0}, "every: is 0"),
        ({"window": 400}, "window: is 400; the bank's crops have 317 px"),
        ({"out": Path(__file__).parent}, "is not empty"),
    ],
    ids=str,
)
def test_a_run_that_cannot_be_is_refused_before_it_starts(
    bank: FaceBank, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        bench_load(bank, load_recipe("bi"), **{"minutes": 0.0, **wrong})


def test_without_pytorch_it_says_so_before_it_starts(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceblend.bench.load.find_spec", lambda _: None)
    with pytest.raises(BadArgument, match="needs PyTorch"):
        bench_load(bank, load_recipe("bi"))


def test_the_window_lies_in_the_crop_and_zero_keeps_the_recipes() -> None:
    recipe = load_recipe("bi")
    assert windowed(recipe, 0, 317) is recipe
    for side, crop_size in ((64, 317), (256, 317), (317, 317), (64, 100)):
        crop = windowed(recipe, side, crop_size).crop
        assert crop.size == side
        assert max(crop.top, crop.left) + side <= crop_size


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="a DataLoader needs PyTorch")
def test_both_parts_run_and_their_curves_are_told_and_drawn(
    bank: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"--count": 600, "--shard-size": 24, "--readers": 2, "--minutes": 0.2}
    words |= {"--every": 0.02, "--out": tmp_path / "set", "--json": tmp_path / "load.json"}
    words["--plot"] = tmp_path / "load.png"
    status = main(["bench", "load", str(bank.root), *map(str, sum(words.items(), ()))])
    printed, errors = capsys.readouterr()
    assert status in (0, 1), errors
    told = json.loads((tmp_path / "load.json").read_text())
    assert status == (0 if told["flat"] else 1)
    assert ("NOT FLAT" in printed) == (not told["flat"])
    assert (told["shards"], told["machine"]["window"]) == (25, 64)
    made, read = told["parts"]["generate"], told["parts"]["read"]
    assert made["samples"] == 600
    assert read["samples"] > 600  # more than once through the set
    assert read["seconds"] >= 12
    for part, job in ((made, "generate"), (read, "read")):
        names = {job, "the watcher", "worker 1", "worker 2"}
        assert names <= {one["name"] for one in part["verdicts"]}
        assert max(rate for _, rate in part["rates"]) > 0
        for name in names:
            curve = part["curves"][name]
            assert {len(values) for values in curve.values()} == {len(curve["seconds"])}
            assert 10 < len(curve["seconds"]) <= 120
            assert max(curve["rss"]) > 20
            assert min(curve["files"]) > 2
    assert cv2.imread(str(tmp_path / "load.png")).shape[1] > 1000


def test_too_short_a_run_is_refused(bank: FaceBank) -> None:
    with pytest.raises(BadArgument, match=r"count: gives [0-9] readings of the run's second half"):
        bench_load(bank, load_recipe("bi"), count=2, minutes=0, workers=1, shard_size=1)


def test_curves_of_a_run_without_reading_are_drawn(tmp_path: Path) -> None:
    curve = {name: [5.0, 6.0] for name in ("seconds", *MEASURES)}
    part = {"samples": 9, "seconds": 6.0, "rates": [[5.5, 1.0]], "judged": [5.0, 6.0]}
    part |= {"verdicts": [{"name": "generate", "mib_per_hour": 1.0}]}
    part |= {"curves": {"generate": curve, "gone": curve}}
    save_load({"parts": {"generate": part}}, tmp_path / "one.png")
    assert cv2.imread(str(tmp_path / "one.png")).shape[0] > 300
