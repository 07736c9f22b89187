# ruff: noqa: E402 - without torch nothing below can be imported
"""Colours matched on the device are those of the CPU; here on torch's CPU."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faceblend.draw import noise
from faceblend.face import Image, Mask
from faceblend.gpu import colors, transport
from faceblend.ops import NAMED
from faceblend.ops.mask import bounding_box
from tests.gpu.pictures import apart, ellipse, face, grain, picture, pictures, planes

ROWS, COLUMNS = 96, 112
FLAT = np.full((ROWS, COLUMNS, 3), (90, 100, 110), np.uint8)
FAINT = (FLAT + np.arange(COLUMNS)[:, None] // 56 * (1, 0, 0)).astype(np.uint8)
PAIRS = [
    (face(ROWS, COLUMNS, 1), face(ROWS, COLUMNS, 2)),
    (picture(ROWS, COLUMNS, 3), face(ROWS, COLUMNS, 4)),
    (face(ROWS, COLUMNS, 5) // 6, picture(ROWS, COLUMNS, 6)),
    (grain(ROWS, COLUMNS, 7), picture(ROWS, COLUMNS, 8)),
    (FLAT, picture(ROWS, COLUMNS, 9)),
    (picture(ROWS, COLUMNS, 10), FLAT),
    (FAINT, face(ROWS, COLUMNS, 11)),
    (face(ROWS, COLUMNS, 12), FAINT),
]
MASKS = [ellipse(ROWS, COLUMNS, seed) for seed in range(len(PAIRS))]
# mean and worst difference, levels; where none is named no level differs
BOUNDS = {"lab": (0.001, 1), "mkl": (0.0005, 1), "idt": (0.002, 1), "sot": (0.0005, 1)}


def drawn(name: str, count: int) -> list[dict[str, Any]]:
    """Options, others for each sample."""
    if name == "idt":
        return [{"iterations": 1 + place % 4, "rng": place} for place in range(count)]
    if name == "sot":
        smooth = (1.3, 0.0, 2.0)
        return [
            {"steps": 1 + place, "batch": 4 - place % 3, "smooth": smooth[place % 3], "rng": place}
            for place in range(count)
        ]
    return [{}] * count


def both(name: str, pairs: list[tuple[Image, Image]], masks: list[Mask]) -> list[np.ndarray]:
    """What device and CPU make of them, where the CPU makes anything: in the mask's box."""
    above, below = (planes(*images) for images in zip(*pairs, strict=True))
    inside = torch.from_numpy(np.stack(masks))
    told = drawn(name, len(pairs))
    made = pictures(colors.match(name, above, below, inside, told))
    wanted = np.zeros_like(made)
    for image, pair, mask, options in zip(wanted, pairs, masks, told, strict=True):
        box = bounding_box(mask)
        asked = options | ({"rng": noise(options["rng"])} if "rng" in options else {})
        image[box] = NAMED["color"][name](*(one[box].copy() for one in (*pair, mask)), **asked)
    boxes = np.zeros(inside.shape, np.bool_)
    for one, mask in zip(boxes, masks, strict=True):
        one[bounding_box(mask)] = True
    return [np.where(boxes[..., np.newaxis], made, 0), wanted]


@pytest.mark.parametrize("name", sorted(colors.NAMES))
def test_colours_are_those_of_the_cpu(name: str) -> None:
    mean, worst = apart(*both(name, PAIRS, MASKS))
    limits = BOUNDS.get(name, (0, 0))
    assert mean <= limits[0]
    assert worst <= limits[1]


@pytest.mark.parametrize("name", sorted(colors.NAMES - {"none"}))
def test_colours_do_change(name: str) -> None:
    made, _ = both(name, PAIRS[:1], MASKS[:1])
    assert apart(made[0][MASKS[0]], PAIRS[0][0][MASKS[0]])[0] > 1


@pytest.mark.parametrize("name", sorted(colors.NAMES))
def test_what_is_outside_counts_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = MASKS[0]
    one = drawn(name, 3)[1]  # not smoothed, which would bring in what is around
    monkeypatch.setattr("tests.gpu.test_colors.drawn", lambda *_: [one, one])
    other = (PAIRS[0][0].copy(), PAIRS[0][1].copy())
    for image in other:
        image[~mask] = grain(ROWS, COLUMNS)[~mask]
    made, _ = both(name, [PAIRS[0], other], [mask, mask])
    np.testing.assert_array_equal(made[0][mask], made[1][mask])


@pytest.mark.parametrize("name", sorted(colors.NAMES))
def test_few_pixels_are_enough(name: str) -> None:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[40, 50] = mask[42, 53] = True
    made, wanted = both(name, PAIRS[:1], [mask])
    assert apart(made, wanted)[1] <= 1


@pytest.mark.parametrize("name", ["idt", "sot"])
def test_many_samples_are_done_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = both(name, PAIRS[:3], MASKS[:3])
    monkeypatch.setattr(transport, "_AT_ONCE", 1)
    np.testing.assert_array_equal(both(name, PAIRS[:3], MASKS[:3])[0], whole)


def test_the_device_knows_names_of_the_cpu_alone() -> None:
    assert not colors.NAMES - set(NAMED["color"])
