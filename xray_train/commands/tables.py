"""``xray-train robustness`` and ``xray-train cross``: what they are asked, and what they show."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from xray_train import cross as crossing
from xray_train import robustness
from xray_train.commands.options import DONE, Command, add_how, check_how
from xray_train.rebuild import pick_device, rebuild
from xray_train.sources import Source


def _robustness_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False,
        description="AUC against JPEG, H.264, blur, noise and size, with intervals.",
    )
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint")
    parser.add_argument("--on", type=Source, required=True, help="source, by its class's path")
    parser.add_argument("--out", type=Path, required=True, help="folder for table and figure")
    parser.add_argument(
        "--grid", type=Path, default=robustness.GRID, help="YAML of strengths to test"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    add_how(parser)
    return parser


def _robustness(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).robustness
    check_how(given)
    grid = robustness.read_grid(given.grid)
    device = pick_device(given.device)
    trained = rebuild(given.ckpt, device)
    points = robustness.measure(
        trained.task,
        given.on,
        grid,
        device=device,
        settings=given,
        threshold=trained.threshold,
        seed=given.seed,
    )
    what = f"{given.ckpt.name} on {chosen.robustness.on.class_path}"
    paths = robustness.write(points, given.out, what=what, seed=given.seed)
    at = f"accuracy at {trained.threshold:.3f}"
    table = Table("", "frame AUC (95% interval)", "video AUC", at, title=what)
    for point in points:
        name, value, *figures = robustness.row(point, digits=3)
        auc, low, high, video, accuracy, *_ = figures
        table.add_row(f"{name} {value}".strip(), f"{auc} ({low} to {high})", video, accuracy)
    _show(table, paths)
    return DONE


def _cross_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False,
        description="Test every checkpoint on every set: frame AUC with intervals, video AUC.",
    )
    parser.add_argument("--config", action="config", help="YAML file of all these settings")
    parser.add_argument(
        "--trained", type=dict[str, Path], required=True, help="checkpoints by name"
    )
    parser.add_argument("--tested", type=dict[str, Source], required=True, help="sources by name")
    parser.add_argument("--out", type=Path, required=True, help="folder for table and figure")
    add_how(parser)
    return parser


def _cross(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).cross
    check_how(given)
    cells = crossing.cross(
        given.trained, given.tested, device=pick_device(given.device), settings=given
    )
    paths = crossing.write(cells, given.out)
    columns = list(dict.fromkeys(one.tested for one in cells))
    table = Table("trained \\ tested", *columns, title="frame AUC (95% interval), video AUC")
    for name in dict.fromkeys(one.trained for one in cells):
        table.add_row(name, *(crossing.said(one) for one in cells if one.trained == name))
    _show(table, paths)
    return DONE


def _show(table: Table, paths: list[Path]) -> None:
    Console(markup=False).print(table)
    for path in paths:
        print(path)


COMMANDS = {
    "robustness": Command(
        said="AUC against compression, blur, noise and size",
        parser=_robustness_parser,
        run=_robustness,
    ),
    "cross": Command(said="every checkpoint on every set", parser=_cross_parser, run=_cross),
}
"""By name."""
