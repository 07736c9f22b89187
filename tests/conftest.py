"""Shared fixtures, and array types checked while the tests run."""

import zlib
from pathlib import Path
from typing import Any

# before anything imports the packages: their shapes and dtypes are checked from here on
from jaxtyping import install_import_hook

install_import_hook(
    ["faceblend", "xray_train"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

import cv2
import numpy as np
import pytest

from faceblend.bank import FaceBank, FaceRow
from faceblend.draw import noise
from faceblend.errors import MissingModel
from faceblend.face import Face, Image, Landmarks
from faceblend.ingest.detect import DlibHog
from faceblend.ops import NAMED, Choice, Seed

CROP = 317


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs dlib and its landmark model where they are not installed."""
    try:
        DlibHog().name  # noqa: B018 - finds both, or raises
        reason = ""
    except MissingModel as error:
        reason = str(error)
    for item in items:
        if reason and item.get_closest_marker("model"):
            item.add_marker(pytest.mark.skip(reason=reason))


def face_template() -> Landmarks:
    """A plausible frontal face of 68 points where crops of 317 px have theirs."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([158 - 98 * np.cos(turn), 145 + 145 * np.sin(turn)])
    brow = np.linspace(0, np.pi, 5)
    left_brow = np.column_stack([np.linspace(72, 142, 5), 126 - 10 * np.sin(brow)])
    ridge = np.column_stack([np.full(4, 158), np.linspace(148, 200, 4)])
    nostrils = np.column_stack([np.linspace(138, 178, 5), [211, 216, 219, 216, 211]])
    around = np.linspace(np.pi, -np.pi, 7)[:6]
    left_eye = np.column_stack([110 + 18 * np.cos(around), 150 - 8 * np.sin(around)])
    lips = np.linspace(np.pi, -np.pi, 13)[:12]
    outer = np.column_stack([158 + 37 * np.cos(lips), 241 - 15 * np.sin(lips)])
    inside = np.linspace(np.pi, -np.pi, 9)[:8]
    inner = np.column_stack([158 + 29 * np.cos(inside), 241 - 5 * np.sin(inside)])

    def mirrored(points: np.ndarray) -> np.ndarray:
        return np.column_stack([316 - points[:, 0], points[:, 1]])

    right_eye = mirrored(left_eye)[[3, 2, 1, 0, 5, 4]]
    parts = [jaw, left_brow, mirrored(left_brow)[::-1], ridge, nostrils, left_eye, right_eye]
    return np.concatenate([*parts, outer, inner]).astype(np.float32)


def drawn_face(seed: int, *, jitter: float = 3.0) -> tuple[Image, Landmarks]:
    """A smooth coloured picture with a face's layout, and its landmarks."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (12, 12, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (CROP, CROP), interpolation=cv2.INTER_CUBIC)
    points = face_template() + rng.normal(0, jitter, (68, 2)).astype(np.float32)
    skin = rng.integers(90, 220, 3).tolist()
    cv2.fillConvexPoly(image, cv2.convexHull(np.rint(points).astype(np.int32)), skin)
    for part in (range(36, 42), range(42, 48), range(48, 60)):
        outline = np.rint(points[list(part)]).astype(np.int32)
        cv2.fillConvexPoly(image, outline, rng.integers(0, 90, 3).tolist())
    grain = rng.normal(0, 4, image.shape)
    return np.clip(image + grain, 0, 255).round().astype(np.uint8), points


def some_options(kind: str, name: str, seed: int = 0) -> dict[str, Any]:
    """Values that an operation of ``NAMED`` takes: the most of each span, the first word."""
    values: dict[str, Any] = {}
    for option, told in NAMED[kind][name].options.items():
        if isinstance(told, Seed):
            values[option] = noise(seed)
        else:
            values[option] = told.words[0] if isinstance(told, Choice) else told.high
    return values


def make_bank(
    root: Path,
    *,
    videos: int = 4,
    frames: int = 3,
    suffix: str = ".png",
    subjects: dict[str, str] | None = None,
    splits: dict[str, str] | None = None,
    labels: dict[str, int] | None = None,
) -> FaceBank:
    """A bank of drawn faces: ``videos`` videos ``v0, v1, ...`` of ``frames`` faces each."""
    rows = []
    for video in range(videos):
        for frame in range(frames):
            name = f"v{video}"
            image, points = drawn_face(1000 * video + frame)
            crop = f"crops/{name}/{frame:06d}_0{suffix}"
            path = root / crop
            path.parent.mkdir(parents=True, exist_ok=True)
            data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
            path.write_bytes(data)
            rows.append(
                FaceRow(
                    video=name,
                    frame=frame,
                    subject=(subjects or {}).get(name),
                    split=(splits or {}).get(name),
                    label=(labels or {}).get(name, 0),
                    source=f"{name}.mp4",
                    crop=crop,
                    crc32=zlib.crc32(data),
                    box=[60.0, 100.0, 260.0, 300.0],
                    score=1.0,
                    landmarks=points.ravel().tolist(),
                    crop_to_frame=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                )
            )
    return FaceBank.create(root, rows, crop_size=CROP, made_by={"detector": "drawn"})


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Four videos of three drawn faces; shared, so do not change its folder."""
    return make_bank(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="session")
def faces(bank: FaceBank) -> list[Face]:
    """Every face of the shared bank."""
    return [bank[row] for row in range(len(bank))]
