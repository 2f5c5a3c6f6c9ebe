"""Output of the demo: steps as they end, the scan, the models, where to look."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from lammps_jobs.calculations_demo.work import MODEL
from lammps_jobs.demo_support.screen import DemoScreen, number, result_table

__all__ = ["Screen"]


class Screen(DemoScreen):
    """The screen of the demo."""

    def ended(self, calculation: str, step: str, state: str, reason: str) -> None:
        """Print that a step has ended."""
        said = f": {reason}" if reason and state != "done" else ""
        style = "" if state == "done" else "bold"
        self._console.print(Text(f"  {calculation} · {step}: {state}{said}", style=style), soft_wrap=True)

    def scan(self, data: Any) -> None:
        """Print a row for each step of the torsion scan."""
        table = result_table("step", ("torsion\n°", "energy\neV", "iterations\n", "started from\n", "wall time\ns"))
        for step in data["chain"]:
            if (result := step["result"]) is None:
                continue
            values = {name: one["value"] for name, one in result["values"].items()}
            table.add_row(
                step["name"], f"{step['parameters']['torsion']:g}", number(values["energy"]), str(values["iterations"]),
                str(values["started from"]), number(result["ended"] - result["began"]),
            )  # fmt: skip
        self._console.print(table)

    def model(self, metrics: Any, stream: str) -> None:
        """Print what the model of wall times has learned."""
        found = metrics["metrics"]
        self.note(
            f"The model {MODEL} has learned the wall times of {metrics['learned']} steps of two programs (stream {stream}): mean "
            f"absolute error {number(found.get('MAE'))} s, each predicted before it was learned."
        )
