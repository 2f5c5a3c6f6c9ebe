"""Functions that print the results of subcommands: tables, JSON, warnings, and bold text on terminals."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tailrace.cli.messages import say

if TYPE_CHECKING:
    from tailrace.display.tables import Table
    from tailrace.results.facts import Facts

__all__ = ["bold", "print_facts", "print_json", "print_tables", "print_warnings", "silence_prediction_warnings"]


def silence_prediction_warnings() -> None:
    """Turn off `PredictionWarning`: :func:`print_warnings` prints the same on standard error."""
    import warnings

    from tailrace.errors import PredictionWarning

    warnings.simplefilter("ignore", PredictionWarning)


def print_warnings(warnings: Iterable[object]) -> None:
    """Print warnings on standard error, one per line, after what was printed before."""
    sys.stdout.flush()
    for one in warnings:
        say(f"warning: {one}")


def print_json(data: Any) -> None:
    """Print data as one line of JSON."""
    print(json.dumps(data, ensure_ascii=False))


def print_tables(tables: Iterable[Table]) -> None:
    """Print all rows of the tables, with an empty line between two tables."""
    for number, table in enumerate(tables):
        if number:
            print()
        lines = table.text(most=None).split("\n")
        head = 1 if table.caption else 0
        for index, line in enumerate(lines):
            print(bold(line) if index == head else line)


def print_facts(facts: Facts) -> None:
    """Print the facts, one per line."""
    title, *lines = repr(facts).split("\n")
    print(bold(title))
    for line in lines:
        print(line)


def bold(text: str) -> str:
    """Returns a text that is bold on a terminal, unless ``NO_COLOR`` is set."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"
