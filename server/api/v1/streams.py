"""Streams of the native API: made, listed, looked at, retracted from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from django.db.models import Count
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.codec import only
from server.api.v1 import query
from server.api.v1.openapi import documented, in_query, one_of_path, whole
from server.api.v1.view import View, created
from server.cells import descriptors
from server.cells.deletion import Cells
from server.learning.deletion import Models, NoModels
from server.learning.models import Model
from server.streams import deletion, registry, silence
from server.streams.errors import Invalid
from server.streams.models import Retraction, Stream
from server.streams.validation import shown

FIELDS = ("name", "target", "features", "segment", "descriptor", "description", "expected")
CHANGEABLE = ("description", "expected")
TARGET = ("name", "unit", "kind")


class Streams(View):
    """All streams."""

    @documented("listStreams", "List the streams", answers={200: "StreamList"})
    def get(self, request: Request) -> Response:
        found = Stream.objects.order_by("name")
        only_these = caller.only_streams(request._request)
        if only_these is not None:
            found = found.filter(name__in=only_these)
        return Response({"streams": described(found)})

    @documented("createStream", "Make a stream", body="NewStream", answers={201: "Stream"}, errors=(404, 409))
    def post(self, request: Request) -> Response:
        payload = self.payload(request)
        only(payload, *FIELDS, required=("name", "target"))
        if isinstance(payload["name"], str):
            caller.check_new_stream(request._request, payload["name"])
        target = query.member(payload, "target", TARGET, ("name",))
        descriptor = payload.get("descriptor")
        stream = registry.create(
            payload["name"],
            target_name=target["name"],
            target_unit=target.get("unit", ""),
            target_kind=target.get("kind"),
            features=payload.get("features"),
            segment=payload.get("segment"),
            descriptor=None if descriptor is None else descriptors.find(descriptor).name,
            description=payload.get("description", ""),
            expected=payload.get("expected"),
            **caller.made_by(request._request),
            owner=caller.owner(request._request),
        )
        return created(described([stream])[0], f"/api/v1/streams/{quote(stream.name)}/")


class OneStream(View):
    """One stream."""

    query = ("confirm",)

    @documented(
        "getStream",
        "Look at a stream: its head, counts and models",
        parameters=[one_of_path("name", "The stream")],
        answers={200: "Stream"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        query.only(request._request, ())
        return Response(described([caller.stream(request._request, name)])[0])

    @documented(
        "changeStream",
        "Change a stream's description, or how often observations are expected",
        "What the log depends on (target, features, segment, descriptor) stays as it was declared.",
        parameters=[one_of_path("name", "The stream")],
        body="StreamChange",
        answers={200: "Stream"},
        errors=(404,),
    )
    def patch(self, request: Request, name: str) -> Response:
        query.only(request._request, ())
        stream = caller.stream(request._request, name)
        caller.check_owner(request._request, stream)
        payload = self.payload(request)
        only(payload, *CHANGEABLE, required=() if "expected" in payload else ("description",))
        registry.change(stream, payload)
        return Response(described([stream])[0])

    @documented(
        "deleteStream",
        "Delete a stream that was never used; or, confirmed, one with all that depends on it",
        "A stream with observations or models is deleted only where `confirm` is its name, and with it, for good, its log, "
        "models, kept predictions, cells and databases. Models and databases that somebody else made keep it, unless the "
        "caller may change everybody's.",
        parameters=[
            one_of_path("name", "The stream"),
            in_query("confirm", "The stream's name, once more: delete all that depends on it, too"),
        ],
        answers={204: None},
        errors=(404, 409),
    )
    def delete(self, request: Request, name: str) -> Response:
        stream = caller.stream(request._request, name)
        caller.check_owner(request._request, stream)
        confirm = query.text(request._request, "confirm")
        if confirm not in (None, stream.name):
            raise Invalid(f"confirm is {shown(confirm)}: expected the stream's name, {stream.name}", field="confirm")
        check = partial(caller.check_owner, request._request)
        models = NoModels() if confirm is None else Models(check)
        deletion.delete(stream, (models, Cells(check)), with_log=confirm is not None)
        return Response(status=204)


class Retract(View):
    """Marking an observation as wrong."""

    @documented(
        "retractObservation",
        "Retract an observation",
        "It stays in the log, marked. The stream's models are rebuilt without it in the background and serve on "
        "meanwhile. A repeated retraction changes nothing.",
        parameters=[
            one_of_path("name", "The stream"),
            one_of_path("seq", "The observation's number", whole(1, 10**18 - 1)),
        ],
        body="NewRetraction",
        answers={202: "Retraction"},
        errors=(404, 410),
    )
    def post(self, request: Request, name: str, seq: str) -> Response:
        if not (seq.isascii() and seq.isdigit() and len(seq) < 19):
            raise Invalid(f"{shown(seq)} is not the number of an observation: expected 1, 2, 3 …", field="seq")
        payload = self.payload(request)
        only(payload, "reason", required=("reason",))
        stream = caller.stream(request._request, name)
        registry.retract(stream, int(seq), payload["reason"], caller.name(request._request))
        kept = Retraction.objects.get(stream=stream, seq=int(seq))
        models = Model.objects.filter(stream=stream).order_by("name").values_list("name", flat=True)
        data = {"stream": stream.name, "seq": kept.seq, "reason": kept.reason, "at": kept.at, "models": list(models)}
        return Response(data, status=202)


def described(streams: Sequence[Stream] | Any) -> list[dict[str, Any]]:
    """Streams as the API shows them, in four queries however many there are."""
    streams = list(streams)
    heard = silence.heard(streams)
    chosen = {"stream__in": streams} if len(streams) == 1 else {}
    models: dict[int, list[dict[str, Any]]] = defaultdict(list)
    columns = ("stream", "name", "flavor", "recipe", "status")
    for stream_id, name, flavor, recipe, status in (
        Model.objects.filter(**chosen).order_by("name").values_list(*columns)
    ):
        models[stream_id].append({"name": name, "flavor": flavor, "recipe": recipe or None, "status": status})
    counted = Retraction.objects.filter(**chosen).values_list("stream").annotate(n=Count("pk"))
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


def _expected(stream: Stream, heard: Mapping[int, silence.Heard]) -> dict[str, Any] | None:
    expected = registry.expected_of(stream)
    if expected is None or stream.pk not in heard:
        return None
    return {**expected, **heard[stream.pk]._asdict()}
