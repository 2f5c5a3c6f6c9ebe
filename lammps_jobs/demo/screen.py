"""Output of the demo: notes, progress, the table of results, paths of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from lammps_jobs.demo.campaign import Outcome
from lammps_jobs.demo.plan import RECIPES, Directory, Plan
from lammps_jobs.demo_support.screen import DemoScreen, number, result_table
from lammps_jobs.evaluation.pictures import draw_drift, draw_scatter
from lammps_jobs.evaluation.scores import Trial, coverage, scores
from lammps_jobs.runs.lammps_job import Job

__all__ = ["JobProgress", "Screen"]

OURS = "runtime"
LEAST_CPU_USE = 80


class Screen(DemoScreen):
    """The screen of the demo."""

    def watching(self, url: str, plan: Plan, user: str, password: str) -> None:
        """Print where a person can watch the models learn while the demo runs."""
        self.note(f"Watch the models learn: {url}{_page(plan)} (sign in as {user} with {password})")

    def begins(self, plan: Plan) -> None:
        at_most = f"on 1 to {plan.cores} processes" if plan.cores > 1 else "on 1 process"
        self.note(
            f"Stream {plan.stream}, models {', '.join(plan.models.values())}. "
            f"Real LAMMPS jobs, a Cu-Zr melt of x·y·z cells {at_most}:"
        )

    def ended(self, plan: Plan, fresh: int, seconds: float) -> None:
        total = plan.jobs + plan.heldout
        if fresh == 0:
            self.note(
                f"All {total} jobs were done before; none was run again (--jobs N for more, --fresh to start over)."
            )
        elif fresh < total:
            self.note(f"Ran {fresh} jobs in {seconds:.0f} s; {total - fresh} were done before.")
        else:
            self.note(f"Ran {fresh} jobs in {seconds:.0f} s.")

    def busy(self, outcomes: Sequence[Outcome]) -> None:
        """Print a warning if other programs used so much of the processors that the times are not reliable."""
        short = sum(outcome.cpu_use is not None and outcome.cpu_use < LEAST_CPU_USE for outcome in outcomes)
        if short:
            self.note(
                f"{short} of {len(outcomes)} jobs got less than {LEAST_CPU_USE} % of their processors (LAMMPS's CPU use): "
                "other programs ran at the same time, which no model can predict."
            )

    def table(self, plan: Plan, metrics: dict[str, Any], heldout: Sequence[Outcome]) -> None:
        """Print each model's prequential metrics from the server, and its errors on the held-out jobs."""
        headings = ("\nn", "prequential\nMAE", "\nRMSE", "held-out\nMAE", "\nRMSE", "\nR²")
        table = result_table("loop time in s\nmodel", headings)
        for recipe, model in plan.models.items():
            own, unseen = metrics[model], scores(_trials(heldout, recipe))
            table.add_row(
                model, str(own["learned"]), number(own["metrics"]["MAE"]), number(own["metrics"]["RMSE"]),
                number(unseen.mae), number(unseen.rmse), number(unseen.r2),
                style="bold" if recipe == OURS else "",
            )  # fmt: skip
        self._console.print(table)
        self.note(
            "Prequential: each job was predicted before it was learned. The first job isn't scored: no model had learned anything."
        )
        inside, of = coverage(_trials(heldout, OURS))
        if of:
            self.note(f"The 95 % intervals of {plan.models[OURS]} contain the time of {inside} of {of} held-out jobs.")

    def pictures(self, directory: Directory, learned: Sequence[Outcome], heldout: Sequence[Outcome]) -> None:
        typical = math.fsum(outcome.loop_time for outcome in learned) / len(learned)
        draw_drift(directory.drift, {recipe: _trials(learned, recipe) for recipe in RECIPES}, typical)
        draw_scatter(directory.scatter, {recipe: _trials(heldout, recipe) for recipe in RECIPES})
        self.note(f"Pictures: {self.path(directory.drift)}, {self.path(directory.scatter)}")
        self.note(f"Every job's script, log and receipt: {self.path(directory.path / 'jobs')}/")

    def further(self, plan: Plan, port: int, usual: bool) -> None:
        """Print commands to continue with. If the port is not the `usual` one, `make serve` needs it as a setting."""
        base = f"http://127.0.0.1:{port}"
        serve = "make serve" if usual else f"TAILRACE_BIND=127.0.0.1:{port} make serve"
        model = plan.models[OURS]
        self.note(
            f"\nThe log stays in the database. To explore it, run `{serve}`, which needs no token on this machine,"
        )
        self.note(f"and open {base}{_page(plan)}, where its {len(plan.models)} models show how they learned,")
        self.note("or paste this into IPython (or .venv/bin/python):\n")
        self.note("from tailrace import Client")
        self.note(f'model = Client("{base}").model("{model}")')
        self.note("model.predict(x=8, y=4, z=6, processes=2)")
        self.note("model.metrics()")

    @contextmanager
    def progress(self, plan: Plan) -> Iterator[JobProgress]:
        """Show a bar while jobs run; without a terminal, print a line for each job."""
        progress = JobProgress(self._console, plan)
        with Live(progress, console=self._console, refresh_per_second=8, transient=True) if progress.live else progress:
            yield progress


def _page(plan: Plan) -> str:
    return f"/streams/{quote(plan.stream)}/"


class JobProgress:
    """Shows the current job, the number of finished jobs, and the time and prediction of the last one."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.live = console.is_terminal
        self._console = console
        self._total = plan.jobs + plan.heldout
        self._count = 0
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("jobs"),
            TimeElapsedColumn(), TextColumn("· left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("Running", total=self._total)
        self._now = Text()
        self._last = Text()

    def __enter__(self) -> JobProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __rich__(self) -> Group:
        return Group(self._bar, self._now, self._last)

    def over(self, how: str, jobs: Sequence[Job]) -> Iterator[Job]:
        """Yield the jobs one by one, and show each when it starts."""
        for job in jobs:
            self._now = Text(f"  now   {_size(job)} ({how})")
            yield job

    def done(self, outcome: Outcome) -> Outcome:
        """Count a job and show its result."""
        self._count += 1
        self._bar.update(self._task, completed=self._count)
        said = outcome.trials.get(OURS)
        line = f"{_size(outcome.job)}: {outcome.loop_time:.2f} s"
        if said is not None:
            line += f" ({OURS} predicted {said.predicted:.2f} s)"
        self._last = Text(f"  last  {line}", style="dim")
        if not self.live and outcome.fresh:
            self._console.print(Text(f"{self._count:3d}/{self._total}  {outcome.job.name}  {line}"), soft_wrap=True)
        return outcome


def _size(job: Job) -> str:
    return f"{job.x} × {job.y} × {job.z} on {job.processes} {'process' if job.processes == 1 else 'processes'}"


def _trials(outcomes: Sequence[Outcome], recipe: str) -> list[Trial]:
    return [outcome.trials[recipe] for outcome in outcomes if recipe in outcome.trials]
