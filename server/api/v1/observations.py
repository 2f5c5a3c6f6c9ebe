"""Reading the log over the native API: in pages, or all of it in one stream."""

import functools

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.response_slots import Slot
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1 import export, hot
from server.api.v1.view import CSV, JSON, NDJSON, View, operation
from server.core.spreadsheet_cells import SAFE_FORMATS
from server.streams import feature_warnings, retention
from server.streams.models import Stream

PAGE = 100
LARGEST_PAGE = 10_000
TYPES = {"json": JSON, "ndjson": NDJSON, "csv": CSV}
LIMITS = settings.TAILRACE
"""Limits of this server (``TAILRACE_MAX_…``), as its schema shows them."""

_FINITE: fields.Schema = {"minimum": -fields.LARGEST_NUMBER, "maximum": fields.LARGEST_NUMBER}
_STRING: fields.Schema = {"maxLength": LIMITS.max_string_length, "pattern": fields.STORABLE}
DESCRIPTOR = fields.Text(
    "Name of the descriptor that computed the features. It must be that of the stream; leave it out if the stream has none",
    max_length=200,
    allow_null=True,
    required=False,
)
FEATURES = fields.Map(
    fields.Field(None, {"type": ["number", "string", "boolean"], **_FINITE, **_STRING}),
    "Feature name to a finite number, a string or a boolean",
    keywords={"examples": [{"x": 8, "y": 16, "z": 8}]},
    min_length=1,
    max_length=LIMITS.max_features,
    names=fields.Text(min_length=1, max_length=LIMITS.max_name_length),
)
TARGET = fields.Field(
    "The target, of the kind that the stream has",
    {"type": ["number", "string", "boolean", "null"], **_FINITE, **_STRING},
)
_TEXTS = (
    fields.Text(max_length=LIMITS.max_string_length),
    "Features of the point, and the texts that they were read from",
)
TEXTS = fields.Map(*_TEXTS, required=False)
TEXTS_OF_ONE = fields.Map(*_TEXTS, allow_null=True)
TEXT_OF_TARGET = fields.Text("The text that y was read from", max_length=LIMITS.max_string_length, required=False)
WRITTEN = (
    "Texts that values were read from, as on a command line. The kinds that the stream declares, or else those of its "
    "observations, decide whether the text or the number is used"
)
_SOURCE = "Where the point comes from: job, cluster, user …; at most 10,000 bytes as JSON"
SOURCE = fields.Map(None, _SOURCE, allow_null=True)
OPTIONAL_SOURCE = fields.Map(None, _SOURCE, allow_null=True, required=False)


class WrittenPointSerializer(RequestSerializer):
    x, y = TEXTS, TEXT_OF_TARGET


class NewObservationSerializer(RequestSerializer):
    x, y = FEATURES, TARGET
    key = fields.Text(
        "Unique in the stream: a repetition changes nothing",
        min_length=1,
        max_length=LIMITS.max_name_length,
        allow_null=True,
        required=False,
    )
    source = OPTIONAL_SOURCE  # type: ignore[assignment]
    written = WrittenPointSerializer(help_text=WRITTEN, allow_null=True, required=False)


class SingleObservationSerializer(NewObservationSerializer):
    descriptor = DESCRIPTOR


POINTS = fields.Items(NewObservationSerializer(), min_length=1, max_length=LIMITS.max_points)


class NewObservationsSerializer(RequestSerializer):
    observations = POINTS
    descriptor = DESCRIPTOR


class LearnedByModelSerializer(Serializer):
    prediction = fields.Field("A number, a label, an object of labels and probabilities, or null", required=False)
    predictions = fields.Field(None, {"type": "array"}, required=False)
    error = fields.Text(required=False)
    errors = fields.Map(fields.Text(), required=False)  # type: ignore[assignment]


class NewStreamNoticeSerializer(Serializer):
    name, nearest, message = fields.Text(), fields.Text(allow_null=True), fields.Text()


class WarningSerializer(Serializer):
    code = fields.Choice((*feature_warnings.CODES, feature_warnings.MORE, feature_warnings.UNCHECKED))
    message = fields.Text()
    field = fields.Text("Path of the feature in the first point concerned", required=False)
    feature = fields.Text(required=False)
    points = fields.Items(fields.Count(), "If the request has many points: indexes of those concerned", required=False)


def warnings_of(help_text: str) -> fields.Items:
    """The field of an answer that lists how points differ from earlier ones."""
    most = len(feature_warnings.CODES) * feature_warnings.MOST_OF_A_CODE + 1
    return fields.Items(WarningSerializer(), help_text, min_length=1, max_length=most, required=False)


class ReceiptSerializer(Serializer):
    first, last = fields.Whole(min_value=1), fields.Whole(min_value=1)
    accepted, duplicates = fields.Count(), fields.Count()
    models = fields.Map(LearnedByModelSerializer())
    new_stream = NewStreamNoticeSerializer(
        help_text="Only if these points created the stream: no model learns from it, and its name may be mistyped; "
        "`nearest` is the most similar name that the caller may read",
        required=False,
    )
    warnings = warnings_of(
        "If the stream declares no features: values of a new kind, and points without a usual feature. These points were "
        "stored and learned, too"
    )


class ObservationRetractionSerializer(Serializer):
    reason, at = fields.Text(), fields.Time()


class ObservationSerializer(Serializer):
    seq = fields.Whole(min_value=1)
    x, y = FEATURES, TARGET
    key = fields.Text(allow_null=True)
    at = fields.Time()
    source = SOURCE  # type: ignore[assignment]
    identifier = fields.Text("Identifier of the prediction that it labels", required=False)
    retracted = ObservationRetractionSerializer(required=False)
    predictions = fields.Map(None, "By model: its prediction before it learned the observation", required=False)
    errors = fields.Map(fields.Text(), "By model: why it skipped the observation", required=False)  # type: ignore[assignment]


class ObservationPageSerializer(Serializer):
    stream, head, next = fields.Text(), fields.Count(), fields.Whole(allow_null=True)
    observations = fields.Items(ObservationSerializer())


class ListObservationsQuery(QuerySerializer):
    after = fields.Whole("Only observations with a greater number", min_value=0, max_value=fields.LARGEST, default=0)
    limit = fields.Whole(
        f"Largest number in the answer; a JSON page has {PAGE} by default, at most {LARGEST_PAGE}",
        min_value=1,
        max_value=fields.LARGEST,
    )
    format = fields.Choice(TYPES, "Instead of the Accept header")
    safe = fields.Choice(SAFE_FORMATS, "CSV that is safe to open in this program")


class Observations(View):
    """The log of one stream."""

    path = {"name": fields.Name(None, "The stream")}  # it may be made by posting to it

    @operation(
        "listObservations",
        answers={200: {JSON: ObservationPageSerializer, NDJSON: {"type": "string"}, CSV: {"type": "string"}}},
        query=ListObservationsQuery,
        errors=(410,),
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        """Read the log.

        As JSON, a page at a time: `next` is the `after` of the next page, or null at the end. As NDJSON or CSV (by the
        Accept header or `?format=`), all of it in one streamed answer. CSV has the columns seq, at, y, key, source (as
        JSON), retracted (the reason), and x.<feature> for every declared feature; where none are declared, for every
        feature that occurs, in the order of its first use. What a point lacks is empty. With `safe=excel` an
        apostrophe stands before text that a spreadsheet would take for a formula (it begins with =, +, -, @, a tab or
        the end of a line): for people who open the file, not for programs. Numbers stay numbers. Observations that
        aren't kept any more (see `retention` of the stream) are left out where some between them are, and else
        answered with 410.
        """
        asked = request._request
        kind = TYPES[self.query["format"] or _accepted(asked)]
        after, limit, safe = self.query["after"], self.query["limit"], self.query["safe"]
        if kind == JSON:
            check_page(limit, LARGEST_PAGE)
        stream = caller.stream(asked, name)
        if after < stream.dropped:
            raise retention.gone(stream.name, stream.dropped, f"read on from there, with after={stream.dropped}")
        if kind == JSON:
            return _page(stream, after, limit or PAGE, Slot(export.SLOTS, caller.identity(asked)))
        upto = stream.head if limit is None else min(stream.head, after + limit)
        if kind == NDJSON:
            chunks = export.ndjson(stream, after, upto)
        else:
            columns = export.csv_columns(stream, after, upto)
            chunks = export.table(stream, columns, after, upto, safe=safe is not None)
        ending = "ndjson" if kind == NDJSON else "csv"
        headers = {"Content-Disposition": f'attachment; filename="{stream.name}.{ending}"'}
        sent = export.sent(chunks, caller.identity(asked))
        return StreamingHttpResponse(sent, content_type=f"{kind}; charset=utf-8", headers=headers)

    @operation(
        "addObservations",
        {
            JSON: fields.Described((SingleObservationSerializer, NewObservationsSerializer)),
            NDJSON: {"type": "string", "description": "One NewObservation a line"},
        },
        answers={201: ReceiptSerializer},
        errors=(409,),
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        """Post observations; every model on the stream predicts, is scored on and learns each.

        One observation, `{"observations": […]}`, or NDJSON; all or none are taken. An answer of 201 means that they
        are on disk and learned. A repeated key answers as the first time did and changes nothing. A stream that isn't
        there is made if the caller's token has the scope create; else 404 names the nearest. Where the stream has a
        descriptor, the request names it beside its points (NDJSON can't); where it has none, the request doesn't.
        """
        return hot.observe(request._request, name=name)


def check_page(limit: int | None, largest: int) -> None:
    """Refuse a page of JSON that is too long; the other formats have no limit."""
    if limit is not None:
        fields.Whole(min_value=1, max_value=largest).read(limit, "limit")


def _accepted(request: HttpRequest) -> str:
    wanted = request.get_preferred_type(list(TYPES.values()))
    return next((ending for ending, kind in TYPES.items() if kind == wanted), "json")


def _page(stream: Stream, after: int, limit: int, slot: Slot) -> Response:
    """Return a page of the log. It keeps its slot until it is sent: a slow client may take long to read it."""
    try:
        found, upto = export.page(stream, after, min(stream.head, after + limit), slot)
    except BaseException:
        slot.release()
        raise
    more = upto if upto < stream.head else None
    answer = Response({"stream": stream.name, "head": stream.head, "next": more, "observations": found})
    answer.add_post_render_callback(_without_data)
    answer._resource_closers.append(slot.release)  # type: ignore[attr-defined]  # as Django closes a file that it sends
    return answer


def _without_data(answer: Response) -> None:
    """Drop what a page was rendered from: a slow client need not keep both in memory."""
    answer.data = None


_read = Observations.as_view()


@functools.wraps(_read)
def observations(request: HttpRequest, name: str) -> HttpResponseBase:
    """One address, two ways: POST goes straight to the hot view."""
    if request.method == "POST":
        return hot.observe(request, name=name)
    return _read(request, name=name)
