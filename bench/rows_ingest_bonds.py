"""Bringing a labeled cell to a server whose models learn it: `bonds ingest`, from reading its files to the acknowledgement."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import calls, servers
from bench.accuracy import DATA
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row

CELLS = DATA.parent / "bonds"
GLASS = "Zr49Cu49Al2-21"
STREAM = "ingested"
RECIPES = ("bond-gpr", "bond-distance", "bond-forest")
# What Python needs to start is imported first: for a campaign's cells, which one command brings, it is paid once.
RUN = """
import json, sys, time
import ase.io, dscribe.descriptors
from lammps_jobs.bonds.learning import ingest
from lammps_jobs.__main__ import main
sys.argv = ["lammps_jobs", "bonds", "ingest", *sys.argv[1:]]
before = time.perf_counter()
code = main()
print(json.dumps({"seconds": time.perf_counter() - before}))
sys.exit(code)
"""


def ingesting(context: Context) -> Iterator[Row]:
    """A reference cell a round, each by a command of its own: read, checked, described, posted, learned by three models.

    Raises
    ------
    BenchError
        If the reference cells are not there, a command fails, or the log lacks what was acknowledged.
    """
    rounds = context.rounds
    cells = [CELLS / f"{GLASS}-{number:02d}" for number in range(rounds + 1)]
    missing = [cell.name for cell in cells if not cell.is_dir()]
    if missing:
        raise BenchError(f"there is no {missing[0]} in ../shared/data/bonds beside the repository")
    server = servers.tailrace(context.directory, name="ingesting")
    runs: list[dict[str, Any]] = []
    with servers.running(server):
        _make_models(server.url)
        for cell in cells:
            before = calls.head(server.url, STREAM)
            run = _ingested(cell, server)
            run["bonds"] = calls.head(server.url, STREAM) - before
            if not 500 < run["bonds"] < 2000:
                raise BenchError(f"{cell.name} was posted, and the log has {run['bonds']} bonds more")
            runs.append(run)
            context.tick()
        for recipe in RECIPES:
            if calls.learned(server.url, recipe) != calls.head(server.url, STREAM):
                raise BenchError(f"{recipe} has not learned all that was acknowledged")
    measured = runs[1:]  # the first one has the server's imports in it
    seconds = [run["seconds"] for run in measured]
    whole = statistics.median(run["whole_seconds"] for run in measured)
    bonds = statistics.median(run["bonds"] for run in measured)
    note = f"{bonds:.0f} bonds, {', '.join(RECIPES)}; slowest of {rounds} {max(seconds):.2f} s; with Python's start "
    yield Row(SPECS["bonds-ingest"], statistics.median(seconds), f"{note}and imports {whole:.2f} s", {"runs": runs})


def _make_models(url: str) -> None:
    from tailrace.transport.server import Server

    from lammps_jobs.bonds.descriptors.soap import Descriptor
    from lammps_jobs.bonds.learning.ingest import Ingest

    Ingest(Server(url), STREAM, Descriptor())
    for recipe in RECIPES:
        calls.call(f"{url}/api/v1/models/", "POST", {"name": recipe, "stream": STREAM, "recipe": recipe})


def _ingested(cell: Path, server: servers.Server) -> dict[str, Any]:
    """Seconds of one command, with and without Python's start."""
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(cell), "--stream", STREAM, "--url", server.url],
        cwd=servers.ROOT, env=os.environ | {"PYTHONPATH": f"{servers.ROOT}{os.pathsep}{servers.ROOT / 'client'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    whole = time.perf_counter() - before
    if done.returncode != 0:
        raise BenchError(f"{cell.name} could not be posted: {(done.stderr or done.stdout).strip()[-500:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole_seconds": whole}
