"""Label cells without DFT: compute bond strengths by GFN1-xTB with tblite, and write them as an ICOHPLIST.lobster.

A 100-atom cell takes one to three minutes; OMP_NUM_THREADS sets the number of processors. Cells that have these labels
already are skipped. If interrupted, run the same command again to resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "label cells without DFT, by tight binding (tblite), in LOBSTER's format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cells",
        nargs="+",
        type=Path,
        metavar="CELL",
        help="a directory with structure.xyz, or a structure file (extended XYZ, LAMMPS dump or data), whose directory gets the labels",
    )
    parser.add_argument("--shortest", type=float, default=1.80, metavar="Å", help="shortest bond (default: 1.80)")
    parser.add_argument("--longest", type=float, default=4.20, metavar="Å", help="longest bond (default: 4.20)")
    parser.add_argument(
        "--iterations",
        type=int,
        default=250,
        metavar="N",
        help="most iterations of the self-consistent field (default: 250)",
    )
    parser.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="electronic temperature (default: 300)"
    )
    parser.add_argument("--types", nargs="+", metavar="EL", help="elements of LAMMPS's atom types 1, 2, …")


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.labels.label_files import Settings, label_cell
    from lammps_jobs.bonds.progress import bar

    if not 0 <= options.shortest < options.longest < float("inf"):
        raise Refused(f"--shortest {options.shortest} --longest {options.longest}: expected 0 ≤ shortest < longest")
    if options.iterations < 1 or not 0 <= options.temperature < float("inf"):
        raise Refused(
            f"--iterations {options.iterations} --temperature {options.temperature}: expected at least 1 and at least 0"
        )
    settings = Settings(options.shortest, options.longest, options.temperature)
    labeled = bonds = before = refused = 0
    with bar("Labeling", len(options.cells), "cells") as progress:
        for cell in options.cells:
            progress.doing(f"Labeling {cell.name}")
            try:
                count = label_cell(cell, settings, iterations=options.iterations, types=options.types)
            except (Refused, OSError) as error:
                said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
                progress.note(f"bonds label: {said}")
                refused += 1
            else:
                if count is None:
                    before += 1
                else:
                    labeled, bonds = labeled + 1, bonds + count
                    progress.note(f"{cell}: {count} bonds")
            progress.advance()
    print(
        f"{labeled} cells labeled, {bonds} bonds"
        + (f"; {before} were labeled before" if before else "")
        + (f"; {refused} refused" if refused else "")
        + "."
    )
    return 1 if refused else 0
