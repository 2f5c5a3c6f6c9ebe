"""MLflow's routes of runs: create, show, search, change, delete, restore."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from server.api import caller
from server.api.mlflow import paging, shapes
from server.api.mlflow.experiments import TAGS, VIEWS, find, numbers_of, tags_of, view_type
from server.api.mlflow.messages import Field, one_of, text, texts, whole
from server.api.mlflow.routes import Given, Routes
from server.core.errors import Invalid
from server.core.validation import format_value
from server.tracking import pairs, random_names, runs, searches
from server.tracking.checks import UID
from server.tracking.filters import queries
from server.tracking.models import LatestMetric, Param, Run, RunInput, RunOutput, RunTag

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 1_000, 50_000
NAME_TAG, PARENT_TAG, USER_TAG = "mlflow.runName", "mlflow.parentRunId", "mlflow.user"
"""Tags in which MLflow's clients repeat or send fields of a run."""

_STATUSES = dict(enumerate(("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"), 1))


def run_id() -> dict[str, Field]:
    """The identifier of a run, under either of its names."""
    return {"run_id": text(), "run_uuid": text()}


def uid_of(given: Given) -> str:
    """Return the identifier of a run that a request names.

    Raises
    ------
    Invalid
        If it names none.
    """
    found: str = given["run_id"] or given["run_uuid"]
    if not found:
        raise Invalid("Missing value for required parameter 'run_id'.", field="run_id", code="missing")
    return found


def shown(found: Sequence[Run]) -> list[dict[str, Any]]:
    """Return runs with what they logged, in MLflow's form."""
    numbers = [run.pk for run in found]
    params, tags = pairs.of(Param, "run", numbers), pairs.of(RunTag, "run", numbers)
    metrics: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
    inputs: dict[int, dict[str, list[Any]]] = {number: {} for number in numbers}
    outputs: dict[int, dict[str, list[Any]]] = {number: {} for number in numbers}
    for some in pairs.parts(numbers):
        rows = LatestMetric.objects.filter(run__in=some).order_by("id")
        for number, key, step, time_ms, value, special in rows.values_list(
            "run", "key", "step", "time_ms", "value", "special"
        ):
            metrics[number].append(shapes.metric(key, step, time_ms, value, special))
        for one in RunInput.objects.select_related("dataset", "model").filter(run__in=some).order_by("id"):
            if one.dataset is not None:
                inputs[one.run_id].setdefault("dataset_inputs", []).append(shapes.dataset_input(one))
            elif one.model is not None:
                inputs[one.run_id].setdefault("model_inputs", []).append({"model_id": one.model.uid})
        for made in RunOutput.objects.select_related("model").filter(run__in=some).order_by("id"):
            models = outputs[made.run_id].setdefault("model_outputs", [])
            models.append({"model_id": made.model.uid, "step": made.step})
    return [
        {
            "info": shapes.run_info(run),
            "data": shapes.run_data(metrics[run.pk], params[run.pk], tags[run.pk]),
            "inputs": inputs[run.pk],
            "outputs": outputs[run.pk],
        }
        for run in found
    ]


@ROUTES.add(
    "POST",
    "runs/create",
    "learn",
    experiment_id=text(),
    user_id=text(),
    run_name=text(),
    start_time=whole(),
    tags=TAGS,
)
def create(request: HttpRequest, given: Given) -> Any:
    """Create a run. Without an experiment, it is of the experiment *Default*."""
    tags = tags_of(given["tags"])
    name = given["run_name"] or tags.get(NAME_TAG) or random_names.random_name()
    if tags.get(NAME_TAG, name) != name:
        raise Invalid(
            f"Both 'run_name' argument and '{NAME_TAG}' tag are specified, but with different values: "
            f"{format_value(name)} and {format_value(tags[NAME_TAG])}",
            field="run_name",
        )
    parent = tags.get(PARENT_TAG, "")
    made = runs.create(
        find(given["experiment_id"] or "0"),
        name=name,
        started_ms=given["start_time"] or None,
        parent=parent if UID.match(parent) else "",
        user_name=given["user_id"] or tags.get(USER_TAG, ""),
        tags={**tags, NAME_TAG: name},
        **caller.made_by(request),
        owner=caller.owner(request),
    )
    return {"run": shown([made])[0]}


@ROUTES.add("GET", "runs/get", "read", **run_id())
def get(request: HttpRequest, given: Given) -> Any:
    """Show a run with its params, tags, latest metrics, data sets and models."""
    return {"run": shown([runs.find(uid_of(given))])[0]}


@ROUTES.add(
    "POST",
    "runs/search",
    "read",
    experiment_ids=texts(),
    filter=text(),
    run_view_type=view_type(),
    max_results=whole(),
    order_by=texts(),
    page_token=text(),
)
def search(request: HttpRequest, given: Given) -> Any:
    """Search runs of experiments."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    of = Run.objects.filter(
        experiment__in=numbers_of(given["experiment_ids"]), lifecycle__in=VIEWS[given["run_view_type"]]
    )
    found = queries.ordered(queries.filtered(of, searches.RUNS, given["filter"]), searches.RUNS, given["order_by"])
    page, token = paging.page(found, given["page_token"], number, shown, caller.key(request))
    return paging.listed("runs", page, token)


@ROUTES.add(
    "POST",
    "runs/update",
    "learn",
    **run_id(),
    status=one_of(*Run.STATUSES, numbers=_STATUSES),
    end_time=whole(),
    run_name=text(),
)
def update(request: HttpRequest, given: Given) -> Any:
    """Change the status, the end or the name of a run."""
    uid = uid_of(given)
    caller.check_owner(request, runs.find(uid))
    fields: dict[str, Any] = {"status": given["status"], "ended_ms": given["end_time"] or None}
    if given["run_name"]:
        fields |= {"name": given["run_name"], "tags": {NAME_TAG: given["run_name"]}}
    return {"run_info": shapes.run_info(runs.change(uid, fields))}


@ROUTES.add("POST", "runs/delete", "change_own", **run_id())
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete a run. It can be restored."""
    caller.check_owner(request, runs.find(uid_of(given)))
    runs.delete(uid_of(given))


@ROUTES.add("POST", "runs/restore", "change_own", **run_id())
def restore(request: HttpRequest, given: Given) -> Any:
    """Restore a deleted run."""
    caller.check_owner(request, runs.find(uid_of(given)))
    runs.restore(uid_of(given))
