"""Views of the native API for streams: create, list, show, change, delete, and retract observations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from django.db import models as orm
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.observations import DESCRIPTOR, LIMITS
from server.api.v1.view import View, created, operation
from server.cells import descriptors
from server.cells.deletion import Cells
from server.core.errors import Invalid
from server.core.validation import FEATURE_KINDS, TARGET_KINDS, format_value
from server.learning.deletion import Models, NoModels
from server.learning.models import Model
from server.streams import deletion, registry, silence
from server.streams.models import Retraction, Stream


class ExpectedSerializer(Serializer):
    is_closed = True
    every = fields.Whole(min_value=silence.SHORTEST, max_value=silence.LONGEST)
    grace = fields.Whole(min_value=0, max_value=silence.LONGEST, default=0)


class TargetSerializer(RequestSerializer):
    name = fields.Text(max_length=200)
    unit = fields.Text(max_length=50, default="")
    kind = fields.Choice(
        TARGET_KINDS,
        "Default: number if the target has a unit, otherwise any",
        allow_null=True,
        required=False,
    )


EXPECTED = fields.Described(
    (ExpectedSerializer, {"type": "null"}),
    "Seconds within which another observation is expected, and after which more the stream counts as silent; "
    "null: none is expected",
    required=False,
)
_FEATURE = fields.Text(max_length=200, min_length=1)
_LIMITS: dict[str, Any] = {"min_length": 1, "max_length": LIMITS.max_features}


class NewStreamSerializer(RequestSerializer):
    name = fields.Name("stream")
    target = TargetSerializer()
    features = fields.Described(
        (
            fields.Items(_FEATURE, **_LIMITS),
            fields.Map(fields.Choice(FEATURE_KINDS), names=_FEATURE, **_LIMITS),
            {"type": "null"},
        ),
        "Names (of numbers), or names and kinds; null: any features",
        required=False,
    )
    segment = fields.Text(
        "Separate metrics for each value of this feature, which must be one of the declared features, if any are declared",
        max_length=200,
        allow_null=True,
        required=False,
    )
    descriptor = fields.Described(DESCRIPTOR, required=False)
    description = fields.Text(max_length=registry.LONGEST_DESCRIPTION, required=False)
    expected = EXPECTED


class StreamChangeSerializer(RequestSerializer):
    keywords = {"minProperties": 1}
    description = fields.Text(max_length=registry.LONGEST_DESCRIPTION, required=False)
    expected = EXPECTED

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            message = "description is missing: expected an object with description, expected"
            raise Invalid(message, field="description", code="missing")
        return attrs


class StreamTargetSerializer(Serializer):
    name, unit, kind = fields.Text(), fields.Text(), fields.Text()


class ListeningSerializer(Serializer):
    every = fields.Whole(min_value=silence.SHORTEST, max_value=silence.LONGEST)
    grace = fields.Whole(min_value=0, max_value=silence.LONGEST)
    last_at = fields.Time(allow_null=True)
    state = fields.Choice(silence.STATES)


class RetentionSerializer(Serializer):
    dropped = fields.Count("No observation up to this number is kept")
    whole_after = fields.Count("All observations after this number are kept")


class StreamCountsSerializer(Serializer):
    observations, retracted, models = fields.Count(), fields.Count(), fields.Count()


class StreamModelSerializer(Serializer):
    name, flavor, recipe, status = fields.Text(), fields.Text(), fields.Text(allow_null=True), fields.Text()


class StreamSerializer(Serializer):
    name, description = fields.Text(), fields.Text()
    target = StreamTargetSerializer()
    features = fields.Map(fields.Text(), allow_null=True)
    segment, descriptor = fields.Text(allow_null=True), fields.Text(allow_null=True)
    expected = fields.Described(
        (ListeningSerializer, {"type": "null"}),
        "How often observations are expected, and when the last one came; null where none is expected",
    )
    head = fields.Count("Number of the last observation")
    retention = RetentionSerializer()
    counts = StreamCountsSerializer()
    models = fields.Items(StreamModelSerializer())
    created_at, created_by = fields.Time(), fields.Text()


class StreamListSerializer(Serializer):
    streams = fields.Items(StreamSerializer())


class DeleteStreamQuery(QuerySerializer):
    confirm = fields.Text(
        "The stream's name, once more: delete all that depends on it, too", max_length=fields.LONGEST_IN_QUERY
    )


class NewRetractionSerializer(RequestSerializer):
    reason = fields.Text(max_length=registry.LONGEST_REASON, min_length=1, pattern=fields.NOT_BLANK)


class RetractionSerializer(Serializer):
    stream, seq, reason, at = fields.Text(), fields.Count(), fields.Text(), fields.Time()
    models = fields.Items(fields.Text())


class Streams(View):
    """All streams."""

    @operation("listStreams", answers={200: StreamListSerializer})
    def get(self, request: Request) -> Response:
        """List the streams."""
        found = Stream.objects.order_by("name")
        only_these = caller.only_streams(request._request)
        if only_these is not None:
            found = found.filter(name__in=only_these)
        return Response({"streams": described(found)})

    @operation("createStream", NewStreamSerializer, answers={201: StreamSerializer}, errors=(404, 409))
    def post(self, request: Request) -> Response:
        """Create a stream."""
        given = self.body(request)
        name, target, descriptor = given.pop("name"), given.pop("target"), given.pop("descriptor", None)
        caller.check_new_stream(request._request, name)
        stream = registry.create(
            name,
            **{f"target_{part}": value for part, value in target.items()},
            descriptor=None if descriptor is None else descriptors.find(descriptor).name,
            **given,
            **caller.made_by(request._request),
            owner=caller.owner(request._request),
        )
        return created(described([stream])[0], f"/api/v1/streams/{quote(stream.name)}/")


class OneStream(View):
    """One stream."""

    @operation("getStream", answers={200: StreamSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a stream: its head, counts and models."""
        return Response(described([caller.stream(request._request, name)])[0])

    @operation("changeStream", StreamChangeSerializer, answers={200: StreamSerializer})
    def patch(self, request: Request, name: str) -> Response:
        """Change a stream's description, or how often observations are expected.

        Target, features, segment and descriptor cannot be changed, because the log depends on them.
        """
        stream = caller.stream(request._request, name)
        caller.check_owner(request._request, stream)
        registry.change(stream, self.body(request))
        return Response(described([stream])[0])

    @operation("deleteStream", answers={204: None}, query=DeleteStreamQuery, errors=(409,))
    def delete(self, request: Request, name: str) -> Response:
        """Delete an unused stream; or, with a confirmation, any stream with everything that depends on it.

        If the stream has observations or models, `confirm` must be its name. The deletion is permanent and includes its
        log, models, kept predictions, cells and databases. It is refused if another user owns one of these models or
        databases, unless the caller may change those of all users.
        """
        stream = caller.stream(request._request, name)
        caller.check_owner(request._request, stream)
        confirm = self.query["confirm"]
        if confirm not in (None, stream.name):
            raise Invalid(
                f"confirm is {format_value(confirm)}: expected the stream's name, {stream.name}", field="confirm"
            )
        check = partial(caller.check_owner, request._request)
        models = NoModels() if confirm is None else Models(check)
        deletion.delete(stream, (models, Cells(check)), with_log=confirm is not None)
        return Response(status=204)


class Retract(View):
    """Retraction of an observation."""

    path = {"seq": fields.Whole("The observation's number", min_value=1, max_value=10**18 - 1)}

    @operation("retractObservation", NewRetractionSerializer, answers={202: RetractionSerializer}, errors=(410,))
    def post(self, request: Request, name: str, seq: str) -> Response:
        """Retract an observation.

        The observation stays in the log and is marked as retracted. The stream's models are rebuilt without it in the
        background; meanwhile they continue to serve. A repeated retraction changes nothing.
        """
        if not (seq.isascii() and seq.isdigit() and len(seq) < 19):
            raise Invalid(f"{format_value(seq)} is not the number of an observation: expected 1, 2, 3 …", field="seq")
        reason = self.body(request)["reason"]
        stream = caller.stream(request._request, name)
        registry.retract(stream, int(seq), reason, caller.name(request._request))
        kept = Retraction.objects.get(stream=stream, seq=int(seq))
        models = Model.objects.filter(stream=stream).order_by("name").values_list("name", flat=True)
        data = {"stream": stream.name, "seq": kept.seq, "reason": kept.reason, "at": kept.at, "models": list(models)}
        return Response(data, status=202)


def described(streams: Sequence[Stream] | Any) -> list[dict[str, Any]]:
    """Return streams as the API shows them, with four queries for any number of streams."""
    streams = list(streams)
    heard = silence.activity(streams)
    chosen = {"stream__in": streams} if len(streams) == 1 else {}
    models: dict[int, list[dict[str, Any]]] = defaultdict(list)
    columns = ("stream", "name", "flavor", "recipe", "status")
    for stream_id, name, flavor, recipe, status in (
        Model.objects.filter(**chosen).order_by("name").values_list(*columns)
    ):
        models[stream_id].append({"name": name, "flavor": flavor, "recipe": recipe or None, "status": status})
    counted = Retraction.objects.filter(**chosen).values_list("stream").annotate(n=orm.Count("pk"))
    retracted = dict(counted.order_by())
    return [
        {
            "name": stream.name,
            "description": stream.description,
            "target": {"name": stream.target_name, "unit": stream.target_unit, "kind": stream.target_kind},
            "features": stream.features,
            "segment": stream.segment,
            "descriptor": stream.descriptor,
            "expected": _expected(stream, heard),
            "head": stream.head,
            "retention": {"dropped": stream.dropped, "whole_after": stream.whole_after},
            "counts": {
                "observations": stream.head,
                "retracted": retracted.get(stream.pk, 0),
                "models": len(models[stream.pk]),
            },
            "models": models[stream.pk],
            "created_at": stream.created_at,
            "created_by": stream.created_by,
        }
        for stream in streams
    ]


def _expected(stream: Stream, heard: Mapping[int, silence.Activity]) -> dict[str, Any] | None:
    expected = registry.expected_of(stream)
    if expected is None or stream.pk not in heard:
        return None
    return {**expected, **heard[stream.pk]._asdict()}
