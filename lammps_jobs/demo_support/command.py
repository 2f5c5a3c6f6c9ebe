"""Start and end of a demo's command: requirements, signals, error messages, exit codes."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from lammps_jobs.demo_support.names import PlanError
from lammps_jobs.runs.lammps_job import ROOT, LammpsNotFound, Programs

if TYPE_CHECKING:
    from lammps_jobs.demo_support.screen import DemoScreen

    Screen = TypeVar("Screen", bound=DemoScreen)

__all__ = ["PORT", "run_demo", "working_directory"]

PORT = 8080


class _Unready(Exception):
    """The demo can't run here; the message says what is missing."""


def working_directory(name: str) -> Path:
    """Return the directory of a demo: its name in ``TAILRACE_VAR_DIR``, or in ``var`` of the checkout."""
    return Path(os.environ.get("TAILRACE_VAR_DIR") or ROOT / "var").resolve() / name


def run_demo(
    name: str,
    packages: Sequence[str],
    make_screen: Callable[[], Screen],
    work: Callable[[Screen, Programs], None],
    failures: tuple[type[Exception], ...],
    *,
    resumes: bool = True,
) -> int:
    """Run a demo.

    Parameters
    ----------
    name
        The target of ``make`` that runs it.
    packages
        Packages that must be installed.
    make_screen
        Creates its screen. Called after the check that the packages are installed.
    work
        Runs the demo itself.
    failures
        Errors that end the demo with a message.
    resumes
        Whether a new start resumes the demo.

    Returns
    -------
    The exit code: 0; 1 after an error; 2 if it can't be started as asked; 130 if it was interrupted.
    """
    try:
        _check_checkout(name, packages)
        programs = Programs.find()
    except (_Unready, LammpsNotFound) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    screen = make_screen()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        work(screen, programs)
    except PlanError as error:
        screen.trouble(str(error))
        return 2
    except failures as error:
        screen.trouble(str(error))
        if resumes:
            screen.note("Finished work is kept. Run the same command again to resume.")
        return 1
    except OSError as error:
        screen.trouble(
            f"{error.filename or 'the disk'}: {error.strerror} (set TAILRACE_VAR_DIR to use another directory)"
        )
        return 1
    except KeyboardInterrupt:
        screen.stopped()
        return 130
    return 0


def _check_checkout(name: str, packages: Sequence[str]) -> None:
    if not (ROOT / "server" / "__main__.py").is_file():
        raise _Unready(f"there is no server in {ROOT}: run it from a checkout of Tailrace, with `make {name}`")
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        names = ", ".join(missing)
        raise _Unready(f"not installed for {sys.executable}: {names}; run `make {name}`, which sets up")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
