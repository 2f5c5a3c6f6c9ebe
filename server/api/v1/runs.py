"""Views of the native API for runs: what they are, and what they log."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller
from server.api.codec import answer
from server.api.errors import request_id
from server.api.v1.token_checks import ServerWide
from server.api.v1.tracking_bodies import (
    SHA256_IN_PATH,
    UID_IN_PATH,
    DomainRecordListSerializer,
    HistoryQuery,
    LinesSerializer,
    MetricHistorySerializer,
    NewLinkSerializer,
    NewRunSerializer,
    NextLineSerializer,
    RecordsQuery,
    RunChangesSerializer,
    RunListSerializer,
    RunQuery,
    RunSearchSerializer,
    RunSerializer,
    TakenSerializer,
    WriterQuery,
)
from server.api.v1.view import created, operation
from server.core.errors import Invalid
from server.tracking import experiments, histories, lines, links, reading, runs
from server.tracking.filters import queries
from server.tracking.models import Run
from server.tracking.searches import RUNS


class OfRun(ServerWide):
    """Base of views of runs."""

    tag = "tracking"
    path = {"uid": UID_IN_PATH, "sha256": SHA256_IN_PATH}

    def own(self, request: Request, uid: str) -> Run:
        """Return the run if the caller may change it."""
        found = runs.find(uid)
        caller.check_owner(request._request, found)
        return found


def _lifecycle(asked: str) -> str | None:
    return None if asked == "all" else asked


def _page(
    request: Request,
    rows: QuerySet[Run],
    text: str,
    order: Sequence[str],
    columns: Sequence[str] | None,
    asked: dict[str, Any],
) -> HttpResponse:
    rows = queries.filtered(rows, RUNS, text)
    with reading.room(asked["limit"], caller.key(request._request)):
        found = reading.page(
            rows,
            reading.Columns(columns),
            limit=asked["limit"],
            after=asked["after"],
            order=partial(queries.ordered, searchable=RUNS, texts=order, field="order") if order else None,
            key=caller.key(request._request),
        )
        return answer({"runs": found.runs, "next": found.next})


class Runs(OfRun):
    """All runs."""

    @operation("listExperimentRuns", answers={200: RunListSerializer}, query=RunQuery, errors=(404, 503))
    def get(self, request: Request) -> HttpResponse:
        """List runs with all that they logged, those that started last first."""
        asked = self.query
        experiment, status = asked["experiment"], asked["status"]
        kind, name = asked["linked_kind"], asked["linked_name"]
        if (kind is None) != (name is None):
            raise Invalid("linked_kind and linked_name belong together: give both", field="linked_kind")
        rows = reading.selected(
            experiments=None if experiment is None else [experiments.by_name(experiment).pk],
            statuses=None if status is None else [status],
            name=asked["name"],
            parent=asked["parent"],
            created_by=asked["created_by"],
            linked=None if kind is None else (kind, name),
            lifecycle=_lifecycle(asked["lifecycle"]),
        )
        order = () if asked["order"] is None else (asked["order"],)
        return _page(request, rows, asked["filter"] or "", order, None, asked)

    @operation("createRun", NewRunSerializer, answers={201: RunSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Create a run with an identifier that the server chooses. PUT creates one that can be sent twice."""
        asked = self.body(request)
        made_by = caller.made_by(request._request)
        experiment = experiments.get_or_create(asked.pop("experiment"), **made_by)
        made = runs.create(experiment, **asked, **made_by, owner=caller.owner(request._request))
        return created(reading.described(made), f"/api/v1/runs/{made.uid}/")


class RunSearch(OfRun):
    """Searching runs."""

    @operation("searchRuns", RunSearchSerializer, answers={200: RunListSerializer}, errors=(404, 503))
    def post(self, request: Request) -> HttpResponse:
        """List runs with the columns that are asked for: up to 10,000 in one answer."""
        asked = self.body(request)
        names = asked.get("experiments")
        rows = reading.selected(
            experiments=None if names is None else [experiments.by_name(name).pk for name in names],
            statuses=asked.get("statuses"),
            name=asked.get("name"),
            parent=asked.get("parent"),
            created_by=asked.get("created_by"),
            lifecycle=_lifecycle(asked["lifecycle"]),
        )
        return _page(request, rows, asked["filter"], asked["order"], asked["columns"], asked)


class OneRun(OfRun):
    """One run."""

    @operation("getRun", answers={200: RunSerializer})
    def get(self, request: Request, uid: str) -> Response:
        """Show a run with all that it logged but the points of its metrics, also a deleted one."""
        return Response(reading.described(runs.find(uid)))

    @operation("putRun", NewRunSerializer, answers={200: RunSerializer, 201: RunSerializer}, errors=(409,))
    def put(self, request: Request, uid: str) -> Response:
        """Create a run with an identifier of your choice, or find it: repeated, nothing changes.

        The experiment is created if it is missing. A run of another experiment is refused (409).
        """
        asked = self.body(request)
        experiment = asked.pop("experiment")
        made_by, owner = caller.made_by(request._request), caller.owner(request._request)
        found, is_new = runs.put(uid, experiment, **asked, **made_by, owner=owner)
        if not is_new:
            caller.check_owner(request._request, found)
        return Response(reading.described(found), status=201 if is_new else 200)

    @operation("changeRun", RunChangesSerializer, answers={200: RunSerializer}, errors=(409,))
    def patch(self, request: Request, uid: str) -> Response:
        """Change the name, the status or tags of a run, or add params."""
        self.own(request, uid)
        return Response(reading.described(runs.change(uid, self.body(request))))

    @operation("deleteRun", answers={204: None})
    def delete(self, request: Request, uid: str) -> Response:
        """Delete a run. It can be restored until it is removed for good.

        `TAILRACE_RUN_RETENTION_DAYS` says when that is.
        """
        runs.delete(self.own(request, uid).uid)
        return Response(status=204)


class RestoreRun(OfRun):
    """Restoring a run."""

    @operation("restoreRun", answers={200: RunSerializer}, errors=(409,))
    def post(self, request: Request, uid: str) -> Response:
        """Restore a deleted run."""
        runs.restore(self.own(request, uid).uid)
        return Response(reading.described(runs.find(uid)))


class Links(OfRun):
    """Links of a run."""

    @operation("linkRun", NewLinkSerializer, answers={200: RunSerializer}, errors=(409,))
    def post(self, request: Request, uid: str) -> Response:
        """Link a run to a model, stream, calculation or cell of this server. Repeated, nothing changes."""
        run, asked = self.own(request, uid), self.body(request)
        links.link(run.uid, asked["to"], asked["name"], asked["at"])
        return Response(reading.described(run))


class Lines(OfRun):
    """Numbered lines of a spool."""

    @operation("getNextLine", answers={200: NextLineSerializer}, query=WriterQuery)
    def get(self, request: Request, uid: str) -> Response:
        """Show how far the lines of a spool file have arrived: the number of its next line."""
        return Response({"next": lines.next_line(self.own(request, uid), self.query["writer"])})

    @operation("sendLines", LinesSerializer, answers={200: TakenSerializer}, errors=(409,))
    def post(self, request: Request, uid: str) -> Response:
        """Send numbered lines of a spool: metrics, params, tags, records of a domain, links, artifacts and the status.

        All of them are stored, or none. Lines that arrived before are ignored. Where the first one is not the next, the
        answer (409) says which is, in `next`. What can't be stored of a line is told in `refused`; the others are stored.
        """
        run, asked = self.own(request, uid), self.body(request)
        asked_by = caller.owner(request._request)
        try:
            taken = lines.take(run.uid, asked["writer"], asked["first"], asked["lines"], asked_by)
        except lines.Gap as exc:
            return _conflict(request, exc, {"next": exc.next})
        return Response(taken._asdict())


def _conflict(request: Request, exc: Any, more: dict[str, Any]) -> Response:
    shown = {"code": exc.code, "message": exc.message, "field": exc.field, "request_id": request_id(request._request)}
    return Response({"error": shown, **more}, status=409)


class History(OfRun):
    """The history of a metric."""

    @operation("getMetricHistory", answers={200: MetricHistorySerializer}, query=HistoryQuery)
    def get(self, request: Request, uid: str) -> Response:
        """Show the points of a metric by step, or, with `bins`, as few parts as a chart shows, which keep the extremes."""
        asked = self.query
        metric = histories.series(runs.find(uid), asked["key"])
        if asked["bins"] is not None:
            return Response(
                {"key": metric.key, "bins": [one._asdict() for one in histories.bins(metric, asked["bins"])]}
            )
        page = histories.page(metric, asked["limit"], asked["after"])
        points = [{"step": step, "time_ms": time, "value": value} for step, time, value in page.points]
        return Response({"key": metric.key, "points": points, "next": page.next})


class Records(OfRun):
    """Records of domains."""

    @operation("listDomainRecords", answers={200: DomainRecordListSerializer}, query=RecordsQuery)
    def get(self, request: Request, uid: str) -> Response:
        """List records of domains, such as of a neural operator, in the order in which they arrived."""
        return Response({"records": reading.domains(runs.find(uid), self.query["limit"], self.query["after"])})
