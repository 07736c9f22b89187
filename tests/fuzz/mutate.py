"""Valid bytes made hostile: a plain mutator, driven by a seeded generator."""

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

NUMBERS = ("NaN", "Infinity", "-Infinity", ".nan", "-.inf", "1e308", "-1e308", "1e400", "-1", "0")
NUMBERS += ("-0.0", "1.5", "1e-320", "2147483648", "-2147483649", "9223372036854775807")
NUMBERS += ("9223372036854775808", "18446744073709551616", "1" + "0" * 400, "9" * 5000)
NUMBERS += ("1_000", "0x7fffffff", "0o17", "1:30", "2020-01-01", "true", "null", '""', "[]", "{}")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -1e308,
    float("nan"), float("inf"), "", " ", "\0", "\n", "a\nb", "\x1b[31m", "\ud800", "\u2028",
    "é" * 50, "x" * 70_000, "../../etc/passwd", "/etc/passwd", "..", ".", "a/../../b", "C:\\x",
    "NaN", "1e999", "0", "-1", "__class__", "%s%n", "{}", [], {}, [None], [[]], {"": None},
    [0] * 1000, [float("nan")] * 136, [[0, 0]] * 68, [[1e300, 0]] * 68,
)  # fmt: skip
_PIECES = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\xed\xa0\x80", b"\xc0\xaf",
    b"\xe2\x80\xa8", b"{", b"}", b"[", b"]", b"\"", b"'", b",", b":", b"&a ", b"*a",
    b"!!python/name:x ", b"!!binary ", b"- ", b"---\n", b"<<: ", b"\t", b"#", b"\x1b[2J",
    b"PAR1", b"\x93NUMPY",
)  # fmt: skip
_WIDE = tuple(
    int(number).to_bytes(width, "little", signed=number < 0)
    for width in (4, 8)
    for number in (0, -1, 1, 2 ** (8 * width - 1) - 1, -(2 ** (8 * width - 1)), 2**30)
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def mutated(seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """One of the seeds after one to four random changes."""
    data = seeds[rng.integers(len(seeds))]
    for _ in range(rng.integers(1, 5)):
        data = _CHANGES[rng.integers(len(_CHANGES))](data, seeds, rng)
    return data


def _flip(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _drop(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    times = min(int(rng.choice([2, 3, 50, 2000])), 200_000 // (end - start + 1) + 1)
    return data[:end] + data[start:end] * times + data[end:]


def _splice(data: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    other = seeds[rng.integers(len(seeds))]
    start, end = _span(other, rng)
    return data[: rng.integers(len(data) + 1)] + other[start:end] + data[_span(data, rng)[1] :]


def _insert(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data) + 1))
    return data[:place] + _PIECES[rng.integers(len(_PIECES))] + data[place:]


def _widen(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data) + 1))
    wide = _WIDE[rng.integers(len(_WIDE))]
    return data[:place] + wide + data[place + len(wide) :]


def _number(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    there = list(_NUMBER.finditer(data[:100_000]))
    if not there:
        return data
    one = there[rng.integers(len(there))]
    return data[: one.start()] + NUMBERS[rng.integers(len(NUMBERS))].encode() + data[one.end() :]


def _nest(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    place, depth = int(rng.integers(len(data) + 1)), int(rng.choice([5, 200, 5000, 50_000]))
    left, right = [(b"[", b"]"), (b'{"a":', b"}"), (b"- ", b""), (b"((", b"))")][rng.integers(4)]
    inside = data[place:] if rng.integers(2) else b"0" + right * depth + data[place:]
    return data[:place] + left * depth + inside


def _encode(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    text = data.decode("utf-8", "replace")
    way = rng.integers(5)
    if way == 0:
        return text.encode("utf-16")
    if way == 1:
        return b"\xef\xbb\xbf" + data
    if way == 2:
        return data.replace(b"\n", b"\r\n")
    if way == 3:
        return data.replace(b"\n", b"\r")
    return text.replace("e", "é").encode("latin-1", "replace")


def _tree(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """One place of a JSON document, or of a line of one, given another value."""
    lines = data.splitlines(keepends=True)
    for part in (data, lines[rng.integers(len(lines))] if lines else b""):
        try:
            content = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if not isinstance(content, dict | list):
            continue
        changed = json.dumps(_changed(content, rng)).encode()
        return data.replace(part.rstrip(b"\n"), changed, 1)
    return data


def _changed(content: Any, rng: np.random.Generator) -> Any:
    places: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else list(range(len(one)))
        # of long lists a few: their numbers would outvote every other place
        for key in keys if len(keys) < 20 else [keys[i] for i in rng.integers(len(keys), size=4)]:
            places.append((one, key))
            if isinstance(one[key], dict | list):
                waiting.append(one[key])
    if not places:
        return VALUES[rng.integers(len(VALUES))]
    holder, key = places[rng.integers(len(places))]
    way = rng.integers(6)
    if way == 0:
        del holder[key]
    elif way == 1:
        other, there = places[rng.integers(len(places))]
        holder[key] = json.loads(
            json.dumps(other.get(there) if isinstance(other, dict) else other)
        )
    elif way == 2 and isinstance(holder, dict):
        holder[str(VALUES[rng.integers(len(VALUES))])] = holder[key]
    elif way == 3 and isinstance(holder[key], dict | list):
        holder[key] = [holder[key]]
    else:
        holder[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    return content


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    length = int(2 ** rng.uniform(0, np.log2(len(data) + 2)))
    return start, min(start + length, len(data))


# the tree's changes reach deepest into a reader, so they are drawn most often
_CHANGES = (_flip, _cut, _drop, _repeat, _splice, _insert, _widen, _number, _number, _nest)
_CHANGES += (_encode, _tree, _tree, _tree, _tree)
