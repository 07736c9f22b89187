# ruff: noqa: E402 - without torch nothing below can be imported
"""A batch of the device is the CPU's samples: the same draws, and pixels within stated bounds.

Here torch's CPU is the device.
"""

import pickle
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend import draw as drawing
from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, Rejected
from faceblend.gpu import BatchBlend, GpuBatch, GpuPlan
from faceblend.gpu.plan import OUTLINES, WARPS
from faceblend.ops import NAMED
from faceblend.recipe import Recipe, load_recipe, preset_names
from faceblend.sample import Sample, sample
from faceblend.torch import STAND_IN

COUNT, SEED = 16, 3

# levels of 255. Of the samples: the median picture and the worst; of the fakes: the median X-ray
# and the worst. Measured were at most .0014, .062, .0001 and .053; of algohunt, whose masks a
# pixel of a hull's edge moves, .0008, .24, .0001 and .22
BOUNDS = dict.fromkeys(preset_names(), (0.005, 0.15, 0.001, 0.15))
BOUNDS["algohunt"] = (0.005, 0.5, 0.001, 0.4)

WIDE: dict[str, dict[str, Any]] = {
    "masks and warps": {
        "mask": dict.fromkeys(OUTLINES, 1),
        "deform": {"kinds": {"piecewise": 1, **dict.fromkeys(WARPS, 1)}},
    },
    "softened at any size, small and large": {
        "soften": {"kinds": {"feather": 1, "blur": 1, "two-stage": 1}, "of_hull": True},
        "working": {"size": [60, 420]},
        "resample": {"probability": 1.0, "size": [2, 500]},
        "flip": {"vertical": 0.5},
        "opacity": [0.3, 1],
        "morph": {"erode": [1, 31], "dilate": [1, 41]},
    },
    "moved": {
        "align": "affine",
        "working": {"size": [80, 317]},
        "move": {
            "probability": 1.0,
            "right": [-0.1, 0.1],
            "down": [-0.1, 0.1],
            "scale": [0.4, 2],
            "turn": [-180, 180],
        },
    },
}
WORST = (0.3, 0.6)  # levels, of a picture and of an X-ray; measured were .165 and .37


def batch(bank: FaceBank, recipe: Recipe, count: int = COUNT) -> GpuBatch:
    return BatchBlend(bank, recipe, SEED, "cpu")(range(count))


def samples(bank: FaceBank, recipe: Recipe, count: int = COUNT) -> list[Sample]:
    return [sample(bank, recipe, SEED, index) for index in range(count)]


def assert_same_draws(made: GpuBatch, expected: list[Sample]) -> None:
    assert made.labels.tolist() == [one.label for one in expected]
    assert made.indices.tolist() == [one.index for one in expected]
    np.testing.assert_array_equal(
        made.landmarks.numpy(), np.stack([one.landmarks for one in expected])
    )


def differences(made: GpuBatch, expected: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference of each picture, levels, and of each X-ray, times 255."""
    images = made.images.permute(0, 2, 3, 1).numpy()
    pixels = [
        abs(one.astype(np.int64) - other.image).mean()
        for one, other in zip(images, expected, strict=True)
    ]
    edges = [
        255 * abs(one - other.xray).mean()
        for one, other in zip(made.xrays.numpy(), expected, strict=True)
    ]
    return np.array(pixels), np.array(edges)


@pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 reads pictures at 1/32 px")
@pytest.mark.parametrize("name", preset_names())
def test_presets_differ_from_the_cpu_by_no_more_than_stated(name: str, bank: FaceBank) -> None:
    recipe = load_recipe(name, {"fake_share": 0.75})
    made, expected = batch(bank, recipe), samples(bank, recipe)
    assert made.on_cpu == 0
    assert_same_draws(made, expected)
    pixels, edges = differences(made, expected)
    fakes = edges[made.labels.numpy() == 1]
    assert len(fakes) >= COUNT // 2
    assert not edges[made.labels.numpy() == 0].any()
    found = (np.median(pixels), pixels.max(), np.median(fakes), fakes.max())
    print(f"{name}: {' '.join(f'{one:.4f}' for one in found)}")
    assert all(one <= bound for one, bound in zip(found, BOUNDS[name], strict=True)), found


@pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 reads pictures at 1/32 px")
@pytest.mark.parametrize("name", WIDE)
def test_so_do_recipes_of_wide_ranges(name: str, bank: FaceBank) -> None:
    recipe = load_recipe("bi", {"fake_share": 1.0, **WIDE[name]})
    made, expected = batch(bank, recipe), samples(bank, recipe)
    assert made.on_cpu < COUNT / 2
    assert_same_draws(made, expected)
    pixels, edges = differences(made, expected)
    print(f"{name}: {pixels.max():.4f} {edges.max():.4f}")
    assert pixels.max() <= WORST[0]
    assert edges.max() <= WORST[1]


def test_a_batch_has_the_types_that_it_says(bank: FaceBank) -> None:
    made = batch(bank, load_recipe("bi"), 3)
    assert made.images.shape == (3, 3, 256, 256)
    assert made.images.dtype == torch.uint8
    assert made.xrays.shape == (3, 256, 256)
    assert made.xrays.dtype == torch.float32
    assert made.labels.dtype == made.indices.dtype == torch.int64
    assert made.landmarks.shape == (3, 68, 2)


def test_a_plan_is_drawn_elsewhere_and_rendered_here(bank: FaceBank) -> None:
    blend = BatchBlend(bank, load_recipe("mix"), SEED, "cpu")
    plan = blend.plan(range(6))
    carried = pickle.loads(pickle.dumps(plan))  # noqa: S301 - its own
    assert isinstance(carried, GpuPlan)
    one, other = blend.render(plan), blend.render(carried)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.xrays, other.xrays)


def test_a_sample_is_the_same_in_any_company(bank: FaceBank) -> None:
    blend = BatchBlend(bank, load_recipe("bi", {"fake_share": 1.0}), SEED, "cpu")
    alone, among = blend([5]), blend([7, 5, 2])
    difference = (alone.images[0].int() - among.images[1].int()).abs()
    # products of many samples are summed in another order
    assert difference.max() <= 1
    assert difference.double().mean() <= 0.001
    assert (alone.xrays[0] - among.xrays[1]).abs().max() <= 1e-4


def test_crops_that_stay_on_the_device_render_the_same(bank: FaceBank) -> None:
    recipe = load_recipe("sbi")
    one, other = (
        BatchBlend(bank, recipe, SEED, "cpu", resident=held)(range(4)) for held in (True, False)
    )
    assert torch.equal(one.images, other.images)


def test_what_no_device_renders_is_the_cpus_own_and_counted(bank: FaceBank) -> None:
    kinds = {name: 1 for name in NAMED["mask"] if name not in {*OUTLINES, "segmentation"}}
    recipe = load_recipe("bi", {"fake_share": 1.0, "mask": kinds})
    made, expected = batch(bank, recipe, 4), samples(bank, recipe, 4)
    assert made.on_cpu == 4
    for place, one in enumerate(expected):
        np.testing.assert_array_equal(made.images[place].permute(1, 2, 0).numpy(), one.image)
        np.testing.assert_array_equal(made.xrays[place].numpy(), one.xray)


def test_a_rejected_mask_is_drawn_again_as_the_cpu_does(bank: FaceBank) -> None:
    # of most draws the mask is too small: later attempts pass
    recipe = load_recipe("i2g", {"fake_share": 1.0, "reject": {"min_area": 0.2, "attempts": 60}})
    made, expected = batch(bank, recipe, 6), samples(bank, recipe, 6)
    redrawn = [one.record for one in expected if '"attempt":0' not in one.record]
    assert 0 < made.on_cpu == len(redrawn)
    assert_same_draws(made, expected)


def test_a_sample_that_is_always_rejected_has_a_stand_in(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("i2g", {"fake_share": 1.0, "reject": {"min_area": 0.2, "attempts": 1}})
    rejected = []
    for index in range(6):
        try:
            sample(bank, recipe, SEED, index)
        except Rejected:
            rejected.append(index)
    made = batch(bank, recipe, 6)
    assert 0 < len(rejected) == made.on_cpu
    for index, number in enumerate(made.indices.tolist()):
        if index in rejected:
            assert number > index
            assert number % STAND_IN == index
            expected = sample(bank, recipe, SEED, number).image
            np.testing.assert_array_equal(made.images[index].permute(1, 2, 0).numpy(), expected)
        else:
            assert number == index
    monkeypatch.setattr(drawing, "draw", _rejects)
    with pytest.raises(Rejected):
        batch(bank, recipe, 1)


def _rejects(*_: Any) -> None:
    raise Rejected("all", "of them are rejected", "draw others")


@pytest.mark.parametrize("indices", [[], [-1], [2**63]])
def test_numbers_that_no_sample_has_are_refused(indices: list[int], bank: FaceBank) -> None:
    blend = BatchBlend(bank, load_recipe("bi"), SEED, "cpu")
    with pytest.raises(BadArgument, match="indices"):
        blend(indices)


def test_each_step_of_a_batch_is_told_to_who_measures_it(bank: FaceBank) -> None:
    blend = BatchBlend(bank, load_recipe("bi", {"fake_share": 1.0}), SEED, "cpu")
    told: list[str] = []
    blend.render(blend.plan(range(2)), told.append)
    assert told[0] == "prepare"
    assert {"mask", "placement", "colour", "blend", "jpeg"} <= set(told)


def test_a_network_in_half_precision_changes_no_sample(bank: FaceBank) -> None:
    blend = BatchBlend(bank, load_recipe("sbi", {"fake_share": 1.0}), SEED, "cpu")
    plan = blend.plan(range(3))
    expected, before = blend.render(plan), torch.get_float32_matmul_precision()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = blend.render(plan)
    assert torch.equal(made.images, expected.images)
    assert torch.equal(made.xrays, expected.xrays)
    assert torch.get_float32_matmul_precision() == before
