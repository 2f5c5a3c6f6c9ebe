"""Command-line values: features, sources, times in seconds."""

from __future__ import annotations

import argparse
import math

from tailrace.errors import Unusable
from tailrace.observations.text_values import NUMBER, TextFeatures, as_utf8, parse_text, value_or_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "parse_features",
    "parse_probability",
    "parse_seconds",
    "parse_source",
    "parse_target",
    "value_and_text",
    "without_blanks",
]

NON_FINITE = ("nan", "inf", "infinity")


def parse_features(given: Sequence[str], what: str = "feature") -> TextFeatures:
    """Parse features such as ``x=8 pair=cu-zr lot:='"7"'``.

    `value_and_text` reads a value after ``=``. A value after ``:=`` is JSON.

    Raises
    ------
    Unusable
        If a word has another form, a feature has no value, or a name occurs twice.
    """
    found = TextFeatures()
    for word in map(as_utf8, given):
        name, equals, after = word.partition("=")
        is_json = name.endswith(":")
        name = name[:-1] if is_json else name
        if not name or not equals:
            raise Unusable(f"{word!r} is not a {what}: expected name=value, such as x=8")
        if name in found:
            raise Unusable(f"{name} is given twice")
        if not after and what == "feature":
            raise Unusable(_empty(name))
        found[name], text = (_json(name, after), None) if is_json else value_and_text(name, without_blanks(after))
        if text is not None:
            found.texts[name] = text
    return found


def _empty(name: str) -> str:
    return f"{name} has no value: expected {name}=VALUE (is a variable of the shell not set?); write empty text as {name}='\"\"'"


def parse_target(text: str) -> tuple[Any, str | None]:
    """Parse the value of ``--y``. See `value_and_text`."""
    if not text:
        raise Unusable(_empty("--y"))
    read = without_blanks(as_utf8(text))
    if not NUMBER.fullmatch(read):
        from tailrace.observations.damaged_numbers import damage_of

        if what := damage_of(read):
            raise Unusable(f"--y is {read}: this seems to be {what}; write text in quotes, as in '\"{read}\"'")
    return value_and_text("--y", read)


def parse_source(given: Sequence[str]) -> dict[str, Any]:
    """Parse the source of an observation. A value stays text unless JSON would write it in the same way."""
    found = parse_features(given, "source")
    return {name: value_or_text(one, found.texts.get(name)) for name, one in found.items()}


def without_blanks(text: str) -> str:
    """A number without the blanks around it, as in ``x="$(wc -l < file)"`` on some systems; other texts as they are."""
    bare = text.strip(" \t")
    return bare if NUMBER.fullmatch(bare) else text


def value_and_text(name: str, text: str) -> tuple[Any, str | None]:
    """Parse a value: true or false, a finite number, JSON text in double quotes, or any other text.

    Returns
    -------
    The value, and its text if the stream decides how to read it. Otherwise None instead of the text.

    Raises
    ------
    Unusable
        If the text is a number that is not finite.
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _json(name, text), None
    found, is_open = parse_text(text)
    if (isinstance(found, float) and not math.isfinite(found)) or text.lstrip("+-").lower() in NON_FINITE:
        raise Unusable(f"{name} is {text}: expected a finite number; write text in quotes, as in {name}='\"{text}\"'")
    return found, text if is_open else None


def _json(name: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f'{name} is {text}: expected JSON, such as "007" or 8 ({error})') from None


def parse_probability(text: str) -> float:
    """Parse a probability, for argparse."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability: expected a number such as 0.95") from None


def parse_seconds(text: str) -> float:
    """Parse a time in seconds, more than 0, for argparse."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: expected seconds, more than 0")
    return given
