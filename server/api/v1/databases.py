"""Views of the native API for databases of interactions."""

from urllib.parse import quote

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import export
from server.api.v1.descriptors import DIGEST
from server.api.v1.view import NDJSON, View, created, operation
from server.cells import databases, exporting
from server.cells.models import Database
from server.core.errors import NotFound
from server.core.validation import format_value


class SelectionSerializer(RequestSerializer):
    """The selection of a stream's cells and observations."""

    name, stream = fields.Name("database"), fields.Name()
    compositions = fields.Items(
        fields.Text(max_length=200),
        "Only cells with these compositions; null: all",
        min_length=1,
        max_length=1000,
        allow_null=True,
        required=False,
    )
    cells = fields.Items(
        fields.Text(max_length=200),
        "Only cells whose name matches one of these patterns (*, ?, […]); null: all",
        min_length=1,
        max_length=1000,
        allow_null=True,
        required=False,
    )
    types = fields.Map(
        fields.Whole(min_value=1, max_value=fields.LARGEST, allow_null=True),
        "Only these values of the stream's segment feature, and the largest number of each (null: all)",
        names=fields.Text(max_length=1000),
        min_length=1,
        max_length=1000,
        allow_null=True,
        required=False,
    )
    seed = fields.Whole(min_value=0, max_value=fields.LARGEST, default=0)


class NewDatabaseSerializer(SelectionSerializer):
    until = fields.Whole(
        "The last observation to select from; null: the last one in the log",
        min_value=0,
        max_value=fields.LARGEST,
        allow_null=True,
        required=False,
    )


class SelectionCountsSerializer(Serializer):
    observations = fields.Count()
    types = fields.Map(fields.Count())
    compositions = fields.Map(fields.Map(fields.Count()), "Type to composition to number of observations")


class DatabaseSerializer(SelectionSerializer):
    is_closed = False
    keywords = {"required": [*databases.FIELDS, "descriptor", "counts", "fingerprint", "created_at", "created_by"]}
    descriptor = fields.Text(allow_null=True)
    until = fields.Count("The last observation that could be selected")
    counts = SelectionCountsSerializer()
    fingerprint = fields.Text(**DIGEST | {"help_text": "SHA-256 of its observations as the API returns them, in hex"})
    created_at, created_by = fields.Time(), fields.Text()


class DatabaseListSerializer(Serializer):
    databases = fields.Items(DatabaseSerializer())


class ListDatabasesQuery(QuerySerializer):
    stream = fields.Text("Only databases of this stream", max_length=fields.LONGEST_IN_QUERY)


def reached(request: HttpRequest, name: str) -> Database:
    """Return the database with that name.

    Raises
    ------
    NotFound
        If there is none, or if the caller's token is limited to other streams.
    """
    found = databases.find(name)
    if not caller.reaches(request, found.stream.name):
        raise NotFound(f"no database named {format_value(name)}", field="database")
    return found


class Databases(View):
    """All databases."""

    @operation("listDatabases", answers={200: DatabaseListSerializer}, query=ListDatabasesQuery, errors=(404,))
    def get(self, request: Request) -> Response:
        """List the databases of interactions."""
        asked = request._request
        found = Database.objects.select_related("stream").order_by("name")
        stream = self.query["stream"]
        if stream is not None:
            found = found.filter(stream=caller.stream(asked, stream))
        only_these = caller.only_streams(asked)
        if only_these is not None:
            found = found.filter(stream__name__in=only_these)
        return Response({"databases": [databases.described(one, one.stream) for one in found]})

    @operation(
        "createDatabase",
        NewDatabaseSerializer,
        answers={200: DatabaseSerializer, 201: DatabaseSerializer},
        errors=(404, 409),
    )
    def post(self, request: Request) -> Response:
        """Define a database of interactions: a selection of a stream's cells, which never changes afterwards.

        The observations are selected from cells up to `until` (default: the current end of the log). Observations that
        are already retracted are left out. If a type has more observations than the given number, some are drawn by
        the SHA-256 of seed, cell and position in the cell, so that the same definition gives the same observations on
        every server. If the same definition is posted again, the answer is 200 and nothing changes.
        """
        payload = self.body(request)
        stream = caller.stream(request._request, payload["stream"])
        asked = databases.asked_for(payload, stream)
        found, is_new = databases.create(payload["name"], asked, stream, **caller.made_by(request._request))
        shown_to_caller = databases.described(found, stream)
        if not is_new:
            return Response(shown_to_caller)
        return created(shown_to_caller, f"/api/v1/databases/{quote(found.name)}/")


class OneDatabase(View):
    """One database."""

    @operation("getDatabase", answers={200: DatabaseSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a database: its definition, counts, and the checksum of its observations."""
        found = reached(request._request, name)
        return Response(databases.described(found, found.stream))


class DatabaseObservations(View):
    """Observations of a database."""

    @operation("readDatabase", answers={200: {NDJSON: {"type": "string"}}})
    def get(self, request: Request, name: str) -> StreamingHttpResponse:
        """Return the observations of a database, one on each line, in the order of their numbers.

        The answer always has the same bytes; `fingerprint` is the SHA-256 of the whole answer.
        """
        found = reached(request._request, name)
        lines = exporting.ndjson(found.stream_id, databases.selected(found))
        headers = {
            "Content-Disposition": f'attachment; filename="{found.name}.ndjson"',
            "ETag": f'"{found.fingerprint}"',
        }
        return StreamingHttpResponse(
            export.sent(lines, caller.identity(request._request)),
            content_type=f"{NDJSON}; charset=utf-8",
            headers=headers,
        )
