"""Report a Slurm job from outside the job: `python -m lammps_jobs.slurm_job JOB x y z`. The epilogue scripts call it.

It asks Slurm for the job's directory, its start time and the number of restarts, and reports the job's log as the job
itself would (see lammps_jobs.epilogue). For a job array, it reports each task. The exit code is always 0.
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

from tailrace.launchers.slurm_environment import query_environment

from lammps_jobs import epilogue

__all__ = ["SlurmRun", "main", "runs_in"]

PATIENCE = 30
OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "TIMEOUT",
}  # fmt: skip
"""States that a job doesn't leave, but by being requeued, which is another state."""
_JOB = re.compile(
    r"JobId=(?P<job>\d+) (?:ArrayJobId=(?P<array>\d+) ArrayTaskId=(?P<task>\S+) )?(?:ArrayTaskThrottle=\d+ )?"
    r"(?:(?:Het|Pack)JobId=\d+ (?:Het|Pack)JobOffset=(?P<component>\d+) )?(?:Job)?Name="
)
"""The first line of a paragraph, up to the free text.

Before 20.02, Slurm called components of heterogeneous jobs packs.
"""
_RESTARTS = re.compile(r"(?m)^\s+(?:Requeue=\d+ )?Restarts=(\d+)")
_TIMES = re.compile(r"(?m)^\s+StartTime=(\S+) EndTime=(\S+)")
_STATE = re.compile(r"(?m)^\s+JobState=([A-Z_]+) Reason=")
_DIRECTORY = re.compile(r"(?m)^\s+WorkDir=(.*)$")
_USER = re.compile(r"(?m)^\s+UserId=.*?\((\d+)\) GroupId=")
_PADDED = re.compile(r"%(\d*)([%jAa])")
_NO_NODES = re.compile(r"(?m)^\s+NodeList=(?:\(null\))?$")
_NUMBER = re.compile(r"\d+(?:_\d+|\+\d+)?")
WORD = "tailrace"
OWN = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")


@dataclass(frozen=True)
class SlurmRun:
    """The latest run of a job, or of one task of an array, as ``scontrol show job`` describes it.

    Attributes
    ----------
    job, array, task
        Number of the job; numbers of its array and its task, None if it isn't in an array.
    restarts
        Number of times that it was requeued.
    began, ended
        Local times in Slurm's format, such as ``2026-11-21T07:13:27`` or ``Unknown``.
    directory
        Its working directory.
    user
        Number of its user; empty if it isn't known.
    state
        Such as ``COMPLETED``; empty if it isn't known.
    has_started
        Whether it got any nodes. A job that is cancelled while it waits has a start time, too.
    """

    job: str
    array: str | None
    task: str | None
    restarts: str
    began: str
    ended: str
    directory: str
    user: str = ""
    state: str = ""
    has_started: bool = True

    @property
    def is_over(self) -> bool:
        """Whether the job has ended.

        A job that is being requeued has no end time, and a running job may have one in the future. The times are of the
        controller's clock, which may be ahead of this machine's. So the state is used first.
        """
        if self.state in OVER:
            return True
        try:
            return datetime.fromisoformat(self.ended) <= datetime.now()
        except ValueError:
            return False

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that identify this run in the job's own environment."""
        job, array, task, restarts = OWN
        names = {job: self.job, array: self.array, task: self.task, restarts: self.restarts}
        return {name: value for name, value in names.items() if value is not None}

    def log(self, pattern: str) -> str:
        """Return the path of a log. ``%j``, ``%A``, ``%a`` and ``%4a`` have the same meaning as in ``sbatch --output``."""
        known = {"%": "%", "j": self.job, "A": self.array or self.job, "a": self.task or "4294967294"}
        name = _PADDED.sub(lambda found: known[found[2]].zfill(min(int(found[1] or 0), 10)), pattern)
        return str(Path(self.directory, name))


def runs_in(said: str) -> list[SlurmRun]:
    """Parse the output of ``scontrol show job``: a paragraph for each job, or for each task of an array.

    A heterogeneous job has a paragraph for each component. Only the first is returned, because its number is the job's.
    Fields are matched only at the place where Slurm prints them, because names, arguments and comments contain text of
    users.
    """
    runs = []
    for paragraph in re.split(r"\n\s*\n", said.strip()):
        job, directory = _JOB.match(paragraph), _DIRECTORY.search(paragraph)
        if job is None or directory is None or int(job["component"] or 0):
            continue
        # Tasks that have not started share one paragraph. There is nothing to report for them.
        if not (job["task"] or "0").isdecimal():
            continue
        restarts, times, state, user = (one.search(paragraph) for one in (_RESTARTS, _TIMES, _STATE, _USER))
        began, ended = ("Unknown", "Unknown") if times is None else (times[1], times[2])
        count = "0" if restarts is None else restarts[1]
        runs.append(
            SlurmRun(
                job["job"],
                job["array"],
                job["task"],
                count,
                began,
                ended,
                directory[1].strip(),
                "" if user is None else user[1],
                state[1] if state else "",
                _NO_NODES.search(paragraph) is None,
            )
        )
    return runs


def main(argv: Sequence[str] | None = None) -> int:
    """Report the job, and print one line for each of its runs. Always returns 0."""
    options = _parser().parse_args(argv)
    if not _NUMBER.fullmatch(options.job):
        return _say(f"nothing posted: {options.job!r} is not a job: expected its number, such as 12, 12_3 or 12+1")
    if options.comment is not None:
        options.features = _follow(options.comment)
    hook = options.own or options.comment is not None
    try:
        runs = runs_in(_ask("scontrol", "show", "job", options.job))
    except (OSError, subprocess.SubprocessError) as error:
        reason = " ".join((getattr(error, "stderr", None) or str(error)).split())
        if isinstance(error, subprocess.CalledProcessError) and not error.stderr:
            reason = f"scontrol ended with exit code {error.returncode} and printed no reason"
        if not hook or os.environ.get("SLURM_JOB_ID") != options.job:
            return _say(f"nothing posted: scontrol does not know job {options.job}: {reason}")
        # If the controller doesn't answer, use the environment of Slurm's hook, so that the result is not lost.
        return _report_log(_in_hook(os.environ), options)
    # Slurm calls a hook for each task. The number of the last task is also that of the array.
    runs = [run for run in runs if run.job == options.job or not hook]
    if not runs:
        return _say(f"nothing posted: scontrol describes no run of job {options.job} that has begun")
    by_log: dict[str, list[SlurmRun]] = {}
    for run in runs:
        by_log.setdefault(run.log(_pattern()), []).append(run)
    for log, writers in by_log.items():
        if len(writers) == 1:
            _report(writers[0], options)
        else:
            tasks = ", ".join(run.task or run.job for run in writers)
            _say(
                f"nothing posted: tasks {tasks} of job {options.job} have the same log, {log}: give each a log of its own, with %a "
                "in TAILRACE_LOG (-log log.$SLURM_ARRAY_TASK_ID and TAILRACE_LOG=log.%a)"
            )
    return 0


def _ask(*words: str) -> str:
    environment = query_environment(os.environ)
    if "SLURM_JOB_ID" in environment:
        # A job is on the cluster that the user's choice, perhaps of several, led it to.
        environment.pop("SLURM_CLUSTERS", None)
    return subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=True,
        stdin=subprocess.DEVNULL, env=environment,
    ).stdout  # fmt: skip


def _in_hook(environ: Mapping[str, str]) -> SlurmRun:
    """Return the run that a hook was called for, from its environment alone."""
    return SlurmRun(
        environ["SLURM_JOB_ID"],
        environ.get("SLURM_ARRAY_JOB_ID"),
        environ.get("SLURM_ARRAY_TASK_ID"),
        # A job and the controller's hook have different names for this variable.
        environ.get("SLURM_RESTART_COUNT") or environ.get("SLURM_JOB_RESTART_COUNT") or "0",
        began="Unknown",
        ended="Unknown",
        directory=environ.get("SLURM_JOB_WORK_DIR") or os.getcwd(),
    )


def _report(run: SlurmRun, options: argparse.Namespace) -> None:
    if options.own:
        # In the job itself, the environment describes this run, even if the job was requeued meanwhile.
        if os.environ.get("SLURM_RESTART_COUNT", "0") != run.restarts:
            _say(f"nothing posted: job {run.job} is being requeued")
            return
    elif not run.is_over:
        _say(f"nothing posted: job {run.job} has not ended, or is being requeued")
        return
    if not run.has_started:
        _say(f"nothing posted: job {run.job} never started ({run.state})")
        return
    if not options.own and (other := _successor(run)):
        _say(
            f"nothing posted: {run.log(_pattern())} may be that of job {other}, which began in the same directory when job "
            f"{run.job} had ended: give each job a directory or a log of its own (TAILRACE_LOG)"
        )
        return
    _report_log(run, options)


def _successor(run: SlurmRun) -> str | None:
    """Return the number of a job that may have written the run's log after its end, as in a chain of jobs in one directory.

    The file's time alone can't tell: the clocks of the scheduler and of the file server differ. If Slurm doesn't say, none.
    """
    log = run.log(_pattern())
    try:
        changed, ended = os.stat(log).st_mtime, datetime.fromisoformat(run.ended).timestamp()
        if changed < ended or not run.user:
            return None
        said = _ask(
            "squeue", "--array", "--noheader", "--states=all", f"--user={run.user}", "--format=%A|%F|%K|%S|%j|%Z"
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    for line in said.splitlines():
        try:
            job, array, task, began, rest = line.strip().split("|", 4)
            start = datetime.fromisoformat(began).timestamp()
        except ValueError:
            continue  # it hasn't begun
        other = SlurmRun(job, array, task, "0", began, "Unknown", rest.rpartition("|")[2])
        # The job that afterany.sh submits works in that directory, too, and writes no log.
        writes = other.log(_pattern()) == log and not rest.startswith("tailrace-")
        if writes and job != run.job and ended <= start <= changed:
            return job
    return None


def _report_log(run: SlurmRun, options: argparse.Namespace) -> int:
    for name in OWN:
        os.environ.pop(name, None)
    os.environ.update(run.environment)
    times = ["--since", run.began] if options.own else ["--since", run.began, "--until", run.ended]
    return epilogue.main(["--log", run.log(_pattern()), *times, *options.features])


def _pattern() -> str:
    return os.environ.get("TAILRACE_LOG") or "log.lammps"


def _follow(comment: str) -> list[str]:
    """Apply a job's comment, ``tailrace STREAM [log=FILE] [FEATURE …]``, to the environment. Return the features."""
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
    parser.add_argument("--comment", help=f"the job's comment: {WORD} STREAM [log=FILE] [FEATURE …]")
    parser.add_argument("--own", action="store_true", help="the command runs at the end of the job itself")
    return parser


if __name__ == "__main__":
    sys.exit(main())
