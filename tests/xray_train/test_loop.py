"""The loop repeats itself: interrupted, killed, in one process or two."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from faceblend.errors import BadArgument
from xray_train.checkpoint import BadCheckpoint, load, save
from xray_train.evaluate import evaluate
from xray_train.loop import Diverged, fit
from xray_train.settings import Fit
from xray_train.sources import Item

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from tiny import TOLD, Stripes, Tiny, tiny_fit

TINY = Path(__file__).parent / "tiny.py"


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load(out / "last.pt").model


def same(one: Path, other: Path) -> None:
    """Bit for bit: weights, moments, averages, generators, figures."""
    a, b = load(one / "last.pt"), load(other / "last.pt")
    assert a.step == b.step
    for name in a.model:
        assert torch.equal(a.model[name], b.model[name]), name
    assert a.progress == b.progress
    assert torch.equal(a.random["cpu"], b.random["cpu"])
    assert (a.ema is None) == (b.ema is None)
    for name in a.ema or {}:
        assert torch.equal(a.ema[name], b.ema[name]), name  # type: ignore[index]
    for key, state in a.optimizer["state"].items():
        for name, value in state.items():
            assert torch.equal(
                torch.as_tensor(value), torch.as_tensor(b.optimizer["state"][key][name])
            )


def test_it_learns(tmp_path: Path) -> None:
    run = tiny_fit(tmp_path / "run", steps=150, decay=20, rate=0.05, dropout=0.0)
    assert run.result is not None
    assert run.result.summary.frame_auc == 1.0
    assert (run.step, run.stopped) == (150, "done")


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_n_and_m_steps_are_n_plus_m_steps(tmp_path: Path, cut: int, ema: float) -> None:
    tiny_fit(tmp_path / "whole", ema=ema)

    class Cut(Exception):
        pass

    settings = {"ema": ema}
    # the first run is stopped where the journal hears of the step
    from xray_train.journal import Journal

    count = 0
    step = Journal.step

    def stop(self: Journal, *args: float) -> None:
        nonlocal count
        step(self, *args)  # type: ignore[arg-type]
        count += 1
        if count > cut:
            raise Cut

    Journal.step = stop  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(Cut):
            tiny_fit(tmp_path / "cut", **settings)
    finally:
        Journal.step = step  # type: ignore[method-assign]
    assert load(tmp_path / "cut" / "last.pt").step == cut
    tiny_fit(tmp_path / "cut", **settings)
    same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "step", "factor": 0.5, "epochs": 3},
        {"schedule": "plateau", "period": 1, "factor": 0.5, "validate_every": 1, "best": "loss"},
    ],
    ids=["sgd, falling by epochs", "adam, falling on a plateau"],
)
def test_every_schedule_goes_on_where_it_was(tmp_path: Path, settings: dict[str, object]) -> None:
    tiny_fit(tmp_path / "whole", **settings)
    # the same run, stopped by hand after some steps
    tiny_fit(tmp_path / "cut", **settings, keep_every=7)
    (tmp_path / "cut" / "step-0000007.pt").replace(tmp_path / "cut" / "last.pt")
    tiny_fit(tmp_path / "cut", **settings)
    same(tmp_path / "whole", tmp_path / "cut")


def test_epochs_are_passes_over_the_sources(tmp_path: Path) -> None:
    run = tiny_fit(
        tmp_path / "run", epochs=3, batch=16, schedule="step", factor=0.5, log_every=1, steps=1
    )
    lines = [json.loads(one) for one in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    rates = [one["rate"] for one in lines if "rate" in one]
    # forty samples are three batches of sixteen, the last with the next pass's first
    assert run.step == 9
    assert rates == [0.01] * 3 + [0.005] * 3 + [0.0025] * 3


def test_a_fall_that_is_longer_than_the_passes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="decay: is 11 and warmup 0, in a run of 10 steps"):
        tiny_fit(tmp_path / "run", epochs=2, decay=11, steps=100)


class Tens(Stripes):
    """Ten classes instead of two."""

    def item(self, number: int) -> Item:
        return {**super().item(number), "label": torch.tensor(number % 10)}

    def classes(self) -> set[int]:
        return set(range(10))


def test_labels_of_people_are_no_reals_and_forgeries(tmp_path: Path) -> None:
    settings = Fit(out=str(tmp_path / "run"), steps=2, batch=8, decay=0, device="cpu")
    with pytest.raises(BadArgument, match="train: has labels of people"):
        fit(Tiny(), TOLD, [Tens()], None, settings)
    with pytest.raises(BadArgument, match="the source: has labels of people"):
        evaluate(Tiny(), Tens(), device=torch.device("cpu"), settings=settings)


def test_a_plateau_ends_the_run_at_the_floor(tmp_path: Path) -> None:
    settings = {"schedule": "plateau", "factor": 0.1, "floor": 0.01, "rate": 0.0, "fixed": 60}
    run = tiny_fit(tmp_path / "run", steps=60, validate_every=1, **settings)
    # nothing changes: the first is the best, and two more without a better one are a fall
    assert (run.stopped, run.step) == ("floor", 5)
    assert tiny_fit(tmp_path / "run", steps=60, validate_every=1, **settings).step == 5


@pytest.mark.parametrize("best", ["auc", "loss", "accuracy"])
def test_the_best_is_chosen_by_what_is_asked_for(tmp_path: Path, best: str) -> None:
    tiny_fit(tmp_path / "run", steps=30, validate_every=3, best=best, rate=0.05, keep=30)
    lines = [json.loads(one) for one in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    name = {"auc": "frame_auc", "loss": "frame_log_loss", "accuracy": "frame_accuracy_at_half"}
    seen = {one["step"]: one[f"val/{name[best]}"] for one in lines if "val/frame_auc" in one}
    sign = -1 if best == "loss" else 1
    ranked = sorted(seen, key=lambda step: (-sign * seen[step], step))
    kept = load(tmp_path / "run" / "last.pt").progress["best"]
    assert [step for _, step in kept] == ranked


def test_a_killed_run_ends_like_one_that_was_not(tmp_path: Path) -> None:
    tiny_fit(tmp_path / "whole", steps=60)
    out, end = tmp_path / "killed", time.monotonic() + 120
    for wanted in (5, 30):
        run = subprocess.Popen(
            [sys.executable, str(TINY), str(out), "steps=60"], stderr=subprocess.DEVNULL
        )
        while run.poll() is None:
            assert time.monotonic() < end
            if (out / "last.pt").exists() and load(out / "last.pt").step >= wanted:
                run.send_signal(signal.SIGKILL)
                break
        assert run.wait() == -signal.SIGKILL
    tiny_fit(out, steps=60)
    same(tmp_path / "whole", out)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    tiny_fit(tmp_path / "run")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    assert tiny_fit(tmp_path / "run").step == 12
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_two_processes_are_one_with_the_whole_batch(tmp_path: Path) -> None:
    """With the backbone fixed: batch statistics of half a batch are others'."""
    tiny_fit(tmp_path / "one", fixed=12, dropout=0.0)
    port = str(20_000 + os.getpid() % 20_000)
    runs = [
        subprocess.Popen(
            [sys.executable, str(TINY), str(tmp_path / "two"), "fixed=12", "dropout=0.0"],
            env={
                **os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            },
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [run.wait(120) for run in runs] == [0, 0]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(one["head.weight"], weights_before()["head.weight"])


def weights_before() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return tiny.Tiny().state_dict()


def test_accumulated_parts_are_the_whole_batch(tmp_path: Path) -> None:
    for name, parts in (("whole", 1), ("parts", 4)):
        tiny_fit(tmp_path / name, fixed=12, dropout=0.0, accumulate=parts)
    whole, parts_ = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in whole:
        torch.testing.assert_close(whole[name], parts_[name], rtol=1e-5, atol=1e-6)


def test_fixed_parts_stay_and_then_move(tmp_path: Path) -> None:
    tiny_fit(tmp_path / "fixed", steps=3, decay=0)
    start = weights_before()
    after = weights(tmp_path / "fixed")
    moved = {name for name in start if not torch.equal(start[name], after[name])}
    assert moved == {"head.weight", "head.bias"}
    tiny_fit(tmp_path / "free", steps=4, decay=0)
    after = weights(tmp_path / "free")
    assert not torch.equal(start["backbone.0.weight"], after["backbone.0.weight"])
    assert not torch.equal(start["backbone.1.running_mean"], after["backbone.1.running_mean"])


# -- what is kept and told -----------------------------------------------------------


def test_the_best_the_last_and_the_periodic_checkpoints_are_kept(tmp_path: Path) -> None:
    run = tiny_fit(tmp_path / "run", keep=2, keep_every=6)
    names = sorted(path.name for path in (tmp_path / "run").glob("*.pt"))
    best = [name for name in names if name.startswith("best-")]
    assert len(best) == 2
    assert {"last.pt", "step-0000006.pt", "step-0000012.pt"} <= set(names)
    progress = load(run.checkpoint).progress
    assert [step for step, _ in progress["curve"]] == [4, 8, 12]
    top = sorted(progress["curve"], key=lambda one: -one[1])[:2]
    assert {f"best-{step:07d}.pt" for step, _ in top} == set(best)


def test_a_run_without_progress_stops_early(tmp_path: Path) -> None:
    run = tiny_fit(tmp_path / "run", rate=0.0, patience=2, steps=40, validate_every=2)
    assert (run.stopped, run.step) == ("patience", 6)
    assert load(run.checkpoint).step == 6
    again = tiny_fit(tmp_path / "run", rate=0.0, patience=2, steps=40, validate_every=2)
    assert (again.stopped, again.step) == ("patience", 6)


def test_the_log_tells_rate_speed_and_waiting(tmp_path: Path) -> None:
    tiny_fit(tmp_path / "run")
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    trained = [line for line in lines if "rate" in line]
    assert [line["step"] for line in trained] == [2, 4, 6, 8, 10, 12]
    assert trained[-1]["rate"] == pytest.approx(0.01 * 1 / 4)
    assert all(line["samples_per_second"] > 0 for line in trained)
    assert all(0 <= line["waiting_share"] <= 1 for line in trained)
    assert [line["step"] for line in lines if "val/frame_auc" in line] == [4, 8, 12]
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


# -- what is refused -----------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"no numbers|the loss is (nan|inf); lower the rate"):
        tiny_fit(tmp_path / "run", rate=1e30, steps=60)


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    tiny_fit(tmp_path / "run", steps=6)
    with pytest.raises(BadCheckpoint, match=r"was trained with rate 0.01, and 0.02 is asked for"):
        tiny_fit(tmp_path / "run", steps=6, rate=0.02)
    saved = load(tmp_path / "run" / "last.pt")
    other = {**saved.__dict__, "task": {"class_path": "another"}}
    save(type(saved)(**other), tmp_path / "run" / "last.pt")
    with pytest.raises(BadCheckpoint, match="is of another task"):
        tiny_fit(tmp_path / "run", steps=6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "give 1 or more"),
        ({"fixed": -1}, "give 0 or more"),
        ({"clip": -1.0}, "clip: is -1.0; give 0 or more"),  # it would turn the gradients round
        ({"keep": 0, "patience": 3}, "keep: is 0; give 1 or more"),  # patience would never end
        ({"decay": 9, "warmup": 4, "steps": 12}, "in a run of 12 steps"),
        ({"ema": 1.0}, "up to but not 1"),
    ],
)
def test_settings_that_make_no_run_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        Fit(**{"out": "run", **options})  # type: ignore[arg-type]


def test_a_source_of_reals_alone_validates_without_an_auc(tmp_path: Path) -> None:

    settings = Fit(out=str(tmp_path), steps=2, batch=4, decay=0, fixed=0, device="cpu")
    reals = tiny.Stripes(8, only_reals=True)
    with pytest.raises(BadArgument, match="holds one class alone; mix reals and forgeries"):
        fit(tiny.Tiny(), tiny.TOLD, [reals], reals, settings)
    run = fit(tiny.Tiny(), tiny.TOLD, [tiny.Stripes()], reals, settings)
    assert run.result is not None
    assert run.result.summary.frame_auc is None
