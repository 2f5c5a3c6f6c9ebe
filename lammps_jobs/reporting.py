"""What an epilogue reports of a LAMMPS job, and how: see `lammps_jobs.epilogue`, which job scripts call.

It reads the job's own Loop time from its log and posts it, with the features given, as one observation. It never delays
the job beyond its deadline, never fails it (the exit code is 0 whatever happens) and never loses its result: what can't
be delivered is spooled, and the next epilogue, or `tailrace flush`, delivers it. A job that didn't complete posts
nothing, and says why.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from tailrace.cli.arguments import pairs, seconds, source_pairs, value_and_text
from tailrace.errors import Refused, TailraceError, Unusable
from tailrace.keys import job_of, key_for
from tailrace.posting import post_made
from tailrace.server import Server
from tailrace.spool import Spool, write_whole
from tailrace.written import Given, written

from lammps_jobs.log import LogReport, RunNotCompleted, read_log

__all__ = ["main"]

MODULE = "python -m lammps_jobs.epilogue"
TAIL = 1 << 16
SLACK = 1.0
"""Seconds by which two clocks may seem to differ: a kernel dates files by its last tick, and a write takes a moment."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unusable(f"{message} (see {MODULE} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Report one job, or flush the spool. Always returns 0: a reporting failure never fails a job."""
    try:
        options = _parser().parse_intermixed_args(argv)
        if options.flush:
            _flush(options, options.deadline)
        else:
            _report(options)
    except Unusable as error:
        _say(f"nothing posted: {error}")
    except Exception as error:
        _say(f"nothing posted: {type(error).__name__}: {error}")
    return 0


def _report(options: argparse.Namespace) -> None:
    began = time.monotonic()
    if not options.stream:
        raise Unusable("no stream is named: --stream, or TAILRACE_STREAM")
    log = Path(options.log)
    try:
        report = read_log(log)
        changed = log.stat().st_mtime
        loop_time = report.loop_time
    except RunNotCompleted as error:
        raise Unusable(f"{log}: {error}") from None
    except OSError as error:
        raise Unusable(f"the log can't be read: {error.strerror}: {log}") from None
    if options.since is not None and changed < _began(options.since, log.parent):
        raise Unusable(
            f"{log} is older than the job, which began {options.since - changed:.0f} s after it was last written: LAMMPS did "
            "not start, or wrote another log"
        )
    features = _features(options.features, report)
    observation = {
        "x": features,
        "y": loop_time,
        "key": options.key or _key(options.step, log),
        "source": _source(report) | source_pairs(options.source),
    }
    if texts := written(features):
        observation["written"] = texts
    posted = post_made(options.stream, observation, server=options.url, spool=options.spool, deadline=options.deadline)
    if posted.answer is None:
        refused = isinstance(posted.error, Refused) and posted.error.for_good
        kept = "" if posted.kept is None else f"; kept as {posted.kept}"
        later = " for the next epilogue or `tailrace flush`" if kept and not refused else ""
        _say(f"{'refused for good' if refused else 'not delivered'}: {posted.reason}{kept}{later}")
        return
    said = f"observation {posted.answer['last']} of {options.stream}: {loop_time}"
    if posted.known_before:
        said = f"observation {posted.answer['last']} of {options.stream} was known before, and nothing was added"
        if job_of() is not None and not options.key and not (options.step or os.environ.get("TAILRACE_STEP")):
            said += " (another run of the same job needs a name: --step NAME)"
    _write(1, said)
    if posted.warning:
        _say(posted.warning)
    if options.receipt:
        _write_receipt(Path(options.receipt), posted.answer)
    if (left := options.deadline - (time.monotonic() - began)) > 0:
        _flush(options, left, quiet=True)


def _flush(options: argparse.Namespace, deadline: float, quiet: bool = False) -> None:
    """Deliver the spool. `quiet` says nothing where there is nothing to say or the server is away."""
    server, spool = Server(options.url), Spool(options.spool)
    delivered = 0
    trouble: Exception | None = None
    try:
        for delivery in spool.flush(server, deadline=deadline):
            if delivery.refused is None:
                delivered += 1
                if delivery.warning:
                    _say(delivery.warning)
            else:
                _say(f"refused for good: {delivery.refused}; kept as {delivery.path}")
    except (TailraceError, OSError) as error:
        trouble = error
    if quiet and not delivered:
        return
    others = sum(spool.elsewhere(server).values())
    waiting = max(0, len(spool.waiting()) - others)
    if others and not quiet:
        _say(f"{others} meant for other servers left in {spool.directory}: see `tailrace flush`")
    _write(1, f"delivered {delivered} from the spool, {waiting} waiting")
    if trouble is not None and not quiet:
        _say(f"{waiting} not delivered, kept in {spool.directory}: {trouble}")


def _began(since: float, directory: Path) -> float:
    """When the job began, by the clock that dates the files there: a file server's may differ from this machine's."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b" ")
            file.flush()
            offset = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:
        return since
    return since + offset - SLACK if abs(offset) > SLACK else since


def _write_receipt(path: Path, answer: Mapping[str, Any]) -> None:
    try:
        write_whole(path, answer)
    except OSError as error:
        _say(f"delivered, but the receipt can't be written: {error}")


def _key(step: str | None, log: Path) -> str:
    """The job's key; outside of any job, one of the log itself, so that reporting it twice counts once."""
    if job_of() is not None:
        return key_for(step)
    with open(log, "rb") as file:
        # Its end holds the timings, to the microsecond: no two runs have the same.
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        digest = hashlib.sha256(file.read()).hexdigest()[:32]
    return f"log:{digest}" if step is None else f"log:{digest}:{step}"


def _features(given: Sequence[str], report: LogReport) -> Given:
    """``name=value`` as given; a bare ``name`` as the log says it."""
    named = [text for text in given if "=" in text]
    features = Given({"processes": report.processes})
    for name in (text for text in given if "=" not in text):
        features[name], text = _from_log(name, report)
        if text is not None:
            features.written[name] = text
    more = pairs(named)
    features.written.update(more.written)
    features.update(more)
    if features["processes"] != report.processes:
        raise Unusable(
            f"LAMMPS ran on {report.processes} processes, not on {features['processes']}: what started it and the MPI "
            "that it was built with don't go together"
        )
    return features


def _from_log(name: str, report: LogReport) -> tuple[Any, str | None]:
    known: dict[str, Any] = {"steps": report.steps, "atoms": report.atoms, "threads": report.threads}
    if name in report.variables:
        return value_and_text(name, report.variables[name])
    if name in known:
        return known[name], None
    if name == "processes":
        return report.processes or 1, None
    shown = ", ".join(report.variables) or "none"
    raise Unusable(f"{name!r} is no variable that the log shows ({shown}): give it as {name}=value")


def _source(report: LogReport) -> dict[str, Any]:
    source = {
        "program": "lammps",
        "version": report.version,
        "atoms": report.atoms,
        "steps": report.steps,
        "threads": report.threads,
        "wall_time": report.wall_time,
        "cpu_use": report.cpu_use,
        "host": os.uname().nodename,
    }
    job = job_of()
    return source if job is None else source | {"job": job}


def _since(text: str) -> float | None:
    """Seconds since 1970, or a local time as Slurm writes it; None where Slurm doesn't know."""
    if text in ("", "Unknown", "None", "N/A"):
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: expected such as 2026-11-21T07:13:27, or seconds since 1970"
        ) from None


def _say(line: str) -> None:
    _write(2, line)


def _write(descriptor: int, line: str) -> None:
    # Past Python's buffers: a full disk or a closed pipe must not turn into an exit code as the process ends.
    try:
        os.write(descriptor, f"tailrace: {' '.join(line.split())}\n".encode())
    except OSError:
        pass


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=MODULE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    environ = os.environ.get
    parser.add_argument(
        "features", nargs="*", metavar="name[=value]",
        help="a feature, such as x=8; a bare name, such as x, is read from the log: a variable that the input used, "
        "steps, atoms or threads. processes is always read from there",
    )  # fmt: skip
    parser.add_argument("--stream", default=environ("TAILRACE_STREAM"), help="the stream (default: TAILRACE_STREAM)")
    parser.add_argument("--log", default=environ("TAILRACE_LOG") or "log.lammps", metavar="FILE",
                        help="LAMMPS's log (default: TAILRACE_LOG, or log.lammps)")  # fmt: skip
    parser.add_argument("--key", help="names this result for ever (default: made from the job's number)")
    parser.add_argument("--step", help="which run of the job this is, where it reports several")
    parser.add_argument("--since", type=_since, metavar="TIME", help="when the job began: an older log is not its own")
    parser.add_argument("--source", action="append", default=[], metavar="name=value", help="where it came from")
    parser.add_argument("--receipt", metavar="FILE", help="write the server's answer here")
    parser.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")
    parser.add_argument("--spool", metavar="DIR", help="where undelivered results wait (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline", type=seconds, default=5.0, metavar="SECONDS", help="for everything (default: %(default)s)"
    )
    parser.add_argument("--flush", action="store_true", help="only deliver what waits in the spool")
    return parser
