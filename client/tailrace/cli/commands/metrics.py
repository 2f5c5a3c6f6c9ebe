"""Show models' prequential metrics: over all predictions, over the latest, and by segment.

Each prediction was made before its observation was learned. MAE, RMSE and Bias are in the unit of the target. Several models
are shown side by side.

examples:
  tailrace metrics runtime
  tailrace metrics runtime linear mean
  tailrace metrics runtime --at 50             (as it was after observation 50)
  tailrace metrics bonds --segment Zr-Cu --json
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tailrace.cli.messages import OK

if TYPE_CHECKING:
    from tailrace.display.tables import Table
    from tailrace.results.metrics import Metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="model", help="the models")
    parser.add_argument("--segment", metavar="VALUE", help="only this value of the stream's segment feature")
    parser.add_argument("--at", type=int, metavar="N", help="the metrics after observation N")
    parser.add_argument("--json", action="store_true", help="print the server's answers as JSON, one per line")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.handles.client import Client

    client = Client(options.url)
    models = [
        client.model(name) if options.at is None else client.model(name).as_of(options.at) for name in options.models
    ]
    found = [model.metrics(options.segment) for model in models]
    if options.json:
        for one in found:
            print_json(one.data)
    elif len(found) == 1:
        print_tables(found[0].tables())
    else:
        print_tables([_side_by_side(found)])
    return OK


def _side_by_side(found: list[Metrics]) -> Table:
    from tailrace.display.tables import Column, Table

    names = list(dict.fromkeys(name for one in found for name in one))
    units = {one.unit for one in found}
    # If the units differ, the column's head can't name one.
    heads = [Column(name, found[0].unit_of(name) if len(units) == 1 else "") for name in names]
    columns = [Column("model", left=True), Column("at"), Column("scored"), *heads]
    rows = [[one.model, one.at, one.n, *(one.data["metrics"].get(name) for name in names)] for one in found]
    return Table(columns, rows)
