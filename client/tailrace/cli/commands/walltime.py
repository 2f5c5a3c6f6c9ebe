"""Print the wall time to request for the next job, in the format of a scheduler.

It is the time within which such a job ends with probability --quantile, according to the jobs that the model has learned,
plus --margin, at least --floor, at most --ceiling, rounded up. Nothing is learned.

With --default the command never blocks a submission: if the server does not answer or the model gives no time, it prints the
default and one line on standard error, and the exit code is 0 (with --strict: 1, and nothing is printed). If the job differs
from everything that the model's stream has seen, the time is printed, and a warning on standard error says how.

examples:
  sbatch --time="$(tailrace walltime runtime x=8 y=16 z=8 --default 01:00:00)" job.sh
  qsub -l walltime="$(tailrace walltime runtime x=8 y=16 z=8 --format pbs --margin 10%+30s)" job.sh
  bsub -W "$(tailrace walltime runtime x=8 y=16 z=8 --format lsf --quantile 0.99)" < job.sh
  flux batch -t "$(tailrace walltime runtime x=8 y=16 z=8 --format flux --ceiling 24h)" job.sh

times are HH:MM:SS, D-HH:MM:SS, or numbers with units such as 90s, 5m, 1h30m, 2d.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tailrace.cli.arguments import parse_features, parse_probability, parse_seconds
from tailrace.cli.messages import OK, PROBLEM, say

FORMATS = ("slurm", "pbs", "lsf", "flux", "seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tailrace.durations import parse_duration
    from tailrace.walltime import margin

    parser.add_argument("model", help="a model of a run time, made from the recipe runtime")
    parser.add_argument("features", nargs="*", metavar="name=value", help="the job's features")
    parser.add_argument(
        "--quantile", type=parse_probability, default=0.95, metavar="Q",
        help="probability that the job ends within the time, before the margin; over 0.5 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=FORMATS, default="slurm", help="how the time is written (default: %(default)s)"
    )
    parser.add_argument(
        "--margin", type=_read(margin), default=margin("0s"), metavar="MARGIN",
        help="added for what the model does not know, such as start-up: 10%%, 30s or 10%%+30s (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--floor", type=_read(parse_duration), default=60.0, metavar="TIME", help="request no less (default: 00:01:00)"
    )
    parser.add_argument(
        "--ceiling", type=_read(parse_duration), metavar="TIME", help="request no more, such as a queue's limit"
    )
    parser.add_argument(
        "--default",
        type=_read(parse_duration),
        metavar="TIME",
        help="printed if the server does not answer or the model gives no time",
    )
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=5.0,
        metavar="SECONDS",
        help="for the server's answer (default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="fail instead of printing the default")
    parser.add_argument("--json", action="store_true", help="print the time, the bound and the prediction as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_warnings, silence_prediction_warnings
    from tailrace.errors import TailraceError, Unusable
    from tailrace.handles.client import Client
    from tailrace.walltime import wall_time

    silence_prediction_warnings()
    x = parse_features(options.features)
    if not x:
        raise Unusable("there is no feature: expected name=value, such as x=8")
    model = Client(options.url, deadline=options.deadline).model(options.model)
    try:
        found = wall_time(
            model, x, quantile=options.quantile, margin=options.margin, floor=options.floor, ceiling=options.ceiling
        )
    except Unusable:
        raise
    except TailraceError as error:
        if options.strict or options.default is None:
            say(f"no wall time: {error}" + ("" if options.strict else " (--default sets one for this case)"))
            return PROBLEM
        say(f"no wall time, using the default: {error}")
        _print(options, options.default, {"default": True, "reason": str(error)})
        return OK
    more: dict[str, Any] = {"default": False, "bound": found.bound, "expected": found.expected, "at": found.at}
    more |= {"quantile": found.quantile, "model": found.model}
    if found.warnings:
        more["warnings"] = [warning._asdict() for warning in found.warnings]
    _print(options, found.seconds, more)
    print_warnings(found.warnings)
    return OK


def _print(options: argparse.Namespace, seconds: float, more: dict[str, Any]) -> None:
    from tailrace.durations import format_duration

    text = format_duration(seconds, options.format)
    if not options.json:
        print(text)
        return
    import json

    print(json.dumps({"walltime": text, "seconds": seconds, **more}))


def _read(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns the same reader for argparse, which shows only the messages of its own errors."""
    from tailrace.errors import Unusable

    def read(text: str) -> Any:
        try:
            return reader(text)
        except Unusable as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
