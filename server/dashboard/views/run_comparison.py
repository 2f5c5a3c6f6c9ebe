"""The page that compares runs: parallel coordinates, one column over another, curves, and what differs in their params."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from server.core.errors import Invalid, NotFound
from server.core.validation import format_value
from server.dashboard import charts, parameters, run_charts, run_columns, run_pictures
from server.dashboard.charts import Chart
from server.dashboard.rendering import page
from server.dashboard.views.calculations import check_reach
from server.tracking import summaries
from server.tracking.models import Run

MOST_RUNS = 200
MOST_CURVES = 20
"""Most runs whose curves are drawn: more could not be told apart."""

USED = ("run", "metric", "by")
DIFFERENT, ALL = "different", "all"


def compare(request: HttpRequest) -> HttpResponse:
    """GET: the page."""
    check_reach(request)
    found, notes = _chosen(request)
    logged = summaries.read(run.pk for run in found)
    names = run_columns.known(logged.values())
    columns = [run_columns.column(name) for name in names]
    rows = [run_columns.row(run, logged[run.pk], columns) for run in found]
    numbers = [name for name in names if any(run_pictures.as_number(row["values"][name]) is not None for row in rows)]
    metrics = [name.partition(".")[2] for name in names if name.startswith("metrics.")]
    metric = request.GET.get("metric", "") or (metrics[0] if metrics else "")
    x = request.GET.get("x", "") or next((name for name in numbers if name.startswith("params.")), "")
    y = request.GET.get("y", "") or next((name for name in numbers if name.startswith("metrics.")), "")
    show = parameters.choice(request, "show", (DIFFERENT, ALL), DIFFERENT)
    for field, name, known in (("metric", metric, metrics), ("x", x, numbers), ("y", y, numbers)):
        if name and name not in known:
            notes.append(f"{field} is {format_value(name)}, which none of these runs has.")
    context: dict[str, Any] = {
        "notes": notes,
        "rows": rows,
        "runs": found,
        "parallel": run_pictures.parallel(rows, numbers),
        "scatter": run_pictures.scatter(rows, x, y) if x and y else "",
        "numbers": numbers,
        "metrics": metrics,
        "metric": metric,
        "x": x,
        "y": y,
        "by": parameters.choice(request, "by", run_charts.BY, "step"),
        "bys": run_charts.BY,
        "show": show,
        "table": _table(rows, names, show),
        "most_curves": MOST_CURVES,
    }
    if metric in metrics:
        context["chart"] = _chart(request, found, metric)
    return page(request, "run_comparison", **context)


def chart(request: HttpRequest) -> HttpResponse:
    """GET: the curves as JSON or CSV."""
    check_reach(request)
    found, _ = _chosen(request)
    if not found:
        raise NotFound("none of these runs is there", field="run")
    return charts.respond(request, _chart(request, found, request.GET.get("metric", "")))


def _chart(request: HttpRequest, found: Sequence[Run], metric: str) -> Chart:
    made = run_charts.of_several(found[:MOST_CURVES], metric, parameters.choice(request, "by", run_charts.BY, "step"))
    path = "/runs/compare/chart/"
    made.url = charts.url(path, request, USED)
    if not request.GET.get("metric"):
        made.url += f"{'&' if '?' in made.url else '?'}{urlencode({'metric': metric})}"
    return made


def _chosen(request: HttpRequest) -> tuple[list[Run], list[str]]:
    """Return the runs of the address that are there, in its order, and a sentence for each that isn't."""
    names = [name for name in dict.fromkeys(request.GET.getlist("run")) if name]
    if len(names) > MOST_RUNS:
        raise Invalid(f"{len(names)} runs are chosen: expected at most {MOST_RUNS}", field="run")
    known = {run.uid: run for run in Run.objects.filter(uid__in=[name for name in names if "\x00" not in name])}
    notes = [f"There is no run {format_value(name)}: it is left out." for name in names if name not in known]
    return [known[name] for name in names if name in known], notes


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str], show: str) -> list[dict[str, Any]]:
    """Return a row for each column: its name, the value of each run, and whether they differ."""
    found = []
    for name in names:
        values = [row["values"][name] for row in rows]
        differs = len({repr(value) for value in values}) > 1
        if differs or show == ALL:
            found.append({"name": name, "values": values, "differs": differs})
    return found
