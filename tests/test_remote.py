"""A set at a URL is the set that a folder would hold, whatever the network does."""

import errno
import importlib.util
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from faceblend.audit.page import page
from faceblend.audit.report import inspect
from faceblend.bank import FaceBank
from faceblend.cli import main
from faceblend.errors import BadArgument, BadShard
from faceblend.export import export_set
from faceblend.generate import GenerateReport, generate
from faceblend.recipe import Recipe, load_recipe
from faceblend.store import BlendSet, Manifest, check, remote, verify
from faceblend.store.place import Folder, place_at
from faceblend.store.scratch import PREFIX, Scratch

fsspec = pytest.importorskip("fsspec", reason="sets at URLs need faceblend[cloud]")
from fsspec.implementations.local import LocalFileSystem  # noqa: E402 - it was asked for first

COUNT, SEED, SHARD = 10, 3, 4


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("bi")


@pytest.fixture(scope="module")
def local(bank: FaceBank, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten samples in three shards in a folder; copy it before changing it."""
    out = tmp_path_factory.mktemp("local") / "set"
    make(bank, recipe, out)
    return out


@pytest.fixture
def there(local: Path, tmp_path: Path) -> Path:
    """A copy, to be read and changed through a URL."""
    return Path(shutil.copytree(local, tmp_path / "there"))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing may be left there, and nobody waits for a network."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    yield folder
    assert [path.name for path in folder.iterdir() if path.name.startswith(PREFIX)] == []


class Unreliable(LocalFileSystem):
    """Folders of this disk behind a network that does what a test says."""

    protocol = ("unreliable",)
    asked: ClassVar[Counter[str]] = Counter()
    trouble: Callable[[str, str], None] | None = None
    cut: Callable[[str], bool] | None = None

    def _meets(self, what: str, path: str) -> None:
        name = path.rpartition("/")[2]
        name = name[1:].rpartition(".")[0].rpartition(".")[0] if name.startswith(".") else name
        type(self).asked[f"{what} {name}"] += 1
        if type(self).trouble is not None:
            type(self).trouble(what, name)

    def ls(self, path: str, detail: bool = False, **options: Any) -> Any:
        self._meets("ls", path)
        return super().ls(path, detail=detail, **options)

    def get_file(self, path1: str, path2: str, callback: Any = None, **options: Any) -> Any:
        self._meets("get", path1)
        return super().get_file(path1, path2, callback, **options)

    def put_file(self, path1: str, path2: str, callback: Any = None, **options: Any) -> Any:
        self._meets("put", path2)
        super().put_file(path1, path2, callback, **options)
        if type(self).cut is not None and type(self).cut(path2):
            os.truncate(self._strip_protocol(path2), 1000)

    def mv(self, path1: str, path2: str, **options: Any) -> Any:  # type: ignore[override]
        self._meets("mv", path2)
        return super().mv(path1, path2, **options)


@pytest.fixture
def network() -> Iterator[type[Unreliable]]:
    """The file system behind unreliable://; every test starts with a sound one."""
    fsspec.register_implementation("unreliable", Unreliable, clobber=True)
    Unreliable.asked, Unreliable.trouble, Unreliable.cut = Counter(), None, None
    yield Unreliable
    Unreliable.trouble = Unreliable.cut = None


def make(bank: FaceBank, recipe: Recipe, out: str | Path, **options: Any) -> GenerateReport:
    return generate(bank, recipe, out, count=COUNT, seed=SEED, shard_size=SHARD, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def digests(blends: BlendSet) -> list[str]:
    return [blends[position].digest() for position in range(len(blends))]


def failing(kind: Exception, *, times: int = 1_000, of: str = "put shard-00001.h5") -> Any:
    """Trouble of one kind for so many attempts at one thing."""
    left = [times]

    def trouble(what: str, name: str) -> None:
        if f"{what} {name}" == of and left[0] > 0:
            left[0] -= 1
            raise kind

    return trouble


# -- the same bytes ------------------------------------------------------------------------


def test_a_set_in_memory_is_that_of_a_folder(bank: FaceBank, recipe: Recipe, local: Path) -> None:
    url = "memory://same/set"
    report = make(bank, recipe, url)
    assert (report.stored, report.made, report.kept, report.failed) == (10, 3, 0, ())
    files = fsspec.filesystem("memory")
    found = {Path(name).name: files.cat_file(name) for name in files.find("/same/set")}
    assert found == contents(local)
    assert verify(url, bank=bank, replays=4).problems == ()
    again = make(bank, recipe, url)
    assert (again.made, again.kept) == (0, 3)
    with BlendSet(url) as blends, BlendSet(local) as expected:
        assert digests(blends) == digests(expected)
        assert list(blends.records()) == list(expected.records())


@pytest.mark.slow
def test_spawned_workers_make_the_same_files(
    bank: FaceBank, recipe: Recipe, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = make(bank, recipe, "file://new/set", workers=2)  # relative, for what it is worth
    assert report.failed == ()
    assert contents(tmp_path / "new" / "set") == contents(local)


def test_a_larger_count_adds_to_a_set_at_a_url(
    bank: FaceBank, recipe: Recipe, there: Path, tmp_path: Path
) -> None:
    options = {"count": 13, "seed": SEED, "shard_size": SHARD}
    report = generate(bank, recipe, f"file://{there}", **options)
    assert (report.made, report.kept) == (2, 2)
    generate(bank, recipe, tmp_path / "at once", **options)
    assert contents(there) == contents(tmp_path / "at once")


# -- what goes wrong is made good ----------------------------------------------------------


@pytest.mark.parametrize("damage", ["missing", "truncated", "unlisted", "half uploaded"])
def test_only_what_is_missing_is_made_again(
    bank: FaceBank, recipe: Recipe, local: Path, there: Path, damage: str
) -> None:
    shard = there / "shard-00001.h5"
    if damage == "missing":
        shard.unlink()
    elif damage == "truncated":
        os.truncate(shard, 1000)
    else:
        manifest = Manifest.load(there)
        rest = tuple(entry for entry in manifest.shards if entry.name != shard.name)
        type(manifest)(plan=manifest.plan, count=manifest.count, shards=rest).save(there)
        if damage == "half uploaded":
            shard.rename(there / ".shard-00001.h5.99-abcd.tmp")
    told = [problem.where for problem in verify(f"file://{there}").problems]
    assert any("shard-00001" in where for where in told)
    report = make(bank, recipe, f"file://{there}")
    assert (report.made, report.kept) == (1, 2)
    assert contents(there) == contents(local)


KILLED = """
import os, signal, sys
from faceblend.bank import FaceBank
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import remote
from faceblend.store.listing import Listing

def add(self, entry, real=Listing.add):
    if entry.name == "shard-00001.h5":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, entry)

def put(self, local, name, real=remote.Remote._put):
    if name == "shard-00001.h5" and sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, local, name)

Listing.add, remote.Remote._put = add, put
bank = FaceBank.open(sys.argv[1])
generate(bank, load_recipe("bi"), sys.argv[2], count=10, seed=3, shard_size=4)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_around_an_upload_loses_that_shard_alone(
    bank: FaceBank, recipe: Recipe, local: Path, tmp_path: Path, scratch: Path, moment: str
) -> None:
    out = tmp_path / "set"
    words = [sys.executable, "-c", KILLED, str(bank.root), f"file://{out}", moment]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert (out / "shard-00001.h5").exists() == (moment == "after")
    assert any(scratch.glob(f"{PREFIX}*/*.h5")) == (moment == "before")
    with BlendSet(f"file://{out}") as blends:  # what is not listed does not exist
        assert (len(blends), blends.finished) == (4, False)
    report = make(bank, recipe, f"file://{out}")
    assert (report.made, report.kept) == (2, 1)
    assert contents(out) == contents(local)


def test_an_upload_that_fails_twice_is_tried_again(
    bank: FaceBank, recipe: Recipe, local: Path, tmp_path: Path, network: type[Unreliable]
) -> None:
    network.trouble = failing(ConnectionResetError("reset by peer"), times=2)
    assert make(bank, recipe, f"unreliable://{tmp_path}/set").failed == ()
    assert network.asked["put shard-00001.h5"] == 3
    assert contents(tmp_path / "set") == contents(local)


def test_an_upload_that_always_fails_is_a_failed_shard_and_the_others_are_made(
    bank: FaceBank, recipe: Recipe, local: Path, tmp_path: Path, network: type[Unreliable]
) -> None:
    url = f"unreliable://{tmp_path}/set"
    network.trouble = failing(ConnectionResetError("reset by peer"))
    report = make(bank, recipe, url)
    assert [failed.name for failed in report.failed] == ["shard-00001.h5"]
    assert "cannot be written (ConnectionResetError: reset by peer)" in report.failed[0].reason
    assert network.asked["put shard-00001.h5"] == 1 + len(remote.PAUSES)
    assert sorted(contents(tmp_path / "set")) == [
        "manifest.json", "shard-00000.h5", "shard-00002.h5",
    ]  # fmt: skip
    network.trouble = None
    assert make(bank, recipe, url).made == 1
    assert contents(tmp_path / "set") == contents(local)


class NoCredentialsError(Exception):
    """What botocore raises, by its name."""


@pytest.mark.parametrize(
    "refusal",
    [
        PermissionError(errno.EACCES, "Access Denied"),
        OSError(errno.ENOSPC, "No space left"),
        NoCredentialsError("Unable to locate credentials"),
        TypeError("a fault of a program"),
    ],
)
def test_what_another_attempt_would_not_change_is_asked_once(
    bank: FaceBank,
    tmp_path: Path,
    network: type[Unreliable],
    refusal: Exception,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network.trouble = failing(refusal, of="put manifest.json")
    words = ["generate", str(bank.root), "--out", f"unreliable://{tmp_path}/set", "--workers=1"]
    assert main(words) == 2
    assert network.asked["put manifest.json"] == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "set/manifest.json: cannot be written" in told[0]
    assert str(refusal.args[-1]) in told[0]
    assert "credentials" in told[0]


@pytest.mark.parametrize("always", [False, True])
def test_a_truncated_upload_is_noticed(
    bank: FaceBank,
    recipe: Recipe,
    local: Path,
    tmp_path: Path,
    network: type[Unreliable],
    always: bool,
) -> None:
    def cut(path: str) -> bool:
        return "shard-00001" in path and (always or network.asked["put shard-00001.h5"] == 1)

    network.cut = cut
    report = make(bank, recipe, f"unreliable://{tmp_path}/set")
    if always:
        assert "1000 bytes there and " in report.failed[0].reason
        assert "shard-00001.h5" not in contents(tmp_path / "set")
    else:
        assert report.failed == ()
        assert contents(tmp_path / "set") == contents(local)


def test_a_server_that_renames_to_no_name_that_is_taken_serves_as_well(
    bank: FaceBank, recipe: Recipe, local: Path, tmp_path: Path, network: type[Unreliable]
) -> None:
    def trouble(what: str, name: str) -> None:
        if what == "mv" and (tmp_path / "set" / name).exists():
            raise OSError(errno.EEXIST, "exists")

    network.trouble = trouble
    assert make(bank, recipe, f"unreliable://{tmp_path}/set").failed == ()
    assert contents(tmp_path / "set") == contents(local)


def test_object_stores_get_every_file_under_its_own_name(
    bank: FaceBank,
    recipe: Recipe,
    local: Path,
    tmp_path: Path,
    network: type[Unreliable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "OBJECT_STORES", frozenset({"unreliable"}))
    (tmp_path / "set").mkdir()  # which object stores do without
    make(bank, recipe, f"unreliable://{tmp_path}/set")
    assert not [name for name in network.asked if name.startswith("mv")]
    assert contents(tmp_path / "set") == contents(local)


def test_a_staging_disk_that_is_too_small_is_told_before_anything_is_made(
    bank: FaceBank, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 4 * SHARD * 256**2))
    with pytest.raises(BadArgument, match=r"for the shards of 1 workers.*TMPDIR"):
        make(bank, recipe, f"file://{tmp_path}/set")
    assert not (tmp_path / "set").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2 * 4 * SHARD * 256**2))
    make(bank, recipe, f"file://{tmp_path}/set")  # one shard fits, the set would not
    with pytest.raises(BadArgument, match="for the shards of 2 workers"):
        make(bank, recipe, f"file://{tmp_path}/other", workers=2)


# -- what cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://bucket/set", "Protocol not known: nonsense"),
        ("simplecache::file:///set", "is a chain of URLs"),
        ("absent://bucket/set", "needs a package that is not installed.*get it with pip"),
    ],
)
def test_a_url_that_nothing_reads_is_one_line(
    bank: FaceBank, url: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fsspec.register_implementation(
        "absent", "no_such_package.FileSystem", errtxt="get it with pip", clobber=True
    )
    for command in (["generate", str(bank.root), "--out", url], ["verify", url]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 1
        with pytest.raises(BadArgument, match=words):
            place_at(url)
        assert url in told


def test_without_fsspec_the_extra_is_named_and_folders_do_without(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(BadArgument, match=r"needs fsspec.*faceblend\[cloud\]"):
        BlendSet("s3://bucket/set")
    assert verify(local).problems == ()


def test_pngs_do_not_go_to_a_url(bank: FaceBank, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="takes no folders of PNGs"):
        make(bank, recipe, f"file://{tmp_path}/set", layout="folder")
    make(bank, recipe, tmp_path / "set", layout="folder")
    for read in (verify, BlendSet):
        with pytest.raises(BadShard, match="is a set of PNG"):
            read(f"file://{tmp_path}/set")


def test_other_files_and_sets_of_other_arguments_are_refused(
    bank: FaceBank, recipe: Recipe, there: Path, tmp_path: Path
) -> None:
    url = f"file://{there}"
    with pytest.raises(BadArgument, match="seed is 3 there and 4 here"):
        generate(bank, recipe, url, count=COUNT, seed=4, shard_size=SHARD)
    with pytest.raises(BadArgument, match="holds a set of 10 samples"):
        generate(bank, recipe, url, count=9, seed=SEED, shard_size=SHARD)
    (there / "manifest.json").unlink()
    with pytest.raises(BadArgument, match=r"holds other files \(shard-00000.h5"):
        make(bank, recipe, url)
    with pytest.raises(BadShard, match=rf"{url}: is not a generated set"):
        BlendSet(url)
    (there / "manifest.json").write_text("[]")
    with pytest.raises(BadShard, match=rf"{url}/manifest.json: holds"):
        BlendSet(url)
    assert [problem.where for problem in verify(url).problems] == ["manifest.json"]
    assert verify(f"file://{tmp_path}/nothing").problems[0].what.startswith("is not a generated")


def test_commands_that_read_folders_alone_say_so(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["inspect"], ["export", "--to=webdataset", "--out=x"], ["audit"]):
        assert main([*words, f"file://{there}"]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "is a URL" in told
        assert "copy it into a folder" in told
    for job in (export_set, inspect, page):
        with pytest.raises(BadArgument, match="is a URL"):
            job(f"file://{there}", *((there / "out", "webdataset") if job is export_set else ()))


def test_passwords_do_not_end_in_messages() -> None:
    shown = str(remote.Remote("sftp://me:secret@host/set/"))
    assert shown == "sftp://***@host/set"


def test_what_has_no_protocol_is_a_folder() -> None:
    assert place_at("a/folder") == place_at(Path("a/folder")) == Folder(Path("a/folder"))
    assert place_at("c:/folder") == Folder(Path("c:/folder"))
    with pytest.raises(BadArgument, match="s3:/bucket/set: was a URL before"):
        place_at(Path("s3://bucket/set"))


# -- reading -------------------------------------------------------------------------------


def test_verify_fetches_one_shard_at_a_time_and_names_what_is_wrong(
    bank: FaceBank, there: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = []

    def watching(*arguments: Any, real: Any = check._checked) -> Any:
        at_once.append(len(list(scratch.glob(f"{PREFIX}*/*.h5"))))
        return real(*arguments)

    monkeypatch.setattr(check, "_checked", watching)
    assert verify(f"file://{there}", bank=bank, replays=3).problems == ()
    assert at_once == [1, 1, 1]
    data = bytearray((there / "shard-00001.h5").read_bytes())
    with BlendSet(there) as blends:
        place = data.find(blends[5].image.tobytes())
    data[place] ^= 1
    (there / "shard-00001.h5").write_bytes(data)
    (there / "shard-00002.h5").unlink()
    (there / "shard-00009.h5").write_bytes(b"nobody's")
    found = verify(f"file://{there}", bank=bank, replays=1)
    told = {problem.where: problem.what for problem in found.problems}
    assert told["shard-00001.h5, sample 5"] == "its image is not what its record makes"
    assert told["shard-00001.h5"] == check.CHANGED
    assert told["shard-00002.h5"] == "is listed in the manifest and missing"
    assert told["shard-00009.h5"] == "is not listed in the manifest"


def test_a_shard_that_cannot_be_fetched_is_a_problem_and_the_others_are_read(
    there: Path, network: type[Unreliable]
) -> None:
    network.trouble = failing(TimeoutError("timed out"), of="get shard-00001.h5")
    found = verify(f"unreliable://{there}")
    assert [problem.where for problem in found.problems] == ["shard-00001.h5"]
    assert "cannot be read (TimeoutError: timed out)" in found.problems[0].what
    assert found.samples == 6


def test_a_set_is_read_through_a_private_cache_that_closing_removes(
    there: Path, local: Path, scratch: Path, network: type[Unreliable]
) -> None:
    with BlendSet(local) as expected, BlendSet(f"unreliable://{there}") as blends:
        assert network.asked == {"get manifest.json": 1}  # nothing is fetched before it is read
        assert blends[9].digest() == expected[9].digest()
        assert blends[-2].digest() == expected[8].digest()
        assert network.asked["get shard-00002.h5"] == 1
        assert "get shard-00000.h5" not in network.asked
        (folder,) = scratch.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        blends.close()
        assert not folder.exists()
        assert digests(blends) == digests(expected)
        assert (blends.images(slice(2, 9, 3)) == expected.images(slice(2, 9, 3))).all()


def test_a_pickled_set_shares_the_private_cache_while_that_is_there(
    there: Path, scratch: Path, network: type[Unreliable]
) -> None:
    blends = BlendSet(f"unreliable://{there}")
    copy = pickle.loads(pickle.dumps(blends))  # noqa: S301 - our own bytes
    first = blends[0].digest()
    assert copy[0].digest() == first
    assert network.asked["get shard-00000.h5"] == 1
    copy.close()
    assert len(list(scratch.iterdir())) == 1  # the copy leaves what it was lent
    blends.close()
    assert copy[0].digest() == first
    assert network.asked["get shard-00000.h5"] == 2
    copy.close()


def test_a_cache_of_ones_own_stays_and_serves_the_next(
    there: Path, local: Path, tmp_path: Path, network: type[Unreliable]
) -> None:
    cache, url = tmp_path / "cache", f"unreliable://{there}"
    for _ in range(2):
        with BlendSet(url, cache=cache) as blends, BlendSet(local) as expected:
            assert digests(blends) == digests(expected)
    assert [network.asked[f"get shard-0000{number}.h5"] for number in range(3)] == [1, 1, 1]
    kept = sorted(cache.glob("*.h5"))
    assert len(kept) == 3
    for path in kept:
        os.truncate(path, 1000)  # whoever did that: it is fetched again
    with BlendSet(url, cache=cache) as blends, BlendSet(local) as expected:
        assert digests(blends) == digests(expected)
    with pytest.raises(BadArgument, match="cache: is for URLs"):
        BlendSet(local, cache=cache)


def test_a_shard_that_is_missing_or_damaged_at_the_url_is_never_read(there: Path) -> None:
    data = bytearray((there / "shard-00001.h5").read_bytes())
    data[-1] ^= 1
    (there / "shard-00001.h5").write_bytes(data)
    (there / "shard-00002.h5").unlink()
    with BlendSet(f"file://{there}") as blends:
        assert blends[0].index == 0
        with pytest.raises(BadShard, match=r"there/shard-00001.h5: has other bytes"):
            blends[4]
        with pytest.raises(BadShard, match=r"there/shard-00002.h5: is listed .* and missing"):
            blends[8]


def test_a_cache_without_room_says_how_to_get_some(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1000))
    with (
        BlendSet(f"file://{there}") as blends,
        pytest.raises(BadArgument, match=r"1,000 bytes free.*cache="),
    ):
        blends[0]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader_read_through_one_cache(
    there: Path, scratch: Path, start: str
) -> None:
    torch = pytest.importorskip("torch", reason="DataLoader is PyTorch's")
    from faceblend.torch import BlendedFaces

    faces = BlendedFaces(f"file://{there}")
    loader = torch.utils.data.DataLoader(
        faces, batch_size=2, num_workers=2, multiprocessing_context=start
    )
    with BlendSet(there) as expected:
        for number, batch in enumerate(loader):
            assert (batch["image"][1].permute(1, 2, 0).numpy()
                    == expected[2 * number + 1].image).all()  # fmt: skip
    assert len(list(scratch.glob(f"{PREFIX}*/*.h5"))) == 3  # each was fetched once
    faces.set.close()


# -- private folders -----------------------------------------------------------------------


def apart(end: str) -> int:
    """How a process ends that has something in a private folder; the room alone is imported."""
    code = "import os, signal; from scratch import Scratch; one = Scratch();"
    code += f"(one.path / 'shard').touch(); {end}"
    room = {"PYTHONPATH": str(Path(remote.__file__).parent)}
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **room}).returncode


def test_a_private_folder_of_a_killed_process_is_swept_and_a_living_ones_is_not(
    scratch: Path,
) -> None:
    assert apart("os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    (left,) = scratch.iterdir()
    stranger = scratch / "faceblend-results"
    stranger.mkdir()
    with Scratch() as one:
        assert not left.exists()
        with Scratch() as other:
            assert one.is_dir()
            assert other.is_dir()
    assert stranger.is_dir()


def test_a_private_folder_goes_with_its_process(scratch: Path) -> None:
    assert apart("raise SystemExit(3)") == 3
    assert list(scratch.iterdir()) == []


# -- a real server -------------------------------------------------------------------------


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """URL of an empty bucket of a server of its own, with credentials in the environment."""
    for name in ("moto", "s3fs", "flask"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install s3fs 'moto[server]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "moto.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while True:
            assert server.poll() is None, (tmp_path / "moto.log").read_text()
            assert time.monotonic() < end, "the server does not answer"
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield "s3://bucket/some/set"
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.slow
def test_two_workers_fill_a_bucket_that_is_verified_and_read(
    bank: FaceBank,
    recipe: Recipe,
    local: Path,
    s3: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["generate", str(bank.root), "--out", s3, "--count=10", "--seed=3", "--shard-size=4"]
    assert main([*words, "--workers=2"]) == 2
    assert "bucket" in capsys.readouterr().err.splitlines()[-1]  # there is none yet
    files = fsspec.filesystem("s3")
    files.mkdir("bucket")
    assert main([*words, "--workers=2"]) == 0
    files.get("bucket/some/set", str(tmp_path / "fetched"), recursive=True)
    assert contents(tmp_path / "fetched") == contents(local)
    files.rm_file("bucket/some/set/shard-00001.h5")
    assert main(["verify", s3]) == 1
    assert "shard-00001.h5: is listed in the manifest and missing" in capsys.readouterr().err
    report = make(bank, recipe, s3, workers=2)
    assert (report.made, report.kept) == (1, 2)
    assert main(["verify", s3, "--bank", str(bank.root), "--replays=3"]) == 0
    with BlendSet(s3) as blends, BlendSet(local) as expected:
        assert digests(blends) == digests(expected)
    with pytest.raises(BadShard, match="s3://bucket/other: is not a generated set"):
        BlendSet("s3://bucket/other")
