"""Which process of a parallel job this is, and which job, from what launchers and schedulers set."""

from __future__ import annotations

import os

from tailrace.errors import Unusable

__all__ = ["rank_and_size", "shared_uid"]

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID", "FLUX_TASK_RANK", "RANK")
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "FLUX_JOB_SIZE", "WORLD_SIZE")
JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "TORCHELASTIC_RUN_ID")
STEPS = ("SLURM_STEP_ID",)


def rank_and_size() -> tuple[int, int]:
    """Returns the number of this process in its job, from 0, and the number of processes; 0 and 1 outside of one."""
    rank, size = _first(RANKS, 0), _first(SIZES, 1)
    return rank, max(size, rank + 1)


def shared_uid(experiment: str) -> str:
    """Returns the identifier of a run that all processes of this job share.

    Raises
    ------
    Unusable
        If no scheduler tells which job this is.
    """
    job = next((f"{name}={os.environ[name]}" for name in JOBS if os.environ.get(name)), "")
    if not job:
        raise Unusable(
            f"shared=True needs the number of the job, and none of {', '.join(JOBS)} is set: give all processes the same "
            "run_id, such as that of rank 0"
        )
    step = "".join(f" {name}={os.environ.get(name, '')}" for name in STEPS)
    import hashlib

    return hashlib.sha256(f"{job}{step} {experiment}".encode()).hexdigest()[:32]


def _first(names: tuple[str, ...], otherwise: int) -> int:
    for name in names:
        text = os.environ.get(name, "")
        if text.isascii() and text.isdigit():
            return int(text)
    return otherwise
