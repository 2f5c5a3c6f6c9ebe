"""Post the finished runs of an experiment to a stream, and predict the next run from its params.

examples:
  tailrace create loss --stream darcy-losses --recipe knn --target loss
  tailrace feed create "darcy flow" darcy-losses --param lr --param width --category operator --metric loss --value min
  tailrace feed create "darcy flow" darcy-times --param width          the target is the wall time
  tailrace feed list "darcy flow"
  tailrace feed show "darcy flow" darcy-losses
  tailrace feed runs "darcy flow" darcy-losses --state left_out         which runs are left out, and why
  tailrace feed backfill "darcy flow" darcy-losses
  tailrace feed delete "darcy flow" darcy-losses                        what was posted stays
  tailrace feed predict "darcy flow" lr=0.01 width=64 operator=FNO

A run is posted when it has finished, once. Its id is the key of the observation.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tailrace.cli.arguments import parse_probability
from tailrace.cli.messages import OK, say
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.tracked_experiment import TrackedExperiment

ACTIONS = ("create", "list", "show", "runs", "backfill", "delete", "predict")
STATES = ("due", "posted", "left_out")
VALUES = ("last", "min", "max")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("experiment", help="name of the experiment")
    parser.add_argument(
        "words", nargs="*", default=[], metavar="STREAM | NAME=VALUE", help="the stream; predict: params of the run"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME", help="create: a param that is a number; may be repeated"
    )
    parser.add_argument(
        "--category", action="append", default=[], metavar="NAME", help="create: a param that is text; may be repeated"
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="create: the metric that is the target (default: the wall time)"
    )
    parser.add_argument(
        "--value", choices=VALUES, default="last", help="create: which value of the metric (default: %(default)s)"
    )
    parser.add_argument("--only-new", action="store_true", help="create: leave out runs that have finished already")
    parser.add_argument("--state", choices=STATES, help="runs: only those in this state")
    parser.add_argument("--stream", metavar="NAME", help="predict: only by models of this stream")
    parser.add_argument(
        "--level", type=parse_probability, default=0.95, metavar="P",
        help="predict: probability of the interval, 0 to 1 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json, print_tables
    from tailrace.handles.client import Client

    experiment = Client(options.url).experiment(options.experiment)
    if options.action == "predict":
        return _predict(experiment, options)
    if options.action == "list":
        if options.words:
            raise Unusable(f"list takes no {options.words[0]!r}: `tailrace feed show` shows one feed")
        found = experiment.feeds()
        print_json({"feeds": list(found)}) if options.json else print_tables([found.table])
        return OK
    if len(options.words) != 1:
        raise Unusable(
            f"{options.action} needs the name of one stream: tailrace feed {options.action} EXPERIMENT STREAM"
        )
    feed = experiment.feed(options.words[0])
    if options.action == "create":
        feed = experiment.create_feed(
            feed.stream, _kinds(options), metric=options.metric, value=options.value, backfill=not options.only_new
        )
    elif options.action == "runs":
        runs = feed.runs(options.state)
        print_json({"runs": list(runs)}) if options.json else print_tables([runs.table])
        return OK
    elif options.action == "backfill":
        count = feed.backfill()
        say(f"{count} {'run is' if count == 1 else 'runs are'} looked at now")
        return OK
    elif options.action == "delete":
        feed.delete()
        say(f"experiment {options.experiment} feeds {feed.stream} no more; what was posted stays")
        return OK
    info = feed.info()
    print_json(info.data) if options.json else print_facts(info)
    return OK


def _kinds(options: argparse.Namespace) -> dict[str, str]:
    kinds = {**dict.fromkeys(options.param, "number"), **dict.fromkeys(options.category, "category")}
    if not kinds:
        raise Unusable("create needs --param or --category: which params are the features")
    if len(kinds) < len(options.param) + len(options.category):
        raise Unusable("a param is given twice: name each once, with --param or --category")
    return kinds


def _predict(experiment: TrackedExperiment, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables

    params: dict[str, Any] = {}
    for word in options.words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise Unusable(f"{word!r} is not a param: expected name=value, such as lr=0.01")
        if name in params:
            raise Unusable(f"{name} is given twice")
        params[name] = text
    if not params:
        raise Unusable("predict needs params, such as lr=0.01")
    found = experiment.predict(params, stream=options.stream, level=options.level)
    print_json({"predictions": list(found)}) if options.json else print_tables([found.table])
    return OK
