"""Pictures of campaigns: error against cost for each bond type, and the map of compositions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from django.utils.safestring import SafeString

from server.campaigns import formulas
from server.dashboard import formatting
from server.dashboard.plots import Plot, Point
from server.dashboard.ternary_map import Corner, triangle

TONES = {"good": "good", "high": "bad", "unknown": "quiet"}
"""How a verdict about a bond type is shown."""

STATES = {
    "active": "busy", "paused": "bad", "finished": "good", "stopped": "quiet", "proposed": "busy", "approved": "good",
    "rejected": "bad", "superseded": "quiet", "SCHEDULED": "", "RUNNING": "busy", "DONE": "good", "FAILED": "bad",
}  # fmt: skip
"""How the states of campaigns, decisions and runs are shown."""

MOST_ROUNDS = 200


def errors(history: Sequence[dict[str, Any]], targets: dict[str, float]) -> list[tuple[str, SafeString]]:
    """Return bond type and plot of its RMSE with interval against the calculations so far, a series for each composition."""
    found: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    done = 0
    for one in history[-MOST_ROUNDS:]:
        done += one["calculations"]
        for status in one["types"]:
            if status["rmse"] is not None:
                title = f"{status['composition']}, round {one['round']}: {formatting.number(status['rmse'])} eV"
                point = Point(done, status["rmse"], status["low"], status["high"], title)
                found[status["type"]][status["composition"]].append(point)
    plots = []
    for kind in sorted(found):
        target = targets.get(kind)
        plot = Plot(
            f"RMSE of {kind} against calculations; the table of rounds has the same",
            "calculations", "RMSE, eV", sorted(found[kind].items()), from_zero=True,
            level=None if target is None else (target, f"target: {formatting.number(target)} eV"),
        )  # fmt: skip
        plots.append((kind, plot.svg()))
    return plots


def map_of(compositions: Sequence[dict[str, Any]], types: Sequence[dict[str, Any]] = ()) -> SafeString:
    """Return a ternary map of the compositions; empty if no three elements hold at least two of them.

    Parameters
    ----------
    compositions
        As the API shows them.
    types
        Bond types as the API shows them. A composition is marked by the worst verdict of its types.
    """
    shares = {one["name"]: formulas.parse(one["name"]).shares for one in compositions}
    weight: dict[str, float] = defaultdict(float)
    for parts in shares.values():
        for element, amount in parts.items():
            weight[element] += amount
    if len(weight) < 3:
        return SafeString("")
    elements = sorted(sorted(weight), key=lambda element: -weight[element])[:3]
    inside = [one for one in compositions if set(shares[one["name"]]) <= set(elements)]
    if len(inside) < 2:
        return SafeString("")
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for status in types:
        by_name[status["composition"]].append(status)
    corners = []
    for one in inside:
        own = by_name[one["name"]]
        verdicts = {status["verdict"] for status in own}
        worst = next((verdict for verdict in ("high", "unknown", "good") if verdict in verdicts), "")
        cells = one["counts"]["cells"] + one["counts"]["deformations"]
        tone = TONES.get(worst, "plain" if cells else "quiet")
        share = shares[one["name"]]
        corners.append(
            Corner(
                one["name"], (share.get(elements[0], 0.0), share.get(elements[1], 0.0), share.get(elements[2], 0.0)),
                tone, 5.0 + min(cells, 400) ** 0.5 * 0.6, _title(one["name"], cells, own),
                f"/compositions/{quote(one['name'])}/",
            )
        )  # fmt: skip
    return triangle((elements[0], elements[1], elements[2]), corners)


def _title(name: str, cells: int, types: Sequence[dict[str, Any]]) -> str:
    parts = [f"{name}: {cells} labeled cells"]
    for status in types:
        error = "error not known" if status["rmse"] is None else f"{formatting.number(status['rmse'])} eV"
        covered = "" if status["covered"] is None else f", {100 * status['covered']:.0f} % covered"
        parts.append(f"{status['type']} {error}{covered}")
    return "; ".join(parts)
