"""``python -m bench.scaling``: what a learn costs as servers, streams, models, features and batches grow.

With ``--write``, the tables of ``docs/explanation/scaling.md`` are replaced by what was measured.
"""

import argparse
import dataclasses
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from bench import load, machine
from bench.cluster import Case, Cost, cost
from bench.context import Context
from bench.errors import BenchError
from bench.servers import ROOT

PAGE = ROOT / "docs" / "explanation" / "scaling.md"
SCRATCH = ROOT / "var" / "bench" / "scaling"
MARK = "<!-- measured: {} -->\n"
END = "<!-- end -->"

Column = tuple[str, Callable[[Cost], str]]

RATE: Column = ("points/s", lambda c: f"{_rounded(c.rate):,}")
MEDIAN: Column = ("median, ms", lambda c: f"{c.p50_ms:.1f}")
WORST: Column = ("99 %, ms", lambda c: f"{c.p99_ms:.1f}")
GROUP: Column = ("points a commit", lambda c: f"{c.group:,.1f}" if c.group < 20 else f"{c.group:,.0f}")
SERVER: Column = ("server, µs", lambda c: _us(c.cpu_us["server"]))
POSTGRESQL: Column = ("PostgreSQL, µs", lambda c: _us(c.cpu_us["postgresql"]))
LOAD: Column = ("load, µs", lambda c: _us(c.cpu_us["load"]))
LOG: Column = ("log, bytes", lambda c: f"{c.log_bytes:,.0f}")
WAL: Column = ("WAL, bytes", lambda c: f"{c.wal_bytes:,.0f}")


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the page.

    Parameters
    ----------
    head
        Of the first column.
    cases
        What stands there, and what is measured for it.
    columns
        What is shown of each.
    """

    head: str
    cases: dict[str, Case]
    columns: tuple[Column, ...] = (RATE, MEDIAN, WORST, GROUP, SERVER, POSTGRESQL, LOAD)


TABLES = {
    "servers": Table(
        "servers",
        {
            "1": Case(),
            "2": Case(instances=2),
            "4": Case(instances=4),
            "2, any stream anywhere": Case(instances=2, kept=False),
            "4, any stream anywhere": Case(instances=4, kept=False),
            "1, not pinned": Case(pinned=False),
            "2, not pinned": Case(instances=2, pinned=False),
        },
    ),
    "streams": Table("streams", {f"{n:,}": Case(streams=n) for n in (1, 8, 64, 512)}),
    "models": Table("models a stream", {str(n): Case(models=n) for n in (1, 2, 5, 10, 20)}),
    "features": Table("features", {f"{n:,}": Case(features=n) for n in (3, 30, 300, 3000)}, (RATE, MEDIAN, WORST, SERVER, POSTGRESQL, LOG, WAL)),
    "batches": Table("points a request", {f"{n:,}": Case(batch=n) for n in (1, 10, 100, 500, 1000)}, (RATE, MEDIAN, WORST, SERVER, POSTGRESQL, LOAD, LOG, WAL)),
}  # fmt: skip


PLAN = ((10, "1"), (1_000, "1"), (1_000, "100"), (100_000, "100"), (100_000, "500"), (100_000, "1,000"))
"""Rates to plan for, in points a second, and the case of ``batches`` by which."""


DATABASE_CPUS = (2, 8, 32)
BUSY = 0.7
"""How much of its CPUs a database may use before those who wait for it notice."""


def main() -> int:
    """Measure, and print the tables or write them into the page."""
    options = _options()
    for name in [name for name in os.environ if name.startswith("TAILRACE_")]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: asked to stop"))  # so that the servers stop too
    SCRATCH.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    found: dict[str, list[str]] = {}
    try:
        load.require_wrk()
        facts = machine.facts(SCRATCH)
        context = Context(SCRATCH, set(), options.quick, lambda: None, console.print)
        for name in options.only or TABLES:
            costs = measured(TABLES[name], context, console)
            found[name] = lines(TABLES[name], costs)
            if name == "batches":
                found["plan"], found["limits"] = plan(costs), limits(costs)
        if not options.only:
            found["machine"] = [
                f"{machine.describe(facts)}; PostgreSQL {postgresql_version(context)}; {facts['at'][:10]}."
            ]
        if options.write:
            page = PAGE.read_text()
            for name, made in found.items():
                page = with_table(page, name, made)
            PAGE.write_text(page)
    except BenchError as exc:
        sys.exit(f"bench: {exc}")
    if not options.write:
        print("\n".join("\n".join([f"{name}\n", *made, ""]) for name, made in found.items()))
    return 0


def measured(wanted: Table, context: Context, console: Console) -> dict[str, Cost]:
    """A table's cases, one after the other, each with a PostgreSQL and servers of its own."""
    costs = {}
    for label, case in wanted.cases.items():
        with context.postgresql() as database:
            costs[label] = cost(case, SCRATCH, database, seconds=context.seconds, rounds=1 if context.quick else 3)
        console.print(f"{wanted.head}: {label}: {costs[label].rate:,.0f} points/s", markup=False, highlight=False)
    return costs


def lines(wanted: Table, costs: Mapping[str, Cost]) -> list[str]:
    """A table in Markdown."""
    rows = [[label, *(show(found) for _, show in wanted.columns)] for label, found in costs.items()]
    return _markdown([wanted.head, *(head for head, _ in wanted.columns)], rows)


def plan(costs: Mapping[str, Cost]) -> list[str]:
    """What rates to plan for come to by what a point was found to cost, in Markdown."""
    heads = ["points/s", "a request", "requests/s", "CPUs: servers", "CPUs: PostgreSQL", "log, GB a day", "WAL, MB/s"]
    rows = []
    for rate, label in PLAN:
        found = costs[label]
        cpus = [f"{rate * found.cpu_us[who] / 1e6:.{1 if rate > 10 else 2}f}" for who in ("server", "postgresql")]
        requests = rate / int(label.replace(",", ""))
        size = (_plain(rate * found.log_bytes * 86_400 / 1e9), _plain(rate * found.wal_bytes / 1e6))
        rows.append([f"{rate:,}", label, f"{requests:,.0f}", *cpus, *size])
    return _markdown(heads, rows)


def limits(costs: Mapping[str, Cost]) -> list[str]:
    """How many points a second keep a PostgreSQL of so many CPUs busy, by points a request, in Markdown."""
    heads = ["points a request", *(f"{cpus} CPUs" for cpus in DATABASE_CPUS), f"WAL at {DATABASE_CPUS[-1]}, MB/s"]
    rows = []
    for label, found in costs.items():
        most = [BUSY * cpus * 1e6 / found.cpu_us["postgresql"] for cpus in DATABASE_CPUS]
        rows.append([label, *(f"{_rounded(rate):,}" for rate in most), _plain(most[-1] * found.wal_bytes / 1e6)])
    return _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", f"|{'---:|' * len(heads)}", *(f"| {' | '.join(cells)} |" for cells in rows)]


def with_table(page: str, name: str, made: Sequence[str]) -> str:
    """The page with other lines between the marks of a table.

    Raises
    ------
    BenchError
        If the page has no such marks.
    """
    begin = MARK.format(name)
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.S)
    if pattern.search(page) is None:
        raise BenchError(f"{PAGE.name} has no {begin.strip()} with an {END} after it")
    text = begin + "\n" + "\n".join(made) + "\n\n" + END
    return pattern.sub(lambda _: text, page)


def postgresql_version(context: Context) -> str:
    """Of the PostgreSQL that the servers kept their logs in."""
    import psycopg2

    with context.postgresql() as database:
        connection = psycopg2.connect(database)
        try:
            number = connection.server_version
        finally:
            connection.close()
    return f"{number // 10_000}.{number % 10_000}"


def _rounded(rate: float) -> int:
    """Two digits: a rate is not known to more on another day."""
    return int(float(f"{rate:.2g}"))


def _plain(value: float) -> str:
    """The same for what may be small."""
    return f"{_rounded(value):,}" if value >= 10 else "< 0.01" if value < 0.01 else f"{value:.2g}"


def _us(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--quick", action="store_true", help="short samples: does everything run?")
    parser.add_argument("--write", action="store_true", help=f"into {Path(PAGE.parent.name) / PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
