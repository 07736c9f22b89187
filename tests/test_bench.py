"""The benchmark times what it says."""

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from faceblend import search
from faceblend.bank import FaceBank
from faceblend.bench import generate as bench_of_generate
from faceblend.bench import madeup
from faceblend.bench.extract import bench_extract
from faceblend.bench.generate import STEPS, bench_generate
from faceblend.bench.madeup import made_up, made_up_bank
from faceblend.bench.memory import bench_memory
from faceblend.bench.parallel import bench_parallel
from faceblend.bench.read import bench_read
from faceblend.bench.reference import straightforward
from faceblend.bench.search import bench_search, measured
from faceblend.bench.store import OURS, _plugins, bench_store
from faceblend.draw import stream
from faceblend.errors import BadArgument
from faceblend.generate import generate
from faceblend.recipe import load_recipe


def test_the_steps_of_a_fake_add_up_to_the_whole(bank: FaceBank) -> None:
    result = bench_generate(bank, load_recipe("bi"), count=6, rounds=2)
    assert set(result.step_ms) == {*STEPS, "record and the rest"}
    assert all(spent >= 0 for spent in result.step_ms.values())
    # what the profiler sees of one fake is at least what a fake takes without it
    assert sum(result.step_ms.values()) > 0.5 * 1000 / max(result.rounds)
    assert min(result.rounds) <= result.samples_per_second <= max(result.rounds)
    written = result.to_dict()
    assert json.loads(json.dumps(written)) == written
    assert written["machine"]["candidates"] == 1000
    assert len(result.rounds) == 2


def test_every_step_names_functions_that_fakes_really_call(bank: FaceBank) -> None:
    certain = load_recipe(
        "bi",
        {
            "resample.probability": 1.0,
            "jpeg.probability": 1.0,
            "morph.erode_probability": 0.5,
            "degrade": [{"ops": {"noise": 1}}],
        },
    )
    result = bench_generate(bank, certain, count=12, rounds=1)
    assert all(spent > 0 for spent in result.step_ms.values())


def test_only_fakes_are_timed_unless_told_otherwise(bank: FaceBank) -> None:
    reals = replace(load_recipe("bi"), fake_share=0.0)
    assert bench_generate(bank, reals, count=3, rounds=1).step_ms["blend"] > 0
    mixed = bench_generate(bank, reals, count=3, rounds=1, fakes_only=False)
    assert mixed.step_ms["blend"] == 0


@pytest.mark.model
def test_both_ways_through_a_video_find_the_same_face(tmp_path: Path) -> None:
    from skimage.data import astronaut

    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for number in range(12):
            picture = np.roll(astronaut(), 2 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    result = bench_extract(tmp_path / "clip.mp4", frames=4)
    assert (result.frames, result.size, result.naive_faces) == (4, "512 x 512", 4)
    assert result.kept == 1
    assert 0 <= result.apart_median <= result.apart_95 < 0.1
    assert result.ratio == result.naive_seconds / result.seconds
    json.dumps(result.to_dict())


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": -1}, {"rounds": 0}], ids=str)
def test_a_benchmark_of_nothing_is_refused(bank: FaceBank, wrong: dict[str, int]) -> None:
    with pytest.raises(BadArgument, match="give 1 or more"):
        bench_generate(bank, load_recipe("bi"), **{"count": 1, "rounds": 1, **wrong})


def test_a_video_benchmark_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="rounds: is 0; give 1 or more"):
        bench_extract(tmp_path / "clip.mp4", rounds=0)
    with pytest.raises(BadArgument, match="frames: is -1; give 0 or more"):
        bench_extract(tmp_path / "clip.mp4", frames=-1)


def test_opencv_has_its_threads_back_after_a_failure(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = []

    def broken(*_: object) -> None:
        during.append(cv2.getNumThreads())
        raise ZeroDivisionError

    monkeypatch.setattr(bench_of_generate, "sample", broken)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        with pytest.raises(ZeroDivisionError):
            bench_generate(bank, load_recipe("bi"), count=1, rounds=1)
        assert (during, cv2.getNumThreads()) == ([1], 2)
    finally:
        cv2.setNumThreads(before)


def test_opencv_has_its_threads_back_afterwards(bank: FaceBank) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        bench_generate(bank, load_recipe("bi"), count=1, rounds=1)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_the_straightforward_way_makes_fakes_and_is_timed_beside(bank: FaceBank) -> None:
    recipe = load_recipe("algohunt", {"partner.candidates": 50})
    image, xray = straightforward(bank, recipe, 0, 3)
    assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
    assert (xray.shape, xray.dtype) == ((256, 256), np.uint8)
    assert xray.max() > 128
    result = bench_generate(bank, recipe, count=2, rounds=2, reference=1)
    assert result.reference_ratio is not None
    assert result.reference_ratio > 1
    assert result.floor_per_second > 0
    assert bench_generate(bank, recipe, count=1, rounds=1).reference_ratio is None


def test_search_is_timed_and_checked_against_measuring_every_face(bank: FaceBank) -> None:
    result = bench_search(
        bank, faces=3000, candidates=200, queries=3, rounds=1, checked=120, workers=2
    )
    assert (result.checked, result.equal) == (120, 120)
    assert result.tied <= result.equal
    assert result.modes < 136
    assert result.exact_per_second > 0
    assert result.speedup == result.all_per_second / result.exact_per_second
    assert result.worker_peak_mib > 50
    assert json.loads(json.dumps(result.to_dict()))["faces"] == 3000
    with pytest.raises(BadArgument, match="faces: is 5; give 200 or more"):
        bench_search(bank, faces=5)


def test_measuring_every_face_in_one_pass_is_measuring_it_for_each(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(madeup, "TWIN", 3)
    made_up(bank, 2000, stream(0, 0, "test"), tmp_path / "landmarks.npy")
    landmarks = np.load(tmp_path / "landmarks.npy")
    videos = np.arange(2000) // madeup.FRAMES
    tied = 0
    rows = list(range(0, 2000, 37))
    for row, (found, apart) in zip(rows, measured(landmarks, videos, rows, 5), strict=True):
        others = np.flatnonzero(videos != videos[row])
        far = search.distances(landmarks[row], landmarks[others])
        order = np.argsort(far, kind="stable")[:5]
        assert found.tolist() == others[order].tolist()
        np.testing.assert_array_equal(apart, far[order])
        tied += len(np.unique(apart)) < 5
    assert tied > 5


def test_a_made_up_bank_shows_crops_of_another_and_can_be_blended_from(
    bank: FaceBank, tmp_path: Path
) -> None:
    made = made_up_bank(bank, 250, stream(0, 0, "test"), tmp_path)
    assert (len(made), len(np.unique(made.videos)), made.crop_size) == (250, 3, bank.crop_size)
    np.testing.assert_array_equal(made.image(113), bank.image(1))
    made_up(bank, 250, stream(0, 0, "test"), tmp_path / "again.npy")
    np.testing.assert_array_equal(made.landmarks, np.load(tmp_path / "again.npy"))
    assert len(straightforward(made, load_recipe("bi"), 0, 0)) == 2


def test_memory_is_measured_in_processes_of_its_own(bank: FaceBank) -> None:
    result = bench_memory(bank, load_recipe("bi"), faces=400, candidates=50, samples=40)
    for peaks in (result.sampled_mib, result.exact_mib):
        assert 1 <= len(peaks) <= 2
        assert all(50 < peak < 1000 for peak in peaks)
    assert result.bank_mib > 0.4
    json.dumps(result.to_dict())
    with pytest.raises(BadArgument, match="samples: is 0; give 1 or more"):
        bench_memory(bank, load_recipe("bi"), samples=0)


def test_every_layout_of_a_shard_is_timed(bank: FaceBank) -> None:
    result = bench_store(bank, load_recipe("bi"), count=4, rounds=1)
    assert result.layouts[OURS].kib > 256
    assert result.layouts["gzip-1"].kib < result.layouts["raw"].kib
    assert all(one.write_ms > 0 and one.reads_per_second > 0 for one in result.layouts.values())
    assert result.plugins == ("zstd-1" in result.layouts) == ("blosc2 zstd-1" in result.layouts)
    json.dumps(result.to_dict())


def test_compressed_layouts_are_left_out_where_no_plugin_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert _plugins() == {}


def test_compressing_by_a_plugin_makes_a_set_smaller(bank: FaceBank) -> None:
    pytest.importorskip("hdf5plugin")
    layouts = bench_store(bank, load_recipe("bi"), count=4, rounds=1).layouts
    assert len(_plugins()) == 5
    for name in _plugins():
        assert layouts[name].kib < 0.9 * layouts["raw"].kib


def test_reading_a_set_is_timed(bank: FaceBank, tmp_path: Path) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", count=4, workers=1)
    result = bench_read(tmp_path / "set", count=6, rounds=1)
    assert result.samples == 4
    assert min(result.pixels_per_second, result.in_order_per_second, result.whole_per_second) > 0
    assert json.loads(json.dumps(result.to_dict()))["machine"]["layout"] == "hdf5"
    with pytest.raises(BadArgument, match="rounds: is 0; give 1 or more"):
        bench_read(tmp_path / "set", rounds=0)


def test_processes_are_timed_beside_one(bank: FaceBank) -> None:
    recipe = load_recipe("bi")
    result = bench_parallel(bank, recipe, shards=1, rounds=1)
    assert result.speedup == result.bare_per_second / result.one_per_second
    assert result.spin_speedup > 0
    assert result.stored_share == result.stored_per_second / result.bare_per_second
    assert result.peak_mib > 50
    json.dumps(result.to_dict())
    with pytest.raises(BadArgument, match="workers: is 1; give 2 or more"):
        bench_parallel(bank, recipe, workers=1)


@pytest.mark.slow
def test_a_cluster_is_timed_beside_one_worker(bank: FaceBank) -> None:
    pytest.importorskip("distributed", reason="pip install 'faceblend[cluster]'")
    from faceblend.bench.cluster import bench_cluster

    result = bench_cluster(bank, load_recipe("bi"), shards=1, rounds=1)
    assert result.speedup == result.all_per_second / result.one_per_second
    assert result.local_share == result.all_per_second / result.local_per_second
    json.dumps(result.to_dict())
