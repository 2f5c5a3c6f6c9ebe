"""`python -m bench.campaign_study`: labels needed by the policies of campaigns. Not a part of `make bench`: it takes minutes.

Each policy asks for labels of real cells, which are revealed when they are asked for, until all targets are reached. The
same command gives the same figures on the same CPU. It writes a table as JSON and a picture for each study.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.campaign_study import cases, outcome, picture
from bench.campaign_study.pools import cells_of
from bench.campaign_study.replay import Case, replay
from bench.errors import BenchError
from bench.rows_bonds import CELLS
from bench.servers import ROOT

POLICIES = ("families", "random", "uncertainty")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the studies and print their tables. Return 0; 2 if the cells are not there."""
    parser = argparse.ArgumentParser(prog="python -m bench.campaign_study", description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, default=10, help="orders of each policy (default: 10)")
    parser.add_argument("--cells", type=Path, help="directories of labeled cells, for one more study of whole cells")
    parser.add_argument("--only", nargs="+", metavar="STUDY", help="real-batches, real-cells, made-1.1 or made-1.03")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "var" / "campaign_study", help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--policies", nargs="+", default=list(POLICIES), metavar="POLICY",
        help="policies to compare, random among them (default: families random uncertainty; the last takes most of the time)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    if "random" not in options.policies:
        parser.error("--policies needs random, which the others are compared with")
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        studies = cases.real(cells_of(CELLS))
        if options.cells is not None:
            some = cells_of(options.cells)
            studies += [cases.made(some, slack) for slack in cases.SLACKS]
    except BenchError as error:
        print(f"bench.campaign_study: {error}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for study in studies:
        if options.only is None or study.name in options.only:
            _run(study, options.policies, options.orders, options.output, console)
    return 0


def _run(study: cases.Study, policies: Sequence[str], orders: int, place: Path, console: Console) -> None:
    started = time.monotonic()
    made: list[Case] = [study.case(order) for order in range(orders)]
    replays = {policy: [replay(case, policy) for case in made] for policy in policies}
    rows = outcome.rows(made, replays)
    ends = {
        policy: [{"reason": one.reasons[-1], "actions": one.actions, "first": one.picks[:4]} for one in some]
        for policy, some in replays.items()
    }
    targets = {" in ".join(of): value for of, value in made[0].targets.items()}
    content = {"study": study.name, "said": study.said, "targets": targets, "rows": rows, "ends": ends}
    (place / f"{study.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    picture.draw(place / f"{study.name}.png", f"{study.name}: {study.said}", made, replays)
    console.print(_table(study, rows))
    console.print(f"{time.monotonic() - started:.0f} s. Figures and picture: {place}/{study.name}.*", markup=False)


def _table(study: cases.Study, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{study.name}: {study.said}", title_justify="left")
    for name in ("target", "counted", "policy", "reached", "mean", "90 %", "median", "by random", "90 %"):
        table.add_column(name, justify="left" if name in ("target", "counted", "policy") else "right")
    for row in rows:
        table.add_row(
            row["target"], row["counted"], row["policy"], f"{row['reached']}/{row['orders']}", f"{row['mean']:.0f}",
            f"{row['low']:.0f}-{row['high']:.0f}", f"{row['median']:.0f}", f"{row['ratio']:.2f}",
            f"{row['ratio_low']:.2f}-{row['ratio_high']:.2f}", end_section=row["policy"] == rows[-1]["policy"],
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
