"""A blended clip holds still where its faces do, and is a function of its arguments."""

import json
import math
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image as Pillow

from faceblend import draw as drawing
from faceblend.bank import FaceBank, FaceRow
from faceblend.cli import BAD_INPUT, DONE, main
from faceblend.clips import Clip, clip, replay_clip, write_clips
from faceblend.clips.blended import ClipDraw, frame_draws, frame_faces
from faceblend.clips.preview import strip, write_preview
from faceblend.clips.runs import runs
from faceblend.errors import BadArgument, BadBank, BadRecipe, BadShard, Rejected
from faceblend.ingest.crop import crop_face
from faceblend.ops import NAMED, named, steady
from faceblend.ops.geometry import Layers
from faceblend.recipe import Recipe, build, load_recipe
from faceblend.sample import compose_frames, render
from tests.conftest import CROP, drawn_face, face_template, make_bank

CLIP = Path(__file__).parents[2] / "shared" / "faces" / "video" / "hamilton_clip.mp4"
SELF = {"partner.search": "self", "fake_share": 1.0}
PLAIN = {"resample.probability": 0, "jpeg.probability": 0, "working.probability": 0}


def video_bank(root: Path, plans: dict[str, dict[str, Any]]) -> FaceBank:
    """Videos of one drawn face each that stands, or moves over a larger picture."""
    rows = []
    for video, plan in plans.items():
        picture, points = drawn_face(plan.get("seed", 1))
        for frame in plan["frames"]:
            shift = np.array(plan["where"](frame) if "where" in plan else (0, 0), np.float64)
            crop = f"crops/{video}/{frame:06d}_0.png"
            path = root / crop
            path.parent.mkdir(parents=True, exist_ok=True)
            data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
            path.write_bytes(data)
            jitter = np.random.default_rng([frame, len(video)]).normal(0, 1, (68, 2))
            rows.append(
                FaceRow(
                    video=video,
                    frame=frame,
                    source=f"{video}.mp4",
                    crop=crop,
                    crc32=zlib.crc32(data),
                    subject=plan.get("subject"),
                    label=plan.get("label", 0),
                    landmarks=(points + plan.get("jitter", 0) * jitter).ravel().tolist(),
                    crop_to_frame=[1.0, 0.0, shift[0], 0.0, 1.0, shift[1]],
                )
            )
    return FaceBank.create(root, rows, crop_size=CROP, made_by={"detector": "drawn"})


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Two videos whose faces stand still and are found at the same place in every frame."""
    plans = {"a": {"frames": range(24)}, "b": {"frames": range(20), "seed": 2}}
    return video_bank(tmp_path_factory.mktemp("still"), plans)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Every frame of a real clip: four people, three cuts, one of them dancing."""
    from faceblend.ingest.extract import extract

    source = tmp_path_factory.mktemp("real")
    (source / "videos").mkdir()
    (source / "videos" / CLIP.name).symlink_to(CLIP)
    return extract(source / "videos", source / "bank", group="file", frames_per_video=0).bank


def recipe(**more: Any) -> Recipe:
    return load_recipe(
        "bi", {**SELF, **PLAIN, **{k.replace("__", "."): v for k, v in more.items()}}
    )


def drawn_of(made: Clip) -> ClipDraw:
    return build(ClipDraw, json.loads(made.record)["draw"], "record", complete=True)


def change(alphas: np.ndarray) -> np.ndarray:
    """Of each pair of neighbours, mean and 99th percentile of |change| where either is seen."""
    found = []
    for one, other in pairwise(alphas):
        moved = np.abs(other - one)[(one > 0) | (other > 0)]
        found.append((moved.mean(), np.percentile(moved, 99)))
    return np.array(found)


# -- the bound that docs/recipes.md states -----------------------------------------------

MEAN, HIGHEST = 0.03, 0.4  # of a clip
MEAN_PAIR, HIGHEST_PAIR = 0.06, 0.7  # of two neighbouring frames


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(not CLIP.exists(), reason="../shared/faces is not here")
def test_alpha_stays_under_the_bound_of_the_docs_on_a_real_clip(real: FaceBank) -> None:
    page = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text()
    for number in (MEAN, HIGHEST, MEAN_PAIR, HIGHEST_PAIR):
        assert f"{number:g}" in page
    drawn_from = load_recipe("bi", {**SELF, "flip.horizontal": 0})
    ours, rough, naive = [], [], []
    for index in range(24):
        made = clip(real, drawn_from, 1, index)
        found = change(made.alphas)
        assert found.mean(axis=0)[0] <= MEAN
        assert found.mean(axis=0)[1] <= HIGHEST
        assert found.max(axis=0)[0] <= MEAN_PAIR
        assert found.max(axis=0)[1] <= HIGHEST_PAIR
        ours.append(found[:, 0].mean())
        drawn = drawn_of(made)
        faces = [real[row] for row in drawn.background]
        rough.append([render(face, face, drawn.shared).alpha for face in faces])
        naive.append(
            [
                blended_alone(real, drawn_from, face.row, 100 * index + n)
                for n, face in enumerate(faces)
            ]
        )
    steadied, one_draw, independent = (
        np.mean(ours),
        np.mean([change(np.stack(each))[:, 0].mean() for each in rough]),
        np.mean([change(np.stack(each))[:, 0].mean() for each in naive]),
    )
    assert one_draw > 2 * steadied
    assert independent > 10 * steadied


def blended_alone(bank: FaceBank, drawn_from: Recipe, row: int, index: int) -> np.ndarray:
    for attempt in range(50):
        try:
            drawn = drawing.draw(bank, drawn_from, 9, index, attempt, among=np.array([row]))
            alpha = render(bank[row], bank[row], drawn).alpha
            assert alpha is not None
            return alpha
        except Rejected:
            continue
    raise AssertionError("no attempt gave a mask")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(not CLIP.exists(), reason="../shared/faces is not here")
def test_no_clip_of_a_real_video_goes_over_a_cut(real: FaceBank) -> None:
    frames = real.table["frame"].to_numpy()
    found = runs(real, 20)
    spans = {
        (found.frames[a], found.frames[b - 1]) for a, b in zip(found.first, found.end, strict=True)
    }
    # looked up in the film: other shots begin at frames 20 to 82 and 211 to 222
    for first, last in spans:
        assert not first < 50 < last
        assert not first < 215 < last
    assert runs(real, 1).longest > 64
    assert len(found.order) == len(frames)


# -- the way from landmarks to alpha -----------------------------------------------------


@pytest.mark.parametrize(("degree", "sigma"), [steady.PLACE, steady.SHAPE])
def test_the_smoother_is_a_weighted_polynomial_fit_around_every_frame(
    degree: int, sigma: float
) -> None:
    times = np.array([0.0, 1, 2, 3, 5, 6, 7, 8, 10])
    values = np.random.default_rng(0).normal(size=len(times))
    smooth = steady.smoother(times, degree, sigma) @ values
    for now, value in zip(times, smooth, strict=True):
        near = np.abs(times - now) <= 2 * sigma
        weight = np.exp(-((times[near] - now) ** 2) / (2 * sigma**2))
        # numpy squares its weights
        fit = np.polyfit(times[near], values[near], min(degree, near.sum() - 1), w=np.sqrt(weight))
        assert value == pytest.approx(np.polyval(fit, now), abs=1e-9)


def test_what_moves_as_a_polynomial_stays_where_it_is() -> None:
    times = np.arange(12.0)
    for degree, sigma in (steady.PLACE, steady.SHAPE):
        values = (times - 3) ** degree
        np.testing.assert_allclose(
            steady.smoother(times, degree, sigma) @ values, values, atol=1e-9
        )


def test_steadied_crops_show_what_a_smooth_camera_would_have_cut() -> None:
    # a face on a large picture, found with jitter, each crop the square around what was found
    rng = np.random.default_rng(3)
    picture = cv2.resize(
        rng.integers(30, 226, (40, 60, 3), dtype=np.uint8),
        (900, 600),
        interpolation=cv2.INTER_CUBIC,
    )
    frames = 15
    true = np.stack([face_template() * 0.6 + (150 + 12 * t, 80 + 3 * t) for t in range(frames)])
    found = (true + rng.normal(0, 1.5, true.shape)).astype(np.float32)
    cut = [crop_face(picture, points) for points in found]
    crops, inside, matrices = (np.stack([one[part] for one in cut]) for part in range(3))
    images, points = steady.steadied(crops, inside, matrices, np.arange(frames, dtype=float))
    # where the new crop lies in the frame follows from its landmarks, which are the smooth ones
    centres = steady.smoother(np.arange(frames, dtype=float), *steady.PLACE) @ found.mean(axis=1)
    linear = np.tensordot(
        steady.smoother(np.arange(frames, dtype=float), *steady.SHAPE), matrices[:, :, :2], 1
    )
    for t in range(frames):
        cut_at = np.column_stack([linear[t], centres[t] - linear[t] @ points[t].mean(axis=0)])
        seen = cv2.warpAffine(
            picture, cut_at, (CROP, CROP), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        there = np.s_[40:-40, 40:-40]
        assert np.abs(images[t][there].astype(int) - seen[there]).mean() < 3
    raw, smooth = (np.linalg.norm(np.diff(one, axis=0), axis=2).mean() for one in (inside, points))
    assert smooth < 0.35 * raw


# -- which frames ------------------------------------------------------------------------


def test_runs_end_at_gaps_cuts_and_other_people(tmp_path: Path) -> None:
    bank = video_bank(
        tmp_path,
        {
            "gap": {"frames": [0, 1, 2, 4, 5, 9]},
            "cut": {"frames": range(6), "where": lambda frame: (0, 0) if frame < 2 else (300, 0)},
            "fake": {"frames": range(8), "label": 1},
        },
    )
    assert lengths(bank, 1) == {"gap": [3, 2, 1], "cut": [2, 4]}
    assert lengths(bank, 2) == {"gap": [5, 1], "cut": [2, 4]}
    assert lengths(bank, 4) == {"gap": [6], "cut": [2, 4]}
    found = runs(bank, 2)
    names = bank.table["video"].to_pylist()
    assert {names[row] for row in found.middles(5)} == {"gap"}
    rows = found.around(int(found.middles(5)[0]), 5)
    assert bank.table["frame"].to_numpy()[rows].tolist() == [0, 1, 2, 4, 5]


def lengths(bank: FaceBank, step: int) -> dict[str, list[int]]:
    found, names = runs(bank, step), bank.table["video"].to_pylist()
    each: dict[str, list[int]] = {}
    for place in np.flatnonzero(np.arange(len(found.order)) == found.first):
        length = int(found.end[place] - place)
        each.setdefault(names[found.order[place]], []).append(length)
    return each


def test_two_faces_of_one_frame_that_nobody_tells_apart_are_in_no_clip(tmp_path: Path) -> None:
    rows = []
    for row in make_bank(tmp_path / "one", videos=1, frames=3).table.to_pylist():
        for twin in range(2 if row["frame"] == 1 else 1):
            crop = row["crop"].replace("_0.", f"_{twin}.")
            rows.append(
                FaceRow(
                    video="v",
                    frame=row["frame"],
                    source="v.mp4",
                    crop=crop,
                    landmarks=face_template().ravel().tolist(),
                )
            )
    bank = FaceBank.in_place(tmp_path, rows, crop_size=CROP)
    assert runs(bank, 1).longest == 1
    assert bank.table["frame"].to_numpy()[runs(bank, 1).order].tolist() == [0, 2]
    # they lend their face as a photograph does
    assert runs(bank, 1).around(1, 3) == [1, 1, 1]


def test_a_clip_longer_than_any_video_is_refused_in_words(still: FaceBank) -> None:
    with pytest.raises(BadBank, match="longest run of frames at most 1 apart has 24"):
        clip(still, recipe(), 0, 0, frames=25)
    for frames, step in ((0, 1), (4, 0)):
        with pytest.raises(BadArgument):
            clip(still, recipe(), 0, 0, frames=frames, step=step)


# -- a clip ------------------------------------------------------------------------------


def test_alpha_of_a_still_face_is_the_same_in_every_frame(still: FaceBank) -> None:
    made = clip(still, recipe(wander__amplitude=[0, 0]), 0, 0, frames=12)
    assert made.alphas.max() > 0.5
    assert np.ptp(made.alphas, axis=0).max() < 1e-3


def test_alpha_of_a_still_face_moves_by_no_more_than_its_waves(still: FaceBank) -> None:
    drawn_from = recipe(
        wander__amplitude=[0.002, 0.002], morph__erode=[1, 1], morph__dilate=[1, 1]
    )
    for index in range(4):
        made = clip(still, drawn_from, 0, index, frames=20)
        # each of the waves goes on by this much a frame, see docs/recipes.md
        step = 2 * 0.002 * math.sin(math.pi / 24) * CROP
        reach = step * (math.sqrt(2) + math.sqrt(2) / 2 + math.sqrt(2))
        for one, other in pairwise(made.alphas):
            union = ((one > 0) | (other > 0)).astype(np.uint8)
            (outline, *_), _ = cv2.findContours(union, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            bound = reach * cv2.arcLength(outline, True) / union.sum()
            assert 0 < change(np.stack([one, other]))[0, 0] < bound


def test_what_wanders_is_smooth_and_stays_within_its_amplitude(still: FaceBank) -> None:
    made = clip(still, recipe(wander__amplitude=[0.01, 0.01]), 3, 1, frames=20)
    drawn = drawn_of(made)
    assert drawn.wander is not None
    fakes = [one.fake for one in frame_draws(drawn)]
    assert all(fake is not None and fake.move is not None for fake in fakes)
    tracks = {
        "right": [fake.move.right for fake in fakes],  # type: ignore[union-attr]
        "down": [fake.move.down for fake in fakes],  # type: ignore[union-attr]
        "scale": [fake.move.scale - 1 for fake in fakes],  # type: ignore[union-attr]
        "turn": [math.radians(fake.move.turn) for fake in fakes],  # type: ignore[union-attr]
    }
    for number, track in enumerate(tracks.values()):
        period, phase = drawn.wander.waves[number]
        assert 24 <= period <= 96
        wanted = 0.01 * np.cos(2 * np.pi * (np.arange(20) / period + phase))
        np.testing.assert_allclose(track, wanted, atol=1e-9)
        assert np.abs(np.diff(track)).max() <= 2 * 0.01 * math.sin(math.pi / 24) + 1e-9
    grids = np.array([fake.mask.offsets for fake in fakes])  # type: ignore[union-attr]
    assert 0 < np.abs(np.diff(grids, axis=0)).max() <= 2 * 0.01 * math.sin(math.pi / 24) + 1e-9


def test_everything_else_is_drawn_once_a_clip(still: FaceBank) -> None:
    made = clip(still, load_recipe("bi", {"fake_share": 1.0}), 0, 4, frames=10)
    draws = frame_draws(drawn_of(made))
    fixed = [
        (
            replace(one, background=0, fake=None),
            replace(one.fake, foreground=0, move=None, mask=replace(one.fake.mask, offsets=None)),  # type: ignore[type-var, arg-type, union-attr]
        )
        for one in draws
    ]
    assert all(one == fixed[0] for one in fixed)
    assert [one.fake.foreground for one in draws] == drawn_of(made).foreground  # type: ignore[union-attr]


def test_noise_is_another_in_each_frame_and_of_one_strength(still: FaceBank) -> None:
    steps = [{"ops": {"noise": 1}}]
    made = clip(still, recipe(degrade=steps, wander__amplitude=[0, 0]), 0, 0, frames=4)
    done = [one.degrade[0].options for one in frame_draws(drawn_of(made))]
    assert len({one["rng"] for one in done}) == 4
    assert len({one["sigma"] for one in done}) == 1
    assert all((a != b).any() for a, b in pairwise(made.images))


def test_a_clip_is_a_function_of_its_arguments_and_replays(still: FaceBank) -> None:
    for index in range(6):
        drawn_from = load_recipe("bi", {"degrade": [{"ops": {"noise": 1}, "probability": 0.5}]})
        made = clip(still, drawn_from, 5, index, frames=6)
        assert clip(still, drawn_from, 5, index, frames=6).digest() == made.digest()
        assert replay_clip(made.record, still).digest() == made.digest()
        assert made.label == int(made.xrays.any())
        assert made.images.shape == (6, 256, 256, 3)
        assert made.landmarks.shape == (6, 68, 2)
        np.testing.assert_allclose(made.xrays, 4 * made.alphas * (1 - made.alphas), atol=1e-6)


def test_a_clip_of_one_frame(still: FaceBank) -> None:
    made = clip(still, recipe(), 0, 0, frames=1)
    assert made.images.shape == (1, 256, 256, 3)
    assert made.label == 1


def test_a_real_clip_takes_the_way_of_the_blended_ones(still: FaceBank) -> None:
    for index in range(6):
        fake, real = (
            drawn_of(clip(still, load_recipe("bi", {"fake_share": share}), 7, index, frames=3))
            for share in (1.0, 0.0)
        )
        assert real.foreground is None
        assert real.wander is None
        if fake.shared.fake is not None:
            assert replace(fake.shared, fake=None) == real.shared
            assert fake.background == real.background


def test_the_picture_is_the_mean_of_both_faces_by_alpha_in_every_frame(still: FaceBank) -> None:
    made = clip(still, load_recipe("bi", {"fake_share": 1.0, **PLAIN}), 1, 0, frames=5)
    drawn = drawn_of(made)
    pairs = frame_faces(still, drawn, 1)
    below = [Layers(image=face.image, alpha=None, landmarks=face.landmarks) for face, _ in pairs]
    above = [face for _, face in pairs if face is not None]
    fakes = [one.fake for one in frame_draws(drawn) if one.fake is not None]
    for blend in compose_frames(below, above, fakes):
        alpha = blend.alpha[blend.box][..., None].astype(np.float64)
        wanted = alpha * blend.foreground + (1 - alpha) * blend.background[blend.box]
        assert np.abs(blend.image[blend.box] - wanted).max() <= 0.5 + 1e-3
        outside = blend.alpha == 0
        assert (blend.image[outside] == blend.background[outside]).all()


def test_colours_are_matched_once_for_all_frames(still: FaceBank) -> None:
    asked: list[tuple[int, ...]] = []

    try:

        @named("color", "counted")
        def counted(
            foreground: np.ndarray, background: np.ndarray, mask: np.ndarray
        ) -> np.ndarray:
            assert foreground.shape[:2] == background.shape[:2] == mask.shape
            asked.append(mask.shape)
            return foreground

        clip(still, recipe(color={"counted": 1}), 0, 0, frames=7)
    finally:
        NAMED["color"].pop("counted", None)
    (shape,) = asked
    assert shape[0] % 7 == 0


def test_the_partner_is_a_video_where_it_is_long_enough_and_else_one_still_face(
    tmp_path: Path,
) -> None:
    plans = {"long": {"frames": range(12)}, "short": {"frames": range(5), "seed": 2}}
    bank = video_bank(tmp_path, plans)
    names = bank.table["video"].to_pylist()
    drawn_from = load_recipe("bi", {"fake_share": 1.0, "partner.top": 1})
    for index in range(8):
        for frames in (4, 10):
            drawn = drawn_of(clip(bank, drawn_from, 0, index, frames=frames))
            assert drawn.foreground is not None
            lender = names[drawn.foreground[0]]
            assert {names[row] for row in drawn.background} != {lender}
            longest = 12 if lender == "long" else 5
            moving = frames <= longest
            steps = {1} if moving else {0}
            assert set(np.diff(drawn.foreground).tolist()) == steps
            assert set(np.diff(drawn.background).tolist()) == {1}


def test_a_clip_degenerate_in_one_frame_is_drawn_again_and_then_rejected(still: FaceBank) -> None:
    with pytest.raises(Rejected, match="clip 0 of seed 0: rejected 8 times"):
        clip(still, recipe(reject__min_area=0.99), 0, 0, frames=3)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("background", [0, 2, 1]),
        ("background", []),
        ("foreground", [0, 5, 1]),
        ("foreground", None),
        ("foreground", [99, 99, 99]),
        ("wander.waves", [[24.0, 0.1]]),
        ("wander.amplitude", 3.0),
    ],
)
def test_a_damaged_record_is_refused(still: FaceBank, path: str, value: Any) -> None:
    content = json.loads(clip(still, recipe(), 0, 0, frames=3).record)
    *way, last = path.split(".")
    place = content["draw"]
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(BadRecipe):
        replay_clip(json.dumps(content), still)


def test_a_bank_that_does_not_tell_where_its_crops_stood_gives_clips_too(tmp_path: Path) -> None:
    rows = [
        FaceRow(video=r["video"], frame=r["frame"], source=r["source"], crop=r["crop"],
                landmarks=face_template().ravel().tolist())
        for r in make_bank(tmp_path, videos=2, frames=4).table.to_pylist()
    ]  # fmt: skip
    bank = FaceBank.in_place(tmp_path, rows, crop_size=CROP)
    made = clip(bank, recipe(fake_share=0), 0, 0, frames=4)
    rows_of = drawn_of(made).background
    shared = drawn_of(made).shared
    crops = [render(bank[row], None, shared).image for row in rows_of]
    assert (made.images == np.stack(crops)).all()


# -- on disk -----------------------------------------------------------------------------


def write(bank: FaceBank, out: Path, **more: Any) -> Any:
    given = {"count": 5, "frames": 4, "shard_size": 2, "seed": 1, **more}
    return write_clips(bank, load_recipe("bi"), out, **given)


def test_a_set_of_clips_is_written_and_continued(still: FaceBank, tmp_path: Path) -> None:
    whole = write(still, tmp_path / "whole")
    assert (whole.stored, whole.made, whole.kept) == (5, 3, 0)
    write(still, tmp_path / "cut", count=3)
    (tmp_path / "cut" / "clips-00000.h5").unlink()
    again = write(still, tmp_path / "cut")
    assert (again.stored, again.made, again.kept) == (5, 3, 0)
    assert write(still, tmp_path / "cut").kept == 3
    for one in sorted((tmp_path / "whole").iterdir()):
        assert one.read_bytes() == (tmp_path / "cut" / one.name).read_bytes(), one.name
    with h5py.File(tmp_path / "whole" / "clips-00001.h5") as file:
        made = clip(still, load_recipe("bi"), 1, 3, frames=4)
        assert (file["image"][1] == made.images).all()
        assert (file["xray"][1] == made.xrays_u8).all()
        assert file["label"][1] == made.label
        assert file["record"].asstr()[1] == made.record


def test_a_set_of_other_arguments_is_not_continued(still: FaceBank, tmp_path: Path) -> None:
    write(still, tmp_path / "set")
    with pytest.raises(BadArgument, match="another frames"):
        write(still, tmp_path / "set", frames=5)
    with pytest.raises(BadArgument, match="count"):
        write(still, tmp_path / "set", count=4)
    (tmp_path / "set" / "manifest.json").write_text("{")
    with pytest.raises(BadShard):
        write(still, tmp_path / "set")
    (tmp_path / "set" / "manifest.json").unlink()
    with pytest.raises(BadArgument, match="other files"):
        write(still, tmp_path / "set")


def test_the_command_writes_clips_and_a_preview(
    still: FaceBank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["clips", str(still.root), "--out", str(tmp_path / "set"), "--workers", "1"]
    words += ["--count", "4", "--recipe.fake_share", "1", "--preview", str(tmp_path / "a.gif")]
    assert main([*words, "--frames", "5"]) == DONE
    assert "4 clips stored" in capsys.readouterr().out
    with Pillow.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 5
    assert main([*words, "--frames", "99"]) == BAD_INPUT
    assert "longest run" in capsys.readouterr().err


def test_a_strip_shows_picture_xray_and_both(still: FaceBank, tmp_path: Path) -> None:
    made = clip(still, recipe(), 0, 0, frames=3)
    assert strip(made, panel=64).shape == (192, 192, 3)
    write_preview([made, made], tmp_path / "a.png", panel=64)
    with Pillow.open(tmp_path / "a.png") as picture:
        assert picture.size == (192, 388)
    with pytest.raises(BadArgument, match="neither"):
        write_preview([made], tmp_path / "a.mp4")
