"""Conversion of Python, NumPy and pandas values to JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["is_series", "json_point", "json_value", "plain_number"]

LONGEST = 1024
"""Bits of an integer that a float can stand for. Python doesn't even print one of 4,300 digits."""


def json_point(x: Any, name: str = "x") -> dict[str, Any]:
    """Returns the features of a point by name, as JSON values.

    Parameters
    ----------
    x
        A mapping, or a pandas Series. Missing values (NaN, None) of a Series are left out.
    name
        Name of the point in error messages.

    Raises
    ------
    Unusable
        If `x` is neither, or a value cannot be sent. The message names the feature.
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
        called = _checked(str(feature), f"the name of a feature of {name}")
        if called in plain:
            raise Unusable(f"{name} has two features called {called!r}: expected each name once")
        plain[called] = json_value(value, f"{name}[{feature!r}]")
    return plain


def json_value(value: Any, name: str) -> Any:
    """Returns the value of a feature or a target as a JSON value.

    Raises
    ------
    Unusable
        If the value cannot be sent: an array, a date, a missing value, or a number that is not finite. The message says
        what to send instead.
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
    if isinstance(value, str):
        return _checked(value, name)
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise Unusable(f"{name} is {value}: expected a finite number (leave out what is missing)")
        if isinstance(value, int) and value.bit_length() > LONGEST:
            raise Unusable(f"{name} is an integer of more than 308 digits: expected a number below 1.8e308")
        return value
    if _is_missing(value):
        raise Unusable(f"{name} is {value}: expected a value; leave out a feature that is missing")
    if hasattr(value, "total_seconds") or hasattr(value, "isoformat"):
        raise _no_time(value, name, is_date=not hasattr(value, "total_seconds"))
    if hasattr(value, "__float__") and _package(value) in ("decimal", "fractions", "numpy"):
        return json_value(float(value), name)
    raise Unusable(f"{name} is {_shown(value)}: expected a number, a boolean or a text")


def plain_number(value: Any) -> Any:
    """Returns a NumPy scalar as the Python value that JSON can hold, and anything else as it is."""
    return value.item() if _package(value) == "numpy" and getattr(value, "size", 0) == 1 else value


def _checked(text: str, name: str) -> str:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise Unusable(
            f"{name} is {text!r}: expected text in Unicode; decode the bytes that it was read from"
        ) from None
    return text


def _no_time(value: Any, name: str, *, is_date: bool) -> Unusable:
    if is_date:
        return Unusable(
            f"{name} is the date {value}: expected a number, a boolean or a text; send the part of the date that matters"
        )
    return Unusable(f"{name} is the duration {value}: expected a number; send it in seconds, or in the stream's unit")


def _is_missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def is_series(value: Any) -> bool:
    """Whether a value is a pandas Series. Does not import pandas."""
    return any(cls.__name__ == "Series" and cls.__module__.partition(".")[0] == "pandas" for cls in type(value).__mro__)


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
