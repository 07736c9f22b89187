"""Small real data for every system: people of ``../shared/faces``, and forgeries of them."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from faceblend import FaceBank, Sample, load_recipe, sample
from faceblend.bank import FaceRow
from faceblend.cli import main as faceblend

SHARED = Path(__file__).parents[3] / "shared" / "faces"
FORGED = 90  # forgeries; about as many as there are photographs
TESTED = ("john_simm", "tv_penny", "tv_raj", "paul_rudd", "carell", "kit_harington")
VALIDATED = ("john_shimkus", "tv_amy", "tv_stuart", "rose_leslie", "lennon", "adams")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    """Faces of 27 people, real and forged, split by person; shared, do not change its folder.

    A person is a video and a subject; the video of a forgery is ``forged/<background>-<number>``,
    its subject the background's. Splits are ``train``, ``val`` and ``test``.
    """
    if not SHARED.is_dir():
        pytest.skip("the photographs in ../shared/faces are not here")
    root = tmp_path_factory.mktemp("people")
    words = ["extract", str(SHARED / "people"), "--out", str(root / "all"), "--group", "^([^/]+)/"]
    assert faceblend([*words, "--crop-format", "jpg"]) == 0
    taken = FaceBank.open(root / "all")
    rows = [_real(taken, row) for row in range(len(taken))]
    rows = [row for row in rows if row.video != "expressions"]  # not one person
    for row in rows:
        _put(root / "reals", row.crop, (root / "all" / row.crop).read_bytes())
    made = {"detector": "of the tests"}
    reals = FaceBank.create(root / "reals", rows, crop_size=317, made_by=made)
    recipe = load_recipe("bi", {"crop.top": 0, "crop.left": 0, "crop.size": 317})
    recipe = replace(recipe, fake_share=1.0, flip=replace(recipe.flip, horizontal=0.0))
    for row in rows:
        _put(root / "both", row.crop, (root / "reals" / row.crop).read_bytes())
    for number in range(FORGED):
        rows.append(_forged(root / "both", reals, sample(reals, recipe, 0, number), number))
    return FaceBank.create(root / "both", rows, crop_size=317, made_by=made)


def _real(bank: FaceBank, row: int) -> FaceRow:
    values = bank.table.slice(row, 1).to_pylist()[0]
    person = values["video"]
    split = "test" if person in TESTED else "val" if person in VALIDATED else "train"
    points = bank.landmarks[row].ravel().tolist()
    return FaceRow(**{**values, "subject": person, "split": split, "landmarks": points})


def _forged(root: Path, reals: FaceBank, made: Sample, number: int) -> FaceRow:
    background = json.loads(made.record)["draw"]["background"]
    values = reals.table.slice(background, 1).to_pylist()[0]
    video = f"forged/{values['video']}-{number:03d}"
    bgr = cv2.cvtColor(made.image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    crop = f"crops/{video}/000000_0.jpg"
    _put(root, crop, data)
    changes = {
        "video": video, "frame": 0, "label": 1, "source": f"{video}.jpg", "crop": crop,
        "crc32": zlib.crc32(data), "landmarks": made.landmarks.ravel().tolist(),
    }  # fmt: skip
    return FaceRow(**{**values, **changes})


def _put(root: Path, crop: str, data: bytes) -> None:
    path = root / crop
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
