"""Conversion of an estimator's predictions to plain data that the log can store."""

from typing import Any

from django.conf import settings

from server.core.json_codec import dumps_exact
from server.learning.river_adapters.plain_predictions import plain as plain


def stored(value: Any) -> Any:
    """Return a prediction as plain data that can be stored.

    Raises
    ------
    TypeError, OverflowError
        As :func:`plain`; also if its JSON is larger than ``TAILRACE_MAX_PREDICTION_BYTES``.
    ValueError
        If it holds text that isn't Unicode.
    """
    value = plain(value)
    if value is None or type(value) in (float, bool, int):
        return value
    try:
        size = len(dumps_exact(value))
    except TypeError as exc:  # orjson's errors are this one's children
        raise ValueError(f"the prediction can't be stored: {exc}") from exc
    most: int = settings.TAILRACE.max_prediction_bytes
    if size > most:
        raise OverflowError(f"the prediction takes {size} bytes: the most allowed is {most}")
    return value


def number(value: Any) -> float | int | None:
    """Return a regression model's prediction as a Python number; None if it isn't a number."""
    try:
        value = plain(value)
    except (TypeError, OverflowError):
        return None
    return value if isinstance(value, (float, int)) else None
