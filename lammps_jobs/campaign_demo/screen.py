"""Output of the demo: proposals and their reasons, approvals, runs as they end, the errors after each round."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from lammps_jobs.demo_support.screen import DemoScreen, number, result_table

__all__ = ["Screen"]


class Screen(DemoScreen):
    """The screen of the demo."""

    def proposal(self, data: Any) -> None:
        """Print what the policy proposes, and why."""
        self._console.print(Text(f"\nRound {data['round']}: {data['action']}", style="bold"))
        self.note(f"  {data['reason']}")
        for pick in data["picks"]:
            self.note(f"  {pick['number']}. {pick['name']}: {pick['why']}")

    def approved(self, number: int) -> None:
        """Print that a person approved a round."""
        self.note(f"  The demo's moderator approves round {number}.")

    def ended(self, run: Any) -> None:
        """Print how a run ended."""
        what = "learned" if run["state"] == "DONE" else f"failed: {run['reason']}"
        bonds = "" if run["first"] is None else f", {run['last'] - run['first'] + 1} bonds"
        self.note(f"  {run['cell']}: {what}{bonds} ({3600 * run['node_hours']:.0f} s)")

    def killed(self, times: int, all_times: int) -> None:
        """Print that the server was killed."""
        self._console.print(
            Text(f"  kill -9 of the whole server, {times} of {all_times}; it starts again.", style="bold")
        )

    def rounds(self, rounds: list[Any], targets: dict[str, float]) -> None:
        """Print the errors after each round: of each bond type, that of the composition where it is largest."""
        types = sorted(targets)
        table = result_table("round", ("action", "cells", "failed", *(f"{kind}\neV" for kind in types)))
        for one in rounds:
            errors: dict[str, float] = {}
            for row in one["types"]:
                if row["rmse"] is not None:
                    errors[row["type"]] = max(row["rmse"], errors.get(row["type"], 0.0))
            table.add_row(
                str(one["round"]), one["action"], str(one["calculations"]), str(one["failed"]),
                *(number(errors.get(kind)) for kind in types),
            )  # fmt: skip
        table.add_row("target", "", "", "", *(number(targets[kind]) for kind in types))
        self._console.print(table)
