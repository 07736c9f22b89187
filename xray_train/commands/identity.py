"""What ``xray-train`` does with embeddings: verify pairs, draw rings, find subjects."""

from collections import Counter
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from faceblend.bank import FaceBank
from faceblend.errors import BadArgument
from xray_train.commands.options import DONE, Command, check_least
from xray_train.rebuild import pick_device, rebuild
from xray_train.ring import draw, placed
from xray_train.sources import Digits, Pairs
from xray_train.subjects import (
    DLIB_SAME,
    embed_bank,
    group,
    leaks,
    names,
    with_subjects,
    write_leaks,
    write_subjects,
)
from xray_train.tasks.identity import Identity, Mirror
from xray_train.verification import FOLDS, verify


def _verify_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False,
        description="Say of pairs of faces whether they are one person, by LFW's ten folds.",
    )
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint of an Identity")
    parser.add_argument(
        "--pairs", type=Path, required=True, help="lines of pathA pathB label; 1 is one person"
    )
    parser.add_argument("--folder", type=Path, required=True, help="where their paths start")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("--size", type=int, default=160, help="px; as it was trained with")
    parser.add_argument(
        "--mirror", type=Mirror, default="concat", help="features of the mirror image besides"
    )
    parser.add_argument("--folds", type=int, default=FOLDS, help="of consecutive pairs")
    parser.add_argument("--batch", type=int, default=32, help="pairs at a time")
    parser.add_argument("--workers", type=int, default=0, help="processes that load pairs")
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    return parser


def _verify(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).verify
    device = pick_device(given.device)
    check_least(given, size=8, batch=1, workers=0, folds=2)
    pairs = Pairs(str(given.folder), str(given.pairs), given.size)
    made = verify(
        rebuild(given.ckpt, device).task,
        pairs,
        given.out,
        what=f"{given.ckpt} on {given.pairs}",
        device=device,
        mirror=given.mirror,
        batch=given.batch,
        workers=given.workers,
        folds=given.folds,
    )
    print(made)
    print(given.out)
    return DONE


def _ring_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False,
        description="Draw digits as runs with 2 numbers an embedding see them.",
    )
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="folders, drawn side by side"
    )
    parser.add_argument("--out", type=Path, required=True, help="PNG")
    parser.add_argument(
        "--folder", type=str | None, default=None, help="of MNIST; else scikit-learn's digits"
    )
    parser.add_argument("--size", type=int, default=28, help="px; as it was trained with")
    return parser


def _ring(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).ring
    if not given.runs:
        raise BadArgument("--runs", "names none", "give the folders of runs")
    source = Digits(given.folder, part="test", size=given.size)
    rings = [placed(run, source) for run in given.runs]
    draw(rings, source.data, given.out)
    print(source.data)
    for one in rings:
        print(
            f"{one.name} ({one.margin}): {one.right:,} of {len(one.labels):,} right, "
            f"{one.accuracy:.4f}; {one.degrees:.1f} degrees from the mean of its class"
        )
    print(given.out)
    return DONE


def _subjects_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False, description="Group a bank's faces into people, where no labels are."
    )
    parser.add_argument("bank", type=Path, help="bank of faces")
    parser.add_argument(
        "--ckpt", default="dlib", help="checkpoint of an Identity; dlib takes its descriptor"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="CSV (crop,subject), or folder for a new bank"
    )
    parser.add_argument(
        "--leaks", type=Path | None, default=None, help="CSV of likely people in two splits"
    )
    parser.add_argument(
        "--same", type=float | None, default=None,
        help=f"cosine of one person; {DLIB_SAME} for dlib, validation's threshold for a run",
    )  # fmt: skip
    parser.add_argument("--size", type=int, default=150, help="px; as it was trained with")
    parser.add_argument(
        "--align", type=Literal["none", "dlib"], default="dlib", help="as it was trained with"
    )
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    return parser


def _subjects(parser: ArgumentParser, chosen: Namespace) -> int:
    given = parser.instantiate(chosen).subjects
    check_least(given, size=8)
    bank, device = FaceBank.open(given.bank), pick_device(given.device)
    if given.ckpt == "dlib":
        task, same = Identity("dlib", embedding=0), DLIB_SAME
    else:
        trained = rebuild(Path(given.ckpt), device)
        if not isinstance(trained.task, Identity):
            raise BadArgument("--ckpt", "has no embedding", "give the checkpoint of an Identity")
        task, same = trained.task, 2 * trained.threshold - 1
    same = same if given.same is None else given.same
    vectors = embed_bank(task, bank, size=given.size, align=given.align, device=device)
    people = names(group(vectors, same))
    if given.out.suffix.lower() == ".csv":
        write_subjects(bank, people, given.out)
    else:
        with_subjects(bank, people, given.out)
    counts = Counter(people)
    alone = sum(count == 1 for count in counts.values())
    print(f"{len(counts):,} people in {len(bank):,} faces, {alone:,} alone: {given.out}")
    if given.leaks is not None:
        found = leaks(bank, vectors, same)
        write_leaks(found, given.leaks)
        print(f"{len(found):,} pairs of videos share a likely person across splits: {given.leaks}")
    return DONE


COMMANDS = {
    "verify": Command(
        said="pairs of faces: one person or two", parser=_verify_parser, run=_verify
    ),
    "ring": Command(said="draw embeddings of digits", parser=_ring_parser, run=_ring),
    "subjects": Command(
        said="group a bank's faces into people", parser=_subjects_parser, run=_subjects
    ),
}
"""By name."""
