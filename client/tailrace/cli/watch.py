"""Follow models as they learn: write a table of their errors and a picture, and find drift.

Each observation's error comes from the server's log, so none is missed between two looks. The table grows by a line for
each observation and model, and is never seen half-written; started again, the watch goes on where the table ends. It
survives restarts of the server, and ends on SIGTERM, Ctrl-C, --until or --fail-on-drift.

Drift is found where a model's error rises for good (river's Page-Hinkley test on the error by its median). It is
marked in table and picture, and told on standard output.

examples:
  tailrace watch runtime linear --every 30 --plot drift.png --csv drift.csv
  tailrace watch runtime --once --csv drift.csv --fail-on-drift      (in a crontab: exit code 3 on drift)
  tailrace watch runtime --until 500 --json

exit codes:
  0  ended as it should
  1  a model isn't there, the token doesn't hold, a file can't be written
  2  the command line can't be used
  3  drift was found, with --fail-on-drift

It needs the extras river and (for --plot) plot: pip install 'tailrace[river,plot]'.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from tailrace.cli import OK, say
from tailrace.cli.arguments import seconds

if TYPE_CHECKING:
    from tailrace.errors import TailraceError
    from tailrace.watch import News

DRIFTED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="model", help="the models to follow")
    parser.add_argument(
        "--every", type=seconds, default=30.0, metavar="SECONDS", help="between two looks (default: %(default)g)"
    )
    parser.add_argument("--csv", metavar="FILE", help="the table, a line for each observation and model")
    parser.add_argument("--plot", metavar="FILE", help="the picture: png, svg or pdf, by its ending")
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
    ends.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument("--fail-on-drift", action="store_true", help="end with exit code 3 as soon as drift is found")
    parser.add_argument("--json", action="store_true", help="print what is new as JSON, a line for each model")


def run(options: argparse.Namespace) -> int:
    from tailrace.client import Client
    from tailrace.watch import Watch, follow

    watch = Watch(
        Client(options.url), options.models, csv=options.csv, plot=options.plot, window=options.window or 1,
        after=options.after,
    )  # fmt: skip
    told: dict[str, int] = {}

    def tell(news: list[News]) -> None:
        for one in news:
            if told.get(one.model) != one.errors or one.alarms:
                _tell(one, options.json)
            told[one.model] = one.errors

    def trouble(error: TailraceError | None) -> None:
        say("the server is back" if error is None else f"{error}; going on, a try every {options.every:g} s")

    with _Ending() as ending:
        if options.once:
            news = watch.look()
            tell(news)
            return DRIFTED if options.fail_on_drift and any(one.alarms for one in news) else OK
        drifted = follow(
            watch, every=options.every, until=options.until,
            fail_on_drift=options.fail_on_drift, pause=ending.pause, tell=tell, trouble=trouble,
        )  # fmt: skip
        return DRIFTED if drifted and options.fail_on_drift else OK
    return OK


class _Ended(BaseException):
    """SIGTERM or Ctrl-C came; files are replaced whole, so any instant is a good one."""


class _Ending:
    """Within it, SIGTERM and Ctrl-C end the work; leaving by them is no failure."""

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


def _tell(news: News, as_json: bool) -> None:
    if as_json:
        print(json.dumps(news._asdict()), flush=True)
        return
    from tailrace.tables import shown

    error = f"{shown(news.rolling_error)} {news.unit}".rstrip()
    print(f"{news.model}: observation {news.head}, {news.errors} errors, rolling error {error}", flush=True)
    for alarm in news.alarms:
        print(f"{news.model}: DRIFT at observation {alarm}", flush=True)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no count: expected a whole number")
    return int(text)
