"""The page of a stream's cells: compositions with their errors, coverage, and the list of cells."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from server.cells import comparisons, learned_coverage
from server.cells.cell_errors import CellErrors
from server.cells.coverage import Coverage
from server.cells.models import Database
from server.core.errors import Invalid, TailraceError
from server.dashboard import cell_table, parameters
from server.dashboard.cell_parameters import chosen_model, query
from server.dashboard.rendering import caller_key, page
from server.learning.models import Model
from server.learning.records.columns import Unreadable
from server.streams.models import Stream

MOST_DATABASES = 200


def listed(request: HttpRequest, name: str) -> HttpResponse:
    """GET: compositions with errors by bond type, and the cells."""
    stream = parameters.find_stream(request, name)
    asked = cell_table.choice(request)
    models, model = chosen_model(request, stream)
    errors, trouble = _errors(model)
    rows, shown = cell_table.cells(stream, asked, errors)
    table = cell_table.compositions(stream, asked, errors)
    chosen = next((row for row in table["rows"] if row["composition"] == asked.composition), None)
    context: dict[str, Any] = {
        "stream": stream,
        "models": models,
        "model": model,
        "asked": asked,
        "errors": errors,
        "trouble": trouble,
        "cells": rows,
        "shown": shown,
        "table": table,
        "by_kind": sorted(chosen["of_kind"].items()) if chosen else [],
        "query": query(request, ("page",)),
        "sorts": {one: query(request, ("page", "sort"), sort=one) for one in cell_table.SORTS},
        "orders": {one: query(request, ("page", "order"), order=one) for one in cell_table.ORDERS},
        "plain": query(request, ("page", "composition", "show")),
        "databases": _databases(stream),
        "database": request.GET.get("database", ""),
        "coverage": _coverage(request, stream, model) if request.GET.get("show") == "coverage" else None,
    }
    return page(request, "cells", **context)


def coverage(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the covered share of each composition, for the script that loads it when it is scrolled to."""
    stream = parameters.find_stream(request, name)
    _, model = chosen_model(request, stream)
    return page(
        request,
        "cells_coverage",
        stream=stream,
        model=model,
        databases=_databases(stream),
        database=request.GET.get("database", ""),
        coverage=_coverage(request, stream, model),
    )


def _databases(stream: Stream) -> list[str]:
    return list(Database.objects.filter(stream=stream).order_by("name").values_list("name", flat=True)[:MOST_DATABASES])


def _errors(model: Model | None) -> tuple[CellErrors | None, str]:
    if model is None:
        return None, ""
    try:
        return CellErrors(model), ""
    except Unreadable as exc:
        return None, f"A part of the record can't be read: {exc}. The server makes it again from the log."


def _coverage(request: HttpRequest, stream: Stream, model: Model | None) -> dict[str, Any]:
    """Return composition to bond type to covered share, as a table, or ``trouble``."""
    if model is None:
        return {"trouble": "Coverage is that of a model, and this stream has no regression model."}
    name = request.GET.get("database", "")
    try:
        with comparisons.COMPUTING.held(caller_key(request)):
            if name:
                found = _tested(stream, model, name)
            else:
                shares = learned_coverage.by_composition(model, stream.head)
                found = {
                    composition: {kind: (share.share, share.compared) for kind, share in of_kind.items()}
                    for composition, of_kind in shares.items()
                }
    except Invalid:
        raise
    except TailraceError as exc:
        return {"trouble": exc.message}
    kinds = sorted({kind for of_kind in found.values() for kind in of_kind if kind})[: cell_table.MOST_KINDS]
    rows = [
        {"composition": composition, "all": of_kind.get(""), "columns": [(kind, of_kind.get(kind)) for kind in kinds]}
        for composition, of_kind in sorted(found.items())[: cell_table.MOST_COMPOSITIONS]
    ]
    return {"kinds": kinds, "rows": rows}


def _tested(stream: Stream, model: Model, name: str) -> dict[str, dict[str, tuple[float | None, int]]]:
    """Return the covered shares of a database's observations."""
    database = Database.objects.filter(stream=stream, name=name).first() if "\x00" not in name else None
    if database is None:
        raise Invalid(f"database is {name[:80]!r}: expected one of this stream", field="database")
    found: dict[str, dict[str, tuple[float | None, int]]] = {}
    for kind, row in Coverage(model.name, database).shown()["types"].items():
        for composition, own in row["compositions"].items():
            if own["tested"]:
                found.setdefault(composition, {})[kind] = (own["covered"], own["tested"])
    for of_kind in found.values():
        compared = sum(count for share, count in of_kind.values() if share is not None)
        covered = sum(share * count for share, count in of_kind.values() if share is not None)
        of_kind[""] = (covered / compared if compared else None, compared)
    return found
