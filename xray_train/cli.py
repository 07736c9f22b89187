"""``xray-train``: says in words what is missing where the trainers' packages are not installed."""

import sys
from collections.abc import Sequence

from faceblend import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; see :mod:`xray_train.commands`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        print(f"xray-train {__version__}")
        return 0
    try:
        from xray_train import commands
    except ModuleNotFoundError as error:
        print(
            f"xray-train: needs the package {error.name!r}; "
            "install what trains with: pip install 'faceblend[train]'",
            file=sys.stderr,
        )
        return 2
    return commands.main(words)
