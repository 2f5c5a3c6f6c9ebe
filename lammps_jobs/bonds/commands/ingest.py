"""Send labeled cells to a server. Each is checked, described and posted in one request. Every model learns its bonds.

A cell is a directory, named COMPOSITION-RUN-SUBRUN, with structure.xyz, ICOHPLIST.lobster and, if available, the
reports of Quantum ESPRESSO and LOBSTER. If a cell is refused, the command prints file, line and reason, stores nothing
of the cell, and continues with the next. Cells that the server has already are skipped. If interrupted, run the same
command again to resume.

examples:
  python -m lammps_jobs bonds ingest Zr49Cu49Al2-*/ --stream bonds
  python -m lammps_jobs bonds ingest Zr49Cu49Al2-*/ --stream bonds --record-failures
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "send labeled cells to a server, whose models learn them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cells", nargs="+", type=Path, metavar="DIR", help="a labeled cell")
    parser.add_argument("--stream", required=True, metavar="NAME", help="the stream; created if it does not exist")
    parser.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")
    parser.add_argument(
        "--record-failures",
        action="store_true",
        help="also record refused cells on the server, with the reason, if their structure is valid",
    )


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import Refused as ServerRefused
    from tailrace.transport.server import Server

    from lammps_jobs.bonds.descriptors.soap import DEFAULT, Descriptor
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.learning.ingest import Ingest
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.bonds.types import BondsError

    ingest = Ingest(Server(options.url), options.stream, Descriptor(DEFAULT))
    posted = bonds = there = refused = 0
    with bar("Posting", len(options.cells), "cells") as progress:
        for directory in options.cells:
            progress.doing(f"Posting {directory.name}")
            try:
                done = ingest.post(directory)
            except (BondsError, OSError, ServerRefused) as error:
                if isinstance(error, OSError) and not error.filename:
                    raise  # the server can't be reached
                if isinstance(error, ServerRefused) and not error.for_good:
                    raise
                said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
                progress.note(f"bonds ingest: {directory.name}: {said}")
                refused += 1
                if options.record_failures and isinstance(error, Refused):
                    ingest.record_failure(directory, said)
            else:
                posted, there = posted + (done.what == "posted"), there + (done.what == "there")
                bonds += done.bonds if done.what == "posted" else 0
            progress.advance()
    before = f"; {there} existed already" if there else ""
    print(f"{posted} cells posted, {bonds} bonds{before}{f'; {refused} refused' if refused else ''}.")
    return 1 if refused else 0
