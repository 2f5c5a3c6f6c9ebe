"""The page of one cell: its bonds in 3D and in tables, at any moment of a model."""

from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from server.cells import catalog, moments
from server.core.errors import Invalid, NotFound
from server.core.json_codec import dumps, loads
from server.dashboard import cell_rows, cell_scene, cell_table, parameters
from server.dashboard.cell_parameters import chosen_model, link, query
from server.dashboard.rendering import caller_key, page
from server.dashboard.shown_cell import BY, ShownCell, sentence

KEPT = ("model", "by", "view", "part", "n", "at", "bond", "atom")
"""Parameters of the page of a cell."""

SORTS = ("n", "length", "strength", "residual", "uncertainty")


def cell(request: HttpRequest, name: str, cell: str) -> HttpResponse:
    """GET: one cell."""
    shown = _shown(request, name, cell)
    bonds, stream = shown.bonds, shown.stream
    sort = parameters.choice(request, "sort", SORTS, "n")
    bond, atom = _selected_bond(request, shown), _selected_atom(request, shown)
    chosen = [] if bond is None else [bond - bonds.first]
    if atom is not None and bonds.placed is not None:
        chosen = np.flatnonzero((bonds.placed.i == atom - 1) | (bonds.placed.j == atom - 1)).tolist()
    coloring = shown.coloring(shown.by)
    said = sentence(shown, coloring)
    picture = ""
    if bonds.atoms is not None:
        marked = None if atom is None else atom - 1
        picture = cell_scene.Projection(bonds, shown.view).svg(
            coloring.bins(shown.values(shown.by)), said, chosen, coloring.is_signed, marked
        )
    return page(
        request,
        "cell",
        stream=stream,
        cell=shown.cell,
        shown=shown,
        provenance=loads(shown.cell.provenance),
        method=cell_table.method(loads(shown.cell.provenance)),
        coloring=coloring,
        has_values=bool(coloring.edges),
        picture=picture,
        sentence=said,
        elements=cell_scene.elements(bonds),
        rows=cell_rows.of_bonds(shown, sort, set(chosen)),
        atoms=cell_rows.of_atoms(shown, atom),
        atoms_left_out=max(0, (0 if bonds.atoms is None else len(bonds.atoms)) - cell_rows.MOST_ATOM_ROWS),
        bond=bond,
        atom=atom,
        details=None if bond is None else cell_rows.details(shown, bond, caller_key(request)),
        sort=sort,
        sorts={one: query(request, ("sort",), sort=one) for one in SORTS},
        kept=[(name, request.GET[name]) for name in KEPT if request.GET.get(name)],
        query=query(request, ("bond", "atom")),
        data=f"{link(stream.name, shown.cell.name)}data/?{query(request, ('bond', 'atom', 'sort', 'n', 'view'))}",
        path_of_cell=link(stream.name, shown.cell.name),
        most_replayed=moments.MOST_REPLAYED,
    )


def _shown(request: HttpRequest, name: str, cell: str) -> ShownCell:
    stream = parameters.find_stream(request, name)
    return ShownCell(request, stream, catalog.find(stream, cell))


def _selected_bond(request: HttpRequest, shown: ShownCell) -> int | None:
    bond = parameters.whole(request, "bond")
    if bond is not None and bond not in shown.bonds.numbers:
        raise Invalid(
            f"bond is {bond:,}: expected an observation from {shown.bonds.first:,} to {shown.bonds.last:,}, which are shown",
            field="bond",
        )
    return bond


def _selected_atom(request: HttpRequest, shown: ShownCell) -> int | None:
    atom = parameters.whole(request, "atom")
    size = 0 if shown.bonds.atoms is None else len(shown.bonds.atoms)
    if atom is not None and atom > size:
        raise Invalid(f"atom is {atom:,}: expected 1 to {size:,}, the atoms of this cell", field="atom")
    return atom


def bond(request: HttpRequest, name: str, cell: str, number: int) -> HttpResponse:
    """GET: the part of the page about one bond, for the script that shows it when it is selected."""
    shown = _shown(request, name, cell)
    if number not in shown.bonds.numbers:
        raise NotFound(f"cell {shown.cell.name} has no bond {number:,} among those that are shown")
    return page(
        request,
        "cell_bond",
        stream=shown.stream,
        shown=shown,
        details=cell_rows.details(shown, number, caller_key(request)),
    )


def data(request: HttpRequest, name: str, cell: str) -> HttpResponse:
    """GET: what the 3D view is made of, as JSON; with ``at``, the predictions as of that observation besides."""
    shown = _shown(request, name, cell)
    if shown.trouble and shown.at is not None:
        raise Invalid(shown.trouble, field="at")
    found: dict[str, Any] = {
        "first": shown.bonds.first,
        "at": shown.at,
        "prediction": cell_scene.listed(shown.prediction),
        "residual": cell_scene.listed(shown.values("residual")),
        "uncertainty": cell_scene.listed(shown.width),
        "edges": {by: shown.coloring(by).edges for by in BY},
    }
    if request.GET.get("only") != "values":
        found |= {
            "strength": cell_scene.listed(shown.bonds.label),
            "kinds": shown.bonds.kinds,
            "between": [cell_rows.between(shown.bonds, index) for index in range(len(shown.bonds))],
            "labels": {by: shown.coloring(by).label for by in BY},
            "scene": cell_scene.scene(shown.bonds),
        }
    return HttpResponse(dumps(found), content_type="application/json")


def download(request: HttpRequest, name: str, cell: str) -> HttpResponseBase:
    """GET: the structure as it was posted (``format=xyz``), or all bonds as CSV (``format=csv``)."""
    kind = parameters.choice(request, "format", ("xyz", "csv"), "xyz")
    stream = parameters.find_stream(request, name)
    found = catalog.find(stream, cell)
    if kind == "xyz":
        response: HttpResponseBase = HttpResponse(found.structure, content_type="chemical/x-xyz; charset=utf-8")
    else:
        _, model = chosen_model(request, stream)
        response = StreamingHttpResponse(cell_rows.table(stream, found, model), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{found.name}.{kind}"'
    return response
