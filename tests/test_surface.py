"""What others build on: a change here is meant, and goes into the changelog."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest

import faceblend
from faceblend import clips, convert, doctor, export, forged, generate, splits, store, videos
from faceblend.audit import again, diversity, leaks, measure, overlap, page, report, shortcuts
from faceblend.ingest import extract, index
from faceblend.recipe import preset_names

ROOT = Path(__file__).parent.parent
NAMES = {
    "BlendSet", "FaceBank", "FaceblendError", "Recipe", "Sample", "__version__", "load_recipe",
    "render", "replay", "sample",
}  # fmt: skip
PARAMETERS: dict[Any, str] = {
    faceblend.sample: "bank recipe seed index",
    faceblend.replay: "record bank",
    faceblend.render: "background foreground draw",
    faceblend.load_recipe: "name_or_path overrides=None",
    faceblend.BlendSet: "path * cache=None",
    faceblend.BlendSet.pixels: "position",
    faceblend.BlendSet.images: "rows",
    faceblend.BlendSet.xrays: "rows",
    faceblend.FaceBank.open: "path",
    faceblend.FaceBank.from_landmarks_json: "path root video='prefix'",
    faceblend.FaceBank.in_place: "root rows * crop_size",
    faceblend.FaceBank.create: "path rows * crop_size made_by",
    faceblend.FaceBank.to_landmarks_json: "path",
    faceblend.FaceBank.image: "row",
    faceblend.FaceBank.crop: "row",
    faceblend.FaceBank.read_crop: "row",
    faceblend.FaceBank.decode: "",
    faceblend.FaceBank.index: "split",
    faceblend.FaceBank.neighbours_path: "top",
    faceblend.FaceBank.capped_path: "top cap",
    generate.generate: "bank recipe out * count seed=0 workers=1 shard_size=1000 layout='hdf5' "
    "alpha=False check='deep' executor=None",
    store.verify: "path * bank=None replays=0",
    doctor.doctor: "path * workers=1 min_size=64 distance=8 detector=None",
    index.index: "dataset root * fakes=None workers=1",
    splits.split: "videos rule * official=None shares=(0.1, 0.1)",
    leaks.leaks: "videos",
    overlap.overlap: "paths banks=() * distance=8",
    measure.measure_set: "blends bank=None * workers=1",
    measure.measure_recipe: "bank recipe * count seed=0 workers=1",
    shortcuts.shortcuts: "measured * seed=0",
    videos.read_videos: "path root=None",
    videos.write_videos: "videos path",
    extract.extract: "source out * group='folder' subject=None labels='all' split='all' "
    "detector=None faces='largest' min_face=40 crop_size=317 crop_scale=1.6173469387755102 "
    "crop_format='png' align='none' frames_per_video=32 max_pixels=128000000 offset=0 num=None "
    "check='deep' workers=1 executor=None",
    extract.landmarks: "source out * detector=None min_face=40 max_pixels=128000000 workers=1 "
    "executor=None",
    convert.open_bank: "path crops=None",
    convert.export_bank: "bank out to * size=None dataset=None videos=None workers=1",
    export.export_set: "path out to * image='png' shard_size=None bank=None workers=1",
    forged.xray_of: "fake out * original=None mask=None how=None",
    forged.xray_of_ffpp: "root out * how=None originals=False workers=1",
    clips.clip: "bank recipe seed index frames=16 step=1",
    clips.replay_clip: "record bank",
    clips.write_clips: "bank recipe out * count frames=16 step=1 seed=0 shard_size=16 workers=1",
    diversity.diversity: "records * faces=None where='record'",
    diversity.diversity_of: "path bank=None",
    diversity.chao_shen: "counts",
    report.inspect: "path out=None * count=24 panel=160",
    page.page: "path out=None * bank=None count=48 panel=256 licence=None",
    again.again: "path index bank out=None",
    report.contact_sheet: "samples * panel=160 columns=3",
    report.overlay: "image xray",
}
MEMBERS = {
    faceblend.BlendSet: "close finished images labels pixels records xrays",
    faceblend.FaceBank: "capped_path create crop crop_path decode decoded forehead_of"
    " from_landmarks_json image in_place index neighbours neighbours_path open read_crop segment"
    " sums to_landmarks_json",
    faceblend.Sample: "digest xray_u8",
}
FIELDS = {
    faceblend.Sample: "index image xray alpha landmarks label record",
    clips.Clip: "index images xrays alphas landmarks label record",
    generate.GenerateReport: "stored rejected made kept failed seconds",
    export.SetReport: "out samples pieces kept rejected failed",
    store.VerifyReport: "problems samples shards replayed",
    report.Inspection: "contact_sheet histograms samples",
    again.Again: "index label image_off xray_off",
}


def takes(function: Any) -> str:
    """The parameters as one would call them, whatever this Python makes of annotations."""
    words = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is Parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        bare = parameter.default is Parameter.empty
        words.append(parameter.name if bare else f"{parameter.name}={parameter.default!r}")
    return " ".join(word for word in words if word != "self")


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def test_the_package_offers_these_names() -> None:
    assert set(faceblend.__all__) == NAMES
    for name in NAMES - {"__version__"}:
        assert inspect.getdoc(getattr(faceblend, name)), name


def test_these_recipes_come_with_it() -> None:
    assert sorted(preset_names()) == ["algohunt", "bi", "i2g", "mix", "sbi", "seed"]


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__qualname__)
def test_each_takes_these_arguments_and_explains_itself(function: Any) -> None:
    assert takes(function) == PARAMETERS[function]
    documented = inspect.getdoc(function) or ""
    assert documented
    arguments = set(inspect.signature(function).parameters) - {"self", "position", "rows", "row"}
    for name in arguments:
        assert name in documented, f"{function.__qualname__} does not explain {name}"


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_each_class_has_these_members(kind: type) -> None:
    fields = getattr(kind, "__dataclass_fields__", {})
    there = sorted(name for name in dir(kind) if not name.startswith("_") and name not in fields)
    assert " ".join(there) == MEMBERS[kind]


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_each_result_has_these_fields(kind: Any) -> None:
    assert " ".join(kind.__dataclass_fields__) == FIELDS[kind]


def test_everything_public_says_what_it_is() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for package in ("faceblend", "xray_train")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in public(ast.parse(path.read_text()))
        if not ast.get_docstring(node)
    ]
    assert not silent


def test_the_map_of_the_package_names_every_room() -> None:
    named = set(re.findall(r"\w+", faceblend.__doc__ or ""))
    rooms = {path.stem for path in (ROOT / "faceblend").iterdir() if path.suffix == ".py"}
    rooms |= {path.parent.name for path in (ROOT / "faceblend").glob("*/__init__.py")}
    assert rooms - {"__init__", "__main__"} <= named


def test_the_library_and_its_help_are_there_at_once() -> None:
    code = (
        "import sys, time\n"
        "import faceblend, faceblend.cli\n"
        "heavy = {'torch', 'dlib', 'matplotlib', 'skimage', 'scipy', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(time.process_time())\n"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    # measured: 0.35 s, most of it numpy, pyarrow and OpenCV; of this process alone
    assert float(told.stdout) < 3
