"""Say how often a stream should get observations. One that gets none for longer is silent, and whoever watches is told.

Whether it is stands in `tailrace streams STREAM`; the server's metrics say it, and the alert rules beside it have an alert. A
stream that never got any is new, not silent. Its owner and moderators may do this.

examples:
  tailrace expect lammps-runtime --every 1d --grace 6h
  tailrace expect lammps-runtime --never
"""

from __future__ import annotations

import argparse

from tailrace.cli import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream's name")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--every", metavar="TIME", help="the longest time between two, such as 90m, 1d or 1-00:00:00")
    how.add_argument("--never", action="store_true", help="none is expected any more")
    parser.add_argument(
        "--grace", default="0s", metavar="TIME", help="how much later is late, but not silent (default: 0s)"
    )


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.showing import print_facts
    from tailrace.client import Client

    stream = Client(options.url).stream(options.stream)
    stream.expect(None if options.never else options.every, options.grace)
    print_facts(stream.info())
    return OK
