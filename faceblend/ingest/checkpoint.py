"""What a finished video left, sealed: a digit that changed is JSON as well."""

import json
import zlib
from typing import Any


def seal(value: dict[str, Any]) -> bytes:
    """JSON that carries its own CRC-32."""
    # through JSON and back, so that what is read gives the same text
    value = json.loads(_text(value))
    return _text({"crc32": zlib.crc32(_text(value).encode()), "saved": value}).encode()


def unseal(data: bytes) -> dict[str, Any]:
    """What was sealed.

    Raises:
        ValueError: the data are damaged.

    Example:
        >>> unseal(seal({"video": "ann"}))
        {'video': 'ann'}
    """
    try:
        sealed = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(sealed, dict) or not isinstance(sealed.get("saved"), dict):
        raise ValueError("it holds nothing sealed")
    saved: dict[str, Any] = sealed["saved"]
    if zlib.crc32(_text(saved).encode()) != sealed.get("crc32"):
        raise ValueError("its bytes have changed")
    return saved


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
