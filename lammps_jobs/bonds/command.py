"""`python -m lammps_jobs bonds SUBCOMMAND`: make and label cells, send them to a server, evaluate and predict.

Each subcommand is a module in `lammps_jobs.bonds.commands`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
from collections.abc import Sequence
from types import FrameType, ModuleType

from tailrace.errors import Refused as ServerRefused
from tailrace.errors import Unreachable

from lammps_jobs.bonds import commands
from lammps_jobs.bonds.types import BondsError
from lammps_jobs.runs.lammps_job import LammpsNotFound

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code.

    0: done. 1: something was refused or failed. 2: wrong command line. 130: interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    names = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("-h", "--help"):
        print(_usage(names))
        return 0
    if name not in names:
        print(f"bonds: there is no subcommand {name!r}\n{_usage(names)}", file=sys.stderr)
        return 2
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"python -m lammps_jobs bonds {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    options = parser.parse_args(rest)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return int(module.run(options))
    except (BondsError, ServerRefused, Unreachable) as error:
        return _trouble(name, str(error), 1)
    except LammpsNotFound as error:
        return _trouble(name, str(error), 2)
    except OSError as error:
        return _trouble(name, f"{error.filename or 'the disk'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _trouble(name, "stopped; finished work is kept", 130)


def _usage(names: Sequence[str]) -> str:
    lines = [f"  {name:10} {_module(name).SUMMARY}" for name in names]
    return "usage: python -m lammps_jobs bonds SUBCOMMAND …\n\n" + "\n".join(
        [*lines, "", "SUBCOMMAND --help shows the options."]
    )


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{commands.__name__}.{name}")


def _trouble(name: str, message: str, code: int) -> int:
    print(f"bonds {name}: {message}", file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
