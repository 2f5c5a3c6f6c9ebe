"""The table that a person reads and the file that a program does."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.rows import Row


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print one line a row: what, value, target, whether it is reached, and what the value was made of."""
    table = Table(title="Speed", title_justify="left", title_style="bold")
    table.add_column("row", style="cyan", no_wrap=True)
    table.add_column("what")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("target", justify="right", no_wrap=True)
    table.add_column("ok?", justify="center")
    table.add_column("made of")
    for row in rows:
        value = "none" if row.value is None else f"{row.value:,.{_decimals(row.value)}f} {row.spec.unit}"
        note = row.note if row.error is None else f"[red]{row.error}[/red]"
        table.add_row(row.spec.name, row.spec.what, value, row.spec.target_text, _mark(row.ok), note)
    console.print(table)


def show_accuracy(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Print what the accuracy benchmark found."""
    table = Table(title="Accuracy on real LAMMPS run times", title_justify="left", title_style="bold")
    for name in ("what", "value", "target", "ok?"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        value = f"{row['value']:.2f} {row['unit']}"
        table.add_row(row["name"], value, row["target"] or "", _mark(row["ok"]) if row["target"] else "")
    console.print(table)


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path)


def _decimals(value: float) -> int:
    return 2 if abs(value) < 20 and not math.isclose(value, round(value)) else 0


def _mark(ok: bool) -> str:
    return "[green]yes[/green]" if ok else "[red]NO[/red]"
