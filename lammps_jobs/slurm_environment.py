"""The environment in which Slurm's commands are called by a program, whatever their user has set for himself."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["for_asking", "for_submitting"]

_TOLD = ("SQUEUE_", "SACCT_", "SINFO_", "SCONTROL_", "SLURM_BITSTR_LEN", "SLURM_TOPO_LEN", "SLURM_JSON", "SLURM_YAML")
_OF_ANOTHER_JOB = ("SBATCH_ARRAY_INX", "SBATCH_EXPORT", "SBATCH_GET_USER_ENV", "SBATCH_WAIT")


def for_asking(environ: Mapping[str, str]) -> dict[str, str]:
    """For ``scontrol show``, ``squeue`` and ``sacct``: what chooses or formats their output is dropped, times are standard."""
    return {name: value for name, value in environ.items() if not name.startswith(_TOLD)} | {
        "SLURM_TIME_FORMAT": "standard"
    }


def for_submitting(environ: Mapping[str, str]) -> dict[str, str]:
    """For ``sbatch``: what would make a job another one is dropped; a user's account, partition and the like stay."""
    return {name: value for name, value in environ.items() if name not in _OF_ANOTHER_JOB}
