"""What subcommands share: features on a command line, durations."""

from __future__ import annotations

import argparse
import math

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["pairs", "seconds", "value"]


def pairs(given: Sequence[str], what: str = "feature") -> dict[str, float | int | bool | str]:
    """``x=8 pair=cu-zr`` as a mapping. Raises Unusable for anything else, and for a name that comes twice."""
    found: dict[str, float | int | bool | str] = {}
    for text in given:
        name, equals, after = text.partition("=")
        if not name or not equals:
            raise Unusable(f"{text!r} is no {what}: expected name=value, such as x=8")
        if name in found:
            raise Unusable(f"{name} is given twice")
        found[name] = value(name, after)
    return found


def value(name: str, text: str) -> float | int | bool | str:
    """A value as it is meant: true and false, whole numbers, finite numbers, and otherwise a string."""
    if text in ("true", "false"):
        return text == "true"
    if "_" in text:
        return text  # Python would read 1_000 as a number
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise Unusable(f"{name} is {text}: expected a finite number")
    return number


def seconds(text: str) -> float:
    """A time in seconds, more than 0, for argparse."""
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 < given < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected seconds, more than 0")
    return given
