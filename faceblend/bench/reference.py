"""The straightforward way to a blend, which the benchmark times beside the library's.

The way of the published generator that the recipe ``algohunt`` takes its numbers from: compare
the landmarks with 5,000 candidates one after the other, keep the mask as a picture of three equal
channels, bend it with scikit-image's piecewise-affine warp, measure the distance of every pixel
of every channel to the mask's convex hull by itself, and resize in floating point. The numbers
are the library's own draw, so both make the same kinds of fakes of the same faces.
"""

import cv2
import numpy as np
from skimage.transform import PiecewiseAffineTransform, resize, warp

from faceblend.bank import FaceBank
from faceblend.draw import Draw, FakeDraw, draw, stream
from faceblend.errors import BadArgument
from faceblend.face import Image
from faceblend.ops import NAMED
from faceblend.recipe import Recipe

Sample = tuple[np.ndarray, np.ndarray]
"""Picture and X-ray."""


def straightforward(bank: FaceBank, recipe: Recipe, seed: int, index: int) -> Sample:
    """One fake; slow on purpose, and in nothing that a first version would not do.

    Args:
        bank: the real faces.
        recipe: whose fakes are unaligned, feathered and matched by the mean: ``algohunt``.
        seed, index: of the sample.
    """
    one = Recipe.from_dict({**recipe.to_dict(), "fake_share": 1.0, "partner": {"candidates": 64}})
    drawn = draw(bank, one, seed, index)
    fake = drawn.fake
    assert fake is not None
    row = drawn.background
    candidates = stream(seed, index, "candidates").integers(
        len(bank.reals), size=recipe.partner.candidates
    )
    partner = _partner(bank, row, bank.reals[candidates])
    background, foreground = bank.image(row), bank.image(partner)
    return _degraded(*_blended(bank, drawn, fake, background, foreground), drawn)


def _partner(bank: FaceBank, row: int, candidates: np.ndarray) -> int:
    here, best, chosen = bank.landmarks[row], np.inf, row
    for candidate in candidates:
        if bank.videos[candidate] == bank.videos[row]:
            continue
        apart = float(np.linalg.norm(bank.landmarks[candidate] - here, axis=1).sum())
        if apart < best:
            best, chosen = apart, int(candidate)
    return chosen


def _blended(
    bank: FaceBank, drawn: Draw, fake: FakeDraw, background: Image, foreground: Image
) -> Sample:
    whole = background.shape[0]
    size = drawn.working_size or whole
    below, above = (_resized(one, size) for one in (background, foreground))
    landmarks = (bank.landmarks[drawn.background] + 0.5) * (size / whole) - 0.5
    region = NAMED["mask"][fake.mask.kind](landmarks.astype(np.float32), size)
    mask = np.repeat(region[..., np.newaxis], 3, axis=2).astype(np.float64)
    if fake.mask.offsets is not None:
        mask = _bent(mask, np.asarray(fake.mask.offsets))
    hard = (mask > 0.5).astype(np.uint8)
    if fake.mask.erode > 1:
        hard = cv2.erode(hard, np.ones((fake.mask.erode, fake.mask.erode), np.uint8))
    elif fake.mask.dilate > 1:
        hard = cv2.dilate(hard, np.ones((fake.mask.dilate, fake.mask.dilate), np.uint8))
    if fake.mask.width is None:
        raise BadArgument("reference", "has no two-stage edge", "time another recipe, or drop it")
    alpha = _feathered(hard, fake.mask.width)
    matched = above.astype(np.float64)
    inside = hard[..., 0] > 0
    if inside.any():
        matched += below[inside].mean(axis=0) - above[inside].mean(axis=0)
    matched = np.clip(matched, 0, 255)
    mixed = alpha * matched + (1 - alpha) * below
    grown = _resized(np.rint(mixed).astype(np.uint8), whole)
    alpha = resize(alpha, (whole, whole), anti_aliasing=size > whole)[..., 0]
    return grown, 4 * alpha * (1 - alpha)


def _bent(mask: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    size = mask.shape[0]
    rows, columns = offsets.shape[:2]
    across, down = np.meshgrid(np.linspace(0, size - 1, columns), np.linspace(0, size - 1, rows))
    points = np.column_stack([across.ravel(), down.ravel()])
    moved = points + offsets.reshape(-1, 2) * size
    transform = PiecewiseAffineTransform.from_estimate(points, moved)
    return np.asarray(warp(mask, transform, output_shape=mask.shape))


def _feathered(mask: np.ndarray, share: float) -> np.ndarray:
    alpha = np.zeros(mask.shape)
    rows, columns, _ = np.nonzero(mask)
    if not len(rows):
        return alpha
    hull = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))
    width = share * max(int(np.ptp(rows)), int(np.ptp(columns)), 1)
    for y, x in zip(rows, columns, strict=True):
        alpha[y, x] = cv2.pointPolygonTest(hull, (float(x), float(y)), True) / width
    return np.clip(alpha, 0, 1)


def _degraded(image: np.ndarray, xray: np.ndarray, drawn: Draw) -> Sample:
    whole = image.shape[0]
    if drawn.resample is not None:
        nearest = drawn.resample.down == "nearest"
        small = resize(
            image,
            (drawn.resample.size, drawn.resample.size),
            order=0 if nearest else 1,
            anti_aliasing=not nearest,
            preserve_range=True,
        )
        image = _resized(np.rint(small).astype(np.uint8), whole)
    if drawn.jpeg is not None:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, drawn.jpeg])
        image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    window = drawn.crop
    part = np.s_[window.top : window.top + window.size, window.left : window.left + window.size]
    image, xray = image[part], xray[part]
    if drawn.flip_horizontal:
        image, xray = image[:, ::-1], xray[:, ::-1]
    return np.ascontiguousarray(image), np.rint(255 * xray).astype(np.uint8)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    if size == image.shape[0]:
        return image
    smaller = size < image.shape[0]
    resized = resize(image, (size, size), anti_aliasing=smaller, preserve_range=True)
    return np.asarray(np.rint(resized).astype(np.uint8))
