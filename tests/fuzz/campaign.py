"""Targets under engines, each in child processes whose deaths are counted."""

import importlib
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.slate import Slate
from tests.fuzz.target import FOUND, GROWTH, ROOT, SECONDS, Target, save

ENGINES = ("hypothesis", "mutation", "atheris")
MODULES = tuple(
    f"tests.fuzz.{name}" for name in ("banks", "recipes", "sets", "datasets", "training", "media")
)
_NEEDED = {"tests.fuzz.training": "torch"}
_PATIENCE = 6  # limits of a case, on the clock, before its process is ended: others work here too
_LOSSES = 20  # processes that one target may take with it before its campaign ends


@dataclass(kw_only=True)
class Result:
    """One target under one engine."""

    target: str
    engine: str
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    longest_ms: float = 0.0
    seconds: float = 0.0
    failures: list[dict[str, str]] = field(default_factory=list)


def modules() -> list[str]:
    """The modules of targets that are there and have what they need."""
    there = [one for one in MODULES if importlib.util.find_spec(_NEEDED.get(one, "faceblend"))]
    return [one for one in there if importlib.util.find_spec(one)]


def targets(names: Sequence[str]) -> list[Target]:
    """Every target of these modules."""
    return [target for name in names for target in importlib.import_module(name).TARGETS]


def engines_for(target: Target, wanted: Sequence[str]) -> list[str]:
    """Those engines that the target has a use for and that are installed."""
    there = {
        "hypothesis": target.strategy is not None,
        "atheris": importlib.util.find_spec("atheris") is not None,
    }
    return [engine for engine in wanted if there.get(engine, True)]


def run(
    chosen: Sequence[Target],
    *,
    cases: int,
    engines: Sequence[str] = ENGINES,
    names: Sequence[str] | None = None,
    seed: int = 0,
    workers: int = 1,
    found: Path = FOUND,
    seconds: float = SECONDS,
    growth: int = GROWTH,
) -> Iterator[Result]:
    """Share the cases out among targets and engines; yields each result as it is there.

    Args:
        chosen: the targets.
        cases: of all of them together; rounded up to a whole share.
        engines: those to use where a target has a use for them.
        names: of the modules that hold the targets.
        seed: of every engine.
        workers: child processes at a time.
        found: folder where the bytes of failures go.
        seconds: that a case may take.
        growth: bytes that a case may add to the most memory held.
    """
    pairs = [(one, engine) for one in chosen for engine in engines_for(one, engines)]
    shares = sum(one.share for one, _ in pairs)
    home = {one.name: name for name in names or modules() for one in targets([name])}
    common = {"seed": seed}
    common |= {"found": str(found), "seconds": seconds, "growth": growth}
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(
            lambda pair: _one(
                {
                    **common,
                    "module": home[pair[0].name],
                    "target": pair[0].name,
                    "engine": pair[1],
                    "cases": math.ceil(cases * pair[0].share / shares),
                }
            ),
            pairs,
        )


def again(
    module: str, *, each: int, found: Path = FOUND, seconds: float = SECONDS, growth: int = GROWTH
) -> Result:
    """Read what was found before, and ``each`` mutated cases, by every target of a module.

    What fails is kept in a temporary folder, which its failure names.
    """
    copy = Path(tempfile.mkdtemp(prefix="fuzz-found-"))
    if found.is_dir():
        shutil.copytree(found, copy, dirs_exist_ok=True)
    job = {"module": module, "target": "", "engine": "mutation", "cases": 10**9, "each": each}
    result = _one(
        {**job, "seed": 0, "found": str(copy), "seconds": seconds, "growth": growth}, losses=1
    )
    if not result.failures:
        shutil.rmtree(copy)
    return result


def _one(job: dict[str, Any], losses: int = _LOSSES) -> Result:
    result = Result(target=job["target"], engine=job["engine"])
    started = time.monotonic()
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=fast if fast.is_dir() else None) as work:
        job["work"] = work
        slate = Slate(Path(work) / "slate")
        for _ in range(losses):
            end = _child(job, slate, Path(work))
            slate.read()
            if not end:
                break
            if not slate.started:
                told = (Path(work) / "stderr").read_text("utf-8", "replace")[-3000:]
                result.failures.append({"path": "no case", "failure": end, "trace": told})
                break
            name = job["target"] or (Path(work) / "target").read_text()
            path = save(Path(job["found"]), name, slate.case)
            slate.end(accepted=False, failed=True, seconds=time.monotonic() - slate.started)
            trace = (Path(work) / "stderr").read_text("utf-8", "replace")[-3000:]
            result.failures.append({"path": str(path), "failure": end, "trace": trace})
        written = Path(work) / "failures.jsonl"
        if written.exists():
            result.failures += [json.loads(line) for line in written.read_text().splitlines()]
    result.cases, result.accepted = slate.cases, slate.accepted
    result.refused, result.failed = slate.refused, slate.failed
    result.longest_ms = round(1000 * slate.longest, 1)
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _child(job: dict[str, Any], slate: Slate, work: Path) -> str:
    """How a child ended: in words where it did not end well."""
    command = [sys.executable, "-m", "tests.fuzz.child", json.dumps(job)]
    here = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    own = {**os.environ, "PYTHONPATH": here, "TMPDIR": str(work), "OPENBLAS_NUM_THREADS": "1"}
    # hypothesis keeps a table of letters there, which takes seconds to make
    own["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".hypothesis")
    with (work / "stderr").open("wb") as stderr:
        child = subprocess.Popen(command, cwd=work, env=own, stdout=stderr, stderr=stderr)
        ended = ""
        while (code := child.poll()) is None:
            time.sleep(0.02)
            slate.read()
            over = time.monotonic() - slate.started if slate.started else 0.0
            if over > job["seconds"] * _PATIENCE and not ended:
                ended = f"hangs for {over:.0f} s"
                child.send_signal(signal.SIGABRT)  # faulthandler tells where
                time.sleep(0.2)
                child.kill()
    if ended:
        return ended
    if code and slate.cases < job["cases"]:
        return f"takes the process with it (exit {code})"
    # the engine itself may end with an error once its cases are done
    slate.read()
    return f"takes the process with it (exit {code})" if code and slate.started else ""


def report(results: Sequence[Result]) -> dict[str, Any]:
    """What ``--json`` writes."""
    total = {key: sum(getattr(one, key) for one in results) for key in _COUNTS}
    return {"total": total, "results": [asdict(one) for one in results]}


def table(results: Sequence[Result]) -> str:
    """Lines of text: a row a target and engine, and their sum."""
    head = ["target", "engine", *_COUNTS, "longest ms", "s"]
    rows = [
        [
            *(one.target, one.engine, *(str(getattr(one, key)) for key in _COUNTS)),
            *(f"{one.longest_ms:.0f}", f"{one.seconds:.0f}"),
        ]
        for one in results
    ]
    total = report(results)["total"]
    longest = max(one.longest_ms for one in results)
    rows.append(["all", "", *(str(total[key]) for key in _COUNTS), f"{longest:.0f}", ""])
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    )


_COUNTS = ("cases", "accepted", "refused", "failed")
