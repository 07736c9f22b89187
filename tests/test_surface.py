"""What others build on: a change here is meant, and goes into the changelog."""

import inspect
from typing import Any

import pytest

import faceblend
from faceblend import generate, store
from faceblend.ingest import extract

NAMES = {
    "BlendSet", "FaceBank", "FaceblendError", "Recipe", "Sample", "__version__", "load_recipe",
    "render", "replay", "sample",
}  # fmt: skip
PARAMETERS: dict[Any, str] = {
    faceblend.sample: "bank recipe seed index",
    faceblend.replay: "record bank",
    faceblend.render: "background foreground draw",
    faceblend.load_recipe: "name_or_path overrides",
    faceblend.BlendSet: "path",
    faceblend.FaceBank.open: "path",
    faceblend.FaceBank.from_landmarks_json: "path root video",
    faceblend.FaceBank.to_landmarks_json: "self path",
    generate.generate: "bank recipe out count seed workers shard_size layout alpha executor",
    store.verify: "path bank replays",
    extract.extract: "source out group subject detector faces min_face crop_size crop_format "
    "align frames_per_video max_pixels offset num workers executor",
    extract.landmarks: "source out detector min_face max_pixels workers executor",
}
SAMPLE = ["index", "image", "xray", "alpha", "landmarks", "label", "record"]


def test_the_package_offers_these_names() -> None:
    assert set(faceblend.__all__) == NAMES
    for name in NAMES - {"__version__"}:
        assert inspect.getdoc(getattr(faceblend, name)), name


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__qualname__)
def test_each_takes_these_arguments_and_explains_itself(function: Any) -> None:
    assert " ".join(inspect.signature(function).parameters) == PARAMETERS[function]
    documented = inspect.getdoc(function) or ""
    assert documented
    for name in inspect.signature(function).parameters:
        if name not in ("self", "cls"):
            assert name in documented, f"{function.__qualname__} does not explain {name}"


def test_a_sample_has_these_fields() -> None:
    assert list(faceblend.Sample.__dataclass_fields__) == SAMPLE
