"""One target under one engine, in a process that may die: started by ``campaign``."""

import faulthandler
import importlib
import json
import math
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_RESERVE = 2**30  # bytes of address space over the growth that a case may have


def main() -> None:
    """Work through the cases that are left; the job is the one argument, as JSON."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    faulthandler.enable()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if job["engine"] == "atheris":
        import atheris

        # before anything imports the packages: their branches are counted from here on
        with atheris.instrument_imports(include=["faceblend", "xray_train"]):
            importlib.import_module(job["module"])
    _work(job)


def _work(job: dict[str, Any]) -> None:
    from tests.fuzz.slate import Slate
    from tests.fuzz.target import judge, save

    every = importlib.import_module(job["module"]).TARGETS
    target = next((one for one in every if one.name == job["target"]), None)
    work = Path(job["work"])
    folder = work / "case"
    if folder.exists():
        shutil.rmtree(folder)  # of a process that died in the middle of a case
    folder.mkdir()
    slate = Slate(work / "slate")
    found, known = Path(job["found"]), set()
    if target is None:  # all of the module's, one after the other
        seeds = {one.name: one.seeds() for one in every}
    else:
        seeds = {target.name: target.seeds()}
    for one in every:  # what is imported late is imported before memory is measured
        for seed in seeds.get(one.name, []):
            # a reader that refuses its seeds is fuzzed at its door only
            verdict = judge(one, seed, folder)
            assert verdict.accepted, f"{one.name} refuses a seed: {verdict}"
    if target is not None and target.strategy is not None:
        target.strategy.validate()  # which makes what it needs
    _hold_memory(job["growth"] + _RESERVE)

    def case(data: bytes, target: Any = target) -> None:
        if slate.cases >= job["cases"]:
            return
        slate.begin(data)
        verdict = judge(target, data, folder, seconds=job["seconds"], growth=job["growth"])
        slate.end(accepted=verdict.accepted, failed=bool(verdict.failure), seconds=verdict.seconds)
        sign = target.name, verdict.where or verdict.failure.partition(":")[0]
        if verdict.failure and sign not in known:
            known.add(sign)
            path = save(found, target.name, data)
            told = {"path": str(path), "failure": verdict.failure, "where": verdict.where}
            with (work / "failures.jsonl").open("a") as file:
                file.write(json.dumps({**told, "trace": verdict.trace}) + "\n")

    if target is None:
        for one in every:
            (work / "target").write_text(one.name)  # for who finds this process dead
            for path in sorted((found / one.name).glob("*")):
                case(path.read_bytes(), one)
            for data in _some(one, seeds[one.name], job["each"], job["seed"]):
                case(data, one)
        return
    left = job["cases"] - slate.cases
    _ENGINES[job["engine"]](case, target, seeds[target.name], left, job["seed"], slate.cases)


def _some(
    target: Any, seeds: list[bytes], count: int, seed: int, first: int = 0
) -> Iterator[bytes]:
    import zlib

    import numpy as np

    from tests.fuzz.mutate import mutated

    key = (seed, zlib.crc32(target.name.encode()))
    for number in range(first, first + math.ceil(count * target.share)):
        # a case is a function of its number: a child that died goes on behind it
        yield mutated(seeds, np.random.Generator(np.random.Philox(key=key, counter=number << 64)))


def _mutation(
    case: Callable[[bytes], None], target: Any, seeds: list[bytes], left: int, seed: int, done: int
) -> None:
    for data in _some(target, seeds, math.ceil(left / target.share), seed, done):
        case(data)


def _hypothesis(
    case: Callable[[bytes], None], target: Any, seeds: list[bytes], left: int, seed: int, done: int
) -> None:
    import hypothesis
    from hypothesis import HealthCheck, Phase

    del seeds
    after = done + left
    counted = done
    for turn in range(2 + left):
        if counted >= after:
            return
        # in rounds, for hypothesis remembers every case of a round; and its ends come early
        settings = hypothesis.settings(
            max_examples=min(after - counted, 2000),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        def one(data: bytes) -> None:
            nonlocal counted
            counted += 1
            case(data)

        run = hypothesis.seed(hash((seed, done, turn)))(
            settings(hypothesis.given(target.strategy)(one))
        )
        run()


def _atheris(
    case: Callable[[bytes], None], target: Any, seeds: list[bytes], left: int, seed: int, done: int
) -> None:
    import tempfile

    import atheris

    del target
    corpus = Path(tempfile.mkdtemp(prefix="corpus-", dir=os.environ.get("TMPDIR")))
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [f"-runs={left}", f"-seed={(seed * 1009 + done) % 2**31 + 1}", "-max_len=65536"]
    options += ["-rss_limit_mb=0", "-timeout=3600", "-verbosity=0", "-print_final_stats=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], case)
    atheris.Fuzz()


def _hold_memory(room: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_ENGINES = {"mutation": _mutation, "hypothesis": _hypothesis, "atheris": _atheris}

if __name__ == "__main__":
    main()
