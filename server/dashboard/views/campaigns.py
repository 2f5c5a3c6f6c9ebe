"""The list of campaigns, and the form for a new one."""

import json
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.calculations.models import Cluster
from server.campaigns import campaigns, compositions, reading
from server.campaigns.models import Campaign
from server.campaigns.policies import registry
from server.core.errors import Invalid, TailraceError
from server.dashboard import campaign_pictures, live
from server.dashboard.rendering import caller_of, page, refused, to
from server.dashboard.views.calculations import check_reach, may, name_of
from server.learning.models import Model
from server.streams.models import Stream

HERE = "/campaigns/"
TARGETS = "Zr-Cu 0.12\nZr-Zr 0.16\nCu-Cu 0.07"
"""Targets that an empty form shows as an example."""


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the campaigns, those that wait for a person first."""
    check_reach(request)
    found = sorted(reading.listing(), key=lambda one: one["proposal"] is None)
    for one in found:
        one["tone"] = campaign_pictures.STATES.get(one["state"], "")
    version = live.version(found)
    return live.unchanged(request, version) or page(
        request,
        "campaigns_part" if live.is_part(request) else "campaigns",
        campaigns=found,
        may_create=may(request, "create"),
        version=version,
    )


def new(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: create the campaign."""
    check_reach(request)
    if request.method != "POST":
        return page(request, "campaign_new", **_shown())
    caller = caller_of(request)
    try:
        made = campaigns.create(
            _asked(request), created_by=name_of(request), owner_id=None if caller is None else caller.user_id
        )
    except TailraceError as exc:
        return refused(request, "campaign_new", exc, **_shown())
    messages.success(request, f"Campaign {made.name} is created. It decides what to calculate first.")
    return to(f"{HERE}{quote(made.name)}/")


def _shown() -> dict[str, Any]:
    models = Model.objects.select_related("stream").order_by("stream__name", "name")
    return {
        "streams": list(Stream.objects.exclude(segment=None).order_by("name").values_list("name", flat=True)),
        "models": [(one.name, one.stream.name) for one in models.only("name", "stream__name")],
        "compositions": [one["name"] for one in compositions.listing()],
        "clusters": list(Cluster.objects.order_by("name").values_list("name", flat=True)),
        "policies": registry.names(),
        "approvals": Campaign.APPROVALS,
        "targets": TARGETS,
    }


def _asked(request: HttpRequest) -> dict[str, Any]:
    """Return the form as a request of the API has it.

    Raises
    ------
    Invalid
        If a field can't be read.
    """
    form = request.POST
    asked: dict[str, Any] = {
        "name": form.get("name", "").strip(),
        "description": form.get("description", "").replace("\r\n", "\n"),
        "stream": form.get("stream", ""),
        "models": form.getlist("models"),
        "compositions": form.get("compositions", "").replace(",", " ").split(),
        "targets": _targets(form.get("targets", "")),
        "budget": {
            "calculations": _number(form.get("calculations", ""), "budget.calculations", whole=True),
            "node_hours": _number(form.get("node_hours", ""), "budget.node_hours"),
        },
        "clusters": form.getlist("clusters"),
        "approval": form.get("approval", Campaign.EVERY),
        "policy": form.get("policy", ""),
        "seed": _number(form.get("seed", "") or "0", "seed", whole=True),
    }
    if form.get("programs", "").strip():
        try:
            asked["programs"] = json.loads(form["programs"])
        except ValueError as exc:
            raise Invalid(f"programs: {exc}: expected JSON, or nothing", field="programs") from None
    return asked


def _targets(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        kind, _, value = line.strip().replace("=", " ").rpartition(" ")
        number = _number(value, "targets") if kind.strip() else None
        if number is None:
            raise Invalid(
                f"targets: {line[:80]!r}: expected a bond type and its largest RMSE, such as Zr-Cu 0.12",
                field="targets",
            )
        found[kind.strip()] = number
    return found


def _number(text: str, field: str, *, whole: bool = False) -> Any:
    text = text.strip()
    if not text:
        return None
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise Invalid(f"{field} is {text[:40]!r}: expected a {'whole ' if whole else ''}number", field=field) from None
