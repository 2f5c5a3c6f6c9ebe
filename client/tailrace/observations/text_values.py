"""Values that were parsed from text, together with the text.

A command line has no types: ``commit=45e7`` may be a number or a name. So the client sends both the value and the text.
The server knows the kinds of the stream's features and uses the one that fits.
"""

from __future__ import annotations

import json
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["TextFeatures", "as_utf8", "parse_text", "texts_of", "value_or_text"]

NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WITH_LEADING_ZEROS = re.compile(r"[+-]?0[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
MOST_DIGITS = 4000
"""Numbers with more digits stay text. Python refuses to read integers of more than 4300 digits."""


class TextFeatures(dict):  # type: ignore[type-arg]  # Python 3.9 reads this
    """Features by name.

    Attributes
    ----------
    texts
        For each feature, the text that its value was read from, if the server may need it.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, texts: Mapping[str, str] | None = None) -> None:
        super().__init__(values or {})
        self.texts = dict(texts or {})


def parse_text(text: str) -> tuple[Any, bool]:
    """Returns the value of a text, and whether the server needs the text, too, as the value may be of another kind.

    A number with leading zeros, such as ``007``, stays text.

    >>> parse_text("1e6"), parse_text("007"), parse_text("1_000")
    ((1000000.0, True), ('007', True), ('1_000', False))
    """
    if text in ("true", "false"):
        return text == "true", True
    if len(text) < MOST_DIGITS and NUMBER.fullmatch(text):
        return int(text) if WHOLE.fullmatch(text) else float(text), True
    return text, WITH_LEADING_ZEROS.fullmatch(text) is not None


def as_utf8(word: str) -> str:
    r"""Returns a word of the command line or the environment, read as UTF-8 whatever the locale is.

    Bytes that are not UTF-8 are escaped, such as ``\\xe9``: JSON could not hold them, and the observation would be lost.
    """
    try:
        return os.fsencode(word).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return word


def texts_of(x: Mapping[str, Any], y: str | None = None) -> dict[str, Any]:
    """Returns the texts to send with an observation: those of its features and its target, if any."""
    found: dict[str, Any] = {}
    if texts := getattr(x, "texts", None):
        found["x"] = texts
    if y is not None:
        found["y"] = y
    return found


def value_or_text(value: Any, text: str | None) -> Any:
    """Returns the text if JSON would write the value differently, otherwise the value.

    So ``45e7`` and ``450000000.0`` count as different.
    """
    return value if text is None or json.dumps(value) == text else text
