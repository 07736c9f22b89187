"""The page says of every operation where it runs."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from faceblend.gpu import colors, pixels, plan
from faceblend.ops import NAMED

PAGE = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
DEVICE = {
    "mask": ("masks", set(plan.OUTLINES)),
    "warp": ("warps", set(plan.WARPS)),
    "color": ("colours", set(colors.NAMES)),
    "blend": ("blends", set(pixels.BLENDS)),
    "degrade": ("degradations", set(pixels.DEGRADES)),
}


@pytest.mark.parametrize("kind", DEVICE)
def test_the_page_says_of_every_operation_where_it_runs(kind: str) -> None:
    name, device = DEVICE[kind]
    (row,) = re.findall(rf"^\| {name} \|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
    there, here = (set(re.findall(r"`([\w-]+)`", cell)) for cell in row)
    assert there == device
    assert here == set(NAMED[kind]) - device
