"""MLflow's routes by which runs log: metrics, params, tags, batches, data sets and models. A training calls them most often."""

from typing import Any

from django.http import HttpRequest

from server.api import caller
from server.api.mlflow.experiments import TAGS, tags_of
from server.api.mlflow.messages import key, message, messages, number, text, whole
from server.api.mlflow.routes import Given, Routes
from server.api.mlflow.runs import NAME_TAG, run_id, uid_of
from server.core.errors import Invalid, NotFound
from server.core.validation import check_text, format_value
from server.tracking import checks, datasets, log_model_history, logged_models, runs, values, writing
from server.tracking.datasets import UsedDataset
from server.tracking.logged_models import Measured
from server.tracking.models import Run
from server.tracking.models.names import LONGEST_NAME
from server.tracking.statements import Point
from server.tracking.writing import LockedRun

ROUTES = Routes()
MOST_METRICS, MOST_PAIRS, MOST_IN_ALL = 1_000, 100, 1_000
MOST_DATASETS = 1_000

METRIC = {
    "key": key(),
    "value": number(required=True),
    "timestamp": whole(required=True),
    "step": whole(default=0),
    "model_id": text(),
    "dataset_name": text(LONGEST_NAME),
    "dataset_digest": text(datasets.LONGEST_DIGEST),
}


def points_of(given: list[dict[str, Any]]) -> tuple[list[Point], list[Measured]]:
    """Return points of metrics, and those of them that are also of logged models.

    Raises
    ------
    Invalid
        If a time is before 1970.
    """
    points, measured = [], []
    for place, one in enumerate(given):
        if one["timestamp"] < 0:
            raise Invalid(
                f"Invalid value {one['timestamp']} for parameter 'metrics[{place}].timestamp' supplied: expected "
                "milliseconds since 1970",
                field="timestamp",
            )
        point = Point(one["key"], one["step"], one["timestamp"], *values.stored(one["value"], "value"))
        points.append(point)
        if one["model_id"]:
            measured.append(Measured(one["model_id"], point, one["dataset_name"], one["dataset_digest"]))
    return points, measured


def own(request: HttpRequest, run: LockedRun) -> LockedRun:
    """Return a run if the caller may write to it."""
    caller.check_owner(request, run)
    return run


@ROUTES.add("POST", "runs/log-metric", "learn", **run_id(), **METRIC)
def log_metric(request: HttpRequest, given: Given) -> Any:
    """Log a point of a metric."""
    points, measured = points_of([given])
    with writing.locked(uid_of(given)) as run:
        writing.log_metrics(own(request, run), points)
        if measured:
            logged_models.log_metrics(run.pk, measured)


@ROUTES.add("POST", "runs/log-parameter", "learn", **run_id(), key=key(), value=text())
def log_param(request: HttpRequest, given: Given) -> Any:
    """Log a param."""
    params = checks.pairs({given["key"]: given["value"]}, "params")
    with writing.locked(uid_of(given)) as run:
        writing.log_params(own(request, run), params)


@ROUTES.add("POST", "runs/set-tag", "learn", **run_id(), key=key(), value=text())
def set_tag(request: HttpRequest, given: Given) -> Any:
    """Set a tag."""
    tags = checks.pairs({given["key"]: given["value"]}, "tags")
    with writing.locked(uid_of(given)) as run:
        log_tags(own(request, run), tags)


def log_tags(run: LockedRun, tags: dict[str, str]) -> None:
    """Store tags. The tag with the name of a run also changes its name."""
    writing.log_tags(run, tags)
    if NAME_TAG in tags:
        Run.objects.filter(pk=run.pk).update(name=check_text(tags[NAME_TAG], f"tags.{NAME_TAG}", LONGEST_NAME))


@ROUTES.add("POST", "runs/delete-tag", "learn", **run_id(), key=key())
def delete_tag(request: HttpRequest, given: Given) -> Any:
    """Delete a tag."""
    with writing.locked(uid_of(given)) as run:
        if not writing.delete_tag(own(request, run), given["key"]):
            raise NotFound(f"No tag with name: {given['key']} in run with id {run.uid}", field="key")


@ROUTES.add(
    "POST",
    "runs/log-batch",
    "learn",
    **run_id(),
    metrics=messages(METRIC),
    params=messages({"key": key(), "value": text()}),
    tags=TAGS,
)
def log_batch(request: HttpRequest, given: Given) -> Any:
    """Log metrics, params and tags: all or none."""
    check_batch(given)
    points, measured = points_of(given["metrics"])
    params = checks.pairs(params_of(given["params"]), "params")
    tags = checks.pairs(tags_of(given["tags"]), "tags")
    with writing.locked(uid_of(given)) as run:
        writing.log_params(own(request, run), params)
        writing.log_metrics(run, points)
        log_tags(run, tags)
        if measured:
            logged_models.log_metrics(run.pk, measured)


def check_batch(given: Given) -> None:
    """Check the size of a batch.

    Raises
    ------
    Invalid
        If it has too many parts.
    """
    sizes = {name: len(given[name]) for name in ("metrics", "params", "tags")}
    limits = {"metrics": MOST_METRICS, "params": MOST_PAIRS, "tags": MOST_PAIRS}
    for name, size in {**sizes, "metrics, params, and tags": sum(sizes.values())}.items():
        most = limits.get(name, MOST_IN_ALL)
        if size > most:
            raise Invalid(
                f"A batch logging request can contain at most {most} {name}. Got {size} {name}. Please split up {name} "
                "across multiple requests and try again.",
                field=name.partition(",")[0],
            )


def params_of(given: list[dict[str, str]]) -> dict[str, str]:
    """Return params by key.

    Raises
    ------
    Invalid
        If a key is there twice.
    """
    found: dict[str, str] = {}
    for one in given:
        if one["key"] in found:
            raise Invalid(f"Duplicate parameter keys have been submitted: {format_value(one['key'])}", field="params")
        found[one["key"]] = one["value"]
    return found


DATASET = {
    "name": text(required=True), "digest": text(required=True), "source_type": text(required=True),
    "source": text(datasets.LONGEST_SOURCE, required=True), "schema": text(datasets.LONGEST_SCHEMA),
    "profile": text(datasets.LONGEST_PROFILE),
}  # fmt: skip


@ROUTES.add(
    "POST",
    "runs/log-inputs",
    "learn",
    **run_id(),
    datasets=messages({"tags": TAGS, "dataset": message(DATASET, required=True)}),
    models=messages({"model_id": text(required=True)}),
)
def log_inputs(request: HttpRequest, given: Given) -> Any:
    """Log data sets and logged models that a run used."""
    if len(given["datasets"]) > MOST_DATASETS or len(given["models"]) > MOST_DATASETS:
        raise Invalid(f"expected at most {MOST_DATASETS} datasets and models in one request", field="datasets")
    used = [
        datasets.check(UsedDataset(**one["dataset"], tags=tags_of(one["tags"])), f"datasets[{place}].dataset")
        for place, one in enumerate(given["datasets"])
    ]
    with writing.locked(uid_of(given)) as run:
        datasets.record(own(request, run).pk, run.experiment_id, used)
        logged_models.record_inputs(run.pk, [one["model_id"] for one in given["models"]])


@ROUTES.add(
    "POST",
    "runs/outputs",
    "learn",
    **run_id(),
    models=messages({"model_id": text(required=True), "step": whole(default=0)}, required=True),
)
def log_outputs(request: HttpRequest, given: Given) -> Any:
    """Log models that a run made."""
    run = runs.find(uid_of(given))
    caller.check_owner(request, run)
    logged_models.record_outputs(run, [(one["model_id"], one["step"]) for one in given["models"]])


@ROUTES.add("POST", "runs/log-model", "learn", **run_id(), model_json=text(1_000_000, required=True))
def log_model(request: HttpRequest, given: Given) -> Any:
    """Record a model among the artifacts of a run, as clients before version 3 do."""
    with writing.locked(uid_of(given)) as run:
        log_model_history.append(own(request, run), given["model_json"])
