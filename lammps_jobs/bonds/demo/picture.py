"""The picture of the demo: errors on held-out bonds and prequential errors, by the number of learned cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tailrace.optional_dependencies import require
from tailrace.pictures.figures import COLOURS, FAINT, INK, Picture, label_ends

from lammps_jobs.bonds.demo.errors import ALL, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

GRID = "#e4e4e4"
# Models differ in colour and in line style, for readers who can't tell the colours apart.
LINES = {"bond-gpr": (COLOURS[2], 2.6, "-"), "bond-distance": (COLOURS[0], 1.7, "--"), "bond-forest": (COLOURS[4], 1.7, "-.")}  # fmt: skip


def draw(held_out: Curves, prequential: Curves, cells: str) -> Picture:
    """Draw a column for each type of bond: at the top the error on the held-out bonds, below it the prequential error.

    Parameters
    ----------
    held_out, prequential
        RMSE after each cell.
    cells
        Description of the held-out cells.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    kinds = [kind for kind in held_out.bonds if kind != ALL]
    size = (1.2 + 4.4 * len(kinds), 8.0)
    figure = require("matplotlib", "matplotlib.figure").Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(wspace=0.06, hspace=0.06)
    grid = figure.subplots(2, len(kinds), squeeze=False, sharex=True, sharey="col")
    for row, (curves, what) in enumerate(((held_out, "held out"), (prequential, "predicted, then learned"))):
        for axes, kind in zip(grid[row], kinds, strict=True):
            _plain(axes)
            axes.set_title(
                f"{kind}, {curves.bonds.get(kind, 0):,} bonds {what}", loc="left", color=INK, weight="bold", size=10
            )
            _lines(axes, curves, kind)
    for axes in grid[1]:
        axes.set_xlabel("cells learned")
    for axes in grid[:, 0]:
        axes.set_ylabel("RMSE of -ICOHP (eV)")
    figure.suptitle(
        f"Bond strengths learned cell by cell. Above: {cells}, never learned. Below: each cell's own bonds, "
        "each predicted before it was learned.",
        x=0.012, ha="left", color=INK, size=11,
    )  # fmt: skip
    figure.draw_without_rendering()
    for row, curves in enumerate((held_out, prequential)):
        for axes, kind in zip(grid[row], kinds, strict=True):
            _ends(axes, curves, kind)
    return Picture(figure, "errors on bonds, falling cell by cell")


def _lines(axes: Axes, curves: Curves, kind: str) -> None:
    for recipe, by_type in curves.errors.items():
        errors = by_type.get(kind, [])
        axes.set_xlim(0.5, max(2, len(errors)) + 0.5)
        colour, width, style = LINES.get(recipe, (INK, 1.7, "-"))
        marker = "o" if len(errors) < 40 else ""
        axes.plot(
            range(1, len(errors) + 1), errors, color=colour, linewidth=width, linestyle=style, marker=marker, markersize=3.5
        )  # fmt: skip


def _ends(axes: Axes, curves: Curves, kind: str) -> None:
    ends = []
    for recipe, by_type in curves.errors.items():
        known = [error for error in by_type.get(kind, []) if math.isfinite(error) and error > 0]
        if known:
            ends.append((known[-1], recipe, LINES.get(recipe, (INK, 0.0, ""))[0]))
    label_ends(axes, ends, lambda error: f"{error:.3f}")


def _plain(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, which="both", length=3, labelleft=True, labelbottom=True)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
