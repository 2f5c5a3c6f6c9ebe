"""Set how often a stream should get observations. A stream that gets none for longer is silent, and alerts report it.

`tailrace streams STREAM` shows whether a stream is silent. The server's metrics include it, and the alert rules in
monitoring/ have an alert for it. A stream that never got an observation is new, not silent. The stream's owner and
moderators may do this.

examples:
  tailrace expect lammps-runtime --every 1d --grace 6h
  tailrace expect lammps-runtime --never
"""

from __future__ import annotations

import argparse

from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream's name")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--every", metavar="TIME", help="the longest time between two observations, such as 90m, 1d or 1-00:00:00"
    )
    how.add_argument("--never", action="store_true", help="expect no observations any more")
    parser.add_argument(
        "--grace",
        default="0s",
        metavar="TIME",
        help="how much later an observation may come before the stream is silent (default: 0s)",
    )


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts
    from tailrace.handles.client import Client

    stream = Client(options.url).stream(options.stream)
    stream.expect(None if options.never else options.every, options.grace)
    print_facts(stream.info())
    return OK
