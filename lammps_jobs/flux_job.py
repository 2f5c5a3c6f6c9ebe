"""Report a Flux job from outside the job: `python -m lammps_jobs.flux_job JOB x y z`. The epilogue scripts call it.

It asks Flux for the job's directory, and reports the job's log as the job itself would (see lammps_jobs.epilogue). The
exit code is always 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lammps_jobs import epilogue

__all__ = ["main"]

PATIENCE = 30
MOST_ASKED = 10
"""Largest number of later jobs whose directories are asked for."""
ASKED = ("TAILRACE_STREAM", "TAILRACE_LOG", "TAILRACE_FEATURES")


def main(argv: Sequence[str] | None = None) -> int:
    """Report the job, and print one line. Always returns 0."""
    parser = argparse.ArgumentParser(prog="python -m lammps_jobs.flux_job", description=__doc__)
    parser.add_argument("job", help="the job's number, in any notation of Flux")
    parser.add_argument("features", nargs="*", metavar="name[=value]", help="as for lammps_jobs.epilogue")
    parser.add_argument(
        "--asked",
        action="store_true",
        help=f"only if the job's user requested it, by {', '.join(ASKED)} in its environment",
    )
    options = parser.parse_args(argv)
    try:
        number = _plain(options.job)
        system = json.loads(_flux("job", "info", options.job, "jobspec"))["attributes"]["system"]
        directory, environment = Path(system.get("cwd") or "."), system.get("environment") or {}
        if not isinstance(environment, dict):
            raise ValueError(f"its environment is {environment!r:.100}, and no mapping")
        events = _events(_flux("job", "info", options.job, "eventlog"))
        times = {event["name"]: str(event["timestamp"]) for event in events}  # the last of each name
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        return _say(f"nothing posted: flux does not know job {options.job}: {' '.join(reason.split())}")
    if "start" not in times:
        return _say(f"nothing posted: job {options.job} never started")
    features = list(options.features)
    if options.asked:
        if not environment.get("TAILRACE_STREAM"):
            return 0
        os.environ.update({name: str(environment[name]) for name in ASKED if name in environment})
        features += [word for word in str(environment.get("TAILRACE_FEATURES") or "").split() if word[0] != "-"]
    os.environ["FLUX_JOB_ID"] = number
    log = Path(directory, _pattern())
    if other := _successor(events, log, number):
        return _say(
            f"nothing posted: {log} may be that of job {other}, which began in the same directory when job {number} had ended: "
            "give each job a directory or a log of its own (TAILRACE_LOG)"
        )
    until = times.get("finish", "Unknown")
    return epilogue.main(["--log", str(log), "--since", times["start"], "--until", until, *features])


def _events(eventlog: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in eventlog.splitlines() if line.strip()]


def _successor(events: Sequence[Mapping[str, Any]], log: Path, number: str) -> str | None:
    """Return the id of a job that may have written the log after this job's end, as in a chain of jobs in one directory.

    The file's time alone can't tell: the clocks of Flux and of the file server differ. If Flux doesn't say, none.
    """
    try:
        ended = max(float(event["timestamp"]) for event in events if event["name"] == "finish")
        user = next(int(event["context"]["userid"]) for event in events if event["name"] == "submit")
        changed = log.stat().st_mtime
        if changed < ended:
            return None
        said = _flux("jobs", "-a", "-n", f"--user={user}", "--format={id.dec}|{t_run}|{name}")
        later = []
        for line in said.splitlines():
            job, began, name = line.strip().split("|", 2)
            # The job that flux_afterany.sh submits works in that directory, too, and writes no log.
            if name != "tailrace" and _is_between(began, ended, changed):
                later.append(job)
        for job in later[:MOST_ASKED]:
            directory = json.loads(_flux("job", "info", job, "jobspec"))["attributes"]["system"].get("cwd") or "."
            other = _plain(job)
            if other != number and Path(directory, _pattern()) == log:
                return other
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        pass
    return None


def _is_between(moment: str, first: float, last: float) -> bool:
    try:
        return first <= float(moment) <= last
    except ValueError:
        return False  # it hasn't begun


def _plain(job: str) -> str:
    return _flux("job", "id", "--to=f58plain", job).strip()


def _pattern() -> str:
    return os.environ.get("TAILRACE_LOG") or "log.lammps"


def _flux(*words: str) -> str:
    return subprocess.run(
        ["flux", *words], capture_output=True, text=True, timeout=PATIENCE, check=True, stdin=subprocess.DEVNULL
    ).stdout


def _say(line: str) -> int:
    print(f"tailrace: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
