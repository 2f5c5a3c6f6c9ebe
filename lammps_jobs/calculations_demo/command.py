"""`make demo-calculations`: chains of real calculations on an agent of this machine, and a model of their wall times.

A server and an agent are started. A torsion scan by tblite runs, of which each step starts from the state of the former
one; a calculation that does not converge is held back with the step that depends on it; melts of several sizes run in
LAMMPS, on Slurm where a Slurm answers. The wall time of each finished step is learned.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.errors import TailraceError
from tailrace.handles.client import Client
from tailrace.programs import WALLTIME_STREAM

from lammps_jobs.calculations_demo.work import (
    LOOP_TIMES,
    Submitted,
    follow,
    make_stream,
    metrics_of,
    submit,
)
from lammps_jobs.demo_support.clusters import DemoFailed, add_cluster, wait_for_programs
from lammps_jobs.demo_support.command import PORT, run_demo, working_directory
from lammps_jobs.demo_support.local_agent import PROGRAMS, LocalAgent
from lammps_jobs.demo_support.local_server import LocalServer, ServerFailed
from lammps_jobs.demo_support.tokens import USER, Credentials
from lammps_jobs.runs.lammps_job import ROOT, Programs

if TYPE_CHECKING:
    from lammps_jobs.calculations_demo.screen import Screen

__all__ = ["main"]

PACKAGES = ("rich", "matplotlib", "tblite", "ase")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: see `run_demo`."""
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.calculations_demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--steps", type=int, choices=range(2, 8), default=7, help="most steps of a chain (default: 7)")
    parser.add_argument("--keep", action="store_true", help="leave server and agent running until Ctrl-C")
    options = parser.parse_args(argv)

    def make_screen() -> Screen:
        from lammps_jobs.calculations_demo.screen import Screen

        return Screen(ROOT)

    def work(screen: Screen, programs: Programs) -> None:
        with ExitStack() as stack:
            _demo(screen, stack, options)

    return run_demo(
        "demo-calculations", PACKAGES, make_screen, work, (DemoFailed, ServerFailed, TailraceError), resumes=False
    )


def _demo(screen: Screen, stack: ExitStack, options: argparse.Namespace) -> None:
    started = time.monotonic()
    place = _free_folder(working_directory("demo-calculations"))
    screen.note(f"Starting a server (its output: {screen.path(place / 'server.log')}) …")
    server = stack.enter_context(LocalServer(ROOT, PORT, place / "server.log"))
    screen.serving(server.url, None if server.port == PORT else PORT)
    credentials = Credentials(place / "tokens.json", server)
    owner, admin = Client(server.url, credentials.owner()), Client(server.url, credentials.admin())
    make_stream(owner)
    agents = [_agent(screen, stack, place, server.url, owner, admin, "local")]
    if _slurm_answers():
        agents.append(_agent(screen, stack, place, server.url, owner, admin, "slurm"))
    else:
        screen.note("No Slurm answers here (sinfo): all steps run by the local launcher.")
    submitted = submit(owner, agents[0][0], agents[-1][0], options.steps)
    screen.note(f"Follow them: {submitted.scan.page_url} (sign in as {USER} with {credentials.password()})")

    def check() -> None:
        for name, agent in agents:
            if agent.ended:
                raise DemoFailed(f"the agent of {name} has ended. The end of {agent.log}:\n  {agent.last_words()}")

    follow(submitted, screen.ended, check)
    _results(screen, owner, submitted, place)
    screen.note(f"Done in {time.monotonic() - started:.0f} s. Folders, logs and tokens: {screen.path(place)}/")
    if options.keep:
        screen.note("Server and agent run until you press Ctrl-C.")
        while True:
            time.sleep(60)
    serve = "make serve" if server.port == PORT else f"TAILRACE_BIND=127.0.0.1:{server.port} make serve"
    screen.note(
        f"To look at them: `{serve}`, then open {submitted.scan.page_url} (or start the demo with ARGS=--keep)."
    )


def _results(screen: Screen, owner: Client, submitted: Submitted, place: Path) -> None:
    screen.scan(submitted.scan.info())
    done = sum(step["state"] == "done" for one in submitted.all() for step in one.info()["chain"])
    screen.model(metrics_of(owner, done), WALLTIME_STREAM)
    report = place / "report.html"
    path = owner.path("calculations", str(submitted.scan.id), "report")
    report.write_bytes(owner.receive(path, {"format": "html"}))
    saved = submitted.scan.fetch(place / "files")
    screen.note(
        f"The report of the scan: {screen.path(report)}. Its {len(saved)} pictures: {screen.path(place / 'files')}/"
    )


def _agent(
    screen: Screen, stack: ExitStack, place: Path, url: str, owner: Client, admin: Client, launcher: str
) -> tuple[str, LocalAgent]:
    """Add a cluster, start its agent, and wait until the server knows its programs."""
    name, token = add_cluster(
        admin, f"demo-{launcher}", f"This machine, by the launcher {launcher}", (WALLTIME_STREAM, LOOP_TIMES)
    )
    agent = stack.enter_context(LocalAgent(place / launcher, url, token, launcher, at_once=2))
    screen.note(f"Cluster {name}: its agent starts (site's file: {screen.path(place / launcher / 'agent.toml')}) …")
    wait_for_programs(owner, name, PROGRAMS, lambda: agent.last_words() if agent.ended else None)
    return name, agent


def _slurm_answers() -> bool:
    try:
        done = subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _free_folder(first: Path) -> Path:
    for number in itertools.count(1):
        folder = first / str(number)
        if not folder.exists():
            folder.mkdir(parents=True)
            return folder
    raise AssertionError("numbers do not end")
