"""MLflow's routes of experiments."""

from typing import Any

from django.http import HttpRequest

from server.api import caller
from server.api.mlflow import paging, shapes
from server.api.mlflow.messages import Field, key, messages, one_of, text, texts, whole
from server.api.mlflow.routes import Given, Routes
from server.core.errors import Invalid
from server.tracking import datasets, experiments, locations, pairs, searches
from server.tracking.filters import queries
from server.tracking.models import Experiment, ExperimentTag
from server.tracking.models.names import ACTIVE, DELETED

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 1_000, 50_000
MOST_DATASETS, MOST_EXPERIMENTS = 1_000, 1_000

VIEWS = {"ACTIVE_ONLY": (ACTIVE,), "DELETED_ONLY": (DELETED,), "ALL": (ACTIVE, DELETED)}
"""States of what MLflow's view types show."""

TAGS = messages({"key": key(), "value": text()})


def view_type() -> Field:
    """A view type."""
    return one_of(*VIEWS, numbers={1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}, default="ACTIVE_ONLY")


def tags_of(given: Any) -> dict[str, str]:
    """Return a list of keys and values as a mapping. The last value of a key counts."""
    return {one["key"]: one["value"] for one in given}


def find(number: str) -> Experiment:
    """Return the experiment of this number.

    Raises
    ------
    Invalid
        If it isn't a number.
    NotFound
        If there is none.
    """
    return experiments.by_number(numbers_of([number], "experiment_id")[0])


def find_own(request: HttpRequest, number: str) -> Experiment:
    """Return the experiment of this number if the caller may change it."""
    found = find(number)
    caller.check_owner(request, found)
    return found


def shown(found: list[Experiment]) -> list[dict[str, Any]]:
    """Return experiments in MLflow's form."""
    tags = pairs.of(ExperimentTag, "experiment", [one.pk for one in found])
    return [shapes.experiment(one, tags[one.pk]) for one in found]


@ROUTES.add("POST", "experiments/create", "create", name=text(required=True), artifact_location=text(), tags=TAGS)
def create(request: HttpRequest, given: Given) -> Any:
    """Create an experiment."""
    locations.check_location(given["artifact_location"])
    made = experiments.create(given["name"], tags=tags_of(given["tags"]), **caller.made_by(request))
    return {"experiment_id": str(made.pk)}


@ROUTES.add("GET", "experiments/get", "read", experiment_id=text(required=True))
def get(request: HttpRequest, given: Given) -> Any:
    """Show an experiment."""
    return {"experiment": shown([find(given["experiment_id"])])[0]}


@ROUTES.add("GET", "experiments/get-by-name", "read", experiment_name=text(required=True))
def get_by_name(request: HttpRequest, given: Given) -> Any:
    """Show the experiment of a name."""
    return {"experiment": shown([experiments.by_name(given["experiment_name"])])[0]}


_SEARCH = {
    "filter": text(),
    "max_results": whole(),
    "order_by": texts(),
    "page_token": text(),
    "view_type": view_type(),
}


@ROUTES.add("POST", "experiments/search", "read", **_SEARCH)
@ROUTES.add("GET", "experiments/search", "read", **_SEARCH)
def search(request: HttpRequest, given: Given) -> Any:
    """Search experiments."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    experiments.default()
    found = queries.filtered(
        Experiment.objects.filter(lifecycle__in=VIEWS[given["view_type"]]), searches.EXPERIMENTS, given["filter"]
    )
    ordered = queries.ordered(found, searches.EXPERIMENTS, given["order_by"] or ("creation_time DESC",))
    page, token = paging.page(ordered, given["page_token"], number, shown, caller.key(request))
    return paging.listed("experiments", page, token)


@ROUTES.add("POST", "experiments/update", "change_own", experiment_id=text(required=True), new_name=text(required=True))
def update(request: HttpRequest, given: Given) -> Any:
    """Rename an experiment."""
    experiments.change(find_own(request, given["experiment_id"]), {"name": given["new_name"]})


@ROUTES.add("POST", "experiments/delete", "change_own", experiment_id=text(required=True))
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete an experiment and its runs. They can be restored."""
    experiments.delete(find_own(request, given["experiment_id"]))


@ROUTES.add("POST", "experiments/restore", "change_own", experiment_id=text(required=True))
def restore(request: HttpRequest, given: Given) -> Any:
    """Restore an experiment and the runs that were deleted with it."""
    experiments.restore(find_own(request, given["experiment_id"]))


@ROUTES.add(
    "POST", "experiments/set-experiment-tag", "change_own", experiment_id=text(required=True), key=key(), value=text()
)
def set_tag(request: HttpRequest, given: Given) -> Any:
    """Set a tag of an experiment."""
    experiments.change(find_own(request, given["experiment_id"]), {"tags": {given["key"]: given["value"]}})


@ROUTES.add("POST", "experiments/delete-experiment-tag", "change_own", experiment_id=text(required=True), key=key())
def delete_tag(request: HttpRequest, given: Given) -> Any:
    """Delete a tag of an experiment."""
    experiments.change(find_own(request, given["experiment_id"]), {"tags": {given["key"]: None}})


@ROUTES.add("POST", "experiments/search-datasets", "read", experiment_ids=texts())
def search_datasets(request: HttpRequest, given: Given) -> Any:
    """List the data sets that runs of experiments used."""
    numbers = numbers_of(given["experiment_ids"])
    return paging.listed("dataset_summaries", datasets.of_experiments(numbers, MOST_DATASETS), None)


def numbers_of(given: Any, field: str = "experiment_ids") -> list[int]:
    """Return numbers of experiments.

    Raises
    ------
    Invalid
        If there are too many, or one isn't a number.
    """
    if len(given) > MOST_EXPERIMENTS:
        raise Invalid(f"{field} has {len(given)} experiments: the most allowed is {MOST_EXPERIMENTS}", field=field)
    for number, one in enumerate(given):
        if not (one.isascii() and one.isdigit() and len(one) < 19):
            raise Invalid(
                f"Invalid experiment ID '{one[:50]}' in {field}[{number}]: expected a whole number",
                field=f"{field}[{number}]",
            )
    return [int(one) for one in given]
