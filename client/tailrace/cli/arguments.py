"""What subcommands share: features on a command line, durations."""

from __future__ import annotations

import argparse
import math

from tailrace.errors import Unusable
from tailrace.written import Given, read, unlike

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["pairs", "seconds", "source_pairs", "value_and_text"]

NON_FINITE = ("nan", "inf", "infinity")


def pairs(given: Sequence[str], what: str = "feature") -> Given:
    """``x=8 pair=cu-zr lot:='"7"'`` as a mapping: ``=`` is read as `value_and_text` says, what follows ``:=`` is JSON.

    Raises
    ------
    Unusable
        For anything else, and for a name that comes twice.
    """
    found = Given()
    for word in given:
        name, equals, after = word.partition("=")
        is_json = name.endswith(":")
        name = name[:-1] if is_json else name
        if not name or not equals:
            raise Unusable(f"{word!r} is no {what}: expected name=value, such as x=8")
        if name in found:
            raise Unusable(f"{name} is given twice")
        found[name], text = (_json(name, after), None) if is_json else value_and_text(name, after)
        if text is not None:
            found.written[name] = text
    return found


def source_pairs(given: Sequence[str]) -> dict[str, Any]:
    """The same for where a point came from, which nobody calculates with: what isn't a number as it is written stays text."""
    found = pairs(given, "source")
    return {name: unlike(one, found.written.get(name)) for name, one in found.items()}


def value_and_text(name: str, text: str) -> tuple[Any, str | None]:
    """A value as it is meant (true and false, finite numbers, what stands in double quotes, and otherwise the text), and the
    text where it is for the stream to decide what it is; None where it isn't.

    Raises
    ------
    Unusable
        If it is a number that isn't finite.
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _json(name, text), None
    found, is_open = read(text)
    if (isinstance(found, float) and not math.isfinite(found)) or text.lstrip("+-").lower() in NON_FINITE:
        raise Unusable(f"{name} is {text}: expected a finite number; a text is quoted, as in {name}='\"{text}\"'")
    return found, text if is_open else None


def _json(name: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f'{name} is {text}: expected JSON, such as "007" or 8 ({error})') from None


def seconds(text: str) -> float:
    """A time in seconds, more than 0, for argparse."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected seconds, more than 0")
    return given
