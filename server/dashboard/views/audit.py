"""The audit trail, for admins: filtered, a page at a time, exported whole."""

import re
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from server.accounts import trail
from server.dashboard.pages import page
from server.streams.codec import text
from server.streams.errors import Invalid

PAGE = 50
MOST_DIGITS = 18
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\Z", re.ASCII)


def listed(request: HttpRequest) -> HttpResponse:
    """GET: entries, the newest first."""
    given = _given(request)
    try:
        before = _number(request.GET.get("before", ""))
        entries, more = trail.page(trail.found(_understood(given)), before, PAGE)
    except Invalid as exc:
        return page(request, "audit", 400, given=given, wrong={exc.field: exc.message}, entries=[])
    for entry in entries:
        entry["changes"] = [(name, text(entry[name])) for name in ("before", "after") if entry[name] is not None]
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
    """GET: all entries that the filters let through, as NDJSON or (``format=csv``) as CSV."""
    entries = trail.found(_understood(_given(request)))
    is_table = request.GET.get("format") == "csv"
    body = trail.table(entries) if is_table else trail.ndjson(entries)
    kind, ending = ("text/csv; charset=utf-8", "csv") if is_table else ("application/x-ndjson", "ndjson")
    response = StreamingHttpResponse(body, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="tailrace-audit.{ending}"'
    return response


def _given(request: HttpRequest) -> dict[str, str]:
    """The filters that hold anything."""
    return {name: value for name in trail.FILTERS if (value := request.GET.get(name, "").strip())}


def _understood(given: dict[str, str]) -> dict[str, str]:
    """The filters, with times as a browser's form sends them made to times with a zone: UTC, as the page shows them."""
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
