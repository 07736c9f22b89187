"""Frames of videos: what a pass takes is arithmetic, the same everywhere, and never noise."""

import pickle
from collections import Counter
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument, BadBank, BadImage
from tests.conftest import make_bank
from xray_train.augment.videos import Strong, draw_strong, strengthened
from xray_train.data import Batches, Mix, Mixed
from xray_train.sources import Source, Videos, VideoShares
from xray_train.sources.videos import resized

FORGED = {f"v{number}": 1 for number in range(2, 7)}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Two real and five forged videos of seven frames."""
    return make_bank(tmp_path_factory.mktemp("films"), videos=7, frames=7, labels=FORGED)


def videos(films: FaceBank, **changes: object) -> Videos:
    values = {"bank": str(films.root), "per_video": 3, "stride": 2, "side": 32, **changes}
    return Videos(**values)  # type: ignore[arg-type]


def taken(source: Videos, turn: int, films: FaceBank) -> dict[str, list[int]]:
    rows = source.drawn(turn).tolist()
    names, frames = (films.table[name].to_pylist() for name in ("video", "frame"))
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(names[row], []).append(frames[row])
    return {name: sorted(numbers) for name, numbers in found.items()}


def test_a_pass_takes_all_reals_and_as_many_forgeries(films: FaceBank) -> None:
    source = videos(films)
    assert source.epoch == 2 * 2 * 3
    seen = Counter[str]()
    for turn in range(20):
        names = set(taken(source, turn, films))
        assert {"v0", "v1"} < names
        assert len(names) == 4
        seen.update(names - {"v0", "v1"})
    assert set(seen) == set(FORGED)  # others each time


def test_frames_step_by_the_stride_and_move_on_with_each_pass(films: FaceBank) -> None:
    source = videos(films)
    assert taken(source, 0, films)["v0"] == [0, 2, 4]
    assert taken(source, 1, films)["v0"] == [1, 3, 5]
    assert taken(source, 2, films)["v0"] == [0, 2, 4]


def test_a_video_with_fewer_frames_begins_again(films: FaceBank) -> None:
    """A defect of seed 001: a frame that is not there became a picture of random noise."""
    source = videos(films, per_video=4, stride=3)
    # 0, 3, 6 and 9, of which the last is 2
    assert taken(source, 0, films)["v1"] == [0, 2, 3, 6]
    assert taken(source, 2, films)["v1"] == [1, 2, 4, 5]
    item, video = next(
        source.named(number) for number in range(source.epoch) if source.named(number)[1] == "v1"
    )
    real = [resized(films[row].image, 32) for row in range(len(films)) if films[row].video == "v1"]
    assert video == "v1"
    assert any(np.array_equal(item["image"].permute(1, 2, 0).numpy(), one) for one in real)


def test_few_forgeries_are_all_taken_before_one_is_taken_twice(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "few", videos=5, frames=1, labels={"v0": 1, "v1": 1})
    source = Videos(str(bank.root), per_video=1, stride=1, side=32)
    for turn in range(5):
        names = [bank.table["video"][row].as_py() for row in source.drawn(turn).tolist()]
        counts = Counter(names)
        assert sorted((counts["v0"], counts["v1"])) == [1, 2]
        assert source.epoch == 6


def test_every_process_draws_the_same_forgeries(films: FaceBank) -> None:
    """A defect of seed 001: each process drew its own, so a pass had more of them than reals."""
    mixes = [Mix(sources=[videos(films)], seed=1) for _ in range(2)]
    steps = mixes[0].epoch // 4
    dealt = [
        [
            place
            for batch in Batches(mix, 4, start=0, stop=steps, rank=rank, world=2)
            for place in batch
        ]
        for rank, mix in enumerate(mixes)
    ]
    found = [
        mix.sources[place.source].named(place.item)
        for mix, places in zip(mixes, dealt, strict=True)
        for place in places
    ]
    names = Counter(name for _, name in found)
    assert len(names) == 4
    assert set(names.values()) == {3}
    pictures = {item["image"].numpy().tobytes() for item, _ in found}
    assert len(pictures) == 12  # none in both


def test_an_item_knows_its_pass_by_its_number(films: FaceBank) -> None:
    source = videos(films, passes=3)
    assert len(source) == 3 * source.epoch
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own, as a worker gets it
    for number in (0, 11, 12, 30):
        row = int(source.drawn(number // 12)[number % 12])
        for one in (source, copy):
            item, name = one.named(number)
            assert name == films[row].video
            assert int(item["label"]) == films[row].label
            shown = item["image"].permute(1, 2, 0).numpy()
            assert np.array_equal(shown, resized(films[row].image, 32))
    assert Mix(sources=[source], seed=0).at(36).item == 0


def test_another_seed_is_another_order_and_other_forgeries(films: FaceBank) -> None:
    one, same, other = (videos(films, seed=seed) for seed in (1, 1, 2))
    passes = range(6)
    assert all(np.array_equal(one.drawn(turn), same.drawn(turn)) for turn in passes)
    assert not all(np.array_equal(one.drawn(turn), other.drawn(turn)) for turn in passes)


def test_shares_of_real_and_forged_videos(films: FaceBank) -> None:
    source = VideoShares(str(films.root), real=0.5, fake=0.1, side=32)
    assert source.epoch == 2 * 4 + 5 * 1
    rows = [source.drawn(turn) for turn in range(2)]
    for one in rows:
        assert len(set(one.tolist())) == source.epoch
        assert Counter(films.videos[one].tolist()) == Counter(
            {0: 4, 1: 4, **dict.fromkeys(range(2, 7), 1)}
        )
    assert set(rows[0].tolist()) != set(rows[1].tolist())
    assert np.array_equal(rows[1], VideoShares(str(films.root), real=0.5, fake=0.1).drawn(1))


def test_a_validation_takes_evenly_spaced_frames_in_order(films: FaceBank) -> None:
    source = VideoShares(str(films.root), real=0.43, fake=0.1, even=True, side=32)
    assert len(source) == source.epoch == 2 * 3 + 5
    frames = films.table["frame"].to_numpy()[source.drawn(0)]
    assert frames.tolist() == [1, 3, 5, 1, 3, 5, *[3] * 5]
    assert [source.named(number)[1] for number in (0, 5, 6)] == ["v0", "v1", "v2"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_crops_of_either_format_are_read(tmp_path: Path, suffix: str) -> None:
    """A defect of seed 001: the extractor wrote JPEGs and the trainers read PNGs."""
    bank = make_bank(tmp_path / "bank", videos=2, frames=2, suffix=suffix, labels={"v1": 1})
    source = Videos(str(bank.root), per_video=2, stride=1, side=64)
    for number in range(source.epoch):
        item, _ = source.named(number)
        assert item["image"].shape == (3, 64, 64)
        assert item["xray"].shape == (1, 64, 64)
        assert item["image"].float().std() > 10


def test_a_crop_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A defect of seed 001: what could not be read became noise, or was tried for ever."""
    bank = make_bank(tmp_path / "bank", videos=2, frames=1, labels={"v1": 1})
    source = Videos(str(bank.root), per_video=1, stride=1, side=64)
    broken = bank.root / bank.crop(0)
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(BadImage, match=r"000000_0\.png"):
        [source.item(number) for number in range(source.epoch)]
    broken.unlink()
    with pytest.raises(BadImage, match=r"000000_0\.png"):
        [source.item(number) for number in range(source.epoch)]


def test_a_split_is_one_split(tmp_path: Path) -> None:
    splits = {"v0": "train", "v1": "val", "v2": "train", "v3": "val"}
    labels = {"v2": 1, "v3": 1}
    make_bank(tmp_path / "bank", videos=5, frames=1, splits=splits, labels=labels)
    source = Videos(str(tmp_path / "bank"), split="val", per_video=1, stride=1, side=32, passes=1)
    assert sorted(source.named(number)[1] for number in range(len(source))) == ["v1", "v3"]
    with pytest.raises(BadBank, match="holds no real video in the split 'test'"):
        Videos(str(tmp_path / "bank"), split="test")


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (Videos, {"per_video": 0}, "per_video: is 0"),
        (Videos, {"stride": 0}, "stride: is 0"),
        (Videos, {"passes": 0}, "passes: is 0"),
        (Videos, {"seed": -1}, "seed: is -1"),
        (Videos, {"side": 4}, "give 8 or more"),
        (VideoShares, {"real": 0.0}, "real: is 0"),
        (VideoShares, {"fake": 1.5}, "at most 1"),
    ],
)
def test_numbers_out_of_range_are_refused(
    films: FaceBank, kind: type[Source], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BadArgument, match=words):
        kind(str(films.root), **changes)


# -- changes at random -------------------------------------------------------------------


def test_changes_are_drawn_as_often_as_was_told() -> None:
    rng = np.random.Generator(np.random.Philox(key=[1, 1]))
    draws = [draw_strong(rng) for _ in range(8000)]
    changed = [one for one in draws if one != Strong()]
    # of those that are to be changed, .5 * .8 * .8 * .8 * .4 * .9 keep all they had
    left_alone = 0.5 * 0.8**3 * 0.4 * 0.9
    assert len(changed) / len(draws) == pytest.approx(0.5 * (1 - left_alone), abs=0.02)
    chances = {"flip": 0.5, "noise": 0.2, "blur": 0.2, "hsv": 0.2, "filter": 0.6, "sepia": 0.1}
    assert set(chances) == {one.name for one in fields(Strong)}
    for name, chance in chances.items():
        share = sum(bool(getattr(one, name)) for one in draws) / len(draws)
        assert share == pytest.approx(0.5 * chance, abs=0.02), name
    filters = Counter(one.filter[0] for one in draws if one.filter is not None)
    assert all(count == pytest.approx(800, abs=120) for count in filters.values())
    assert set(filters) == {"brightness", "sharpen", "emboss"}


@pytest.mark.parametrize(
    "draw",
    [
        Strong(noise=(5.0, 7)), Strong(blur=1.0), Strong(hsv=(10.0, 20.0, -10.0)),
        Strong(filter=("brightness", 1.2)), Strong(filter=("sharpen", 0.4)),
        Strong(filter=("emboss", 0.4)), Strong(sepia=0.8), Strong(flip=True),
    ],
)  # fmt: skip
def test_a_draw_changes_a_picture_and_replays(draw: Strong) -> None:
    coarse = np.random.default_rng(0).integers(40, 216, (6, 6, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
    before = image.copy()
    got = strengthened(image, draw)
    assert np.array_equal(image, before)
    assert not np.array_equal(got, image)
    assert np.array_equal(got, strengthened(image, draw))
    assert np.array_equal(strengthened(image, Strong()), image)
    if draw.flip:
        assert np.array_equal(got, image[:, ::-1])


def test_training_changes_every_second_picture_by_its_place_in_the_run(films: FaceBank) -> None:
    mix = Mix(sources=[videos(films, augment=True)], seed=4)
    plain, mixed = mix.sources[0], Mixed(mix)
    places = [mix.at(sample) for sample in range(60)]
    same = [
        np.array_equal(mixed[place]["image"].numpy(), plain.item(place.item)["image"].numpy())
        for place in places
    ]
    assert 20 < sum(same) < 45
    assert all(
        np.array_equal(mixed[place]["image"].numpy(), Mixed(mix)[place]["image"].numpy())
        for place in places[:20]
    )
