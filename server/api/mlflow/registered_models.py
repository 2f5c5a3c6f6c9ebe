"""MLflow's routes of registered models and their aliases."""

from typing import Any

from django.http import HttpRequest

from server.api import caller
from server.api.mlflow import paging, shapes
from server.api.mlflow.experiments import TAGS, tags_of
from server.api.mlflow.left_out import left_out
from server.api.mlflow.messages import key, text, texts, whole
from server.api.mlflow.routes import Given, Routes
from server.tracking import model_versions, registered_models, searches
from server.tracking.filters import queries
from server.tracking.models import RegisteredModel

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 100, 1_000
NAME = {"name": text(required=True)}


def find_own(request: HttpRequest, name: str) -> RegisteredModel:
    """Return a registered model if the caller may change it."""
    found = registered_models.find(name)
    caller.check_owner(request, found)
    return found


def shown(found: list[RegisteredModel]) -> list[dict[str, Any]]:
    """Return registered models in MLflow's form."""
    tags, latest = registered_models.tags_of(found), model_versions.latest(found)
    aliases = registered_models.aliases_of([one.pk for one in found])
    of_versions = model_versions.tags_of([version for versions in latest.values() for version in versions])
    return [
        shapes.registered_model(
            one, tags[one.pk], aliases[one.pk], [(version, of_versions[version.pk]) for version in latest[one.pk]]
        )
        for one in found
    ]


@ROUTES.add(
    "POST",
    "registered-models/create",
    "create",
    **NAME,
    tags=TAGS,
    description=text(registered_models.LONGEST_DESCRIPTION),
)
def create(request: HttpRequest, given: Given) -> Any:
    """Create a registered model."""
    tags = tags_of(given["tags"])
    if registered_models.PROMPT in tags:
        raise left_out("prompts")
    made = registered_models.create(
        given["name"], description=given["description"], tags=tags, **caller.made_by(request)
    )
    return {"registered_model": shown([made])[0]}


@ROUTES.add("GET", "registered-models/get", "read", **NAME)
def get(request: HttpRequest, given: Given) -> Any:
    """Show a registered model, with the newest version of each stage."""
    return {"registered_model": shown([registered_models.find(given["name"])])[0]}


@ROUTES.add("POST", "registered-models/rename", "change_own", **NAME, new_name=text(required=True))
def rename(request: HttpRequest, given: Given) -> Any:
    """Rename a registered model."""
    changed = registered_models.change(find_own(request, given["name"]), name=given["new_name"])
    return {"registered_model": shown([changed])[0]}


@ROUTES.add(
    "PATCH", "registered-models/update", "change_own", **NAME, description=text(registered_models.LONGEST_DESCRIPTION)
)
def update(request: HttpRequest, given: Given) -> Any:
    """Describe a registered model."""
    changed = registered_models.change(find_own(request, given["name"]), description=given["description"])
    return {"registered_model": shown([changed])[0]}


@ROUTES.add("DELETE", "registered-models/delete", "change_own", **NAME)
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete a registered model with its versions."""
    registered_models.delete(find_own(request, given["name"]))


@ROUTES.add(
    "GET", "registered-models/search", "read", filter=text(), max_results=whole(), order_by=texts(), page_token=text()
)
def search(request: HttpRequest, given: Given) -> Any:
    """Search registered models."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    found = queries.filtered(RegisteredModel.objects.all(), searches.REGISTERED_MODELS, given["filter"])
    ordered = queries.ordered(found, searches.REGISTERED_MODELS, given["order_by"])
    page, token = paging.page(ordered, given["page_token"], number, shown, caller.key(request))
    return paging.listed("registered_models", page, token)


_LATEST = {**NAME, "stages": texts()}


@ROUTES.add("POST", "registered-models/get-latest-versions", "read", **_LATEST)
@ROUTES.add("GET", "registered-models/get-latest-versions", "read", **_LATEST)
def get_latest_versions(request: HttpRequest, given: Given) -> Any:
    """List the newest version of each stage, or of some stages."""
    model = registered_models.find(given["name"])
    stages = {model_versions.check_stage(stage) for stage in given["stages"]}
    found = [one for one in model_versions.latest([model])[model.pk] if not stages or one.stage in stages]
    tags, aliases = model_versions.tags_of(found), registered_models.aliases_of([model.pk])[model.pk]
    return paging.listed("model_versions", [shapes.model_version(one, tags[one.pk], aliases) for one in found], None)


@ROUTES.add(
    "POST", "registered-models/set-tag", "change_own", **NAME, key=key(), value=text(registered_models.LONGEST_TAG)
)
def set_tag(request: HttpRequest, given: Given) -> Any:
    """Set a tag of a registered model."""
    registered_models.set_tag(find_own(request, given["name"]), given["key"], given["value"])


@ROUTES.add("DELETE", "registered-models/delete-tag", "change_own", **NAME, key=key())
def delete_tag(request: HttpRequest, given: Given) -> Any:
    """Delete a tag of a registered model."""
    registered_models.delete_tag(find_own(request, given["name"]), given["key"])


@ROUTES.add(
    "POST", "registered-models/alias", "change_own", **NAME, alias=text(required=True), version=text(required=True)
)
def set_alias(request: HttpRequest, given: Given) -> Any:
    """Give a version an alias, which another one may have had."""
    model = find_own(request, given["name"])
    registered_models.set_alias(model, given["alias"], model_versions.find(model.name, given["version"]))


@ROUTES.add("DELETE", "registered-models/alias", "change_own", **NAME, alias=text(required=True))
def delete_alias(request: HttpRequest, given: Given) -> Any:
    """Delete an alias."""
    registered_models.delete_alias(find_own(request, given["name"]), given["alias"])


@ROUTES.add("GET", "registered-models/alias", "read", **NAME, alias=text(required=True))
def get_by_alias(request: HttpRequest, given: Given) -> Any:
    """Show the version that an alias names."""
    found = model_versions.by_alias(given["name"], given["alias"])
    aliases = registered_models.aliases_of([found.model_id])[found.model_id]
    return {"model_version": shapes.model_version(found, model_versions.tags_of([found])[found.pk], aliases)}
