"""JSON as the log stores it and the APIs speak it: orjson, whose floats go out and come back bit for bit."""

from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from server.streams.printable import Plain

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

loads = orjson.loads


def dumps(value: Any) -> bytes:
    """JSON for an answer; non-finite floats become null, labels that are keys become strings.

    What has no JSON form is told as text: what a model holds must not fail an answer.
    """
    try:
        return orjson.dumps(value, _plain, OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(Plain(2**31, 2**31, 200, _kept).of(value), None, OPTIONS)


def exact(value: Any) -> bytes:
    """JSON for the log: exactly what was given, or nothing.

    Raises
    ------
    orjson.JSONEncodeError
        If it has no JSON form.
    """
    return orjson.dumps(value, _plain, OPTIONS)


def text(value: Any) -> str:
    """The same as a string, for a text column."""
    return exact(value).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _kept(plain: Plain, value: Any, depth: int) -> Any:
    """What the codec can write besides plain data."""
    if isinstance(value, (date, UUID)):
        return value
    if isinstance(value, (np.generic, np.ndarray)) and value.size < 2**20:
        return plain.of(value.tolist(), depth)
    return plain.text(f"{type(value).__module__}.{type(value).__qualname__}")
