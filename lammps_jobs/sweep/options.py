"""Options of the sweep command."""

from __future__ import annotations

import argparse
import math

from tailrace.durations import parse_duration
from tailrace.errors import Unusable
from tailrace.launchers.containers import RUNTIMES
from tailrace.launchers.schedulers import LAUNCHERS

from lammps_jobs.sweep.parameter_space import PARAMETERS, SAMPLERS, RangeError, values_of
from lammps_jobs.sweep.plan import MODES

__all__ = ["parser"]

USUAL = {"x": "2:6", "y": "2:6", "z": "2:6", "processes": "1", "steps": "100"}
MEANING = {
    "x": "repetitions of the cell along x",
    "y": "along y",
    "z": "along z",
    "processes": "MPI processes",
    "steps": "time steps",
}
EPILOG = """\
A RANGE is 8, or 4,8,16, or 3:9 (9 included), or 2:16:2.
To resume a sweep that was stopped, run the same command again.

  python -m lammps_jobs sweep train --x 2:6 --y 2:6 --z 2:6 --iters 30 --recipes runtime,linear
  python -m lammps_jobs sweep predict --x 2:6 --y 2:6 --z 2:6 --iters 10 --seed 2
  python -m lammps_jobs sweep train --launcher slurm --processes 1,2,4 --time 00:10:00 --option=--partition=debug
  python -m lammps_jobs sweep train --input hns --launcher flux --nodes 6 --processes 48 --x 1:32 --y 1:8 --z 1:16 \\
      --container singularity --image lammps.sif --dry-run
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the sweep command."""
    top = argparse.ArgumentParser(
        prog="python -m lammps_jobs sweep",
        description="Run many LAMMPS jobs over ranges of sizes. In train mode, each job reports its loop time, and the "
        "models of a stream learn it. In predict mode, the models predict each job first, and a report shows their errors.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "mode", choices=MODES, help="train: models learn the results. predict: models predict the results, as a test"
    )
    _add_jobs(top.add_argument_group("which jobs"))
    _add_server(top.add_argument_group("which models"))
    _add_ways(top.add_argument_group("how they are run"))
    return top


def _add_jobs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--input",
        default="melt",
        metavar="NAME",
        help="melt, hns, or a LAMMPS input of your own (default: %(default)s)",
    )
    for name in PARAMETERS:
        group.add_argument(
            f"--{name}", type=_range, default=_range(USUAL[name]), metavar="RANGE",
            help=f"{MEANING[name]} (default: {USUAL[name]})",
        )  # fmt: skip
    group.add_argument(
        "--sample", choices=SAMPLERS, default="random",
        help="random combinations, the whole grid, or a Latin hypercube (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--iters", type=_count, metavar="N", help="number of combinations (default: 10; with --sample grid: all)"
    )
    group.add_argument("--seed", type=_seed, default=1, metavar="N", help="seed of the choice (default: %(default)s)")
    group.add_argument("--directory", metavar="DIR", help="directory of the sweep (default: sweep-MODE)")


def _add_server(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--stream", default="lammps-runtime", metavar="NAME", help="the stream (default: %(default)s)")
    group.add_argument(
        "--recipes", type=_names, default=[], metavar="LIST",
        help="train: create the stream, and models from these recipes, if they do not exist; separated by commas",
    )  # fmt: skip
    group.add_argument(
        "--models", type=_names, default=[], metavar="LIST",
        help="predict: models to test, separated by commas (default: all models of the stream)",
    )  # fmt: skip
    group.add_argument("--url", help="the server (default: TAILRACE_URL, or http://127.0.0.1:8080)")


def _add_ways(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--launcher", choices=list(LAUNCHERS), default="local", help="(default: %(default)s)")
    group.add_argument(
        "--option", action="append", default=[], metavar="WORD",
        help="another argument for sbatch, qsub, bsub or flux run, such as --option=--partition=debug; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--mpi", default="", metavar="COMMAND",
        help="command that starts LAMMPS instead of the launcher's default, such as 'srun --mpi=pmi2 -n {processes}'",
    )  # fmt: skip
    group.add_argument("--nodes", type=_count, default=1, metavar="N", help="nodes of each job (default: %(default)s)")
    group.add_argument(
        "--time", type=_limit, metavar="TIME", help="time limit of each job, such as 01:30:00, 1-00:00:00 or 90m"
    )
    group.add_argument(
        "--at-once",
        type=_count,
        metavar="N",
        help="most jobs that run or wait at a time (default: 1 on this machine, 16 in a queue)",
    )
    group.add_argument(
        "--container", choices=RUNTIMES, default="none", help="program that runs the image (default: none)"
    )
    group.add_argument("--image", default="", help="image with LAMMPS: a .sif file, a name, or a directory")
    group.add_argument("--lmp", metavar="PROGRAM", help="LAMMPS (default: lmp next to this Python, or on the PATH)")
    group.add_argument("--dry-run", action="store_true", help="print the commands without running them")


def _range(text: str) -> tuple[int, ...]:
    try:
        return values_of(text)
    except RangeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: expected a whole number from 1 to 999999")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or not int(text) < 2**30:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: expected a whole number from 0 to {2**30 - 1}")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _limit(text: str) -> int:
    try:
        seconds = math.ceil(parse_duration(text))
    except Unusable as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 < seconds < 10**8:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time limit: expected more than 0, and less than three years"
        )
    return seconds
