"""Show how models' metrics changed with each observation: at most 512 points, however long the stream is.

examples:
  tailrace history runtime
  tailrace history runtime linear --plot errors.png
  tailrace history runtime --json | jq '.points[-1]'
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="model", help="the models")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the rolling error instead; the name ends in .png, .svg or .pdf"
    )
    parser.add_argument("--json", action="store_true", help="print the server's answers as JSON, one per line")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.handles.client import Client

    client = Client(options.url)
    found = [client.model(name).history() for name in options.models]
    if options.plot is not None:
        from tailrace.pictures.model_plots import draw_history

        draw_history(found, options.plot)
    if options.json:
        for one in found:
            print_json(one.data)
    elif options.plot is None:
        print_tables([one.table for one in found])
    else:
        print(f"tailrace: drew {options.plot}")
    return OK
