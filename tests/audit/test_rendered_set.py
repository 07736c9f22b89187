# ruff: noqa: E402 - without torch nothing below can be imported
"""The audit says of a set that a device rendered what it says of the CPU's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend.audit import shortcuts as audit
from faceblend.audit.measure import measure_set
from faceblend.audit.shortcuts import Shortcuts, shortcuts
from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.gpu import BatchBlend
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample
from faceblend.store import BlendSet, verify
from faceblend.store.manifest import ShardEntry
from faceblend.store.shard import write_shard
from tests.conftest import make_bank

COUNT = 96
AT_ONCE = 16


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Six drawn people."""
    return make_bank(tmp_path_factory.mktemp("people"), videos=6, frames=2)


def render_set(bank: FaceBank, recipe: Recipe, of: BlendSet, out: Path) -> int:
    """Write a set of the same samples, rendered in batches; how many of them the CPU rendered."""
    out.mkdir()
    plan = of.manifest.plan
    blend, on_cpu = BatchBlend(bank, recipe, plan.seed, "cpu"), 0

    def rendered() -> Iterator[Sample]:
        nonlocal on_cpu
        for start in range(0, len(of), AT_ONCE):
            told = [of[position] for position in range(start, min(start + AT_ONCE, len(of)))]
            made = blend([one.index for one in told])
            on_cpu += made.on_cpu
            assert made.indices.tolist() == [one.index for one in told]
            for place, one in enumerate(told):
                yield replace(
                    one,
                    image=np.ascontiguousarray(made.images[place].permute(1, 2, 0).numpy()),
                    xray=made.xrays[place].numpy(),
                    landmarks=made.landmarks[place].numpy(),
                    label=int(made.labels[place]),
                )

    (entry,) = of.manifest.shards
    written = write_shard(out / entry.name, rendered(), plan, entry.count)
    told = {name: getattr(entry, name) for name in ("name", "first", "count", "rejected")}
    shards = (ShardEntry(**told, **vars(written)),)
    replace(of.manifest, shards=shards).save(out)
    return on_cpu


def audited(path: Path, bank: FaceBank) -> Shortcuts:
    with BlendSet(path) as blends:
        return shortcuts(measure_set(blends, bank))


@pytest.mark.slow
@pytest.mark.parametrize("leaks", [True, False], ids=["fakes alone are resampled", "both are"])
def test_a_rendered_set_has_the_verdicts_of_the_cpus(
    leaks: bool, people: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = audit._models
    monkeypatch.setattr(audit, "_models", lambda: both()[:1])  # the one that is quick
    recipe = load_recipe(
        "bi",
        {
            "deform.probability": 0.0, "resample.probability": 0.0, "partner.candidates": 20,
            "working.size": [128, 160], "working.reals": not leaks,
        },
    )  # fmt: skip
    generate(people, recipe, tmp_path / "cpu", count=COUNT)
    with BlendSet(tmp_path / "cpu") as blends:
        on_cpu = render_set(people, recipe, blends, tmp_path / "gpu")
        with BlendSet(tmp_path / "gpu") as rendered:
            np.testing.assert_array_equal(rendered.labels, blends.labels)
            for one, other in zip(blends, rendered, strict=True):
                assert one.record == other.record
                np.testing.assert_array_equal(one.landmarks, other.landmarks)
            pairs = zip(blends, rendered, strict=True)
            # it was not copied
            assert any((one.image != other.image).any() for one, other in pairs)
    assert on_cpu < COUNT / 10
    assert not verify(tmp_path / "gpu").problems
    one, other = audited(tmp_path / "cpu", people), audited(tmp_path / "gpu", people)
    assert one.leaks == other.leaks == leaks
    assert (one.reals, one.fakes, one.left_out) == (other.reals, other.fakes, other.left_out)
    for mine, theirs in zip(
        (one.overall, *one.groups), (other.overall, *other.groups), strict=True
    ):
        assert mine.group == theirs.group
        assert mine.verdict == theirs.verdict, (mine, theirs)
        assert abs(mine.auc - theirs.auc) < 0.1
