"""Agents: what one costs its login node, and how soon a job starts on an idle Slurm."""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from bench.agent_server import INTERVAL, AgentServer, submitted
from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT
from tests import slurm

ROWS = ("agent-memory", "agent-cpu", "agent-busy-memory", "agent-busy-cpu", "agent-start")
JOBS = 1_000
PATIENCE = 120
STARTS = 7


def agents(context: Context) -> Iterator[Row]:
    """Run an agent at rest, with many jobs in a recorded queue, and on a real Slurm. CPU is CPU time, not wall time."""
    for kind, jobs in (("agent", 0), ("agent-busy", JOBS)):
        if {f"{kind}-memory", f"{kind}-cpu"} & context.wanted:
            memory, cpu = _watched(context, context.directory / kind, jobs)
            note = f"{jobs:,} jobs, one call of squeue each {INTERVAL} s, its own CPU time not counted" if jobs else ""
            yield Row(SPECS[f"{kind}-memory"], memory, note or "resident memory")
            yield Row(SPECS[f"{kind}-cpu"], cpu, note or f"a sync each {INTERVAL} s")
        context.tick()
    if "agent-start" in context.wanted:
        yield _started(context)
        context.tick()


def _watched(context: Context, place: Path, jobs: int) -> tuple[float, float]:
    """Return memory in MB and CPU in percent of an agent over some intervals."""
    server = AgentServer()
    shutil.rmtree(place, ignore_errors=True)  # of an earlier run
    try:
        (place / "bin").mkdir(parents=True)
        lines = submitted(place / "root", server.url, jobs)
        (place / "queue").write_text("".join(f"{line}\n" for line in lines))
        squeue = place / "bin" / "squeue"
        squeue.write_text(f"#!/bin/sh\nexec cat '{place}/queue'\n")
        squeue.chmod(0o755)
        with _running(place, server.url, {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}) as process:
            _until(lambda: server.syncs >= 2, place)
            before, began = process.cpu_times(), time.monotonic()
            time.sleep((1 if context.quick else 6) * INTERVAL)
            after, seconds = process.cpu_times(), time.monotonic() - began
            used = after.user + after.system - before.user - before.system
            return process.memory_info().rss / 1e6, 100 * used / seconds
    finally:
        server.close()


def _started(context: Context) -> Row:
    """Time from the sync that hands out a step until its job has begun; the wait for the sync is an interval at most."""
    if absent := slurm.missing(*slurm.PROGRAMS):
        raise BenchError(f"{', '.join(absent)} can't be found: {slurm.INSTALL}")
    place, server, taken = context.directory / "agent-start", AgentServer(1.0), []
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        with slurm.running(place / "slurm") as cluster:
            environ = {"SLURM_CONF": str(cluster.conf), "PATH": slurm.SEARCH}
            with _running(place, server.url, environ):
                for n in range(2 if context.quick else STARTS):
                    step = f"start{n}"
                    work = {"step": step, "fence": 1, "attempt": 1, "name": step, "calculation": "1", "program": "idle"}
                    server.work.append({**work, "parameters": {}, "resources": {"seconds": 600}})
                    _until(lambda step=step: step in server.ended, place)  # type: ignore[misc]
                    begun = place / "root" / "steps" / step / "1" / "begun.1"
                    taken.append(begun.stat().st_mtime - server.handed_out[step])
    finally:
        server.close()
    note = f"from {min(taken):.2f} to {max(taken):.2f} s; prepared, permitted, sbatch and the start of the job"
    return Row(SPECS["agent-start"], statistics.median(taken), note, {"seconds": taken})


@contextlib.contextmanager
def _running(place: Path, url: str, environ: Mapping[str, str]) -> Iterator[psutil.Process]:
    (place / "token").write_text("none")
    (place / "token").chmod(0o600)
    (place / "agent.toml").write_text(
        f'server = "{url}"\ntoken_file = "token"\nroot = "root"\nlauncher = "slurm"\nat_once = {JOBS + 10}\n'
        '[limits]\ndisk_free_gb = 0\n[programs.idle]\nmodule = "bench.idle_program:Idle"\n'
    )
    own = {"PYTHONPATH": f"{ROOT / 'client'}{os.pathsep}{ROOT}"}
    with open(place / "agent.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", "agent", "run", "--config", str(place / "agent.toml")],
            env={**os.environ, **environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _until(true: Callable[[], bool], place: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > ends:
            raise BenchError(f"the agent did nothing for {PATIENCE} s: {(place / 'agent.log').read_text()[-500:]}")
        time.sleep(0.05)
