"""Backup and restore of a long stream, from SQLite to PostgreSQL and back: how long, and in how much memory."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import bulk, servers
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.rows_bulk import model
from bench.rows_long import FILL, SHORT, STREAM

ENDING = ".gz"


@dataclass(frozen=True)
class Run:
    """One run of a command: what it took in seconds, and its peak memory in MB."""

    seconds: float
    megabytes: float


def backups(context: Context) -> Iterator[Row]:
    """All rows: a long stream is made once, and goes there and back."""
    long, small = _there_and_back(context, context.long), _there_and_back(context, SHORT)
    made, restored = [long[0], long[2]], [long[1], long[3]]
    samples = {"long": [run.__dict__ for run in long], "short": [run.__dict__ for run in small]}
    size = f"{context.long:,} observations"
    for name, runs, databases in (
        ("backup", made, "SQLite and PostgreSQL"),
        ("restore", restored, "PostgreSQL and SQLite"),
    ):
        if name in context.wanted:
            note = f"{size}; {databases}: " + " and ".join(f"{run.seconds:.1f} s" for run in runs)
            yield Row(SPECS[name], max(run.seconds for run in runs), note, samples)
    if "backup-memory" in context.wanted:
        ratios = [big.megabytes / little.megabytes for big, little in zip(long, small, strict=True)]
        note = f"{max(run.megabytes for run in long):.0f} MB by {max(run.megabytes for run in small):.0f} MB"
        yield Row(SPECS["backup-memory"], max(ratios), note, samples)


def _there_and_back(context: Context, observations: int) -> list[Run]:
    """Backup of SQLite, restore into PostgreSQL, backup of that, restore into SQLite."""
    directory = context.directory / f"backup-{observations}"
    directory.mkdir(parents=True, exist_ok=True)
    source = servers.tailrace(directory, name="source")
    source.start()
    try:
        context.say(f"filling a stream with {observations:,} observations")
        model(source.url, STREAM, STREAM)
        bulk.measure(source.url, STREAM, FILL, observations // FILL, seed=1)
    finally:
        source.stop()
    first, second = directory / f"first{ENDING}", directory / f"second{ENDING}"
    runs = []
    try:
        with context.postgresql() as url:
            there = {"TAILRACE_VAR_DIR": str(directory / "there"), "TAILRACE_DATABASE_URL": url}
            back = {"TAILRACE_VAR_DIR": str(directory / "back"), "TAILRACE_DATABASE_URL": ""}
            for command, file, environ in (
                ("backup", first, source.environ),
                ("restore", first, os.environ | there),
                ("backup", second, os.environ | there),
                ("restore", second, os.environ | back),
            ):
                runs.append(_run(command, file, environ))
                context.tick()
    finally:
        source.remove_data()
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return runs


def _run(command: str, file: Path, environ: Mapping[str, str]) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "manage.py", command, str(file)],
        cwd=servers.ROOT, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"manage.py {command} {file} ended with {process.returncode}: {said[-2000:]}")
    return Run(time.perf_counter() - started, usage.ru_maxrss / 1024)


def steps(context: Context) -> int:
    """How often these rows tick."""
    return 8
