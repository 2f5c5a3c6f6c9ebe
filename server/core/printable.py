"""Short, encodable text and plain data of untrusted values, for messages, answers, audit entries and log lines.

A pickle may contain text that UTF-8 can't encode, numbers of a million digits, and objects whose ``repr`` is far larger than
they are. All code that shows such a value uses this module.
"""

from collections.abc import Callable, Iterable
from typing import Any

MAX_INTEGER_BITS = 300
"""Bits of the largest integer that is written in full. The time to convert one grows with the square of its length."""

MAX_DEPTH = 20


def encodable(text: str, longest: int) -> str:
    """Return at most ``longest`` characters of a text, with lone surrogates escaped (``\\ud800``)."""
    if len(text) > longest:
        text = text[: max(0, longest - 1)] + "…"
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return encodable(text.encode("utf-8", "backslashreplace").decode(), longest)
    return text


def brief(value: Any, longest: int = 80) -> str:
    """Return the ``repr`` of a value, cut after ``longest`` characters. It reads no more of the value than it shows.

    Of an object that isn't plain data it shows only the class, because the object's own ``repr`` may take forever.
    """
    pieces: list[str] = []
    try:
        _write(value, pieces.append, _Room(longest + 1), MAX_DEPTH)
    except _Full:
        pass
    text = "".join(pieces)
    return encodable(text if len(text) <= longest else text[: longest - 3] + "...", longest)


class _Full(Exception):
    """The text is long enough."""


class _Room:
    """Number of characters that may still be written."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, length: int) -> None:
        self.left -= length
        if self.left <= 0:
            raise _Full


def _write(value: Any, write: Callable[[str], None], room: _Room, depth: int) -> None:
    def put(text: str) -> None:
        write(text)
        room.take(len(text))

    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        put(repr(value[: room.left + 1]))
    elif kind is int:
        put(integer(value))
    elif value is None or kind is bool or kind is float or kind is complex:
        put(repr(value))
    elif kind in _BRACKETS and depth > 0:
        before, after = _BRACKETS[kind]
        put(before)
        _write_items(value, kind is dict, put, write, room, depth - 1)
        put(",)" if kind is tuple and len(value) == 1 else after)
    else:
        put(f"<{kind.__module__}.{kind.__qualname__}>".replace("<builtins.", "<"))


_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"), tuple: ("(", ")"), dict: ("{", "}"), set: ("{", "}"), frozenset: ("{", "}"),
}  # fmt: skip


def _write_items(
    items: Iterable[Any], pairs: bool, put: Callable[[str], None], write: Callable[[str], None], room: _Room, depth: int
) -> None:
    for index, item in enumerate(items):
        if index:
            put(", ")
        _write(item, write, room, depth)
        if pairs:
            put(": ")
            _write(items[item], write, room, depth)  # type: ignore[index]


def integer(value: int) -> str:
    """Return an integer in decimal, or its length in bits if it is large."""
    bits = value.bit_length()
    return str(int(value)) if bits <= MAX_INTEGER_BITS else f"<an integer of {bits} bits>"


class Plain:
    """Converts values to plain data of limited size.

    If a part is left out, the result says so (``"… 12 more"``).

    Parameters
    ----------
    room
        Largest number of values and characters in total.
    longest
        Largest number of characters of one text.
    deepest
        How deep lists and objects may nest.
    other
        Converts an object that isn't plain data to a text, a list or an object. None: use the name of its class.
    """

    def __init__(
        self,
        room: int = 100_000,
        longest: int = 1_000,
        deepest: int = 40,
        other: Callable[["Plain", Any, int], Any] | None = None,
    ) -> None:
        self.room = room
        self.longest = longest
        self.deepest = deepest
        self.other = other

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the value, or as much of it as fits."""
        self.room -= 1
        if value is None or isinstance(value, (bool, float)):
            return float(value) if isinstance(value, float) else value
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**64 else self.text(integer(value))
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            if depth >= self.deepest or self.room <= 0:
                return "…"
            if isinstance(value, dict):
                return self.object(value.items(), len(value), depth)
            return self.list(value, len(value), depth)
        if self.other is not None:
            return self.other(self, value, depth)
        return self.text(f"{type(value).__module__}.{type(value).__qualname__}")

    def text(self, value: str) -> str:
        """Return a text, cut to the limits."""
        found = encodable(value, min(self.longest, max(1, self.room)))
        self.room -= len(found)
        return found

    def list(self, items: Iterable[Any], size: int, depth: int) -> list[Any]:
        """Return a list of ``size`` items, cut to the limits."""
        found: list[Any] = []
        for item in items:
            if self.room <= 0:
                found.append(f"… {size - len(found)} more")
                break
            found.append(self.of(item, depth + 1))
        return found

    def object(self, items: Iterable[tuple[Any, Any]], size: int, depth: int) -> dict[str, Any]:
        """Return an object of ``size`` members, cut to the limits. Keys become texts."""
        found: dict[str, Any] = {}
        for done, (key, item) in enumerate(items):
            if self.room <= 0:
                found["…"] = f"{size - done} more"
                break
            found[self.key(key)] = self.of(item, depth + 1)
        return found

    def key(self, key: Any) -> str:
        """Return a key as text."""
        return self.text(key) if isinstance(key, str) else self.text(brief(key, self.longest))
