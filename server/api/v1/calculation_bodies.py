"""Bodies of calculations: what is submitted, and what is shown."""

from typing import Any

from server.api import fields
from server.api.serializers import RequestSerializer, Serializer
from server.calculations import graphs, resources, structures
from server.calculations.models import Calculation

PARAMETERS = "By the program's JSON Schema"


class ResourcesSerializer(RequestSerializer):
    """Resources of one step."""

    nodes = fields.Whole(min_value=1, max_value=resources.MOST["nodes"], required=False)
    processes = fields.Whole(min_value=1, max_value=resources.MOST["processes"], required=False)
    seconds = fields.Whole("Wall time", min_value=1, max_value=resources.MOST["seconds"], required=False)


class NewStepSerializer(RequestSerializer):
    name = fields.Name("step")
    program = fields.Text("Another program than the calculation's", max_length=200, allow_null=True, required=False)
    parameters = fields.Map(None, "They take the place of the calculation's", required=False)
    structure = fields.Text("Name of a structure", max_length=200, allow_null=True, required=False)
    parents = fields.Items(
        fields.Text(max_length=200), "Names of the steps that it needs", max_length=1000, required=False
    )
    resources = ResourcesSerializer(required=False)


class ScanSerializer(RequestSerializer):
    """One step for each value of a parameter: `values`, or `from`, `to` and `by`."""

    parameter = fields.Text(max_length=200, min_length=1)
    values = fields.Items(fields.Field(), min_length=1, max_length=graphs.MOST_STEPS, required=False, allow_null=True)
    to, by = (fields.Number(min_value=-1e300, max_value=1e300, required=False, allow_null=True) for _ in range(2))
    chained = fields.Flag("Each step starts from the former one", default=False)

    def get_fields(self) -> dict[str, Any]:
        start = fields.Number(min_value=-1e300, max_value=1e300, required=False, allow_null=True)
        return {**super().get_fields(), "from": start}  # a keyword of Python


class NewCalculationSerializer(RequestSerializer):
    name = fields.Text(max_length=200, min_length=1, pattern=fields.NOT_BLANK)
    description = fields.Text(max_length=10_000, required=False)
    program = fields.Text("Name of a program", max_length=200)
    parameters = fields.Map(None, PARAMETERS, required=False)
    structure = fields.Text("Name of a structure", max_length=200, allow_null=True, required=False)
    structure_content = fields.Text(
        "A structure in place of a name", max_length=structures.LARGEST, min_length=1, allow_null=True, required=False
    )
    structure_format = fields.Choice(
        structures.FORMATS, "Its format; by default extxyz", allow_null=True, required=False
    )
    cluster = fields.Text(
        "Name of a cluster; null: any that offers the program", max_length=200, allow_null=True, required=False
    )
    priority = fields.Whole(
        "Larger is sooner; above 50 needs `approve`", min_value=0, max_value=100, required=False, default=50
    )
    resources = ResourcesSerializer(required=False)
    analyses = fields.Items(
        fields.Text(max_length=200), "Analyses, with all that they require", max_length=100, required=False
    )
    notify = fields.Items(fields.Text(max_length=200), "Users who are told of the end", max_length=100, required=False)
    hold = fields.Flag("Hold it until it is released", required=False, default=False)
    key = fields.Text(
        "Idempotency key: the same request with the same key submits one calculation", max_length=200, min_length=1,
        allow_null=True, required=False,
    )  # fmt: skip
    again = fields.Flag("Run it although an identical one is done", required=False, default=False)
    steps = fields.Items(NewStepSerializer(), max_length=graphs.MOST_STEPS, required=False, allow_null=True)
    scan = ScanSerializer(required=False, allow_null=True)


class StructureNameSerializer(Serializer):
    id, name, formula = fields.Count(), fields.Text(allow_null=True), fields.Text()


class CalculationSummarySerializer(Serializer):
    id, name, program = fields.Count(), fields.Text(), fields.Text()
    structure = StructureNameSerializer(allow_null=True)
    cluster = fields.Text(allow_null=True)
    state = fields.Choice(Calculation.STATES)
    priority, steps = fields.Count(), fields.Map(fields.Count(), "Number of steps in each state")
    done, total = fields.Count(), fields.Count()
    cost = fields.Number("Process hours that it asks for", allow_null=True)
    created_at, ended_at, created_by = fields.Time(), fields.Time(allow_null=True), fields.Text()


class CalculationListSerializer(Serializer):
    next = fields.Count("`before` of the next page", allow_null=True)
    calculations = fields.Items(CalculationSummarySerializer())


class ResultFileSerializer(Serializer):
    name, analysis, size, sha256, stored = fields.Text(), fields.Text(), fields.Count(), fields.Text(), fields.Flag()


class StepResultSerializer(Serializer):
    id, state, reason = fields.Count(), fields.Text(), fields.Text()
    exit_code = fields.Whole(allow_null=True)
    left_out = fields.Flag(
        "values, tables, analyses and kept are not shown, because those of all steps are too large together: ask for one step"
    )
    values, tables = fields.Map(None, "Name to value and unit"), fields.Map(None, "Name to columns and rows")
    report = fields.Text("What the program says to the reader of the report")
    analyses, kept = fields.Items(fields.Map()), fields.Items(fields.Map())
    files = fields.Items(ResultFileSerializer())
    began, ended = fields.Number(allow_null=True), fields.Number(allow_null=True)
    accepted_at = fields.Time()


class AttemptSerializer(Serializer):
    fence, cluster, state, reason = fields.Count(), fields.Text(), fields.Text(), fields.Text()
    version, job, host, files = fields.Text(), fields.Text(), fields.Text(), fields.Text()
    cancel_wanted, claimed_at = fields.Flag(), fields.Time()
    permitted_at, queued_at = fields.Time(allow_null=True), fields.Time(allow_null=True)
    running_at, ended_at = fields.Time(allow_null=True), fields.Time(allow_null=True)
    log_size = fields.Count()
    walltime = fields.Map(None, "Its wall time, and where it comes from; null: as given", allow_null=True)
    correction = fields.Map(None, "The correction that its handler asked for", allow_null=True)
    result = StepResultSerializer(allow_null=True)


class StepSerializer(Serializer):
    id, name, program = fields.Text(), fields.Text(), fields.Text()
    parameters, corrections, resources = fields.Map(), fields.Map(), fields.Map()
    structure = StructureNameSerializer(allow_null=True)
    analyses, parents = fields.Items(fields.Text()), fields.Items(fields.Text())
    state, reason, cluster = fields.Text(), fields.Text(), fields.Text(allow_null=True)
    contact = fields.Choice(("ok", "silent", "lost"))
    cancel_wanted, fence, changed_at = fields.Flag(), fields.Count(), fields.Time()
    attempts = fields.Items(AttemptSerializer())
    result = StepResultSerializer(help_text="The result that counts", allow_null=True)


class TransitionSerializer(Serializer):
    step, fence = fields.Text(allow_null=True), fields.Count(allow_null=True)
    at, before, after = fields.Time(), fields.Text(), fields.Text()
    who, name, reason = fields.Choice(("server", "agent", "person")), fields.Text(), fields.Text()


class CalculationSerializer(CalculationSummarySerializer):
    description, wanted_cluster = fields.Text(), fields.Text(allow_null=True)
    analyses, notify = fields.Items(fields.Text()), fields.Items(fields.Text())
    needs_approval = fields.Text("Why it needs approval; empty: it does not")
    approved_by, approved_at = fields.Text(), fields.Time(allow_null=True)
    asked = fields.Map(None, "The request")
    fingerprint = fields.Text("SHA-256 of programs, parameters, structures and parents")
    chain = fields.Items(StepSerializer())
    transitions = fields.Items(TransitionSerializer())


class IdenticalSerializer(Serializer):
    id, name, created_by, ended_at = fields.Count(), fields.Text(), fields.Text(), fields.Time(allow_null=True)
    versions = fields.Map(fields.Text(), "Program to version")


class SubmittedSerializer(Serializer):
    created = fields.Flag()
    identical = fields.Items(IdenticalSerializer(), "Calculations with identical input that are done")
    id = fields.Count("Number of the new calculation", required=False)
    calculation = CalculationSerializer(allow_null=True)
