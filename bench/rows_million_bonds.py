"""A campaign's decision over 1,000 cells and 1,000,000 bonds, and the coverage by families that it waits for."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT


def decisions(context: Context) -> Iterator[Row]:
    """Fill an empty SQLite database, and measure in fresh processes: the file of vectors is made, and is there."""
    cells = 100 if context.quick else 1000
    var = context.directory / "million-bonds"
    var.mkdir()
    environ = {**os.environ, "TAILRACE_VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "server.settings"}

    def run(*argv: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=environ | more, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"{argv} failed: {done.stderr.strip()[-500:]}")
        context.tick()
        return done.stdout

    def measured(what: str, **more: str) -> Any:
        return json.loads(run("-m", "bench.million_bonds", what, **more))

    run("manage.py", "migrate")
    run("-m", "bench.million_bonds", "fill", str(cells))
    for what, name in (("coverage", "cells-coverage"), ("decision", "campaign-decision")):
        first, second = measured(what), measured(what)
        other = measured(what, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1")
        if not first["found"] == second["found"] == other["found"]:
            raise BenchError(f"another processor or number of threads gives another {what}")
        note = f"{cells:,} cells of 1,000 bonds; {second['busy']:.1f} s of CPU time"
        if what == "coverage":
            note += f"; {first['seconds']:.1f} s where the file of vectors is made first"
        samples = {"first": first, "second": second, "haswell": other}
        yield Row(SPECS[name], second["seconds"], note, samples)
        yield Row(SPECS[f"{name}-memory"], max(first["memory"], second["memory"]), "the most of both", samples)
