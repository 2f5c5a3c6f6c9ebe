"""What the demo of bond strengths shows: its lines, its table, and how to go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from lammps_jobs.bonds.augment import DEFORMATIONS
from lammps_jobs.bonds.demo_cells import WantedCell
from lammps_jobs.bonds.demo_errors import ALL, Curves
from lammps_jobs.bonds.demo_plan import BondsPlan, Directory
from lammps_jobs.bonds.predict import Prediction
from lammps_jobs.demo_screen import Screen

__all__ = ["BondsScreen", "shown_after"]

OURS = "bond-gpr"


class BondsScreen(Screen):
    """As the other demo's, with what is said of bonds."""

    def at(self, url: str, taken: int | None) -> None:
        """Where the server listens, and which port it would have had if that hadn't been taken."""
        why = "" if taken is None else f" (port {taken} is taken)"
        self.note(f"It serves on {url}/{why} and asks for tokens.")

    def plans(self, plan: BondsPlan) -> None:
        further = f" and {plan.deformations} of {len(DEFORMATIONS)} deformations of each" if plan.deformations else ""
        self.note(
            f"{plan.glasses} {'glass' if plan.glasses == 1 else 'glasses'} of {plan.atoms} atoms, Cu50Zr50{further} "
            f"to learn from; another glass is held out; one of {plan.large:,} atoms is predicted in the end."
        )

    def skipped(self, cells: Sequence[WantedCell]) -> None:
        """The cells that no bonds are learned of, and why."""
        for cell in cells:
            if (reason := cell.skipped) is not None:
                self.note(f"  skipped {cell.name} ({cell.what or 'as it is'}): {reason}")

    def errors(self, curves: Curves, prequential: Curves, spread: dict[str, float]) -> None:
        """RMSE on the held-out bonds after some numbers of cells, beside the prequential one and the other models.

        Parameters
        ----------
        spread
            By type, the standard deviation of the held-out bonds: the error of whoever always says their mean.
        """
        ours = curves.errors[OURS]
        cells = shown_after(len(ours[ALL]))
        others = [recipe for recipe in curves.errors if recipe != OURS]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="")
        table.add_column("RMSE\nin eV", no_wrap=True)
        headings = ["held\nout", "\nspread", *(f"{'after' if cell == cells[0] else ''}\n{cell}" for cell in cells)]
        headings += ["prequen-\ntial", *(recipe.replace("-", "-\n", 1) for recipe in others)]
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        for kind, count in curves.bonds.items():
            table.add_row(
                kind, f"{count:,}", _number(spread[kind]), *(_number(ours[kind][cell - 1]) for cell in cells),
                _number(prequential.errors[OURS].get(kind, [math.nan])[-1]),
                *(_number(curves.errors[recipe][kind][-1]) for recipe in others),
                style="bold" if kind == ALL else "",
            )  # fmt: skip
        self._console.print(table)
        self.note(
            f"{OURS}'s errors on the held-out bonds, after the bonds of so many cells were learned; its prequential "
            "error on the last cell's own bonds, each predicted before it was learned; and the other models' on the "
            "held-out bonds in the end. Spread: the error of who always says the mean."
        )

    def inside(self, inside: int, of: int) -> None:
        if of:
            self.note(f"{OURS}'s 95 % intervals held {inside:,} of {of:,} held-out bonds ({100 * inside / of:.0f} %).")

    def larger(self, found: Prediction, atoms: int, seconds: float, path: Path, beside: Path) -> None:
        """What was predicted of the large cell, and where it is."""
        self.note(
            f"Predicted {len(found):,} bonds of a glass of {atoms:,} atoms in {seconds:.0f} s: {self.path(path)}, "
            f"uncertainties in {self.path(beside)}"
        )

    def go_on(self, plan: BondsPlan, directory: Directory, port: int, usual: bool) -> None:
        """How to go on from here; a port that is not the `usual` one has to be named to `make serve`."""
        serve = "make serve" if usual else f"TAILRACE_BIND=127.0.0.1:{port} make serve"
        self.note(f"Picture: {self.path(directory.picture)}")
        self.note(f"Every cell, with its structure and its labels: {self.path(directory.cells)}/")
        self.note(f"\nThe log stays in the database. To look further, run `{serve}`, and in another terminal:\n")
        self.note(f"export TAILRACE_URL=http://127.0.0.1:{port}")
        self.note(f".venv/bin/tailrace metrics {plan.models[OURS]}")
        self.note(
            f".venv/bin/python -m lammps_jobs bonds predict {self.path(directory.cells / plan.larger().name)}/structure.xyz "
            f"-o ICOHPLIST.lobster --model {plan.models[OURS]}"
        )


def shown_after(cells: int) -> list[int]:
    """After which numbers of cells an error is shown: the first, the last, and the half and the quarter of it.

    Examples
    --------
    >>> shown_after(1), shown_after(5), shown_after(22)
    ([1], [1, 2, 5], [1, 5, 11, 22])
    """
    return sorted({1, max(1, cells // 4), max(1, cells // 2), cells})


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
