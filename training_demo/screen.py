"""Output of the demo: progress, and the comparison as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lammps_jobs.demo_support.screen import DemoScreen, result_table

if TYPE_CHECKING:
    from training_demo.comparison import Comparison

__all__ = ["Screen"]


class Screen(DemoScreen):
    """The screen of the demo."""

    def comparison(self, rows: Sequence[Comparison]) -> None:
        """Print a row for each metric."""
        table = result_table("metric", ("points in\nTailrace", "points in\nMLflow", "last value\n", "equal\n"))
        for row in rows:
            last = row.tailrace[-1][2] if row.tailrace else float("nan")
            table.add_row(
                row.key, f"{len(row.tailrace):,}", f"{len(row.mlflow):,}", f"{last:.6g}", "yes" if row.equal else "NO"
            )
        self._console.print(table)

    def lost(self, logged: int, lost: Mapping[str, int]) -> None:
        """Print how many of the logged losses each back end lacks."""
        missing = ", ".join(f"{name} lacks {count}" for name, count in lost.items())
        self.note(
            f"The training logged {logged:,} losses: {missing}. Points are equal if step, time and value are, bit for bit."
        )
