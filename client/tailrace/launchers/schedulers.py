"""Launchers: commands that start a program on several processes, and that submit a script to a batch system."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LAUNCHERS", "Launcher", "Resources", "make_launcher"]


@dataclass(frozen=True)
class Resources:
    """Resources of a job.

    Attributes
    ----------
    nodes, processes
        Number of nodes, and of MPI processes on all of them.
    limit
        Time limit in seconds. None: the site's default.
    """

    nodes: int
    processes: int
    limit: int | None = None

    @property
    def per_node(self) -> int:
        """Largest number of processes on one node."""
        return math.ceil(self.processes / self.nodes)


@dataclass(frozen=True)
class Launcher:
    """Runs each job's script on this machine, where ``mpiexec`` starts LAMMPS.

    Attributes
    ----------
    options
        Further options for the command of the batch system.
    mpi
        Command that starts LAMMPS instead of the default. It may contain ``{nodes}`` and ``{processes}``. Empty: the
        default.
    """

    options: tuple[str, ...] = ()
    mpi: str = ""

    name = "local"
    inside = True
    """Whether the MPI launcher runs inside the container."""
    at_once = 1
    """Default number of jobs that run or wait at the same time. On one machine, more would distort the run times."""

    def start(self, resources: Resources) -> list[str]:
        """Returns the words before ``lmp`` that start it on all processes."""
        if self.mpi:
            return shlex.split(self.mpi.format(nodes=resources.nodes, processes=resources.processes))
        return self._start(resources)

    def submit(
        self, script: Path, name: str, output: Path, resources: Resources, fence: str | None = None
    ) -> list[str] | None:
        """Returns the command that submits a script to the batch system. None: the script runs on this machine.

        With a `fence`, the job can be found by name and fence (`tailrace.launchers.job_queues`), and the batch system is
        told to start it once: no requeue, and no second job of this name at the same time.
        """
        return None

    def _start(self, resources: Resources) -> list[str]:
        return ["mpiexec", "-n", str(resources.processes)] if resources.processes > 1 else []


class Flux(Launcher):
    """Runs each script on this machine, in a Flux instance. Flux queues the programs that the script starts."""

    name, inside, at_once = "flux", False, 16

    def _start(self, resources: Resources) -> list[str]:
        command = ["flux", "run", "-N", str(resources.nodes), "--ntasks", str(resources.processes), "-c", "1"]
        command += ["-o", "cpu-affinity=per-task"]
        command += [] if resources.limit is None else ["--time-limit", f"{resources.limit}s"]
        return command + list(self.options)


class Slurm(Launcher):
    """Submits scripts to Slurm, where ``srun`` starts LAMMPS."""

    name, inside, at_once = "slurm", False, 16

    def _start(self, resources: Resources) -> list[str]:
        return ["srun", "--ntasks", str(resources.processes)]

    def submit(
        self, script: Path, name: str, output: Path, resources: Resources, fence: str | None = None
    ) -> list[str]:
        command = ["sbatch", "--parsable", "--job-name", name, "--nodes", str(resources.nodes)]
        command += ["--ntasks", str(resources.processes), "--cpus-per-task", "1"]
        command += [] if resources.limit is None else ["--time", _clock(resources.limit)]
        command += ["--chdir", str(script.parent), "--output", _not_a_pattern(output), *self.options]
        # After the site's options, because the last one counts.
        once = [] if fence is None else ["--comment", fence, "--dependency", "singleton", "--no-requeue"]
        return [*command, *once, str(script)]


class Pbs(Launcher):
    """Submits scripts to PBS Pro or OpenPBS, where ``mpiexec`` starts LAMMPS."""

    name, inside, at_once = "pbs", False, 16

    def submit(
        self, script: Path, name: str, output: Path, resources: Resources, fence: str | None = None
    ) -> list[str]:
        each = resources.per_node
        command = ["qsub", "-N", name[:15], "-l", f"select={resources.nodes}:ncpus={each}:mpiprocs={each}"]
        command += [] if resources.limit is None else ["-l", f"walltime={_clock(resources.limit)}"]
        once = [] if fence is None else ["-r", "n"]
        return [*command, "-V", "-j", "oe", "-o", str(output), *self.options, *once, str(script)]


class Lsf(Launcher):
    """Submits scripts to LSF, where ``mpiexec`` starts LAMMPS."""

    name, inside, at_once = "lsf", False, 16

    def submit(
        self, script: Path, name: str, output: Path, resources: Resources, fence: str | None = None
    ) -> list[str]:
        command = ["bsub", "-J", name, "-n", str(resources.processes), "-R", f"span[ptile={resources.per_node}]"]
        command += [] if resources.limit is None else ["-W", str(math.ceil(resources.limit / 60))]
        command += ["-cwd", str(script.parent), "-o", str(output), *self.options]
        once = [] if fence is None else ["-Jd", fence, "-rn"]
        return [*command, *once, "/bin/sh", str(script)]


LAUNCHERS: dict[str, type[Launcher]] = {kind.name: kind for kind in (Launcher, Slurm, Flux, Pbs, Lsf)}


def make_launcher(name: str, options: Sequence[str] = (), mpi: str = "") -> Launcher:
    """Returns the launcher with a name of `LAUNCHERS`.

    Raises
    ------
    ValueError
        If `mpi` contains other fields than ``{nodes}`` and ``{processes}``, or is not a valid command line.
    """
    launcher = LAUNCHERS[name](tuple(options), mpi)
    try:
        launcher.start(Resources(1, 1))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"--mpi {mpi!r} can't be read ({error}): expected a command such as 'srun -n {{processes}}'"
        ) from None
    return launcher


def _not_a_pattern(path: Path) -> str:
    """Returns a path as ``sbatch --output`` takes it literally: without a backslash in it, it replaces ``%j`` and the like."""
    text = str(path)
    return text.replace("\\", "\\\\") if "\\" in text else text.replace("%", "%%")


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
