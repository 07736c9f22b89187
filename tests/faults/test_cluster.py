"""The jobs on a real Dask scheduler and real workers, which are killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.data import astronaut

from faceblend import jobs
from faceblend.bank import FaceBank
from faceblend.errors import FaceblendError
from faceblend.generate import generate
from faceblend.recipe import load_recipe
from faceblend.store import Manifest, verify

pytest.importorskip("distributed", reason="pip install 'faceblend[cluster]'")

from faceblend.cluster import Cluster

COUNT, SHARD, SEED = 160, 8, 5
DEADLINE = 120  # s; a run takes a few
EXIT_DONE = 0


class Machines:
    """A scheduler and workers, each started by its own command line."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.folder = folder
        self.running: list[subprocess.Popen] = []

    def dask(self, *words: object) -> subprocess.Popen:
        log = (self.folder / f"{len(self.running)}.log").open("w")
        command = [sys.executable, "-m", "dask", *map(str, words)]
        with log:
            started = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.running.append(started)
        return started

    def scheduler(self) -> subprocess.Popen:
        words = ("--host", "127.0.0.1", "--port", self.port, "--no-dashboard", "--no-show")
        return self.dask("scheduler", *words)

    def worker(self, *more: object, nanny: bool = False) -> subprocess.Popen:
        words = ("--nthreads", 1, "--no-dashboard", "--local-directory", self.folder, *more)
        return self.dask("worker", self.address, "--nanny" if nanny else "--no-nanny", *words)

    def wait_for(self, workers: int) -> None:
        import distributed

        with distributed.Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)

    def end(self) -> None:
        for one in self.running:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
            one.wait(DEADLINE)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    started = Machines(tmp_path)
    try:
        yield started
    finally:
        started.end()


def run(
    machines: Machines, bank: Path, out: Path | str, *, count: int = COUNT
) -> subprocess.Popen:
    words: list[object] = [sys.executable, "-m", "faceblend", "generate", bank, "--out", out]
    words += ["--count", count, "--shard-size", SHARD, "--seed", SEED]
    words += ["--cluster", machines.address]
    return subprocess.Popen(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def shards(out: Path) -> int:
    return sum(1 for _ in out.glob("shard-*.h5"))


def being_written_by(out: Path) -> set[int]:
    """Processes that write a shard now; a temporary file carries their number."""
    return {int(path.name.split(".")[-2].split("-")[0]) for path in out.glob(".shard-*.tmp")}


@pytest.fixture(scope="module")
def undisturbed(bank: FaceBank, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "set"
    generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    return contents(out)


def test_two_workers_of_which_one_is_killed_make_the_bytes_of_one_process(
    machines: Machines, bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    machines.scheduler()
    doomed = machines.worker()
    machines.worker()
    machines.wait_for(2)
    out, end = tmp_path / "set", time.monotonic() + DEADLINE
    command = run(machines, bank.root, out)
    # half-way, and in the middle of a shard
    while not (shards(out) >= COUNT // SHARD // 2 and doomed.pid in being_written_by(out)):
        assert time.monotonic() < end, "the worker never wrote"
        assert command.poll() is None, command.communicate()
    assert shards(out) < COUNT // SHARD - 1
    os.killpg(doomed.pid, signal.SIGKILL)
    said = command.communicate(timeout=DEADLINE)
    assert command.returncode == EXIT_DONE, said
    assert contents(out) == undisturbed
    assert verify(out, bank=bank, replays=2).problems == ()


@pytest.mark.slow
def test_workers_write_to_a_url_what_one_process_writes_to_a_folder(
    machines: Machines, bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    machines.scheduler()
    machines.worker()
    machines.worker()
    machines.wait_for(2)
    out = tmp_path / "set"
    command = run(machines, bank.root, f"file://{out}")
    said = command.communicate(timeout=DEADLINE)
    assert command.returncode == EXIT_DONE, said
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_gets_the_rest_of_the_work(
    machines: Machines, bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    scheduler = machines.scheduler()
    machines.worker()
    machines.wait_for(1)
    out, end = tmp_path / "set", time.monotonic() + DEADLINE
    command = run(machines, bank.root, out)
    while shards(out) < 5:
        assert time.monotonic() < end, "no shard came"
        assert command.poll() is None, command.communicate()
    os.killpg(scheduler.pid, signal.SIGKILL)
    time.sleep(2)
    assert command.poll() is None, "the run did not wait for its scheduler"
    assert shards(out) < COUNT // SHARD
    machines.scheduler()
    machines.worker()
    said = command.communicate(timeout=DEADLINE)
    assert command.returncode == EXIT_DONE, said
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_a_scheduler_that_stays_away_ends_the_run_with_its_shards_kept(
    machines: Machines, bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    scheduler = machines.scheduler()
    machines.worker()
    machines.wait_for(1)
    out, told = tmp_path / "set", list[str]()

    def kill_midway() -> None:
        while shards(out) < 5:
            time.sleep(0.01)
        os.killpg(scheduler.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_midway)
    killer.start()
    with (
        Cluster(machines.address, patience=3, say=told.append) as cluster,
        pytest.raises(FaceblendError, match=r"the cluster at tcp://.*tasks in flight"),
    ):
        generate(
            bank, load_recipe("bi"), out,
            count=COUNT, seed=SEED, shard_size=SHARD, executor=cluster,
        )  # fmt: skip
    killer.join()
    assert any("did not come back" in text for text in told)
    kept = len(Manifest.load(out).shards)
    assert kept > 0
    report = generate(bank, load_recipe("bi"), out, count=COUNT, seed=SEED, shard_size=SHARD)
    assert report.kept == kept
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_a_worker_of_other_versions_gets_no_task(
    machines: Machines, bank: FaceBank, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    older = tmp_path / "older.py"
    older.write_text("import faceblend\nfaceblend.__version__ = '0.0.1'\n")
    machines.scheduler()
    machines.worker()
    machines.wait_for(1)
    out, told = tmp_path / "set", list[str]()
    with Cluster(machines.address, say=told.append) as cluster:
        machines.worker("--preload", older)
        machines.wait_for(2)
        generate(
            bank, load_recipe("bi"), out,
            count=COUNT, seed=SEED, shard_size=SHARD, executor=cluster,
        )  # fmt: skip
    assert len(told) == 1
    assert "has faceblend 0.0.1 where this run has" in told[0]
    assert contents(out) == undisturbed
    with pytest.raises(FaceblendError, match=r"^worker tcp://.*has faceblend 0.0.1 where"):
        Cluster(machines.address)  # it is seen at once where it was there before


@pytest.mark.slow
def test_beside_an_unfit_worker_a_lost_one_is_replaced(machines: Machines, tmp_path: Path) -> None:
    older, told = tmp_path / "older.py", list[str]()
    older.write_text("import faceblend\nfaceblend.__version__ = '0.0.1'\n")
    machines.scheduler()
    lost = machines.worker()
    machines.wait_for(1)
    with Cluster(machines.address, say=told.append) as cluster:
        machines.worker("--preload", older)
        machines.wait_for(2)
        tasks = [cluster.submit(_slowly, number) for number in range(20)]
        while not told:
            time.sleep(0.1)
        os.killpg(lost.pid, signal.SIGKILL)
        time.sleep(2)  # nobody is left who may have them
        assert not all(one.done() for one in tasks)
        machines.worker()
        assert [one.result(timeout=DEADLINE) for one in tasks] == list(range(20))


def _slowly(number: int) -> int:
    time.sleep(0.3)
    return number


@pytest.mark.slow
def test_a_worker_without_faceblend_is_told(machines: Machines, tmp_path: Path) -> None:
    without = tmp_path / "without.py"
    without.write_text("import sys\nsys.modules['faceblend'] = None\n")
    machines.scheduler()
    machines.worker("--preload", without)
    machines.wait_for(1)
    with pytest.raises(FaceblendError, match=r"worker tcp://.*cannot run faceblend"):
        Cluster(machines.address)


def test_a_file_that_is_no_schedulers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text("{}")
    with pytest.raises(FaceblendError, match=r"scheduler\.json: is no scheduler that answers"):
        Cluster(str(path), patience=2)


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_recorded_and_the_rest_is_made(
    machines: Machines,
) -> None:
    machines.scheduler()
    machines.worker(nanny=True)
    machines.wait_for(1)
    with Cluster(machines.address) as cluster:
        outcomes = {one.task: one for one in jobs.run(list(range(6)), _deadly, executor=cluster)}
    assert "lost with every worker that had it" in str(outcomes[3].error)
    assert [outcomes[task].result for task in (0, 1, 2, 4, 5)] == [0, 1, 4, 16, 25]


def _deadly(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task**2


@pytest.mark.slow
@pytest.mark.model
def test_two_workers_make_the_bank_of_one_process(machines: Machines, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(4):
        with av.open(str(videos / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = 240
            stream.pix_fmt = "yuv420p"
            for frame in range(6):
                picture = np.roll(astronaut()[:240, 100:340], number * frame, axis=1)
                picture = np.ascontiguousarray(picture)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())
    machines.scheduler()
    doomed = machines.worker()
    machines.worker()
    machines.wait_for(2)
    extract = [sys.executable, "-m", "faceblend", "extract", str(videos), "--out"]
    command = subprocess.Popen([*extract, str(tmp_path / "far"), "--cluster", machines.address])
    end = time.monotonic() + DEADLINE
    while not list((tmp_path / "far" / "checkpoints").rglob("*.json")):
        assert time.monotonic() < end, "no video was done"
        assert command.poll() is None
        time.sleep(0.01)
    os.killpg(doomed.pid, signal.SIGKILL)
    assert command.wait(DEADLINE) == EXIT_DONE
    subprocess.run([*extract, str(tmp_path / "near"), "--workers", "1"], check=True)
    assert tree(tmp_path / "far") == tree(tmp_path / "near")
    assert len(FaceBank.open(tmp_path / "far")) == 24


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    for address, words in (
        ("tcp://127.0.0.1:9", "is no scheduler that answers"),
        ("127.0.0.1", "give tcp://HOST:PORT"),
    ):
        with pytest.raises(FaceblendError, match=words):
            Cluster(address, patience=0.5)
