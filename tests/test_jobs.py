"""Every task gets its outcome, whatever happens to the process that works on it."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from faceblend import jobs
from faceblend.errors import BadArgument, BadImage, FaceblendError

DEADLINE = 60  # s; each takes two or three

CHORES = """
import os, signal, sys, time

class Picky(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

def square(n):
    return n * n

def refuse(n):
    from faceblend.errors import BadImage
    raise BadImage(n, "is odd", "take another")

def picky(n):
    raise Picky(n, n)

def die_on_three(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n

def die_on_three_once(task):
    n, mark = task
    if n == 3 and not os.path.exists(mark):
        open(mark, "w").close()
        os._exit(1)
    return n

def surroundings(_):
    import cv2
    return (cv2.getNumThreads(), os.environ["OPENBLAS_NUM_THREADS"],
            os.environ.get("PREPARED"), "numpy" in sys.modules)

def prepare(word):
    os.environ["PREPARED"] = word

def cannot_prepare():
    raise ValueError("no such thing")

def exit_at_once(*_):
    os._exit(3)

def sleep_unless_number(task):
    return task if isinstance(task, int) else sleep(task)

def sleep(pids):
    open(os.path.join(pids, str(os.getpid())), "w").close()
    time.sleep(600)
"""


@pytest.fixture
def chores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Work that spawned processes can import; they get this process's search path."""
    (tmp_path / "chores_of_jobs.py").write_text(CHORES)
    monkeypatch.syspath_prepend(tmp_path)
    import chores_of_jobs  # type: ignore[import-not-found]

    yield chores_of_jobs
    del sys.modules["chores_of_jobs"]


def settle(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        # a zombie that nobody reaps has ended as well
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# -- in this process ---------------------------------------------------------------------


def test_one_worker_works_in_this_process_and_prepares_it_once() -> None:
    prepared: list[str] = []
    outcomes = list(
        jobs.run([1, 2, 3], lambda n: (os.getpid(), n), setup=prepared.append, setup_args=("x",))
    )
    assert [outcome.result for outcome in outcomes] == [(os.getpid(), n) for n in (1, 2, 3)]
    assert prepared == ["x"]


def test_an_exception_is_an_outcome_and_the_other_tasks_finish() -> None:
    outcomes = {outcome.task: outcome for outcome in jobs.run([1, 0, 2], lambda n: 1 / n)}
    assert isinstance(outcomes[0].error, ZeroDivisionError)
    assert outcomes[0].result is None
    assert (outcomes[1].result, outcomes[2].result) == (1.0, 0.5)


def test_ctrl_c_is_not_an_outcome() -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(jobs.run([1], interrupted))


def test_no_workers_are_refused_before_anything_runs() -> None:
    with pytest.raises(BadArgument, match="workers: is 0; give 1 or more"):
        jobs.run([1], str, workers=0)


# -- a given executor --------------------------------------------------------------------


class Counting(Executor):
    """Finishes tasks only when asked, and remembers how many were in flight at most."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(2)
        self.submitted = 0

    def submit(self, *arguments, **keywords) -> Future:  # type: ignore[no-untyped-def]
        self.submitted += 1
        return self.threads.submit(*arguments, **keywords)

    def shutdown(self, *_, **__) -> None:  # type: ignore[no-untyped-def]
        raise AssertionError("the executor is not ours to shut down")


def test_a_given_executor_does_every_task_and_stays_open() -> None:
    executor = Counting()
    outcomes = list(jobs.run(range(1000), abs, executor=executor))
    assert sorted(outcome.result or 0 for outcome in outcomes) == list(range(1000))
    assert executor.submit(abs, -1).result() == 1
    executor.threads.shutdown()


def test_a_million_tasks_are_not_submitted_at_once() -> None:
    executor = Counting()
    outcomes = jobs.run(range(10**6), abs, executor=executor)
    for done in range(1, 11):
        next(outcomes)
        assert executor.submitted < 1000 + done
    outcomes.close()  # type: ignore[attr-defined]
    executor.threads.shutdown()


def test_a_given_executor_that_broke_is_an_error_and_not_a_million_outcomes() -> None:
    class Broken(Counting):
        def submit(self, *_, **__) -> Future:  # type: ignore[no-untyped-def]
            raise BrokenProcessPool("gone")

    with pytest.raises(FaceblendError, match=r"the given executor: broke .* start it again"):
        list(jobs.run(range(10**6), abs, executor=Broken()))


def test_setup_for_a_given_executor_is_refused_because_it_would_not_run() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(BadArgument, match="cannot reach"):
        jobs.run([1], abs, executor=threads, setup=print)


# -- spawned processes -------------------------------------------------------------------


def test_spawned_workers_are_prepared_and_kept_to_one_thread(chores: ModuleType) -> None:
    before = dict(os.environ)
    outcomes = list(
        jobs.run([1, 2], chores.surroundings, workers=2, setup=chores.prepare, setup_args=("x",))
    )
    assert [outcome.result for outcome in outcomes] == [(1, "1", "x", True)] * 2
    assert dict(os.environ) == before


def test_two_processes_give_what_one_gives_and_errors_come_back_whole(chores: ModuleType) -> None:
    outcomes = list(jobs.run(range(10), chores.square, workers=2))
    assert {outcome.task: outcome.result for outcome in outcomes} == {n: n * n for n in range(10)}
    (refused,) = jobs.run([7], chores.refuse, workers=2)
    assert isinstance(refused.error, BadImage)
    assert str(refused.error) == "7: is odd; take another"


def test_an_exception_that_cannot_travel_is_told_in_words(chores: ModuleType) -> None:
    (outcome,) = jobs.run([7], chores.picky, workers=2)
    assert isinstance(outcome.error, FaceblendError)
    assert "Picky: 7 and 7" in str(outcome.error)


def test_a_task_that_always_kills_its_worker_fails_and_the_others_finish(
    chores: ModuleType,
) -> None:
    outcomes = {
        outcome.task: outcome for outcome in jobs.run(range(9), chores.die_on_three, workers=2)
    }
    killer = outcomes.pop(3)
    assert isinstance(killer.error, FaceblendError)
    assert "the worker process died on it" in str(killer.error)
    assert {task: outcome.result for task, outcome in outcomes.items()} == {
        n: n for n in range(9) if n != 3
    }


def test_a_worker_that_dies_once_costs_time_and_nothing_else(
    chores: ModuleType, tmp_path: Path
) -> None:
    tasks = [(n, str(tmp_path / "died")) for n in range(9)]
    outcomes = list(jobs.run(tasks, chores.die_on_three_once, workers=2))
    assert (tmp_path / "died").exists()
    assert sorted(outcome.result for outcome in outcomes) == list(range(9))


def test_a_setup_that_fails_is_raised_once_in_the_parent(
    chores: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="no such thing"):
        list(jobs.run(range(5), chores.square, workers=2, setup=chores.cannot_prepare))
    assert "Traceback" not in capfd.readouterr().err


def test_workers_that_cannot_start_are_an_error_and_no_endless_retry(chores: ModuleType) -> None:
    with pytest.raises(FaceblendError, match="ended before they could start"):
        list(jobs.run(range(5), chores.square, workers=2, setup=chores.exit_at_once))


def sleepers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def test_leaving_the_iteration_ends_workers_that_are_busy(
    chores: ModuleType, tmp_path: Path
) -> None:
    outcomes = jobs.run([5, str(tmp_path), str(tmp_path)], chores.sleep_unless_number, workers=2)
    assert next(outcomes).result == 5
    settle(lambda: len(sleepers(tmp_path)) == 2)
    outcomes.close()  # type: ignore[attr-defined]
    assert all(is_gone(pid) for pid in sleepers(tmp_path))


@pytest.mark.parametrize("cancel", [False, True])
def test_what_waits_is_cancelled_in_a_given_executor_alone(cancel: bool) -> None:
    # cancelled under a pool of our own, it could fail in the pool's thread, aloud
    futures = [Future[int]() for _ in range(3)]
    waiting = iter(futures)
    flown = jobs._flown(iter([0, 1, 2]), lambda _: next(waiting), 3, cancel=cancel)
    futures[0].set_result(5)
    assert next(flown).result == 5
    flown.close()
    assert [one.cancelled() for one in futures] == [False, cancel, cancel]


SCRIPT = """
import signal
import sys
sys.path.insert(0, {folder!r})
from faceblend import jobs
import chores_of_jobs
def own(n):
    return n + 1
if __name__ == "__main__":
    work, tasks = own, [1, 2]
    if sys.argv[1] == "sleep":
        # a suite that runs in the background hands down that Ctrl-C is ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work, tasks = chores_of_jobs.sleep, [{folder!r}] * 4
    print(sorted(outcome.result for outcome in jobs.run(tasks, work, workers=2)))
"""


def sleeping(folder: Path) -> subprocess.Popen[str]:
    """A script whose two workers are both in the middle of a task of ten minutes."""
    words = [sys.executable, str(script(folder, SCRIPT)), "sleep"]
    parent = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    settle(lambda: len(sleepers(folder)) == 2 or parent.poll() is not None)
    return parent


UNGUARDED = """
from faceblend import jobs
print(list(jobs.run([1, 2], abs, workers=2)))
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "script_of_jobs.py"
    path.write_text(text.format(folder=str(folder)))
    return path


@pytest.mark.usefixtures("chores")
@pytest.mark.parametrize("how", ["script", "module"])
def test_work_of_a_script_and_of_a_module_that_is_run_reaches_the_workers(
    tmp_path: Path, how: str
) -> None:
    path = script(tmp_path, SCRIPT)
    words = [str(path)] if how == "script" else ["-m", path.stem]
    search = os.pathsep.join(path for path in [str(tmp_path), *sys.path] if path)
    done = subprocess.run(
        [sys.executable, *words, "own"],
        capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[2, 3]\n", "")


def test_a_script_without_the_guard_is_told_about_it(tmp_path: Path) -> None:
    path = script(tmp_path, UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode != 0
    assert 'put what a script does under `if __name__ == "__main__":`' in done.stderr


@pytest.mark.usefixtures("chores")
def test_ctrl_c_ends_the_workers_at_once_and_only_the_parent_speaks(tmp_path: Path) -> None:
    parent = sleeping(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)  # a terminal tells the whole group
    told = parent.communicate(timeout=DEADLINE)[1]
    assert told.count("Traceback") == told.count("KeyboardInterrupt") == 1, told
    assert all(is_gone(pid) for pid in sleepers(tmp_path))


@pytest.mark.usefixtures("chores")
def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = sleeping(tmp_path)
    parent.kill()
    parent.communicate(timeout=DEADLINE)
    settle(lambda: all(is_gone(pid) for pid in sleepers(tmp_path)))


# -- progress ----------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_quick_job_says_one_line_with_count_time_and_rate() -> None:
    log, clock = io.StringIO(), Clock()
    with jobs.progress(
        "extract", total=1200, unit="pictures", console=Console(file=log), clock=clock
    ) as report:
        for _ in range(1200):
            report.advance()
        clock.now = 4.0
    assert log.getvalue() == "extract: 1,200 pictures in 4.0 s, 300 pictures/s\n"


def test_a_log_gets_a_line_every_tenth_and_a_sign_of_life_every_minute() -> None:
    log, clock = io.StringIO(), Clock()
    with jobs.progress(
        "x", total=1000, unit="things", console=Console(file=log), clock=clock
    ) as report:
        for clock.now in range(1, 201):  # one a second: a tenth takes 100 s
            report.advance(1)
        for clock.now in range(201, 241):  # then twenty a second: a tenth takes 5 s
            report.advance(20)
    lines = log.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [
        "x: 60 of 1",
        "x: 120 of 1",
        "x: 180 of 1",
    ]
    assert len(lines) == 3 + 8 + 1


def test_a_note_stands_at_the_end_of_the_lines_and_beside_the_bar() -> None:
    log, clock, screen = io.StringIO(), Clock(), Terminal()
    with jobs.progress(
        "fit", total=10, unit="steps", console=Console(file=log), clock=clock
    ) as report:
        report.note("loss 0.5")
        clock.now = 10.0
        report.advance(5)
    assert log.getvalue().splitlines()[0] == "fit: 5 of 10 steps (50%), 0.5 steps/s, loss 0.5"
    console = Console(file=screen, force_terminal=True, width=120)
    with jobs.progress("fit", total=10, unit="steps", console=console) as report:
        report.note("loss [0.5]")
    assert "loss [0.5]" in screen.getvalue()


def test_what_an_earlier_run_did_counts_as_done_and_not_for_the_rate() -> None:
    log, clock = io.StringIO(), Clock()
    with jobs.progress(
        "x", total=100, kept=90, unit="things", console=Console(file=log), clock=clock
    ) as report:
        report.advance(10)
        clock.now = 2.0
    assert log.getvalue() == "x: 100 things (90 of them from before) in 2.0 s, 5 things/s\n"


def test_a_job_that_raises_says_where_it_stopped() -> None:
    log = io.StringIO()

    def job() -> None:
        with jobs.progress("x", total=9, unit="things", console=Console(file=log)) as report:
            report.advance(4)
            raise KeyError

    with pytest.raises(KeyError):
        job()
    assert log.getvalue().startswith("x: stopped at 4 of 9 things after 0.0 s")


def test_a_warning_is_one_plain_line_whatever_is_in_it() -> None:
    log = io.StringIO()
    with jobs.progress("x", total=1, unit="things", console=Console(file=log)) as report:
        report.warn("[red]" + "long " * 40 + "[/nonsense]")
    assert log.getvalue().splitlines()[0] == "x: [red]" + "long " * 40 + "[/nonsense]"


def test_a_terminal_gets_a_bar_with_the_warning_above_it() -> None:
    screen = Terminal()
    console = Console(file=screen, force_terminal=True, width=100)
    with jobs.progress("extract", total=3, unit="pictures", console=console) as report:
        report.advance(2)
        report.warn("watch out")
    shown = screen.getvalue()
    assert "━" in shown
    assert "watch out" in shown
    assert "extract: 2 pictures in" in shown.splitlines()[-1]


def test_standard_output_stays_free_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    with jobs.progress("x", total=1, unit="things") as report:
        report.advance()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("x: 1 things in")
