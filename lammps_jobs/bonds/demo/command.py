"""`make demo-bonds`: from a melt in LAMMPS to the strength of every bond of a large glass, on this machine.

LAMMPS makes small glasses, and tblite labels their bonds and those of deformed copies. Three models on a local server
learn them cell by cell, and are evaluated on a glass that they don't learn. The best one predicts a large glass. The
demo can be stopped at any time and started again: nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tailrace.errors import TailraceError

from lammps_jobs.bonds.types import BondsError
from lammps_jobs.demo_support.command import PORT, run_demo, working_directory
from lammps_jobs.demo_support.local_server import LocalServer, ServerFailed
from lammps_jobs.runs.lammps_job import ROOT, Programs

if TYPE_CHECKING:
    from lammps_jobs.bonds.demo.plan import Directory
    from lammps_jobs.bonds.demo.screen import BondsScreen

__all__ = ["main"]

PACKAGES = ("rich", "matplotlib", "ase", "tblite", "dscribe", "distributed", "river")
OPTIONS = {
    "atoms": (int, "atoms of each labeled glass (default: 36; the time of tblite grows with the third power)"),
    "glasses": (int, "glasses to learn from; one more is held out (default: 3)"),
    "deformations": (int, "deformed copies of each glass, 0 to 14 (default: 14)"),
    "large": (int, "atoms of the large glass that is predicted at the end (default: 2000)"),
    "longest": (float, "longest bond, in Å (default: 4.2)"),
    "seed": (int, "seed of the glasses (default: 1)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: see `run_demo`."""
    options = _parser().parse_args(argv)

    def make_screen() -> BondsScreen:
        from lammps_jobs.bonds.demo.screen import BondsScreen

        return BondsScreen(ROOT)

    def work(screen: BondsScreen, programs: Programs) -> None:
        from lammps_jobs.bonds.demo.plan import Directory

        directory = Directory(working_directory("demo-bonds"))
        with directory.alone():
            _demo(directory, programs, screen, options)

    return run_demo("demo-bonds", PACKAGES, make_screen, work, (BondsError, ServerFailed, TailraceError))


def _demo(directory: Directory, programs: Programs, screen: BondsScreen, options: argparse.Namespace) -> None:
    from lammps_jobs.bonds.demo.campaign import Campaign
    from lammps_jobs.bonds.demo.plan import resumed
    from lammps_jobs.demo_support.names import with_free_names
    from lammps_jobs.demo_support.tokens import Credentials

    begun = None if options.fresh else directory.load()
    plan = resumed(begun, {name: getattr(options, name) for name in OPTIONS})
    if options.fresh and (old := directory.set_aside()) is not None:
        screen.note(f"The earlier demo is now in {screen.path(old)}; its log stays in the database.")
    started = time.monotonic()
    screen.plans(plan)
    directory.path.mkdir(parents=True, exist_ok=True)
    screen.note(f"Starting a server (its output: {screen.path(directory.server_log)}) …")
    with LocalServer(ROOT, PORT, directory.server_log) as server:
        screen.serving(server.url, None if server.port == PORT else PORT)
        credentials = Credentials(directory.tokens, server)
        if begun is None:
            plan = with_free_names(server.api(credentials.owner()), plan)
            directory.save(plan)
        campaign = Campaign(plan, directory, programs, screen)
        campaign.make_cells()
        campaign.learn(server, credentials)
        campaign.predict(server, credentials)
    screen.note(f"The demo took {time.monotonic() - started:.0f} s.")
    screen.go_on(plan, directory, server.port, usual=server.port == PORT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.bonds.demo",
        description="Make glasses with LAMMPS, label their bonds with tblite, learn these and predict a large glass.",
        epilog='With make: make demo-bonds ARGS="--glasses 4". If it is stopped and started again, it resumes.',
    )
    for name, (kind, what) in OPTIONS.items():
        parse: Any = kind
        parser.add_argument(f"--{name}", type=parse, metavar="Å" if kind is float else "N", help=what)
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start over, on a new stream; the earlier demo is moved to another directory, not deleted",
    )
    return parser
