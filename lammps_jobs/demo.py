"""`make demo`: real LAMMPS jobs report their run times, four models learn from each, and are put to the test.

Starts a server, runs the jobs one at a time, and prints and draws how well each model did. It may be stopped at
any time, in any way, and started again: nothing is lost and nothing is counted twice.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tailrace.errors import Refused, Unreachable

from lammps_jobs.campaign import Campaign, JobFailed
from lammps_jobs.credentials import Credentials
from lammps_jobs.local_server import LocalServer, ServerFailed
from lammps_jobs.plan import DemoDirectory, Plan, PlanError, resumed
from lammps_jobs.run import LammpsNotFound, Programs
from lammps_jobs.runtime_stream import with_free_names

if TYPE_CHECKING:
    from lammps_jobs.demo_screen import Screen

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
PORT = 8080
JOBS, HELDOUT, SEED = 30, 10, 1
MOST_PROCESSES = 2


class _Unready(Exception):
    """The demo can't run here; the message says what is missing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0, 1 for trouble, 2 for a wrong start, 130 if it was stopped."""
    options = _parser().parse_args(argv)
    try:
        programs = _check_place()
    except (_Unready, LammpsNotFound) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    from lammps_jobs.demo_screen import Screen

    screen = Screen(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    directory = DemoDirectory(Path(os.environ.get("TAILRACE_VAR_DIR") or ROOT / "var").resolve() / "demo")
    try:
        with directory.alone():
            _demo(directory, programs, screen, options)
    except PlanError as error:
        screen.trouble(str(error))
        return 2
    except (JobFailed, ServerFailed, Refused, Unreachable) as error:
        screen.trouble(str(error))
        screen.note("What was done is kept. Start it again to go on from here.")
        return 1
    except OSError as error:
        screen.trouble(
            f"{error.filename or 'the disk'}: {error.strerror} (TAILRACE_VAR_DIR names another place to work in)"
        )
        return 1
    except KeyboardInterrupt:
        screen.stopped()
        return 130
    return 0


def _demo(directory: DemoDirectory, programs: Programs, screen: Screen, options: argparse.Namespace) -> None:
    if options.fresh and (old := directory.set_aside()) is not None:
        screen.note(f"The demo that was here is now in {screen.path(old)}; its log stays in the database.")
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
        screen.serving(server.url, None if server.port == PORT else PORT)
        credentials = Credentials(directory.tokens, server)
        if not begun:
            plan = with_free_names(server.api(credentials.owner()), plan)
        directory.save(plan)
        _campaign(plan, directory, programs, server, credentials, screen)
    screen.further(plan, server.port, usual=server.port == PORT)


def _campaign(
    plan: Plan,
    directory: DemoDirectory,
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
        heldout = [progress.done(campaign.hold_out(job)) for job in progress.over("held out", plan.held_out())]
    fresh = sum(outcome.fresh for outcome in learned + heldout)
    screen.ended(plan, fresh, time.monotonic() - started)
    screen.busy(learned + heldout)
    screen.table(plan, campaign.metrics(), heldout)
    screen.pictures(directory, learned, heldout)


def _check_place() -> Programs:
    if not (ROOT / "server" / "__main__.py").is_file():
        raise _Unready(f"there is no server in {ROOT}: run it from a checkout of Tailrace, with `make demo`")
    for package in ("rich", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise _Unready(f"{package} is not installed for {sys.executable}: run `make demo`, which sets up")
    return Programs.find()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count: expected a whole number, at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit() or not int(text) < 2**30:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: expected a whole number from 0 to {2**30 - 1}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.demo",
        description="Run real LAMMPS jobs whose epilogues post their run times, and compare four models on them.",
        epilog='With make: make demo ARGS="--jobs 60". Stopped and started again, it goes on where it was.',
    )
    parser.add_argument("--jobs", type=_count, metavar="N", help=f"jobs to learn from (default: {JOBS})")
    parser.add_argument("--heldout", type=_count, metavar="N", help=f"jobs to predict only (default: {HELDOUT})")
    parser.add_argument("--seed", type=_seed, metavar="N", help=f"decides the jobs' sizes (default: {SEED})")
    parser.add_argument(
        "--fresh", action="store_true", help="start over, on a new stream; what was there is moved aside, not deleted"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
