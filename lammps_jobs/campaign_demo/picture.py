"""A picture of a campaign: RMSE by bond type against node-minutes, with its intervals, its target and what each round did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw"]

COLOURS = ("#0b6e4f", "#c1440e", "#2b5c9e", "#8a6d00")
MARKS = "osD^"


def draw(path: Path, title: str, rounds: Sequence[Any], targets: dict[str, float]) -> None:
    """Write a PNG file with a panel for each bond type, and a line in it for each composition.

    Parameters
    ----------
    rounds
        Rounds of the campaign's history.
    targets
        Bond type to the RMSE to reach, eV.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(targets), 4.0), layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    spent = _spent(rounds)
    compositions = list(dict.fromkeys(row["composition"] for one in rounds for row in one["types"]))
    for panel, (kind, target) in zip(panels, sorted(targets.items()), strict=True):
        for place, composition in enumerate(compositions):
            known = _known(spent, rounds, kind, composition)
            if known:
                _line(panel, known, composition, place)
        panel.axhline(target, color="black", ls="--", lw=1, zorder=0)
        panel.annotate(
            f"target {target:g} eV", (0.99, target), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )  # fmt: skip
        panel.set(title=kind, xlabel="node-minutes", xlim=(0, 1.06 * max(spent, default=1.0)))
        for when, one in zip(spent, rounds, strict=True):
            panel.annotate(
                f"{one['round']} {one['action']}", (when, 0.99), xycoords=("data", "axes fraction"), rotation=90,
                ha="right", va="top", fontsize=7, color="#666666",
            )  # fmt: skip
    panels[0].set_ylabel("RMSE (eV), 90 % interval")
    if compositions:
        low, high = panels[0].get_ylim()
        panels[0].set_ylim(low, high + 0.25 * (high - low))  # room for the rounds' names
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _spent(rounds: Sequence[Any]) -> list[float]:
    """Return the node-minutes spent at the end of each round."""
    found, sum_ = [], 0.0
    for one in rounds:
        sum_ += 60 * one["node_hours"]
        found.append(sum_)
    return found


def _known(spent: Sequence[float], rounds: Sequence[Any], kind: str, composition: str) -> list[tuple[float, Any]]:
    return [
        (when, row)
        for when, one in zip(spent, rounds, strict=True)
        for row in one["types"]
        if (row["type"], row["composition"]) == (kind, composition) and row["rmse"] is not None
    ]


def _line(panel: Any, known: Sequence[tuple[float, Any]], composition: str, place: int) -> None:
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
    times = [when for when, _ in known]
    panel.plot(times, [row["rmse"] for _, row in known], mark, ls="-", lw=1, color=colour, label=composition)
    for when, row in known:
        if row["low"] is not None and row["high"] is not None:
            panel.vlines(when, row["low"], row["high"], color=colour, alpha=0.6)
