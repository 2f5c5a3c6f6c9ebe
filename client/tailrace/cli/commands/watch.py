"""Follow models as they learn: write a table of their errors, draw them, and detect drift.

The errors come from the server's log, so none is missed between two checks. The table gets one line for each observation and
model, and never contains an incomplete line. If started again, the watch continues where the table ends. It continues after
restarts of the server, and ends on SIGTERM, Ctrl-C, --until or --fail-on-drift.

Drift means that a model's error has risen permanently (river's Page-Hinkley test on the error relative to its median). It is
marked in the table and the picture, and printed on standard output.

examples:
  tailrace watch runtime linear --every 30 --plot drift.png --csv drift.csv
  tailrace watch runtime --once --csv drift.csv --fail-on-drift      (in a crontab: exit code 3 on drift)
  tailrace watch runtime --until 500 --json

exit codes:
  0  ended normally
  1  a model does not exist, the token is not valid, a file can't be written
  2  the command line is not valid
  3  drift was detected, with --fail-on-drift

It needs the extras river and (for --plot) plot: pip install 'tailrace[river,plot]'.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from tailrace.cli.arguments import parse_seconds
from tailrace.cli.messages import OK, say

if TYPE_CHECKING:
    from tailrace.errors import TailraceError
    from tailrace.watch.watch import ModelUpdate

DRIFTED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="model", help="the models to follow")
    parser.add_argument(
        "--every",
        type=parse_seconds,
        default=30.0,
        metavar="SECONDS",
        help="time between two checks (default: %(default)g)",
    )
    parser.add_argument("--csv", metavar="FILE", help="the table, a line for each observation and model")
    parser.add_argument("--plot", metavar="FILE", help="the picture; the name ends in .png, .svg or .pdf")
    parser.add_argument(
        "--window",
        type=_count,
        default=100,
        metavar="N",
        help="observations in the rolling error (default: %(default)s)",
    )
    parser.add_argument(
        "--after", type=_count, default=0, metavar="N", help="begin after observation N (default: with the first)"
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--until", type=_count, metavar="N", help="end once every model's stream has N observations")
    ends.add_argument("--once", action="store_true", help="check once and end")
    parser.add_argument("--fail-on-drift", action="store_true", help="end with exit code 3 as soon as drift is found")
    parser.add_argument("--json", action="store_true", help="print what is new as JSON, a line for each model")


def run(options: argparse.Namespace) -> int:
    from tailrace.handles.client import Client
    from tailrace.watch.watch import Watch, follow

    watch = Watch(
        Client(options.url), options.models, csv=options.csv, plot=options.plot, window=options.window or 1,
        after=options.after,
    )  # fmt: skip
    reported: dict[str, int] = {}

    def report(news: list[ModelUpdate]) -> None:
        for one in news:
            if reported.get(one.model) != one.errors or one.alarms:
                _print(one, options.json)
            reported[one.model] = one.errors

    def report_outage(error: TailraceError | None) -> None:
        say("the server is back" if error is None else f"{error}; trying again every {options.every:g} s")

    with _Ending() as ending:
        if options.once:
            news = watch.look()
            report(news)
            return DRIFTED if options.fail_on_drift and any(one.alarms for one in news) else OK
        drifted = follow(
            watch, every=options.every, until=options.until,
            fail_on_drift=options.fail_on_drift, pause=ending.pause, report=report, report_outage=report_outage,
        )  # fmt: skip
        return DRIFTED if drifted and options.fail_on_drift else OK
    return OK


class _Ended(BaseException):
    """SIGTERM or Ctrl-C was received. Files are replaced as a whole, so the work can end at any time."""


class _Ending:
    """A context in which SIGTERM and Ctrl-C end the work without an error."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> _Ending:
        self._never = threading.Event()
        self._before = {number: signal.signal(number, self._end) for number in self.SIGNALS}
        return self

    def pause(self, seconds: float) -> None:
        self._never.wait(seconds)

    def _end(self, number: int, frame: FrameType | None) -> None:
        for each in self.SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise _Ended

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is _Ended


def _print(news: ModelUpdate, as_json: bool) -> None:
    if as_json:
        print(json.dumps(news._asdict()), flush=True)
        return
    from tailrace.display.tables import format_value

    error = f"{format_value(news.rolling_error)} {news.unit}".rstrip()
    print(f"{news.model}: observation {news.head}, {news.errors} errors, rolling error {error}", flush=True)
    for alarm in news.alarms:
        print(f"{news.model}: DRIFT at observation {alarm}", flush=True)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: expected a whole number")
    return int(text)
