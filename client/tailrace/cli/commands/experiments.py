"""List the experiments, or show one, delete it or restore it.

examples:
  tailrace experiments
  tailrace experiments "darcy flow"
  tailrace experiments "darcy flow" --delete
  tailrace experiments "darcy flow" --restore

A deleted experiment and its runs can be restored until the server removes them for good (30 days by default).
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="show this one")
    parser.add_argument("--delete", action="store_true", help="delete it, with its runs")
    parser.add_argument("--restore", action="store_true", help="restore it, with the runs that were deleted with it")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json, print_tables
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.delete and options.restore:
        raise Unusable("--delete and --restore exclude each other: give one")
    if options.name is None:
        if options.delete or options.restore:
            raise Unusable("--delete and --restore are for one experiment: name it")
        found = client.experiments()
        print_json({"experiments": list(found)}) if options.json else print_tables([found.table])
        return OK
    experiment = client.experiment(options.name)
    if options.delete or options.restore:
        experiment.delete() if options.delete else experiment.restore()
        say(f"experiment {options.name} is {'deleted' if options.delete else 'restored'}")
        return OK
    info = experiment.info()
    print_json(info.data) if options.json else print_facts(info)
    return OK
