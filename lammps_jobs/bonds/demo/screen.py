"""Output of the demo of bond strengths: notes, the table of errors, commands to continue with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from lammps_jobs.bonds.demo.cells import WantedCell
from lammps_jobs.bonds.demo.errors import ALL, Curves
from lammps_jobs.bonds.demo.plan import BondsPlan, Directory
from lammps_jobs.bonds.generation.deformations import DEFORMATIONS
from lammps_jobs.bonds.learning.structure_prediction import Prediction
from lammps_jobs.demo_support.screen import DemoScreen, number, result_table

__all__ = ["BondsScreen", "shown_after"]

OURS = "bond-gpr"


class BondsScreen(DemoScreen):
    """The screen of the demo of bond strengths."""

    def plans(self, plan: BondsPlan) -> None:
        further = f" and {plan.deformations} of {len(DEFORMATIONS)} deformations of each" if plan.deformations else ""
        self.note(
            f"{plan.glasses} {'glass' if plan.glasses == 1 else 'glasses'} of {plan.atoms} atoms, Cu50Zr50{further} "
            f"to learn from; another glass is held out; one of {plan.large:,} atoms is predicted at the end."
        )

    def skipped(self, cells: Sequence[WantedCell]) -> None:
        """Print which cells are not used, and why."""
        for cell in cells:
            if (reason := cell.skipped) is not None:
                self.note(f"  skipped {cell.name} ({cell.what or 'not deformed'}): {reason}")

    def errors(self, curves: Curves, prequential: Curves, spread: dict[str, float]) -> None:
        """Print a table of RMSE: on the held-out bonds after some cells, prequential, and of the other models.

        Parameters
        ----------
        curves
            Errors on the held-out bonds.
        prequential
            Errors on each cell's own bonds.
        spread
            Standard deviation of the held-out bonds by type. A model that always predicts their mean has this error.
        """
        ours = curves.errors[OURS]
        cells = shown_after(len(ours[ALL]))
        others = [recipe for recipe in curves.errors if recipe != OURS]
        headings = ["held\nout", "\nspread", *(f"{'after' if cell == cells[0] else ''}\n{cell}" for cell in cells)]
        headings += ["prequen-\ntial", *(recipe.replace("-", "-\n", 1) for recipe in others)]
        table = result_table("RMSE\nin eV", headings)
        for kind, count in curves.bonds.items():
            table.add_row(
                kind, f"{count:,}", number(spread[kind]), *(number(ours[kind][cell - 1]) for cell in cells),
                number(prequential.errors[OURS].get(kind, [math.nan])[-1]),
                *(number(curves.errors[recipe][kind][-1]) for recipe in others),
                style="bold" if kind == ALL else "",
            )  # fmt: skip
        self._console.print(table)
        self.note(
            f"Errors of {OURS} on the held-out bonds, by the number of cells learned; its prequential error on the last "
            "cell's own bonds, each predicted before it was learned; and the final errors of the other models on the "
            "held-out bonds. Spread: the error if the mean is always predicted."
        )

    def inside(self, inside: int, of: int) -> None:
        if of:
            self.note(
                f"The 95 % intervals of {OURS} contain {inside:,} of {of:,} held-out bonds ({100 * inside / of:.0f} %)."
            )

    def larger(self, found: Prediction, atoms: int, seconds: float, path: Path, beside: Path) -> None:
        """Print how many bonds of the large cell were predicted, and where the files are."""
        self.note(
            f"Predicted {len(found):,} bonds of a glass of {atoms:,} atoms in {seconds:.0f} s: {self.path(path)}, "
            f"uncertainties in {self.path(beside)}"
        )

    def go_on(self, plan: BondsPlan, directory: Directory, port: int, usual: bool) -> None:
        """Print commands to continue with. If the port is not the `usual` one, `make serve` needs it as a setting."""
        serve = "make serve" if usual else f"TAILRACE_BIND=127.0.0.1:{port} make serve"
        self.note(f"Picture: {self.path(directory.picture)}")
        self.note(f"Every cell, with its structure and its labels: {self.path(directory.cells)}/")
        self.note(f"\nThe log stays in the database. To explore it, run `{serve}`, and in another terminal:\n")
        self.note(f"export TAILRACE_URL=http://127.0.0.1:{port}")
        self.note(f".venv/bin/tailrace metrics {plan.models[OURS]}")
        self.note(
            f".venv/bin/python -m lammps_jobs bonds predict {self.path(directory.cells / plan.larger().name)}/structure.xyz "
            f"-o ICOHPLIST.lobster --model {plan.models[OURS]}"
        )


def shown_after(cells: int) -> list[int]:
    """Return the numbers of cells after which the table shows errors: 1, a quarter, a half and all of them.

    Examples
    --------
    >>> shown_after(1), shown_after(5), shown_after(22)
    ([1], [1, 2, 5], [1, 5, 11, 22])
    """
    return sorted({1, max(1, cells // 4), max(1, cells // 2), cells})
