"""List the models, or show one: its recipe, its progress and its metrics.

examples:
  tailrace models
  tailrace models --stream lammps-runtime
  tailrace models runtime --at 50             (as it was after observation 50)
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="show this one")
    parser.add_argument("--stream", metavar="NAME", help="list only those on this stream")
    parser.add_argument("--at", type=int, metavar="N", help="show its state after observation N")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json, print_tables
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.model is not None:
        if options.stream is not None:
            raise Unusable("--stream is for the list: name either a model or a stream")
        model = client.model(options.model)
        info = (model if options.at is None else model.as_of(options.at)).info()
        print_json(info.data) if options.json else print_facts(info)
        return OK
    if options.at is not None:
        raise Unusable("--at is for one model: name it")
    if options.stream is not None:
        client.stream(options.stream).info()  # a wrong name is an error, not an empty list
    found = [one for one in client.models.data if options.stream in (None, one["stream"])]
    print_json({"models": found}) if options.json else print_tables([client.models.table(found)])
    return OK
