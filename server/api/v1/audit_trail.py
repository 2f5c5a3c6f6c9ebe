"""View of the native API for the audit trail: page by page, or everything in one streamed answer."""

from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import audit_query
from server.api import caller, fields
from server.api.serializers import QuerySerializer, Serializer
from server.api.v1 import export, token_checks
from server.api.v1.observations import check_page
from server.api.v1.tokens import NEXT
from server.api.v1.view import CSV, JSON, NDJSON, operation

PAGE = 100
LARGEST_PAGE = 1000
TYPES = {"json": JSON, "ndjson": NDJSON, "csv": CSV}


class AuditEntrySerializer(Serializer):
    number, at = fields.Whole(min_value=1), fields.Time()
    user = fields.Text("Name of the user; empty if the server was open")
    token = fields.Whole("Number of the token that was used", allow_null=True)
    address, request_id, action, target = fields.Text(), fields.Text(), fields.Text(), fields.Text()
    before = fields.Field("Values before the change; null: none")
    after = fields.Field("Values after the change; null: none")
    hash = fields.Text("Hash of this entry and of the previous entry's hash")


class AuditPageSerializer(Serializer):
    entries = fields.Items(AuditEntrySerializer())
    next = NEXT


class ReadAuditQuery(QuerySerializer):
    user = fields.Text("Only changes by this user", max_length=audit_query.LONGEST)
    action = fields.Text("Only this action, such as token.create", max_length=audit_query.LONGEST)
    target = fields.Text("Only changes of this object, by name or number", max_length=audit_query.LONGEST)
    vars()["from"] = fields.Time("Only entries at or after this time")
    to = fields.Time("Only entries before this time")
    before = fields.Whole("Only entries with a smaller number", min_value=1, max_value=fields.LARGEST)
    limit = fields.Whole(
        f"Largest number in the answer; a JSON page has {PAGE} by default, at most {LARGEST_PAGE}",
        min_value=1,
        max_value=fields.LARGEST,
    )
    format = fields.Choice(TYPES, "Format of the answer; default: json", default="json")


class Audit(token_checks.ServerWide):
    """The audit trail."""

    tag = "audit"

    @operation(
        "readAudit",
        answers={
            200: {
                TYPES["json"]: AuditPageSerializer,
                TYPES["ndjson"]: {"type": "string"},
                TYPES["csv"]: {"type": "string"},
            }
        },
        query=ReadAuditQuery,
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Read the audit trail, the newest entry first.

        JSON has one page: pass `next` as `before` to get the next page; it is null at the end. `format=ndjson` and `csv`
        return all entries in one streamed answer. In CSV an apostrophe stands before text that a spreadsheet would treat
        as a formula. `manage.py verify_audit` checks that no entry is missing or altered.
        """
        kind, before, limit = self.query["format"], self.query["before"], self.query["limit"]
        if kind == "json":
            check_page(limit, LARGEST_PAGE)
        given = {name: value for name in audit_query.FILTERS if (value := self.query[name]) is not None}
        entries = audit_query.filtered(given)
        if kind == "json":
            some, more = audit_query.page(entries, before, limit or PAGE)
            return Response({"entries": some, "next": more})
        chunks = (audit_query.ndjson if kind == "ndjson" else audit_query.csv_table)(entries, before, limit)
        headers = {"Content-Disposition": f'attachment; filename="audit.{kind}"'}
        return StreamingHttpResponse(
            export.sent(chunks, caller.identity(request._request)),
            content_type=f"{TYPES[kind]}; charset=utf-8",
            headers=headers,
        )
