"""Reports of LAMMPS logs: the timings of the runs, or the reason why they can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LogReport", "RunNotCompleted", "RunTiming"]


class RunNotCompleted(Exception):
    """The log shows no completed run, so it has no time to learn."""


@dataclass(frozen=True)
class RunTiming:
    """One `run` or `minimize` of an input, from the lines at its end.

    Attributes
    ----------
    loop_time
        Time in the time-stepping loop, s, with the six digits that LAMMPS prints.
    steps, atoms
        Number of steps, and number of atoms at the end.
    processes, threads
        MPI processes, and OpenMP threads of each process.
    cpu_use
        CPU time that the run got, in percent of the run time of one processor for each process. It is well below 100
        (times the number of threads) if other programs ran at the same time. None if the log doesn't report it.
    performance
        The rates that LAMMPS prints, by unit, such as ``{"ns/day": 218.105, "timesteps/s": 1262.185, …}``. The units
        depend on the version of LAMMPS and on the input.
    """

    loop_time: float
    steps: int
    atoms: int
    processes: int
    threads: int
    cpu_use: float | None = None
    performance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogReport:
    """Content of one log.

    Attributes
    ----------
    version
        Version of LAMMPS, such as ``22 Jul 2025 - Update 4``; None if the log has none.
    runs
        The finished runs, in order.
    wall_time
        Time from start to exit, in whole seconds; None if LAMMPS did not write it.
    failure
        Why the job did not complete, as a message for its user; None for a completed job.
    variables
        The input's variables and their values, such as ``{"x": "8", "steps": "100"}``: the first value of each, as
        printed. LAMMPS doesn't print its command line, but echoes each command before and after it replaces a variable.
        So variables that were set with ``-v`` but not used are missing, and with ``-echo none`` all are.
    several
        All values of the variables that had different ones, as in a loop with ``next`` and ``jump``; at most eight of
        each.
    """

    version: str | None
    runs: tuple[RunTiming, ...]
    wall_time: int | None
    failure: str | None
    variables: Mapping[str, str] = field(default_factory=dict)
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        return self.failure is None

    @property
    def loop_time(self) -> float:
        """Time in the loops of all runs together, s.

        Raises
        ------
        RunNotCompleted
            If the job did not complete, with the reason.
        """
        if self.failure is not None:
            raise RunNotCompleted(self.failure)
        return sum(run.loop_time for run in self.runs)

    @property
    def steps(self) -> int:
        """Steps of all runs together."""
        return sum(run.steps for run in self.runs)

    @property
    def atoms(self) -> int | None:
        """Atoms in the last run; None if no run ended."""
        return self.runs[-1].atoms if self.runs else None

    @property
    def processes(self) -> int | None:
        """MPI processes of the last run; None if no run ended."""
        return self.runs[-1].processes if self.runs else None

    @property
    def threads(self) -> int | None:
        """OpenMP threads in each process of the last run; None if no run ended."""
        return self.runs[-1].threads if self.runs else None

    @property
    def cpu_use(self) -> float | None:
        """CPU use of the last run, see `RunTiming`; None if no run ended, or if the log doesn't report it."""
        return self.runs[-1].cpu_use if self.runs else None
