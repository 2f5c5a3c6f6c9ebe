"""One text for one value: JSON with sorted keys and without blanks, and its SHA-256."""

import hashlib
import json
from typing import Any

import orjson

from server.streams.errors import Invalid, TooLarge
from server.streams.validation import shown

DEEPEST = 50


def canonical(value: Any, field: str, most_bytes: int) -> str:
    """The canonical JSON of an object, as Python's own ``json`` writes it: sorted keys, no blanks, ASCII.

    Raises
    ------
    Invalid
        If it isn't an object, or is nested deeper than :data:`DEEPEST`.
    TooLarge
        If its text would have more than ``most_bytes``.
    """
    if type(value) is not dict:
        raise Invalid(f"{field} is {shown(value)}: expected an object", field=field)
    if _depth(value) > DEEPEST:
        raise Invalid(f"{field} is nested more than {DEEPEST} deep: expected a flatter object", field=field)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > most_bytes:
        raise TooLarge(f"{field} has {len(text)} bytes as JSON: the most allowed is {most_bytes}", field=field)
    return text


def fingerprint(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of(value: Any) -> str:
    """SHA-256 in hex of a large value's JSON with sorted keys, whose numbers and strings are the parser's own."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, counted until it is too deep."""
    depth, layer = 0, [value]
    while layer and depth <= DEEPEST:
        depth += 1
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in (dict, list)
        ]
    return depth
