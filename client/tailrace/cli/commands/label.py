"""Add the label of a stored prediction (tailrace predict --track): the value that was measured.

The observation is learned once, and scored on the stored prediction. The same label again changes nothing. A different label
is refused.

example:
  tailrace label 0d9c7c3e-4b1f-4f6e-8f63-3c6e9f0a6a55 --y 120.3
"""

from __future__ import annotations

import argparse

from tailrace.cli.arguments import parse_seconds, parse_source, parse_target
from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("identifier", help="the prediction's identifier")
    parser.add_argument("--y", required=True, metavar="VALUE", help="the measured target")
    parser.add_argument("--model", metavar="NAME", help="the model, if several have a prediction of this identifier")
    parser.add_argument(
        "--source", action="append", default=[], metavar="name=value", help="where it came from; may be repeated"
    )
    parser.add_argument(
        "--deadline", type=parse_seconds, default=30.0, metavar="SECONDS", help="for everything (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json
    from tailrace.handles.client import Client

    client = Client(options.url, deadline=options.deadline)
    source = parse_source(options.source) or None
    y, y_text = parse_target(options.y)
    answer = client.label(options.identifier, y, source, model=options.model, y_text=y_text)
    if options.json:
        print_json(answer.data)
    else:
        print_facts(answer)
    return OK
