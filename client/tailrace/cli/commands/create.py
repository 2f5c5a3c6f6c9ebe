"""Create a model on a stream, from a recipe or from the description of an estimator.

The model first learns the stream's history in the background; --wait waits until it has. With --target the stream is created
too, if it does not exist. An estimator is described in JSON by its class and parameters: see `tailrace.estimators.description`.

examples:
  tailrace create runtime --stream lammps-runtime --recipe runtime --target loop_time --unit s
  tailrace create quick --stream lammps-runtime --recipe runtime --set degree=2 --set memory=500 --wait
  tailrace create lasso --stream lammps-runtime --estimator lasso.json --flavor regression
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace.cli.arguments import parse_features
from tailrace.cli.messages import OK

if TYPE_CHECKING:
    from tailrace.handles.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the new model's name")
    parser.add_argument("--stream", required=True, metavar="NAME", help="the stream it learns from")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recipe", metavar="NAME", help="the recipe to create it from: tailrace recipes lists them")
    what.add_argument(
        "--estimator", metavar="FILE", help="the description of an estimator in JSON; - reads standard input"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="name=value", help="a parameter of the recipe; may be repeated"
    )
    parser.add_argument("--flavor", metavar="KIND", help="with --estimator: regression, binary, multiclass, cluster …")
    parser.add_argument("--no-backfill", action="store_true", help="learn only new observations, not the history")
    parser.add_argument("--wait", action="store_true", help="wait until it has learned the stream's history")
    parser.add_argument("--target", metavar="NAME", help="create the stream if it does not exist, with this target …")
    parser.add_argument("--unit", metavar="UNIT", help="… in this unit, such as s …")
    parser.add_argument("--features", metavar="a,b,c", help="… with these features (numbers), and no others …")
    parser.add_argument("--segment", metavar="FEATURE", help="… and separate metrics for each value of this feature")
    parser.add_argument("--json", action="store_true", help="print the model as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json
    from tailrace.errors import Unusable
    from tailrace.handles.client import Client

    if options.recipe is None and options.set:
        raise Unusable("--set sets a parameter of a recipe: the description of an estimator holds its own parameters")
    if options.recipe is not None and options.flavor is not None:
        raise Unusable(f"--flavor goes with --estimator: the recipe {options.recipe} has its own flavor")
    if options.recipe is None and options.flavor is None:
        raise Unusable("--estimator needs --flavor, the kind of task: regression, binary, multiclass, cluster …")
    client = Client(options.url)
    estimator = None if options.estimator is None else _described(options.estimator)
    _make_stream(client, options)
    model = client.create(
        options.name, options.stream, options.recipe,
        parameters=parse_features(options.set, "parameter") or None, estimator=estimator, flavor=options.flavor,
        backfill=not options.no_backfill,
    )  # fmt: skip
    if options.wait:
        model.wait()
    info = model.info()
    print_json(info.data) if options.json else print_facts(info)
    return OK


def _make_stream(client: Client, options: argparse.Namespace) -> None:
    from tailrace.errors import Conflict, Unusable

    if options.target is None:
        given = next((name for name in ("unit", "features", "segment") if getattr(options, name) is not None), None)
        if given is not None:
            raise Unusable(f"--{given} describes a new stream: give --target too")
        return
    features = options.features.split(",") if options.features else None
    try:
        client.create_stream(
            options.stream, options.target, options.unit or "", features=features, segment=options.segment
        )
    except Conflict as error:
        if error.code == "stream_differs":
            raise
        # The stream exists already, with the same declaration.


def _described(name: str) -> dict[str, Any]:
    from tailrace.errors import Unusable

    try:
        found = json.loads(sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise Unusable(f"{name} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(f"{name} is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unusable(f"{name} holds no description: expected an object with class, params and optionally steps")
    return found
