"""Queries and exports of the audit trail: filtered, newest first, by page or complete."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from server.accounts import audit
from server.accounts.models import AuditEntry
from server.core.errors import Invalid
from server.core.json_codec import dumps, dumps_text
from server.core.spreadsheet_cells import escape_formula
from server.core.validation import check_text, format_value

LONGEST = 300
"""Largest number of characters of a filter, as of a target."""

AHEAD = 500
"""Number of entries that an export holds in memory."""

COLUMNS = (
    "number", "at", "user", "token", "address", "request_id", "action", "target", "before", "after", "hash",
)  # fmt: skip
_EXACT = {"user": "username", "action": "action", "target": "target"}
_TIMES = {"from": "at__gte", "to": "at__lt"}
FILTERS = (*_EXACT, *_TIMES)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def filtered(given: dict[str, str]) -> "QuerySet[AuditEntry]":
    """Return the entries that match all filters, newest first.

    Parameters
    ----------
    given
        Filters: exact values of ``user``, ``action`` and ``target``; times (RFC 3339) ``from`` (inclusive) and ``to``
        (exclusive).

    Raises
    ------
    Invalid
        If a filter is malformed. The message names it.
    """
    chosen = {column: check_text(given[name], name, LONGEST) for name, column in _EXACT.items() if name in given}
    chosen |= {column: _time(given[name], name) for name, column in _TIMES.items() if name in given}
    return AuditEntry.objects.filter(**chosen).order_by("-number")


def page(entries: "QuerySet[AuditEntry]", before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return at most ``limit`` entries with numbers below ``before``, and ``before`` of the next page (None: no more)."""
    some = list((entries if before is None else entries.filter(number__lt=before))[: limit + 1])
    more = some[limit - 1].number if len(some) > limit else None
    return [audit.as_dict(entry) for entry in some[:limit]], more


def pages(entries: "QuerySet[AuditEntry]", before: int | None, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the entries page by page."""
    while limit is None or limit > 0:
        some, before = page(entries, before, AHEAD if limit is None else min(limit, AHEAD))
        yield some
        if before is None:
            return
        limit = None if limit is None else limit - len(some)


def ndjson(entries: "QuerySet[AuditEntry]", before: int | None = None, limit: int | None = None) -> Iterator[bytes]:
    """Yield the entries as NDJSON, one per line."""
    for some in pages(entries, before, limit):
        yield b"".join(dumps(entry) + b"\n" for entry in some)


def csv_table(entries: "QuerySet[AuditEntry]", before: int | None = None, limit: int | None = None) -> Iterator[bytes]:
    """Yield the entries as CSV (RFC 4180, UTF-8) with a header line. ``before`` and ``after`` are JSON.

    Cells that a spreadsheet would evaluate as formulas get a leading apostrophe.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for some in pages(entries, before, limit):
        writer.writerows([_cell(name, entry[name]) for name in COLUMNS] for entry in some)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _cell(column: str, value: Any) -> Any:
    if value is None:
        return None
    plain = dumps_text(value) if column in ("before", "after") else str(value)
    return escape_formula(plain)


def _time(given: str, name: str) -> str:
    """Return a time in the format of the column ``at``, so that they compare as text."""
    try:
        if not _TIME.match(given):
            raise ValueError
        return datetime.fromisoformat(given.upper()).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise Invalid(
            f"{name} is {format_value(given)}: expected a time with time zone (RFC 3339), such as 2026-11-21T08:30:00Z; in a "
            "URL, write '+' as %2B",
            field=name,
        ) from None
