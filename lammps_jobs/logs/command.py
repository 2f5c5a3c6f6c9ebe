"""`python -m lammps_jobs log FILE…`: the content of LAMMPS logs, one JSON object per line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from lammps_jobs.logs.log_reader import read_log

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Print each log's report. Return 0 if every job completed, 1 if one did not, 2 if a file can't be read."""
    parser = argparse.ArgumentParser(prog="python -m lammps_jobs log", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a log, or the captured output of LAMMPS")
    code = 0
    for name in parser.parse_args(argv).files:
        try:
            report = read_log(name)
        except OSError as error:
            print(f"log: {name}: {error.strerror}", file=sys.stderr)
            code = 2
            continue
        loop_time = report.loop_time if report.completed else None
        print(json.dumps({"log": name, "completed": report.completed, "loop_time": loop_time, **asdict(report)}))
        code = max(code, 0 if report.completed else 1)
    return code
