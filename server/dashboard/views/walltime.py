"""The page of wall times: what to request for a job, and the ledger of what that would have cost and saved."""

from functools import partial
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound, TailraceError
from server.dashboard import asked, charts, feature_form, parameters, snippets, wall_times
from server.dashboard.charts import Chart
from server.dashboard.feature_form import FeatureForm
from server.dashboard.recent_results import RecentResults
from server.dashboard.rendering import is_open, page
from server.dashboard.wall_times import Terms
from server.learning.models import Model
from server.learning.records import ledger, reading
from server.learning.records.columns import Unreadable
from server.streams import log

LATEST = 10_000
"""Most jobs of the ledger: the latest."""

SOURCES_READ = 500
"""Latest observations in which the names of ``source`` fields are looked for."""

JOBS: RecentResults[ledger.Jobs] = RecentResults(8)
"""What a page and its two charts read from the log, which takes longer than all else."""

CHARTS = ("killed", "hours")
USED = ("quantile", "percent", "seconds", "nodes", "request")


def walltime(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page."""
    found = parameters.find_model(request, name)
    form = feature_form.read(request, found.stream)
    context: dict[str, Any] = {
        "model": found,
        "form": form,
        "least": wall_times.LEAST,
        "most": wall_times.MOST,
        "floor": wall_times.FLOOR,
        "percent": request.GET.get("percent", ""),
        "seconds": request.GET.get("seconds", ""),
        "nodes": request.GET.get("nodes", ""),
        "request_by": request.GET.get("request", ""),
        "quantile": wall_times.QUANTILE,
        "may_read": feature_form.may_read(request),
    }
    status = 400 if form.is_wrong else 200
    try:
        terms = _terms(request)
    except Invalid as exc:
        return page(request, "walltime", exc.status, **context, trouble=exc.message)
    context |= {"quantile": terms.quantile, "terms": terms}
    if form.x and not form.is_wrong:
        context |= _asked(request, found, form, terms)
    if context["may_read"]:
        context |= {"fields": _fields(found, form)}
        context |= _ledger(request, found, terms)
    return page(request, "walltime", status, **context)


def chart(request: HttpRequest, name: str, chart: str) -> HttpResponse:
    """GET: a chart of the ledger as JSON or CSV."""
    found = parameters.find_model(request, name)
    if chart not in CHARTS or not feature_form.may_read(request):
        raise NotFound(f"there is no chart named {chart!r:.50}: expected one of {', '.join(CHARTS)}")
    try:
        return charts.respond(request, _charts(request, found, _jobs(request, found), _terms(request))[chart])
    except Unreadable as exc:
        raise Invalid(_unreadable(exc)) from exc


def _terms(request: HttpRequest) -> Terms:
    return Terms(
        round(
            parameters.number(request, "quantile", wall_times.QUANTILE, least=wall_times.LEAST, most=wall_times.MOST), 4
        ),
        parameters.number(request, "percent", 0.0, least=0, most=1000) / 100,
        parameters.number(request, "seconds", 0.0, least=0, most=10_000_000),
    )


def _asked(request: HttpRequest, found: Model, form: FeatureForm, terms: Terms) -> dict[str, Any]:
    reads = partial(feature_form.may_read, request)
    (answer,) = asked.at_point([found], form.x, terms.level, reads)
    try:
        time = wall_times.wall_time(found, answer, terms)
    except TailraceError as exc:
        return {"no_time": exc.message, "warnings": answer.warnings}
    address = request.build_absolute_uri("/")
    rows = []
    for written, text in time.written().items():
        call = snippets.walltime(address, found.name, form.x, terms.options(written))
        rows.append(
            {
                "form": written,
                "text": text,
                "line": wall_times.COMMANDS[written].format(text),
                "call": call and wall_times.COMMANDS[written].format(f'"$({call})"'),
            }
        )
    return {"time": time, "rows": rows, "warnings": answer.warnings, "at": answer.at, "with_token": not is_open()}


def _fields(found: Model, form: FeatureForm) -> list[str]:
    """Features with numbers, and fields of ``source``, that may hold a job's nodes or what its user requested."""
    names = {one.name: None for one in form.features if one.kind in ("number", "")}
    for span in log.spans(found.stream_id, max(found.stream.whole_after, found.stream.head - SOURCES_READ)):
        for note in span.notes.values():
            names |= dict.fromkeys(note.get("source") or {})
    return list(names)[:500]


def _jobs(request: HttpRequest, found: Model) -> ledger.Jobs:
    nodes, own = request.GET.get("nodes", ""), request.GET.get("request", "")
    last = reading.extent(found).last
    key = (found.pk, found.created_at, found.generation, found.stream.target_unit, last, nodes, own)
    return JOBS.get(key, lambda: ledger.read(found, nodes=nodes, request=own, last=last, most=LATEST))


def _ledger(request: HttpRequest, found: Model, terms: Terms) -> dict[str, Any]:
    try:
        jobs = _jobs(request, found)
        account = ledger.account(jobs, terms.quantile, share=terms.share, seconds=terms.seconds, floor=wall_times.FLOOR)
    except Unreadable as exc:
        return {"no_ledger": _unreadable(exc)}
    except Invalid as exc:
        return {"no_ledger": exc.message}
    extent = reading.extent(found)
    shown: dict[str, Any] = {
        "account": account,
        "sentence": wall_times.sentence(found, account, terms),
        "recorded": extent.last - extent.first + 1,
        "latest": LATEST,
    }
    wanted = request.GET.get("request", "")
    if wanted and "own" not in account:
        shown["no_requests"] = f"none of these jobs has a number named {wanted[:80]!r}: choose another feature or field"
    return shown | {"charts": list(_charts(request, found, jobs, terms).values())}


def _charts(request: HttpRequest, found: Model, jobs: ledger.Jobs, terms: Terms) -> dict[str, Chart]:
    made = wall_times.over_risk(jobs, terms)
    for name, one in made.items():
        one.url = charts.url(f"/models/{quote(found.name)}/walltime/charts/{name}/", request, USED)
    return made


def _unreadable(exc: Unreadable) -> str:
    return f"a part of the record can't be read: {exc}. The server makes it again from the log; try again in a minute"
