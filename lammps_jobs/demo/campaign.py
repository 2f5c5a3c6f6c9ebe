"""Runs the jobs of the demo, one at a time. Each result is in the log exactly once, even after failures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.atomic_files import read_json, write_json
from tailrace.errors import Unreachable
from tailrace.spool.spool import Spool

from lammps_jobs.demo.plan import Directory, Plan
from lammps_jobs.demo.stream import RuntimeStream
from lammps_jobs.demo_support.local_server import LocalServer
from lammps_jobs.demo_support.tokens import Credentials
from lammps_jobs.evaluation.scores import Trial
from lammps_jobs.logs.log_reader import read_log
from lammps_jobs.logs.log_report import LogReport
from lammps_jobs.runs.lammps_job import LOG, OUTPUT, PYTHON_PATH, Job, Programs, job_script, run_script, wait_for_end

__all__ = ["Campaign", "JobFailed", "Outcome"]

JOB_LIMIT = 300.0
DELIVERY_LIMIT = 30.0
POST_TRIES = 5
SCRIPT, RECEIPT, PREDICTION = "job.sh", "receipt.json", "prediction.json"


class JobFailed(Exception):
    """A job did not complete, or its result can't be delivered. The message says why and which file to read."""


@dataclass(frozen=True)
class Outcome:
    """A job's time, and each model's prediction from before the time was known, by recipe.

    `cpu_use` is the CPU time that the job got, in percent of its processors; None if LAMMPS doesn't report it. `fresh`
    is whether this start of the demo ran the job.
    """

    job: Job
    loop_time: float
    cpu_use: float | None
    trials: dict[str, Trial]
    fresh: bool


class Campaign:
    """The jobs of one plan.

    All state is on disk and in the server's log. A job with a complete log is not run again. A job whose observation is
    in the server's log is not posted again, and posting it twice would change nothing. Jobs post with a token that can
    only learn. Predictions use another token.
    """

    def __init__(
        self,
        plan: Plan,
        directory: Directory,
        programs: Programs,
        server: LocalServer,
        credentials: Credentials,
        notice: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._programs = programs
        self._server = server
        self._notice = notice
        self._jobs_token = credentials.for_jobs(plan.stream)
        self._asking_token = credentials.for_asking(plan.stream)
        self._owner_token = credentials.owner()
        self._stream = RuntimeStream(server.api(self._asking_token), plan)
        self._posted: set[str] = set()

    def prepare(self) -> None:
        """Create the stream and its models, and read which results the server has already."""
        self._stream.ensure(self._server.api(self._owner_token))
        self._posted = self._stream.keys()

    def learn(self, job: Job) -> Outcome:
        """Run a job whose epilogue reports it, unless it was run before. Raises JobFailed."""
        directory = self._directory.job(job)
        receipt = directory / RECEIPT
        if self._plan.key(job) not in self._posted:
            receipt.unlink(missing_ok=True)
        report, fresh = self._complete(job, self._epilogue(job))
        if not self._server.alive:
            # The answers since then may be from another server that took the port.
            receipt.unlink(missing_ok=True)
        answer = self._receipt(job, directory, receipt)
        number = answer["last"]
        predictions = self._ask(lambda: self._stream.predictions_before_learning(number))
        trials = {
            recipe: Trial(report.loop_time, float(said), observation=number)
            for recipe, model in self._plan.models.items()
            if (said := predictions.get(model)) is not None
            # The answer of a model that has learned nothing is not a prediction, and the server doesn't score it.
            and (said or number > 1)
        }
        return Outcome(job, report.loop_time, report.cpu_use, trials, fresh)

    def hold_out(self, job: Job) -> Outcome:
        """Predict a job with all models, then run it unless it was run before. No model learns it. Raises JobFailed."""
        directory = self._directory.job(job)
        directory.mkdir(parents=True, exist_ok=True)
        answers = self._ask(lambda: self._stream.predict(job))
        write_json(directory / PREDICTION, answers)
        report, fresh = self._complete(job, None)
        trials = {
            recipe: _trial(report.loop_time, answers[model])
            for recipe, model in self._plan.models.items()
            if answers[model].get("prediction") is not None
        }
        return Outcome(job, report.loop_time, report.cpu_use, trials, fresh)

    def deliver(self) -> None:
        """Deliver what an epilogue left in the spool because it was killed or had no answer in time.

        Raises Unreachable, Refused, and SpoolError.
        """
        spool = Spool(self._directory.spool)
        if spool.waiting():
            self._keep_server()
            server = self._server.api(self._jobs_token)
            for _ in spool.flush(server, deadline=DELIVERY_LIMIT, moved=spool.elsewhere(server)):
                pass

    def metrics(self) -> dict[str, Any]:
        """Return each model's prequential metrics from the server."""
        return self._ask(lambda: self._stream.metrics())

    def _complete(self, job: Job, epilogue: list[str] | None) -> tuple[LogReport, bool]:
        """Run the job unless it was run before. Return the report of its log, and whether it ran now."""
        directory = self._directory.job(job)
        try:
            wait_for_end(directory, limit=JOB_LIMIT)
            if (report := read_log(directory / LOG)).completed:
                return report, False
        except TimeoutError as error:
            raise JobFailed(str(error)) from None
        except FileNotFoundError:
            pass
        self._keep_server()
        self._run(job, directory, epilogue)
        try:
            report = read_log(directory / LOG)
        except FileNotFoundError:
            raise JobFailed(f"LAMMPS did not start: {_last_line(directory / OUTPUT)}") from None
        if not report.completed:
            raise JobFailed(f"{job.name}: {report.failure} (see {directory / LOG} and {OUTPUT} beside it)")
        return report, True

    def _run(self, job: Job, directory: Path, epilogue: list[str] | None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / LOG).unlink(missing_ok=True)
        script = directory / SCRIPT
        script.write_text(job_script(directory, self._programs.command(job), epilogue), encoding="utf-8")
        try:
            run_script(script, self._environment(), limit=JOB_LIMIT)
        except subprocess.TimeoutExpired:
            raise JobFailed(f"{job.name} ran for more than {JOB_LIMIT:.0f} s and was ended: see {directory}") from None

    def _receipt(self, job: Job, directory: Path, receipt: Path) -> Any:
        """Return the server's answer to the job's observation. If there is none, post the observation again."""
        refusal = Spool(self._directory.spool).refusal(self._plan.stream, self._plan.key(job))
        for attempt in range(POST_TRIES):
            if (answer := read_json(receipt)) is not None:
                return answer
            self._keep_server()
            refusal.unlink(missing_ok=True)
            time.sleep(0.2 * attempt)
            with open(directory / OUTPUT, "ab") as output:
                subprocess.run(
                    self._epilogue(job),
                    cwd=directory,
                    env=self._environment(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if refusal.exists():
                raise JobFailed(f"the server refused the result of {job.name}: {refusal.read_text().strip()}")
        raise JobFailed(f"the result of {job.name} could not be delivered: {_last_line(directory / OUTPUT)}")

    def _ask(self, question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Send a request. If the server has stopped, start it and send the request once more."""
        self._keep_server()
        try:
            return question()
        except Unreachable:
            if self._server.alive:
                raise
        self._keep_server()
        return question()

    def _keep_server(self) -> None:
        if not self._server.alive:
            self._notice("The server has stopped: starting it again.")
            self._server.restart()
            self._stream = RuntimeStream(self._server.api(self._asking_token), self._plan)

    def _epilogue(self, job: Job) -> list[str]:
        command = [sys.executable, "-m", "lammps_jobs.epilogue", "--log", LOG]
        command += ["--stream", self._plan.stream, "--key", self._plan.key(job), "--receipt", RECEIPT]
        command += ["--source", "cluster=demo", "--source", f"job={job.name}"]
        return command + [f"{name}={value}" for name, value in job.features.items() if name != "processes"]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "TAILRACE_URL": self._server.url,
            "TAILRACE_TOKEN": self._jobs_token,
            "TAILRACE_SPOOL": str(self._directory.spool),
            "PYTHONPATH": PYTHON_PATH,
        }


def _trial(loop_time: float, answer: dict[str, Any]) -> Trial:
    interval = answer.get("interval")
    return Trial(loop_time, float(answer["prediction"]), None if interval is None else (interval[0], interval[1]))


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else f"{path} is empty"
