"""Measure the accuracy of a recipe on labeled cells, and that of batch Gaussian process regression on the same bonds.

With --test, the model learns the cells of --learn in one pass and is tested on others (the paper's test *cell*). With
--split N, it learns N of their bonds, chosen at random from all types together, and is tested on the rest. No server is
needed. Only --test with cells of other families, that is, neither the learned cells nor deformed copies of them, tells how
well an unseen glass is predicted; the command says where the families are the same. RMSE is in eV of -ICOHP; coverage is the share of test bonds within the 95 % predictive interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "measure a recipe's accuracy on labeled cells; compare with batch regression and the paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--learn", nargs="+", type=Path, metavar="DIR", required=True, help="cells to learn from")
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--test", nargs="+", type=Path, metavar="DIR", help="cells to test on")
    either.add_argument(
        "--split", type=int, metavar="N", help="learn N of all their bonds, chosen at random, and test on the rest"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the choice for --split (default: 0)")
    parser.add_argument(
        "--recipe", default="bond-gpr", help="bond-gpr (default), bond-distance or bond-forest, the server's recipes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="plot predicted against calculated strengths, one panel for each type",
    )


def run(options: argparse.Namespace) -> int:
    import json

    from tailrace.atomic_files import replacing
    from tailrace.errors import Unusable
    from tailrace.optional_dependencies import MissingExtra
    from tailrace.pictures.figures import check_format

    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.learning import evaluation, evaluation_table
    from lammps_jobs.bonds.progress import bar
    from lammps_jobs.bonds.structures import families

    if options.picture is not None:
        try:
            check_format(options.picture)
        except (MissingExtra, Unusable) as error:
            raise Refused(f"--picture: {error}") from None
    tested = options.test or []
    with bar("Reading", len(options.learn) + len(tested), "cells") as progress:
        learn = evaluation.read(options.learn, done=lambda _: progress.advance())
        if options.split is None:
            test, protocol = evaluation.read(tested, done=lambda _: progress.advance()), "cell"
        else:
            (learn, test), protocol = evaluation.split(learn, options.split, options.seed), "split"
        progress.doing(f"Learning {len(learn)} bonds")
        results = evaluation.evaluate(learn, test, options.recipe)
    evaluation_table.show(results, options.recipe, protocol, len(learn))
    same = families.shared(options.learn, tested) if tested else sorted(set(map(families.family_of, options.learn)))
    if same:
        print(
            f"Tested on families that were learned, too ({', '.join(same)}): expect larger errors for other cells. "
            "A family is a cell and its deformed copies."
        )
    if options.json is not None:
        figures = {kind: one.as_json() for kind, one in results.items()}
        with replacing(options.json) as part:
            Path(part).write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.picture is not None:
        from lammps_jobs.bonds.learning.evaluation_plot import draw

        draw(results, options.recipe).save(options.picture)
    return 0
