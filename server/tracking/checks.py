"""Checks of keys, values and times of runs."""

import re
from typing import Any

from server.core.errors import Invalid
from server.core.validation import check_text, format_value, whole_as_int
from server.tracking import clock, values
from server.tracking.models.names import LONGEST_KEY, LONGEST_NAME, LONGEST_VALUE
from server.tracking.statements import Point

UID = re.compile(r"[0-9a-f]{32}\Z")


def uid(value: Any, field: str = "uid") -> str:
    """Return the identifier of a run.

    Raises
    ------
    Invalid
        If it isn't 32 hexadecimal digits.
    """
    if not isinstance(value, str) or not UID.match(value):
        raise Invalid(
            f"{field} is {format_value(value)}: expected the identifier of a run, 32 digits from 0 to 9 and a to f",
            field=field,
        )
    return value


def key(value: Any, field: str) -> str:
    """Return the key of a param, tag or metric.

    Raises
    ------
    Invalid
        If it is empty, too long, or can't be stored.
    """
    if not check_text(value, field, LONGEST_KEY):
        raise Invalid(f"{field} is empty: expected 1 to {LONGEST_KEY} characters", field=field)
    return str(value)


def text(value: Any, field: str) -> str:
    """Return the value of a param or tag.

    Raises
    ------
    Invalid
        If it is not text, too long, or can't be stored.
    """
    return check_text(value, field, LONGEST_VALUE)


def name(value: Any, field: str = "name") -> str:
    """Return the name of an experiment: any characters, but not only spaces.

    Raises
    ------
    Invalid
        If it is empty, too long, or can't be stored.
    """
    if not check_text(value, field, LONGEST_NAME).strip():
        raise Invalid(f"{field} is empty: expected 1 to {LONGEST_NAME} characters", field=field)
    return str(value)


def whole(value: Any, field: str) -> int:
    """Return a step or a time.

    Raises
    ------
    Invalid
        If it isn't a whole number from -2^62 to 2^62.
    """
    value = whole_as_int(value)
    if type(value) is not int or not clock.EARLIEST <= value <= clock.LATEST:
        raise Invalid(f"{field} is {format_value(value)}: expected a whole number from -2^62 to 2^62", field=field)
    return value


def pairs(given: Any, field: str) -> dict[str, str]:
    """Return params or tags.

    Raises
    ------
    Invalid
        If one is not valid. The message names it.
    """
    if type(given) is not dict:
        raise Invalid(f"{field} is {format_value(given)}: expected an object of keys and texts", field=field)
    for one, value in given.items():
        key(one, f"key {format_value(one)} of {field}")
        text(value, f"{field}.{one}")
    return given


def point(name: Any, step: Any, time_ms: Any, value: Any, field: str) -> Point:
    """Return a point of a metric as it is stored.

    Raises
    ------
    Invalid
        If the key, the step, the time or the value is not valid.
    """
    return Point(
        key(name, f"{field}.key"),
        whole(step, f"{field}.step"),
        whole(time_ms, f"{field}.time_ms"),
        *values.stored(value, f"{field}.value"),
    )
