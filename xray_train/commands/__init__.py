"""What ``xray-train`` does, a file a kind of command.

training   fit, validate, test, demo
applying   predict, score, submit, export
tables     robustness, cross
identity   verify, ring, subjects
options    what a command is, and the options that several share

Exit status: 0 done; 1 finished with recorded failures under --strict; 2 bad arguments or input,
said in one line on stderr (--debug shows where).
"""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from faceblend import plainyaml
from faceblend.errors import BadArgument, FaceblendError, shown
from xray_train.commands import applying, identity, tables, training
from xray_train.commands.options import BAD_INPUT, DONE, FAILURES, INTERRUPTED

__all__ = ["BAD_INPUT", "COMMANDS", "DONE", "FAILURES", "INTERRUPTED", "build_parser", "main"]

COMMANDS = {
    **training.COMMANDS,
    **applying.COMMANDS,
    **tables.COMMANDS,
    **identity.COMMANDS,
}
"""All of them, by name."""


def build_parser() -> ArgumentParser:
    """The whole command line; ``--print_config`` of fit shows every setting."""
    parser = ArgumentParser(
        prog="xray-train",
        description="Train, evaluate and apply detectors of forged faces.",
        exit_on_error=False,
    )
    commands = parser.add_subcommands(dest="command", metavar="COMMAND")
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
        chosen = parsed(parser, words)
        return COMMANDS[chosen.command].run(parser, chosen)
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


def parsed(parser: ArgumentParser, words: list[str]) -> Any:
    """What a command line asks for.

    Raises:
        BadArgument: a file of settings is no YAML, or its aliases stand for too much.
        ArgumentError: jsonargparse's own, with words for people.
    """
    for name in _configs(words):
        # jsonargparse follows aliases, of which a dozen lines can keep it busy for ever
        try:
            plainyaml.parse(Path(name).read_text("utf-8"))
        except OSError:
            continue  # its own words for that are good
        except ValueError as error:
            raise BadArgument(name, f"is not YAML ({error})", "give a file of settings") from error
    return parser.parse_args(words)


def _configs(words: list[str]) -> list[str]:
    given = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return given + [name for word, name in pairwise(words) if word == "--config"]


def _refused(words: str) -> int:
    print(f"xray-train: {shown(' '.join(words.split()))}", file=sys.stderr)
    return BAD_INPUT
