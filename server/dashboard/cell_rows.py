"""Rows about the bonds and atoms of one cell: for the tables of its page, for a selected bond, and as CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from server.cells import cell_bonds, comparisons, learned_coverage
from server.cells.cell_bonds import MOST_BONDS, CellBonds
from server.cells.models import Cell
from server.core.errors import TailraceError
from server.dashboard.shown_cell import ShownCell
from server.learning.models import Model
from server.learning.records import reading
from server.learning.records.columns import Unreadable
from server.streams.models import Stream

MOST_ATOM_ROWS = 500


def of_bonds(shown: ShownCell, sort: str, chosen: set[int]) -> list[dict[str, Any]]:
    bonds = shown.bonds
    columns = {
        "length": bonds.length,
        "label": bonds.label,
        "prediction": shown.values("prediction"),
        "residual": shown.values("residual"),
        "width": shown.values("uncertainty"),
    }
    lists = {name: reading.listed(values) for name, values in columns.items()}
    rows: list[dict[str, Any]] = [
        {
            "n": bonds.first + index,
            "kind": kind,
            "between": between(bonds, index),
            "is_certain": bonds.placed is None or bool(bonds.placed.is_certain[index]) or bonds.placed.i[index] < 0,
            "retracted": bonds.first + index in bonds.retracted,
            "chosen": index in chosen,
            **{name: values[index] for name, values in lists.items()},
        }
        for index, kind in enumerate(bonds.kinds)
    ]
    key = {"length": "length", "strength": "label", "residual": "residual", "uncertainty": "width"}.get(sort)
    if key is not None:
        sign = 1 if sort == "length" else -1
        rows.sort(key=lambda row: (row[key] is None, sign * abs(row[key]) if row[key] is not None else 0.0))
    return rows


def between(bonds: CellBonds, index: int) -> str:
    """Return the atoms of a bond, such as ``Zr12–Cu40``; with the lattice vectors to the second one's image."""
    if bonds.placed is None or bonds.atoms is None or bonds.placed.i[index] < 0:
        return ""
    i, j = int(bonds.placed.i[index]), int(bonds.placed.j[index])
    shift = bonds.placed.shift[index].tolist()
    there = f" ({', '.join(f'{one:+d}' if one else '0' for one in shift)})" if any(shift) else ""
    return f"{bonds.atoms.elements[i]}{i + 1}–{bonds.atoms.elements[j]}{j + 1}{there}"


def of_atoms(shown: ShownCell, chosen: int | None) -> list[dict[str, Any]]:
    bonds = shown.bonds
    if bonds.atoms is None or bonds.placed is None:
        return []
    size = len(bonds.atoms)
    there = bonds.placed.i >= 0
    ends = np.concatenate((bonds.placed.i[there], bonds.placed.j[there]))
    count = np.bincount(ends, minlength=size)
    label = np.nan_to_num(bonds.label[there])
    strength = np.bincount(ends, np.concatenate((label, label)), size)
    residual = np.abs(shown.values("residual"))[there]
    worst = np.full(size, np.nan)
    np.fmax.at(worst, ends, np.concatenate((residual, residual)))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = reading.listed(strength / count)
    worsts = reading.listed(worst)
    return [
        {
            "number": one + 1,
            "element": bonds.atoms.elements[one],
            "position": bonds.atoms.positions[one].tolist(),
            "bonds": int(count[one]),
            "strength": means[one],
            "worst": worsts[one],
            "chosen": chosen == one + 1,
        }
        for one in range(min(size, MOST_ATOM_ROWS))
    ]


def details(shown: ShownCell, bond: int, key: int | None) -> dict[str, Any]:
    """Return what is said of a selected bond: its values, its interval, and the nearest learned bonds."""
    bonds, model = shown.bonds, shown.model
    index = bond - bonds.first
    value = {
        name: reading.listed(getattr(bonds, name)[index : index + 1])[0]
        for name in ("label", "prediction", "lower", "upper", "length", "residual")
    }
    found: dict[str, Any] = {
        "n": bond,
        "kind": bonds.kinds[index],
        "between": between(bonds, index),
        "retracted": bond in bonds.retracted,
        "at": shown.at,
        **value,
    }
    if shown.at is not None:
        found["then"] = {
            "prediction": reading.listed(shown.prediction[index : index + 1])[0],
            "residual": reading.listed(shown.values("residual")[index : index + 1])[0],
            "width": reading.listed(shown.width[index : index + 1])[0],
            "has_learned": bond <= shown.at,
        }
    x = bonds.xs[index]
    if model is not None and x is not None:
        upto = bond - 1 if shown.at is None else shown.at
        since = max(model.since, shown.stream.whole_after)
        try:
            with comparisons.COMPUTING.held(key):
                found["neighbours"] = learned_coverage.nearest(
                    shown.stream, since, upto, bonds.kinds[index], shown.cell.family or shown.cell.name, x
                )
        except TailraceError as exc:
            found["trouble"] = exc.message
    return found


def table(stream: Stream, found: Cell, model: Model | None) -> Iterator[str]:
    """Yield the CSV of a cell's bonds."""
    heads = ("atom 1", "atom 2", "a", "b", "c", "length (Å)", "label", "prediction", "residual", "lower", "upper")
    yield _line(["observation", "type", *heads, "retracted"])
    for first in range(found.first or 1, (found.last or 0) + 1, MOST_BONDS):
        bonds = cell_bonds.read(stream, found, first, min(found.last or 0, first + MOST_BONDS - 1))
        if model is not None:
            try:
                cell_bonds.add_record(bonds, model)
            except Unreadable:
                pass  # the columns stay empty, and the page says why
        columns = [
            reading.listed(values)
            for values in (bonds.length, bonds.label, bonds.prediction, bonds.residual, bonds.lower, bonds.upper)
        ]
        lines = []
        for index, kind in enumerate(bonds.kinds):
            ends: list[Any] = [None] * 5
            if bonds.placed is not None and bonds.placed.i[index] >= 0:
                ends = [bonds.placed.i[index] + 1, bonds.placed.j[index] + 1, *bonds.placed.shift[index].tolist()]
            values = [column[index] for column in columns]
            lines.append(_line([first + index, kind, *ends, *values, first + index in bonds.retracted]))
        yield "".join(lines)


def _line(values: list[Any]) -> str:
    text = io.StringIO()
    safe = [f"'{one}" if isinstance(one, str) and one[:1] in "=+-@\t\r" and one else one for one in values]
    csv.writer(text).writerow(["" if one is None else one for one in safe])
    return text.getvalue()
