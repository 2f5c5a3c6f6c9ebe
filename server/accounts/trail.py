"""Reading the audit trail: filtered, newest first, a page or all of it."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from server.accounts import audit
from server.accounts.models import AuditEntry
from server.streams.codec import dumps, text
from server.streams.errors import Invalid
from server.streams.spreadsheets import guarded
from server.streams.validation import check_text, shown

LONGEST = 300
"""Characters of a filter: as many as a target may have."""

AHEAD = 500
"""Entries that an export holds in memory."""

COLUMNS = (
    "number", "at", "user", "token", "address", "request_id", "action", "target", "before", "after", "hash",
)  # fmt: skip
_EXACT = {"user": "username", "action": "action", "target": "target"}
_TIMES = {"from": "at__gte", "to": "at__lt"}
FILTERS = (*_EXACT, *_TIMES)

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def found(given: dict[str, str]) -> "QuerySet[AuditEntry]":
    """The entries that all filters let through, the newest first.

    Parameters
    ----------
    given
        Of ``user``, ``action`` and ``target``: exactly that; of ``from`` and ``to`` (RFC 3339): not before that time,
        and before that time.

    Raises
    ------
    Invalid
        Naming the filter that can't be understood.
    """
    chosen = {column: check_text(given[name], name, LONGEST) for name, column in _EXACT.items() if name in given}
    chosen |= {column: _time(given[name], name) for name, column in _TIMES.items() if name in given}
    return AuditEntry.objects.filter(**chosen).order_by("-number")


def page(entries: "QuerySet[AuditEntry]", before: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """At most ``limit`` entries with numbers less than ``before``, and the ``before`` of the next page (None: no more)."""
    some = list((entries if before is None else entries.filter(number__lt=before))[: limit + 1])
    more = some[limit - 1].number if len(some) > limit else None
    return [audit.shown(entry) for entry in some[:limit]], more


def each(entries: "QuerySet[AuditEntry]", before: int | None, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """All those entries, some at a time."""
    while limit is None or limit > 0:
        some, before = page(entries, before, AHEAD if limit is None else min(limit, AHEAD))
        yield some
        if before is None:
            return
        limit = None if limit is None else limit - len(some)


def ndjson(entries: "QuerySet[AuditEntry]", before: int | None = None, limit: int | None = None) -> Iterator[bytes]:
    """One entry a line."""
    for some in each(entries, before, limit):
        yield b"".join(dumps(entry) + b"\n" for entry in some)


def table(entries: "QuerySet[AuditEntry]", before: int | None = None, limit: int | None = None) -> Iterator[bytes]:
    """CSV (RFC 4180, UTF-8): a line of names, then a line an entry; ``before`` and ``after`` are JSON.

    A cell that a spreadsheet would take for a formula begins with an apostrophe, which is not part of it.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for some in each(entries, before, limit):
        writer.writerows([_cell(name, entry[name]) for name in COLUMNS] for entry in some)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _cell(column: str, value: Any) -> Any:
    if value is None:
        return None
    plain = text(value) if column in ("before", "after") else str(value)
    return guarded(plain)


def _time(given: str, name: str) -> str:
    """A time as the trail's column ``at`` has it, so that they compare as text."""
    try:
        if not _TIME.match(given):
            raise ValueError
        return datetime.fromisoformat(given.upper()).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise Invalid(
            f"{name} is {shown(given)}: expected a time with its zone (RFC 3339), such as 2026-11-21T08:30:00Z; in an "
            "address, '+' is written %2B",
            field=name,
        ) from None
