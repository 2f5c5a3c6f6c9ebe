"""Say what came true of a prediction that was kept (tailrace predict --track).

Its point is learned, once, and scored on what was predicted then. The same label again changes nothing; another one
is refused.

example:
  tailrace label 0d9c7c3e-4b1f-4f6e-8f63-3c6e9f0a6a55 --y 120.3
"""

from __future__ import annotations

import argparse

from tailrace.cli import OK
from tailrace.cli.arguments import seconds, source_pairs, value_and_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("identifier", help="the prediction's identifier")
    parser.add_argument("--y", required=True, metavar="VALUE", help="the target that came true")
    parser.add_argument("--model", metavar="NAME", help="whose prediction it is, where several have the identifier")
    parser.add_argument(
        "--source", action="append", default=[], metavar="name=value", help="where it came from; may be repeated"
    )
    parser.add_argument(
        "--deadline", type=seconds, default=30.0, metavar="SECONDS", help="for everything (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.showing import print_facts, print_json
    from tailrace.client import Client

    client = Client(options.url, deadline=options.deadline)
    source = source_pairs(options.source) or None
    y, y_text = value_and_text("--y", options.y)
    answer = client.label(options.identifier, y, source, model=options.model, y_text=y_text)
    if options.json:
        print_json(answer.data)
    else:
        print_facts(answer)
    return OK
