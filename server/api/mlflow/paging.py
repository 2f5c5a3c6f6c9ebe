"""Pages of long lists, and the tokens that lead from one to the next."""

import base64
import binascii
from typing import Any

import orjson
from django.db.models import QuerySet

from server.core.errors import Invalid
from server.core.validation import format_value

FARTHEST = 2**53


def check_number(value: int | None, default: int, most: int, field: str = "max_results") -> int:
    """Return how many results are wanted.

    Raises
    ------
    Invalid
        If it is less than 1 or more than ``most``.
    """
    if value is None:
        return default
    if not 1 <= value <= most:
        raise Invalid(
            f"Invalid value {value} for parameter '{field}' supplied: expected a whole number from 1 to {most}",
            field=field,
        )
    return value


def offset(token: str) -> int:
    """Return where the page of a token begins; 0 without a token.

    Raises
    ------
    Invalid
        If it isn't a token of this server.
    """
    if not token:
        return 0
    try:
        found = orjson.loads(base64.b64decode(token, validate=True))["offset"]
        if type(found) is int and 0 < found < FARTHEST:
            return found
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise Invalid(
        f"Invalid page token {format_value(token)}: expected the next_page_token of an earlier answer",
        field="page_token",
    )


def page(things: QuerySet[Any], token: str, number: int) -> tuple[list[Any], str | None]:
    """Return ``number`` of these things from where the token says, and the token of what follows them."""
    first = offset(token)
    found = list(things[first : first + number + 1])
    if len(found) <= number:
        return found, None
    return found[:number], base64.b64encode(orjson.dumps({"offset": first + number})).decode()


def listed(name: str, things: list[dict[str, Any]], token: str | None) -> dict[str, Any]:
    """Return an answer with a list: as in MLflow, without what is empty."""
    found: dict[str, Any] = {}
    if things:
        found[name] = things
    if token is not None:
        found["next_page_token"] = token
    return found
