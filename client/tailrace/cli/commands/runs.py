"""List runs of experiments, or show one: what it logged, a metric, its artifacts.

examples:
  tailrace runs
  tailrace runs --experiment "darcy flow" --column metrics.loss --column params.lr
  tailrace runs --filter "metrics.loss < 0.1 AND params.optimizer = 'adam'" --order metrics.loss
  tailrace runs --status RUNNING --limit 20
  tailrace runs 5f2b0c5f7b0e4d8e9c1a2b3c4d5e6f70
  tailrace runs 5f2b0c5f7b0e4d8e9c1a2b3c4d5e6f70 --history loss
  tailrace runs 5f2b0c5f7b0e4d8e9c1a2b3c4d5e6f70 --artifacts
  tailrace runs 5f2b0c5f7b0e4d8e9c1a2b3c4d5e6f70 --download plots/field.png
  tailrace runs 5f2b0c5f7b0e4d8e9c1a2b3c4d5e6f70 --delete

A deleted run can be restored until the server removes it for good (30 days by default).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tailrace.cli.messages import OK, say
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.client import Client

OF_ONE = ("history", "artifacts", "download", "delete", "restore")
OF_MANY = ("experiment", "filter", "order", "column", "status", "deleted", "limit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uid", nargs="?", help="show the run with this identifier")
    parser.add_argument("--experiment", action="append", metavar="NAME", help="only of this one; may be repeated")
    parser.add_argument("--filter", metavar="TEXT", help="only those for which this holds: metrics.loss < 0.1 AND …")
    parser.add_argument(
        "--order", action="append", metavar="COLUMN", help='order by this, such as "metrics.loss DESC"; may be repeated'
    )
    parser.add_argument(
        "--column", action="append", metavar="NAME",
        help="metrics.KEY, params.KEY or tags.KEY to show; may be repeated (default: the first ones)",
    )  # fmt: skip
    parser.add_argument("--status", action="append", metavar="STATUS", help="only of this status; may be repeated")
    parser.add_argument("--deleted", action="store_true", help="those that are deleted")
    parser.add_argument("--limit", type=int, metavar="N", help="most runs (default: 100)")
    parser.add_argument("--history", metavar="KEY", help="the points of a metric")
    parser.add_argument("--artifacts", action="store_true", help="its artifacts")
    parser.add_argument("--download", metavar="PATH", help="write an artifact into the current folder")
    parser.add_argument("--delete", action="store_true", help="delete it")
    parser.add_argument("--restore", action="store_true", help="restore it")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.uid is not None:
        return _one(client, options)
    for name in OF_ONE:
        if getattr(options, name):
            raise Unusable(f"--{name} is for one run: give its identifier")
    limit = 100 if options.limit is None else options.limit
    if limit < 1:
        raise Unusable(f"--limit is {limit}: expected at least 1")
    found = client.runs(
        experiments=options.experiment, filter=options.filter, order=options.order, columns=options.column, statuses=options.status, limit=limit,
        lifecycle="deleted" if options.deleted else "active",
    )  # fmt: skip
    print_json({"runs": list(found)}) if options.json else print_tables([found.table])
    return OK


def _one(client: Client, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json, print_tables

    given = [name for name in OF_MANY if getattr(options, name)]
    if given:
        raise Unusable(f"--{given[0]} is for lists: leave it out, or leave out the identifier")
    wanted = [name for name in OF_ONE if getattr(options, name)]
    if len(wanted) > 1:
        raise Unusable(f"--{wanted[0]} and --{wanted[1]} exclude each other: give one")
    found = client.run(options.uid)
    if options.history is not None:
        history = found.history(options.history)
        print_json({"points": list(history)}) if options.json else print_tables([history.table])
    elif options.artifacts:
        artifacts = found.artifacts()
        print_json({"artifacts": list(artifacts)}) if options.json else print_tables([artifacts.table])
    elif options.download is not None:
        say(f"wrote {found.download(options.download)}")
    elif options.delete or options.restore:
        found.delete() if options.delete else found.restore()
        say(f"run {options.uid} is {'deleted' if options.delete else 'restored'}")
    else:
        info = found.info()
        print_json(info.data) if options.json else print_facts(info)
    return OK
