"""Calculations: syncs of agents and lists of people where many steps wait, in a process of its own."""

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

ROWS = {
    "calc-sync": "sync",
    "calc-claim": "claim",
    "calc-agents": "agents",
    "calc-list": "list",
    "calc-list-state": "list-state",
    "calc-list-text": "list-text",
}


def calculations(context: Context) -> Iterator[Row]:
    """Fill an empty SQLite database, and time each kind of call in turn."""
    steps = 10_000 if context.quick else 100_000
    var = context.directory / "calculations"
    shutil.rmtree(var, ignore_errors=True)  # of an earlier run
    var.mkdir()
    environ = {**os.environ, "TAILRACE_VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "server.settings"}
    for argv in (["manage.py", "migrate"], ["-m", "bench.waiting_steps", str(steps), str(7 * context.rounds)]):
        done = subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"{argv} failed: {done.stderr.strip()[-500:]}")
        context.tick()
    measured = json.loads(done.stdout)
    for name, key in ROWS.items():
        yield Row(SPECS[name], measured[key], f"{steps:,} steps wait; median", measured)
