"""Make metallic glasses by molecular dynamics: LAMMPS melts, quenches and holds them, at constant pressure.

Each glass gets a directory COMPOSITION-RUN-00 with structure.xyz and generate.json, which records how it was made.
LAMMPS's own files are in its subdirectory `md`. Glasses that exist already are skipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "make glasses by melt and quench with LAMMPS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory for the cells")
    parser.add_argument(
        "--composition", default="Cu50Zr50", metavar="C", help="elements and their shares (default: Cu50Zr50)"
    )
    parser.add_argument("--atoms", type=int, default=100, metavar="N", help="atoms of each cell (default: 100)")
    parser.add_argument("--cells", type=int, default=1, metavar="N", help="number of cells (default: 1)")
    parser.add_argument("--first", type=int, default=1, metavar="RUN", help="run number of the first cell (default: 1)")
    parser.add_argument(
        "--potential", type=Path, metavar="FILE", help="an eam/alloy or eam/fs file (default: Mendelev's for Cu-Zr)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="seed of the first cell; each further cell gets the next one"
    )
    parser.add_argument(
        "--hot", type=float, default=2000.0, metavar="K", help="temperature of the melt (default: 2000)"
    )
    parser.add_argument(
        "--cold", type=float, default=300.0, metavar="K", help="temperature after the quench (default: 300)"
    )
    parser.add_argument("--melt", type=float, default=20.0, metavar="PS", help="duration of the melt (default: 20)")
    parser.add_argument(
        "--hold", type=float, default=10.0, metavar="PS", help="time at the final temperature (default: 10)"
    )
    parser.add_argument("--rate", type=float, default=10.0, metavar="K/PS", help="rate of the quench (default: 10)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="MPI processes (default: 1)")


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.generation.cell_directories import cells, generate_cell
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.runs.lammps_job import Programs

    for name in ("atoms", "cells", "first", "processes"):
        if getattr(options, name) < 1:
            raise Refused(f"--{name} {getattr(options, name)}: expected at least 1")
    wanted = cells(options)
    programs = Programs.find()
    made = 0
    total = sum(quench.work for _, quench in wanted)
    with bar("Quenching", total, "steps") as progress:
        for place, quench in wanted:
            progress.doing(f"Quenching {place.name}")
            if generate_cell(place, quench, programs, progress.within):
                made += 1
                progress.note(f"{place}: {quench.atoms} atoms")
            progress.advance(quench.work)
    before = len(wanted) - made
    print(f"{made} cells made{f', {before} existed already' if before else ''}.")
    return 0
