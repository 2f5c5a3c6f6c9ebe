"""MLflow's routes of logged models, which its clients use from version 3 on."""

from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest

from server.api import caller
from server.api.mlflow import paging, shapes
from server.api.mlflow.artifacts import folder
from server.api.mlflow.artifacts import shown as shown_files
from server.api.mlflow.experiments import find, numbers_of, tags_of
from server.api.mlflow.messages import key, messages, one_of, text, texts, whole, yes_or_no
from server.api.mlflow.routes import Given, Routes
from server.core.errors import Invalid
from server.tracking import locations, logged_models, pairs, searches, stored_files
from server.tracking.filters import queries
from server.tracking.models import LoggedModel, LoggedModelMetric, LoggedModelParam, LoggedModelTag
from server.tracking.models.names import ACTIVE

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 100, 1_000
MOST_DATASETS = 100
"""Most data sets of one search; SQLite allows a thousand conditions."""
STATUSES = {shown: status for status, shown in shapes.MODEL_STATUS.items()}
MODEL = {"model_id": text(required=True)}
PARAMS = messages({"key": key(), "value": text()})
LONG_TAGS = messages({"key": key(), "value": text(logged_models.LONGEST_TAG)})


def find_own(request: HttpRequest, uid: str) -> LoggedModel:
    """Return a logged model if the caller may change it."""
    found = logged_models.find(uid)
    caller.check_owner(request, found)
    return found


def shown(found: list[LoggedModel]) -> list[dict[str, Any]]:
    """Return logged models in MLflow's form."""
    numbers = [one.pk for one in found]
    tags, params = pairs.of(LoggedModelTag, "model", numbers), pairs.of(LoggedModelParam, "model", numbers)
    metrics = logged_models.metrics_of(numbers)
    return [shapes.logged_model(one, tags[one.pk], params[one.pk], metrics[one.pk]) for one in found]


@ROUTES.add(
    "POST",
    "logged-models",
    "learn",
    experiment_id=text(required=True),
    name=text(),
    model_type=text(),
    source_run_id=text(),
    params=PARAMS,
    tags=LONG_TAGS,
)
def create(request: HttpRequest, given: Given) -> Any:
    """Create a logged model, whose files follow."""
    made = logged_models.create(
        find(given["experiment_id"]),
        name=given["name"],
        kind=given["model_type"],
        source_run=given["source_run_id"],
        params=tags_of(given["params"]),
        tags=tags_of(given["tags"]),
        **caller.made_by(request),
    )
    return {"model": shown([made])[0]}


@ROUTES.add("GET", "logged-models/<str:model_id>", "read", **MODEL)
def get(request: HttpRequest, given: Given) -> Any:
    """Show a logged model."""
    return {"model": shown([logged_models.find(given["model_id"])])[0]}


@ROUTES.add(
    "PATCH",
    "logged-models/<str:model_id>",
    "learn",
    **MODEL,
    status=one_of(*STATUSES, numbers=dict(enumerate(STATUSES, 1)), required=True),
)
def finalize(request: HttpRequest, given: Given) -> Any:
    """Say that the files of a logged model are there, or never will be."""
    found = logged_models.finish(find_own(request, given["model_id"]), STATUSES[given["status"]])
    return {"model": shown([found])[0]}


@ROUTES.add("DELETE", "logged-models/<str:model_id>", "change_own", **MODEL)
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete a logged model."""
    logged_models.delete(find_own(request, given["model_id"]))


@ROUTES.add("PATCH", "logged-models/<str:model_id>/tags", "learn", **MODEL, tags=LONG_TAGS)
def set_tags(request: HttpRequest, given: Given) -> Any:
    """Set tags of a logged model."""
    logged_models.set_tags(find_own(request, given["model_id"]), tags_of(given["tags"]))


@ROUTES.add("DELETE", "logged-models/<str:model_id>/tags/<path:tag_key>", "learn", **MODEL, tag_key=key())
def delete_tag(request: HttpRequest, given: Given) -> Any:
    """Delete a tag of a logged model."""
    logged_models.delete_tag(find_own(request, given["model_id"]), given["tag_key"])


@ROUTES.add("POST", "logged-models/<str:model_id>/params", "learn", **MODEL, params=PARAMS)
def log_params(request: HttpRequest, given: Given) -> Any:
    """Log params of a logged model."""
    logged_models.log_params(find_own(request, given["model_id"]), tags_of(given["params"]))


@ROUTES.add(
    "GET",
    "logged-models/<str:model_id>/artifacts/directories",
    "read",
    **MODEL,
    artifact_directory_path=text(),
    page_token=text(),
)
def list_files(request: HttpRequest, given: Given) -> Any:
    """List a folder of the files of a logged model."""
    model = logged_models.find(given["model_id"])
    found = shown_files(stored_files.listing(model, folder(given["artifact_directory_path"])))
    return {"root_uri": locations.of_logged_model(model), **({"files": found} if found else {})}


DATASETS = messages({"dataset_name": text(required=True), "dataset_digest": text()})
ORDERS = messages(
    {
        "field_name": text(required=True),
        "ascending": yes_or_no(default=True),
        "dataset_name": text(),
        "dataset_digest": text(),
    }
)


@ROUTES.add(
    "POST",
    "logged-models/search",
    "read",
    experiment_ids=texts(required=True),
    filter=text(),
    datasets=DATASETS,
    max_results=whole(),
    order_by=ORDERS,
    page_token=text(),
)
def search(request: HttpRequest, given: Given) -> Any:
    """Search logged models of experiments."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    of = LoggedModel.objects.filter(experiment__in=numbers_of(given["experiment_ids"]), lifecycle=ACTIVE)
    if len(given["datasets"]) > MOST_DATASETS:
        raise Invalid(f"expected at most {MOST_DATASETS} datasets in one request", field="datasets")
    if given["datasets"]:
        wanted = Q()
        for one in given["datasets"]:
            digest = {"dataset_digest": one["dataset_digest"]} if one["dataset_digest"] else {}
            wanted |= Q(dataset_name=one["dataset_name"], **digest)
        of = of.filter(Exists(LoggedModelMetric.objects.filter(wanted, model=OuterRef("pk"))))
    found = queries.filtered(of, searches.LOGGED_MODELS, given["filter"])
    ordered = queries.ordered(found, searches.LOGGED_MODELS, [_order(one) for one in given["order_by"]])
    page, token = paging.page(ordered, given["page_token"], number, shown, caller.key(request))
    return paging.listed("models", page, token)


def _order(one: dict[str, Any]) -> str:
    """Return an order as the parser of orders reads it.

    Raises
    ------
    Invalid
        If its field has a backtick, or names a data set, whose metrics can't be ordered by.
    """
    name = one["field_name"].strip()
    if "`" in name or one["dataset_name"]:
        raise Invalid(
            "order_by: expected a field_name such as creation_time or metrics.loss, without a dataset_name",
            field="order_by",
        )
    entity, dot, key = name.partition(".")
    return (
        f"{entity}.`{key}`{'' if one['ascending'] else ' DESC'}"
        if dot
        else f"{name}{'' if one['ascending'] else ' DESC'}"
    )
