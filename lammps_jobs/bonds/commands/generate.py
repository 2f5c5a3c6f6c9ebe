"""Make metallic glasses by molecular dynamics: LAMMPS melts, quenches and holds them, at constant pressure.

Each becomes a directory COMPOSITION-RUN-00 with its structure.xyz, and generate.json beside it, which says how it was
made; LAMMPS's own files are in its directory `md`. Those that are there already are passed over.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "make glasses by melt and quench with LAMMPS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the cells go")
    parser.add_argument(
        "--composition", default="Cu50Zr50", metavar="C", help="elements and their shares (default: Cu50Zr50)"
    )
    parser.add_argument("--atoms", type=int, default=100, metavar="N", help="in a cell (default: 100)")
    parser.add_argument("--cells", type=int, default=1, metavar="N", help="how many (default: 1)")
    parser.add_argument("--first", type=int, default=1, metavar="RUN", help="number of the first one (default: 1)")
    parser.add_argument(
        "--potential", type=Path, metavar="FILE", help="an eam/alloy or eam/fs file (default: Mendelev's for Cu-Zr)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first cell; each gets its own")
    parser.add_argument("--hot", type=float, default=2000.0, metavar="K", help="molten at (default: 2000)")
    parser.add_argument("--cold", type=float, default=300.0, metavar="K", help="quenched to (default: 300)")
    parser.add_argument("--melt", type=float, default=20.0, metavar="PS", help="time molten (default: 20)")
    parser.add_argument("--hold", type=float, default=10.0, metavar="PS", help="time at the end (default: 10)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="K/PS", help="of the quench (default: 10)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="MPI processes (default: 1)")


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.generating import cells, generate_cell
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.run import Programs

    for name in ("atoms", "cells", "first", "processes"):
        if getattr(options, name) < 1:
            raise Refused(f"--{name} {getattr(options, name)}: expected at least 1")
    wanted = cells(options)
    programs = Programs.find()
    made = 0
    total = sum(quench.steps for _, quench in wanted)
    with bar("Quenching", total, "steps") as progress:
        for place, quench in wanted:
            progress.doing(f"Quenching {place.name}")
            if generate_cell(place, quench, programs, progress.within):
                made += 1
                progress.note(f"{place}: {quench.atoms} atoms")
            progress.advance(quench.steps)
    before = len(wanted) - made
    print(f"{made} cells made{f', {before} were there before' if before else ''}.")
    return 0
