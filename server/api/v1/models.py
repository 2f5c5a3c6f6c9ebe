"""Models and recipes of the native API: made, listed, looked at, downloaded, deleted."""

from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from tailrace.estimators import description

from server.api import caller
from server.api.codec import only
from server.api.v1 import query
from server.api.v1.openapi import documented, in_query, one_of_path, whole
from server.api.v1.view import View, created
from server.learning import inspection, recipes, registry, stats
from server.learning.models import Model
from server.learning.trial import Candidate
from server.streams.errors import Invalid
from server.streams.validation import shown

FIELDS = ("name", "stream", "recipe", "parameters", "flavor", "estimator", "backfill")
NAME = one_of_path("name", "The model")
AT = in_query("at", "As of this observation; now, if it isn't given", whole())


class Recipes(View):
    """Estimators that the server knows by name."""

    @documented("listRecipes", "List the recipes with their parameters", answers={200: "RecipeList"})
    def get(self, request: Request) -> Response:
        return Response({"recipes": recipes.listing()})


class Models(View):
    """All models."""

    query = ("stream",)

    @documented(
        "listModels",
        "List the models",
        parameters=[in_query("stream", "Only those on this stream")],
        answers={200: "ModelList"},
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        found = Model.objects.select_related("stream").defer("initial").order_by("name")
        stream = request._request.GET.get("stream")
        if stream is not None:
            found = found.filter(stream=caller.stream(request._request, stream))
        only_these = caller.only_streams(request._request)
        if only_these is not None:
            found = found.filter(stream__name__in=only_these)
        return Response({"models": [inspection.describe(model) for model in found]})

    @documented(
        "createModel",
        "Make a model, from a recipe or from the description of an estimator",
        "Either `recipe` with `parameters`, or `flavor` with `estimator`. On a stream with history the model first learns "
        "that, in the background, unless `backfill` is false.",
        body="NewModel",
        answers={201: "Model"},
        errors=(404, 409),
    )
    def post(self, request: Request) -> Response:
        payload = self.payload(request)
        only(payload, *FIELDS, required=("name", "stream"))
        recipe, flavor, estimator, parameters = _estimator(payload)
        caller.stream(request._request, _string(payload, "stream"))
        model = registry.create(
            _string(payload, "name"),
            _string(payload, "stream"),
            flavor,
            estimator,
            recipe=recipe,
            parameters=parameters,
            backfill=query.boolean(payload, "backfill", True),
            **caller.made_by(request._request),
            owner=caller.owner(request._request),
        )
        return created(inspection.describe(model), f"/api/v1/models/{quote(model.name)}/")


def _string(payload: dict[str, Any], field: str) -> str:
    value = payload[field]
    if not isinstance(value, str):
        raise Invalid(f"{field} is {shown(value)}: expected a string", field=field)
    return value


def _estimator(payload: dict[str, Any]) -> tuple[str, Any, Any, dict[str, Any]]:
    """Recipe (or ""), flavor, estimator and parameters, from either way to say it."""
    if ("recipe" in payload) is ("estimator" in payload):
        raise Invalid(
            "expected either recipe (with parameters) or estimator (with flavor)", field="recipe", code="missing"
        )
    if "recipe" in payload:
        if "flavor" in payload:
            raise Invalid("flavor goes with estimator: a recipe has its own", field="flavor", code="unknown_field")
        recipe = _string(payload, "recipe")
        flavor, estimator, parameters = recipes.build(recipe, payload.get("parameters"))
        return recipe, flavor, estimator, parameters
    if "parameters" in payload:
        raise Invalid("parameters go with recipe: an estimator has its own", field="parameters", code="unknown_field")
    if "flavor" not in payload:
        raise Invalid("flavor is missing: expected the estimator's kind of task", field="flavor", code="missing")

    def build() -> Any:
        try:
            return description.build(payload["estimator"])
        except description.DescriptionError as exc:
            raise Invalid(f"{exc.field}: {exc.message}", field=exc.field, code="bad_description") from exc

    return "", payload["flavor"], Candidate(build), {}


class OneModel(View):
    """One model."""

    query = ("at",)

    @documented(
        "getModel",
        "Look at a model: hyperparameters, progress and metrics, now or as of an observation",
        parameters=[NAME, AT],
        answers={200: "Model"},
        errors=(404, 409, 410),
    )
    def get(self, request: Request, name: str) -> Response:
        caller.check_model(request._request, name)
        return Response(inspection.state(name, query.integer(request._request, "at")))

    @documented(
        "deleteModel",
        "Delete a model; the log stays",
        parameters=[NAME],
        answers={204: None},
        errors=(404,),
    )
    def delete(self, request: Request, name: str) -> Response:
        query.only(request._request, ())
        caller.delete_model(request._request, name)
        return Response(status=204)


class Release(View):
    """A model's way out of quarantine."""

    @documented(
        "releaseModel",
        "Let a model out of quarantine",
        "It is tried in a process of its own first, with observations that it skipped. Then it learns again, from the next observation "
        "on: what it skipped it never learns. Only its owner and admins may.",
        parameters=[NAME],
        answers={200: "Model"},
        errors=(404, 409),
    )
    def post(self, request: Request, name: str) -> Response:
        query.only(request._request, ())
        return Response(inspection.describe(caller.release_model(request._request, name)))


class Download(View):
    """The estimator as a file."""

    query = ("at",)

    @documented(
        "downloadModel",
        "Download the estimator, as a pickle that loads where river is installed",
        parameters=[NAME, AT],
        answers={200: {"application/octet-stream": {"type": "string", "format": "binary"}}},
        errors=(404, 409, 410),
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        at = query.integer(request._request, "at")
        return as_file(caller.download(request._request, name, at), name)


def as_file(data: bytes, name: str) -> HttpResponse:
    """A pickle to save."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.pkl"'}
    return HttpResponse(data, content_type="application/octet-stream", headers=headers)


class Metrics(View):
    """Prequential metrics."""

    query = ("segment", "at")

    @documented(
        "getMetrics",
        "Prequential metrics: overall, over the rolling window, and by segment",
        parameters=[NAME, in_query("segment", "Only this value of the stream's segment feature"), AT],
        answers={200: "Metrics"},
        errors=(404, 409, 410),
    )
    def get(self, request: Request, name: str) -> Response:
        asked = request._request
        caller.check_model(asked, name)
        return Response(inspection.metrics(name, query.text(asked, "segment"), query.integer(asked, "at")))


class History(View):
    """The metrics' curve."""

    @documented(
        "getHistory",
        "The curve of metrics against the number of scored observations: at most 512 points at any length",
        parameters=[NAME],
        answers={200: "History"},
        errors=(404, 409),
    )
    def get(self, request: Request, name: str) -> Response:
        caller.check_model(request._request, name)
        return Response(inspection.history(name))


class Stats(View):
    """Calls and their durations."""

    @documented(
        "getStats",
        "Accepted calls of learn and predict, and how long they took",
        parameters=[NAME],
        answers={200: "Stats"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        caller.check_model(request._request, name)
        model = registry.find(name)
        return Response({"model": model.name, **stats.read(model.pk)})
