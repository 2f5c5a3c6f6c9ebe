"""Views of the native API for what calculations gave: logs, files, reports."""

import functools
import mimetypes
from collections.abc import Callable
from typing import Any, BinaryIO

from django.http import FileResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.codec import answer
from server.api.serializers import QuerySerializer, Serializer
from server.api.v1.token_checks import ServerWide
from server.api.v1.view import JSON, operation
from server.calculations import acting, files, logs, reading, report_data, reports
from server.calculations.models import StoredFile
from server.core.errors import NotFound
from server.core.validation import format_value

BINARY = {"type": "string", "format": "binary"}
OCTETS = {"application/octet-stream": BINARY}
HTML, DOWNLOADS = "text/html", ("application/pdf", "application/zip")


class LogPartSerializer(Serializer):
    fence, offset, next = fields.Count(), fields.Count("First byte of text"), fields.Count("Where to go on")
    size = fields.Count("Bytes of the whole log")
    dropped = fields.Items(fields.Count(), "First and last byte + 1 of what is no longer kept", allow_null=True)
    text = fields.Text()


class LogPartQuery(QuerySerializer):
    fence = fields.Whole("The number of the attempt; by default the last", min_value=1, max_value=2**31 - 1)
    offset = fields.Whole("First byte", min_value=0, max_value=fields.LARGEST, default=0)
    limit = fields.Whole("Most bytes", min_value=1, max_value=logs.LARGEST_READ, default=logs.DEFAULT_READ)
    tail = fields.Whole("The last bytes, in place of offset and limit", min_value=1, max_value=logs.LARGEST_READ)


class StepLog(ServerWide):
    """The log of a step."""

    tag = "calculations"

    @operation("readStepLog", answers={200: LogPartSerializer}, query=LogPartQuery)
    def get(self, request: Request, number: str, step: str) -> Response:
        """Read a part of a step's log. Bytes that are not UTF-8 are replaced."""
        found = acting.find_step(acting.find(number), step)
        attempt = logs.attempt_of(found, self.query["fence"])
        if attempt is None:
            raise NotFound(f"step {step} has no such attempt", field="fence")
        offset, limit = self.query["offset"], self.query["limit"]
        if self.query["tail"] is not None:
            offset, limit = attempt.log_next - self.query["tail"], self.query["tail"]
        return Response(logs.read(attempt, offset, limit))


class FileQuery(QuerySerializer):
    fence = fields.Whole("The number of the attempt; by default the one that counts", min_value=1, max_value=2**31 - 1)


class StepFile(ServerWide):
    """A file of a step's result."""

    tag = "calculations"

    @operation("getStepFile", answers={200: OCTETS}, query=FileQuery)
    def get(self, request: Request, number: str, step: str, name: str) -> FileResponse:
        """Download a file of a step's result, as an attachment."""
        found = acting.find_step(acting.find(number), step)
        rows = StoredFile.objects.filter(result__attempt__step=found)
        fence = self.query["fence"]
        rows = rows.filter(result=found.result_id) if fence is None else rows.filter(result__attempt__fence=fence)
        file = rows.filter(name=name).first() if "\x00" not in name else None
        if file is None:
            known = ", ".join(rows.order_by("name").values_list("name", flat=True)[:20]) or "none"
            raise NotFound(f"step {step} has no file {format_value(name)}: it has {known}", field="name")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return attachment(files.open_file(file), kind, file.name)


def _in_room(get: Callable[[Any, Request, str], Any]) -> Callable[[Any, Request, str], Any]:
    """Hold a slot while large results are in memory: as data, and as what is made of them."""

    @functools.wraps(get)
    def held(view: Any, request: Request, number: str) -> Any:
        calculation = acting.find(number)
        if view.query["format"] == "rocrate":
            files.check_together(calculation)
        with reading.room(calculation, caller.key(request._request)):
            made = get(view, request, number)
            return answer(made.data) if isinstance(made, Response) else made

    return held


class ReportQuery(QuerySerializer):
    format = fields.Choice(
        reports.FORMATS, "json, a page (html), a PDF, or a RO-Crate of all of it (zip)", default="json"
    )


class Report(ServerWide):
    """The report of a calculation."""

    tag = "calculations"

    @operation(
        "getReport",
        answers={200: {JSON: fields.Map(), HTML: {"type": "string"}, **dict.fromkeys(DOWNLOADS, BINARY)}},
        query=ReportQuery,
        errors=(413,),
    )
    @_in_room
    def get(self, request: Request, number: str) -> Any:
        """Return the report of a calculation: values, tables, pictures and provenance. Only validated results count."""
        calculation = acting.find(number)
        kind = self.query["format"]
        if kind == "json":
            return Response(report_data.report(calculation))
        return attachment(*reports.download(calculation, kind))


def attachment(content: BinaryIO, kind: str, name: str) -> FileResponse:
    """Return a download, which no browser shows or runs on this server's origin."""
    return FileResponse(content, as_attachment=True, filename=name, content_type=kind)
