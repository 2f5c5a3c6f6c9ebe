"""The audit trail page, for admins: filters, pages, export."""

import re
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from server.accounts import audit_query
from server.core.errors import Invalid
from server.core.json_codec import dumps_text
from server.dashboard.rendering import page

PAGE = 50
MOST_DIGITS = 18
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\Z", re.ASCII)


def listed(request: HttpRequest) -> HttpResponse:
    """GET: entries, newest first."""
    given = _given(request)
    try:
        before = _number(request.GET.get("before", ""))
        entries, more = audit_query.page(audit_query.filtered(_understood(given)), before, PAGE)
    except Invalid as exc:
        return page(request, "audit", 400, given=given, wrong={exc.field: exc.message}, entries=[])
    for entry in entries:
        entry["changes"] = [(name, dumps_text(entry[name])) for name in ("before", "after") if entry[name] is not None]
    chosen = urlencode(given)
    return page(
        request,
        "audit",
        given=given,
        entries=entries,
        is_first=before is None,
        older=None if more is None else f"?{urlencode({**given, 'before': more})}",
        newest=f"?{chosen}",
        export=f"/audit/export/?{chosen}{'&' if chosen else ''}format=",
    )


def export(request: HttpRequest) -> HttpResponseBase:
    """GET: all entries that match the filters, as NDJSON or (``format=csv``) as CSV."""
    entries = audit_query.filtered(_understood(_given(request)))
    is_table = request.GET.get("format") == "csv"
    body = audit_query.csv_table(entries) if is_table else audit_query.ndjson(entries)
    kind, ending = ("text/csv; charset=utf-8", "csv") if is_table else ("application/x-ndjson", "ndjson")
    response = StreamingHttpResponse(body, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="tailrace-audit.{ending}"'
    return response


def _given(request: HttpRequest) -> dict[str, str]:
    """Return the filters that aren't empty."""
    return {name: value for name in audit_query.FILTERS if (value := request.GET.get(name, "").strip())}


def _understood(given: dict[str, str]) -> dict[str, str]:
    """Return the filters, with times from the form, which have no time zone, converted to UTC times."""
    filters: dict[str, Any] = dict(given)
    for name in ("from", "to"):
        if _WITHOUT_ZONE.match(given.get(name, "")):
            day, _, time = given[name].replace(" ", "T").partition("T")
            filters[name] = f"{day}T{time or '00:00'}{':00' if len(time) < 6 else ''}Z"
    return filters


def _number(given: str) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS):
        raise Invalid(f"before is {given[:50]!r}: expected the number of an entry", field="before")
    return int(given)
