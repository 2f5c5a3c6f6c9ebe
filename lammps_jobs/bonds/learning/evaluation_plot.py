"""Plot of an evaluation: predicted against calculated strengths, one panel for each type of bond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tailrace.optional_dependencies import require
from tailrace.pictures.figures import COLOURS, FAINT, INK, Picture

from lammps_jobs.bonds.learning.evaluation import ORDER, TypeResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

GRID = "#e4e4e4"
COLUMNS = 3


def draw(results: Mapping[str, TypeResult], recipe: str) -> Picture:
    """Draw six panels, or more if there are more types. The panel of a type that was not tested is empty.

    Parameters
    ----------
    results
        Results by type of bond.
    recipe
        Name of the recipe.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    kinds = [*ORDER, *(kind for kind in results if kind not in ORDER)]
    rows = -(-len(kinds) // COLUMNS)
    figure = require("matplotlib", "matplotlib.figure").Figure(figsize=(11.0, 3.8 * rows), layout="constrained")
    for axes, kind in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, kinds, strict=False):
        _panel(axes, kind, results.get(kind), recipe)
    figure.supxlabel("calculated -ICOHP / eV", color=INK)
    figure.supylabel("predicted -ICOHP / eV", color=INK)
    return Picture(figure, f"predicted by calculated bond strengths, {recipe}")


def _panel(axes: Axes, kind: str, one: TypeResult | None, recipe: str) -> None:
    axes.set_title(kind, loc="left", weight="bold", color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_aspect("equal", adjustable="box")
    if one is None:
        axes.text(0.5, 0.5, "not among the tested bonds", transform=axes.transAxes, ha="center", color=FAINT)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    longest = 1.05 * float(max(one.strength.max(), one.predicted.max(), 0.1))
    axes.plot([0, longest], [0, longest], color=FAINT, linewidth=1, zorder=2)
    lines = [f"{recipe}: RMSE {one.rmse:.4f}"]
    if one.batch is not None:
        axes.scatter(one.strength, one.batch, s=16, facecolors="none", edgecolors=COLOURS[4], linewidths=0.8, zorder=3)
        lines.append(f"batch GPR: {one.rmse_batch:.4f}")
    axes.scatter(one.strength, one.predicted, s=7, color=COLOURS[0], linewidths=0, zorder=4)
    for number, (line, colour) in enumerate(zip(lines, (COLOURS[0], COLOURS[4]), strict=False)):
        axes.text(0.04, 0.94 - 0.08 * number, line, transform=axes.transAxes, color=colour, va="top", size=9)
    axes.text(0.96, 0.04, f"{len(one.strength)} bonds", transform=axes.transAxes, ha="right", color=INK, size=9)
    axes.set_xlim(0, longest)
    axes.set_ylim(min(0.0, 1.05 * float(one.predicted.min())), longest)
