"""`make demo-bonds`: from a melt in LAMMPS to the strength of every bond of a large glass, on this machine alone.

LAMMPS makes small glasses, tblite labels their bonds and those of deformed copies, three models learn them cell by cell
from a server and are put to the test on a glass that they never learn, and the best one predicts a large glass. It may
be stopped at any time and started again: nothing is lost and nothing is counted twice.
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
from typing import TYPE_CHECKING, Any

from tailrace.errors import TailraceError

from lammps_jobs.bonds.types import BondsError
from lammps_jobs.local_server import LocalServer, ServerFailed
from lammps_jobs.plan import PlanError
from lammps_jobs.run import LammpsNotFound, Programs

if TYPE_CHECKING:
    from lammps_jobs.bonds.demo_plan import Directory
    from lammps_jobs.bonds.demo_screen import BondsScreen

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
PORT = 8080
PACKAGES = ("rich", "matplotlib", "ase", "tblite", "dscribe", "distributed", "river")
OPTIONS = {
    "atoms": (int, "atoms of each labeled glass (default: 36; tblite's time grows with their third power)"),
    "glasses": (int, "glasses to learn from; one more is held out (default: 3)"),
    "deformations": (int, "how many of the 14 deformations of each are labeled too (default: 14)"),
    "large": (int, "atoms of the glass that is predicted in the end (default: 2000)"),
    "longest": (float, "length up to which atoms are bonded, in Å (default: 4.2)"),
    "seed": (int, "decides the glasses (default: 1)"),
}


class _Unready(Exception):
    """The demo can't run here; the message says what is missing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0, 1 for trouble, 2 for a wrong start, 130 if it was stopped."""
    options = _parser().parse_args(argv)
    try:
        programs = _check_place()
    except (_Unready, LammpsNotFound) as error:
        print(f"demo-bonds: {error}", file=sys.stderr)
        return 2
    from lammps_jobs.bonds.demo_plan import Directory
    from lammps_jobs.bonds.demo_screen import BondsScreen

    screen = BondsScreen(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    directory = Directory(Path(os.environ.get("TAILRACE_VAR_DIR") or ROOT / "var").resolve() / "demo-bonds")
    try:
        with directory.alone():
            _demo(directory, programs, screen, options)
    except PlanError as error:
        screen.trouble(str(error))
        return 2
    except (BondsError, ServerFailed, TailraceError) as error:
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


def _demo(directory: Directory, programs: Programs, screen: BondsScreen, options: argparse.Namespace) -> None:
    from lammps_jobs.bonds.demo_campaign import Campaign
    from lammps_jobs.bonds.demo_plan import resumed
    from lammps_jobs.bonds.demo_stream import with_free_names
    from lammps_jobs.credentials import Credentials

    begun = None if options.fresh else directory.plan()
    plan = resumed(begun, {name: getattr(options, name) for name in OPTIONS})
    if options.fresh and (old := directory.set_aside()) is not None:
        screen.note(f"The demo that was here is now in {screen.path(old)}; its log stays in the database.")
    started = time.monotonic()
    screen.plans(plan)
    directory.path.mkdir(parents=True, exist_ok=True)
    screen.note(f"Starting a server (its output: {screen.path(directory.server_log)}) …")
    with LocalServer(ROOT, PORT, directory.server_log) as server:
        screen.at(server.url, None if server.port == PORT else PORT)
        credentials = Credentials(directory.tokens, server)
        if begun is None:
            plan = with_free_names(server.api(credentials.owner()), plan)
            directory.keep(plan)
        campaign = Campaign(plan, directory, programs, screen)
        campaign.make_cells()
        campaign.learn(server, credentials)
        campaign.predict(server, credentials)
    screen.note(f"All of it took {time.monotonic() - started:.0f} s.")
    screen.go_on(plan, directory, server.port, usual=server.port == PORT)


def _check_place() -> Programs:
    if not (ROOT / "server" / "__main__.py").is_file():
        raise _Unready(f"there is no server in {ROOT}: run it from a checkout of Tailrace, with `make demo-bonds`")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        names = ", ".join(missing)
        raise _Unready(f"not installed for {sys.executable}: {names}; run `make demo-bonds`, which sets up")
    return Programs.find()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lammps_jobs.bonds.demo",
        description="Make glasses with LAMMPS, label their bonds with tblite, learn these and predict a large glass.",
        epilog='With make: make demo-bonds ARGS="--glasses 4". Stopped and started again, it goes on where it was.',
    )
    for name, (kind, what) in OPTIONS.items():
        parse: Any = kind
        parser.add_argument(f"--{name}", type=parse, metavar="Å" if kind is float else "N", help=what)
    parser.add_argument(
        "--fresh", action="store_true", help="start over, on a new stream; what was there is moved aside, not deleted"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
