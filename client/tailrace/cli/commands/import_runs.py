"""Import runs that other tools kept on disk: Neptune's .neptune, W&B's wandb/offline-run-*, MLflow's mlruns.

The path is such a directory, or that of a project which contains some. Nothing of it is changed, and none of these tools is
needed. Each run keeps its metrics with steps and times, parameters, tags and artifacts. Importing again stores nothing twice.

Runs are written into the spool of runs and sent from there. If the server does not answer, `tailrace flush` sends them later.

examples:
  tailrace import-runs ~/project                      everything in it
  tailrace import-runs .neptune --experiment melts    into one experiment
  tailrace import-runs wandb --backend mlflow         to the MLflow server of MLFLOW_TRACKING_URI
  tailrace import-runs mlruns --list                  show what would be imported

exit codes:
  0  all runs were imported
  1  something was not sent, or could not be read
  2  the command line is not valid
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from tailrace.cli.arguments import parse_seconds
from tailrace.cli.messages import OK, PROBLEM, say

MOST_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the directory, or one file of W&B")
    parser.add_argument(
        "--experiment", metavar="NAME", default="", help="import into this experiment (default: the tool's)"
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=("tailrace", "mlflow"),
        help="where to send them (default: tailrace); may be repeated",
    )
    parser.add_argument("--tracking-uri", metavar="URL", help="the MLflow server (default: MLFLOW_TRACKING_URI)")
    parser.add_argument("--spool", metavar="DIR", help="the spool's directory (default: TAILRACE_SPOOL)")
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=600.0,
        metavar="SECONDS",
        help="for sending each run (default: %(default)g)",
    )
    parser.add_argument("--list", action="store_true", help="show the runs, and import nothing")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each run")


def run(options: argparse.Namespace) -> int:
    from tailrace.errors import TailraceError, Unusable
    from tailrace.tracking.backends import find_backends
    from tailrace.tracking.flush import flush_runs
    from tailrace.tracking.importers.find import find_runs
    from tailrace.tracking.importers.imported import to_spool
    from tailrace.tracking.spool_directory import default_place

    more = {"url": options.url, "tracking_uri": options.tracking_uri}
    backends = find_backends(options.backend or ["tailrace"], more, options.experiment or "imported")
    place = default_place(options.spool)
    count, code = 0, OK
    runs = find_runs(options.path)
    while True:
        try:
            tool, found = next(runs)
        except StopIteration:
            break
        except Unusable:
            raise
        except TailraceError as error:
            say(str(error))
            code = PROBLEM
            break
        count += 1
        waits = False
        if not options.list:
            try:
                to_spool(found, place, backends, options.experiment)
            except OSError as error:
                say(f"{place} can't be written: {error.strerror or error}")
                return PROBLEM
            done = flush_runs(place, options.deadline, run=found.uid)
            waits = bool(done.left)
            for line in (*done.reasons, *done.troubles.values()):
                say(line)
            code = PROBLEM if waits else code
        _show(tool, found, options, waits)
    if not count:
        raise Unusable(f"there are no runs in {options.path}: expected .neptune, wandb/offline-run-* or mlruns")
    return code


def _show(tool: str, found: Any, options: argparse.Namespace, waits: bool) -> None:
    if options.json:
        counts = {
            "run": found.uid, "tool": tool, "name": found.name, "experiment": options.experiment or found.experiment,
            "points": len(found.points), "params": len(found.params), "tags": len(found.tags),
            "artifacts": len(found.artifacts) + len(found.texts), "status": found.status, "waits": waits, "left_out": found.left_out,
        }  # fmt: skip
        print(json.dumps(counts), flush=True)
        return
    print(
        f"tailrace: {tool} run {found.name or found.uid}: {len(found.points)} points, {len(found.params)} params, "
        f"{len(found.artifacts) + len(found.texts)} artifacts{' (waits in the spool)' if waits else ''}: {found.uid}",
        flush=True,
    )
    for why in found.left_out[:MOST_SHOWN]:
        say(f"left out: {why}")
    if len(found.left_out) > MOST_SHOWN:
        say(f"left out: {len(found.left_out) - MOST_SHOWN} more; --json shows them")
