"""Ask a model for predictions; nothing is learned.

One point is given as name=value, many as a file: CSV with a line of names, or one JSON object a line. Where the model
gives an interval, it holds what comes true with the probability --level.

Where a point differs from all that the model's stream has seen (a feature that is unknown or missing, a value of another kind
or outside of the range), standard error says how; with --strict nothing is predicted then, and the exit code is 1.

Values, and cells of a CSV, are read as `tailrace post` reads them: commit=45e7 is text where the stream has text there.

examples:
  tailrace predict runtime x=8 y=16 z=8
  tailrace predict runtime --file jobs.csv --json
  tailrace predict runtime x=8 y=16 z=8 --track      (kept for its label: tailrace label)
"""

from __future__ import annotations

import argparse
from typing import Any

from tailrace.cli import OK
from tailrace.cli.arguments import pairs, seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model")
    parser.add_argument("features", nargs="*", metavar="name=value", help="the features of one point")
    parser.add_argument("--file", metavar="FILE", help="many points: .csv, or JSON lines; - reads standard input")
    parser.add_argument(
        "--level", type=float, default=0.95, metavar="P", help="of the interval, between 0 and 1 (default: %(default)s)"
    )
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--track", action="store_true", help="keep the prediction for its label, and print its identifier"
    )
    kept.add_argument("--identifier", metavar="ID", help="keep it under this identifier")
    parser.add_argument(
        "--strict", action="store_true", help="refuse points that differ from all that the stream has seen"
    )
    parser.add_argument(
        "--deadline", type=seconds, default=30.0, metavar="SECONDS", help="for each request (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: an object, or for a file one a line")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.showing import only_on_standard_error, print_json, print_tables, warned
    from tailrace.client import Client
    from tailrace.errors import Unusable

    only_on_standard_error()
    if (options.file is None) is not bool(options.features):
        raise Unusable("expected either features, such as x=8 y=16 z=8, or --file with many points")
    model = Client(options.url, deadline=options.deadline).model(options.model)
    if options.file is None:
        one = model.predict(
            pairs(options.features), level=options.level, identifier=options.identifier, track=options.track,
            strict=options.strict,
        )  # fmt: skip
        if options.json:
            print_json(_as_json(one))
        else:
            print(one.line)
        warned(one.warnings)
        return OK
    if options.track or options.identifier is not None:
        raise Unusable("--track and --identifier are for one point, not for a file")
    from tailrace.cli.points import points_in

    many = model.predict(points_in(options.file), level=options.level, strict=options.strict)
    if options.json:
        for one in many:
            print_json(_as_json(one))
    else:
        print_tables([many.table])
    warned(many.counted_warnings())
    return OK


def _as_json(one: Any) -> dict[str, Any]:
    shown = {"model": one.model, "prediction": one.value, "unit": one.unit, "at": one.at, "x": dict(one.x)}
    if one.low is not None or one.high is not None:
        shown |= {"interval": [one.low, one.high], "level": one.level}
    if one.warnings:
        shown["warnings"] = [warning._asdict() for warning in one.warnings]
    return {**shown, "identifier": one.identifier} if one.identifier else shown
