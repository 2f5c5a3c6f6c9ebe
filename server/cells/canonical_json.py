"""Canonical JSON (sorted keys, no spaces) and its SHA-256."""

import hashlib
import json
from typing import Any

import orjson

from server.core.errors import Invalid, TooLarge
from server.core.validation import format_value

DEEPEST = 50


def canonical(value: Any, field: str, most_bytes: int) -> str:
    """Return the canonical JSON of an object, as Python's ``json`` writes it: sorted keys, no spaces, ASCII.

    Raises
    ------
    Invalid
        If it isn't an object, or is nested deeper than :data:`DEEPEST`.
    TooLarge
        If its text has more than ``most_bytes`` bytes.
    """
    if type(value) is not dict:
        raise Invalid(f"{field} is {format_value(value)}: expected an object", field=field)
    if _depth(value) > DEEPEST:
        raise Invalid(f"{field} is nested too deep: at most {DEEPEST} levels are allowed", field=field)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > most_bytes:
        raise TooLarge(f"{field} has {len(text)} bytes as JSON: at most {most_bytes} are allowed", field=field)
    return text


def fingerprint(text: str) -> str:
    """Return the SHA-256 of a text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of(value: Any) -> str:
    """Return the SHA-256 in hex of the JSON with sorted keys of a large parsed value."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _depth(value: Any) -> int:
    """Return the nesting depth of lists and objects, counted up to one more than :data:`DEEPEST`."""
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
