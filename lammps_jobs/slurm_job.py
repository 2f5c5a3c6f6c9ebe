"""Report a Slurm job from outside of it: `python -m lammps_jobs.slurm_job JOB x y z`. What the epilogue scripts call.

Slurm says where the job ran, when it began and how often it was restarted; what its log holds is reported as the job
itself would (see lammps_jobs.epilogue). Of a job array each task is reported. It always exits 0.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lammps_jobs import epilogue
from lammps_jobs.slurm_environment import for_asking

__all__ = ["SlurmRun", "main", "runs_in"]

PATIENCE = 30
_COMPONENT = re.compile(r"(?:^|\s)(?:HetJobOffset|PackJobOffset)=[1-9]")
"""A heterogeneous job's second component, or a later one; Slurm called them packs before 20.02."""
WORD = "tailrace"
OWN = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")


@dataclass(frozen=True)
class SlurmRun:
    """The latest run of a job, or of one task of an array, as ``scontrol show job`` describes it.

    Attributes
    ----------
    job, array, task
        Its number; those of its array, None where it is none.
    restarts
        Times that it was requeued.
    began, ended
        Local times as Slurm writes them, such as ``2026-11-21T07:13:27`` or ``Unknown``.
    directory
        Its working directory.
    """

    job: str
    array: str | None
    task: str | None
    restarts: str
    began: str
    ended: str
    directory: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended. A job that is being requeued has no end, one that runs may have a future one."""
        try:
            return datetime.fromisoformat(self.ended) <= datetime.now()
        except ValueError:
            return False

    @property
    def environment(self) -> dict[str, str]:
        """What names this run in the environment of the job itself."""
        job, array, task, restarts = OWN
        names = {job: self.job, array: self.array, task: self.task, restarts: self.restarts}
        return {name: value for name, value in names.items() if value is not None}

    def log(self, pattern: str) -> str:
        """The path of a log, with ``%j``, ``%A`` and ``%a`` as ``sbatch --output`` has them."""
        known = {"%": "%", "j": self.job, "A": self.array or self.job, "a": self.task or "4294967294"}
        name = re.sub(r"%([%jAa])", lambda found: known[found[1]], pattern)
        return str(Path(self.directory, name))


def runs_in(said: str) -> list[SlurmRun]:
    """Read what ``scontrol show job`` prints: a paragraph for each job, or for each task of an array.

    Of a heterogeneous job, which has a paragraph for each component, only the first is returned: its number is the job's.
    """
    runs = []
    for paragraph in re.split(r"\n\s*\n", said.strip()):
        fields = dict(re.findall(r"(?:^|\s)(JobId|ArrayJobId|ArrayTaskId|Restarts|StartTime|EndTime)=(\S+)", paragraph))
        directory = re.search(r"(?m)^\s*WorkDir=(.*)$", paragraph)
        # Tasks that have not begun share one paragraph, and have nothing to report.
        if _COMPONENT.search(paragraph):
            continue
        if "JobId" in fields and directory is not None and fields.get("ArrayTaskId", "0").isdecimal():
            began, ended = fields.get("StartTime", "Unknown"), fields.get("EndTime", "Unknown")
            array, task = fields.get("ArrayJobId"), fields.get("ArrayTaskId")
            restarts = fields.get("Restarts", "0")
            runs.append(SlurmRun(fields["JobId"], array, task, restarts, began, ended, directory[1].strip()))
    return runs


def main(argv: Sequence[str] | None = None) -> int:
    """Report the job, and say one line for each of its runs. Always returns 0."""
    options = _parser().parse_args(argv)
    if options.comment is not None:
        options.features = _follow(options.comment)
    hook = options.own or options.comment is not None
    try:
        runs = runs_in(_scontrol(options.job))
    except (OSError, subprocess.SubprocessError) as error:
        reason = " ".join((getattr(error, "stderr", None) or str(error)).split())
        if not hook or os.environ.get("SLURM_JOB_ID") != options.job:
            return _say(f"nothing posted: scontrol knows nothing of job {options.job}: {reason}")
        # A controller that is away for a moment must not cost a result: Slurm has told its hook nearly all.
        return _report_log(_in_hook(os.environ), options)
    for run in runs:
        # Slurm calls a hook for each task; the number of the last one is that of the array, too.
        if run.job == options.job or not hook:
            _report(run, options)
    return 0


def _scontrol(job: str) -> str:
    return subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, timeout=PATIENCE, check=True,
        stdin=subprocess.DEVNULL, env=for_asking(os.environ),
    ).stdout  # fmt: skip


def _in_hook(environ: Mapping[str, str]) -> SlurmRun:
    """The run that a hook was called for, by its environment alone."""
    return SlurmRun(
        environ["SLURM_JOB_ID"],
        environ.get("SLURM_ARRAY_JOB_ID"),
        environ.get("SLURM_ARRAY_TASK_ID"),
        # What a job calls the one, the controller's hook calls the other.
        environ.get("SLURM_RESTART_COUNT") or environ.get("SLURM_JOB_RESTART_COUNT") or "0",
        began="Unknown",
        ended="Unknown",
        directory=environ.get("SLURM_JOB_WORK_DIR") or os.getcwd(),
    )


def _report(run: SlurmRun, options: argparse.Namespace) -> None:
    if options.own:
        # In the job itself: what it was told is what it is, whatever has been decided of it since.
        if os.environ.get("SLURM_RESTART_COUNT", "0") != run.restarts:
            _say(f"nothing posted: job {run.job} is being requeued")
            return
    elif not run.is_over:
        _say(f"nothing posted: job {run.job} has not ended, or is being requeued")
        return
    _report_log(run, options)


def _report_log(run: SlurmRun, options: argparse.Namespace) -> int:
    for name in OWN:
        os.environ.pop(name, None)
    os.environ.update(run.environment)
    pattern = os.environ.get("TAILRACE_LOG") or "log.lammps"
    return epilogue.main(["--log", run.log(pattern), "--since", run.began, *options.features])


def _follow(comment: str) -> list[str]:
    """Do what a job's comment asks for: ``tailrace STREAM [log=FILE] [FEATURE …]``; the features are returned."""
    try:
        words = shlex.split(comment)
    except ValueError:
        words = comment.split()
    if len(words) > 1 and words[0] == WORD:
        os.environ["TAILRACE_STREAM"] = words[1]
    for word in words[2:]:
        if word.startswith("log="):
            os.environ["TAILRACE_LOG"] = word[len("log=") :]
    return [word for word in words[2:] if not word.startswith(("log=", "-"))]


def _say(line: str) -> int:
    print(f"tailrace: {line}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lammps_jobs.slurm_job", description=__doc__)
    parser.add_argument("job", help="the job's number, or that of one task of an array, such as 12_3")
    parser.add_argument("features", nargs="*", metavar="name[=value]", help="as for lammps_jobs.epilogue")
    parser.add_argument("--comment", help=f"what the job's comment asks for: {WORD} STREAM [log=FILE] [FEATURE …]")
    parser.add_argument("--own", action="store_true", help="this is the end of the job itself")
    return parser


if __name__ == "__main__":
    sys.exit(main())
