"""Train a detector, evaluate it on a source, and the demo of both."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from torch import nn

from faceblend import atomic
from xray_train.commands.options import DONE, Command, add_how, check_how
from xray_train.evaluate import Result, evaluate
from xray_train.look import look, write_curves, write_sheet
from xray_train.loop import fit
from xray_train.rebuild import pick_device, rebuild
from xray_train.scores import write_scores
from xray_train.settings import Fit
from xray_train.sources import Source

_SHOWN = 24  # samples on the sheet of an evaluation


def _fit_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False, description="Train a detector.")
    parser.add_argument("--config", action="config", help="YAML file of all these settings")
    parser.add_subclass_arguments(
        nn.Module, "task", required=True, help="the system, by its class's path"
    )
    parser.add_argument(
        "--train", type=list[Source], required=True, help="sources, mixed by their parts"
    )
    parser.add_argument(
        "--val", type=Source | None, default=None, help="source that is validated on, as it is"
    )
    parser.add_class_arguments(Fit, "fit")
    return parser


def _fit(parser: ArgumentParser, chosen: Namespace) -> int:
    config = chosen.fit
    torch.manual_seed(config.fit.seed)  # of the weights that are not loaded
    told = json.loads(json.dumps(config.task.as_dict()))
    made = parser.instantiate(chosen).fit
    settings: Fit = made.fit
    run = fit(made.task, told, made.train, made.val, settings)
    if int(os.environ.get("RANK", 0)) == 0:
        if run.result is not None:
            tell(run.result, Path(settings.out) / "val.json", "validation")
        curves = Path(settings.out) / "curves.png"
        write_curves([Path(settings.out)], curves)
        print(f"{run.step:,} steps, {run.stopped}: {run.checkpoint}, {curves}")
    return DONE


def _evaluation_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False, description="Evaluate a checkpoint.")
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint")
    parser.add_argument("--on", type=Source, required=True, help="source, by its class's path")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument(
        "--scores",
        type=Path | None,
        default=None,
        help="folder for the scores of every frame and video, as parquet",
    )
    add_how(parser)
    return parser


def _validate(parser: ArgumentParser, chosen: Namespace) -> int:
    return _evaluate(parser, chosen, fixed=False)


def _test(parser: ArgumentParser, chosen: Namespace) -> int:
    return _evaluate(parser, chosen, fixed=True)


def _evaluate(parser: ArgumentParser, chosen: Namespace, *, fixed: bool) -> int:
    made = parser.instantiate(chosen)[chosen.command]
    check_how(made)
    device = pick_device(made.device)
    trained = rebuild(made.ckpt, device)
    threshold = trained.threshold if fixed else None
    result = evaluate(trained.task, made.on, device=device, settings=made, threshold=threshold)
    tell(result, made.out, f"{made.ckpt.name} on {chosen[chosen.command].on.class_path}")
    if made.scores is not None:
        print(write_scores(result.items, made.on, made.scores))
    seen = look(trained.task, made.on, device, _SHOWN)
    if seen.predicted.xrays is not None:
        write_sheet(seen, made.out.with_suffix(".png"))
        print(made.out.with_suffix(".png"))
    return DONE


def _demo_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False, description="Train and test the small run on people held out."
    )
    parser.add_argument(
        "--faces", type=Path, required=True, help="photographs: people/NAME/* and groups/*"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all of it")
    parser.add_argument("--seed", type=int, default=0, help="of samples and weights")
    return parser


def _demo(parser: ArgumentParser, chosen: Namespace) -> int:
    from xray_train.demo import demo

    del parser
    given = chosen.demo
    return demo(given.faces, given.out, given.seed)


def tell(result: Result, path: Path, what: str) -> None:
    """Write a result as JSON and show it, every figure with its counts."""
    atomic.write_json(path, {"format": 1, "what": what, **result.to_dict()})
    said: dict[str, Any] = result.summary.to_dict()
    table = Table("", "figure", title=what)
    for name, value in said.items():
        if not isinstance(value, dict):
            table.add_row(name.replace("_", " "), _shown(value))
    table.add_row("X-ray pixel AP", _shown(result.xray_ap))
    table.add_row("X-ray pixel IoU", _shown(result.xray_iou))
    chosen = "chosen here" if result.threshold_chosen_here else "fixed before"
    table.add_row(f"threshold, {chosen}", _shown(result.threshold))
    Console(markup=False).print(table)
    print(path)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_shown, value))
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


COMMANDS = {
    "fit": Command(said="train; the same command continues", parser=_fit_parser, run=_fit),
    "validate": Command(
        said="evaluate, choosing the threshold there", parser=_evaluation_parser, run=_validate
    ),
    "test": Command(
        said="evaluate at the threshold of validation", parser=_evaluation_parser, run=_test
    ),
    "demo": Command(
        said="photographs to a tested detector, small enough for a CPU",
        parser=_demo_parser,
        run=_demo,
    ),
}
"""By name."""
