"""Tables and plots of what an evaluation found, by its kind."""

from collections.abc import Mapping
from typing import Any

from django.utils.safestring import SafeString

from server.dashboard.plots import Plot, Point

ALL = "all types"
"""How the row of all bond types together is called."""


def tables(result: Mapping[str, Any]) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    """Return tables: a title, and a row by bond type. Across compositions and coverage have one for each composition."""
    if "compositions" in result:
        return [(name, _named(rows)) for name, rows in result["compositions"].items()]
    if "points" in result:
        last = result["points"][-1]
        rows = {kind: row | {"next": result["next"].get(kind)} for kind, row in last["types"].items()}
        return [(f"With {last['families']} families learned", _named(rows))]
    return [("", _named(result["types"]))]


def _named(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {kind or ALL: row for kind, row in rows.items()}


def plots(kind: str, result: Mapping[str, Any]) -> list[tuple[str, SafeString]]:
    """Return a title and a plot for each bond type that can be drawn."""
    if "points" in result:
        return [(name or ALL, _curve(name, result["points"])) for name in result["points"][-1]["types"]]
    return [(name, _parity(name, pairs)) for name, pairs in result.get("parity", {}).items() if pairs]


def _curve(kind: str, points: list[dict[str, Any]]) -> SafeString:
    shown = [
        Point(one["families"], row["rmse"], row["low"], row["high"], f"{one['families']} families: {row['rmse']} eV")
        for one in points
        if (row := one["types"].get(kind)) is not None and row["rmse"] is not None
    ]
    title = f"RMSE of {kind or ALL} against families learned; the last point is in the table"
    return Plot(title, "families learned", "RMSE, eV", [(kind, shown)], from_zero=True).svg()


def _parity(kind: str, pairs: list[list[float]]) -> SafeString:
    shown = [Point(label, predicted, title=f"label {label}, predicted {predicted} eV") for label, predicted in pairs]
    title = f"Predicted against labeled strengths of {kind}, {len(pairs)} bonds"
    return Plot(title, "label, eV", "predicted, eV", [(kind, shown)], joined=False, diagonal=True).svg()
