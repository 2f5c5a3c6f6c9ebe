"""``python -m bench``: every row of the table in one run, side by side."""

import argparse
import difflib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import load, machine, peer_env, report
from bench.context import Context
from bench.errors import BenchError
from bench.groups import GROUPS
from bench.rows import SPECS, Row
from bench.servers import ROOT

RESULT = ROOT / "var" / "bench.json"
SCRATCH = ROOT / "var" / "bench"
ACCURACY = "accuracy"


def main() -> int:
    """Measure, print and write; 0 if every row that was asked for reaches its target (with --quick: was measured)."""
    console = Console(stderr=not sys.stdout.isatty())
    options = _options()
    if options.list:
        for spec in SPECS.values():
            print(f"{spec.name:24} {spec.target_text:>9}  {spec.what}")
        print(f"{ACCURACY:24} {'':>9}  what bench/accuracy.py finds on real LAMMPS run times")
        return 0
    for name in [name for name in os.environ if name.startswith("TAILRACE_")]:
        del os.environ[name]  # every server is measured with its defaults
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: asked to stop"))  # so that the servers stop too
    SCRATCH.mkdir(parents=True, exist_ok=True)
    wanted = set(options.only or (*SPECS, ACCURACY))
    try:
        load.require_wrk()
    except BenchError as exc:
        sys.exit(f"bench: {exc}")
    started = time.monotonic()
    facts = machine.facts(SCRATCH)
    rows = _measure(console, wanted - {ACCURACY}, options.quick)
    if (python := SCRATCH / "peer-venv" / "bin" / "python").exists():
        facts["peer"] = peer_env.facts(python)
    accuracy, why_not = _accuracy() if ACCURACY in wanted else ([], None)
    rows.sort(key=lambda row: list(SPECS).index(row.spec.name))
    took = time.monotonic() - started
    out = Console(width=None if sys.stdout.isatty() else 160)
    if rows:
        report.show(out, rows)
    if accuracy:
        report.show_accuracy(out, accuracy)
    if why_not:
        out.print(f"Accuracy was not measured: {why_not}", markup=False)
    out.print(f"{machine.describe(facts)}. {took / 60:.1f} minutes; every sample is in {_shown(RESULT)}.", markup=False)
    content: dict[str, Any] = {
        "quick": options.quick, "seconds": took, "machine": facts,
        "rows": [row.as_json() for row in rows], "accuracy": accuracy, "accuracy_error": why_not,
    }  # fmt: skip
    report.write(RESULT, content)
    if options.quick:
        out.print("This was --quick: it shows that everything runs; its figures are too noisy to judge by.")
        return 1 if any(row.error for row in rows) else 0
    return 0 if all(row.ok for row in rows) and all(row["ok"] for row in accuracy) and not why_not else 1


def _measure(console: Console, wanted: set[str], quick: bool) -> list[Row]:
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[Row] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting")
        context = Context(
            SCRATCH, wanted, quick, lambda: progress.advance(task), lambda line: progress.console.print(line)
        )
        groups = [(group, wanted & set(group.rows)) for group in GROUPS if wanted & set(group.rows)]
        steps = [group.steps(context, len(names)) for group, names in groups]
        progress.update(task, total=sum(steps))
        for number, (group, names) in enumerate(groups):
            progress.update(task, description=min(names, key=group.rows.index), completed=sum(steps[:number]))
            try:
                for row in group.measure(context):
                    rows.append(row)
                    progress.console.print(_line(row), markup=False, highlight=False)
                continue
            except BenchError as exc:
                why = str(exc)
            except KeyboardInterrupt:
                why = "interrupted"
            except Exception as exc:  # minutes of other rows must not be lost to a fault in this one
                progress.console.print_exception()
                why = f"{type(exc).__name__}: {exc}"
            done = {row.spec.name for row in rows}
            for name in (name for name in group.rows if name in names - done):
                rows.append(Row(SPECS[name], error=why))
                progress.console.print(_line(rows[-1]), markup=False, highlight=False)
            if why == "interrupted":
                break
        progress.update(task, description="done", completed=sum(steps))
    return rows


def _line(row: Row) -> str:
    if row.error is not None:
        return f"{row.spec.name}: {row.error}"
    return f"{row.spec.name}: {row.value:.2f} {row.spec.unit} ({row.spec.target_text}), {row.note}"


def _accuracy() -> tuple[list[dict[str, Any]], str | None]:
    from bench import accuracy

    try:
        return accuracy.rows(), None
    except FileNotFoundError as exc:
        return [], f"{exc.filename} is not there"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="measure these rows (see --list)")
    parser.add_argument(
        "--quick", action="store_true", help="short samples and a short stream: a test of the benchmark"
    )
    parser.add_argument("--list", action="store_true", help="print the rows and their targets")
    options = parser.parse_args()
    names = [*SPECS, ACCURACY]
    for name in options.only or ():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`--list` shows them"
            parser.error(f"there is no row {name!r}: {hint}")
    return options


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
