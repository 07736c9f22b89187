"""The alpha of a blend whose alpha is known is found again, roughly at its edge."""

from typing import Literal

import cv2
import numpy as np
import pytest

from faceblend.draw import FakeDraw, MaskDraw, Operation
from faceblend.face import Face, Image
from faceblend.ops.forged import SHARE, alpha_from_difference, alpha_from_mask
from faceblend.ops.geometry import Layers
from faceblend.ops.mask import feather, hull
from faceblend.ops.xray import xray
from faceblend.sample import Blend, compose

Soften = Literal["feather", "blur"]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Sum of minima over sum of maxima: the IoU of soft masks."""
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def blend(
    faces: list[Face], soften: Soften, width: float, pair: tuple[int, int] = (0, 4)
) -> Blend:
    background, foreground = faces[pair[0]], faces[pair[1]]
    mask = MaskDraw(
        kind="hull",
        options={},
        offsets=None,
        warp=None,
        erode=1,
        dilate=1,
        soften=soften,
        width=width,
        stages=None,
        of_hull=False,
    )
    drawn = FakeDraw(
        foreground=pair[1],
        align="similarity",
        move=None,
        mask=mask,
        color=Operation(name="none", options={}),
        blend=Operation(name="alpha", options={}),
        opacity=1.0,
        min_area=0.0,
    )
    layers = Layers(image=background.image, alpha=None, landmarks=background.landmarks)
    return compose(layers, foreground, drawn)


def compressed(image: Image, quality: int) -> Image:
    """As a codec would hand it out: JPEG has the blocks and the noise of a video's frame."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


@pytest.mark.parametrize("quality", [None, 90, 60])
@pytest.mark.parametrize(
    ("soften", "width", "bound"),
    [("feather", 0.15, 0.7), ("feather", 0.08, 0.6), ("blur", 0.02, 0.6)],
)
def test_the_xray_from_the_difference_overlaps_the_true_one(
    faces: list[Face], soften: Soften, width: float, bound: float, quality: int | None
) -> None:
    found = []
    for pair in ((0, 4), (3, 7), (6, 9), (9, 1)):
        made = blend(faces, soften, width, pair)
        fake, original = made.image, made.background
        if quality is not None:
            fake, original = compressed(fake, quality), compressed(original, quality)
        alpha = alpha_from_difference(fake, original)
        found.append((overlap(alpha, made.alpha), overlap(xray(alpha), xray(made.alpha))))
    regions, xrays = np.median(found, axis=0)
    assert regions > 0.9
    assert xrays > bound


def test_the_width_of_the_transition_is_measured(faces: list[Face]) -> None:
    narrow, wide = (blend(faces, "feather", width) for width in (0.03, 0.2))
    areas = [
        float(xray(alpha_from_difference(made.image, made.background)).sum())
        for made in (narrow, wide)
    ]
    assert areas[1] > 2 * areas[0]


def test_a_width_that_is_given_is_used(faces: list[Face]) -> None:
    made = blend(faces, "feather", 0.05)
    thin, thick = (
        alpha_from_difference(made.image, made.background, share=share) for share in (0.02, 0.2)
    )
    assert overlap(thin > 0, thick > 0) > 0.9
    assert (thin == 1).sum() > 2 * (thick == 1).sum()


def test_alpha_stays_a_weight(faces: list[Face]) -> None:
    made = blend(faces, "blur", 0.02)
    for level in (0, 4, 100):
        alpha = alpha_from_difference(made.image, made.background, level=level)
        assert alpha.dtype == np.float32
        assert alpha.min() >= 0
        assert alpha.max() <= 1


def test_equal_pictures_have_no_alpha(faces: list[Face]) -> None:
    image = faces[0].image
    for taken in (False, True):
        assert not alpha_from_difference(image, image, hull=taken).any()


def test_noise_below_the_level_is_no_forgery(faces: list[Face]) -> None:
    noise = np.random.default_rng(0).integers(-4, 5, faces[0].image.shape)
    noisy = np.clip(faces[0].image + noise, 0, 255).astype(np.uint8)
    assert not alpha_from_difference(noisy, faces[0].image, level=8).any()


def test_the_largest_difference_wins_and_its_holes_are_filled() -> None:
    original = np.full((200, 300, 3), 90, np.uint8)
    fake = original.copy()
    cv2.circle(fake, (100, 100), 60, (140, 90, 90), -1)
    cv2.circle(fake, (100, 100), 12, (90, 90, 90), -1)  # where both agree
    cv2.circle(fake, (260, 30), 10, (255, 255, 255), -1)
    alpha = alpha_from_difference(fake, original)
    assert alpha[100, 100] == 1
    assert not alpha[:60, 230:].any()
    rows, columns = np.nonzero(alpha > 0.5)
    assert abs(rows.mean() - 100) < 2
    assert abs(columns.mean() - 100) < 2


def test_a_region_beside_the_border_is_not_drawn_to_it() -> None:
    original = np.full((200, 200, 3), 90, np.uint8)
    fake = original.copy()
    cv2.circle(fake, (100, 130), 60, (140, 90, 90), -1)  # 10 px above the lower border
    alpha = alpha_from_difference(fake, original)
    assert not alpha[195:].any()
    fake[:] = original
    cv2.circle(fake, (100, 190), 60, (140, 90, 90), -1)  # cut off by it
    assert alpha_from_difference(fake, original)[199, 100] == 1


def test_a_change_of_one_channel_alone_is_found() -> None:
    # grey hides it: blue weighs a tenth there
    original = np.full((120, 120, 3), 90, np.uint8)
    fake = original.copy()
    fake[40:80, 40:80, 2] += 12
    assert alpha_from_difference(fake, original)[60, 60] == 1


def test_the_hull_fills_what_the_outline_leaves_out() -> None:
    original = np.zeros((200, 200, 3), np.uint8)
    fake = original.copy()
    fake[30:170, 30:60] = 80
    fake[140:170, 30:170] = 80
    inside = (120, 90)  # between the arms of the L
    assert alpha_from_difference(fake, original)[inside] == 0
    assert alpha_from_difference(fake, original, hull=True)[inside] > 0


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (0, 120, 0)])
def test_a_shipped_mask_of_any_colour_becomes_its_feathered_region(
    faces: list[Face], colour: tuple[int, int, int]
) -> None:
    region = hull(faces[0].landmarks, 317)
    mask = region[..., None] * np.array(colour, np.uint8)
    assert overlap(alpha_from_mask(mask), feather(region, SHARE)) > 0.99
    assert overlap(alpha_from_mask(mask.max(axis=2), share=0.3), feather(region, 0.3)) > 0.99


def test_the_ringing_of_a_compressed_mask_stays_outside(faces: list[Face]) -> None:
    region = hull(faces[0].landmarks, 317)
    mask = compressed(np.repeat(region[..., None] * np.uint8(255), 3, axis=2), 30)
    assert (mask[~region] > 0).sum() > 100
    assert overlap(alpha_from_mask(mask), feather(region, SHARE)) > 0.95


def test_an_empty_mask_has_no_alpha() -> None:
    assert not alpha_from_mask(np.zeros((50, 70), np.uint8)).any()
    assert not alpha_from_mask(np.full((50, 70, 3), 60, np.uint8)).any()


def test_alpha_has_the_pictures_shape_whatever_that_is() -> None:
    assert alpha_from_mask(np.zeros((50, 70, 3), np.uint8)).shape == (50, 70)
    black = np.zeros((33, 81, 3), np.uint8)
    assert alpha_from_difference(black, black).shape == (33, 81)


def test_the_arithmetic_changes_none_of_its_arguments(faces: list[Face]) -> None:
    made = blend(faces, "feather", 0.1)
    before = made.image.copy(), made.background.copy()
    alpha_from_difference(made.image, made.background, hull=True)
    assert np.array_equal(made.image, before[0])
    assert np.array_equal(made.background, before[1])
