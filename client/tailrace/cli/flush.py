"""Deliver what `tailrace post` had to keep on disk: each stream in order, each observation exactly once.

Run it from anywhere that sees the directory: a login node, cron, the next job. Two at once do no harm, here or on
different nodes. What the server refuses for good is set aside in `refused/` with the reason beside it; a stream that the
token may not post to goes on waiting and does not hold up the others.

An observation is delivered to the server that it was posted to, and to no other: what was kept for another one is counted,
and waits. --from delivers it to this one, such as after a server has moved.

examples:
  tailrace flush
  tailrace flush --from http://old-head:8080            deliver here what was meant for a server that has moved
  tailrace flush --watch 60                             stay, and look again every minute, until SIGTERM
  */10 * * * *  tailrace flush --quiet --deadline 300   in a crontab

exit codes:
  0  nothing waits any more
  1  something still waits: the server is away, wants another token, the deadline has passed, or it is another server's
  2  the command line can't be used
  4  all is delivered but what the server refused for good
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple

from tailrace.cli import OK, PROBLEM, say
from tailrace.cli.arguments import seconds

if TYPE_CHECKING:
    from tailrace.server import Server
    from tailrace.spool import Spool

REFUSED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spool", metavar="DIR", help="where they wait (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline", type=seconds, default=600.0, metavar="SECONDS", help="for all of them (default: %(default)g)"
    )
    parser.add_argument(
        "--from", dest="moved", action="append", default=[], metavar="URL",
        help="deliver here what was meant for that server, too; may be repeated",
    )  # fmt: skip
    parser.add_argument("--watch", type=seconds, metavar="SECONDS", help="stay, and deliver again so often")
    parser.add_argument("--quiet", action="store_true", help="say nothing where nothing waits")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import Unusable
    from tailrace.server import Server, address_of
    from tailrace.spool import Spool

    options.moved = [address_of(url) for url in options.moved]
    server, spool = Server(options.url), Spool(options.spool)
    if options.watch is None:
        if options.spool is not None and not os.path.exists(spool.place):
            raise Unusable(
                f"--spool: there is no directory {spool.place}, and nothing was ever kept there; make it if that is right"
            )
        return _once(server, spool, options)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    code = OK
    told: dict[str, int] = {}
    while not stopped.is_set():
        code = _once(server, spool, options, told)
        stopped.wait(options.watch)
    return code


class _Done(NamedTuple):
    delivered: int
    refused: int
    trouble: Exception | None


def _once(server: Server, spool: Spool, options: argparse.Namespace, told: dict[str, int] | None = None) -> int:
    """Deliver once, and say what came of it. ``told`` is what was said of other servers' before, and is updated."""
    total = len(spool.names())
    delivered, refused, trouble = _flush(server, spool, options)
    elsewhere = spool.elsewhere(server, options.moved)
    waiting = max(0, len(spool.names()) - sum(elsewhere.values()))
    if options.json:
        print(
            json.dumps({"delivered": delivered, "refused": refused, "waiting": waiting, "elsewhere": elsewhere}),
            flush=True,
        )
    elif delivered or refused or not (options.quiet or options.watch):
        print(f"tailrace: delivered {delivered}, refused {refused}, {waiting} waiting in {spool.place}", flush=True)
        if before := spool.refused() - refused:
            print(f"tailrace: {before} refused before, with the reasons in {spool.place}/refused", flush=True)
    if elsewhere != told and not options.json:
        for address, count in elsewhere.items():
            say(
                f"{count} of {address} left in {spool.place}: --url {address} delivers there, --from {address} delivers here"
            )
    if told is not None:
        told.clear()
        told.update(elsewhere)
    if trouble is not None:
        say(f"{waiting} not delivered, kept in {spool.place}: {trouble}")
        return PROBLEM
    if delivered + refused < total - sum(elsewhere.values()) and waiting:
        say(f"{waiting} not delivered within {options.deadline:g} s: run it again")
        return PROBLEM
    return PROBLEM if elsewhere else REFUSED if refused else OK


def _flush(server: Server, spool: Spool, options: argparse.Namespace) -> _Done:
    from tailrace.errors import TailraceError
    from tailrace.progress import Bar

    delivered = refused = 0
    bar = Bar(len(spool.names()))
    try:
        for delivery in spool.flush(server, deadline=options.deadline, moved=options.moved):
            if delivery.refused is None:
                delivered += 1
                if delivery.warning:
                    bar.clear()
                    say(delivery.warning)
            else:
                refused += 1
                bar.clear()
                say(f"refused for good: {delivery.refused}; kept as {delivery.path}")
            bar.show(delivered + refused)
    except TailraceError as error:
        return _Done(delivered, refused, error)
    finally:
        bar.clear()
    return _Done(delivered, refused, None)
