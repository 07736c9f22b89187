"""Targets that do what none may: by them the harness is tested."""

import os
import time
from pathlib import Path

from faceblend.errors import BadArgument
from tests.fuzz.target import Target


def _reading(act: object) -> Target:
    name = getattr(act, "__name__", "").strip("_")

    def read(data: bytes, folder: Path) -> None:
        (folder / "file").write_bytes(data)
        if data != _SEED:
            act(data)  # type: ignore[operator]

    return Target(name=name, seeds=lambda: [_SEED], read=read)


_SEED = b'{"a": [1, 2, 3], "b": "text"}'


def _raises(data: bytes) -> None:
    raise KeyError(data[:5])


def _dies(data: bytes) -> None:
    if data:
        os.abort()


def _hangs(data: bytes) -> None:
    time.sleep(60 if data else 0)


def _slow(data: bytes) -> None:
    end = time.process_time() + (0.3 if data else 0.0)
    while time.process_time() < end:
        pass


def _grows(data: bytes) -> None:
    if data:
        bytearray(b"x") * 2**26


def _hoards(data: bytes) -> None:
    if data:
        bytearray(2**40)


def _mute(data: bytes) -> None:
    raise BadArgument("", f"is {len(data)}", "give less")


def _sound(data: bytes) -> None:
    if len(data) % 2:
        raise BadArgument("file", "is odd", "give even bytes")


TARGETS = tuple(map(_reading, (_raises, _dies, _hangs, _slow, _grows, _hoards, _mute, _sound)))
