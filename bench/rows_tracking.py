"""Lists of runs, in a process of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT

ROWS = {"tracking-list": "all", "tracking-list-chosen": "chosen", "tracking-list-page": "page"}


def lists(context: Context) -> Iterator[Row]:
    """Fill an empty SQLite database with runs, and time lists of them."""
    runs = 1_000 if context.quick else 10_000
    var = context.directory / "tracking"
    shutil.rmtree(var, ignore_errors=True)  # of an earlier run
    var.mkdir()
    environ = {**os.environ, "TAILRACE_VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "server.settings"}
    for argv in (["manage.py", "migrate"], ["-m", "bench.tracked_runs", str(runs), str(context.rounds)]):
        done = subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"{argv} failed: {done.stderr.strip()[-500:]}")
        context.tick()
    measured = json.loads(done.stdout)
    for name, key in ROWS.items():
        found = measured[key]
        note = f"{runs:,} runs; {found['bytes'] / 1e6:.1f} MB; {found['cpu']:.0f} ms of CPU time; median"
        yield Row(SPECS[name], found["ms"], note, measured)
