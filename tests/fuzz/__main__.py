"""``python -m tests.fuzz``: hostile files for every reader, counted."""

import argparse
import json
import sys
from pathlib import Path

from tests.fuzz import campaign


def main() -> int:
    """Run the cases, print a table, and end with 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="of all targets together")
    parser.add_argument("--target", action="append", help="its name; may be given several times")
    parser.add_argument("--engine", action="append", choices=campaign.ENGINES, help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as well")
    parser.add_argument("--list", action="store_true", help="print the targets and end")
    told = parser.parse_args()
    names = campaign.modules()
    every = {target.name: target for target in campaign.targets(names)}
    if told.list:
        print("\n".join(every))
        return 0
    unknown = set(told.target or ()) - set(every)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(every)}")
    results = []
    for result in campaign.run(
        [every[name] for name in told.target or every],
        cases=told.cases,
        engines=told.engine or campaign.ENGINES,
        names=names,
        seed=told.seed,
        workers=told.workers,
    ):
        results.append(result)
        counts = f"{result.cases} cases, {result.failed} failed, {result.seconds} s"
        print(f"{result.target} {result.engine}: {counts}", file=sys.stderr, flush=True)
        for failure in result.failures:
            print(f"  {failure['failure']}: {failure['path']}", file=sys.stderr, flush=True)
            if result.cases == 0:
                print(failure["trace"], file=sys.stderr, flush=True)
    print(campaign.table(results))
    if told.json:
        told.json.write_text(json.dumps(campaign.report(results), indent=1) + "\n")
    return int(any(result.failed or result.failures for result in results))


if __name__ == "__main__":
    sys.exit(main())
