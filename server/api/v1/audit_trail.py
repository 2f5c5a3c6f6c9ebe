"""The audit trail over the native API: in pages, or all of it in one stream."""

from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import trail
from server.api.v1 import credential, export, query
from server.api.v1.openapi import documented, in_query, text, whole

PAGE = 100
LARGEST_PAGE = 1000
TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}
TIME = {"type": "string", "format": "date-time"}


class Audit(credential.ServerWide):
    """Who changed what."""

    query = (*trail.FILTERS, "before", "limit", "format")

    @documented(
        "readAudit",
        "Read the audit trail, the newest entry first",
        "As JSON, a page at a time: `next` is the `before` of the next page, or null at the end. With `format=ndjson` or "
        "`csv`, all of it in one streamed answer; in CSV, a cell that a spreadsheet would take for a formula begins with "
        "an apostrophe. `manage.py verify_audit` proves that no entry is missing or altered.",
        tag="audit",
        parameters=[
            in_query("user", "Only what this user did", text(trail.LONGEST)),
            in_query("action", "Only this action, such as token.create", text(trail.LONGEST)),
            in_query("target", "Only what was done to this, by name or number", text(trail.LONGEST)),
            in_query("from", "Not before this time", TIME),
            in_query("to", "Before this time", TIME),
            in_query("before", "Only entries with a lesser number", whole(1)),
            in_query(
                "limit",
                f"At most so many; a JSON page has {PAGE} unless this says otherwise, at most {LARGEST_PAGE}",
                whole(1),
            ),
            in_query("format", "json unless this says otherwise", {"type": "string", "enum": list(TYPES)}),
        ],
        answers={
            200: {TYPES["json"]: "AuditPage", TYPES["ndjson"]: {"type": "string"}, TYPES["csv"]: {"type": "string"}}
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = request._request
        kind = query.choice(asked, "format", tuple(TYPES)) or "json"
        before = query.integer(asked, "before", 1)
        limit = query.integer(asked, "limit", 1, LARGEST_PAGE if kind == "json" else query.LARGEST)
        given = {name: value for name in trail.FILTERS if (value := query.text(asked, name)) is not None}
        entries = trail.found(given)
        if kind == "json":
            some, more = trail.page(entries, before, limit or PAGE)
            return Response({"entries": some, "next": more})
        chunks = (trail.ndjson if kind == "ndjson" else trail.table)(entries, before, limit)
        headers = {"Content-Disposition": f'attachment; filename="audit.{kind}"'}
        return StreamingHttpResponse(export.sent(chunks), content_type=f"{TYPES[kind]}; charset=utf-8", headers=headers)
