"""Query parameters and nested bodies of the native API, checked as strictly as everything else that comes in."""

import re
from typing import Any

from django.http import HttpRequest

from server.api.v1.openapi import LONGEST_IN_QUERY
from server.streams.errors import Invalid
from server.streams.validation import check_text, shown

LARGEST = 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")


def only(request: HttpRequest, known: tuple[str, ...]) -> None:
    """Refuse query parameters that the address doesn't have: a typo must not be answered as if it weren't there.

    Raises
    ------
    Invalid
        Naming the parameter and those that there are.
    """
    for name, values in request.GET.lists():
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "this address has none"
            raise Invalid(f"unknown query parameter {shown(name)}: {expected}", field=name, code="unknown_field")
        if len(values) > 1:
            raise Invalid(f"query parameter {name} is given {len(values)} times: expected once", field=name)


def integer(request: HttpRequest, name: str, least: int = 0, most: int = LARGEST) -> int | None:
    """A whole number in ``[least, most]``, or None where it isn't given.

    Raises
    ------
    Invalid
        Naming the parameter, its value and what was expected.
    """
    text = request.GET.get(name)
    if text is None:
        return None
    value = int(text) if _INTEGER.match(text) else None
    if value is None or not least <= value <= most:
        bounds = f"at least {least}" if most == LARGEST else f"from {least} to {most}"
        raise Invalid(f"{name} is {shown(text)}: expected a whole number {bounds}", field=name)
    return value


def text(request: HttpRequest, name: str, longest: int = LONGEST_IN_QUERY) -> str | None:
    """A string, or None where it isn't given."""
    value = request.GET.get(name)
    return None if value is None else check_text(value, name, longest)


def choice(request: HttpRequest, name: str, choices: tuple[str, ...]) -> str | None:
    """One of ``choices``, or None where it isn't given."""
    value = request.GET.get(name)
    if value is not None and value not in choices:
        raise Invalid(f"{name} is {shown(value)}: expected one of {', '.join(choices)}", field=name)
    return value


def member(payload: dict[str, Any], field: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    """An object inside the body, with no fields but the known ones.

    Raises
    ------
    Invalid
        Naming the field by its whole path.
    """
    value = payload[field]
    expected = f"expected an object with {', '.join(known)}"
    if type(value) is not dict:
        raise Invalid(f"{field} is {shown(value)}: {expected}", field=field)
    for name in required:
        if name not in value:
            raise Invalid(f"{field}.{name} is missing: {expected}", field=f"{field}.{name}", code="missing")
    for name in value:
        if name not in known:
            raise Invalid(f"unknown field {field}.{name}: {expected}", field=f"{field}.{name}", code="unknown_field")
    return value


def boolean(payload: dict[str, Any], field: str, default: bool) -> bool:
    """A field of the body that is true or false."""
    value = payload.get(field, default)
    if type(value) is not bool:
        raise Invalid(f"{field} is {shown(value)}: expected true or false", field=field)
    return value
