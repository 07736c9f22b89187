"""``xray-train ...``: nothing to train with yet, and saying so."""

import argparse
import sys

from faceblend import __version__


def main(arguments: list[str] | None = None) -> int:
    """Answer ``--version`` and ``--help``; everything else is refused with the way round it."""
    parser = argparse.ArgumentParser(
        prog="xray-train",
        description="Trainers of face-forgery detectors. This version has none: feed "
        "faceblend.torch.BlendedFaces or OnlineBlend to a training loop of your own.",
    )
    parser.add_argument("--version", action="version", version=f"xray-train {__version__}")
    parser.parse_args(arguments)
    print(
        "xray-train: this version has no trainers; "
        "feed faceblend.torch.BlendedFaces to a training loop of your own",
        file=sys.stderr,
    )
    return 2
