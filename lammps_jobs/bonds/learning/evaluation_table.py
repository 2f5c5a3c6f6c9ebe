"""Printed table of an evaluation: errors of the recipe, of batch regression and in the paper."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from lammps_jobs.bonds.learning.evaluation import PAPER, TypeResult

__all__ = ["show"]


def show(results: Mapping[str, TypeResult], recipe: str, protocol: str, learned: int) -> None:
    """Print the table, with one line for each type of bond.

    Parameters
    ----------
    results
        Results by type.
    recipe
        Name of the recipe.
    protocol
        ``cell`` or ``split``: which errors of the paper are shown.
    learned
        Number of learned bonds of all types.
    """
    table = Table(title=f"RMSE of -ICOHP in eV, {learned} bonds learned", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("bond")
    for name in ("learned", "tested", recipe, "batch GPR", f"{recipe} / batch", f"paper, {protocol}", "coverage"):
        table.add_column(name, justify="right")
    for kind, one in results.items():
        paper = PAPER[protocol].get(kind)
        batch = one.rmse_batch
        table.add_row(
            kind,
            f"{one.learned}",
            f"{len(one.strength)}",
            f"{one.rmse:.4f}",
            "" if batch is None else f"{batch:.4f}",
            "" if not batch else f"{one.rmse / batch:.3f}",
            "" if paper is None else f"{paper:.4f}",
            "" if one.coverage is None else f"{100 * one.coverage:.1f} %",
        )
    Console(width=None if Console().is_terminal else 110).print(table)
