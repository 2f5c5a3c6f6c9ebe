"""Lines of the spool: a call of a run as one line of JSON, as the server reads it."""

from __future__ import annotations

import json
import math
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

__all__ = [
    "LONGEST_KEY",
    "LONGEST_VALUE",
    "NAME_TAG",
    "Names",
    "json_line",
    "metric_value",
    "now_ms",
    "pieces",
    "text_value",
]

LONGEST_KEY = 250
LONGEST_VALUE = 8000
"""Most characters of a key and of a value that a back end takes."""

LARGEST_STEP = 2**62
KEYS_A_LINE = 1000

NAME_TAG = "tailrace.name."
"""Begin of the tags that hold the whole names of keys that were changed."""

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_line(line: Mapping[str, Any]) -> bytes:
    """Returns a line of the spool, with its line break. Raises ValueError if it cannot be written as JSON."""
    return f"{_encode(line)}\n".encode("ascii")


def now_ms() -> int:
    """Returns the time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def metric_value(value: Any) -> float | str:
    """Returns a value as a line holds it: a finite float, or one of ``NaN``, ``Infinity``, ``-Infinity``.

    Arrays of one element, such as a tensor, count as their element.

    Raises
    ------
    ValueError
        If it is not a number. The message says what it is.
    """
    if isinstance(value, (str, bytes)) or value is None:
        raise ValueError(f"{_shown(value)} is not a number")
    try:
        found = float(value.item() if hasattr(value, "item") else value)
    except OverflowError:
        raise ValueError(f"{_shown(value)} is larger than the largest float") from None
    except Exception:
        raise ValueError(f"a value of type {type(value).__name__} is not a number") from None
    if math.isfinite(found):
        return found
    return "NaN" if math.isnan(found) else "Infinity" if found > 0 else "-Infinity"


def text_value(value: Any) -> tuple[str, str | None]:
    """Returns a value of a parameter or a tag as text, and the whole text if it had to be shortened."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, (dict, list, tuple)):
        try:
            text = json.dumps(value, default=str)
        except (TypeError, ValueError, RecursionError):
            text = _safely(value)
    elif hasattr(value, "value") and type(type(value)).__name__ == "EnumMeta":
        return text_value(value.value)
    else:
        text = _safely(value)
    text = _storable(text)
    if len(text) <= LONGEST_VALUE:
        return text, None
    return f"{text[: LONGEST_VALUE - 40]}… ({len(text)} characters)", text


class Names:
    """Keys as back ends take them: those that are longer than 250 characters, or hold what cannot be stored, get another
    name, and a tag with the one that was given."""

    def __init__(self) -> None:
        self._known: dict[Any, str] = {}
        self._said: set[str] = set()

    def __call__(self, key: Any) -> str:
        """Returns the name to store a key under."""
        found = self._known.get(key) if isinstance(key, str) else None
        if found is None:
            text = _storable(key if isinstance(key, str) else _safely(key))
            found = text or "(empty)"
            if len(found) > LONGEST_KEY or found != key:
                import zlib

                digest = f"{zlib.crc32(repr(key).encode('utf-8', 'backslashreplace')):08x}"
                found = f"{found[: LONGEST_KEY - 9]}-{digest}" if isinstance(key, str) else found[:LONGEST_KEY]
            if isinstance(key, str) and len(self._known) < 100_000:
                self._known[key] = found
        return found

    def explained(self, keys: Iterable[Any]) -> dict[str, str]:
        """Returns tags that give the whole names of keys that were changed. Each is returned once."""
        found = {}
        for key in keys:
            if isinstance(key, str) and self(key) != key and self(key) not in self._said:
                self._said.add(self(key))
                found[f"{NAME_TAG}{self(key)[len(NAME_TAG) - LONGEST_KEY :]}"] = text_value(key)[0]
        return found


def pieces(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the values in pieces that fit into a line."""
    items = list(values.items())
    for first in range(0, len(items), KEYS_A_LINE):
        yield dict(items[first : first + KEYS_A_LINE])


def _storable(text: str) -> str:
    """Returns a text without what databases refuse: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _safely(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, bytes, type(None))) else _safely(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
