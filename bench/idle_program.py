"""A program for rows about agents: a job that ends at once."""

from pathlib import Path
from typing import Any

from tailrace.programs import Program, Results, Step, Verdict


class Idle(Program):
    """Runs ``true``."""

    name = title = "idle"

    def version(self) -> str:
        return "1"

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

    def prepare(self, step: Step, folder: Path) -> None:
        """Need no files."""

    def command(self, step: Step, folder: Path) -> list[str]:
        return ["true"]

    def validate(self, step: Step, folder: Path, exit_code: int | None) -> Verdict:
        return Verdict.done() if exit_code == 0 else Verdict.failed(f"exit code {exit_code}")

    def extract(self, step: Step, folder: Path) -> Results:
        return Results()
