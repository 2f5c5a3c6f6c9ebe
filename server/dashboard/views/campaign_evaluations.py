"""Pages of a campaign's evaluations: the list with its form, and one evaluation."""

from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.campaigns import campaigns, reading
from server.campaigns.evaluations import kept, protocols
from server.campaigns.models import Campaign
from server.cells.models import Cell, Database
from server.core.errors import Forbidden, Invalid, TailraceError
from server.dashboard import evaluation_pictures, live
from server.dashboard.rendering import page, refused, to
from server.dashboard.views.calculations import check_reach, name_of
from server.dashboard.views.campaign import may_change

WORDS = {
    "cross_validation": "Cross-validation by family", "single_cell": "One cell, as in production",
    "across_compositions": "Across compositions", "calibration": "Calibration by bond type",
    "learning_curve": "Learning curve", "coverage": "Coverage",
}  # fmt: skip
"""What people call each kind."""

TONES = {"waiting": "", "running": "busy", "done": "good", "failed": "bad"}
MOST_NAMES = 500


def listed(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the evaluations, and the form for a new one. POST: ask for one."""
    check_reach(request)
    found = campaigns.find(name)
    if request.method != "POST":
        return page(request, "campaign_evaluations", **_listed(request, found))
    if not may_change(request, found):
        raise Forbidden(
            f"campaign {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    try:
        made = kept.ask(found, _asked(request), name_of(request))
    except TailraceError as exc:
        return refused(request, "campaign_evaluations", exc, **_listed(request, found))
    messages.success(request, "The evaluation is computed in the background; this page shows how far it is.")
    return to(f"/campaigns/{quote(found.name)}/evaluations/{made.number}/")


def evaluation(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """GET: one evaluation, live until it is done."""
    check_reach(request)
    one = kept.described(kept.find(campaigns.find(name), str(number)), whole=True)
    version = live.version(one)
    same = live.unchanged(request, version)
    result = one["result"]
    return same or page(
        request,
        "campaign_evaluation_part" if live.is_part(request) else "campaign_evaluation",
        one=one,
        title=WORDS.get(one["kind"], one["kind"]),
        tone=TONES.get(one["state"], ""),
        percent=100 * one["progress"],
        tables=[] if result is None else evaluation_pictures.tables(result),
        plots=[] if result is None else evaluation_pictures.plots(one["kind"], result),
        version=version,
    )


def _asked(request: HttpRequest) -> dict[str, Any]:
    kind = request.POST.get("kind", "")
    if kind not in protocols.KINDS:
        raise Invalid(f"kind is {kind[:40]!r}: expected one of {', '.join(protocols.KINDS)}", field="kind")
    asked: dict[str, Any] = {"kind": kind}
    for field in ("model", "database", "cell"):
        asked[field] = request.POST.get(field, "").replace("\x00", "").strip() or None
    text = request.POST.get("folds", "").strip()
    if text:
        if not (text.isascii() and text.isdigit() and 2 <= int(text[:9]) <= kept.MOST_FOLDS):
            raise Invalid(f"folds is {text[:20]!r}: expected 2 to {kept.MOST_FOLDS}", field="folds")
        asked["folds"] = int(text)
    return asked


def _listed(request: HttpRequest, found: Campaign) -> dict[str, Any]:
    rows = kept.listing(found)[::-1]
    for row in rows:
        row["title"], row["tone"] = WORDS.get(row["kind"], row["kind"]), TONES.get(row["state"], "")
    stream = {"stream": found.stream_id}
    return {
        "one": reading.summary(found),
        "rows": rows,
        "kinds": [(kind, WORDS[kind]) for kind in protocols.KINDS],
        "databases": list(
            Database.objects.filter(**stream).order_by("name").values_list("name", flat=True)[:MOST_NAMES]
        ),
        "cells": list(
            Cell.objects.filter(**stream, status=Cell.LABELED)
            .order_by("-pk")
            .values_list("name", flat=True)[:MOST_NAMES]
        ),
        "changes": may_change(request, found),
    }
