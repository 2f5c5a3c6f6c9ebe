"""Views of the native API for the agents of clusters. Only the token of a cluster reaches them, and only its cluster's work."""

import math
import re
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.codec import body, chunks
from server.api.errors import request_id
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.view import View, operation
from server.calculations import files, logs, sessions, settling, syncing
from server.contents import contents
from server.core.errors import Forbidden, Invalid
from server.core.validation import format_value

FENCE = fields.Whole("The number of the attempt", min_value=1, max_value=2**31 - 1)
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+=,@-]{0,199}\Z")
MOST_REPORTS, MOST_MESSAGES, MOST_FILES, MOST_VALUES, MOST_TABLES, MOST_COLUMNS = 5_000, 1_000, 200, 2_000, 100, 1_000
LONGEST_REPORT = 100_000
OCTETS = {"application/octet-stream": {"type": "string", "format": "binary"}}


def text(longest: int, help_text: str | None = None, **options: Any) -> fields.Text:
    """Return a field of text with a limit."""
    return fields.Text(help_text, max_length=longest, **options)


def optional(longest: int) -> fields.Text:
    """Return a field of text that may be missing or null."""
    return text(longest, allow_null=True, required=False, default="")


class HoldingSerializer(RequestSerializer):
    step, fence, state = text(32), FENCE, text(20)


class RegistrationSerializer(RequestSerializer):
    agent, host = text(64, "UUID of the agent's root folder", min_length=1), text(255)
    root = text(4096)  # type: ignore[assignment]  # serializers have a property of this name
    version, launcher = text(100), text(100)
    slots = fields.Whole("Most steps at once", min_value=0, max_value=100_000)
    programs = fields.Items(
        fields.Map(), "Programs: name, version, title, description, schema, needs_structure, analyses", max_length=200
    )
    holdings = fields.Items(HoldingSerializer(), "What the agent has", max_length=MOST_REPORTS)


class AgentSettingsSerializer(Serializer):
    log_limit, file_limit = fields.Count("Bytes"), fields.Count("Bytes")
    retention_days = fields.Count()
    streams = fields.Items(fields.Text())


class RefusedProgramSerializer(Serializer):
    name, reason = fields.Text(), fields.Text()


class RegisteredSerializer(Serializer):
    cluster, epoch, interval, time = fields.Text(), fields.Count(), fields.Count("Seconds between syncs"), fields.Time()
    settings = AgentSettingsSerializer()
    refused = fields.Items(RefusedProgramSerializer(), "Programs that can't be offered, and why")


def measured() -> fields.Number:
    """Return a field of a measured number, which may be missing."""
    return fields.Number(
        min_value=-fields.LARGEST_NUMBER, max_value=fields.LARGEST_NUMBER, allow_null=True, required=False, default=None
    )


class LoadSerializer(RequestSerializer):
    cpu, memory = measured(), measured()
    disk_free, disk_total = measured(), measured()
    jobs_running, jobs_waiting = measured(), measured()


class ReportSerializer(RequestSerializer):
    step, fence = text(32), FENCE
    state = fields.Choice(syncing.REPORTED)
    reason, job, host = optional(2_000), optional(200), optional(255)
    at = fields.Field("When, by the agent's clock; the server's clock counts", required=False, default=None)


class MessageSerializer(RequestSerializer):
    at = fields.Field("When, by the agent's clock; the server's clock counts", required=False, default=None)
    level = fields.Choice(("DEBUG", "INFO", "WARNING", "ERROR"))
    text = text(10_000)
    step = optional(32)


class SyncSerializer(RequestSerializer):
    epoch = fields.Whole(min_value=1, max_value=fields.LARGEST)
    claim = text(64, "UUID of the claim; the same when it is repeated. Null: no work is wanted", allow_null=True)
    free = fields.Whole("How many steps the agent can take", min_value=0, max_value=100_000)
    load = LoadSerializer(allow_null=True, required=False, default=None)
    steps = fields.Items(
        ReportSerializer(), "What changed, in order", max_length=MOST_REPORTS, required=False, default=[]
    )
    messages = fields.Items(MessageSerializer(), max_length=MOST_MESSAGES, required=False, default=[])


class AttemptNameSerializer(Serializer):
    step, fence = fields.Text(), fields.Count()


class AcceptedSerializer(AttemptNameSerializer):
    state = fields.Text("What the server has; `superseded`: stop it; `unknown`: the cluster has no such attempt")


class WorkParentSerializer(AttemptNameSerializer):
    name, parameters, results = fields.Text(), fields.Map(), fields.Map()


class WorkSerializer(AttemptNameSerializer):
    attempt, name, calculation, program = fields.Count(), fields.Text(), fields.Text(), fields.Text()
    parameters, resources, corrections = fields.Map(), fields.Map(), fields.Map()
    structure = fields.Text("Extended XYZ", allow_null=True)
    parents, analyses = fields.Items(WorkParentSerializer()), fields.Items(fields.Text())
    folder_key = fields.Text()


class SyncedSerializer(Serializer):
    epoch, interval, time = fields.Count(), fields.Count("Seconds until the next sync"), fields.Time()
    state = fields.Choice(("enabled", "maintenance"))
    work = fields.Items(WorkSerializer(), "Claimed steps; they may repeat ones that the agent has already")
    cancel = fields.Items(AttemptNameSerializer(), "Attempts to cancel")
    clean = fields.Items(AttemptNameSerializer(), "Attempts whose folders may be deleted")
    accepted = fields.Items(AcceptedSerializer())
    settings = AgentSettingsSerializer()


def whole_seconds(help_text: str) -> fields.Whole:
    """Return a field of whole seconds, which may be null."""
    return fields.Whole(help_text, min_value=1, max_value=2**31 - 1, allow_null=True)


class WallTimeSerializer(RequestSerializer):
    seconds = whole_seconds("The wall time of the job; null: the site's own")
    given = whole_seconds("The time that was given with the step")
    model = text(200, "The model that was asked")
    reason = text(2_000, "Where the time comes from")
    expected, bound, quantile = measured(), measured(), measured()
    at = fields.Whole(
        "The last observation of the model",
        min_value=0,
        max_value=fields.LARGEST,
        allow_null=True,
        required=False,
        default=None,
    )


class PermitSerializer(RequestSerializer):
    epoch, fence = fields.Whole(min_value=1, max_value=fields.LARGEST), FENCE
    version = optional(200)
    walltime = WallTimeSerializer(allow_null=True, required=False, default=None)


class PermittedSerializer(Serializer):
    permitted = fields.Flag()


class FileSerializer(RequestSerializer):
    name = text(4_096)
    size = fields.Whole(min_value=0, max_value=fields.LARGEST)
    sha256 = text(64, allow_null=True)

    def read(self, value: Any, path: str) -> dict[str, Any]:
        found = super().read(value, path)
        if found["sha256"] is not None and not SHA256.match(found["sha256"]):
            raise Invalid(
                f"{path}.sha256 is {format_value(found['sha256'])}: expected 64 hexadecimal digits",
                field=f"{path}.sha256",
            )
        return found


class SmallFileSerializer(FileSerializer):
    def read(self, value: Any, path: str) -> dict[str, Any]:
        found = super().read(value, path)
        if not FILE_NAME.match(found["name"]) or found["sha256"] is None:
            raise Invalid(
                f"{path} is {format_value(found)}: expected a sha256, and a name of 1 to 200 letters, digits, blanks and "
                "._+=,@- that starts with a letter, a digit or _",
                field=f"{path}.name",
            )
        files.check_size(found["size"], found["name"])
        return found


class ValuesField(fields.Map):
    """Name to value and unit."""

    def read(self, value: Any, path: str) -> Any:
        super().read(value, path)
        if len(value) > MOST_VALUES:
            raise Invalid(f"{path} has {len(value)} values: the most allowed is {MOST_VALUES}", field=path)
        for name, one in value.items():
            where = f"{path}.{name}"
            if type(one) is not dict or not {"value"} <= set(one) <= {"value", "unit"}:
                fields.refuse(one, where, "an object with value and unit")
            _check_scalar(one["value"], f"{where}.value", may_be_null=False)
            unit = one.get("unit")
            if unit is not None and (not isinstance(unit, str) or len(unit) > 100):
                fields.refuse(unit, f"{where}.unit", "a string of at most 100 characters, or null")
        return value


class TablesField(fields.Map):
    """Name to columns (name to unit) and rows."""

    def read(self, value: Any, path: str) -> Any:
        super().read(value, path)
        if len(value) > MOST_TABLES:
            raise Invalid(f"{path} has {len(value)} tables: the most allowed is {MOST_TABLES}", field=path)
        for name, one in value.items():
            _check_table(one, f"{path}.{name}")
        return value


def _check_table(one: Any, where: str) -> None:
    if type(one) is not dict or set(one) != {"columns", "rows"}:
        fields.refuse(one, where, "an object with columns and rows")
    columns, rows = one["columns"], one["rows"]
    if type(columns) is not dict or not 0 < len(columns) <= MOST_COLUMNS:
        fields.refuse(columns, f"{where}.columns", f"an object of 1 to {MOST_COLUMNS} columns with their units")
    for unit in columns.values():
        if unit is not None and not isinstance(unit, str):
            fields.refuse(unit, f"{where}.columns", "units that are strings or null")
    if type(rows) is not list:
        fields.refuse(rows, f"{where}.rows", "a list of rows")
    for n, row in enumerate(rows):
        if type(row) is not list or len(row) != len(columns):
            fields.refuse(row, f"{where}.rows[{n}]", f"a list of {len(columns)} values")
        for cell in row:
            _check_scalar(cell, f"{where}.rows[{n}]", may_be_null=True)


def _check_scalar(value: Any, path: str, *, may_be_null: bool) -> None:
    kind = type(value)
    if kind in (int, bool) or (kind is float and math.isfinite(value)) or (value is None and may_be_null):
        return
    if kind is not str or len(value) > 10_000:
        fields.refuse(value, path, "a finite number, true or false, or text of at most 10,000 characters")


def values_field() -> ValuesField:
    return ValuesField(help_text="Name to value and unit", required=False, default={})


def tables_field() -> TablesField:
    return TablesField(help_text="Name to columns (with units) and rows", required=False, default={})


def files_field(kind: Any, most: int = MOST_FILES) -> fields.Items:
    return fields.Items(kind, max_length=most, required=False, default=[])


class AnalysisResultSerializer(RequestSerializer):
    name = text(200)
    state = fields.Choice(("done", "failed", "skipped"))
    reason = optional(2_000)
    values, tables, files = values_field(), tables_field(), files_field(SmallFileSerializer())
    report = optional(LONGEST_REPORT)


class CorrectionSerializer(RequestSerializer):
    name, reason = text(200), text(2_000)
    corrections = fields.Map(help_text="Parameters that are changed", required=False, default={})
    resources = fields.Map(help_text="Resources that are changed", required=False, default={})


class ResultSerializer(RequestSerializer):
    epoch, fence = fields.Whole(min_value=1, max_value=fields.LARGEST), FENCE
    state = fields.Choice(settling.ENDS)
    reason = optional(2_000)
    exit_code = fields.Whole(min_value=-(2**31), max_value=2**31 - 1, allow_null=True, required=False, default=None)
    values, tables, files = values_field(), tables_field(), files_field(SmallFileSerializer())
    report = optional(LONGEST_REPORT)
    kept = files_field(FileSerializer(), 10_000)
    analyses = fields.Items(AnalysisResultSerializer(), max_length=100, required=False, default=[])
    began, ended = measured(), measured()
    job, host = optional(200), optional(255)
    next = CorrectionSerializer(allow_null=True, required=False, default=None)

    def read(self, value: Any, path: str) -> dict[str, Any]:
        found = super().read(value, path)
        names = [file["name"] for part in (found, *found["analyses"]) for file in part["files"]]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 10_000 else []
        if twice:
            raise Invalid(f"file {format_value(twice[0])} is declared twice: names must differ", field="files")
        return found


class AcceptedResultSerializer(Serializer):
    accepted, first = fields.Flag(), fields.Flag("Whether the step has this result")
    state = fields.Choice(settling.ENDS)
    missing = fields.Items(fields.Text(), "SHA-256 of the files that are to be sent")
    next_fence = fields.Count("Fence of the next attempt, if a correction starts one", required=False)


class StoredFileSerializer(Serializer):
    name, size, sha256 = fields.Text(), fields.Count(), fields.Text()


class FenceQuery(QuerySerializer):
    fence = fields.Whole("The number of the attempt", min_value=1, max_value=2**31 - 1, default=1)


class LogQuery(FenceQuery):
    offset = fields.Whole("Where the part begins, bytes", min_value=0, max_value=fields.LARGEST, default=0)
    after = fields.Whole(
        "Where the log that the server has ends, if the part does not follow on it: it begins the end of the log anew",
        min_value=0, max_value=fields.LARGEST,
    )  # fmt: skip


class NextOffsetSerializer(Serializer):
    next = fields.Count("The offset of the next part")


class AgentView(View):
    """Base of the views of agents."""

    cluster_id: int

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        who = caller.identity(request._request)
        if self._operation(request) is not None and (who is None or who.cluster_id is None):
            raise Forbidden(
                "only the agent of a cluster may do this: it needs the token that POST /api/v1/clusters/ shows once",
                code="scope",
            )
        self.cluster_id = 0 if who is None or who.cluster_id is None else who.cluster_id


class Register(AgentView):
    """Opening a session."""

    @operation("registerAgent", RegistrationSerializer, answers={200: RegisteredSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Open a session of an agent. All older sessions of the cluster are refused from then on."""
        return Response(sessions.register(self.cluster_id, self.body(request)))


class Sync(AgentView):
    """Exchanging reports and work."""

    @operation("syncAgent", SyncSerializer, answers={200: SyncedSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Report what changed, and get work, cancellations and what may be deleted. It may be repeated."""
        return Response(syncing.sync(self.cluster_id, self.body(request)))


class Permit(AgentView):
    """Permission to submit."""

    @operation("permitStep", PermitSerializer, answers={200: PermittedSerializer}, errors=(409,))
    def post(self, request: Request, step: str) -> Response:
        """Ask for permission to submit the job of a step. It is refused if the attempt was superseded, cancelled or held."""
        asked = self.body(request)
        return Response(
            settling.permit(
                self.cluster_id, step, asked["epoch"], asked["fence"], asked["version"] or "", asked["walltime"]
            )
        )


class Results(AgentView):
    """Results of attempts."""

    @operation("postResult", ResultSerializer, answers={200: AcceptedResultSerializer}, errors=(409,))
    def post(self, request: Request, step: str) -> Response:
        """Post what an attempt gave. The first valid result of a step wins; a late valid one counts."""
        return Response(settling.accept(self.cluster_id, step, self.body(request)))


class PutFile(AgentView):
    """Files of results."""

    @operation(
        "putResultFile", OCTETS, answers={200: StoredFileSerializer}, query=FenceQuery, errors=(409,),
        headers=[{"name": "X-Content-SHA256", "in": "header", "description": "SHA-256 of the file", "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}}],
    )  # fmt: skip
    def put(self, request: Request, step: str, name: str) -> Response:
        """Send a file that the result declares."""
        said = request._request.META.get("HTTP_X_CONTENT_SHA256", "")
        files.check_size(int(request._request.META.get("CONTENT_LENGTH") or 0), name)
        with contents.receiving(chunks(request._request)) as received:
            return Response(files.put(self.cluster_id, step, self.query["fence"], name, received, said))


class PutLog(AgentView):
    """Logs of attempts."""

    @operation("putLog", OCTETS, answers={200: NextOffsetSerializer}, query=LogQuery, errors=(409,))
    def put(self, request: Request, step: str) -> Response:
        """Append a part to the log of an attempt. Where the offset isn't the next one, the answer (409) says which is.

        Of a long log, the server keeps the beginning and the end. With `after`, an agent leaves out what lies between.
        """
        data = body(request._request)
        try:
            asked = self.query
            found = logs.append(self.cluster_id, step, asked["fence"], asked["offset"], data, asked["after"])
        except logs.WrongOffset as exc:
            shown = {
                "code": "offset",
                "message": str(exc),
                "field": "offset",
                "request_id": request_id(request._request),
            }
            return Response({"error": shown, "next": exc.next}, status=409)
        return Response({"next": found})
