"""Delete a stream with all that depends on it, for good: its observations, models, kept predictions, cells and databases.

It is meant for a stream that was made by a typing error. You are shown what would go, and asked to type the stream's name. Its
owner and moderators may do this; what others made of it keeps it. Of a stream that is right, retract wrong observations
instead.

examples:
  tailrace delete lammps-runtme
  tailrace delete lammps-runtme --confirm lammps-runtme      in a script
"""

from __future__ import annotations

import argparse
import sys

from tailrace.cli import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream's name")
    parser.add_argument(
        "--confirm", metavar="NAME", help="the stream's name, once more, instead of typing it when asked"
    )


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.showing import print_facts
    from tailrace.client import Client
    from tailrace.errors import Unusable

    stream = Client(options.url).stream(options.stream)
    if (confirm := options.confirm) is None:
        if not sys.stdin.isatty():
            raise Unusable(f"nobody is there to be asked: --confirm {options.stream} deletes it unasked")
        print_facts(stream.info())
        try:
            confirm = input("All of this will be gone for good. Type the stream's name to delete it: ").strip()
        except EOFError:
            confirm = ""
    if confirm != options.stream:
        raise Unusable(f"{confirm!r} is not the stream's name, {options.stream}: nothing was deleted")
    stream.delete(confirm)
    print(f"tailrace: stream {options.stream} is deleted")
    return OK
