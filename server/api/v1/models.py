"""Views of the native API for models and recipes: create, list, inspect, download and delete."""

from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from tailrace.estimators import description

from server.api import caller, fields
from server.api.serializers import QuerySerializer, RequestSerializer, Serializer
from server.api.v1.view import View, created, operation
from server.core.errors import Invalid
from server.learning import inspection, registry
from server.learning.fold.flavors import FLAVORS
from server.learning.metrics import call_stats
from server.learning.models import Model
from server.learning.recipes import catalog
from server.learning.trial import Candidate


def _by_recipe(recipe: dict[str, Any]) -> fields.Schema:
    """Return the form of a request that creates a model from this recipe, with the bounds of its parameters."""
    found: dict[str, fields.Schema] = {}
    for one in recipe["parameters"]:
        bounds = {name: one[name] for name in ("minimum", "maximum", "default", "description") if name in one}
        if one["kind"] == "number":
            bounds = {"minimum": -fields.LARGEST_NUMBER, "maximum": fields.LARGEST_NUMBER} | bounds
        found[one["name"]] = {"type": one["kind"], **bounds} | ({"enum": one["choices"]} if "choices" in one else {})
    return {
        "title": f"By the recipe {recipe['name']}",
        "requires": ("recipe",),
        "without": ("flavor", "estimator"),
        "recipe": {"enum": [recipe["name"]]},
        "parameters": {"properties": found, "additionalProperties": False},
    }


class NewModelSerializer(RequestSerializer):
    variants = (
        *map(_by_recipe, catalog.listing()),
        {
            "title": "By the description of an estimator",
            "requires": ("flavor", "estimator"),
            "without": ("recipe", "parameters"),
        },
    )
    name = fields.Name("model")
    stream = fields.Name()
    recipe = fields.Text(required=False)
    parameters = fields.Field(
        "Parameters that are not given have their default", {"type": ["object", "null"]}, required=False
    )
    flavor = fields.Field(None, {"type": "string", "enum": list(FLAVORS)}, required=False)
    estimator = fields.Field(
        "A class of river or tailrace.estimators, with params and, for a pipeline, steps. A step may have a name of at most "
        "100 printable characters. At most 2,000 values, nested at most 20 levels deep; a text has at most 1,000 characters. "
        "If a parameter is unknown or too large, the error says what is allowed.",
        {
            "type": "object",
            "required": ["class"],
            "properties": {"class": {"type": "string"}},
            "examples": [
                {
                    "class": "compose.Pipeline",
                    "steps": [{"class": "preprocessing.StandardScaler"}, {"class": "linear_model.LinearRegression"}],
                }
            ],
        },
        required=False,
    )
    backfill = fields.Flag("Learn the stream's history first", default=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("recipe" in attrs) is ("estimator" in attrs):
            message = "expected either recipe (with parameters) or estimator (with flavor)"
            raise Invalid(message, field="recipe", code="missing")
        if "recipe" in attrs and "flavor" in attrs:
            raise Invalid("flavor goes with estimator: a recipe has its own", field="flavor", code="unknown_field")
        if "estimator" in attrs and "parameters" in attrs:
            message = "parameters go with recipe: an estimator has its own"
            raise Invalid(message, field="parameters", code="unknown_field")
        if "estimator" in attrs and "flavor" not in attrs:
            raise Invalid("flavor is missing: expected the estimator's kind of task", field="flavor", code="missing")
        return attrs


class ParameterSerializer(Serializer):
    name = fields.Text()
    kind = fields.Choice(("integer", "number", "boolean", "string"))
    default = fields.Field(required=False)  # type: ignore[assignment]
    description = fields.Text(required=False)
    minimum, maximum = fields.Number(required=False), fields.Number(required=False)
    choices = fields.Items(fields.Text(), required=False)


class RecipeSerializer(Serializer):
    name, flavor, summary, description = fields.Text(), fields.Text(), fields.Text(), fields.Text()
    parameters = fields.Items(ParameterSerializer())


class RecipeListSerializer(Serializer):
    recipes = fields.Items(RecipeSerializer())


class QuarantineSerializer(Serializer):
    since = fields.Count("The first observation that the model skips")
    call = fields.Choice(("learn", "predict", "replay", "store", "load", "look"))
    observation = fields.Whole(min_value=1, allow_null=True)
    reason, at = fields.Text(), fields.Time()


class ImportedSerializer(Serializer):
    source = fields.Text()  # type: ignore[assignment]  # serializers have an argument of this name
    metrics = fields.Map(fields.Number(allow_null=True), "What the other server said of it")
    calls = fields.Map(None, "Calls there: number and mean duration, ns")
    at = fields.Time()


class SkipSerializer(Serializer):
    seq, reason = fields.Count(), fields.Text()


NUMBER = fields.Number(allow_null=True)


class ModelSerializer(Serializer):
    name, stream, flavor, recipe = fields.Text(), fields.Text(), fields.Text(), fields.Text(allow_null=True)
    parameters = fields.Map()
    status = fields.Choice(("ready", "backfilling", "rebuilding", "failed", "quarantined"))
    progress = fields.Count("The last observation that a backfill or a rebuild has learned")
    head = fields.Count()
    since = fields.Count("The model learns the observations after this number")
    generation = fields.Count()
    created_at, created_by = fields.Time(), fields.Text()
    error = fields.Text(required=False)
    quarantine = QuarantineSerializer(required=False)
    at = fields.Count("The state shown is the state after this observation", required=False)
    learned, skipped = fields.Count(required=False), fields.Count(required=False)
    last_skip = SkipSerializer(required=False, allow_null=True)
    estimator = fields.Map(None, "Hyperparameters", required=False)
    metrics = fields.Map(NUMBER, required=False)
    imported = ImportedSerializer(required=False)


class ModelListSerializer(Serializer):
    models = fields.Items(ModelSerializer())


class RollingSerializer(Serializer):
    keywords = {"additionalProperties": {"type": ["number", "null"]}}
    window = fields.Count()


class MetricsSerializer(Serializer):
    model, flavor = fields.Text(), fields.Text()
    at, learned = fields.Count(), fields.Count()
    n = fields.Count("Scored observations")
    metrics = fields.Map(NUMBER)
    rolling = RollingSerializer()
    segment = fields.Text(required=False)
    segments = fields.Map(fields.Map(NUMBER), required=False)


class HistorySerializer(Serializer):
    model, at, window = fields.Text(), fields.Count(), fields.Count()
    columns = fields.Items(fields.Text())
    points = fields.Items(fields.Items(NUMBER), max_length=513)


class CallsSerializer(Serializer):
    n_calls = fields.Count()
    mean_duration = fields.Count("ns")
    mean_duration_human = fields.Text()
    ewm_duration = fields.Count("ns, exponentially weighted")
    ewm_duration_human = fields.Text()


class StatsSerializer(Serializer):
    model = fields.Text()
    predict, learn = CallsSerializer(), CallsSerializer()


class ListModelsQuery(QuerySerializer):
    stream = fields.Text("Only models of this stream", max_length=fields.LONGEST_IN_QUERY)


class StateQuery(QuerySerializer):
    at = fields.Whole(
        "The state after this observation; by default the current state", min_value=0, max_value=fields.LARGEST
    )


class MetricsQuery(StateQuery):
    segment = fields.Text(
        "Only the metrics of this value of the stream's segment feature", max_length=fields.LONGEST_IN_QUERY
    )


class Recipes(View):
    """Estimators that the server knows by name."""

    @operation("listRecipes", answers={200: RecipeListSerializer})
    def get(self, request: Request) -> Response:
        """List the recipes with their parameters."""
        return Response({"recipes": catalog.listing()})


class Models(View):
    """All models."""

    @operation("listModels", answers={200: ModelListSerializer}, query=ListModelsQuery, errors=(404,))
    def get(self, request: Request) -> Response:
        """List the models."""
        found = Model.objects.select_related("stream").defer("initial").order_by("name")
        stream = self.query["stream"]
        if stream is not None:
            found = found.filter(stream=caller.stream(request._request, stream))
        only_these = caller.only_streams(request._request)
        if only_these is not None:
            found = found.filter(stream__name__in=only_these)
        return Response({"models": [inspection.describe(model) for model in found]})

    @operation("createModel", NewModelSerializer, answers={201: ModelSerializer}, errors=(404, 409))
    def post(self, request: Request) -> Response:
        """Create a model from a recipe or from the description of an estimator.

        Send either `recipe` with `parameters`, or `flavor` with `estimator`. If the stream has observations, the model
        first learns them in the background, unless `backfill` is false.
        """
        given = self.body(request)
        recipe, flavor, estimator, parameters = _estimator(given)
        caller.stream(request._request, given["stream"])
        model = registry.create(
            given["name"],
            given["stream"],
            flavor,
            estimator,
            recipe=recipe,
            parameters=parameters,
            backfill=given["backfill"],
            **caller.made_by(request._request),
            owner=caller.owner(request._request),
        )
        return created(inspection.describe(model), f"/api/v1/models/{quote(model.name)}/")


def _estimator(given: dict[str, Any]) -> tuple[str, Any, Any, dict[str, Any]]:
    """Return recipe (or ""), flavor, estimator and parameters, from a recipe or from a description."""
    if "recipe" in given:
        flavor, estimator, parameters = catalog.build(given["recipe"], given.get("parameters"))
        return given["recipe"], flavor, estimator, parameters

    def build() -> Any:
        try:
            return description.build(given["estimator"])
        except description.DescriptionError as exc:
            raise Invalid(f"{exc.field}: {exc.message}", field=exc.field, code="bad_description") from exc

    return "", given["flavor"], Candidate(build), {}


class OneModel(View):
    """One model."""

    @operation("getModel", answers={200: ModelSerializer}, query=StateQuery, errors=(409, 410, 413))
    def get(self, request: Request, name: str) -> Response:
        """Show a model: hyperparameters, progress and metrics, now or after an earlier observation."""
        asked = request._request
        caller.check_model(asked, name)
        return Response(inspection.state(name, self.query["at"], caller.key(asked)))

    @operation("deleteModel", answers={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete a model. The stream keeps its observations."""
        caller.delete_model(request._request, name)
        return Response(status=204)


class Release(View):
    """Release of a model from quarantine."""

    @operation("releaseModel", answers={200: ModelSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """Release a model from quarantine.

        The server first tries the model in a separate process, with observations that it skipped. Then the model learns
        again from the next observation on. It never learns the observations that it skipped. Only its owner and admins
        may release it.
        """
        return Response(inspection.describe(caller.release_model(request._request, name)))


class Download(View):
    """The estimator as a file."""

    @operation(
        "downloadModel",
        answers={200: {"application/octet-stream": {"type": "string", "format": "binary"}}},
        query=StateQuery,
        errors=(409, 410, 413),
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """Download the estimator as a pickle, which can be loaded where river is installed."""
        return as_file(caller.download(request._request, name, self.query["at"]), name)


def as_file(data: bytes, name: str) -> HttpResponse:
    """Return a response that a browser saves as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.pkl"'}
    return HttpResponse(data, content_type="application/octet-stream", headers=headers)


class Metrics(View):
    """Prequential metrics."""

    @operation("getMetrics", answers={200: MetricsSerializer}, query=MetricsQuery, errors=(409, 410, 413))
    def get(self, request: Request, name: str) -> Response:
        """Return the prequential metrics: overall, over the rolling window, and by segment."""
        asked = request._request
        caller.check_model(asked, name)
        return Response(inspection.metrics(name, self.query["segment"], self.query["at"], caller.key(asked)))


class History(View):
    """Curve of the metrics."""

    @operation("getHistory", answers={200: HistorySerializer}, errors=(409,))
    def get(self, request: Request, name: str) -> Response:
        """Return the metrics against the number of scored observations, as a curve of at most 512 points."""
        caller.check_model(request._request, name)
        return Response(inspection.history(name))


class Stats(View):
    """Calls and their durations."""

    @operation("getStats", answers={200: StatsSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Return the number of accepted learn and predict calls, and their durations."""
        caller.check_model(request._request, name)
        model = registry.find(name)
        return Response({"model": model.name, **call_stats.read(model.pk)})
