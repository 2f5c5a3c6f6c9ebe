"""Deliver what `tailrace post` had to keep on disk, in order, each observation exactly once.

Run it from anywhere that sees the directory: a login node, cron, the next job. Two at once do no harm. What the
server refuses for good is set aside in `refused/` with the reason beside it.

examples:
  tailrace flush
  */10 * * * *  tailrace flush --quiet        (in a crontab)
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tailrace.cli import OK, PROBLEM, say
from tailrace.cli.arguments import seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spool", metavar="DIR", help="where they wait (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline", type=seconds, default=600.0, metavar="SECONDS", help="for all of them (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing where nothing waits")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import Refused, Unreachable
    from tailrace.server import Server
    from tailrace.spool import Spool

    server, spool = Server(options.url), Spool(options.spool)
    total = len(spool.waiting())
    delivered, refused = 0, 0
    trouble: Exception | None = None
    bar = _Bar(total)
    try:
        for delivery in spool.flush(server, deadline=options.deadline):
            if delivery.refused is None:
                delivered += 1
            else:
                refused += 1
                bar.clear()
                say(f"refused for good: {delivery.refused}; kept as {delivery.path}")
            bar.show(delivered + refused)
    except (Refused, Unreachable, OSError) as error:
        trouble = error
    bar.clear()
    waiting = len(spool.waiting())
    if options.json:
        print(json.dumps({"delivered": delivered, "refused": refused, "waiting": waiting}))
    elif total or not options.quiet:
        print(f"tailrace: delivered {delivered}, refused {refused}, {waiting} waiting in {spool.directory}")
    if trouble is not None:
        say(f"{waiting} not delivered, kept in {spool.directory}: {trouble}")
    elif waiting and delivered + refused < total:
        say(f"{waiting} not delivered within {options.deadline:g} s: run it again")
    return OK if not waiting and not refused and trouble is None else PROBLEM


class _Bar:
    """How far it is, on a terminal, once it has taken two seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._shown = 0.0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now - self._began < 2 or now - self._shown < 0.2 or not sys.stderr.isatty():
            return
        self._shown = now
        filled = 30 * done // max(1, self._total)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {self._total} ")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
