"""JSON of the log and of the APIs, by orjson: floats are read back bit for bit as they were written."""

from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from server.core.printable import Plain

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

loads = orjson.loads


def dumps(value: Any) -> bytes:
    """Return JSON for an answer. Non-finite floats become null; keys become strings.

    Values without a JSON form become text, so that no value of a model makes an answer fail.
    """
    try:
        return orjson.dumps(value, _plain, OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(Plain(2**31, 2**31, 200, _kept).of(value), None, OPTIONS)


def dumps_exact(value: Any) -> bytes:
    """Return JSON for the log: exactly the value that was given.

    Raises
    ------
    orjson.JSONEncodeError
        If the value has no JSON form.
    """
    return orjson.dumps(value, _plain, OPTIONS)


def dumps_text(value: Any) -> str:
    """Return :func:`dumps_exact` as a string, for a text column."""
    return dumps_exact(value).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _kept(plain: Plain, value: Any, depth: int) -> Any:
    """Return a value besides plain data in a form that the codec can write."""
    if isinstance(value, (date, UUID)):
        return value
    if isinstance(value, (np.generic, np.ndarray)) and value.size < 2**20:
        return plain.of(value.tolist(), depth)
    return plain.text(f"{type(value).__module__}.{type(value).__qualname__}")
