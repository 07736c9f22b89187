"""One test for each defect that other generators of blended images were found to have.

The numbers are those of the list of defects that the project was started with; those of
trainers have their tests beside the trainers.
"""

import ast
import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy import ndimage

from faceblend.bank import FaceBank
from faceblend.draw import Draw, draw
from faceblend.errors import BadBank, BadImage, BadRecipe, MissingModel, Rejected
from faceblend.face import Face, Image
from faceblend.generate import generate
from faceblend.ingest.detect import find_landmark_model
from faceblend.ops import degrade, mask
from faceblend.ops.geometry import Layers
from faceblend.recipe import (
    Crop,
    Flip,
    Jpeg,
    Morph,
    Partner,
    Recipe,
    Reject,
    Resample,
    Working,
    load_recipe,
    preset_names,
)
from faceblend.sample import compose, finish, render, replay, sample
from faceblend.store import BlendSet, Manifest
from tests.conftest import make_bank

ROOT = Path(__file__).parent.parent
BLENDS_ONLY = Recipe(
    fake_share=1.0,
    working=Working(probability=0.0),
    resample=Resample(probability=0.0),
    jpeg=Jpeg(probability=0.0),
    flip=Flip(horizontal=0.0),
)


def both(bank: FaceBank, drawn: Draw) -> tuple[Layers, Layers]:
    """The fake of a draw, and the real of the same draw."""
    assert drawn.fake is not None
    face, partner = bank[drawn.background], bank[drawn.fake.foreground]
    return render(face, partner, drawn), render(face, None, replace(drawn, fake=None))


# -- 1: JPEG of RGB through an encoder that takes BGR ----------------------------------


def test_defect_01_jpeg_takes_the_bank_for_rgb(bank: FaceBank) -> None:
    """Luma keeps 30% of red and 11% of blue, so fine red detail survives and blue does not."""
    grain = np.random.default_rng(0).integers(0, 2, (96, 96), dtype=np.uint8) * np.uint8(90)
    losses = []
    for channel in (0, 2):
        picture = np.full((96, 96, 3), 80, np.uint8)
        picture[..., channel] += grain
        coded = degrade.jpeg(picture, 75).astype(float) - picture
        losses.append(np.square(coded[..., channel]).mean())
    assert losses[0] < 0.9 * losses[1]
    red = Layers(
        image=np.full((317, 317, 3), (255, 0, 0), np.uint8),
        alpha=None,
        landmarks=bank[0].landmarks,
    )
    recipe = load_recipe("bi", {"jpeg.probability": 1, "jpeg.quality": [60, 60]})
    done = finish(red, draw(bank, recipe, 0, 0)).image.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(done, [255, 0, 0], atol=5)


# -- 3: fakes resampled, reals not ----------------------------------------------------

_CORNER = 28  # px


def corner_statistics(image: Image) -> list[float]:
    """Log energy of six differences in the four corners, where no face is."""
    cut = slice(None, _CORNER), slice(-_CORNER, None)
    corners = [image[rows, columns].mean(axis=2) for rows in cut for columns in cut]
    differences: list[tuple[tuple[int, int], ...]] = [
        ((1, 1),),
        ((1, 0),),
        ((2, 1),),
        ((2, 0),),
        ((1, 0), (1, 1)),
        ((4, 1),),
    ]
    energies = []
    for steps in differences:
        energy = 0.0
        for corner in corners:
            detail = corner
            for order, axis in steps:
                detail = np.diff(detail, order, axis=axis)
            energy += float(np.square(detail).mean())
        energies.append(float(np.log(energy + 1e-3)))
    return energies


def logistic_scores(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Logistic regression on the statistics and their squares, by Newton's method."""

    def design(values: np.ndarray) -> np.ndarray:
        scaled = (values - train.mean(axis=0)) / train.std(axis=0)
        return np.hstack([scaled, scaled**2, np.ones((len(values), 1))])

    inputs = design(train)
    weights = np.zeros(inputs.shape[1])
    for _ in range(15):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        curvature = (inputs.T * (chance * (1 - chance))) @ inputs + np.eye(len(weights))
        weights -= np.linalg.solve(curvature, inputs.T @ (chance - labels) + weights)
    return np.asarray(design(test) @ weights)


def area_under_roc(labels: np.ndarray, scores: np.ndarray) -> float:
    fakes, reals = scores[labels == 1], scores[labels == 0]
    above = fakes[:, None] > reals
    return float((above + 0.5 * (fakes[:, None] == reals)).mean())


def leak(bank: FaceBank, recipe: Recipe, count: int) -> float:
    """Mean AUC of telling fakes from reals by their corners, each person tested unseen."""
    corner = np.ones((256, 256), bool)
    corner[_CORNER:-_CORNER] = corner[:, _CORNER:-_CORNER] = False
    statistics, labels, people = [], [], []
    for index in range(count):
        made = sample(bank, recipe, 0, index)
        assert made.alpha is not None
        if made.alpha[corner].any():
            continue  # the mask reaches into a corner: what is there may give it away
        statistics.append(corner_statistics(made.image))
        labels.append(made.label)
        people.append(bank.videos[json.loads(made.record)["draw"]["background"]])
    x, y, who = np.array(statistics), np.array(labels), np.array(people)
    aucs = []
    for person in np.unique(who):
        scores = logistic_scores(x[who != person], y[who != person], x[who == person])
        aucs.append(area_under_roc(y[who == person], scores))
    return float(np.mean(aucs))


def test_defect_03_nothing_outside_the_mask_tells_a_fake_of_bi_from_a_real(
    tmp_path: Path,
) -> None:
    people = make_bank(tmp_path, videos=5, frames=2)
    assert abs(leak(people, load_recipe("bi"), 400) - 0.5) < 0.1
    # the recipe that resamples fakes alone is found out by the same statistics
    assert leak(people, load_recipe("algohunt"), 300) > 0.7


# -- 4: degradation computed and thrown away ------------------------------------------

FORCED = {
    "jpeg": {"jpeg.probability": 1, "jpeg.quality": [60, 60]},
    "resample": {"resample.probability": 1, "resample.size": [80, 80]},
    "working": {"working.probability": 1, "working.size": [140, 140]},
    "flip": {"flip.horizontal": 1},
}


@pytest.mark.parametrize("step", sorted(FORCED))
@pytest.mark.parametrize("share", [0, 1], ids=["real", "fake"])
def test_defect_04_every_step_that_is_forced_reaches_the_sample(
    step: str, share: int, bank: FaceBank
) -> None:
    nothing = {f"{name}.probability": 0 for name in ("jpeg", "resample", "working")}
    nothing |= {"flip.horizontal": 0, "fake_share": share}
    usual = sample(bank, load_recipe("bi", nothing), 0, 0)
    forced = sample(bank, load_recipe("bi", nothing | FORCED[step]), 0, 0)
    assert (usual.image != forced.image).any(axis=2).mean() > 0.5


# -- 5: X-ray of another mask than the one that blended -------------------------------


def test_defect_05_the_xray_is_that_of_the_alpha_found_in_the_pixels(bank: FaceBank) -> None:
    """Alpha is solved from the finished picture, and the X-ray computed from that."""
    for index in range(5):
        drawn = draw(bank, BLENDS_ONLY, 0, index)
        assert drawn.fake is not None
        face, partner = bank[drawn.background], bank[drawn.fake.foreground]
        below = Layers(image=face.image, alpha=None, landmarks=face.landmarks)
        blend = compose(below, partner, drawn.fake)
        foreground = face.image.copy()
        foreground[blend.box] = blend.foreground
        window = np.s_[60:316, 30:286]
        made = sample(bank, BLENDS_ONLY, 0, index)
        over = made.image.astype(float) - face.image[window]
        apart = foreground[window].astype(float) - face.image[window]
        clear = np.abs(apart).max(axis=2) > 60
        found = (over * apart).sum(axis=2)[clear] / np.square(apart).sum(axis=2)[clear]
        assert clear.sum() > 200
        # half a level of rounding moves alpha by 1/120 and the X-ray by four times that
        np.testing.assert_allclose(made.xray[clear], 4 * found * (1 - found), atol=0.04)


# -- 6: picture flipped or cropped, mask or landmarks not -----------------------------


@pytest.mark.parametrize("flip", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("crop", [Crop(), Crop(top=0, left=61, size=256), Crop(top=47, size=200)])
def test_defect_06_the_mask_covers_what_was_changed_after_every_flip_and_crop(
    flip: tuple[bool, bool], crop: Crop, bank: FaceBank
) -> None:
    drawn = replace(
        draw(bank, BLENDS_ONLY, 0, 1),
        crop=crop,
        flip_horizontal=flip[0],
        flip_vertical=flip[1],
    )
    fake, real = both(bank, drawn)
    assert fake.alpha is not None
    changed = (fake.image != real.image).any(axis=2)
    assert not changed[fake.alpha == 0].any()
    assert changed[fake.alpha > 0.9].mean() > 0.9
    assert fake.alpha.shape == fake.image.shape[:2]


# -- 7: mirror at W - x, left and right landmarks not swapped -------------------------


def test_defect_07_a_mirrored_sample_mirrors_pixel_centres_and_swaps_left_and_right(
    bank: FaceBank,
) -> None:
    drawn = draw(bank, BLENDS_ONLY, 0, 1)
    straight, _ = both(bank, drawn)
    mirrored, _ = both(bank, replace(drawn, flip_horizontal=True))
    for left, right in ((0, 16), (36, 45), (39, 42), (48, 54), (31, 35), (8, 8), (30, 30)):
        x, y = straight.landmarks[right]
        np.testing.assert_allclose(mirrored.landmarks[left], [255 - x, y], atol=1e-4)
    # every point still stands on the pixel that it stood on
    inside = np.rint(straight.landmarks).astype(int)
    for x, y in inside[(inside > 0).all(axis=1) & (inside < 255).all(axis=1)]:
        np.testing.assert_array_equal(mirrored.image[y, 255 - x], straight.image[y, x])


# -- 8: partial alpha cut to 0 or 1 ---------------------------------------------------


def test_defect_08_erosion_keeps_partial_alpha(bank: FaceBank) -> None:
    recipe = replace(BLENDS_ONLY, morph=Morph(erode_probability=1.0, erode=(9, 9)))
    for index in range(4):
        made = sample(bank, recipe, 0, index)
        assert made.alpha is not None
        partial = made.alpha[(made.alpha > 0) & (made.alpha < 1)]
        assert len(np.unique(partial)) > 100
        assert 0.2 < np.median(partial) < 0.8


def test_defect_08_a_softened_mask_cannot_be_passed_to_erosion() -> None:
    with pytest.raises(TypeCheckError, match="mask"):
        mask.erode(np.full((9, 9), 0.5, np.float32), 3)


# -- 9: feather measured from the convex hull, pixel by pixel -------------------------


def test_defect_09_the_feather_is_the_distance_to_the_masks_own_edge() -> None:
    y, x = np.indices((121, 121)) - 60
    bay = (x * x + y * y <= 50**2) & ~((np.abs(x) < 12) & (y > 0))
    ramp = 0.2 * 101
    exact = np.clip((ndimage.distance_transform_edt(bay) - 0.5) / ramp, 0, 1)
    alpha = mask.feather(bay, 0.2)
    # smoothing the stairs moves alpha near corners, half the resolution by half a pixel, 0.025
    assert np.abs(alpha - exact)[bay].mean() < 0.032
    beside_the_bay = alpha[80, 60 + 12 : 60 + 15]
    assert (beside_the_bay < 0.3).all()


# -- 10: empty or degenerate masks ----------------------------------------------------


def test_defect_10_a_degenerate_mask_is_recorded_as_rejected_and_never_mislabelled(
    bank: FaceBank, tmp_path: Path
) -> None:
    recipe = replace(load_recipe("bi"), reject=Reject(min_area=0.3, attempts=2))
    generate(bank, recipe, tmp_path / "set", count=24, seed=0, shard_size=12)
    rejected = {
        entry.index: entry.reason
        for shard in Manifest.load(tmp_path / "set").shards
        for entry in shard.rejected
    }
    assert rejected
    assert all("rejected 2 times" in reason for reason in rejected.values())
    with BlendSet(tmp_path / "set") as blends:
        stored = {made.index: made for made in blends}
    assert set(stored) | set(rejected) == set(range(24))
    assert not set(stored) & set(rejected)
    for index in range(24):
        is_fake = draw(bank, recipe, 0, index).fake is not None
        assert index not in rejected or is_fake
        if index in stored:
            assert stored[index].label == is_fake == bool(stored[index].xray_u8.any())


# -- 11: partner from the same video or another split ---------------------------------


def test_defect_11_no_partner_shares_the_video_the_person_or_another_split(
    tmp_path: Path,
) -> None:
    bank = make_bank(
        tmp_path,
        videos=7,
        frames=2,
        subjects={"v0": "ann", "v1": "ann", "v2": "bob", "v4": "cid", "v5": "dan"},
        splits={f"v{video}": "train" if video < 4 else "test" for video in range(7)},
        labels={"v3": 1},
    )
    faces = [bank[row] for row in range(len(bank))]
    pairs = set()
    for may in (Partner(candidates=99, top=9), Partner(search="exact", top=9)):
        recipe = Recipe(fake_share=1.0, partner=may)
        for index in range(120):
            drawn = draw(bank, recipe, 0, index)
            assert drawn.fake is not None
            below, above = faces[drawn.background], faces[drawn.fake.foreground]
            assert below.video != above.video
            assert below.split == above.split
            assert below.subject is None or below.subject != above.subject
            assert below.label == above.label == 0
            pairs.add((below.video, above.video))
    assert ("v0", "v2") in pairs
    assert ("v1", "v2") in pairs


# -- 12: a fixed partner, or "no match" -----------------------------------------------


def test_defect_12_partners_vary_and_their_absence_is_told(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "many", videos=8, frames=1)
    lenders: dict[int, Counter[int]] = {}
    recipe = load_recipe("bi", {"fake_share": 1})
    for index in range(400):
        drawn = draw(bank, recipe, 0, index)
        assert drawn.fake is not None
        lenders.setdefault(drawn.background, Counter())[drawn.fake.foreground] += 1
    assert set(lenders) == set(range(8))
    for used in lenders.values():
        assert len(used) == 5  # the recipe's partner.top
        assert max(used.values()) < 0.5 * used.total()
    alone = make_bank(tmp_path / "alone", videos=1, frames=3)
    with pytest.raises(Rejected, match="no drawn candidate may lend it a face"):
        sample(alone, BLENDS_ONLY, 0, 0)
    with pytest.raises(BadBank, match="of one video"):
        generate(alone, BLENDS_ONLY, tmp_path / "set", count=4)


# -- 13: workers share or repeat their random numbers ---------------------------------


def test_defect_13_sample_i_depends_on_seed_and_i_alone(bank: FaceBank) -> None:
    recipe = load_recipe("bi")
    forwards = {}
    for index in range(12):
        np.random.seed(0)  # noqa: NPY002 - what a forked worker inherits
        random.seed(0)
        forwards[index] = sample(bank, recipe, 0, index).digest()
    backwards = {index: sample(bank, recipe, 0, index).digest() for index in range(11, -1, -1)}
    assert forwards == backwards
    assert len(set(forwards.values())) == 12


def test_defect_13_no_two_samples_of_neighbouring_seeds_repeat_each_other(
    bank: FaceBank,
) -> None:
    recipe = load_recipe("bi", {"fake_share": 1})
    seen = [repr(draw(bank, recipe, seed, index)) for seed in range(12) for index in range(12)]
    assert len(set(seen)) == len(seen)


# -- 14: unreadable pictures replaced in silence --------------------------------------


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_defect_14_an_unreadable_crop_is_an_error_and_recorded_and_never_a_picture(
    damage: str, tmp_path: Path
) -> None:
    bank = make_bank(tmp_path / "bank", videos=2, frames=1)
    whole = sample(bank, BLENDS_ONLY, 0, 0)
    path = bank.root / bank.crop(0)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": data[:-200], "text": b"not a picture"}[damage])
    with pytest.raises(BadImage, match=path.name):
        sample(bank, BLENDS_ONLY, 0, 0)
    with pytest.raises(BadImage, match=path.name):
        replay(whole.record, bank)
    generate(bank, BLENDS_ONLY, tmp_path / "set", count=4, shard_size=4)
    (shard,) = Manifest.load(tmp_path / "set").shards
    assert shard.stored == 0  # both faces are in every blend of this bank
    assert [entry.index for entry in shard.rejected] == [0, 1, 2, 3]
    assert all(path.name in entry.reason for entry in shard.rejected)


# -- 21: a restart overwrites from zero, or deletes what is there ---------------------


def test_defect_21_a_restarted_job_keeps_what_it_has(bank: FaceBank, tmp_path: Path) -> None:
    out = tmp_path / "set"
    generate(bank, load_recipe("bi"), out, count=4, seed=1, shard_size=2)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.h5")}
    generate(bank, load_recipe("bi"), out, count=6, seed=1, shard_size=2)
    for path, (time, data) in before.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (time, data)
    with BlendSet(out) as blends:
        assert [made.index for made in blends] == list(range(6))


# -- 22: dead names and dead libraries ------------------------------------------------


def sources() -> list[Path]:
    return sorted((ROOT / "faceblend").rglob("*.py"))


def test_defect_22_no_removed_numpy_name_and_no_unmaintained_augmenter_is_used() -> None:
    removed = {"int", "float", "bool", "object", "str", "complex", "float_", "product", "in1d"}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert not (node.value.id == "np" and node.attr in removed), (path, node.lineno)
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            dead = {"imgaug", "albumentations", "albumentationsx"}
            assert not dead & {name.split(".")[0] for name in modules}, path


@pytest.mark.parametrize("flip", [{"flip.horizontal": 1}, {"flip.vertical": 1}])
def test_defect_22_no_array_of_a_sample_runs_backwards(
    flip: dict[str, Any], bank: FaceBank
) -> None:
    """torch.from_numpy refuses negative strides."""
    made = sample(bank, load_recipe("bi", {"fake_share": 1, **flip}), 0, 0)
    for array in (made.image, made.xray, made.alpha, made.landmarks):
        assert array is not None
        assert min(array.strides) > 0
        assert array.flags.c_contiguous


# -- 24: another algorithm when a file is missing -------------------------------------


def test_defect_24_what_is_not_there_is_an_error_and_never_replaced(
    bank: FaceBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingModel, match="is not there"):
        find_landmark_model(tmp_path / "model.dat")
    monkeypatch.setenv("FACEBLEND_LANDMARK_MODEL", str(tmp_path / "model.dat"))
    with pytest.raises(MissingModel, match="is not there"):
        find_landmark_model()
    with pytest.raises(BadRecipe, match="choose among"):
        load_recipe("bi", {"mask": {"convex-81": 1}})
    record = json.loads(sample(bank, BLENDS_ONLY, 0, 0).record)
    record["draw"]["fake"]["mask"]["kind"] = "convex-81"
    with pytest.raises(BadRecipe):
        replay(record, bank)


# -- 26: 257 px where the network takes 256 -------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_defect_26_every_preset_makes_256_px_of_everything(name: str, bank: FaceBank) -> None:
    labels = set()
    for index in range(6):
        made = sample(bank, load_recipe(name), 0, index)
        labels.add(made.label)
        assert made.alpha is not None
        shapes = {made.image.shape[:2], made.xray.shape, made.alpha.shape, made.xray_u8.shape}
        assert shapes == {(256, 256)}
    assert labels == {0, 1}


# -- 27: Python loops over pixels -----------------------------------------------------


def lines_run(face: Face, partner: Face, drawn: Draw) -> int:
    """How many lines of the library run for one sample."""
    lines = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        file = frame.f_code.co_filename
        if "faceblend" not in file or file.startswith("<"):  # what checks types has no file
            return None
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        render(face, partner, drawn)
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("name", preset_names())
def test_defect_27_no_line_runs_once_a_pixel(name: str, bank: FaceBank) -> None:
    recipe = load_recipe(name, {"fake_share": 1, "working.probability": 1})
    drawn = draw(bank, recipe, 0, 0)
    assert drawn.fake is not None
    face, partner = bank[drawn.background], bank[drawn.fake.foreground]
    sizes = [replace(drawn, working_size=size) for size in (128, 512)]
    for one in sizes:
        render(face, partner, one)  # what is worked out once a size
    small, large = (lines_run(face, partner, one) for one in sizes)
    assert 50 < small < 600  # a picture has 65,536 pixels
    assert abs(large - small) < 100
