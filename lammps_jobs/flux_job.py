"""Report a Flux job from outside of it: `python -m lammps_jobs.flux_job JOB x y z`. What the epilogue scripts call.

Flux says where the job ran; what its log holds is reported as the job itself would (see lammps_jobs.epilogue). It always
exits 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lammps_jobs import epilogue

__all__ = ["main"]

PATIENCE = 30
ASKED = ("TAILRACE_STREAM", "TAILRACE_LOG", "TAILRACE_FEATURES")


def main(argv: Sequence[str] | None = None) -> int:
    """Report the job, and say one line. Always returns 0."""
    parser = argparse.ArgumentParser(prog="python -m lammps_jobs.flux_job", description=__doc__)
    parser.add_argument("job", help="the job's number, in any of Flux's ways to write it")
    parser.add_argument("features", nargs="*", metavar="name[=value]", help="as for lammps_jobs.epilogue")
    parser.add_argument(
        "--asked", action="store_true", help=f"only if its user asked for it, by {', '.join(ASKED)} in its environment"
    )
    options = parser.parse_args(argv)
    try:
        number = _flux("job", "id", "--to=f58plain", options.job).strip()
        system = json.loads(_flux("job", "info", options.job, "jobspec"))["attributes"]["system"]
        began = _began(_flux("job", "info", options.job, "eventlog"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        return _say(f"nothing posted: flux knows nothing of job {options.job}: {' '.join(reason.split())}")
    features = list(options.features)
    if options.asked:
        environment = system.get("environment") or {}
        if not environment.get("TAILRACE_STREAM"):
            return 0
        os.environ.update({name: str(environment[name]) for name in ASKED if name in environment})
        features += [word for word in str(environment.get("TAILRACE_FEATURES", "")).split() if word[0] != "-"]
    os.environ["FLUX_JOB_ID"] = number
    log = Path(system.get("cwd", "."), os.environ.get("TAILRACE_LOG") or "log.lammps")
    return epilogue.main(["--log", str(log), "--since", began, *features])


def _began(eventlog: str) -> str:
    """When the job started, in seconds since 1970; ``Unknown`` where the event isn't there."""
    events: list[dict[str, Any]] = [json.loads(line) for line in eventlog.splitlines() if line.strip()]
    return next((str(event["timestamp"]) for event in reversed(events) if event.get("name") == "start"), "Unknown")


def _flux(*words: str) -> str:
    return subprocess.run(
        ["flux", *words], capture_output=True, text=True, timeout=PATIENCE, check=True, stdin=subprocess.DEVNULL
    ).stdout


def _say(line: str) -> int:
    print(f"tailrace: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
