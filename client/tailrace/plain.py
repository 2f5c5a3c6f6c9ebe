"""Values of Python, NumPy and pandas as JSON has them; what can't be sent is refused by the name of its field."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["is_series", "plain_point", "plain_value"]


def plain_point(x: Any, name: str = "x") -> dict[str, Any]:
    """Features by name, as JSON has them.

    Parameters
    ----------
    x
        A mapping, or a Series of pandas, of which what is missing (NaN, None) is left out.
    name
        What to call it in an error.

    Raises
    ------
    Unusable
        If it is neither, or holds what can't be sent; the message names the feature.
    """
    has_gaps = is_series(x)
    if not isinstance(x, Mapping) and not has_gaps:
        raise Unusable(f"{name} is {_shown(x)}: expected features by name, such as {{'x': 8, 'y': 16, 'z': 8}}")
    plain: dict[str, Any] = {}
    for feature, value in x.items():
        if has_gaps and _is_missing(value):
            continue
        if not isinstance(feature, (str, int, float)):
            raise Unusable(f"{name} has a feature called {feature!r}: expected a text")
        called = str(feature)
        if called in plain:
            raise Unusable(f"{name} has two features called {called!r}: expected each name once")
        plain[called] = plain_value(value, f"{name}[{feature!r}]")
    return plain


def plain_value(value: Any, name: str) -> Any:
    """A feature's value or a target, as JSON has it.

    Raises
    ------
    Unusable
        If it can't be sent: an array, a date, what is missing or not finite; the message says what to send.
    """
    if _package(value) == "numpy" and hasattr(value, "item"):
        if getattr(value, "size", 1) != 1:
            shape = " by ".join(map(str, value.shape))
            raise Unusable(
                f"{name} is an array of {shape} values: expected one number; give each value a name of its own"
            )
        if value.dtype.kind in "mM":
            raise _no_time(value, name, is_date=value.dtype.kind == "M")
        value = value.item()
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise Unusable(f"{name} is {value}: expected a finite number (leave out what is missing)")
        return value
    if _is_missing(value):
        raise Unusable(f"{name} is {value}: expected a value; leave out a feature that is missing")
    kind = type(value)
    if hasattr(value, "total_seconds") or hasattr(value, "isoformat"):
        raise _no_time(value, name, is_date=not hasattr(value, "total_seconds"))
    if hasattr(value, "__float__") and _package(value) in ("decimal", "fractions", "numpy"):
        return plain_value(float(value), name)
    if kind in (list, dict):  # the server knows whether its stream takes these
        return value
    raise Unusable(f"{name} is {_shown(value)}: expected a number, a boolean or a text")


def _no_time(value: Any, name: str, *, is_date: bool) -> Unusable:
    if is_date:
        return Unusable(
            f"{name} is the date {value}: expected a number, a boolean or a text; send what of the date matters"
        )
    return Unusable(
        f"{name} is the duration {value}: expected a number; send its seconds, or what the stream's unit is"
    )


def _is_missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def is_series(value: Any) -> bool:
    """Whether it is a Series of pandas, which need not be there to tell."""
    return any(cls.__name__ == "Series" and cls.__module__.partition(".")[0] == "pandas" for cls in type(value).__mro__)


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
