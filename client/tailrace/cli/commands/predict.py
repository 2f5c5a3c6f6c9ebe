"""Ask a model for predictions; nothing is learned.

Give one point as name=value, or many in a file: CSV with a header line, or one JSON object per line. If the model gives an
interval, the true value is in it with probability --level.

If a point differs from everything that the model's stream has seen (a feature is unknown or missing, has a value of another kind,
or is outside the range), a warning on standard error says how. With --strict nothing is predicted then, and the exit code is 1.

Values, and cells of a CSV, are read as `tailrace post` reads them: commit=45e7 is text if the stream has text there.

examples:
  tailrace predict runtime x=8 y=16 z=8
  tailrace predict runtime --file jobs.csv --json
  tailrace predict runtime x=8 y=16 z=8 --track      (stored for its label: tailrace label)
"""

from __future__ import annotations

import argparse
from typing import Any

from tailrace.cli.arguments import parse_features, parse_probability, parse_seconds
from tailrace.cli.messages import OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model")
    parser.add_argument("features", nargs="*", metavar="name=value", help="the features of one point")
    parser.add_argument("--file", metavar="FILE", help="many points: .csv, or JSON lines; - reads standard input")
    parser.add_argument(
        "--level",
        type=parse_probability,
        default=0.95,
        metavar="P",
        help="probability of the interval, 0 to 1 (default: %(default)s)",
    )
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--track", action="store_true", help="store the prediction for its label, and print its identifier"
    )
    kept.add_argument("--identifier", metavar="ID", help="store it under this identifier")
    parser.add_argument(
        "--strict", action="store_true", help="refuse points that differ from everything that the stream has seen"
    )
    parser.add_argument(
        "--deadline",
        type=parse_seconds,
        default=30.0,
        metavar="SECONDS",
        help="for each request (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON: an object, or with --file one object per line")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables, print_warnings, silence_prediction_warnings
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client

    silence_prediction_warnings()
    if (options.file is None) is not bool(options.features):
        raise Unusable("expected either features, such as x=8 y=16 z=8, or --file with many points")
    model = Client(options.url, deadline=options.deadline).model(options.model)
    if options.file is None:
        one = model.predict(
            parse_features(options.features), level=options.level, identifier=options.identifier, track=options.track,
            strict=options.strict,
        )  # fmt: skip
        if options.json:
            print_json(_as_json(one))
        else:
            print(one.line)
        print_warnings(one.warnings)
        return OK
    if options.track or options.identifier is not None:
        raise Unusable("--track and --identifier are for one point, not for a file")
    from tailrace.cli.point_files import points_in

    many = model.predict(points_in(options.file), level=options.level, strict=options.strict)
    if options.json:
        for one in many:
            print_json(_as_json(one))
    else:
        print_tables([many.table])
    print_warnings(many.counted_warnings())
    return OK


def _as_json(one: Any) -> dict[str, Any]:
    shown = {"model": one.model, "prediction": one.value, "unit": one.unit, "at": one.at, "x": dict(one.x)}
    if one.low is not None or one.high is not None:
        shown |= {"interval": [one.low, one.high], "level": one.level}
    if one.warnings:
        shown["warnings"] = [warning._asdict() for warning in one.warnings]
    return {**shown, "identifier": one.identifier} if one.identifier else shown
