"""Pages of the registry: registered models, and one with its versions, aliases, and where each version comes from."""

from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.core.errors import Forbidden, Invalid
from server.dashboard import parameters, run_columns, run_pictures
from server.dashboard.rendering import page, to
from server.dashboard.run_pictures import Station
from server.dashboard.views.calculations import check_reach
from server.dashboard.views.experiments import may_change
from server.services import services
from server.tracking import model_versions, registered_models
from server.tracking.models import ModelVersion, RegisteredModel, Run, RunLink

HERE = "/registry/"
PAGE = 200
LONGEST_TEXT = 200


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the registered models."""
    check_reach(request)
    text = request.GET.get("text", "").replace("\x00", "").strip()[:LONGEST_TEXT]
    rows = RegisteredModel.objects.filter(name__icontains=text).order_by("-changed_ms", "name")
    skipped = parameters.whole(request, "skip", least=0) or 0
    some = list(rows[skipped : skipped + PAGE + 1])
    aliases = registered_models.aliases_of([one.pk for one in some])
    latest = _latest(some)
    found = [
        {
            "name": one.name,
            "description": one.description,
            "changed": run_columns.moment(one.changed_ms),
            "created_by": one.created_by,
            "latest": latest.get(one.pk),
            "aliases": sorted(aliases.get(one.pk, {}).items()),
        }
        for one in some[:PAGE]
    ]
    more = f"?{'text=' + quote(text) + '&' if text else ''}skip={skipped + PAGE}" if len(some) > PAGE else ""
    return page(request, "registry", models=found, text=text, older=more)


def _latest(models: list[RegisteredModel]) -> dict[int, int]:
    found: dict[int, int] = {}
    rows = ModelVersion.objects.filter(model__in=[one.pk for one in models]).values_list("model", "version")
    for model, version in rows:
        found[model] = max(version, found.get(model, 0))
    return found


def model(request: HttpRequest, name: str) -> HttpResponse:
    """GET: a registered model. POST: give a version an alias, or take one away."""
    check_reach(request)
    found = registered_models.find(name)
    if request.method == "POST":
        return _change(request, found)
    aliases = registered_models.aliases_of([found.pk]).get(found.pk, {})
    versions = list(ModelVersion.objects.filter(model=found).order_by("-version")[:PAGE])
    tags = model_versions.tags_of(versions)
    runs = {run.uid: run for run in Run.objects.filter(uid__in=[one.run for one in versions if one.run])}
    shown = [
        {
            "version": one.version,
            "row": one,
            "created": run_columns.moment(one.created_ms),
            "aliases": sorted(alias for alias, version in aliases.items() if version == one.version),
            "tags": sorted(tags.get(one.pk, {}).items()),
            "is_stale": "tailrace.stale" in tags.get(one.pk, {}),
            "run": runs.get(one.run),
        }
        for one in versions
    ]
    chosen = parameters.whole(request, "version") or (versions[0].version if versions else None)
    one = next((row for row in shown if row["version"] == chosen), None)
    return page(
        request,
        "registered_model",
        one=found,
        tags=sorted(registered_models.tags_of([found]).get(found.pk, {}).items()),
        versions=shown,
        chosen=chosen,
        way=_way(found, one) if one else "",
        may_change=may_change(request, found),
    )


def _way(found: RegisteredModel, one: dict[str, Any]) -> Any:
    """Return the way of a version as a picture: streams and others that its run used, the run, the version, its aliases and services."""
    run = one["run"]
    tags = dict(one["tags"])
    sources, makers = [], []
    if run is not None:
        links = RunLink.objects.filter(run=run).order_by("pk").values_list("kind", "name", "at")[:8]
        for kind, name, at in links:
            href = f"/{kind}s/{quote(name, safe='')}/" if kind in ("stream", "model", "calculation") else ""
            sources.append(Station(kind, name if at is None else f"{name} at {at}", href))
        makers.append(Station("run", run.name or run.uid[:8], f"/runs/{run.uid}/"))
    if "tailrace.stream" in tags:
        upto = f" to {tags['tailrace.at']}" if "tailrace.at" in tags else ""
        stream = tags["tailrace.stream"]
        sources.append(Station("observations", f"{stream}{upto}", f"/streams/{quote(stream, safe='')}/"))
    version = [
        Station(
            "version", f"{found.name} {one['version']}", f"{HERE}{quote(found.name, safe='')}/?version={one['version']}"
        )
    ]
    users = [Station("alias", alias, "") for alias in one["aliases"]]
    users += [
        Station("service", service.name, f"/services/{quote(service.name)}/")
        for service in services.of_version(found.name, one["version"])
    ]
    return run_pictures.way([sources, makers, version, users])


def _change(request: HttpRequest, found: RegisteredModel) -> HttpResponse:
    if not may_change(request, found):
        raise Forbidden(
            f"registered model {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    action, alias = request.POST.get("action", ""), request.POST.get("alias", "").strip()
    if action == "set_alias":
        version = model_versions.find(found.name, request.POST.get("version", ""))
        registered_models.set_alias(found, alias, version)
        messages.success(request, f"Version {version.version} is {alias} now.")
    elif action == "delete_alias":
        registered_models.delete_alias(found, alias)
        messages.success(request, f"No version is {alias} any more.")
    else:
        raise Invalid(f"action is {action[:50]!r}: expected set_alias or delete_alias", field="action")
    return to(f"{HERE}{quote(found.name, safe='')}/")
