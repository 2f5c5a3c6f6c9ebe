"""The command lines of launchers: what stands before LAMMPS, and what hands a job's script to a batch system."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LAUNCHERS", "Launcher", "Resources", "make_launcher"]


@dataclass(frozen=True)
class Resources:
    """What a job asks for: nodes, MPI processes, and a time limit in seconds, None for the site's own."""

    nodes: int
    processes: int
    limit: int | None = None

    @property
    def per_node(self) -> int:
        """Processes on the fullest node."""
        return math.ceil(self.processes / self.nodes)


@dataclass(frozen=True)
class Launcher:
    """Runs each job's script here, one process after ``mpiexec``.

    Attributes
    ----------
    options
        More words for the command that the batch system is asked with.
    mpi
        What to start LAMMPS with instead, with ``{nodes}`` and ``{processes}`` in it; empty for the usual.
    """

    options: tuple[str, ...] = ()
    mpi: str = ""

    name = "local"
    inside = True
    """Whether the MPI that starts the processes is the container's own."""
    at_once = 1
    """Jobs that run or wait at a time, unless the user says otherwise: here they would disturb each other's times."""

    def start(self, resources: Resources) -> list[str]:
        """The words before ``lmp`` that start it on its processes."""
        if self.mpi:
            return shlex.split(self.mpi.format(nodes=resources.nodes, processes=resources.processes))
        return self._start(resources)

    def submit(self, script: Path, name: str, output: Path, resources: Resources) -> list[str] | None:
        """The command that hands a script to the batch system; None where the script is run right here."""
        return None

    def _start(self, resources: Resources) -> list[str]:
        return ["mpiexec", "-n", str(resources.processes)] if resources.processes > 1 else []


class Flux(Launcher):
    """Runs each script here, in a Flux instance, which queues what it starts."""

    name, inside, at_once = "flux", False, 16

    def _start(self, resources: Resources) -> list[str]:
        command = ["flux", "run", "-N", str(resources.nodes), "--ntasks", str(resources.processes), "-c", "1"]
        command += ["-o", "cpu-affinity=per-task"]
        command += [] if resources.limit is None else ["--time-limit", f"{resources.limit}s"]
        return command + list(self.options)


class Slurm(Launcher):
    """Hands scripts to Slurm; ``srun`` starts LAMMPS in them."""

    name, inside, at_once = "slurm", False, 16

    def _start(self, resources: Resources) -> list[str]:
        return ["srun", "--ntasks", str(resources.processes)]

    def submit(self, script: Path, name: str, output: Path, resources: Resources) -> list[str]:
        command = ["sbatch", "--parsable", "--job-name", name, "--nodes", str(resources.nodes)]
        command += ["--ntasks", str(resources.processes), "--cpus-per-task", "1"]
        command += [] if resources.limit is None else ["--time", _clock(resources.limit)]
        return [*command, "--chdir", str(script.parent), "--output", str(output), *self.options, str(script)]


class Pbs(Launcher):
    """Hands scripts to PBS Pro or OpenPBS; ``mpiexec`` starts LAMMPS in them."""

    name, inside, at_once = "pbs", False, 16

    def submit(self, script: Path, name: str, output: Path, resources: Resources) -> list[str]:
        each = resources.per_node
        command = ["qsub", "-N", name[:15], "-l", f"select={resources.nodes}:ncpus={each}:mpiprocs={each}"]
        command += [] if resources.limit is None else ["-l", f"walltime={_clock(resources.limit)}"]
        return [*command, "-V", "-j", "oe", "-o", str(output), *self.options, str(script)]


class Lsf(Launcher):
    """Hands scripts to LSF; ``mpiexec`` starts LAMMPS in them."""

    name, inside, at_once = "lsf", False, 16

    def submit(self, script: Path, name: str, output: Path, resources: Resources) -> list[str]:
        command = ["bsub", "-J", name, "-n", str(resources.processes), "-R", f"span[ptile={resources.per_node}]"]
        command += [] if resources.limit is None else ["-W", str(math.ceil(resources.limit / 60))]
        return [*command, "-cwd", str(script.parent), "-o", str(output), *self.options, "/bin/sh", str(script)]


LAUNCHERS: dict[str, type[Launcher]] = {kind.name: kind for kind in (Launcher, Slurm, Flux, Pbs, Lsf)}


def make_launcher(name: str, options: Sequence[str] = (), mpi: str = "") -> Launcher:
    """The launcher of that name. Raises ValueError if `mpi` has another field than nodes and processes."""
    launcher = LAUNCHERS[name](tuple(options), mpi)
    try:
        launcher.start(Resources(1, 1))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"--mpi {mpi!r} can't be read ({error}): expected such as 'srun -n {{processes}}'") from None
    return launcher


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
