"""Make the fourteen deformed copies of each cell that the paper describes, each in a directory of its own.

From DIR/Cu50Zr50-1-00 come DIR/Cu50Zr50-1-01 to -14: six shears of 0.5; x, y and z each stretched by 2 % and compressed
by 20 %; all three expanded by 1 % and contracted by 10 %. Copies that exist already are not changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "make the fourteen deformed copies of each cell that the paper describes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cells", nargs="+", type=Path, metavar="DIR", help="a directory named …-00 with structure.xyz")
    parser.add_argument(
        "--only",
        nargs="+",
        type=int,
        choices=range(1, 15),
        metavar="N",
        help="make these of the fourteen only, such as 1 2 7",
    )


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.generation.deformations import DEFORMATIONS, deform, sibling
    from lammps_jobs.bonds.labels.calculation import STRUCTURE
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.bonds.structures import structure_files

    wanted = [one for one in DEFORMATIONS if options.only is None or one.subrun in options.only]
    made = there = refused = 0
    with bar("Deforming", len(options.cells) * len(wanted), "cells") as progress:
        for cell in options.cells:
            structure = structure_files.read(cell / STRUCTURE)
            for one in wanted:
                place = sibling(cell, one)
                progress.doing(place.name)
                progress.advance()
                if (place / STRUCTURE).exists():
                    there += 1
                    continue
                deformed = deform(structure, one)
                try:
                    structure_files.check(deformed)
                except Refused as error:
                    progress.note(f"bonds augment: {place.name} ({one.what}) is left out: {error}")
                    refused += 1
                    continue
                place.mkdir(exist_ok=True)
                structure_files.write(place / STRUCTURE, deformed)
                made += 1
    before = f", {there} existed already" if there else ""
    print(f"{made} deformed cells{before}{f', {refused} left out' if refused else ''}.")
    return 1 if refused else 0
