"""MLflow's routes of versions of registered models."""

from typing import Any

from django.http import HttpRequest

from server.api import caller
from server.api.mlflow import paging, shapes
from server.api.mlflow.experiments import TAGS, tags_of
from server.api.mlflow.messages import key, text, texts, whole, yes_or_no
from server.api.mlflow.registered_models import find_own as find_own_model
from server.api.mlflow.routes import Given, Routes
from server.tracking import locations, model_versions, registered_models, searches
from server.tracking.filters import queries
from server.tracking.models import ModelVersion

ROUTES = Routes()
DEFAULT_RESULTS, MOST_RESULTS = 10_000, 200_000
VERSION = {"name": text(required=True), "version": text(required=True)}


def find_own(request: HttpRequest, given: Given) -> ModelVersion:
    """Return a version if the caller may change it: who owns it, or its registered model."""
    found = model_versions.find(given["name"], given["version"])
    who = caller.identity(request)
    if who is None or found.owner_id is None or found.owner_id != who.user_id:
        caller.check_owner(request, found.model)
    return found


def shown(one: ModelVersion) -> dict[str, Any]:
    """Return a version in MLflow's form."""
    aliases = registered_models.aliases_of([one.model_id])[one.model_id]
    return {"model_version": shapes.model_version(one, model_versions.tags_of([one])[one.pk], aliases)}


@ROUTES.add(
    "POST",
    "model-versions/create",
    "create",
    name=text(required=True),
    source=text(locations.LONGEST, required=True),
    run_id=text(),
    model_id=text(),
    run_link=text(),
    tags=TAGS,
    description=text(registered_models.LONGEST_DESCRIPTION),
)
def create(request: HttpRequest, given: Given) -> Any:
    """Create the next version of a registered model, from files of this server."""
    made = model_versions.create(
        find_own_model(request, given["name"]),
        given["source"],
        run=given["run_id"],
        logged_model=given["model_id"],
        run_link=given["run_link"],
        description=given["description"],
        tags=tags_of(given["tags"]),
        **caller.made_by(request),
    )
    return shown(made)


@ROUTES.add("GET", "model-versions/get", "read", **VERSION)
def get(request: HttpRequest, given: Given) -> Any:
    """Show a version."""
    return shown(model_versions.find(given["name"], given["version"]))


@ROUTES.add("GET", "model-versions/get-download-uri", "read", **VERSION)
def get_download_uri(request: HttpRequest, given: Given) -> Any:
    """Return where the files of a version are."""
    return {"artifact_uri": model_versions.files_of(model_versions.find(given["name"], given["version"]))}


@ROUTES.add(
    "PATCH", "model-versions/update", "change_own", **VERSION, description=text(registered_models.LONGEST_DESCRIPTION)
)
def update(request: HttpRequest, given: Given) -> Any:
    """Describe a version."""
    return shown(model_versions.describe(find_own(request, given), given["description"]))


@ROUTES.add(
    "POST",
    "model-versions/transition-stage",
    "change_own",
    **VERSION,
    stage=text(required=True),
    archive_existing_versions=yes_or_no(default=False),
)
def transition_stage(request: HttpRequest, given: Given) -> Any:
    """Move a version to another stage."""
    version = find_own(request, given)
    return shown(model_versions.move(version, given["stage"], archive_others=given["archive_existing_versions"]))


@ROUTES.add("DELETE", "model-versions/delete", "change_own", **VERSION)
def delete(request: HttpRequest, given: Given) -> Any:
    """Delete a version. Its files stay."""
    model_versions.delete(find_own(request, given))


@ROUTES.add(
    "GET", "model-versions/search", "read", filter=text(), max_results=whole(), order_by=texts(), page_token=text()
)
def search(request: HttpRequest, given: Given) -> Any:
    """Search versions."""
    number = paging.check_number(given["max_results"], DEFAULT_RESULTS, MOST_RESULTS)
    found = queries.filtered(ModelVersion.objects.select_related("model"), searches.MODEL_VERSIONS, given["filter"])
    ordered = queries.ordered(found, searches.MODEL_VERSIONS, given["order_by"])
    page, token = paging.page(ordered, given["page_token"], number, _listed, caller.key(request))
    return paging.listed("model_versions", page, token)


def _listed(found: list[ModelVersion]) -> list[dict[str, Any]]:
    """Return versions in MLflow's form: as in MLflow, without aliases."""
    tags = model_versions.tags_of(found)
    return [shapes.model_version(one, tags[one.pk]) for one in found]


@ROUTES.add(
    "POST", "model-versions/set-tag", "change_own", **VERSION, key=key(), value=text(registered_models.LONGEST_TAG)
)
def set_tag(request: HttpRequest, given: Given) -> Any:
    """Set a tag of a version."""
    model_versions.set_tag(find_own(request, given), given["key"], given["value"])


@ROUTES.add("DELETE", "model-versions/delete-tag", "change_own", **VERSION, key=key())
def delete_tag(request: HttpRequest, given: Given) -> Any:
    """Delete a tag of a version."""
    model_versions.delete_tag(find_own(request, given), given["key"])
