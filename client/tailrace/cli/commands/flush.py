"""Deliver what `tailrace post` had to store on disk: each stream in order, each observation exactly once.

Run it from any machine that can read the directory: a login node, cron, the next job. Several can run at the same time, on
one node or on different nodes. Observations that the server will never accept move to `refused/`, with the reason in a file
beside each. A stream that the token may not post to stays in the spool and does not block the other streams.

What trainings left behind (tailrace.tracking) is sent, too, to the back ends that each run names: lines of processes that
were killed, from any node that sees the directory. Files of trainings that run are left to these.

Each observation is delivered only to the server that it was posted to. Observations for other servers are counted and stay in
the spool. Use --from to deliver them to this server, for example after a server has moved.

examples:
  tailrace flush
  tailrace flush --from http://old-head:8080            deliver here what was posted to a server that has moved
  tailrace flush --watch 60                             keep running and deliver every minute, until SIGTERM
  tailrace flush --run 0f3c…                            send what one training left behind
  */10 * * * *  tailrace flush --quiet --deadline 300   in a crontab

exit codes:
  0  the spool is empty
  1  observations remain: the server does not answer or refuses the token, the deadline has passed, or they are for another server
  2  the command line is not valid
  4  everything was delivered except what the server will never accept
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from tailrace.cli.arguments import parse_seconds
from tailrace.cli.messages import OK, PROBLEM, say
from tailrace.transport.endpoint import ADDRESS

if TYPE_CHECKING:
    from tailrace.spool.spool import Spool
    from tailrace.transport.server import Server

REFUSED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spool", metavar="DIR", help="the spool's directory (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=600.0,
        metavar="SECONDS",
        help="for the whole delivery (default: %(default)g)",
    )
    parser.add_argument(
        "--from", dest="moved", action="append", default=[], metavar="URL",
        help="also deliver here the observations for that server; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--watch",
        type=parse_seconds,
        metavar="SECONDS",
        help="keep running, and deliver again every SECONDS seconds",
    )
    parser.add_argument("--run", metavar="UID", help="send what this run left behind, and nothing else")
    parser.add_argument("--quiet", action="store_true", help="print nothing if the spool is empty")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import Unusable
    from tailrace.spool.spool import Spool
    from tailrace.transport.endpoint import address_of
    from tailrace.transport.server import Server

    options.moved = [address_of(url) for url in options.moved]
    server, spool = Server(options.url), Spool(options.spool)
    if options.run is not None:
        return _flush_runs(server, options)[0]
    if options.watch is None:
        if options.spool is not None and not os.path.exists(spool.place):
            raise Unusable(
                f"--spool: there is no directory {spool.place}, and nothing was ever stored there; create it if the path is right"
            )
        return _once(server, spool, options)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    code = OK
    reported: dict[str, int] = {}
    while not stopped.is_set():
        code = _once(server, spool, options, reported)
        stopped.wait(options.watch)
    return code


class _Done(NamedTuple):
    delivered: int
    refused: int
    trouble: Exception | None


def _once(server: Server, spool: Spool, options: argparse.Namespace, reported: dict[str, int] | None = None) -> int:
    """Deliver once, and print the result.

    ``reported`` contains the counts for other servers that were printed before, to print them only if they change.
    """
    code, runs = _flush_runs(server, options)
    total = len(spool.names())
    delivered, refused, trouble = _flush(server, spool, options)
    elsewhere = spool.elsewhere(server, options.moved)
    waiting = max(0, len(spool.names()) - sum(elsewhere.values()))
    if options.json:
        counts = {"delivered": delivered, "refused": refused, "waiting": waiting, "elsewhere": elsewhere}
        print(json.dumps({**counts, **({"runs": runs} if runs else {})}), flush=True)
    elif delivered or refused or not (options.quiet or options.watch):
        print(f"tailrace: delivered {delivered}, refused {refused}, {waiting} waiting in {spool.place}", flush=True)
        if before := spool.refused() - refused:
            print(f"tailrace: {before} refused before, with the reasons in {spool.place}/refused", flush=True)
    if elsewhere != reported and not options.json:
        for address, count in elsewhere.items():
            there = f"--url {address} delivers there, " if ADDRESS.fullmatch(address) else ""
            say(f"{count} for {address} remain in {spool.place}: {there}--from {address} delivers here")
    if reported is not None:
        reported.clear()
        reported.update(elsewhere)
    if trouble is not None:
        say(f"{waiting} not delivered, they remain in {spool.place}: {trouble}")
        return PROBLEM
    if delivered + refused < total - sum(elsewhere.values()) and waiting:
        say(f"{waiting} not delivered within {options.deadline:g} s: run it again")
        return PROBLEM
    return PROBLEM if elsewhere or code == PROBLEM else REFUSED if refused or code else OK


def _flush_runs(server: Server, options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Send what trainings left behind, and print the result. Returns an exit code, and the counts if there are runs."""
    from tailrace.tracking.spool_directory import default_place

    place = default_place(options.spool)
    if not os.path.isdir(place):
        return OK, {}
    from tailrace.tracking.flush import flush_runs

    done = flush_runs(place, options.deadline, run=options.run, moved=options.moved, address=server.address)
    if not done.files:
        return OK, {}
    if not options.json and not (options.quiet and not done.left and not done.refused):
        print(
            f"tailrace: runs: {done.sent} lines sent, {done.refused} refused, {done.left} of {done.files} files wait in {place}",
            flush=True,
        )
    for reason in done.reasons:
        say(f"refused for good: {reason}")
    for where, why in done.troubles.items():
        say(f"{where}: {why}")
    if done.busy:
        say(f"{done.busy} files are written or sent by other processes now")
    counts = {"sent": done.sent, "refused": done.refused, "files": done.files, "waiting": done.left, "busy": done.busy}
    return PROBLEM if done.left > done.busy or done.troubles else REFUSED if done.refused else OK, counts


def _flush(server: Server, spool: Spool, options: argparse.Namespace) -> _Done:
    from tailrace.display.progress_bar import ProgressBar
    from tailrace.errors import TailraceError

    delivered = refused = 0
    bar = ProgressBar(len(spool.names()))
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
