"""Idempotency keys of observations. A post that is sent twice counts once; a job that runs twice counts twice."""

from __future__ import annotations

import os

from tailrace.observations.fingerprint import fingerprint
from tailrace.observations.text_values import as_utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["LONGEST", "job_of", "key_for"]

LONGEST = 200
"""Largest number of characters that a server accepts by default."""

FLUX_PATIENCE = 1.0
"""Longest time to wait for an answer of Flux, s."""

_flux_answers: dict[tuple[str, str], str] = {}


def job_of(environ: Mapping[str, str] | None = None) -> str | None:
    """Returns the name of the job run that this process belongs to, or None outside a job.

    An example is ``slurm:cluster:4711:task3:restart1``. The cluster's name is ``TAILRACE_CLUSTER``, or else the
    scheduler's name for it. If one scheduler runs inside a job of another (Flux inside Slurm), the result names both
    jobs.
    """
    environ = os.environ if environ is None else environ
    jobs = [job for of in (_slurm, _lsf, _pbs, _flux) if (job := of(environ))]
    return as_utf8("/".join(jobs)) or None


def key_for(step: str | None = None, environ: Mapping[str, str] | None = None, *, content: Any = None) -> str:
    """Returns the idempotency key of an observation that is posted now.

    Inside a job, the key consists of the job run's name and the step or content. If the same run posts the observation
    again, it counts once. If a requeued run posts it, it counts as another observation. Outside a job, the key is
    random, so each call makes another observation.

    Parameters
    ----------
    step
        Name of the observation within the job, such as ``equilibration`` or ``3``. None: ``TAILRACE_STEP``, or the
        content if that is not set.
    environ
        Environment variables. None: those of this process.
    content
        The posted values, as JSON values. Without a step, different content makes a different key.
    """
    environ = os.environ if environ is None else environ
    job = job_of(environ)
    if job is None:
        return f"once:{os.urandom(16).hex()}"
    step = step or as_utf8(environ.get("TAILRACE_STEP", "")) or None
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
    # 0 is a job that is not an array.
    job = _job(environ, "lsf", environ.get("LSF_CLUSTER_NAME", ""), number, "" if index == "0" else index)
    return f"{job}:restarted" if environ.get("LSB_RESTART") == "Y" else job


def _pbs(environ: Mapping[str, str]) -> str:
    # The id contains the server's name and, for an array, the task's number in brackets: 4711[3].server.
    number = environ.get("PBS_JOBID", "")
    task = environ.get("PBS_ARRAY_INDEX") or environ.get("PBS_ARRAYID") or ""
    return number and _job(environ, "pbs", "", number, "" if "[" in number else task)


def _flux(environ: Mapping[str, str]) -> str:
    number = _plain_f(environ.get("FLUX_JOB_ID", ""))
    if not number:
        script = _flux_script(environ)
        return script and _job(environ, "flux", "", script, "")
    instance = _flux_instance(environ)
    return _job(environ, "flux", "", f"{instance}/{number}" if instance else number, "")


def _flux_instance(environ: Mapping[str, str]) -> str:
    """Returns a name of the Flux instance that a job runs in; empty for the system instance.

    A job's id is unique only within its instance, and one job of another scheduler may start many instances. An
    instance that is itself a Flux job is named by the path of its ids, which is the same on all nodes. Others are named
    by the directory of their socket.
    """
    above = _parts(environ.get("FLUX_JOB_ID_PATH", ""))[:-1]
    return "/".join(above) if above else _flux_socket(environ)


def _flux_socket(environ: Mapping[str, str]) -> str:
    socket = environ.get("FLUX_URI", "").partition("://")[2]
    directory = socket[socket.find("/") :].rpartition("/")[0] if "/" in socket else ""
    return "" if directory.lstrip("/") in ("", "run/flux") else fingerprint(directory)[:12]


def _flux_script(environ: Mapping[str, str]) -> str:
    """Returns the path of ids of the batch job whose script this is; empty outside of one.

    Flux sets no job id in the script of ``flux batch`` or the shell of ``flux alloc``, but only that of the instance that
    was started for it. Its path is asked for, because that id is unique only within the instance above.
    """
    number = _plain_f(environ.get("FLUX_ENCLOSING_ID", ""))
    if not number:
        return ""
    socket = environ.get("FLUX_URI", "")
    if (number, socket) not in _flux_answers:
        _flux_answers[number, socket] = _ask_flux(environ)
    parts = _parts(_flux_answers[number, socket])
    if parts[-1:] == [number]:
        return "/".join(parts)
    return f"{number}:{_flux_socket(environ) or 'script'}"


def _ask_flux(environ: Mapping[str, str]) -> str:
    import subprocess

    try:
        return subprocess.run(
            ["flux", "getattr", "jobid-path"], capture_output=True, timeout=FLUX_PATIENCE, check=True,
            stdin=subprocess.DEVNULL, env=dict(environ),
        ).stdout.decode("utf-8", "surrogateescape").strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""


def _parts(path: str) -> list[str]:
    return [part for part in _plain_f(path).split("/") if part]


def _plain_f(number: str) -> str:
    # Flux writes the first character of an id as ƒ if the locale has it, and otherwise as f.
    return as_utf8(number).replace("ƒ", "f")


def _job(environ: Mapping[str, str], scheduler: str, cluster: str, number: str, task: str) -> str:
    job = f"{scheduler}:{environ.get('TAILRACE_CLUSTER') or cluster}:{number}"
    return f"{job}:task{task}" if task else job
