"""A process that ends between two steps of a commit leaves the old state or the new one."""

import subprocess
import sys
from pathlib import Path

import pytest
from trouble import COUNT, SEED, SHARD, contents

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import BlendSet, Manifest, verify

BI = load_recipe("bi")

RUN = """
import os, sys
from pathlib import Path

from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe

bank, out, count, seed, size, which, moment = sys.argv[1:]
replace, done = Path.replace, []

def crashing(self, target):
    done.append(target)
    if len(done) == int(which) and moment == "before":
        os._exit(9)
    result = replace(self, target)
    if len(done) == int(which):
        os._exit(9)
    return result

Path.replace = crashing
generate(FaceBank.open(bank), load_recipe("bi"), out, count=int(count), seed=int(seed),
         shard_size=int(size))
"""

# renames of a run: the manifest, a shard, the manifest, the second shard, the manifest, ...
CASES = {
    "before the first manifest gets its name": (1, "before", 0, False),
    "before a shard gets its name": (4, "before", 1, False),
    "before a shard is listed": (4, "after", 1, True),
    "before the manifest gets its name": (5, "before", 1, True),
    "after the manifest got its name": (5, "after", 2, True),
}


QUICK = ("before a shard gets its name", "before a shard is listed")


@pytest.mark.parametrize(
    "case",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in CASES],
)
def test_a_commit_that_is_cut_in_two_is_made_whole_by_the_next_run(
    bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path, case: str
) -> None:
    which, moment, listed, there = CASES[case]
    out = tmp_path / "set"
    words = [sys.executable, "-c", RUN, bank.root, out, COUNT, SEED, SHARD, which, moment]
    ended = subprocess.run([str(word) for word in words], stderr=subprocess.DEVNULL)
    assert ended.returncode == 9
    assert (out / "shard-00001.h5").exists() == there
    assert bool(list(out.glob(".*.tmp"))) == (moment == "before")
    if case != "before the first manifest gets its name":
        assert len(Manifest.load(out).shards) == listed
        with BlendSet(out) as blends:  # what is listed is whole
            assert len([one for one in blends if one.image.any()]) == listed * SHARD
    report = generate(bank, BI, out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert report.kept == listed
    assert contents(out) == undisturbed
    assert verify(out).problems == ()
