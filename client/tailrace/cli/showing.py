"""What subcommands print: tables for people, JSON for programs, bold only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tailrace.cli import say

if TYPE_CHECKING:
    from tailrace.results import Facts
    from tailrace.tables import Table

__all__ = ["bold", "only_on_standard_error", "print_facts", "print_json", "print_tables", "warned"]


def only_on_standard_error() -> None:
    """Have what differs in a point said by :func:`warned` alone, and not by :mod:`warnings` as well."""
    import warnings

    from tailrace.errors import PredictionWarning

    warnings.simplefilter("ignore", PredictionWarning)


def warned(warnings: Iterable[object]) -> None:
    """Say how points differ from those that were seen, on standard error, a line each, after what was printed."""
    sys.stdout.flush()
    for one in warnings:
        say(f"warning: {one}")


def print_json(data: Any) -> None:
    """One line of JSON."""
    print(json.dumps(data, ensure_ascii=False))


def print_tables(tables: Iterable[Table]) -> None:
    """Tables, all of their rows, with an empty line between two."""
    for number, table in enumerate(tables):
        if number:
            print()
        lines = table.text(most=None).split("\n")
        head = 1 if table.caption else 0
        for index, line in enumerate(lines):
            print(bold(line) if index == head else line)


def print_facts(facts: Facts) -> None:
    """One thing, a fact a line."""
    title, *lines = repr(facts).split("\n")
    print(bold(title))
    for line in lines:
        print(line)


def bold(text: str) -> str:
    """The text, bold on a terminal that hasn't been told otherwise (``NO_COLOR``)."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"
