"""What ``xray-train`` does: fit, validate, test, predict and submit, compare, export, and a demo.

Exit status: 0 done; 1 finished with recorded failures under --strict; 2 bad arguments or input,
said in one line on stderr (--debug shows where).
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from torch import nn

from faceblend import atomic
from faceblend.errors import FaceblendError
from xray_train.aggregate import Aggregation
from xray_train.commands.identity import COMMANDS
from xray_train.commands.options import add_how, check_how, check_least
from xray_train.commands.tables import cross_parser, robustness_parser, run_cross, run_robustness
from xray_train.evaluate import Result, evaluate
from xray_train.export import Form, export
from xray_train.look import look, write_curves, write_sheet
from xray_train.loop import fit
from xray_train.predict import FaceShown
from xray_train.rebuild import pick_device, rebuild
from xray_train.scores import write_scores
from xray_train.settings import Fit
from xray_train.sources import Source
from xray_train.submission import run_submission, submission_parser

DONE, FAILURES, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_SHOWN = 24  # samples on the sheet of an evaluation


def build_parser() -> ArgumentParser:
    """The whole command line; ``--print_config`` of fit shows every setting."""
    parser = ArgumentParser(
        prog="xray-train",
        description="Train, evaluate and apply detectors of forged faces.",
        exit_on_error=False,
    )
    commands = parser.add_subcommands(dest="command", metavar="COMMAND")
    commands.add_subcommand("fit", _fit_parser(), help="train; the same command continues")
    commands.add_subcommand(
        "validate", _evaluation_parser(), help="evaluate, choosing the threshold there"
    )
    commands.add_subcommand(
        "test", _evaluation_parser(), help="evaluate at the threshold of validation"
    )
    commands.add_subcommand("predict", _predict_parser(), help="score faces in files and banks")
    commands.add_subcommand("submit", submission_parser(), help="score videos by several networks")
    commands.add_subcommand(
        "score", _score_parser(), help="score the pictures of a list, in its order"
    )
    commands.add_subcommand(
        "robustness", robustness_parser(), help="AUC against compression, blur, noise and size"
    )
    commands.add_subcommand("cross", cross_parser(), help="every checkpoint on every set")
    commands.add_subcommand("export", _export_parser(), help="write ONNX or TorchScript")
    commands.add_subcommand(
        "demo", _demo_parser(), help="photographs to a tested detector, small enough for a CPU"
    )
    for name, one in COMMANDS.items():
        commands.add_subcommand(name, one.parser(), help=one.said)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    words = list(arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        parser = build_parser()
        chosen = parser.parse_args(words)
        if chosen.command in COMMANDS:
            COMMANDS[chosen.command].run(parser.instantiate(chosen)[chosen.command])
            return DONE
        status: int = _COMMANDS[chosen.command](parser, chosen)
        return status
    except FaceblendError as error:
        if debug:
            raise
        return _refused(str(error))
    except OSError as error:
        if debug:
            raise
        return _refused(f"{error.filename or 'a file'}: {error.strerror or error}; check the disk")
    except Exception as error:
        # of jsonargparse alone: its messages are for people
        if debug or type(error).__name__ != "ArgumentError":
            raise
        return _refused(f"{error}; see xray-train --help")
    except KeyboardInterrupt:
        print("xray-train: stopped; the same command continues", file=sys.stderr)
        return INTERRUPTED


def _refused(words: str) -> int:
    print(f"xray-train: {' '.join(words.split())}", file=sys.stderr)
    return BAD_INPUT


# -- fit ---------------------------------------------------------------------------------


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


# -- validate and test -------------------------------------------------------------------


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


# -- predict and export ------------------------------------------------------------------


def _predict_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False, description="Detect, cut out and score faces; draw their X-rays."
    )
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint")
    parser.add_argument(
        "--input", type=Path, required=True, help="picture, video, folder of both, or bank"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and overlays")
    parser.add_argument(
        "--how",
        type=Aggregation,
        default="mean",
        help="scores of a video's frames to one; vote is the share over the threshold",
    )
    parser.add_argument(
        "--threshold", type=float | None, default=None, help="validation's if not given"
    )
    parser.add_argument("--frames", type=int, default=32, help="of each video; 0 takes all")
    parser.add_argument("--views", type=int, default=1, help="1 to 4 of each face, averaged")
    parser.add_argument(
        "--face",
        type=FaceShown,
        default="window",
        help="what the network was trained on: window, or scale or tight of Frames",
    )
    parser.add_argument("--size", type=int, default=224, help="px, of scale and tight")
    parser.add_argument("--overlays", type=bool, default=True, help="draw X-rays over the input")
    parser.add_argument(
        "--landmark_model", type=Path | None, default=None, help="dlib's 68-point model"
    )
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a file was refused")
    return parser


def _predict(parser: ArgumentParser, chosen: Namespace) -> int:
    from faceblend.ingest.detect import DlibHog
    from xray_train.predict import predict

    given = parser.instantiate(chosen).predict
    device = pick_device(given.device)
    trained = rebuild(given.ckpt, device)
    made = predict(
        trained.task,
        given.input,
        given.out,
        detector=DlibHog(given.landmark_model),
        device=device,
        threshold=trained.threshold if given.threshold is None else given.threshold,
        how=given.how,
        frames=given.frames,
        views=given.views,
        overlays=given.overlays,
        face=given.face,
        size=given.size,
    )
    print(made)
    return FAILURES if given.strict and made.refused else DONE


def _score_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False,
        description="Score pictures as they are and write img_name,y_pred in their list's order.",
    )
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint")
    parser.add_argument("--input", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--labels", type=Path, required=True, help="CSV with a column img_name")
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the scores")
    parser.add_argument("--size", type=int, default=256, help="px; side as in training")
    parser.add_argument("--views", type=int, default=1, help="1 to 4 of each, averaged")
    parser.add_argument("--batch", type=int, default=32, help="pictures at a time")
    parser.add_argument("--workers", type=int, default=0, help="processes that read pictures")
    parser.add_argument(
        "--unread",
        type=float,
        default=0.5,
        help="score of what cannot be read, as contests want no gap; OUT.refused.csv names it",
    )
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if one was refused")
    return parser


def _score(parser: ArgumentParser, chosen: Namespace) -> int:
    from xray_train.listing import score_list

    given = parser.instantiate(chosen).score
    device = pick_device(given.device)
    made = score_list(
        rebuild(given.ckpt, device).task,
        given.input,
        given.labels,
        given.out,
        device=device,
        size=given.size,
        views=given.views,
        batch=given.batch,
        workers=given.workers,
        unread=given.unread,
    )
    print(made)
    return FAILURES if given.strict and made.refused else DONE


def _submit(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).submit
    whole = run_submission(given, pick_device(given.device))
    return FAILURES if given.strict and not whole else DONE


def _export_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False, description="Write a network for other programs, and compare."
    )
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint")
    parser.add_argument("--to", type=Form, required=True, help="the form")
    parser.add_argument("--out", type=Path, required=True, help="file")
    parser.add_argument(
        "--side", type=int, default=256, help="px of the pictures that the file takes; as trained"
    )
    return parser


def _export(parser: ArgumentParser, chosen: Namespace) -> int:
    del parser
    given = chosen.export
    check_least(given, side=1)
    trained = rebuild(given.ckpt, torch.device("cpu"))
    print(export(trained.task, given.out, given.to, side=given.side))
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


# -- what all of them need ---------------------------------------------------------------


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


_COMMANDS = {
    "fit": _fit,
    "validate": _validate,
    "test": _test,
    "predict": _predict,
    "submit": _submit,
    "score": _score,
    "robustness": run_robustness,
    "cross": run_cross,
    "export": _export,
    "demo": _demo,
}
