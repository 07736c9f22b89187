"""Apply networks to files, banks, lists and videos, and write them for other programs."""

from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from faceblend.errors import BadArgument
from xray_train.aggregate import Aggregation
from xray_train.commands.options import DONE, FAILURES, Command, check_least
from xray_train.export import Form, export
from xray_train.predict import FaceShown
from xray_train.rebuild import pick_device, rebuild
from xray_train.submission import Cut, Member, judged, read_labels, submit


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


def _submit_parser() -> ArgumentParser:
    parser = ArgumentParser(
        exit_on_error=False, description="Score videos with several networks, as a CSV."
    )
    several: dict[str, Any] = {"nargs": "+", "metavar": "ONE"}
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoints", **several)
    parser.add_argument(
        "--weights", type=float, help="one a checkpoint; equal if not given", **several
    )
    parser.add_argument(
        "--sides",
        type=int,
        help="px of each checkpoint's pictures; as cut if not given",
        **several,
    )
    parser.add_argument("--input", type=Path, required=True, help="folder of videos, or bank")
    parser.add_argument("--out", type=Path, required=True, help="CSV: filename,label")
    parser.add_argument("--labels", type=Path | None, default=None, help="CSV of the truth")
    parser.add_argument(
        "--cut", type=Cut, default="aligned", help="of faces; aligned is what Videos shows"
    )
    parser.add_argument("--every", type=int, default=10, help="frames from one to the next")
    parser.add_argument("--faces", type=int, default=25, help="most faces of a video")
    parser.add_argument("--batch", type=int, default=25, help="faces at a time")
    parser.add_argument(
        "--landmark_model", type=Path | None, default=None, help="dlib's 68-point model"
    )
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if one was refused")
    return parser


def _submit(parser: ArgumentParser, chosen: Namespace) -> int:
    from faceblend.ingest.detect import DlibHog

    given = parser.instantiate(chosen).submit
    device = pick_device(given.device)
    count = len(given.ckpt)
    weights, sides = given.weights or [1.0] * count, given.sides or [0] * count
    for name, values in (("--weights", weights), ("--sides", sides)):
        if len(values) != count:
            raise BadArgument(
                name, f"names {len(values)} for {count} checkpoints", "give one each"
            )
    truth = None if given.labels is None else read_labels(given.labels)
    made = submit(
        [
            Member(name=str(path), task=rebuild(path, device).task, weight=weight, side=side)
            for path, weight, side in zip(given.ckpt, weights, sides, strict=True)
        ],
        given.input,
        given.out,
        detector=DlibHog(given.landmark_model),
        device=device,
        cut=given.cut,
        every=given.every,
        faces=given.faces,
        batch=given.batch,
    )
    print(made)
    if truth is not None:
        print(judged(made.labels, truth))
    return FAILURES if given.strict and made.refused else DONE


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


COMMANDS = {
    "predict": Command(
        said="score faces in files and banks", parser=_predict_parser, run=_predict
    ),
    "score": Command(
        said="score the pictures of a list, in its order", parser=_score_parser, run=_score
    ),
    "submit": Command(said="score videos by several networks", parser=_submit_parser, run=_submit),
    "export": Command(said="write ONNX or TorchScript", parser=_export_parser, run=_export),
}
"""By name."""
