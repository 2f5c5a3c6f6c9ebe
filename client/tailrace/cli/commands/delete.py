"""Delete a stream and everything that depends on it: its observations, models, stored predictions, cells and databases.

This can't be undone. It is meant for a stream that was created by a typing error. The command shows what it deletes and asks you
to type the stream's name. The stream's owner and moderators may do this, unless others have created something on the stream.
To correct a stream that you want to keep, retract the wrong observations instead.

examples:
  tailrace delete lammps-runtme
  tailrace delete lammps-runtme --confirm lammps-runtme      in a script
"""

from __future__ import annotations

import argparse
import sys

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream's name")
    parser.add_argument("--confirm", metavar="NAME", help="the stream's name again; without it the command asks for it")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.confirmation import confirmed
    from tailrace.handles.client import Client

    stream = Client(options.url).stream(options.stream)
    info = stream.info() if options.confirm is None and sys.stdin.isatty() else None
    stream.delete(confirmed("stream", options.stream, options.confirm, info))
    print(f"tailrace: stream {options.stream} is deleted")
    return OK
