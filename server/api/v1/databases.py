"""Databases of interactions over the native API."""

from urllib.parse import quote

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.codec import only
from server.api.v1 import export, query
from server.api.v1.openapi import documented, in_query, one_of_path
from server.api.v1.view import View, created
from server.cells import databases, exporting
from server.cells.models import Database
from server.streams.errors import Invalid, NotFound
from server.streams.validation import shown

NAME = one_of_path("name", "The database")


def reached(request: HttpRequest, name: str) -> Database:
    """The database of that name, if the caller's token works for its stream.

    Raises
    ------
    NotFound
        If it isn't there, or isn't there for them.
    """
    found = databases.find(name)
    if not caller.reaches(request, found.stream.name):
        raise NotFound(f"no database named {shown(name)}", field="database")
    return found


class Databases(View):
    """All databases."""

    query = ("stream",)

    @documented(
        "listDatabases",
        "List the databases of interactions",
        parameters=[in_query("stream", "Only those of this stream")],
        answers={200: "DatabaseList"},
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        asked = request._request
        found = Database.objects.select_related("stream").order_by("name")
        stream = query.text(asked, "stream")
        if stream is not None:
            found = found.filter(stream=caller.stream(asked, stream))
        only_these = caller.only_streams(asked)
        if only_these is not None:
            found = found.filter(stream__name__in=only_these)
        return Response({"databases": [databases.described(one, one.stream) for one in found]})

    @documented(
        "createDatabase",
        "Define a database of interactions: a selection of a stream's cells, which then never changes",
        "It is selected from the observations of cells up to `until` (the log's present end, if it isn't given), without "
        "those that are retracted by now. Where more than `n` are of a type, a lot decides: the SHA-256 of seed, cell and "
        "place in the cell, so that the same definition gives the same observations on every server. The same definition "
        "posted again is answered with 200 and changes nothing.",
        body="NewDatabase",
        answers={200: "Database", 201: "Database"},
        errors=(404, 409),
    )
    def post(self, request: Request) -> Response:
        query.only(request._request, ())
        payload = self.payload(request)
        only(payload, *databases.FIELDS, required=("name", "stream"))
        if not isinstance(payload["stream"], str):
            raise Invalid(f"stream is {shown(payload['stream'])}: expected a string", field="stream")
        stream = caller.stream(request._request, payload["stream"])
        asked = databases.asked_for(payload, stream)
        found, is_new = databases.create(payload["name"], asked, stream, **caller.made_by(request._request))
        shown_to_caller = databases.described(found, stream)
        if not is_new:
            return Response(shown_to_caller)
        return created(shown_to_caller, f"/api/v1/databases/{quote(found.name)}/")


class OneDatabase(View):
    """One database."""

    @documented(
        "getDatabase",
        "Look at a database: its definition, counts, and the checksum of its observations",
        parameters=[NAME],
        answers={200: "Database"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        found = reached(request._request, name)
        return Response(databases.described(found, found.stream))


class DatabaseObservations(View):
    """What a database holds."""

    @documented(
        "readDatabase",
        "Read a database's observations, one a line, by number",
        "The same bytes every time: `fingerprint` is the SHA-256 of the whole answer.",
        parameters=[NAME],
        answers={200: {"application/x-ndjson": {"type": "string"}}},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> StreamingHttpResponse:
        found = reached(request._request, name)
        lines = exporting.ndjson(found.stream_id, databases.selected(found))
        headers = {
            "Content-Disposition": f'attachment; filename="{found.name}.ndjson"',
            "ETag": f'"{found.fingerprint}"',
        }
        return StreamingHttpResponse(
            export.sent(lines), content_type="application/x-ndjson; charset=utf-8", headers=headers
        )
