"""Degradations change values, not geometry, and see RGB as RGB."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from faceblend.face import Face
from faceblend.ops import degrade

PATCHES = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 210)}


@pytest.mark.parametrize("name", sorted(PATCHES))
def test_jpeg_of_a_pure_patch_keeps_its_colour(name: str) -> None:
    patch = np.full((64, 64, 3), PATCHES[name], np.uint8)
    assert np.abs(degrade.jpeg(patch, 60).astype(int) - patch).max() <= 6


def test_jpeg_spends_its_bits_as_pillow_does_on_the_same_rgb(faces: list[Face]) -> None:
    """Coding BGR as if it were RGB weighs the channels wrongly, and shows here."""
    image = faces[0].image
    ours = degrade.jpeg(image, 75).astype(int)

    def pillow(pixels: np.ndarray) -> np.ndarray:
        buffer = BytesIO()
        Pillow.fromarray(pixels).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
        return np.asarray(Pillow.open(buffer)).astype(int)

    right = np.abs(ours - pillow(image)).mean()
    swapped = np.abs(ours - pillow(np.ascontiguousarray(image[..., ::-1]))[..., ::-1]).mean()
    assert right < 0.5 < swapped


def test_lower_quality_loses_more(faces: list[Face]) -> None:
    image = faces[0].image.astype(int)
    losses = [np.abs(degrade.jpeg(faces[0].image, q) - image).mean() for q in (100, 80, 60, 20)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


@pytest.mark.parametrize("down", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [40, 63, 80, 119])
def test_resampling_neither_shifts_nor_darkens(down: str, size: int) -> None:
    y, x = np.indices((120, 120))
    ramp = np.repeat((x + y)[..., None], 3, axis=2).astype(np.uint8)
    back = degrade.resample(ramp, size, down)
    apart = back[20:100, 20:100].astype(int) - ramp[20:100, 20:100]
    # a shift of a quarter pixel along both axes would read 0.5
    assert abs(apart.mean()) < 0.25


def test_resampling_to_the_same_size_changes_nothing(faces: list[Face]) -> None:
    np.testing.assert_array_equal(degrade.resample(faces[0].image, 317, "nearest"), faces[0].image)


@pytest.mark.parametrize(
    ("top", "left", "size"),
    [(60, 30, 256), (0, 0, 317), (61, 61, 256), (14, 15, 33), (48, 16, 16)],
)
@pytest.mark.parametrize("quality", [60, 95])
def test_a_window_is_coded_as_if_the_whole_picture_were(
    top: int, left: int, size: int, quality: int, faces: list[Face]
) -> None:
    image = faces[0].image
    rows, columns = slice(top, top + size), slice(left, left + size)
    part = degrade.jpeg_window(image, quality, rows, columns)
    np.testing.assert_array_equal(part, degrade.jpeg(image, quality)[rows, columns])
