"""Reports a finished LAMMPS job: see `lammps_jobs.epilogue`, which job scripts call.

It reads the loop time from the job's log and posts it, with the given features, as one observation. It ends within its
deadline, never fails the job (the exit code is always 0) and never loses the result: an observation that can't be
delivered is stored in the spool, and the next epilogue, or `tailrace flush`, delivers it. If the job did not complete,
it posts nothing and prints the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from tailrace.atomic_files import write_json
from tailrace.cli.arguments import parse_features, parse_seconds, parse_source, value_and_text
from tailrace.errors import Refused, TailraceError, Unusable
from tailrace.observations.idempotency_keys import job_of, key_for
from tailrace.observations.text_values import TextFeatures, as_utf8, texts_of
from tailrace.posting.post import post_observation
from tailrace.spool.spool import Spool
from tailrace.transport.observation_requests import check_stream
from tailrace.transport.server import Server

from lammps_jobs.job_start import job_start
from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.logs.log_report import LogReport, RunNotCompleted
from lammps_jobs.reported_logs import ReportedLog, digest_of_log

__all__ = ["main"]

MODULE = "python -m lammps_jobs.epilogue"
SLACK = 1.0
"""Largest difference of two clocks that is ignored, s.

A kernel dates files by its last tick, and writing takes time.
"""
TICK = 0.05
"""Precision of a file's time and of a process's start, s."""
LATER = 30.0
"""How long after a job's end its log may be dated, s: the scheduler's clock may be behind."""


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
        raise Unusable("no stream is named: use --stream or TAILRACE_STREAM")
    log = Path(options.log)
    try:
        check_stream(options.stream)
    except Unusable as error:
        raise Unusable(f"{error}; the result is still in {log}: report it with the right --stream") from None
    try:
        report = read_log(log)
        changed = log.stat().st_mtime
        loop_time = report.loop_time
    except RunNotCompleted as error:
        raise Unusable(f"{log}: {error}") from None
    except OSError as error:
        raise Unusable(f"the log can't be read: {error.strerror}: {log}") from None
    since = job_start(os.environ) if options.since is None else options.since
    offset = 0.0 if since is None and options.until is None else _clock_offset(log.parent)
    slack = SLACK if offset else TICK
    if since is not None and changed < since + offset - slack:
        anyway = "" if options.since is not None else " (--since 0 reports it anyway)"
        raise Unusable(
            f"{log} is older than the job, which began {since - changed:.0f} s after it was last written: LAMMPS did "
            f"not start, or wrote another log{anyway}"
        )
    if options.until is not None and changed > options.until + offset + LATER:
        raise Unusable(
            f"{log} was written {changed - options.until:.0f} s after the job ended, by another job: give each job a directory "
            "or a log of its own (TAILRACE_LOG)"
        )
    features = _features(options.features, report)
    key = options.key or _key(options.step, log)
    notes = _notes(log, options)
    if notes is not None and not options.key and (other := notes.other_key(key)):
        raise Unusable(
            f"{log} was reported already, as {other}, and has not changed since: LAMMPS did not start, or wrote another log, or this "
            "is a second report of one run (--key KEY reports it anyway)"
        )
    observation = {
        "x": features,
        "y": loop_time,
        "key": key,
        "source": _source(report) | parse_source(options.source),
    }
    if texts := texts_of(features):
        observation["written"] = texts
    posted = post_observation(
        options.stream, observation, server=options.url, spool=options.spool, deadline=options.deadline
    )
    if notes is not None and not posted.known_before and not posted.refused and (posted.answer or posted.kept):
        notes.remember(key)
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


def _notes(log: Path, options: argparse.Namespace) -> ReportedLog | None:
    try:
        return ReportedLog(log, options.stream, options.url, options.spool) if log.is_file() else None
    except OSError:
        return None  # such as a directory that was deleted meanwhile


def _flush(options: argparse.Namespace, deadline: float, quiet: bool = False) -> None:
    """Deliver the spool. With `quiet`, print nothing if nothing was delivered."""
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


def _clock_offset(directory: Path) -> float:
    """Return how far the clock of the directory's file system is ahead of this machine's, s; 0 if not clearly.

    A file server has a clock of its own.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b" ")
            file.flush()
            offset = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:
        return 0.0
    return offset if abs(offset) > SLACK else 0.0


def _write_receipt(path: Path, answer: Mapping[str, Any]) -> None:
    try:
        write_json(path, answer)
    except OSError as error:
        _say(f"delivered, but the receipt can't be written: {error}")


def _key(step: str | None, log: Path) -> str:
    """Return the job's key. Outside of a job, it is made from the log, so that reporting the log twice counts once."""
    if job_of() is not None:
        return key_for(step)
    digest = digest_of_log(log)
    return f"log:{digest}:{step}" if step else f"log:{digest}"


def _features(given: Sequence[str], report: LogReport) -> TextFeatures:
    """Return the features: ``name=value`` as given, and the values of bare names from the log."""
    named = [text for text in given if "=" in text]
    features = TextFeatures({"processes": report.processes})
    more = parse_features(named)
    for name, value in more.items():
        if not isinstance(value, (str, int, float)):
            raise Unusable(f"{name} is {json.dumps(value)}: expected a text, a number, true or false")
    for name in (text for text in given if "=" not in text and text not in more):
        features[name], text = _from_log(name, report)
        if text is not None:
            features.texts[name] = text
    features.texts.update(more.texts)
    features.update(more)
    if isinstance(features["processes"], bool) or features["processes"] != report.processes:
        raise Unusable(
            f"LAMMPS ran on {report.processes} processes, not on {features['processes']}: the program that started it "
            "does not match the MPI that it was built with"
        )
    features["processes"] = report.processes
    features.texts.pop("processes", None)
    return features


def _from_log(name: str, report: LogReport) -> tuple[Any, str | None]:
    known: dict[str, Any] = {"steps": report.steps, "atoms": report.atoms, "threads": report.threads}
    if name in report.several:
        raise Unusable(f"{name} was {', '.join(report.several[name])}: report each run, or give {name}=VALUE")
    if name in report.variables:
        return value_and_text(name, report.variables[name])
    if name in known:
        return known[name], None
    if name == "processes":
        return report.processes or 1, None
    shown = ", ".join(report.variables) or "none"
    raise Unusable(f"{name!r} is not a variable in the log ({shown}): give it as {name}=value")


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


def _since(text: str) -> float:
    """Parse the beginning of a job, see `_time`; 0 if it isn't known."""
    return _time(text) or 0.0


def _time(text: str) -> float | None:
    """Parse seconds since 1970, or a local time in Slurm's format.

    Return None for Slurm's values for an unknown time.
    """
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
            f"{text!r} is not a time: expected such as 2026-11-21T07:13:27, or seconds since 1970"
        ) from None


def _say(line: str) -> None:
    _write(2, line)


def _write(descriptor: int, line: str) -> None:
    # Bypass Python's buffers: a full disk or a closed pipe must not change the exit code when the process ends.
    try:
        os.write(descriptor, f"tailrace: {' '.join(line.split())}\n".encode())
    except OSError:
        pass


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=MODULE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    environ = os.environ.get
    parser.add_argument(
        "features", nargs="*", metavar="name[=value]",
        help="a feature, such as x=8. The value of a bare name, such as x, is read from the log: a variable of the input, "
        "steps, atoms or threads. processes is always read from the log",
    )  # fmt: skip
    parser.add_argument("--stream", default=environ("TAILRACE_STREAM"), help="the stream (default: TAILRACE_STREAM)")
    parser.add_argument("--log", default=environ("TAILRACE_LOG") or "log.lammps", metavar="FILE",
                        help="LAMMPS's log (default: TAILRACE_LOG, or log.lammps)")  # fmt: skip
    parser.add_argument(
        "--key", type=as_utf8, help="idempotency key of this result (default: made from the job's number)"
    )
    parser.add_argument("--step", type=as_utf8, help="name of this run, if the job reports several")
    parser.add_argument(
        "--since", type=_since, metavar="TIME", help="when the job began; an older log is not reported (default: the start of the job's script in Slurm, "
        "PBS and LSF, if this is a part of it)",
    )  # fmt: skip
    parser.add_argument(
        "--until", type=_time, metavar="TIME", help="when the job ended; a log that was written later is not reported"
    )
    parser.add_argument("--source", action="append", default=[], metavar="name=value", help="origin of the observation")
    parser.add_argument("--receipt", metavar="FILE", help="write the server's answer here")
    parser.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")
    parser.add_argument("--spool", metavar="DIR", help="directory for undelivered results (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=5.0,
        metavar="SECONDS",
        help="time limit for everything (default: %(default)s)",
    )
    parser.add_argument("--flush", action="store_true", help="only deliver the results in the spool")
    return parser
