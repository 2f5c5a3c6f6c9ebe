"""JSON as the log stores it and the APIs speak it: orjson, whose floats go out and come back bit for bit."""

from typing import Any

import numpy as np
import orjson

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

loads = orjson.loads


def dumps(value: Any) -> bytes:
    """JSON; non-finite floats become null, labels that are keys become strings."""
    return orjson.dumps(value, _plain, OPTIONS)


def text(value: Any) -> str:
    """The same as a string, for a text column."""
    return orjson.dumps(value, _plain, OPTIONS).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
