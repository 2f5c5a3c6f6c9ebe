"""How accurate a recipe is on labeled cells, beside batch Gaussian process regression on the same bonds.

With --test, the model learns the cells of --learn in one pass and is tested on others (the paper's *cell*). With
--split N it learns N of their bonds, chosen at random from all types together, and is tested on the rest. No server is
needed. RMSE is in eV of -ICOHP; coverage is the share of test bonds within the 95 % predictive interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "how accurate a recipe is on labeled cells, beside batch regression and the paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--learn", nargs="+", type=Path, metavar="DIR", required=True, help="cells to learn from")
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--test", nargs="+", type=Path, metavar="DIR", help="cells to be tested on")
    either.add_argument(
        "--split", type=int, metavar="N", help="learn N of all their bonds at random, and be tested on the rest"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice for --split (default: 0)")
    parser.add_argument(
        "--recipe", default="bond-gpr", help="bond-gpr (default), bond-distance or bond-forest, as the server has them"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw predicted by calculated strengths, one panel a type"
    )


def run(options: argparse.Namespace) -> int:
    import json

    from tailrace.errors import Unusable
    from tailrace.extras import MissingExtra
    from tailrace.files import replacing
    from tailrace.pictures import check_format

    from lammps_jobs.bonds import evaluation, evaluation_table
    from lammps_jobs.bonds.errors import Refused
    from lammps_jobs.bonds.progress import bar

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
        judged = evaluation.evaluate(learn, test, options.recipe)
    evaluation_table.show(judged, options.recipe, protocol, len(learn))
    if options.json is not None:
        figures = {kind: one.as_json() for kind, one in judged.items()}
        with replacing(options.json) as part:
            Path(part).write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.picture is not None:
        from lammps_jobs.bonds.scatter import draw

        draw(judged, options.recipe).save(options.picture)
    return 0
