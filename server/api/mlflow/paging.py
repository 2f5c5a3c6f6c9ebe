"""Pages of long lists, and the tokens that lead from one to the next."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import orjson
from django.db.models import QuerySet

from server.core.errors import Invalid
from server.core.json_codec import dumps
from server.core.validation import format_value
from server.tracking import reading
from server.tracking.filters import limits

FARTHEST = 2**53
FIRST_PART, LARGEST_PART = 50, 500
"""Things that are read at once: at first, and at most."""
LARGE = 2**22
"""Bytes of a part from which the next one has fewer things."""


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


def page(
    things: QuerySet[Any], token: str, number: int, show: Callable[[list[Any]], list[Any]], key: int | None
) -> tuple[list[Any], str | None]:
    """Return ``number`` of these things from where the token says, as they are shown, and the token of what follows them.

    They are read in parts. A page whose things are large ends early, so that no page takes much memory.

    Parameters
    ----------
    show
        Returns things as they are shown.
    key
        The caller's (:class:`server.core.slots.Slots`).

    Raises
    ------
    Invalid
        If the token is none.
    TooMany, Unavailable, QueryTooSlow
        As :func:`server.tracking.filters.limits.search` and :func:`server.tracking.reading.room`.
    """
    first = offset(token)
    numbers = limits.search(key, lambda: list(things.values_list("pk", flat=True)[first : first + number + 1]))
    wanted = numbers[:number]
    rows = things.model._default_manager.all()
    rows.query.select_related = things.query.select_related
    shown: list[Any] = []
    size, at, part = 0, 0, FIRST_PART
    with reading.room(len(wanted), key):
        while at < len(wanted) and size < reading.MOST_BYTES:
            some = wanted[at : at + part]
            found = rows.in_bulk(some)
            texts = [dumps(one) for one in show([found[pk] for pk in some if pk in found])]
            shown += map(orjson.Fragment, texts)
            size, at = size + sum(map(len, texts)), at + len(some)
            part = min(2 * part, LARGEST_PART) if sum(map(len, texts)) < LARGE else max(part // 2, 1)
    if at == len(numbers):
        return shown, None
    return shown, base64.b64encode(orjson.dumps({"offset": first + at})).decode()


def listed(name: str, things: list[Any], token: str | None) -> dict[str, Any]:
    """Return an answer with a list: as in MLflow, without what is empty."""
    found: dict[str, Any] = {}
    if things:
        found[name] = things
    if token is not None:
        found["next_page_token"] = token
    return found
