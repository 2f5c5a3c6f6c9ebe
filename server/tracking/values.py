"""Values of metrics: a number that orders them in the database, and what it stands for if the value is not finite.

NaN counts as 0 and infinities as the largest numbers where values are compared, as MLflow does.
"""

import math
from typing import Any

from server.core.errors import Invalid
from server.core.validation import format_value

FINITE, NAN, INFINITE, MINUS_INFINITE = range(4)
LARGEST = 1.7976931348623157e308

NAMES = {"NaN": (0.0, NAN), "Infinity": (LARGEST, INFINITE), "-Infinity": (-LARGEST, MINUS_INFINITE)}
"""How JSON carries values that are not finite, and how they are stored."""

_WORDS = (None, "NaN", "Infinity", "-Infinity")
_FLOATS = (None, math.nan, math.inf, -math.inf)


def stored(value: Any, field: str) -> tuple[float, int]:
    """Return a value of JSON as it is stored: a finite number, and which special value it stands for.

    Raises
    ------
    Invalid
        If it is not a number, nor one of :data:`NAMES`.
    """
    kind = type(value)
    if kind is float:
        if value - value == 0.0:
            return value, FINITE
        if value != value:
            return NAMES["NaN"]
        return NAMES["Infinity" if value > 0 else "-Infinity"]
    if kind is int:
        try:
            return float(value), FINITE
        except OverflowError:
            pass
    elif kind is str and value in NAMES:
        return NAMES[value]
    raise Invalid(f'{field} is {format_value(value)}: expected a number, "NaN", "Infinity" or "-Infinity"', field=field)


def shown(value: float, special: int) -> float | str:
    """Return a stored value as JSON shows it."""
    return value if not special else str(_WORDS[special])


def as_float(value: float, special: int) -> float:
    """Return a stored value as a float, which may be NaN or infinite."""
    return value if not special else float(_FLOATS[special])  # type: ignore[arg-type]
