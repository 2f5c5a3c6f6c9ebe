"""Report a finished LAMMPS job: `python -m lammps_jobs.epilogue --stream S --key K x=8 y=4 z=6`.

The last line of a job script. It reads the job's own Loop time from its log and posts it, with the features
given, as one observation. It never delays the job beyond its deadline, never fails it (the exit code is 0
whatever happens) and never loses its result: what can't be delivered is spooled, and the next epilogue, or
`--flush`, delivers it. A job that didn't complete posts nothing, and says why.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lammps_jobs.log import LogReport, RunNotCompleted, read_log
from lammps_jobs.post import Refused, Server, Undelivered, observations_path
from lammps_jobs.spool import Spool, write_whole

__all__ = ["main"]

MODULE = "python -m lammps_jobs.epilogue"


class _Unusable(Exception):
    """The command line can't be used, for the reason given."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Unusable(f"{message} (see {MODULE} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Report one job, or flush the spool. Always returns 0: a reporting failure never fails a job."""
    try:
        options = _parser().parse_intermixed_args(argv)
        server = Server.from_environment(options.url)
        spool = Spool.from_environment(options.spool)
        if options.flush:
            _flush(server, spool, options.deadline)
        else:
            _report(server, spool, options)
    except (_Unusable, ValueError) as error:
        _say(f"nothing posted: {error}")
    return 0


def _report(server: Server, spool: Spool, options: argparse.Namespace) -> None:
    if not options.stream or not options.key:
        raise _Unusable(f"--stream and --key are needed (see {MODULE} --help)")
    try:
        report = read_log(options.log)
        loop_time = report.loop_time
    except RunNotCompleted as error:
        raise _Unusable(f"{options.log}: {error}") from None
    except OSError as error:
        raise _Unusable(f"the log can't be read: {error.strerror}: {options.log}") from None
    observation = {
        "x": _features(options.features, report),
        "y": loop_time,
        "key": options.key,
        "source": _source(report, options.source),
    }
    _deliver(server, spool, options, observation)


def _deliver(server: Server, spool: Spool, options: argparse.Namespace, observation: dict[str, Any]) -> None:
    stream, ends = options.stream, time.monotonic() + options.deadline
    try:
        answer = server.request("POST", observations_path(stream), observation, deadline=options.deadline)
    except Undelivered as error:
        _keep(spool, stream, observation, str(error))
    except Refused as error:
        _keep(spool, stream, observation, str(error), for_good=error.for_good)
    else:
        number = answer.get("last") if isinstance(answer, dict) else None
        _write(1, f"observation {number} of {stream}: {observation['y']}")
        if options.receipt:
            _write_receipt(Path(options.receipt), answer)
        if (left := ends - time.monotonic()) > 0:
            _flush(server, spool, left, quiet=True)


def _keep(spool: Spool, stream: str, observation: dict[str, Any], reason: str, for_good: bool = False) -> None:
    try:
        if for_good:
            path = spool.refuse(stream, observation, reason)
            _say(f"refused for good: {reason}; kept as {path}")
        else:
            path = spool.put(stream, observation)
            _say(f"not delivered: {reason}; kept as {path} for the next epilogue or --flush")
    except OSError as error:
        # The job's own output is the last place left.
        _say(f"not delivered: {reason}; not kept either ({error}): {stream} {observation}")


def _flush(server: Server, spool: Spool, deadline: float, quiet: bool = False) -> None:
    """Deliver the spool. `quiet` says nothing where there is nothing to say or the server is away."""
    delivered = 0
    trouble: Exception | None = None
    try:
        for delivery in spool.flush(server, deadline=deadline):
            if delivery.refused is None:
                delivered += 1
            else:
                _say(f"refused for good: {delivery.refused}; kept as {delivery.path}")
    except (Refused, Undelivered, OSError) as error:
        trouble = error
    waiting = len(spool.waiting())
    if delivered or not quiet:
        _write(1, f"delivered {delivered} from the spool, {waiting} waiting")
    if trouble is not None and not quiet:
        _say(f"{waiting} not delivered, kept in {spool.directory}: {trouble}")


def _write_receipt(path: Path, answer: Any) -> None:
    try:
        write_whole(path, answer)
    except OSError as error:
        _say(f"delivered, but the receipt can't be written: {error}")


def _features(given: Sequence[str], report: LogReport) -> dict[str, Any]:
    return {"processes": report.processes} | _pairs(given)


def _source(report: LogReport, given: Sequence[str]) -> dict[str, Any]:
    return {
        "program": "lammps",
        "version": report.version,
        "atoms": report.atoms,
        "steps": report.steps,
        "threads": report.threads,
        "wall_time": report.wall_time,
        "cpu_use": report.cpu_use,
        "host": platform.node(),
    } | _pairs(given)


def _pairs(given: Sequence[str]) -> dict[str, Any]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise _Unusable(f"{text!r} is no feature: expected name=value, such as x=8")
        pairs[name] = _value(name, value)
    return pairs


def _value(name: str, text: str) -> float | int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise _Unusable(f"{name} is {text}: expected a finite number")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected seconds, more than 0")
    return seconds


def _say(line: str) -> None:
    _write(2, line)


def _write(descriptor: int, line: str) -> None:
    # Past Python's buffers: where the job's output can't be written (a full disk, a closed pipe), a flush at exit
    # would end in an exit code.
    with contextlib.suppress(OSError):
        os.write(descriptor, f"tailrace: {' '.join(line.split())}\n".encode())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=MODULE,
        description="Post a finished LAMMPS job's Loop time and features to a Tailrace server.",
        epilog="Environment: TAILRACE_URL, TAILRACE_TOKEN, TAILRACE_SPOOL. The exit code is 0 whatever happens.",
    )
    parser.add_argument(
        "features", nargs="*", metavar="name=value", help="the job's features; processes is read from the log"
    )
    parser.add_argument("--log", default="log.lammps", help="the job's log (default: %(default)s)")
    parser.add_argument("--stream", help="the stream to post to, such as lammps-runtime")
    parser.add_argument("--key", help="names this result for ever: posted twice with one key, it counts once")
    parser.add_argument(
        "--source", action="append", default=[], metavar="name=value", help="where it came from; may be repeated"
    )
    parser.add_argument("--receipt", metavar="FILE", help="write the server's answer here")
    parser.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")
    parser.add_argument("--spool", metavar="DIR", help="where undelivered results wait (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline", type=_seconds, default=5.0, metavar="SECONDS", help="for everything (default: %(default)s)"
    )
    parser.add_argument("--flush", action="store_true", help="only deliver what waits in the spool")
    return parser


if __name__ == "__main__":
    sys.exit(main())
