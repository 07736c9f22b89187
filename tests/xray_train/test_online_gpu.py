"""Batches that are rendered where the network is: the samples of the CPU's, in the run's order."""

import json
import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from faceblend.torch import OnlineBlend
from xray_train import data
from xray_train.augment.batched import jittered_batch
from xray_train.augment.jitter import draw_jitter, jittered
from xray_train.data import Batches, Halfway, Mix, training_batches
from xray_train.loop import fit
from xray_train.settings import Fit
from xray_train.sources import Item, Online, OnlineGpuBlend

sys.path.insert(0, str(Path(__file__).parent))
from tiny import TOLD, Tiny

CPU = torch.device("cpu")
IMAGE, XRAY = 0.2, 0.2  # levels of 255, means, as tests/gpu/test_parity.py allows
BATCH = 6


def online(bank: FaceBank, **options: Any) -> OnlineGpuBlend:
    return OnlineGpuBlend(str(bank.root), **{"device": "cpu", "seed": 3, "length": 80, **options})


def batches(mix: Mix, *, start: int = 0, stop: int = 2, workers: int = 0) -> list[Item]:
    taken = Batches(mix, BATCH, start=start, stop=stop)
    return list(training_batches(taken, mix, workers, CPU))


def check_alike(one: Item, other: Item) -> None:
    """One sample, rendered in two ways."""
    assert one["image"].shape == other["image"].shape
    assert (one["image"].dtype, one["xray"].dtype) == (torch.uint8, torch.uint8)
    assert one["label"].tolist() == other["label"].tolist()
    for name, bound in (("image", IMAGE), ("xray", XRAY)):
        apart = (one[name].float() - other[name].float()).abs().mean().item()
        assert apart < bound, (name, apart)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="xray_train")
    return caplog


def test_a_batch_is_the_one_that_the_cpu_loads(
    bank: FaceBank, told: pytest.LogCaptureFixture
) -> None:
    source, cpu = online(bank), OnlineBlend(bank, "bi", 3, 40)
    made = batches(Mix(sources=[source], seed=0))
    assert [len(one["label"]) for one in made] == [BATCH, BATCH]
    assert made[0]["image"].shape == (BATCH, 3, 256, 256)
    assert made[0]["xray"].shape == (BATCH, 1, 256, 256)
    assert {int(one) for batch in made for one in batch["label"]} == {0, 1}
    for step, batch in enumerate(made):
        for place in range(BATCH):
            number = step * BATCH + place
            check_alike({name: one[place] for name, one in batch.items()}, cpu[number])
    assert source.rendered == 2 * BATCH
    assert not told.records


def test_what_is_validated_on_is_what_the_cpu_gives_byte_for_byte(bank: FaceBank) -> None:
    source, cpu = online(bank), Online(str(bank.root), seed=3, length=40)
    for number in range(4):
        (one, video), (other, same) = source.named(number), cpu.named(number)
        assert video == same
        assert all(torch.equal(one[name], other[name]) for name in other)
    assert source.rendered == 0


def test_a_run_that_starts_later_has_the_same_batches(bank: FaceBank) -> None:
    whole = batches(Mix(sources=[online(bank, augment=True)], seed=5), stop=3)
    later = batches(Mix(sources=[online(bank, augment=True)], seed=5), start=1, stop=3)
    assert len(later) == 2
    for one, other in zip(whole[1:], later, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_sources_that_are_loaded_keep_their_places_beside_it(bank: FaceBank) -> None:
    loaded = Online(str(bank.root), seed=8, length=40)
    beside = Mix(sources=[online(bank), loaded], seed=0)
    plain = Mix(sources=[Online(str(bank.root), seed=3, length=40), loaded], seed=0)
    (made,), (wanted,) = batches(beside, stop=1), batches(plain, stop=1)
    for place in range(BATCH):
        check_alike(*({name: one[place] for name, one in of.items()} for of in (made, wanted)))
    assert torch.equal(made["image"][1::2], wanted["image"][1::2])  # the loaded ones


def test_workers_draw_and_this_process_renders(bank: FaceBank) -> None:
    source = online(bank)
    mix = Mix(sources=[source], seed=0)
    (here,), (there,) = batches(mix, stop=1), batches(mix, stop=1, workers=1)
    assert all(torch.equal(here[name], there[name]) for name in here)
    assert source.rendered == 2 * BATCH
    assert len(pickle.dumps(source)) < 20_000  # with nothing of what lies on the device


def test_workers_read_the_crops_that_do_not_lie_on_the_device(bank: FaceBank) -> None:
    places = next(iter(Batches(Mix(sources=[online(bank)], seed=0), BATCH, start=0, stop=1)))
    made = list[Item]()
    for resident in (True, False):
        source = online(bank, resident=resident)
        mix = Mix(sources=[source], seed=0)
        made += batches(mix, stop=1)
        ((_, _, drawn),) = Halfway(mix, {0})[places].drawn
        if resident:
            assert drawn.read is None
            assert len(pickle.dumps(drawn)) < 200_000
        else:
            blends = len(drawn.plan.fakes.places)
            assert drawn.read.shape == (BATCH + blends, 317, 317, 3)
            np.testing.assert_array_equal(
                drawn.read[0].numpy(), bank.image(int(drawn.plan.backgrounds[0]))
            )
    one, other = made
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_is_made_while_the_one_before_is_used(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix, seen = Mix(sources=[online(bank)], seed=0), list[int]()
    monkeypatch.setattr(data, "_whole", lambda parts, *_: seen.append(len(parts.drawn)) or {})
    taken = training_batches(Batches(mix, BATCH, start=0, stop=3), mix, 0, CPU)
    ahead = [len(seen) for _ in taken]
    assert ahead == [2, 3, 3]


def test_an_error_ahead_leaves_the_batch_before_it_whole(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = online(bank)
    mix, render, calls = Mix(sources=[source], seed=0), source.render, list[int]()

    def fails(plan: Any, device: torch.device) -> Item:
        calls.append(1)
        if len(calls) == 2:
            raise BadArgument("sample", "cannot be rendered", "give another")
        return render(plan, device)

    monkeypatch.setattr(source, "render", fails)
    taken = training_batches(Batches(mix, BATCH, start=0, stop=3), mix, 0, CPU)
    assert len(next(taken)["label"]) == BATCH
    with pytest.raises(BadArgument, match="cannot be rendered"):
        next(taken)


def test_pairs_are_rendered_as_the_cpu_loads_them(bank: FaceBank, tmp_path: Path) -> None:
    # a third of the blends are drawn again, and their halves with them
    path = tmp_path / "picky.yaml"
    path.write_text("name: picky\nreject: {attempts: 9, min_area: 0.31}\n")
    source = online(bank, recipe=str(path), pairs=True)
    made = batches(Mix(sources=[source], seed=0))
    cpu = OnlineBlend(bank, str(path), 3, 80, pairs=True)
    for step, batch in enumerate(made):
        assert batch["label"].tolist() == [1, 0] * (BATCH // 2)
        for place in range(BATCH):
            item = cpu[step * BATCH + place]
            check_alike({name: one[place] for name, one in batch.items()}, item)
    again = ['"attempt":0' not in cpu.with_record(2 * pair)[1] for pair in range(BATCH)]
    assert 0 < sum(again) < BATCH
    assert source.on_cpu == 2 * sum(again)


def test_a_half_whose_blend_is_in_another_batch_is_rendered_on_the_cpu(bank: FaceBank) -> None:
    source, cpu = online(bank, pairs=True), OnlineBlend(bank, "bi", 3, 80, pairs=True)
    batch = source.render(source.plan([1, 2, 3], None), CPU)
    assert batch["label"].tolist() == [0, 1, 0]
    assert torch.equal(batch["image"][0], cpu[1]["image"])
    for place in range(3):
        check_alike({name: one[place] for name, one in batch.items()}, cpu[1 + place])
    assert source.on_cpu == 1


# -- what is changed at random -----------------------------------------------------------


def test_a_batch_is_jittered_as_each_of_its_samples_would_be(bank: FaceBank) -> None:
    items = [OnlineBlend(bank, "bi", 3, 8)[number] for number in range(8)]
    rngs = [np.random.Generator(np.random.Philox(key=number)) for number in range(8)]
    jitters = [draw_jitter(rng) for rng in rngs]
    images, xrays = jittered_batch(
        torch.stack([one["image"] for one in items]),
        torch.stack([one["xray"] for one in items]),
        jitters,
    )
    assert (images.dtype, xrays.dtype) == (torch.uint8, torch.uint8)
    for number, (item, jitter) in enumerate(zip(items, jitters, strict=True)):
        image, xray = jittered(
            np.ascontiguousarray(item["image"].permute(1, 2, 0).numpy()),
            item["xray"][0].numpy(),
            jitter,
        )
        apart = np.abs(images[number].permute(1, 2, 0).numpy().astype(int) - image)
        assert apart.mean() < 1.0
        # an unjittered picture is far from it
        unmoved = np.abs(item["image"].permute(1, 2, 0).numpy().astype(int) - image)
        assert unmoved.mean() > 5 * apart.mean()
        assert np.abs(xrays[number, 0].numpy().astype(int) - xray).mean() < 0.5


def test_augmenting_changes_what_the_cpu_would_change(bank: FaceBank) -> None:
    made = [
        batches(Mix(sources=[source], seed=4), stop=1)[0]
        for source in (
            online(bank, augment=True),
            Online(str(bank.root), seed=3, length=40, augment=True),
            online(bank),
        )
    ]
    on_device, on_cpu, unchanged = made
    for place in range(BATCH):
        one, other = ({name: of[name][place] for name in of} for of in (on_device, on_cpu))
        apart = (one["image"].float() - other["image"].float()).abs().mean()
        assert apart < 2 * IMAGE
        changed = (unchanged["image"][place].float() - other["image"].float()).abs().mean()
        assert changed > 3 * apart


# -- what falls back -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        pytest.param({"device": "cuda"}, "", "training is on cpu", id="no GPU trains"),
        pytest.param(
            {}, "fake_share: 1.0\nmask: {grid: 1}\n",
            "64 of its first 64 samples need operations without a device form", id="masks",
        ),
    ],
)  # fmt: skip
def test_what_falls_back_says_so_once_and_is_rendered_by_the_loader(
    bank: FaceBank,
    told: pytest.LogCaptureFixture,
    tmp_path: Path,
    options: dict[str, Any],
    text: str,
    reason: str,
) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(f"name: some\n{text}")
    source = online(bank, recipe=str(path), **options)
    made = batches(Mix(sources=[source], seed=0))
    cpu = OnlineBlend(bank, str(path), 3, 80, pairs=source.pairs)
    for number in range(2 * BATCH):
        batch, item = made[number // BATCH], cpu[number]
        assert torch.equal(batch["image"][number % BATCH], item["image"])
        assert torch.equal(batch["xray"][number % BATCH], item["xray"])
    (line,) = [record.getMessage() for record in told.records]
    assert reason in line
    assert "the loader's processes render its samples on the CPU" in line
    assert source.rendered == 0


def test_a_few_samples_without_a_device_form_are_rendered_beside_and_counted(
    bank: FaceBank, told: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("name: some\nfake_share: 1.0\nmask: {hull: 2, grid: 1}\n")
    source, cpu = online(bank, recipe=str(path)), OnlineBlend(bank, str(path), 3, 80)
    (made,) = batches(Mix(sources=[source], seed=0), stop=1)
    left = ['"kind":"grid"' in cpu.with_record(place)[1] for place in range(BATCH)]
    assert 0 < sum(left) < BATCH
    assert source.on_cpu == sum(left)
    assert not told.records
    for place in range(BATCH):
        check_alike({name: one[place] for name, one in made.items()}, cpu[place])


def test_a_sample_that_is_rejected_for_good_has_the_stand_in_of_the_cpu(
    bank: FaceBank, tmp_path: Path
) -> None:
    # a third of what it draws leaves too small a mask, and is not drawn again
    path = tmp_path / "picky.yaml"
    path.write_text("name: picky\nfake_share: 1.0\nreject: {attempts: 1, min_area: 0.31}\n")
    source, cpu = online(bank, recipe=str(path)), OnlineBlend(bank, str(path), 3, 40)
    (made,) = batches(Mix(sources=[source], seed=0), stop=1)
    numbers = [int(cpu[place]["index"]) for place in range(BATCH)]
    standing = [place for place in range(BATCH) if numbers[place] != place]
    assert 0 < len(standing) < BATCH
    assert source.on_cpu == len(standing)
    for place in range(BATCH):
        check_alike({name: one[place] for name, one in made.items()}, cpu[place])
    for place in standing:
        assert torch.equal(made["image"][place], cpu[place]["image"])


def test_many_samples_on_the_cpu_are_told_once(
    bank: FaceBank, told: pytest.LogCaptureFixture
) -> None:
    source = online(bank)
    for _ in range(3):
        source._count(1000, 200)
    (line,) = [record.getMessage() for record in told.records]
    assert "400 of 2000 samples so far were rendered one by one on the CPU" in line
    fine = online(bank)
    fine._count(10_000, 20)
    assert len(told.records) == 1


# -- the whole way -------------------------------------------------------------------------


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(bank: FaceBank, tmp_path: Path) -> None:
    def run(out: Path, **options: Any) -> dict[str, torch.Tensor]:
        settings = Fit(
            out=str(out), steps=4, batch=2, decay=0, fixed=0, device="cpu", seed=1,
            **{"validate_every": 0, **options},
        )  # fmt: skip
        torch.manual_seed(1)
        made = fit(Tiny(), TOLD, [online(bank, recipe=str(small(tmp_path)))], None, settings)
        return dict(torch.load(made.checkpoint, weights_only=False)["model"])

    whole = run(tmp_path / "whole", keep_every=2)
    (tmp_path / "cut").mkdir()
    (tmp_path / "whole" / "step-0000002.pt").rename(tmp_path / "cut" / "last.pt")
    again = run(tmp_path / "cut")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def small(folder: Path) -> Path:
    """A recipe whose samples are small, so that a convolution is quick."""
    path = folder / "small.yaml"
    path.write_text("name: small\ncrop: {top: 120, left: 110, size: 96}\n")
    return path


def test_a_configuration_trains_on_it(
    bank: FaceBank, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("timm", reason="the commands name systems that need it")
    from xray_train.commands import DONE, main

    of = {"bank": str(bank.root), "recipe": str(small(tmp_path))}
    config = {
        "task": {"class_path": "tiny.Tiny"},
        "train": [
            {
                "class_path": "xray_train.sources.OnlineGpuBlend",
                "init_args": {**of, "seed": 0, "device": "cpu", "augment": True},
            }
        ],
        "val": {
            "class_path": "xray_train.sources.Online",
            "init_args": {**of, "seed": 1, "length": 6},
        },
        "fit": {
            "out": str(tmp_path / "run"), "steps": 3, "batch": 2, "decay": 0, "fixed": 0,
            "device": "cpu", "validate_every": 3, "save_every": 3, "log_every": 1,
        },
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(tmp_path / "config.yaml")]) == DONE
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert not told.records
    losses = [one["train/loss"] for one in map(json.loads, log) if "train/loss" in one]
    assert len(losses) == 3
    assert all(np.isfinite(losses))
    # the same with the GPU asked for, where there is none
    config["train"][0]["init_args"]["device"] = "cuda"
    config["fit"]["out"] = str(tmp_path / "other")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(tmp_path / "config.yaml")]) == DONE
    (line,) = [record.getMessage() for record in told.records]
    assert "training is on cpu" in line
