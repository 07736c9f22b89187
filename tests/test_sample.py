"""A sample is a pure function of bank, recipe, seed and index, and its target is true."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank
from faceblend.draw import Draw, draw
from faceblend.errors import BadArgument, BadBank, BadRecipe, FaceblendError, Rejected
from faceblend.face import Face
from faceblend.ops import geometry
from faceblend.ops.geometry import Layers
from faceblend.recipe import (
    Crop,
    Deform,
    Flip,
    Jpeg,
    Morph,
    Recipe,
    Reject,
    Resample,
    Working,
    load_recipe,
    preset_names,
)
from faceblend.sample import (
    Sample,
    compose,
    finish,
    render,
    replay,
    sample,
    unblended,
    versions,
)
from tests.conftest import make_bank

STILL = Recipe(
    fake_share=1.0,
    working=Working(probability=0.0),
    resample=Resample(probability=0.0),
    jpeg=Jpeg(probability=0.0),
    flip=Flip(horizontal=0.0),
)
"""Blends, and nothing before or after: what is left moves no pixel."""

Samples = Callable[[str], list[Sample]]


@pytest.fixture(scope="module")
def samples(bank: FaceBank) -> Samples:
    """The first ten samples of seed 0 of a preset."""
    made: dict[str, list[Sample]] = {}

    def of(name: str) -> list[Sample]:
        if name not in made:
            made[name] = [sample(bank, load_recipe(name), 0, index) for index in range(10)]
        return made[name]

    return of


def assert_same(one: Sample, other: Sample) -> None:
    for part in ("image", "xray", "alpha", "landmarks"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)
    assert (one.index, one.label, one.record) == (other.index, other.label, other.record)
    assert one.digest() == other.digest()


def drawn_of(made: Sample) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(made.record)["draw"]
    return values


# -- pure ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_the_same_arguments_give_the_same_bytes_in_any_order(
    name: str, bank: FaceBank, samples: Samples
) -> None:
    recipe = load_recipe(name)
    for index in (7, 2, 9, 2):
        assert_same(sample(bank, recipe, 0, index), samples(name)[index])


def test_another_process_makes_the_same_bytes_with_any_number_of_threads(
    bank: FaceBank, samples: Samples
) -> None:
    code = (
        "import sys, cv2\n"
        "from faceblend import FaceBank, load_recipe, sample\n"
        "cv2.setNumThreads(int(sys.argv[2]))\n"
        "bank, recipe = FaceBank.open(sys.argv[1]), load_recipe('bi')\n"
        "for index in reversed(range(10)):\n"
        "    print(sample(bank, recipe, 0, index).digest())\n"
    )
    expected = [made.digest() for made in reversed(samples("bi"))]
    for threads in ("1", "4"):
        process = subprocess.run(
            [sys.executable, "-c", code, str(bank.root), threads],
            check=True,
            capture_output=True,
            text=True,
        )
        assert process.stdout.split() == expected


def test_an_open_bank_and_one_opened_again_give_the_same(bank: FaceBank, samples: Samples) -> None:
    again = FaceBank.open(bank.root)
    assert_same(sample(again, load_recipe("bi"), 0, 3), samples("bi")[3])


def test_seeds_and_indices_are_told_apart(bank: FaceBank) -> None:
    made = [sample(bank, STILL, s, i).digest() for s, i in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len(set(made)) == 4


def test_a_sample_has_the_promised_shapes_and_one_line_of_record(samples: Samples) -> None:
    for made in samples("bi"):
        assert made.image.shape == (256, 256, 3)
        assert made.image.dtype == np.uint8
        assert made.alpha is not None
        assert made.xray.shape == made.alpha.shape == (256, 256)
        assert made.landmarks.shape == (68, 2)
        assert made.image.flags.c_contiguous
        assert made.alpha.flags.c_contiguous
        assert "\n" not in made.record


def test_a_sample_owns_its_pixels(bank: FaceBank) -> None:
    made = sample(bank, STILL, 0, 0)
    made.image[:] = 0
    made.alpha[:] = 0  # type: ignore[index]
    assert sample(bank, STILL, 0, 0).image.any()


@pytest.mark.parametrize("part", ["image", "xray", "label", "record"])
def test_the_digest_covers(part: str, samples: Samples) -> None:
    made = samples("bi")[0]
    value = getattr(made, part)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flat[1234] = 1 - (value.flat[1234] > 0)
    elif part == "label":
        value = 1 - value
    else:
        value += " "
    assert replace(made, **{part: value}).digest() != made.digest()


def test_the_record_names_both_faces_and_all_that_decided_the_bytes(
    bank: FaceBank, samples: Samples
) -> None:
    recipe = load_recipe("bi")
    for made in samples("bi"):
        content = json.loads(made.record)
        assert content["background"] == bank.crop(content["draw"]["background"])
        fake = content["draw"]["fake"]
        assert (fake is None) == (made.label == 0) == (content["foreground"] is None)
        if fake is not None:
            assert content["foreground"] == bank.crop(fake["foreground"])
        assert content["recipe_digest"] == recipe.digest()
        assert content["bank"] == bank.fingerprint
        assert content["versions"] == versions()
        assert (content["seed"], content["index"]) == (0, made.index)


# -- replay --------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_a_record_replays_to_the_same_bytes(name: str, bank: FaceBank, samples: Samples) -> None:
    made = samples(name)
    assert {one.label for one in made} == {0, 1}
    for one in made[:6]:
        assert_same(replay(one.record, bank), one)
    assert_same(replay(json.loads(made[0].record), bank), made[0])


def test_a_redrawn_sample_replays_as_it_was_drawn_at_last(bank: FaceBank) -> None:
    recipe = replace(STILL, reject=Reject(min_area=0.3, attempts=50))
    made = [sample(bank, recipe, 0, index) for index in range(6)]
    attempts = [json.loads(one.record)["attempt"] for one in made]
    assert max(attempts) > 0
    for one in made:
        assert_same(replay(one.record, bank), one)


def test_another_bank_is_refused_with_both_fingerprints(samples: Samples, tmp_path: Path) -> None:
    other = make_bank(tmp_path, videos=2, frames=1)
    record = samples("bi")[0].record
    with pytest.raises(BadBank, match="was made from") as caught:
        replay(record, other)
    assert other.fingerprint[:16] in str(caught.value)
    assert json.loads(record)["bank"][:16] in str(caught.value)


def test_a_record_of_other_versions_warns_and_renders(bank: FaceBank, samples: Samples) -> None:
    made = samples("bi")[0]
    content = json.loads(made.record)
    content["versions"]["opencv"] = "4.10.0"
    with pytest.warns(UserWarning, match="made with .*4.10.0.* pixels may differ"):
        again = replay(content, bank)
    np.testing.assert_array_equal(again.image, made.image)
    assert json.loads(again.record)["versions"]["opencv"] == "4.10.0"  # history is not rewritten


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "3", "null", '"record"', '{"index": 1}'])
def test_text_that_is_no_record_is_refused(text: str, bank: FaceBank) -> None:
    with pytest.raises(BadRecipe, match="give a sample's record"):
        replay(text, bank)


DAMAGE: list[tuple[str, Any]] = [
    ("format", 1),
    ("index", "first"),
    ("index", None),
    ("draw", None),
    ("draw", 3),
    ("draw.background", 10**6),
    ("draw.background", -1),
    ("draw.working_size", 0),
    ("draw.working_size", 10**6),
    ("draw.jpeg", 0),
    ("draw.jpeg", 101),
    ("draw.jpeg", "high"),
    ("draw.fake.min_area", "some"),
    ("draw.resample", {"size": 0, "down": "nearest"}),
    ("draw.resample", {"size": 99, "down": "cubic"}),
    ("draw.crop.top", 200),
    ("draw.crop.top", -1),
    ("draw.crop.size", 0),
    ("draw.extra", 1),
    ("draw.fake", 3),
    ("draw.fake.foreground", 10**6),
    ("draw.fake.foreground", -1),
    ("draw.fake.align", "tps"),
    ("draw.fake.color.name", "sepia"),
    ("draw.fake.blend.name", "poison"),
    ("draw.fake.mask.kind", "beard"),
    ("draw.fake.mask.erode", 4),
    ("draw.fake.mask.dilate", 0),
    ("draw.fake.mask.width", -0.5),
    ("draw.fake.mask.width", 1e9),
    ("draw.fake.mask.soften", "smear"),
    ("draw.fake.mask.offsets", [[[0.0, 0.0]]]),
    ("draw.fake.mask.offsets", [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0]]]),
    ("draw.fake.mask.offsets", [[[float("nan"), 0.0]] * 2] * 2),
]


@pytest.fixture(scope="module")
def fake_record(bank: FaceBank) -> str:
    return sample(bank, STILL, 0, 0).record


@pytest.mark.parametrize(("dotted", "value"), DAMAGE)
def test_a_damaged_record_is_refused_in_words(
    dotted: str, value: Any, bank: FaceBank, fake_record: str
) -> None:
    content = json.loads(fake_record)
    *path, last = dotted.split(".")
    inner = content
    for step in path:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(BadRecipe) as caught:
        replay(content, bank)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["index", "bank", "versions", "draw", "format"])
def test_a_record_that_lacks_a_part_is_refused(
    missing: str, bank: FaceBank, fake_record: str
) -> None:
    content = json.loads(fake_record)
    del content[missing]
    with pytest.raises(BadRecipe):
        replay(content, bank)


@pytest.mark.parametrize("missing", ["background", "working_size", "fake", "crop"])
def test_a_draw_that_lacks_a_number_is_refused(
    missing: str, bank: FaceBank, fake_record: str
) -> None:
    content = json.loads(fake_record)
    del content["draw"][missing]
    with pytest.raises(BadRecipe):
        replay(content, bank)


# -- the target ----------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_a_reals_xray_is_zero_everywhere_and_a_fakes_shows_its_boundary(
    name: str, samples: Samples
) -> None:
    for made in samples(name):
        assert made.alpha is not None
        if made.label == 0:
            assert not made.xray.any()
            assert not made.alpha.any()
            assert not made.xray_u8.any()
        else:
            assert made.xray.max() >= 0.5
            fake = drawn_of(made)["fake"]
            assert (made.alpha > 0.5 * fake["opacity"]).mean() >= fake["min_area"]


@pytest.mark.parametrize("name", preset_names())
def test_the_xray_is_four_alpha_one_minus_alpha_of_the_samples_own_alpha(
    name: str, samples: Samples
) -> None:
    for made in samples(name):
        assert made.alpha is not None
        exact = 4 * made.alpha.astype(np.float64) * (1 - made.alpha.astype(np.float64))
        np.testing.assert_allclose(made.xray, exact, atol=3e-7)
        assert np.abs(made.xray_u8 / 255 - exact).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("name", preset_names())
def test_before_anything_degrades_it_the_image_is_alpha_f_plus_one_minus_alpha_b(
    name: str, bank: FaceBank
) -> None:
    recipe = replace(load_recipe(name), fake_share=1.0)
    for index in range(8):
        drawn = draw(bank, recipe, 0, index)
        assert drawn.fake is not None
        below = working(bank[drawn.background], drawn)
        blend = compose(below, bank[drawn.fake.foreground], drawn.fake)
        assert blend.image.shape[0] == (drawn.working_size or bank.crop_size)
        weight = blend.alpha[blend.box][..., None].astype(np.float64)
        exact = weight * blend.foreground + (1 - weight) * blend.background[blend.box]
        assert np.abs(blend.image[blend.box] - exact).max() <= 0.504
        # half a level of bias would be a trace for a detector
        assert abs((blend.image[blend.box] - exact).mean()) < 0.02
        outside = np.ones(blend.alpha.shape, bool)
        outside[blend.box] = False
        assert not blend.alpha[outside].any()
        np.testing.assert_array_equal(blend.image[outside], below.image[outside])
        np.testing.assert_array_equal(blend.background, below.image)


def working(face: Face, drawn: Draw) -> Layers:
    layers = Layers(image=face.image, alpha=None, landmarks=face.landmarks)
    return layers if drawn.working_size is None else geometry.resize(layers, drawn.working_size)


def pair(bank: FaceBank, drawn: Draw) -> tuple[Layers, Layers]:
    """The fake of a draw, and the real that the same draw makes without its foreground."""
    assert drawn.fake is not None
    face, partner = bank[drawn.background], bank[drawn.fake.foreground]
    return render(face, partner, drawn), render(face, None, replace(drawn, fake=None))


def test_the_other_half_of_a_pair_differs_where_it_was_blended_alone(bank: FaceBank) -> None:
    recipe = load_recipe(
        "bi", {"fake_share": 1.0, "jpeg.probability": 0, "resample.probability": 0}
    )
    for index in range(6):
        blend = sample(bank, recipe, 3, index)
        real = unblended(blend, bank)
        assert (real.label, float(real.xray.max())) == (0, 0.0)
        # what is blended at its working size is grown back: a few pixels around it change, too
        far = cv2.dilate((blend.alpha > 0).astype(np.uint8), np.ones((15, 15))) == 0
        np.testing.assert_array_equal(real.image[far], blend.image[far])
        assert (real.image != blend.image).any()
        assert replay(real.record, bank).digest() == real.digest()


def test_a_real_sample_has_no_other_half(bank: FaceBank) -> None:
    real = sample(bank, load_recipe("bi", {"fake_share": 0.0}), 0, 0)
    with pytest.raises(BadArgument, match="sample 0: is real; give a blended one"):
        unblended(real, bank)


def test_where_alpha_is_zero_a_fake_is_the_real_of_the_same_draw_to_the_byte(
    bank: FaceBank,
) -> None:
    """Reals take the same way through working size, window and mirror."""
    recipe = replace(load_recipe("bi"), fake_share=1.0, resample=STILL.resample, jpeg=STILL.jpeg)
    for index in range(12):
        fake, real = pair(bank, draw(bank, recipe, 1, index))
        assert fake.alpha is not None
        untouched = fake.alpha == 0
        np.testing.assert_array_equal(fake.image[untouched], real.image[untouched])
        np.testing.assert_array_equal(fake.landmarks, real.landmarks)
        changed = (fake.image != real.image).any(axis=2)
        assert changed[fake.alpha > 0.9].mean() > 0.9


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_a_flip_moves_image_alpha_and_xray_together(
    horizontal: bool, vertical: bool, bank: FaceBank
) -> None:
    drawn = draw(bank, STILL, 0, 1)
    still, _ = pair(bank, drawn)
    flipped, real = pair(bank, replace(drawn, flip_horizontal=horizontal, flip_vertical=vertical))
    assert still.alpha is not None
    assert flipped.alpha is not None
    turn = np.s_[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    np.testing.assert_array_equal(flipped.image, still.image[turn])
    np.testing.assert_array_equal(flipped.alpha, still.alpha[turn])
    # the mask is lopsided, so one that stayed behind would not cover what changed
    changed = (flipped.image != real.image).any(axis=2)
    assert not (changed & (flipped.alpha == 0)).any()
    assert (still.alpha != still.alpha[::-1]).any()
    assert (still.alpha != still.alpha[:, ::-1]).any()


@pytest.mark.parametrize(("top", "left", "size"), [(0, 0, 317), (60, 30, 256), (61, 47, 200)])
def test_a_crop_moves_image_alpha_and_landmarks_together(
    top: int, left: int, size: int, bank: FaceBank
) -> None:
    drawn = draw(bank, STILL, 0, 1)
    whole, _ = pair(bank, replace(drawn, crop=Crop(top=0, left=0, size=317)))
    window, real = pair(bank, replace(drawn, crop=Crop(top=top, left=left, size=size)))
    assert whole.alpha is not None
    assert window.alpha is not None
    cut = np.s_[top : top + size, left : left + size]
    np.testing.assert_array_equal(window.image, whole.image[cut])
    np.testing.assert_array_equal(window.alpha, whole.alpha[cut])
    np.testing.assert_array_equal(window.landmarks, whole.landmarks - np.float32([left, top]))
    changed = (window.image != real.image).any(axis=2)
    assert not (changed & (window.alpha == 0)).any()


def test_landmarks_are_the_backgrounds_in_pixels_of_the_sample(bank: FaceBank) -> None:
    recipe = replace(load_recipe("bi"), flip=Flip(horizontal=0.0))
    for index in range(6):
        made = sample(bank, recipe, 0, index)
        own = bank.landmarks[drawn_of(made)["background"]] - np.float32([30, 60])
        np.testing.assert_allclose(made.landmarks, own, atol=1e-3)


@pytest.mark.parametrize("size", [(318, 400), (420, 900)])
def test_faces_may_be_blended_larger_than_their_crops(
    size: tuple[int, int], bank: FaceBank
) -> None:
    """Growing and shrinking alpha must not push a weight past one."""
    recipe = replace(STILL, working=Working(size=size), deform=Deform(probability=0.0))
    for index in range(30):
        made = sample(bank, recipe, 1, index)
        assert made.alpha is not None
        assert 0 <= made.alpha.min() <= made.alpha.max() <= 1


# -- colours through the end ---------------------------------------------------------


@pytest.mark.parametrize("colour", [(220, 20, 20), (20, 200, 30), (20, 30, 210)])
def test_a_pure_patch_keeps_its_colour_through_jpeg_and_resampling(
    colour: tuple[int, int, int], bank: FaceBank
) -> None:
    patch = Layers(
        image=np.full((317, 317, 3), colour, np.uint8), alpha=None, landmarks=bank[0].landmarks
    )
    recipe = load_recipe("bi", {"jpeg.probability": 1, "resample.probability": 1})
    for index in range(6):
        done = finish(patch, draw(bank, recipe, 0, index))
        assert np.abs(done.image.astype(int) - colour).max() <= 6


def test_degradation_changes_the_picture_and_never_the_target(bank: FaceBank) -> None:
    for index in range(4):
        drawn = draw(bank, STILL, 0, index)
        clean, _ = pair(bank, drawn)
        worse, _ = pair(bank, replace(drawn, jpeg=60))
        assert (clean.image != worse.image).mean() > 0.5
        np.testing.assert_array_equal(clean.alpha, worse.alpha)


# -- degenerate masks ----------------------------------------------------------------


def test_a_mask_that_is_too_small_is_drawn_again_until_it_is_not(bank: FaceBank) -> None:
    recipe = replace(STILL, reject=Reject(min_area=0.3, attempts=50))
    for index in range(6):
        made = sample(bank, recipe, 0, index)
        attempt = json.loads(made.record)["attempt"]
        assert made.label == 1
        assert made.alpha is not None
        assert (made.alpha > 0.5).mean() >= 0.3
        for earlier in range(attempt):
            drawn = draw(bank, recipe, 0, index, earlier)
            with pytest.raises(Rejected, match="outweighs the background"):
                pair(bank, drawn)


def test_after_every_attempt_it_is_given_up_with_the_reason(bank: FaceBank) -> None:
    recipe = replace(STILL, reject=Reject(min_area=0.95, attempts=3))
    with pytest.raises(Rejected) as caught:
        sample(bank, recipe, 4, 2)
    message = str(caught.value)
    assert "sample 2 of seed 4: rejected 3 times" in message
    assert "the foreground outweighs the background in" in message
    assert "reject.attempts" in message


def test_no_more_draws_are_made_than_the_recipe_allows(
    bank: FaceBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def watched(*arguments: Any) -> Draw:
        attempts.append(arguments[-1])
        return draw(*arguments)

    monkeypatch.setattr("faceblend.draw.draw", watched)
    with pytest.raises(Rejected):
        sample(bank, replace(STILL, reject=Reject(min_area=0.95, attempts=5)), 0, 0)
    assert attempts == [0, 1, 2, 3, 4]


def test_a_fake_that_cannot_be_made_never_becomes_a_real(bank: FaceBank) -> None:
    recipe = replace(load_recipe("bi"), reject=Reject(min_area=0.3, attempts=2))
    outcomes = set()
    for index in range(40):
        is_fake = draw(bank, recipe, 0, index).fake is not None
        try:
            made = sample(bank, recipe, 0, index)
        except Rejected:
            assert is_fake
            outcomes.add("rejected")
        else:
            assert made.label == is_fake
            assert bool(made.xray.any()) == is_fake
            outcomes.add("fake" if is_fake else "real")
    assert outcomes == {"rejected", "fake", "real"}


def classic(folder: Path, landmarks: list[Any]) -> FaceBank:
    """Six drawn faces of three videos with the landmarks of a failed detector."""
    entries = {}
    rng = np.random.default_rng(0)
    for position in range(6):
        name = f"{position // 2:03d}_{position % 2:04d}.png"
        picture = rng.integers(0, 256, (317, 317, 3), dtype=np.uint8)
        (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        entries[name] = landmarks
    (folder / "landmarks.json").write_text(json.dumps(entries))
    return FaceBank.from_landmarks_json(folder / "landmarks.json", folder)


@pytest.mark.parametrize("align", ["none", "similarity", "affine"])
@pytest.mark.parametrize(
    "landmarks",
    [
        pytest.param([[0.0, 0.0]] * 68, id="all zero"),
        pytest.param([[158.0, 158.0]] * 68, id="one point"),
        pytest.param([[1000.0 + i, 900.0 + i * i % 7] for i in range(68)], id="off the picture"),
    ],
)
def test_landmarks_that_are_no_face_are_rejected_in_words(
    landmarks: list[Any], align: Any, tmp_path: Path
) -> None:
    bank = classic(tmp_path, landmarks)
    recipe = replace(load_recipe("bi"), fake_share=1.0, align=align)
    for index in range(6):
        with pytest.raises(Rejected, match="last because"):
            sample(bank, recipe, 0, index)


@pytest.mark.parametrize("align", ["none", "similarity", "affine"])
def test_landmarks_on_a_line_give_a_true_fake_or_a_refusal_in_words(
    align: Any, tmp_path: Path
) -> None:
    bank = classic(tmp_path, [[100.0 + i, 100.0 + i] for i in range(68)])
    recipe = replace(load_recipe("bi"), fake_share=1.0, align=align)
    for index in range(12):
        with contextlib.suppress(Rejected):  # and no other error
            made = sample(bank, recipe, 0, index)
            assert made.alpha is not None
            assert made.label == 1
            assert (made.alpha > 0.5).mean() >= recipe.reject.min_area
            assert made.xray.max() >= 0.5


def test_a_mask_that_erodes_away_is_told_as_empty(bank: FaceBank) -> None:
    recipe = replace(STILL, morph=Morph(erode_probability=1.0, erode=(501, 501)))
    with pytest.raises(Rejected, match="mask came out empty"):
        sample(bank, recipe, 0, 0)


def test_a_mask_without_a_boundary_in_the_window_is_rejected(bank: FaceBank) -> None:
    recipe = replace(
        STILL,
        morph=Morph(erode_probability=0.0, dilate=(401, 401)),
        crop=Crop(top=140, left=140, size=40),
    )
    with pytest.raises(Rejected, match="no blending boundary lies inside"):
        sample(bank, recipe, 0, 0)


# -- misuse --------------------------------------------------------------------------


def test_a_draw_of_a_fake_needs_a_foreground(faces: list[Face], bank: FaceBank) -> None:
    with pytest.raises(ValueError, match="needs a foreground"):
        render(faces[0], None, draw(bank, STILL, 0, 0))


def test_a_bank_without_reals_is_refused(tmp_path: Path) -> None:
    forged = make_bank(tmp_path, videos=2, frames=1, labels={"v0": 1, "v1": 1})
    with pytest.raises(BadBank, match="holds no real face"):
        sample(forged, STILL, 0, 0)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_a_seed_beyond_64_bits_is_refused(seed: int, index: int, bank: FaceBank) -> None:
    with pytest.raises((OverflowError, FaceblendError)):
        sample(bank, STILL, seed, index)


def test_a_crop_that_cannot_be_read_is_an_error_and_not_another_face(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, videos=2, frames=1)
    drawn = draw(bank, STILL, 0, 0)
    (bank.root / bank.crop(drawn.background)).write_bytes(b"")
    with pytest.raises(FaceblendError, match="bytes have changed"):
        sample(bank, STILL, 0, 0)
