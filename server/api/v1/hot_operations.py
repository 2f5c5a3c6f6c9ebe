"""Descriptions of predict and label for the schema. Their views are plain functions that check bodies by hand, for speed."""

from typing import TypeVar

from django.http import HttpResponse
from rest_framework.request import Request

from server.api import fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1 import hot
from server.api.v1.observations import (
    DESCRIPTOR,
    FEATURES,
    LIMITS,
    OPTIONAL_SOURCE,
    TARGET,
    TEXT_OF_TARGET,
    TEXTS,
    TEXTS_OF_ONE,
    WRITTEN,
    ReceiptSerializer,
    warnings_of,
)  # fmt: skip
from server.api.v1.view import View, operation

INTERVAL = fields.Items(fields.Number(allow_null=True), min_length=2, max_length=2, allow_null=True, required=False)


class WrittenFeaturesSerializer(RequestSerializer):
    x = TEXTS


class WrittenPointsSerializer(RequestSerializer):
    xs = fields.Items(TEXTS_OF_ONE, max_length=LIMITS.max_points, required=False)


class WrittenLabelSerializer(RequestSerializer):
    y = TEXT_OF_TARGET


class QuestionSerializer(RequestSerializer):
    variants = (
        {"requires": ("x",), "without": ("xs",)},
        {
            "requires": ("xs",),
            "without": ("x",),
            "identifier": {"type": "null"},
            "track": {"type": "boolean", "const": False},
            "written": WrittenPointsSerializer(help_text=WRITTEN, allow_null=True),
        },
    )
    x = fields.Described(FEATURES, required=False)
    xs = fields.Items(FEATURES, min_length=1, max_length=LIMITS.max_points, required=False)
    identifier = fields.Text(min_length=1, max_length=LIMITS.max_name_length, allow_null=True, required=False)
    track = fields.Flag("Keep the prediction under a new identifier, until its label arrives", default=False)
    level = fields.Number(keywords={"exclusiveMinimum": 0, "exclusiveMaximum": 1}, default=hot.LEVEL)
    strict = fields.Flag(
        "Return an error instead of warnings: 400 with the code `unfamiliar`, or 503 while the server doesn't "
        "know yet what the stream has seen",
        default=False,
    )
    written = WrittenFeaturesSerializer(help_text=WRITTEN, allow_null=True, required=False)


class AnswerSerializer(Serializer):
    at = fields.Count("The last observation that the model had learned")
    prediction = fields.Field("A number, a label, an object of labels and probabilities, or null", required=False)
    predictions = fields.Field(None, {"type": "array"}, required=False)
    interval = INTERVAL
    intervals = fields.Items(INTERVAL, required=False)
    identifier = fields.Text(required=False)
    warnings = warnings_of(
        "How the points differ from those that the stream has seen, if the stream declares no features"
    )


class LabelSerializer(RequestSerializer):
    y = TARGET
    model = fields.Text(
        "The model that predicted: required if several models have a prediction with this identifier",
        max_length=hot.LONGEST_MODEL,
        allow_null=True,
        required=False,
    )
    source = OPTIONAL_SOURCE  # type: ignore[assignment]
    descriptor = DESCRIPTOR
    written = WrittenLabelSerializer(help_text=WRITTEN, allow_null=True, required=False)


class Predict(View):
    tag = "predictions"

    @operation("predict", QuestionSerializer, answers={200: AnswerSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> HttpResponse:
        """Predict one point (x) or many (xs).

        With an identifier or `track`, the prediction of one point is kept until its label arrives. If an identifier is
        repeated, the answer is the same as the first time. If the stream declares no features, points are compared with
        what the stream has seen: the answer has `warnings`, or, if the request is `strict`, it is an error.
        """
        return hot.predict(request._request, name=name)


class Label(View):
    tag = "predictions"
    path = {
        "identifier": fields.Text(
            "The identifier from the answer to the prediction", max_length=LIMITS.max_name_length, min_length=1
        )
    }

    @operation("label", LabelSerializer, answers={200: ReceiptSerializer}, errors=(409, 410))
    def post(self, request: Request, identifier: str) -> HttpResponse:
        """Give the label of a kept prediction. The point is learned, and the kept prediction is scored."""
        return hot.label(request._request, identifier=identifier)


V = TypeVar("V")


def described(view: V, by: type[View]) -> V:
    """Return a plain view with a class that drf-spectacular reads its description from. The class serves no request."""
    view.cls, view.initkwargs = by, {}  # type: ignore[attr-defined]
    return view
