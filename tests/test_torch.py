# ruff: noqa: E402 - without torch nothing below can be imported
"""DataLoaders see the same samples, whatever their workers."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadRecipe, BadShard, Rejected
from faceblend.generate import generate
from faceblend.recipe import Recipe, load_recipe
from faceblend.sample import Sample, sample, unblended
from faceblend.torch import STAND_IN, BlendedFaces, Item, OnlineBlend

COUNT, SEED = 10, 11


@pytest.fixture(scope="module")
def samples(bank: FaceBank) -> list[Sample]:
    recipe = load_recipe("bi")
    return [sample(bank, recipe, SEED, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def finished(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("torch") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=4)
    return out


def check(item: Item, made: Sample) -> None:
    np.testing.assert_array_equal(item["image"].numpy(), made.image.transpose(2, 0, 1))
    np.testing.assert_array_equal(item["xray"].numpy(), made.xray_u8[np.newaxis])
    assert (item["label"].item(), item["index"].item()) == (made.label, made.index)


def load(
    dataset: BlendedFaces | OnlineBlend, workers: int = 0, method: str | None = None
) -> list[Item]:
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=method
    )
    return list(loader)


def test_an_item_is_bytes_in_torchs_order(finished: Path, samples: list[Sample]) -> None:
    item = BlendedFaces(finished)[3]
    assert item["image"].shape == (3, 256, 256)
    assert item["xray"].shape == (1, 256, 256)
    assert (item["image"].dtype, item["xray"].dtype) == (torch.uint8, torch.uint8)
    assert (item["label"].dtype, item["index"].dtype) == (torch.int64, torch.int64)
    assert item["label"].shape == item["index"].shape == ()
    check(item, samples[3])


def test_shards_and_online_blending_give_the_same_items(
    bank: FaceBank, finished: Path, samples: list[Sample]
) -> None:
    stored = BlendedFaces(finished)
    online = OnlineBlend(bank, load_recipe("bi"), SEED, COUNT)
    assert len(stored) == len(online) == COUNT
    for position, made in enumerate(samples):
        check(stored[position], made)
        check(online[position], made)


def test_items_batch(finished: Path) -> None:
    batch = next(iter(DataLoader(BlendedFaces(finished), batch_size=4)))
    assert batch["image"].shape == (4, 3, 256, 256)
    assert batch["xray"].shape == (4, 1, 256, 256)
    assert batch["index"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["shards", "online"])
# the loader's own pin-memory and queue threads are alive where Python 3.12 sees a fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
# four workers on fewer cores are slow, which is no mistake here
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_load_the_same_items(
    bank: FaceBank,
    finished: Path,
    samples: list[Sample],
    kind: str,
    method: str,
    workers: int,
) -> None:
    dataset: BlendedFaces | OnlineBlend
    if kind == "shards":
        dataset = BlendedFaces(finished)
    else:
        dataset = OnlineBlend(bank.root, "bi", SEED, COUNT)
    check(dataset[0], samples[0])  # files are open, and OpenCV has run, before the workers start
    items = load(dataset, workers, method)
    assert len(items) == COUNT
    for item, made in zip(items, samples, strict=True):
        check(item, made)
    check(dataset[1], samples[1])  # and this process still reads its own files


@pytest.mark.slow
def test_200_samples_are_the_same_online_and_from_shards_of_any_size(
    bank: FaceBank, tmp_path: Path
) -> None:
    generate(bank, load_recipe("bi"), tmp_path / "set", count=200, shard_size=7, workers=2)
    stored = load(BlendedFaces(tmp_path / "set"))
    online = load(OnlineBlend(bank, "bi", 0, 200), workers=2, method="spawn")
    for left, right in zip(stored, online, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_next_epoch_starts_where_the_last_one_ended(bank: FaceBank) -> None:
    recipe = load_recipe("bi")
    epoch = OnlineBlend(bank, recipe, SEED, 3, start=3)
    assert [epoch[k]["index"].item() for k in range(3)] == [3, 4, 5]
    check(epoch[0], sample(bank, recipe, SEED, 3))
    check(epoch[-1], sample(bank, recipe, SEED, 5))
    with pytest.raises(IndexError):
        epoch[3]


def test_datasets_pickle_small(bank: FaceBank, finished: Path) -> None:
    for dataset in (BlendedFaces(finished), OnlineBlend(bank, "bi", SEED, COUNT)):
        before = dataset[0]
        data = pickle.dumps(dataset)
        assert len(data) < 20_000
        again = pickle.loads(data)  # noqa: S301 - made one line above
        assert torch.equal(again[0]["image"], before["image"])


def test_a_rejected_sample_has_the_same_stand_in_everywhere(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = {1, 1 + STAND_IN}

    def picky(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
        if index in rejected:
            raise Rejected(f"sample {index} of seed {seed}", "rejected", "draw larger masks")
        return sample(bank, recipe, seed, index)

    monkeypatch.setattr("faceblend.torch.sample", picky)
    dataset = OnlineBlend(bank, "bi", SEED, 3)
    check(dataset[1], sample(bank, load_recipe("bi"), SEED, 1 + 2 * STAND_IN))
    assert dataset[2]["index"].item() == 2


def test_pairs_are_a_blend_and_its_background_in_any_order(bank: FaceBank) -> None:
    recipe = load_recipe("bi", {"fake_share": 1.0})
    dataset = OnlineBlend(bank, "bi", SEED, 6, start=4, pairs=True)
    items = [dataset[position] for position in range(6)]
    for pair in range(3):
        blend = sample(bank, recipe, SEED, 4 + pair)
        check(items[2 * pair], blend)
        check(items[2 * pair + 1], unblended(blend, bank))
    for position in reversed(range(6)):
        assert torch.equal(dataset[position]["image"], items[position]["image"])


def test_a_recipe_that_always_rejects_is_an_error(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_bank: FaceBank, _recipe: Recipe, seed: int, index: int) -> Sample:
        raise Rejected(f"sample {index} of seed {seed}", "rejected", "draw larger masks")

    monkeypatch.setattr("faceblend.torch.sample", never)
    with pytest.raises(Rejected, match="draw larger masks"):
        OnlineBlend(bank, "bi", SEED, 3)[0]


def test_wrong_arguments_are_refused_at_once(bank: FaceBank, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="seed"):
        OnlineBlend(bank, "bi", -1, 3)
    with pytest.raises(BadArgument, match="length"):
        OnlineBlend(bank, "bi", 0, 0)
    with pytest.raises(BadArgument, match="start"):
        OnlineBlend(bank, "bi", 0, 3, start=STAND_IN)
    with pytest.raises(BadRecipe, match="neither a preset nor a file"):
        OnlineBlend(bank, "no such recipe", 0, 3)
    with pytest.raises(BadRecipe, match="317"):
        OnlineBlend(bank, load_recipe("bi", {"crop.top": 100}), 0, 3)
    with pytest.raises(BadBank):
        OnlineBlend(tmp_path, "bi", 0, 3)
    with pytest.raises(BadShard):
        BlendedFaces(tmp_path)


def test_without_torch_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; import faceblend.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install 'faceblend[train]'" in done.stderr.splitlines()[-1]
