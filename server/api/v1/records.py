"""Records of models: what a model predicted for each observation, at any resolution, or as a file."""

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, Serializer
from server.api.v1 import export
from server.api.v1.view import CSV, NDJSON, View, operation
from server.core.errors import Invalid
from server.core.spreadsheet_cells import SAFE_FORMATS
from server.learning import registry
from server.learning.models import Model
from server.learning.records import exporting, reading

PARQUET = "application/vnd.apache.parquet"
TYPES = {"csv": CSV, "ndjson": NDJSON, "parquet": PARQUET}

NUMBERS = fields.Items(fields.Number(allow_null=True))
COUNTS = fields.Items(fields.Count())


class StatisticsSerializer(Serializer):
    """One value for each bucket; null where no observation of it has one."""

    min, max, mean, last = NUMBERS, NUMBERS, NUMBERS, NUMBERS


class RecordSerializer(Serializer):
    model = fields.Text()
    first, last = fields.Count("Range of observations; none where last is less than first"), fields.Count()
    head = fields.Count("The last observation of the stream")
    behind = fields.Count("Observations that aren't recorded yet; the server records them in the background")
    per_bucket = fields.Count("Observations that a bucket stands for; of a segment, those of all segments")
    n = fields.Items(fields.Count(), "The last observation of each bucket")
    count, scored, skipped = COUNTS, COUNTS, COUNTS
    at = fields.Items(fields.Number(), "Time of the last observation, in seconds since 1970")
    MAE, RMSE = NUMBERS, NUMBERS
    covered = fields.Items(fields.Number(allow_null=True), "Share of the targets within their 95 % interval")
    y, prediction = StatisticsSerializer(), StatisticsSerializer()
    error = StatisticsSerializer(
        help_text="Prediction minus target; of a classifier, 1 for a wrong label and 0 for the right one"
    )
    lower, upper = StatisticsSerializer(), StatisticsSerializer()


class RangeQuery(QuerySerializer):
    first = fields.Whole(
        "From this observation on; the first, if it isn't given", min_value=1, max_value=fields.LARGEST
    )
    last = fields.Whole("Up to this one; the last, if it isn't given", min_value=1, max_value=fields.LARGEST)


class RecordQuery(RangeQuery):
    buckets = fields.Whole("Most buckets", min_value=1, max_value=reading.MOST_BUCKETS, default=500)
    segment = fields.Text("Only this value of the stream's segment feature", max_length=fields.LONGEST_IN_QUERY)


class RecordExportQuery(RangeQuery):
    format = fields.Choice(TYPES, "Of the file", default="csv")
    safe = fields.Choice(SAFE_FORMATS, "CSV that is safe to open in this program")


class Record(View):
    """The record of one model, for charts."""

    tag = "models"

    @operation("getRecord", answers={200: RecordSerializer}, query=RecordQuery)
    def get(self, request: Request, name: str) -> Response:
        """The record of a model in buckets: least, largest, mean and last value of each, so that no spike is lost.

        A record has what the model predicted for each observation before it learned it, and for some models its 95 %
        interval. The server writes it in the background: `behind` says how many observations it lacks. Buckets are of
        equal ranges of observation numbers; there may be one more than `buckets`, and of a segment there are fewer where
        a range has none. A damaged record is answered with 503, and made again.
        """
        model = _found(request, name)
        asked = self.query
        if asked["segment"] is not None and model.stream.segment is None:
            raise Invalid(f"stream {model.stream.name} has no segment feature: leave segment out", field="segment")
        return Response(reading.series(model, asked["first"], asked["last"], asked["buckets"], asked["segment"]))


class RecordExport(View):
    """The record of one model as a file."""

    tag = "models"

    @operation(
        "exportRecord",
        answers={
            200: {
                CSV: {"type": "string"}, NDJSON: {"type": "string"}, PARQUET: {"type": "string", "format": "binary"},
            }
        },
        query=RecordExportQuery,
        errors=(409,),
    )  # fmt: skip
    def get(self, request: Request, name: str) -> HttpResponseBase:
        """Export the record of a model: a row for each observation, in one streamed answer.

        The columns are n, at (UTC), segment, y, prediction, scored, skipped, lower, upper (the 95 % interval), and q50 to
        q99 (upper bounds of a time). What the model doesn't give is empty. The headers `X-Tailrace-First`, `-Last` and
        `-Behind` say which observations the file has, and how many aren't recorded yet. With `safe=excel` an apostrophe
        stands before text that a spreadsheet would take for a formula.
        """
        asked, kind = self.query, self.query["format"]
        if asked["safe"] is not None and kind != "csv":
            raise Invalid("safe is for CSV, which spreadsheets open: leave it out", field="safe")
        model = _found(request, name)
        known = reading.extent(model)
        low, high = reading.chosen(known, asked["first"], asked["last"])
        chunks = exporting.export(model, low, high, kind, safe=asked["safe"] is not None)
        headers = {
            "Content-Disposition": f'attachment; filename="{model.name}-record.{kind}"',
            "X-Tailrace-First": str(low), "X-Tailrace-Last": str(max(low - 1, high)), "X-Tailrace-Behind": str(known.behind),
        }  # fmt: skip
        content_type = PARQUET if kind == "parquet" else f"{TYPES[kind]}; charset=utf-8"
        sent = export.sent(chunks, caller.identity(request._request))
        return StreamingHttpResponse(sent, content_type=content_type, headers=headers)


def _found(request: Request, name: str) -> Model:
    caller.check_model(request._request, name)
    return registry.find(name)
