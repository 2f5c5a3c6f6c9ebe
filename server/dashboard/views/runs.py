"""The page of one run: what it logged, its curves, and its files."""

import mimetypes
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse

from server.core.errors import Forbidden, Invalid
from server.core.json_codec import loads
from server.dashboard import charts, live, parameters, run_charts, run_columns
from server.dashboard.rendering import page, to
from server.dashboard.views.calculation import download
from server.dashboard.views.calculations import check_reach
from server.dashboard.views.experiments import may_change
from server.tracking import artifacts, reading, runs
from server.tracking.models import Artifact, Run
from server.tracking.models.names import DELETED

MOST_CHARTS = 12
MOST_FILES = 1000
MOST_CHILDREN = 200
LONGEST_VIEW = 200_000
"""Bytes of a text that its page shows."""

TEXTS = (
    ".txt",
    ".log",
    ".json",
    ".yaml",
    ".yml",
    ".csv",
    ".md",
    ".py",
    ".toml",
    ".ini",
    ".in",
    ".xml",
    ".html",
    ".MLmodel",
)
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
LINKS = {
    "model": "/models/{}/", "stream": "/streams/{}/", "calculation": "/calculations/{}/",
}  # fmt: skip


def run(request: HttpRequest, uid: str) -> HttpResponse:
    """GET: the run."""
    check_reach(request)
    found = runs.find(uid)
    described = reading.described(found)
    by = parameters.choice(request, "by", run_charts.BY, "step")
    keys = list(described["metrics"])
    wanted = [key for key in request.GET.getlist("metric") if key in described["metrics"]] or keys[:MOST_CHARTS]
    fed = list(found.feed_points.select_related("feed").order_by("feed__stream_name"))
    version = live.version(described, by, wanted, [(row.state, row.seq, row.reason) for row in fed])
    same = live.unchanged(request, version)
    return same or page(
        request,
        "run_part" if live.is_part(request) else "run",
        one=described,
        experiment=found.experiment,
        shown_name=run_charts.name_of(found),
        tone=run_columns.TONES.get(found.status, ""),
        started=run_columns.moment(found.started_ms),
        ended=run_columns.moment(found.ended_ms),
        took=None if found.ended_ms is None else max(0.0, (found.ended_ms - found.started_ms) / 1000),
        parent=Run.objects.filter(uid=found.parent).first() if found.parent else None,
        children=Run.objects.filter(parent=found.uid).order_by("pk")[:MOST_CHILDREN],
        links=[
            {**one, "href": LINKS[one["to"]].format(one["name"]) if one["to"] in LINKS else ""}
            for one in described["links"]
        ],
        fed=fed,
        domains=[(one, loads(one.document)) for one in found.domains.order_by("-pk")[:20]],
        charts=[_chart(request, found, key, by) for key in wanted[:MOST_CHARTS]],
        others=[key for key in keys if key not in wanted[:MOST_CHARTS]],
        chosen=wanted,
        by=by,
        bys=run_charts.BY,
        files=artifacts.listing(Artifact.objects.filter(run=found), recursive=True)[:MOST_FILES],
        may_change=may_change(request, found),
        is_deleted=found.lifecycle == DELETED,
        here=request.get_full_path(),
        version=version,
    )


def chart(request: HttpRequest, uid: str) -> HttpResponse:
    """GET: a curve as JSON or CSV."""
    check_reach(request)
    found = runs.find(uid)
    by = parameters.choice(request, "by", run_charts.BY, "step")
    made = run_charts.of_one(found, request.GET.get("metric", ""), by)
    after = parameters.number(request, "after", float("-inf"), least=float("-inf"), most=1e300)
    first = next((index for index, x in enumerate(made.x) if x > after), len(made.x))
    if first:
        made.x = made.x[first:]
        made.series = [charts.Series(one.label, one.values[first:], one.style, one.tone) for one in made.series]
    return charts.respond(request, made)


def _chart(request: HttpRequest, found: Run, key: str, by: str) -> charts.Chart:
    made = run_charts.of_one(found, key, by)
    query = urlencode({"metric": key, "by": by})
    made.url = f"/runs/{found.uid}/chart/?{query}"
    return made


def artifact(request: HttpRequest, uid: str, path: str) -> HttpResponse | FileResponse:
    """GET: a file, as a download; with ``view=1``, a page with the text or the picture."""
    check_reach(request)
    found = runs.find(uid)
    kept = artifacts.find(Artifact.objects.filter(run=found), path)
    if request.GET.get("view") != "1":
        kind = mimetypes.guess_type(kept.path)[0] or "application/octet-stream"
        return download(artifacts.open_content(kept), kind, kept.path.rpartition("/")[2])
    context: dict[str, Any] = {"one": kept, "run": found, "shown_name": run_charts.name_of(found)}
    if kept.path.lower().endswith(PICTURES):
        context["is_picture"] = True
    elif kept.path.lower().endswith(TEXTS) or "." not in kept.path.rpartition("/")[2]:
        with artifacts.open_content(kept) as file:
            text = file.read(LONGEST_VIEW)
        context["text"] = text.decode("utf-8", "replace").replace("\x00", "�")
        context["is_cut"] = kept.size > LONGEST_VIEW
    return page(request, "artifact", **context)


def change(request: HttpRequest, uid: str) -> HttpResponse:
    """POST: rename, delete or restore a run."""
    check_reach(request)
    found = runs.find(uid)
    if not may_change(request, found):
        raise Forbidden(f"run {found.uid} belongs to {found.created_by or 'somebody else'}: ask them or a moderator")
    action = request.POST.get("action", "")
    if action == "delete":
        runs.delete(found.uid)
        messages.success(request, f"Run {run_charts.name_of(found)} is deleted. It can be restored.")
    elif action == "restore":
        runs.restore(found.uid)
        messages.success(request, f"Run {run_charts.name_of(found)} is restored.")
    elif action == "rename":
        runs.change(found.uid, {"name": request.POST.get("name", "").strip()})
        messages.success(request, "Saved.")
    else:
        raise Invalid(f"action is {action[:50]!r}: expected rename, delete or restore", field="action")
    return to(f"/runs/{found.uid}/")
