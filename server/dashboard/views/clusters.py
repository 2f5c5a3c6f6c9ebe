"""Pages of clusters: state and load, programs, the agent's log; tokens, maintenance and limits for admins."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.accounts import cluster_tokens
from server.calculations import clusters, programs, reading
from server.calculations import messages as agent_messages
from server.calculations.models import AdvertisedProgram, Cluster, Message
from server.core.db.locks import transaction_for_writing
from server.core.errors import Forbidden, Invalid, NotFound, TailraceError
from server.core.json_codec import loads
from server.core.validation import check_name, format_value
from server.dashboard import live, parameters
from server.dashboard.charts import Chart, Series, respond
from server.dashboard.rendering import page, refused, to, visitor
from server.dashboard.views.calculations import check_reach, may, name_of

HERE = "/clusters/"
LINES = 100
LEVELS = ("INFO", "WARNING", "ERROR")
LOADS = {
    "cpu": ("CPU", "share of all CPUs", 1),
    "memory": ("Memory", "share of all memory", 1),
    "jobs": ("Jobs of the agent", "jobs", 1),
}


def listed(request: HttpRequest) -> HttpResponse:
    """GET: all clusters and programs. POST: add a cluster, and show the secret of its token once."""
    check_reach(request)
    if request.method != "POST":
        shown = _listed(request)
        same = live.unchanged(request, shown["version"])
        return same or page(request, "clusters_part" if live.is_part(request) else "clusters", **shown)
    try:
        fields = {
            "title": _text(request, "title", 200), "description": _text(request, "description", 10_000),
            "streams": _streams(request),
        }  # fmt: skip
        with transaction_for_writing():
            made = clusters.create(request.POST.get("name", "").strip(), name_of(request), **fields)
            secret = cluster_tokens.create(visitor(request), made.pk, made.name, made.streams)
    except TailraceError as exc:
        return refused(request, "clusters", exc, **_listed(request))
    return _with_secret(request, made, secret)


def cluster(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page of a cluster. POST: change it."""
    check_reach(request)
    found = clusters.find(name)
    if request.method != "POST":
        shown = _shown(request, found)
        same = live.unchanged(request, shown["version"])
        return same or page(request, "cluster_part" if live.is_part(request) else "cluster", **shown)
    try:
        with transaction_for_writing():
            changed = clusters.change(found, _changes(request))
            cluster_tokens.change_reach(changed.pk, changed.streams)
    except TailraceError as exc:
        return refused(request, "cluster", exc, **_shown(request, found))
    messages.success(request, f"The cluster is changed: {changed.state}.")
    return to(f"{HERE}{quote(found.name)}/")


def rotate(request: HttpRequest, name: str) -> HttpResponse:
    """POST: create another token for the agent, and show its secret once."""
    check_reach(request)
    found = clusters.find(name)
    with transaction_for_writing():
        secret = cluster_tokens.rotate(visitor(request), found.pk, found.name, found.streams)
    return _with_secret(request, found, secret, is_new=False)


def delete(request: HttpRequest, name: str) -> HttpResponse:
    """POST: remove a cluster that never ran a calculation."""
    check_reach(request)
    found = clusters.find(name)
    with transaction_for_writing():
        cluster_tokens.revoke(found.pk)
        clusters.delete(found)
    messages.success(request, f"Cluster {found.name} is removed.")
    return to(HERE)


def rule(request: HttpRequest, name: str) -> HttpResponse:
    """POST: set when calculations with a program need approval."""
    check_reach(request)
    text = request.POST.get("cost_limit", "").strip()
    try:
        limit = float(text) if text else None
    except ValueError:
        limit = -1.0
    if limit is not None and not 0 <= limit < 1e12:
        raise Invalid(
            f"cost_limit is {format_value(text)}: expected process hours, such as 100, or nothing", field="cost_limit"
        )
    programs.change_rule(name, {"requires_approval": "requires_approval" in request.POST, "cost_limit": limit})
    messages.success(request, f"The rule of program {name} is saved.")
    return to(HERE)


def chart(request: HttpRequest, name: str, chart: str) -> HttpResponse:
    """GET: the data of a chart of the cluster's load."""
    check_reach(request)
    found = clusters.find(name)
    for one in _charts(found):
        if one.name == chart:
            return respond(request, one)
    raise NotFound(f"cluster {found.name} has no chart {chart[:50]!r}: expected one of {', '.join(LOADS)}")


def logs(request: HttpRequest) -> HttpResponse:
    """GET: what the agents of all clusters logged, newest first. POST: delete what is older than some days."""
    check_reach(request)
    if request.method == "POST":
        return _delete_lines(request)
    wanted = {
        name: request.GET.get(name, "").replace("\x00", "").strip()[:200] for name in ("cluster", "level", "text")
    }
    if wanted["level"] and wanted["level"] not in LEVELS:
        raise Invalid(f"level is {wanted['level'][:20]!r}: expected one of {', '.join(LEVELS)}", field="level")
    found = Message.objects.select_related("cluster").order_by("-pk")
    if wanted["cluster"]:
        found = found.filter(cluster=clusters.find(wanted["cluster"]))
    if wanted["level"]:
        found = found.filter(level__in=LEVELS[LEVELS.index(wanted["level"]) :])
    if wanted["text"]:
        found = found.filter(text__icontains=wanted["text"])
    before = parameters.whole(request, "before")
    if before is not None:
        found = found.filter(pk__lt=before)
    lines = list(found[: LINES + 1])
    more = lines[LINES - 1].pk if len(lines) > LINES else None
    version = live.version([line.pk for line in lines])
    same = live.unchanged(request, version)
    return same or page(
        request,
        "cluster_logs_part" if live.is_part(request) else "cluster_logs",
        lines=lines[:LINES], more=more, wanted=wanted, levels=LEVELS, here=request.get_full_path(), version=version,
        names=list(Cluster.objects.order_by("name").values_list("name", flat=True)),
        may_delete=may(request, "manage_clusters"),
    )  # fmt: skip


def _delete_lines(request: HttpRequest) -> HttpResponse:
    if not may(request, "manage_clusters"):
        raise Forbidden("deleting logs takes the permission “manage_clusters”, which admins have")
    days = request.POST.get("days", "")
    if not (days.isascii() and days.isdigit() and len(days) < 5):
        raise Invalid(f"days is {days[:20]!r}: expected a whole number of days", field="days")
    count = agent_messages.delete_older(int(days))
    messages.success(request, f"{count:,} lines are deleted.")
    return to("/clusters/logs/")


def _listed(request: HttpRequest) -> dict[str, Any]:
    found = clusters.described(list(Cluster.objects.order_by("name")))
    offered = programs.merged()
    return {
        "clusters": found,
        "programs": offered,
        "manages": may(request, "manage_clusters"),
        "approves": may(request, "approve"),
        "version": live.version(found, offered),
    }


def _shown(request: HttpRequest, found: Cluster) -> dict[str, Any]:
    one = clusters.described([found])[0]
    lines, _ = reading.messages(found.pk, None, 20)
    offered = [
        {
            "name": row.name,
            "title": row.title,
            "version": row.version,
            "analyses": [a["title"] for a in loads(row.analyses)],
        }
        for row in AdvertisedProgram.objects.filter(cluster=found).order_by("name")
    ]
    return {
        "one": one,
        "lines": lines,
        "offered": offered,
        "charts": _charts(found),
        "states": Cluster.STATES,
        "manages": may(request, "manage_clusters"),
        "version": live.version(one, lines, offered),
    }


def _charts(found: Cluster) -> list[Chart]:
    loads_of = clusters.load_of(found, datetime.now(UTC) - timedelta(days=7))
    x = [one["at"].timestamp() for one in loads_of]
    made = []
    for name, (title, unit, _) in LOADS.items():
        if name == "jobs":
            series = [
                Series("running", [one.get("jobs_running") for one in loads_of], tone=0),
                Series("waiting", [one.get("jobs_waiting") for one in loads_of], tone=1),
            ]
        else:
            series = [Series(title, [one.get(name) for one in loads_of])]
        last = series[0].values[-1] if loads_of else None
        sentence = f"Now {last:.3g}." if last is not None else "The agent has not reported this yet."
        made.append(
            Chart(
                name,
                title,
                sentence,
                "time",
                unit,
                x,
                series,
                is_time=True,
                url=f"{HERE}{quote(found.name)}/charts/{name}/",
            )
        )
    return made


def _changes(request: HttpRequest) -> dict[str, Any]:
    state = request.POST.get("state", "")
    if state not in Cluster.STATES:
        raise Invalid(f"state is {format_value(state)}: expected one of {', '.join(Cluster.STATES)}", field="state")
    return {
        "state": state, "title": _text(request, "title", 200), "description": _text(request, "description", 10_000),
        "streams": _streams(request), "steps_limit": _limit(request, "steps_limit"), "user_limit": _limit(request, "user_limit"),
        "retention_days": _limit(request, "retention_days") or 7,
    }  # fmt: skip


def _text(request: HttpRequest, name: str, longest: int) -> str:
    text = request.POST.get(name, "").replace("\r\n", "\n").strip()
    if len(text) > longest or "\x00" in text:
        raise Invalid(f"{name} has {len(text)} characters: expected at most {longest}", field=name)
    return text


def _streams(request: HttpRequest) -> list[str]:
    names = request.POST.get("streams", "").replace(",", " ").split()
    return sorted({check_name(name, "stream", "streams") for name in names[:1000]})


def _limit(request: HttpRequest, name: str) -> int | None:
    text = request.POST.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise Invalid(f"{name} is {format_value(text)}: expected a whole number, or nothing", field=name)
    return int(text)


def _with_secret(request: HttpRequest, found: Cluster, secret: str, *, is_new: bool = True) -> HttpResponse:
    url = f"{request.scheme}://{request.get_host()}"
    return page(request, "cluster_secret", status=201, cluster=found, secret=secret, url=url, is_new=is_new)
