"""Bodies of experiments and runs: what is asked for, and what is shown."""

from server.api import fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.tracking import clock, experiments, histories, lines, reading
from server.tracking.filters import parser, queries
from server.tracking.models import Run, RunLink
from server.tracking.models.names import LIFECYCLES, LONGEST_KEY, LONGEST_NAME, LONGEST_VALUE

UID_PATTERN = "^[0-9a-f]{32}$"
UID = fields.Text("Identifier of the run: 32 hexadecimal digits", max_length=32, min_length=32, pattern=UID_PATTERN)
UID_IN_PATH = fields.Text("Identifier of the run: 32 hexadecimal digits", max_length=200, min_length=1)
SHA256_IN_PATH = fields.Text("SHA-256 of the content, in hexadecimal digits", max_length=200, min_length=1)
KEY = fields.Text(max_length=LONGEST_KEY, min_length=1)
VALUE = fields.Text(max_length=LONGEST_VALUE)
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}
TIME = "Unix time, ms"
COLUMN = fields.Text(max_length=300)


def time_ms(help_text: str = TIME, **options: object) -> fields.Whole:
    """Return a field of a time."""
    return fields.Whole(help_text, min_value=clock.EARLIEST, max_value=clock.LATEST, **options)


def new_pairs(help_text: str) -> fields.Map:
    """Return a field of params or tags; :mod:`server.tracking.checks` checks them."""
    return fields.Map(VALUE, help_text, names=KEY, required=False)


def changed_tags() -> fields.Map:
    """Return a field of tags, of which null deletes one."""
    value = fields.Text(max_length=LONGEST_VALUE, allow_null=True)
    return fields.Map(value, "Tags to set; null deletes one", names=KEY, required=False)


class NewExperimentSerializer(RequestSerializer):
    name = fields.Text("Any text", max_length=LONGEST_NAME, pattern=fields.NOT_BLANK, min_length=1)
    description = fields.Text(max_length=experiments.LONGEST_DESCRIPTION, required=False, default="")
    tags = new_pairs("Tags")


class ExperimentChangesSerializer(RequestSerializer):
    name = fields.Text("Any text", max_length=LONGEST_NAME, pattern=fields.NOT_BLANK, min_length=1, required=False)
    description = fields.Text(max_length=experiments.LONGEST_DESCRIPTION, required=False)
    tags = changed_tags()


class ExperimentSerializer(Serializer):
    id = fields.Count()
    name, description = fields.Text(), fields.Text()
    lifecycle = fields.Choice(LIFECYCLES)
    tags = fields.Map(fields.Text())
    runs, running = fields.Count("Runs that are not deleted"), fields.Count("Those of them that run")
    last_started_ms = time_ms("When the last of them started; null: there is none", allow_null=True)
    created_ms, changed_ms = time_ms(), time_ms()
    created_by = fields.Text()


class ExperimentListSerializer(Serializer):
    experiments = fields.Items(ExperimentSerializer())


class ExperimentsQuery(QuerySerializer):
    name = fields.Text("Only the experiment of this name", max_length=LONGEST_NAME)
    lifecycle = fields.Choice((*LIFECYCLES, "all"), "active (the default), deleted, or all", default="active")


class NewRunSerializer(RequestSerializer):
    experiment = fields.Text(
        "Name of its experiment, which is created if it is missing",
        max_length=LONGEST_NAME,
        pattern=fields.NOT_BLANK,
        min_length=1,
    )
    name = fields.Text(max_length=LONGEST_NAME, required=False)
    parent = fields.Text("Identifier of the run it belongs to; empty: none", max_length=32, required=False)  # type: ignore[assignment]  # serializers have a property of this name
    started_ms = time_ms("When it started, Unix time in ms; by default now", required=False, allow_null=True)
    user_name = fields.Text("Who runs it, as the training says", max_length=LONGEST_NAME, required=False)
    tags, params = new_pairs("Tags"), new_pairs("Params, which can't change")


class RunChangesSerializer(RequestSerializer):
    name = fields.Text(max_length=LONGEST_NAME, required=False)
    status = fields.Choice(Run.STATUSES, required=False)
    ended_ms = time_ms("When it ended; by default now, if the status is one of the end", required=False)
    tags, params = changed_tags(), new_pairs("Params to add")


class PointSerializer(Serializer):
    step = fields.Whole()
    time_ms = time_ms()
    value = fields.Described(NUMBER)


class LinkSerializer(Serializer):
    to = fields.Choice(RunLink.KINDS)
    name = fields.Text()
    at = fields.Whole("Observation", allow_null=True)


class NewLinkSerializer(RequestSerializer):
    to = fields.Choice(RunLink.KINDS, "What kind of thing")
    name = fields.Text("Its name or number", max_length=200, min_length=1)
    at = fields.Whole(
        "Observation as of which it was used",
        min_value=clock.EARLIEST, max_value=clock.LATEST, required=False, allow_null=True, default=None,
    )  # fmt: skip


class ListedRunSerializer(Serializer):
    uid, name = UID, fields.Text()
    experiment_id, experiment = fields.Count(), fields.Text()
    status, lifecycle = fields.Choice(Run.STATUSES), fields.Choice(LIFECYCLES)
    started_ms, ended_ms, deleted_ms = time_ms(), time_ms(allow_null=True), time_ms(allow_null=True)
    parent = fields.Text("Identifier of the run it belongs to; empty: none")  # type: ignore[assignment]
    user_name, created_by = fields.Text(), fields.Text()
    heard_ms = time_ms("When something last arrived, Unix time in ms, to about 10 s")
    params, tags = fields.Map(fields.Text()), fields.Map(fields.Text())
    metrics = fields.Map(fields.Described(NUMBER), "The latest value of each metric")


class RunSerializer(ListedRunSerializer):
    metrics = fields.Map(PointSerializer(), "The latest point of each metric")
    links = fields.Items(LinkSerializer())
    children = fields.Items(fields.Text(), "Identifiers of the runs that belong to it")
    artifacts = fields.Count("Number of artifacts")


class RunListSerializer(Serializer):
    runs = fields.Items(ListedRunSerializer())
    next = fields.Text("Value of `after` for the next ones; null: there are no more", allow_null=True)


AFTER = "`next` of the answer before"
FILTER = "Conditions in MLflow's grammar, such as metrics.loss < 0.1 AND params.optimizer = 'adam'"
ORDER = "A column to order by, such as metrics.loss DESC; by default those that started last come first"


class RunQuery(QuerySerializer):
    experiment = fields.Text("Name of an experiment", max_length=LONGEST_NAME)
    status = fields.Choice(Run.STATUSES, "Only runs of this status")
    name = fields.Text("A part of the name", max_length=LONGEST_NAME)
    parent = fields.Text("Identifier of the run they belong to; empty: those that belong to none", max_length=32)  # type: ignore[assignment]
    created_by = fields.Text("Name of a user", max_length=150)
    linked_kind = fields.Choice(RunLink.KINDS, "Kind of what they are linked to; with linked_name")
    linked_name = fields.Text("Name of what they are linked to", max_length=200)
    lifecycle = fields.Choice((*LIFECYCLES, "all"), "active (the default), deleted, or all", default="active")
    filter = fields.Text(FILTER, max_length=fields.LONGEST_IN_QUERY)
    order = fields.Text(ORDER, max_length=fields.LONGEST_IN_QUERY)
    limit = fields.Whole("Most runs", min_value=1, max_value=reading.MOST_RUNS, default=100)
    after = fields.Text(AFTER, max_length=100)


class RunSearchSerializer(RequestSerializer):
    experiments = fields.Items(
        fields.Text(max_length=LONGEST_NAME), "Names of experiments; by default all", max_length=500, required=False
    )
    statuses = fields.Items(fields.Choice(Run.STATUSES), max_length=len(Run.STATUSES), required=False)
    name = fields.Text("A part of the name", max_length=LONGEST_NAME, required=False)
    parent = fields.Text(  # type: ignore[assignment]
        "Identifier of the run they belong to; empty: those that belong to none", max_length=32, required=False
    )
    created_by = fields.Text("Name of a user", max_length=150, required=False)
    lifecycle = fields.Choice((*LIFECYCLES, "all"), required=False, default="active")
    filter = fields.Text(FILTER, max_length=parser.LONGEST, required=False, default="")
    order = fields.Items(
        fields.Text(ORDER, max_length=fields.LONGEST_IN_QUERY), "Columns to order by", max_length=queries.MOST_ORDERS,
        required=False, default=[],
    )  # fmt: skip
    columns = fields.Items(
        COLUMN,
        "Columns such as metrics.loss, params.lr and tags.team; by default all",
        max_length=reading.MOST_COLUMNS,
        required=False,
        allow_null=True,
        default=None,
    )
    limit = fields.Whole("Most runs", min_value=1, max_value=reading.MOST_RUNS, required=False, default=100)
    after = fields.Text(AFTER, max_length=100, required=False, allow_null=True, default=None)


class LinesSerializer(RequestSerializer):
    writer = fields.Text("Name of the spool file", max_length=lines.LONGEST_WRITER, min_length=1)
    first = fields.Whole("Number of the first line, from 0", min_value=0, max_value=fields.LARGEST)
    lines = fields.Items(
        fields.Field(keywords={"type": "object"}),
        "Objects with a `kind`: metrics, params, tags, domain, link, artifact or status",
        max_length=lines.MOST_LINES,
    )


class RefusedLineSerializer(Serializer):
    number, why = fields.Count(), fields.Text()


class TakenSerializer(Serializer):
    next = fields.Count("Number of the next line")
    refused = fields.Items(
        RefusedLineSerializer(), f"Lines of which something can't be stored; at most {lines.MOST_REASONS}"
    )


class NextLineSerializer(Serializer):
    next = fields.Count("Number of the next line")


class WriterQuery(QuerySerializer):
    writer = fields.Text("Name of the spool file", max_length=lines.LONGEST_WRITER, default="")


class HistoryQuery(QuerySerializer):
    key = fields.Text("The metric", max_length=LONGEST_KEY, default="")
    limit = fields.Whole("Most points", min_value=1, max_value=histories.MOST_POINTS, default=1_000)
    after = fields.Text(AFTER, max_length=200)
    bins = fields.Whole(
        "In place of points: at most so many parts, each with its least and largest value",
        min_value=1, max_value=histories.MOST_BINS,
    )  # fmt: skip


class BinSerializer(Serializer):
    first_step, last_step = fields.Whole(), fields.Whole()
    first_ms, last_ms = time_ms(), time_ms()
    min, max = fields.Number(allow_null=True), fields.Number("Largest finite value", allow_null=True)
    last = fields.Described(NUMBER)
    points, special = fields.Count(), fields.Count("Those of them that are NaN or infinite")


class MetricHistorySerializer(Serializer):
    key = fields.Text()
    points = fields.Items(PointSerializer(), required=False)
    next = fields.Text("Value of `after` for the next points", allow_null=True, required=False)
    bins = fields.Items(BinSerializer(), required=False)


class RecordsQuery(QuerySerializer):
    limit = fields.Whole("Most records", min_value=1, max_value=1_000, default=100)
    after = fields.Whole("Number of the last record before", min_value=0, max_value=fields.LARGEST, default=0)


class DomainRecordSerializer(Serializer):
    number = fields.Count()
    domain = fields.Text()
    step = fields.Whole(allow_null=True)
    time_ms = time_ms()
    values = fields.Map()


class DomainRecordListSerializer(Serializer):
    records = fields.Items(DomainRecordSerializer())


class ArtifactSerializer(Serializer):
    path = fields.Text()
    is_folder = fields.Flag()
    size = fields.Count("Bytes", required=False)
    sha256 = fields.Text(required=False)
    made_ms = time_ms(required=False)
    stored = fields.Flag("Whether its content has arrived", required=False)


class ArtifactListSerializer(Serializer):
    artifacts = fields.Items(ArtifactSerializer())


class FolderQuery(QuerySerializer):
    folder = fields.Text("Path of a folder; by default all", max_length=1_000, default="")
    recursive = fields.Choice(("true", "false"), "Whether to list the files of folders in it, too", default="false")


class UploadSerializer(Serializer):
    stored = fields.Flag("Whether all of it is there and its checksum is right")
    received = fields.Count("Bytes that have arrived: where the next chunk begins")
    size = fields.Count("Bytes of all of it")
