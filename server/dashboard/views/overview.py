"""The overview: all streams and models at a glance, and how to begin where there are none."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from server.core.db.locks import to_unavailable
from server.core.validation import format_value
from server.dashboard import access, links, live
from server.dashboard.rendering import page
from server.learning import overview
from server.learning.models import Model
from server.learning.overview import Row

PAGE = 100
MOST_UNLEARNED = 20
LONGEST_SEARCH = 200

STATES = {
    "": "all",
    "attention": "need attention",
    Model.FAILED: "failed",
    Model.QUARANTINED: "in quarantine",
    overview.SKIPPING: "skip observations",
    overview.DRIFT: "drift",
    Model.BACKFILLING: "being backfilled",
    Model.REBUILDING: "being rebuilt",
    "late": "late",
    "silent": "silent",
    overview.NO_MODEL: "without a model",
    Model.READY: "ready",
}
"""States to filter by, in words."""

ATTENTION = frozenset({Model.FAILED, Model.QUARANTINED, overview.SKIPPING, overview.DRIFT, "silent"})

SORTS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "model": ("Model", lambda row: row.model),
    "stream": ("Stream", lambda row: row.stream),
    "state": ("State", lambda row: -_urgency(row) or None),
    "last": ("Last observation", lambda row: row.last_at),
    "n": ("Observations", lambda row: row.head),
    "error": ("Metric", lambda row: row.value),
    "rolling": ("Rolling", lambda row: row.rolling),
}
"""Columns to sort by: title and value. What has no value comes last."""


class Wanted(NamedTuple):
    """What the URL asks for."""

    q: str = ""
    state: str = ""
    sort: str = "model"
    number: str = "1"

    def query(self, **changes: str) -> str:
        """Return the query string of this with changes, without what is the default."""
        wanted, default = self._replace(**changes), Wanted()
        names = {"number": "page"}
        pairs = {
            names.get(k, k): v for k, v in wanted._asdict().items() if v != getattr(default, k) and v.lstrip("-") != ""
        }
        return f"?{urlencode(pairs)}" if pairs else "?"


def home(request: HttpRequest) -> HttpResponse:
    """GET /: the overview; for those who are not signed in, how to sign in."""
    shown: dict[str, Any] = {"server": request.get_host(), "scheme": request.scheme}
    try:
        if not access.may_read(request):
            return page(request, "welcome", **shown)
        wanted, wrong = _wanted(request)
        return page(request, "overview", 400 if wrong else 200, **shown, **_shown(request, wanted), mistakes=wrong)
    except (DatabaseError, InterfaceError) as exc:
        return page(request, "welcome", **shown, failed=to_unavailable(exc).message, caller=None)


def part(request: HttpRequest) -> HttpResponse:
    """GET /overview/: the table alone, for the script that refreshes it."""
    if not live.is_part(request):
        return HttpResponseRedirect(f"/?{request.GET.urlencode()}")
    shown = _shown(request, _wanted(request)[0])
    return live.unchanged(request, shown["version"]) or page(request, "overview_part", **shown)


def _wanted(request: HttpRequest) -> tuple[Wanted, dict[str, str]]:
    """Return what the URL asks for, with the default in place of what is wrong, and what is wrong."""
    given = request.GET
    wrong: dict[str, str] = {}
    q = given.get("q", "").replace("\x00", "").strip()
    if len(q) > LONGEST_SEARCH:
        wrong["q"] = f"the text to find has {len(q)} characters: expected at most {LONGEST_SEARCH}"
        q = ""
    state = given.get("state", "")
    if state not in STATES:
        wrong["state"] = f"state is {format_value(state)}: expected one of {', '.join(filter(None, STATES))}"
        state = ""
    sort = given.get("sort", "model") or "model"
    if sort.removeprefix("-") not in SORTS:
        wrong["sort"] = (
            f"sort is {format_value(sort)}: expected one of {', '.join(SORTS)}, with - before it for descending"
        )
        sort = "model"
    return Wanted(q, state, sort, given.get("page", "1")), wrong


def _shown(request: HttpRequest, wanted: Wanted) -> dict[str, Any]:
    rows = overview.rows(access.only_streams(request))
    streams = {row.stream_id: row for row in rows}
    found = [row for row in rows if _matches(row, wanted)]
    shown = Paginator(_sorted(found, wanted.sort), PAGE).get_page(wanted.number)
    page_rows = list(shown.object_list)
    rates = overview.rates({row.stream_id for row in page_rows})
    details = overview.details([row.model_id for row in page_rows if row.model_id is not None])
    lines = [
        {
            "row": row,
            "model": links.model(row.model or ""),
            "stream": links.stream(row.stream),
            "rate": rates.get(row.stream_id),
            "details": details.get(row.model_id or 0),
            "states": [(state, STATES[state], state in ATTENTION) for state in row.states],
            "drifts": overview.DRIFT in row.states,
        }
        for row in page_rows
    ]
    counts = Counter(state for row in rows for state in {*row.states, *_also(row)})
    totals = {
        "streams": len(streams),
        "models": sum(row.model is not None for row in rows),
        "observations": sum(row.head for row in streams.values()),
    }
    unlearned = [row for row in rows if overview.NO_MODEL in row.states]
    unlearned.sort(key=lambda row: row.created_at, reverse=True)
    return {
        "wanted": wanted,
        "filters": STATES,
        "query": wanted.query(),
        "lines": lines,
        "shown": shown,
        "totals": totals,
        "counts": [(state, words, counts[state]) for state, words in STATES.items() if state and counts[state]],
        "unlearned": [{"row": row, "link": links.stream(row.stream)} for row in unlearned[:MOST_UNLEARNED]],
        "more_unlearned": max(0, len(unlearned) - MOST_UNLEARNED),
        "headings": [_heading(name, wanted) for name in SORTS],
        "previous": wanted.query(number=str(shown.previous_page_number())) if shown.has_previous() else "",
        "next": wanted.query(number=str(shown.next_page_number())) if shown.has_next() else "",
        "all": wanted.query(q="", state="", number="1"),
        "version": live.version(wanted, shown.number, lines, totals, counts, unlearned[:MOST_UNLEARNED]),
    }


def _matches(row: Row, wanted: Wanted) -> bool:
    sought = wanted.q.casefold()
    if sought and sought not in row.stream.casefold() and sought not in (row.model or "").casefold():
        return False
    return not wanted.state or wanted.state in row.states or wanted.state in _also(row)


def _also(row: Row) -> set[str]:
    """Return the states to filter by that follow from those of the row."""
    found = {"attention"} if ATTENTION.intersection(row.states) else set()
    return {*found, Model.READY} if row.status == Model.READY else found


def _urgency(row: Row) -> int:
    """Return a larger number for what is more urgent; 0 if there is nothing to tell."""
    order = list(STATES)
    return max((len(order) - order.index(state) for state in row.states), default=0)


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    value = SORTS[sort.removeprefix("-")][1]
    valued = [row for row in rows if value(row) is not None]
    rest = [row for row in rows if value(row) is None]
    return [*sorted(valued, key=value, reverse=sort.startswith("-")), *rest]


def _heading(name: str, wanted: Wanted) -> dict[str, str]:
    """Return a column's title, the link that sorts by it, and how it is sorted now."""
    is_sorted = wanted.sort.removeprefix("-") == name
    descends = wanted.sort.startswith("-")
    return {
        "name": name,
        "title": SORTS[name][0],
        "link": wanted.query(sort=name if not is_sorted or descends else f"-{name}", number="1"),
        "sorted": ("descending" if descends else "ascending") if is_sorted else "",
    }
