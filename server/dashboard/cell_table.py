"""The list of a stream's cells, and its compositions, as the page of cells shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Substr
from django.http import HttpRequest

from server.cells.cell_bonds import MOST_BONDS
from server.cells.cell_errors import CellErrors
from server.cells.models import Cell
from server.cells.structure import atom_count
from server.core.json_codec import loads
from server.dashboard import parameters
from server.streams.models import Stream

PAGE = 50
MOST_COMPOSITIONS = 200
MOST_KINDS = 10
"""Most bond types that have a column of their own; the page of a composition shows all."""

LONGEST_METHOD = 80
SORTS = {
    "posted": ("-created_at", "-pk"),
    "name": ("name",),
    "composition": ("composition", "name"),
    "bonds": ("-bonds", "name"),
    "worst": (),
}
ORDERS = ("composition", "cells", "bonds", "error")
STATES = ("all", Cell.LABELED, Cell.FAILED)


@dataclass(frozen=True)
class Choice:
    """What the page's URL asks for."""

    q: str
    composition: str
    status: str
    sort: str
    order: str
    page: int

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.composition or self.status != "all")


def choice(request: HttpRequest) -> Choice:
    """Return what the URL asks for.

    Raises
    ------
    Invalid
        If a value is none of the possible ones.
    """
    return Choice(
        q=request.GET.get("q", "").strip()[:200],
        composition=request.GET.get("composition", "")[:100],
        status=parameters.choice(request, "status", STATES, "all"),
        sort=parameters.choice(request, "sort", SORTS, "posted"),
        order=parameters.choice(request, "order", ORDERS, "bonds"),
        page=parameters.whole(request, "page", most=10**6) or 1,
    )


def cells(stream: Stream, asked: Choice, errors: CellErrors | None) -> tuple[list[dict[str, Any]], Page[Any]]:
    """Return the rows of one page of the list, and the page."""
    found = _matching(stream, asked)
    if asked.sort == "worst":
        present = set(found.filter(status=Cell.LABELED).values_list("name", flat=True)) if errors else set()
        names = [name for name in (errors.worst_first if errors else []) if name in present]
        page: Page[Any] = Paginator(names, PAGE).get_page(asked.page)
        by_name = {row["name"]: row for row in _rows(found.filter(name__in=list(page)))}
        rows = [by_name[name] for name in page if name in by_name]
    else:
        if asked.sort == "bonds":
            found = found.annotate(bonds=F("last") - F("first"))
            order: tuple[Any, ...] = (F("bonds").desc(nulls_last=True), "name")
        else:
            order = SORTS[asked.sort]
        page = Paginator(found.order_by(*order), PAGE).get_page(asked.page)
        rows = _rows(found.filter(pk__in=[cell.pk for cell in page]).order_by(*order))
    for row in rows:
        worst = row["worst"] = errors.worst(row["name"]) if errors else None
        row["worst_part"] = 1 if worst is None else (worst.number - row["first"]) // MOST_BONDS + 1
    return rows, page


def _matching(stream: Stream, asked: Choice) -> QuerySet[Cell]:
    found = Cell.objects.filter(stream=stream).only("pk", "name", "first", "last")
    if "\x00" in asked.q + asked.composition:  # which no database stores
        return found.none()
    if asked.q:
        found = found.filter(Q(name__icontains=asked.q) | Q(composition__icontains=asked.q))
    if asked.composition:
        found = found.filter(composition=asked.composition)
    if asked.status != "all":
        found = found.filter(status=asked.status)
    return found


def _rows(found: QuerySet[Cell]) -> list[dict[str, Any]]:
    columns = ("name", "composition", "status", "reason", "first", "last", "provenance", "created_at", "created_by")
    rows = list(found.annotate(begin=Substr("structure", 1, 12)).values(*columns, "begin"))
    for row in rows:
        row["atoms"] = atom_count(row.pop("begin"))
        row["bonds"] = None if row["first"] is None else row["last"] - row["first"] + 1
        row["method"] = method(loads(row.pop("provenance")))
    return rows


def method(provenance: dict[str, Any]) -> str:
    """Return how a cell was calculated, from its provenance: code and method, where they are text."""
    said = [str(provenance[name]) for name in ("code", "method") if isinstance(provenance.get(name), str)]
    return ", ".join(said)[:LONGEST_METHOD]


def compositions(stream: Stream, asked: Choice, errors: CellErrors | None) -> dict[str, Any]:
    """Return the table of compositions.

    Returns
    -------
    dict
        ``kinds``: the bond types with columns; ``rows``: one for each composition; ``left_out``: how many compositions, and
        ``kinds_left_out``, how many types there are besides.
    """
    counted = (
        _matching(stream, asked)
        .order_by()
        .values("composition")
        .annotate(
            cells=Count("pk", filter=Q(status=Cell.LABELED)),
            failed=Count("pk", filter=Q(status=Cell.FAILED)),
            bonds=Sum(F("last") - F("first") + 1),
        )
    )
    by_composition = errors.by_composition() if errors else {}
    rows: list[dict[str, Any]] = []
    for counts in counted:
        of_kind = by_composition.get(counts["composition"], {})
        rows.append({**counts, "bonds": counts["bonds"] or 0, "of_kind": of_kind, "all": of_kind.get("")})
    keys: dict[str, Callable[[dict[str, Any]], tuple[Any, ...]]] = {
        "composition": lambda row: (row["composition"],),
        "cells": lambda row: (-row["cells"], row["composition"]),
        "bonds": lambda row: (-row["bonds"], row["composition"]),
        "error": lambda row: (-row["all"]["RMSE"] if row["all"] else 1.0, row["composition"]),
    }
    rows.sort(key=keys[asked.order])
    shown = rows[:MOST_COMPOSITIONS]
    sizes: dict[str, int] = {}
    for row in shown:
        for kind, own in row["of_kind"].items():
            sizes[kind] = sizes.get(kind, 0) + own["scored"]
    sizes.pop("", None)
    kinds = sorted(sizes, key=lambda kind: (-sizes[kind], kind))
    columns = kinds[:MOST_KINDS]
    for row in shown:
        row["columns"] = [(kind, row["of_kind"].get(kind)) for kind in columns]
    return {
        "kinds": columns,
        "rows": shown,
        "left_out": len(rows) - len(shown),
        "kinds_left_out": len(kinds) - len(columns),
    }
