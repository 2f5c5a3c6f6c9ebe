"""Reading the log over the native API: in pages, or all of it in one stream."""

import functools
from typing import Any

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.v1 import export, hot, query
from server.api.v1.openapi import documented, in_query, one_of_path, whole
from server.api.v1.view import View
from server.streams import retention
from server.streams.models import Stream
from server.streams.spreadsheets import SAFE

PAGE = 100
LARGEST_PAGE = 10_000
JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
TYPES = {"json": JSON, "ndjson": NDJSON, "csv": CSV}


class Observations(View):
    """The log of one stream."""

    query = ("after", "limit", "format", "safe")

    @documented(
        "listObservations",
        "Read the log",
        "As JSON, a page at a time: `next` is the `after` of the next page, or null at the end. As NDJSON or CSV "
        "(by the Accept header or `?format=`), all of it in one streamed answer. CSV has the columns seq, at, y, key, "
        "source (as JSON), retracted (the reason), and x.<feature> for every declared feature; where none are declared, "
        "for every feature that occurs, in the order of its first use. What a point lacks is empty. With `safe=excel` an "
        "apostrophe stands before text that a spreadsheet would take for a formula (it begins with =, +, -, @, a tab or the "
        "end of a line): for people who open the file, not for programs. Numbers stay numbers. Observations that aren't "
        "kept any more (see `retention` of the stream) are left out where some between them are, and else answered with 410.",
        parameters=[
            one_of_path("name", "The stream"),
            in_query("after", "Only observations with a greater number", whole(default=0)),
            in_query(
                "limit",
                f"At most so many; a JSON page has {PAGE} unless this says otherwise, at most {LARGEST_PAGE}",
                whole(1),
            ),
            in_query("format", "Instead of the Accept header", {"type": "string", "enum": list(TYPES)}),
            in_query("safe", "CSV that is safe to open in this program", {"type": "string", "enum": list(SAFE)}),
        ],
        answers={200: {JSON: "ObservationPage", NDJSON: {"type": "string"}, CSV: {"type": "string"}}},
        errors=(404, 410),
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        asked = request._request
        kind = TYPES[query.choice(asked, "format", tuple(TYPES)) or _accepted(asked)]
        after = query.integer(asked, "after") or 0
        safe = query.choice(asked, "safe", SAFE)
        limit = query.integer(asked, "limit", 1, LARGEST_PAGE if kind == JSON else query.LARGEST)
        stream = caller.stream(asked, name)
        if after < stream.dropped:
            raise retention.gone(stream.name, stream.dropped, f"read on from there, with after={stream.dropped}")
        if kind == JSON:
            return Response(_page(stream, after, limit or PAGE))
        upto = stream.head if limit is None else min(stream.head, after + limit)
        if kind == NDJSON:
            chunks = export.ndjson(stream, after, upto)
        else:
            columns = export.csv_columns(stream, after, upto)
            chunks = export.table(stream, columns, after, upto, safe=safe is not None)
        ending = "ndjson" if kind == NDJSON else "csv"
        headers = {"Content-Disposition": f'attachment; filename="{stream.name}.{ending}"'}
        return StreamingHttpResponse(export.sent(chunks), content_type=f"{kind}; charset=utf-8", headers=headers)


def _accepted(request: HttpRequest) -> str:
    wanted = request.get_preferred_type(list(TYPES.values()))
    return next((ending for ending, kind in TYPES.items() if kind == wanted), "json")


def _page(stream: Stream, after: int, limit: int) -> dict[str, Any]:
    upto = min(stream.head, after + limit)
    found = [one for some in export.observations(stream, after, upto) for one in some]
    more = upto if upto < stream.head else None
    return {"stream": stream.name, "head": stream.head, "next": more, "observations": found}


_read = Observations.as_view()


@functools.wraps(_read)
def observations(request: HttpRequest, name: str) -> HttpResponseBase:
    """One address, two ways: POST goes straight to the hot view."""
    if request.method == "POST":
        return hot.observe(request, name=name)
    response = _read(request, name=name)
    if "Allow" in response:
        response["Allow"] = "GET, POST, HEAD, OPTIONS"
    return response
