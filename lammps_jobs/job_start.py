"""When the job that this process belongs to began, by this machine's clock."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["job_start"]

PROC = Path("/proc")
PBS_DAEMON = "pbs_mom"
FLUX_BROKER = "flux-broker-"


def job_start(environ: Mapping[str, str]) -> float | None:
    """Return when the job's script began, in seconds since 1970. None if that isn't known.

    Slurm and LSF give a job script its own process number. In PBS, the script is the first task of the job, and a child of
    the scheduler's daemon, and in ``flux batch`` that of the broker of its Flux instance. A step of a job (``srun``, ``pbsdsh``) may begin after LAMMPS, so only a process of the script
    itself is told a time. In other jobs of Flux, each command of a script may be a job of its own.
    """
    first = _first_processes(environ)
    is_pbs = bool(environ.get("PBS_JOBID")) and environ.get("PBS_TASKNUM") == "1"
    # Flux sets no job id in the script of `flux batch`, but only in the jobs that it starts.
    is_flux = bool(environ.get("FLUX_ENCLOSING_ID")) and not environ.get("FLUX_JOB_ID")
    if not first and not is_pbs and not is_flux:
        return None
    try:
        process = os.getppid()
        while process > 1:
            _, fields = _status(process)
            above = int(fields[1])
            parent = _status(above)[0] if (is_pbs or is_flux) and above > 0 else ""
            is_child = (is_pbs and parent == PBS_DAEMON) or (is_flux and parent.startswith(FLUX_BROKER))
            if process in first or is_child:
                since_boot = float((PROC / "uptime").read_text().split()[0])
                return time.time() - since_boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
            process = above
    except (OSError, ValueError, IndexError):
        pass
    return None  # the number is that of another machine or container, or the processes are hidden


def _first_processes(environ: Mapping[str, str]) -> set[int]:
    numbers = []
    if environ.get("SLURM_JOB_ID") and "SLURM_STEP_ID" not in environ:
        numbers.append(environ.get("SLURM_TASK_PID", ""))
    if environ.get("LSB_JOBID"):
        numbers.append(environ.get("LS_JOBPID", ""))
    return {int(number) for number in numbers if number.isdecimal()}


def _status(process: int) -> tuple[str, list[str]]:
    """Return a process's name, and what the kernel tells after it: its state, its parent and so on."""
    before, _, after = (PROC / str(process) / "stat").read_text(errors="replace").rpartition(")")
    return before.partition("(")[2], after.split()
