"""Deform cells in the paper's fourteen ways, each a new cell beside the one it came from.

DIR/Cu50Zr50-1-00 gets fourteen neighbours, DIR/Cu50Zr50-1-01 to -14: six shears of 0.5, x, y and z stretched by 2 %
and compressed by 20 % in turn, all three expanded by 1 % and contracted by 10 %. Those that are there already are
left as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "deform cells in the paper's fourteen ways"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cells", nargs="+", type=Path, metavar="DIR", help="a directory named …-00 with structure.xyz")
    parser.add_argument(
        "--only", nargs="+", type=int, choices=range(1, 15), metavar="N", help="some of the sub-runs 1 to 14"
    )


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds import structures
    from lammps_jobs.bonds.augment import DEFORMATIONS, deform, sibling
    from lammps_jobs.bonds.calculation import STRUCTURE
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.progress import bar

    wanted = [one for one in DEFORMATIONS if options.only is None or one.subrun in options.only]
    made = there = refused = 0
    with bar("Deforming", len(options.cells) * len(wanted), "cells") as progress:
        for cell in options.cells:
            structure = structures.read(cell / STRUCTURE)
            for one in wanted:
                place = sibling(cell, one)
                progress.doing(place.name)
                progress.advance()
                if (place / STRUCTURE).exists():
                    there += 1
                    continue
                deformed = deform(structure, one)
                try:
                    structures.check(deformed)
                except Refused as error:
                    progress.note(f"bonds augment: {place.name} ({one.what}) is left out: {error}")
                    refused += 1
                    continue
                place.mkdir(exist_ok=True)
                structures.write(place / STRUCTURE, deformed)
                made += 1
    before = f", {there} were there before" if there else ""
    print(f"{made} deformed cells{before}{f', {refused} left out' if refused else ''}.")
    return 1 if refused else 0
