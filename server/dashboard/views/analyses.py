"""The page of analyses: those that programs offer, and what the newest ones found."""

from urllib.parse import quote, urlencode

from django.http import HttpRequest, HttpResponse

from server.calculations import analyses, programs
from server.dashboard import parameters
from server.dashboard.rendering import page
from server.dashboard.views.calculations import check_reach

SHORT = 300
"""Characters of a report that are shown. The page of its calculation has all."""


def listed(request: HttpRequest) -> HttpResponse:
    """GET: analyses of all programs, and their newest results."""
    check_reach(request)
    name = request.GET.get("analysis", "").strip()[:200] or None
    found, before = analyses.page(name, parameters.whole(request, "before"))
    for one in found:
        one["anchor"] = quote(one["step"])
        one["short"] = one["report"] if len(one["report"]) <= SHORT else f"{one['report'][:SHORT]} …"
    offered = [
        {**one, "program": program["name"], "clusters": [cluster["name"] for cluster in program["clusters"]]}
        for program in programs.merged()
        for one in program["analyses"]
    ]
    older = {"analysis": name or "", "before": before}
    return page(
        request,
        "analyses",
        offered=offered,
        found=found,
        name=name or "",
        names=sorted({one["name"] for one in offered}),
        older="" if before is None else f"?{urlencode({key: value for key, value in older.items() if value})}",
    )
