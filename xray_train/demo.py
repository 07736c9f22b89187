"""From photographs to a detector on two CPU cores: the commands, run one after the other.

People are split, not pictures. Everyone whom a group photograph or the clip shows is trained
on; the fifteen people that appear in their own folders alone are held out.
"""

import shlex
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import yaml

from faceblend import atomic
from faceblend import cli as faceblend
from faceblend.errors import BadArgument
from xray_train import cli as xray_train
from xray_train.look import write_curves

SEEN = (
    "tv_\\w+", "barack_obama", "joe_biden", "alex_lacamoire", "lin_manuel_miranda", "expressions",
)  # fmt: skip
"""Folders of people whom a group photograph or the clip may show as well: regular expressions."""

HELD = (
    "adams", "angelina_jolie", "carell", "clapton", "john_salley", "john_savage",
    "john_schneider", "john_shimkus", "john_simm", "kate_siegel", "kit_harington", "lennon",
    "paul_rudd", "rose_leslie", "shea_whigham",
)  # fmt: skip
"""Folders of the people whom training never sees."""

TESTED = 600  # samples; none of them is validated on
FORGED = 24  # samples that are predicted as files


def demo(faces: Path, out: Path, seed: int = 0) -> int:
    """Make two banks, train the small run, test it on the people held out, and predict.

    Every command is said before it runs, and can be given by hand.

    Args:
        faces: folder with ``people/NAME/*`` and ``groups/*``.
        out: folder for banks, run, figures; the same continues there.
        seed: of training: samples, their order, weights.

    Returns:
        Exit status of the first command that did not end well, or 0.

    Raises:
        BadArgument: the photographs are not there.
    """
    needed = ("groups", *(f"people/{name}" for name in HELD))
    lost = [name for name in needed if not (faces / name).is_dir()]
    if lost:
        raise BadArgument(
            faces,
            f"has no folder {lost[0]!r}",
            "give the folder of photographs that docs/training.md describes",
        )
    run = out / f"seed-{seed}"
    config = _configured(out, run, seed)
    held = [
        "--on.class_path",
        "xray_train.sources.Online",
        "--on.init_args.bank",
        str(out / "held"),
    ]
    checkpoint = str(run / "last.pt")
    ways: Sequence[tuple[Callable[[Sequence[str]], int], str, list[str]]] = (
        (faceblend.main, "faceblend", [
            "extract", str(faces), "--out", str(out / "train"), "--faces", "all",
            "--min-face", "50", "--group", f"^(people/(?:{'|'.join(SEEN)})|groups/[^/]+)/?",
        ]),
        (faceblend.main, "faceblend", [
            "extract", str(faces / "people"), "--out", str(out / "held"),
            "--group", f"^({'|'.join(HELD)})/",
        ]),
        (xray_train.main, "xray-train", ["fit", "--config", str(config)]),
        (xray_train.main, "xray-train", [
            "test", "--ckpt", checkpoint, "--out", str(run / "test.json"), *held,
            "--on.init_args.seed", "2000", "--on.init_args.length", str(TESTED),
        ]),
        (faceblend.main, "faceblend", [
            "generate", str(out / "held"), "--out", str(out / "forged"), "--format", "folder",
            "--seed", "3000", "--count", str(FORGED), "--recipe.fake_share", "1",
        ]),
        (xray_train.main, "xray-train", [
            "predict", "--ckpt", checkpoint, "--input", str(out / "forged" / "fake"),
            "--out", str(run / "predicted"),
        ]),
    )  # fmt: skip
    for command, name, words in ways:
        print(f"\n$ {shlex.join([name, *words])}", flush=True)
        status = command(words)
        if status:
            return status
    seeds = sorted(path.parent for path in out.glob("seed-*/log.jsonl"))
    write_curves(seeds, out / "curves.png")
    print(f"\nLook at {run / 'test.png'}, {run / 'predicted'} and {out / 'curves.png'}")
    return 0


def _configured(out: Path, run: Path, seed: int) -> Path:
    """Write ``smoke.yaml`` with this run's folders and seed in it."""
    text = (resources.files("xray_train") / "configs" / "smoke.yaml").read_text("utf-8")
    config = yaml.safe_load(text)
    config["train"][0]["init_args"] |= {"bank": str(out / "train"), "seed": seed}
    config["val"]["init_args"]["bank"] = str(out / "held")
    config["fit"] |= {"out": str(run), "seed": seed}
    path = out / f"seed-{seed}.yaml"
    atomic.write_bytes(path, yaml.safe_dump(config, sort_keys=False).encode())
    return path
