"""Idempotency keys: what makes a post that is sent twice count once, and a job that ran twice count twice."""

from __future__ import annotations

import os

from tailrace.fingerprint import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["LONGEST", "job_of", "key_for"]

LONGEST = 200
"""Characters that a server takes, unless it is set otherwise."""


def job_of(environ: Mapping[str, str] | None = None) -> str | None:
    """The run of the job that this process belongs to, such as ``slurm:cluster:4711:task3:restart1``; None outside any.

    The cluster's name is ``TAILRACE_CLUSTER``, or what the scheduler calls it. Where one scheduler runs inside a job of
    another (Flux inside Slurm), both are named.
    """
    environ = os.environ if environ is None else environ
    jobs = [job for of in (_slurm, _lsf, _pbs, _flux) if (job := of(environ))]
    return "/".join(jobs) or None


def key_for(step: str | None = None, environ: Mapping[str, str] | None = None, *, content: Any = None) -> str:
    """The key of an observation posted now.

    Inside a job: the job's own name and which of its observations this is. Posted again by the same run of the job, it
    counts once; posted by a requeued run, it is another. Outside any job a random key: each call is an observation.

    Parameters
    ----------
    step
        Which observation of the job this is, such as ``equilibration`` or ``3``. None: ``TAILRACE_STEP``; where that
        isn't set either, ``content`` tells the job's observations apart.
    content
        What is posted, as JSON could say it: other content is another observation.
    """
    environ = os.environ if environ is None else environ
    job = job_of(environ)
    if job is None:
        return f"once:{os.urandom(16).hex()}"
    step = step or environ.get("TAILRACE_STEP") or None
    if step is not None:
        job = f"{job}:{step}"
    elif content is not None:
        import json

        job = f"{job}:{fingerprint(json.dumps(content, sort_keys=True, default=str))}"
    return job if len(job) <= LONGEST else f"{job[: LONGEST - 33]}:{fingerprint(job)}"


def _slurm(environ: Mapping[str, str]) -> str:
    number = environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID") or ""
    if not number:
        return ""
    job = _job(environ, "slurm", environ.get("SLURM_CLUSTER_NAME", ""), number, environ.get("SLURM_ARRAY_TASK_ID", ""))
    restart = environ.get("SLURM_RESTART_COUNT", "")
    return job if restart in ("", "0") else f"{job}:restart{restart}"


def _lsf(environ: Mapping[str, str]) -> str:
    number, index = environ.get("LSB_JOBID", ""), environ.get("LSB_JOBINDEX", "")
    if not number:
        return ""
    # 0 is a job that is no array.
    job = _job(environ, "lsf", environ.get("LSF_CLUSTER_NAME", ""), number, "" if index == "0" else index)
    return f"{job}:restarted" if environ.get("LSB_RESTART") == "Y" else job


def _pbs(environ: Mapping[str, str]) -> str:
    # Its id names the server, and an array's task in brackets: 4711[3].server.
    number = environ.get("PBS_JOBID", "")
    task = environ.get("PBS_ARRAY_INDEX") or environ.get("PBS_ARRAYID") or ""
    return number and _job(environ, "pbs", "", number, "" if "[" in number else task)


def _flux(environ: Mapping[str, str]) -> str:
    # Flux writes an id with ƒ where the locale has it, and else with f.
    number = os.fsencode(environ.get("FLUX_JOB_ID", "")).decode("utf-8", "replace").replace("ƒ", "f")
    if not number:
        return ""
    instance = _flux_instance(environ)
    return _job(environ, "flux", "", f"{instance}/{number}" if instance else number, "")


def _flux_instance(environ: Mapping[str, str]) -> str:
    """The Flux instance that a job runs in, of which one job of another scheduler may start many; empty for a system's own.

    A job's id is unique within its instance alone. Jobs that are instances themselves are named by the path of their ids,
    which is the same on all nodes; others by their socket's directory.
    """
    path = os.fsencode(environ.get("FLUX_JOB_ID_PATH", "")).decode("utf-8", "replace").replace("ƒ", "f")
    above = [part for part in path.split("/") if part][:-1]
    if above:
        return "/".join(above)
    socket = environ.get("FLUX_URI", "").partition("://")[2]
    directory = socket[socket.find("/") :].rpartition("/")[0] if "/" in socket else ""
    return "" if directory.lstrip("/") in ("", "run/flux") else fingerprint(directory)[:12]


def _job(environ: Mapping[str, str], scheduler: str, cluster: str, number: str, task: str) -> str:
    job = f"{scheduler}:{environ.get('TAILRACE_CLUSTER') or cluster}:{number}"
    return f"{job}:task{task}" if task else job
