"""Predict the strength of every bond of a structure (10 to 10,000,000 atoms), and write a list in LOBSTER's format.

The model comes from a server, by name, or from a file saved by `tailrace download NAME --to FILE` or
`tailrace.Client().model(NAME).download(FILE)`. Such a file is a pickle, and reading it can run any code: use only files
from a server that you trust. The descriptor definition is that of the model's stream on the server; for a model from a
file, give it by --definition.

Programs that read LOBSTER's bond lists can read OUTPUT. OUTPUT.sd.csv contains each bond's standard deviation.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lammps_jobs.bonds.descriptors.definition import Definition

SUMMARY = "predict the bond strengths of a structure, in LOBSTER's format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("structure", metavar="STRUCTURE", help="an extended XYZ file, a LAMMPS dump or LAMMPS data")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTPUT", help="file for the bond list, such as ICOHPLIST.lobster"
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", metavar="NAME", help="a model on the server")
    model.add_argument("--model-file", type=Path, metavar="FILE", help="a downloaded model")
    parser.add_argument("--server", metavar="URL", help="the server (default: TAILRACE_URL)")
    parser.add_argument(
        "--definition",
        type=Path,
        metavar="FILE",
        help="JSON of the descriptor definition of a model from a file (default: the built-in one); the server knows that of its models",
    )
    parser.add_argument("--types", nargs="+", metavar="EL", help="elements of LAMMPS's atom types 1, 2, …")
    parser.add_argument(
        "--frame", type=int, default=-1, metavar="N", help="frame of a file with several (default: the last)"
    )
    parser.add_argument("--shortest", type=float, default=1.80, metavar="Å", help="shortest bond (default: 1.80)")
    parser.add_argument("--longest", type=float, default=4.20, metavar="Å", help="longest bond (default: 4.20)")
    parser.add_argument(
        "--scheduler",
        default="threads",
        metavar="WHERE",
        help="threads or processes of this machine, or the address of a Dask scheduler (default: threads)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of threads or processes (default: one for each processor)"
    )
    parser.add_argument("--piece", type=int, default=2500, metavar="N", help="atoms of each piece (default: 2500)")
    parser.add_argument(
        "--skip-unlearned", action="store_true", help="leave out bonds of types that the model has not learned"
    )


def run(options: argparse.Namespace) -> int:
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.learning.structure_prediction import predict
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.bonds.structures import structure_files

    if not 0 <= options.shortest < options.longest < float("inf"):
        raise Refused(f"--shortest {options.shortest} --longest {options.longest}: expected 0 ≤ shortest < longest")
    for name in ("workers", "piece"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise Refused(f"--{name} {value}: expected at least 1")
    definition = _definition(options)
    estimator = _estimator(options)
    structure = structure_files.read(options.structure, types=options.types, frame=options.frame)
    with bar("Predicting", len(structure), "atoms") as progress:
        try:
            found = predict(
                structure, estimator, definition, shortest=options.shortest, longest=options.longest,
                piece=options.piece, scheduler=options.scheduler, count=options.workers, advance=progress.advance,
            )  # fmt: skip
        except Refused as refused:
            raise Refused(refused.reason, refused.path or options.structure, refused.line) from refused
        skipped = found.unlearned if options.skip_unlearned else {}
        found = found.learned() if skipped else found
        progress.doing("Writing")
        try:
            beside = found.write(options.output, structure.get_chemical_symbols())
        except Refused as refused:
            hint = " (--skip-unlearned leaves these out)" if found.unlearned else ""
            raise Refused(refused.reason + hint, refused.path) from refused
    left = f"; left out: {', '.join(f'{count:,} {kind}' for kind, count in skipped.items())}" if skipped else ""
    print(f"{len(found):,} bonds of {len(structure):,} atoms in {options.output}, uncertainties in {beside}{left}.")
    return 0


def _definition(options: argparse.Namespace) -> Definition:
    from tailrace.transport.server import Server

    from lammps_jobs.bonds.descriptors.definition import DEFAULT, Definition
    from lammps_jobs.bonds.descriptors.served_definition import definition_of_model
    from lammps_jobs.bonds.errors import Refused

    chosen = None
    if options.definition is not None:
        try:
            chosen = Definition.from_json(options.definition.read_bytes())
        except Refused as refused:
            raise Refused(refused.reason, refused.path or options.definition) from refused
    if options.model is not None:
        return definition_of_model(Server(options.server), options.model, chosen)
    return DEFAULT if chosen is None else chosen


def _estimator(options: argparse.Namespace) -> Any:
    from tailrace import Client
    from tailrace.handles.model_download import UnreadableModel, load

    from lammps_jobs.bonds.errors import Refused

    try:
        if options.model is not None:
            return Client(options.server).model(options.model).download()
        return load(options.model_file.read_bytes(), options.model_file.name)
    except UnreadableModel as error:
        raise Refused(str(error), options.model_file) from error
