"""Values that were read from a text, and the text.

A command line has no types: ``commit=45e7`` may be a number or a name. So the text goes along, and the server, which knows
what its stream holds, takes the one or the other.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Given", "read", "unlike", "written"]

NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WITH_LEADING_ZEROS = re.compile(r"[+-]?0[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
MOST_DIGITS = 4000
"""More than these Python reads no whole number of."""


class Given(dict):  # type: ignore[type-arg]  # Python 3.9 reads this
    """Features by name.

    Attributes
    ----------
    written
        The texts, of those that were read from one which may be more than a text.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, written: Mapping[str, str] | None = None) -> None:
        super().__init__(values or {})
        self.written = dict(written or {})


def read(text: str) -> tuple[Any, bool]:
    """What a text stands for, and whether that is for the stream to decide: it may be another kind of value there.

    Leading zeros are part of a text, so that ``007`` stays what it is.

    >>> read("1e6"), read("007"), read("1_000")
    ((1000000.0, True), ('007', True), ('1_000', False))
    """
    if text in ("true", "false"):
        return text == "true", True
    if len(text) < MOST_DIGITS and NUMBER.fullmatch(text):
        return int(text) if WHOLE.fullmatch(text) else float(text), True
    return text, WITH_LEADING_ZEROS.fullmatch(text) is not None


def written(x: Mapping[str, Any], y: str | None = None) -> dict[str, Any]:
    """What goes along with an observation: the texts of its features, and of its target; empty where nothing was read."""
    found: dict[str, Any] = {}
    if texts := getattr(x, "written", None):
        found["x"] = texts
    if y is not None:
        found["y"] = y
    return found


def unlike(value: Any, text: str | None) -> Any:
    """The text, where the value would be written otherwise; else the value. So ``45e7`` and ``450000000.0`` are two."""
    return value if text is None or json.dumps(value) == text else text
