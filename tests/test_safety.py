"""What the code must never do with a file of somebody else's: run what is in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceblend import codec, plainyaml

ROOT = Path(__file__).parent.parent

PICKLES = {
    "faceblend/jobs.py": "whether an error of our own survives the way out of a worker",
    "faceblend/cluster.py": "tasks of our own jobs, on their way to our own workers",
    "faceblend/generate.py": "a job on its way to our own workers",
    "faceblend/store/check.py": "between this process and the one that it starts to look",
    "xray_train/checkpoint.py": "the name of the error by which torch refuses objects",
}
"""Modules that may name pickle, and what for: never for a file that a user gives."""

NAMES = {
    "shelve": "keeps pickles",
    "marshal": "runs what is in it",
    "joblib": "keeps pickles",
    "dill": "keeps pickles",
    "cloudpickle": "keeps pickles",
}
CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "runs text",
    "os.popen": "runs text",
    "tempfile.mktemp": "others can make that file first",
    "torch.hub.load": "runs what it fetches",
    "pickle.load": "see PICKLES",
    "pickle.loads": "see PICKLES",
    "pd.read_pickle": "runs what is in it",
    "pandas.read_pickle": "runs what is in it",
    "yaml.load": "makes objects: safe_load, or plainyaml where others wrote it",
    "yaml.unsafe_load": "makes objects",
    "yaml.full_load": "makes objects",
    "yaml.load_all": "makes objects",
    "yaml.Loader": "makes objects",
    "yaml.FullLoader": "makes objects",
    "yaml.UnsafeLoader": "makes objects",
    "tarfile.extractall": "members leave their folder",
    "Image.open": "opens formats that nobody needs here; see ingest.photograph",
    "cv2.imread": "decodes before its size is known; see codec.size",
    "cv2.VideoCapture": "opens whatever it is given, URLs as well",
}
NEED = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "jinja2.Environment": ("autoescape", True),
}
LOADERS = {"yaml.safe_load": {"xray_train/demo.py"}}
"""Of YAML that may be our own alone: everything else goes through plainyaml."""


def modules() -> list[Path]:
    return [
        path
        for name in ("faceblend", "xray_train")
        for path in sorted((ROOT / name).rglob("*.py"))
    ]


def faults(source: str, where: str) -> Iterator[str]:
    """What of a module's text is not allowed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [one.name for one in node.names]
            named = named if isinstance(node, ast.Import) else [node.module or ""]
            for name in (one.split(".")[0] for one in named):
                if name in NAMES:
                    yield f"{name} {NAMES[name]}"
                if name in ("pickle", "_pickle") and where not in PICKLES:
                    yield "pickle is named in a module that is not in PICKLES"
        if isinstance(node, ast.Call):
            yield from _call(node, where)


def _call(node: ast.Call, where: str) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {one.arg: ast.unparse(one.value) for one in node.keywords}
    if name in CALLS and not (name.startswith("pickle.") and where in PICKLES):
        yield f"{name} {CALLS[name]}"
    if name in NEED:
        argument, value = NEED[name]
        if given.get(argument) != str(value):
            yield f"{name} without {argument}={value}"
    if given.get("shell", "False") != "False":
        yield f"{name} with a shell"
    if name.endswith(("extractall", "extract")) and "tar" in name and given.get("filter") is None:
        yield f"{name} without a filter"
    if name in LOADERS and where not in LOADERS[name]:
        yield f"{name} is plainyaml's"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_a_user_is_run(path: Path) -> None:
    assert not list(faults(path.read_text("utf-8"), path.relative_to(ROOT).as_posix()))


def test_every_module_with_pickles_is_there_and_names_them() -> None:
    for name in PICKLES:
        assert "pickle" in (ROOT / name).read_text("utf-8"), f"{name} needs no exception any more"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import shelve",
        "import joblib.memory",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, mmap_mode='r')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=anything)",
        "yaml.load(text, yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "yaml.safe_load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=anything)",
        "tempfile.mktemp()",
        "jinja2.Environment()",
        "tar.extractall(folder)",
        "cv2.imread(path)",
    ],
)
def test_what_is_not_allowed_is_found(source: str) -> None:
    assert list(faults(source, "faceblend/other.py"))


@pytest.mark.parametrize(
    "source",
    [
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "task.eval()",
        "subprocess.run(words)",
        "re.compile(text)",
    ],
)
def test_what_is_allowed_is_left_alone(source: str) -> None:
    assert not list(faults(source, "faceblend/other.py"))


def test_every_test_that_the_security_page_names_is_there() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`(tests/[^`]+)`", page)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_security_page_says_the_limits_that_hold() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    for limit in (codec.MAX_SIDE, plainyaml.MOST_TEXT):
        assert f"{limit:,}" in page
