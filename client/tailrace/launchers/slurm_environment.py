"""Environments for Slurm's commands, without the variables that would change their input or output."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["query_environment", "submit_environment"]

_OUTPUT_PREFIXES = (
    "SQUEUE_",
    "SACCT_",
    "SINFO_",
    "SCONTROL_",
    "SLURM_BITSTR_LEN",
    "SLURM_TOPO_LEN",
    "SLURM_JSON",
    "SLURM_YAML",
)
_JOB_VARIABLES = ("SBATCH_ARRAY_INX", "SBATCH_EXPORT", "SBATCH_GET_USER_ENV", "SBATCH_WAIT")


def query_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for ``scontrol show``, ``squeue`` and ``sacct``.

    Variables that filter or format the output are removed, and times have the standard format.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_OUTPUT_PREFIXES)}
    return kept | {"SLURM_TIME_FORMAT": "standard"}


def submit_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for ``sbatch``.

    Variables that would change what the job does are removed. The user's account, partition and similar settings stay.
    """
    return {name: value for name, value in environ.items() if name not in _JOB_VARIABLES}
