"""Define a database of interactions, and save it as Parquet.

A database is a named selection of a stream's cells, and never changes: the same definition gives the same observations
on every machine, also after more cells were added. Without --stream, the command shows an existing database.

examples:
  python -m lammps_jobs bonds database mixed --stream bonds --type Zr-Cu=600 --type Cu-Cu=600 --seed 1 -o mixed.parquet
  python -m lammps_jobs bonds database first --stream bonds --cell 'Zr49Cu49Al2-21-*' --composition Zr49Cu49Al2
  python -m lammps_jobs bonds database mixed -o mixed.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

SUMMARY = "define a reproducible selection of bonds, and save it as Parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the database's name")
    parser.add_argument("--stream", metavar="NAME", help="select from this stream's cells")
    parser.add_argument(
        "--composition",
        action="append",
        metavar="FORMULA",
        help="only cells of this composition, such as Zr49Cu49Al2; may be repeated",
    )
    parser.add_argument(
        "--cell",
        action="append",
        metavar="PATTERN",
        help="only cells with such names; * and ? are wildcards; may be repeated",
    )
    parser.add_argument(
        "--type", action="append", metavar="TYPE[=N]", help="only bonds of this type, at most N; may be repeated"
    )
    parser.add_argument("--seed", type=int, help="seed of the choice if there are more than N (default: 0)")
    parser.add_argument(
        "--until", type=int, metavar="SEQ", help="use the log up to this observation only (default: its end)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the observations to this Parquet file")
    parser.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")


def run(options: argparse.Namespace) -> int:
    from tailrace import Client

    from lammps_jobs.bonds.learning.parquet import export
    from lammps_jobs.bonds.progress import bar

    client = Client(options.url)
    found = _found(client, options)
    counts = found["counts"]
    types = ", ".join(f"{kind} {count}" for kind, count in sorted(counts["types"].items()))
    print(
        f"{found['name']}: {counts['observations']} bonds of stream {found['stream']} up to {found['until']} ({types})"
    )
    print(f"fingerprint {found['fingerprint']}")
    if options.output is not None:
        with bar(f"Writing {options.output.name}", counts["observations"], "bonds") as progress:
            rows = export(client, found, options.output, progress.within)
        print(f"{options.output}: {rows} rows")
    return 0


def _found(client: Any, options: argparse.Namespace) -> Any:
    from lammps_jobs.bonds.errors import Refused

    chosen = {
        "compositions": options.composition, "cells": options.cell, "types": _types(options.type),
        "seed": options.seed, "until": options.until,
    }  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    if options.stream is not None:
        return client.send("POST", client.path("databases"), {"name": options.name, "stream": options.stream, **given})
    if given:
        raise Refused(f"{', '.join(given)} can't be used without --stream: name the stream to select from")
    return client.send("GET", client.path("databases", options.name))


def _types(given: list[str] | None) -> dict[str, int | None] | None:
    from lammps_jobs.bonds.errors import Refused

    types: dict[str, int | None] = {}
    for word in given or ():
        name, equals, count = word.partition("=")
        if not name or (equals and not (count.isascii() and count.isdigit() and int(count))):
            raise Refused(f"--type {word}: expected a type, such as Zr-Cu, or a type and how many, such as Zr-Cu=600")
        types[name] = int(count) if equals else None
    return types or None
