"""Pages of compositions: the list with its map, and one composition with what there is of it."""

from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.campaigns import compositions
from server.campaigns.models import Composition, Run
from server.cells.models import Cell
from server.core.errors import Forbidden, TailraceError
from server.dashboard import campaign_pictures
from server.dashboard.rendering import caller_of, page, refused, to
from server.dashboard.views.calculations import check_reach, may, name_of

HERE = "/compositions/"
MOST_CELLS = 100


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the compositions. POST: add one."""
    check_reach(request)
    if request.method != "POST":
        return page(request, "compositions", **_listed(request))
    caller = caller_of(request)
    try:
        made, is_new = compositions.create(
            request.POST.get("name", "").strip(), aliases=_words(request), notes=_notes(request),
            created_by=name_of(request), owner_id=None if caller is None else caller.user_id,
        )  # fmt: skip
    except TailraceError as exc:
        return refused(request, "compositions", exc, **_listed(request))
    messages.success(request, f"{made.name} is added." if is_new else f"That is {made.name}, which was there already.")
    return to(f"{HERE}{quote(made.name)}/")


def composition(request: HttpRequest, name: str) -> HttpResponse:
    """GET: one composition: campaigns, cells, failures and runs. POST: change its notes and aliases, or delete it."""
    check_reach(request)
    found = compositions.find(name)
    if request.method != "POST":
        return page(request, "composition", **_shown(request, found))
    if not _may_change(request, found):
        raise Forbidden(
            f"composition {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    try:
        if request.POST.get("action") == "delete":
            compositions.delete(found)
            messages.success(request, f"Composition {found.name} is deleted.")
            return to(HERE)
        compositions.change(found, {"notes": _notes(request), "aliases": _words(request)})
    except TailraceError as exc:
        return refused(request, "composition", exc, **_shown(request, found))
    messages.success(request, "Saved.")
    return to(f"{HERE}{quote(found.name)}/")


def _words(request: HttpRequest) -> list[str]:
    return request.POST.get("aliases", "").replace(",", " ").split()


def _notes(request: HttpRequest) -> str:
    return request.POST.get("notes", "").replace("\r\n", "\n").strip()


def _may_change(request: HttpRequest, found: Composition) -> bool:
    caller = caller_of(request)
    if caller is None or "change_any" in caller.permissions:
        return True
    return "change_own" in caller.permissions and caller.user_id == found.owner_id


def _listed(request: HttpRequest) -> dict[str, Any]:
    rows = compositions.listing()
    return {"rows": rows, "map": campaign_pictures.map_of(rows), "may_create": may(request, "create")}


def _shown(request: HttpRequest, found: Composition) -> dict[str, Any]:
    one = compositions.described([found])[0]
    cells = Cell.objects.filter(composition__in=[one["name"], *one["aliases"]]).select_related("stream")
    runs = Run.objects.filter(composition=found).select_related("campaign").order_by("-pk")
    return {
        "one": one,
        "aliases": " ".join(one["aliases"]),
        "campaigns": list(found.campaigns.order_by("name").values_list("name", flat=True)),
        "cells": list(
            cells.order_by("-pk").only("name", "status", "reason", "stream__name", "created_at")[:MOST_CELLS]
        ),
        "runs": list(runs[:MOST_CELLS]),
        "may_change": _may_change(request, found),
    }
