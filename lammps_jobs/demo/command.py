"""`make demo`: real LAMMPS jobs report their run times, four models learn from each, and are evaluated.

The demo starts a server, runs the jobs one at a time, and prints and draws the errors of each model. It can be stopped
at any time and started again: nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tailrace.errors import Refused, Unreachable

from lammps_jobs.demo.campaign import Campaign, JobFailed
from lammps_jobs.demo.plan import Directory, Plan, resumed
from lammps_jobs.demo_support.command import PORT, run_demo, working_directory
from lammps_jobs.demo_support.local_server import LocalServer, ServerFailed
from lammps_jobs.demo_support.names import with_free_names
from lammps_jobs.demo_support.tokens import USER, Credentials
from lammps_jobs.runs.lammps_job import ROOT, Programs

if TYPE_CHECKING:
    from lammps_jobs.demo.screen import Screen

__all__ = ["main"]

PACKAGES = ("rich", "matplotlib")
JOBS, HELDOUT, SEED = 30, 10, 1
MOST_PROCESSES = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: see `run_demo`."""
    options = _parser().parse_args(argv)

    def make_screen() -> Screen:
        from lammps_jobs.demo.screen import Screen

        return Screen(ROOT)

    def work(screen: Screen, programs: Programs) -> None:
        directory = Directory(working_directory("demo"))
        with directory.alone():
            _demo(directory, programs, screen, options)

    return run_demo("demo", PACKAGES, make_screen, work, (JobFailed, ServerFailed, Refused, Unreachable))


def _demo(directory: Directory, programs: Programs, screen: Screen, options: argparse.Namespace) -> None:
    if options.fresh and (old := directory.set_aside()) is not None:
        screen.note(f"The earlier demo is now in {screen.path(old)}; its log stays in the database.")
    plan = directory.load()
    begun = plan is not None
    if plan is None:
        plan = Plan(
            seed=SEED if options.seed is None else options.seed,
            jobs=options.jobs or JOBS,
            heldout=options.heldout or HELDOUT,
            cores=min(MOST_PROCESSES, len(os.sched_getaffinity(0))),
        )
    else:
        plan = resumed(plan, options.jobs, options.heldout, options.seed)
    plan.check()
    directory.path.mkdir(parents=True, exist_ok=True)
    screen.note(f"Starting a server (its output: {screen.path(directory.server_log)}) …")
    with LocalServer(ROOT, PORT, directory.server_log) as server:
        screen.serving(
            server.url,
            None if server.port == PORT else PORT,
            ": that of the jobs can learn into their stream, and do nothing else",
        )
        credentials = Credentials(directory.tokens, server)
        if not begun:
            plan = with_free_names(server.api(credentials.owner()), plan)
        directory.save(plan)
        screen.watching(server.url, plan, USER, credentials.password())
        _campaign(plan, directory, programs, server, credentials, screen)
    screen.further(plan, server.port, usual=server.port == PORT)


def _campaign(
    plan: Plan,
    directory: Directory,
    programs: Programs,
    server: LocalServer,
    credentials: Credentials,
    screen: Screen,
) -> None:
    started = time.monotonic()
    campaign = Campaign(plan, directory, programs, server, credentials, screen.note)
    campaign.prepare()
    screen.begins(plan)
    with screen.progress(plan) as progress:
        learned = [progress.done(campaign.learn(job)) for job in progress.over("to learn from", plan.training())]
        campaign.deliver()
        heldout = [progress.done(campaign.hold_out(job)) for job in progress.over("held out", plan.held_out())]
    fresh = sum(outcome.fresh for outcome in learned + heldout)
    screen.ended(plan, fresh, time.monotonic() - started)
    screen.busy(learned + heldout)
    screen.table(plan, campaign.metrics(), heldout)
    screen.pictures(directory, learned, heldout)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: expected a whole number, at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit() or not int(text) < 2**30:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: expected a whole number from 0 to {2**30 - 1}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.demo",
        description="Run real LAMMPS jobs whose epilogues post their run times, and compare four models on them.",
        epilog='With make: make demo ARGS="--jobs 60". If it is stopped and started again, it resumes.',
    )
    parser.add_argument("--jobs", type=_count, metavar="N", help=f"jobs to learn from (default: {JOBS})")
    parser.add_argument(
        "--heldout", type=_count, metavar="N", help=f"jobs that are predicted but not learned (default: {HELDOUT})"
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help=f"seed of the jobs' sizes (default: {SEED})")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start over, on a new stream; the earlier demo is moved to another directory, not deleted",
    )
    return parser
