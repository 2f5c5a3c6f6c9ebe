"""List the streams, or show one: its target, features, models and last observations.

examples:
  tailrace streams
  tailrace streams lammps-runtime
  tailrace streams lammps-runtime --tail 20
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", nargs="?", help="show this one")
    parser.add_argument("--tail", type=int, metavar="N", help="its last N observations")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json, print_tables
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.stream is None:
        if options.tail is not None:
            raise Unusable("--tail is for one stream: name it")
        found = client.streams.data
        print_json({"streams": found}) if options.json else print_tables([client.streams.table(found)])
        return OK
    stream = client.stream(options.stream)
    if options.tail is not None:
        if options.tail < 1:
            raise Unusable(f"--tail is {options.tail}: expected at least 1")
        last = stream.tail(options.tail)
        print_json({"observations": last.data}) if options.json else print_tables([last.table])
        return OK
    info = stream.info()
    print_json(info.data) if options.json else print_facts(info)
    return OK
